"""Whose code is running: the sender of what is sent."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["current_cell"]

current_cell: ContextVar[Cell | None] = ContextVar("sentient_core_cell", default=None)
"""The actor whose turn it is; None outside. Tasks that a handler starts inherit it."""
