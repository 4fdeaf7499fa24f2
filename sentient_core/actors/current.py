"""Whose code is running, and for which message: the sender of what is sent, and its conversation."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.store.records import Event

__all__ = ["Pausable", "current_cell", "current_event", "current_run", "current_turn"]

current_cell: ContextVar[Cell | None] = ContextVar("sentient_core_cell", default=None)
"""The actor whose turn it is; None outside. Tasks that a handler starts inherit it."""

current_event: ContextVar[Event | None] = ContextVar("sentient_core_event", default=None)
"""The message, to a mirrored actor, that is being handled; what is sent belongs to its conversation.

Tasks and threads that a handler starts inherit it, however long they run: what they send belongs to the
message that they were started for, whatever their actor has in hand by then.
"""

current_turn: ContextVar[OpenTurn | None] = ContextVar("sentient_core_turn", default=None)
"""The turn of a durable actor that the code belongs to, which may be over: look at `is_open`.

What is sent while it is open is part of it, also by tasks that the handler has started and waits for.
"""


class Pausable(Protocol):
    """What runs beside an actor and may stand still at points of its own."""

    async def pausable(self) -> None:
        """Such a point."""
        ...


current_run: ContextVar[Pausable | None] = ContextVar("sentient_core_run", default=None)
"""The task of an agent that the code belongs to."""
