"""Faults take virtual time."""

from __future__ import annotations

from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]
