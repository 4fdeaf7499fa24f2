"""A message whose handler has begun outside of a turn, and what is left of it."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentient_core.actors.handlers import Handler
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Begun", "raising"]


class Begun:
    """Stands in the control lane for a message that was to be answered at once, and was not.

    Its handler has returned something to await, or has raised: that is the business of a turn.
    """

    __slots__ = ("_rest", "entry", "handler", "in_hand")

    def __init__(self, entry: Entry, in_hand: Entry | None, rest: Awaitable[Any]) -> None:
        self.entry: Entry = entry
        self.in_hand: Entry | None = in_hand
        """The same, but for a message that the handler has stashed or forwarded."""
        self.handler: Handler = (lambda _actor, _message: rest, True)
        """Awaits what is left."""
        self._rest = rest

    @property
    def is_taken(self) -> bool:
        """The message was stashed or forwarded."""
        return self.in_hand is not self.entry

    def give_up(self) -> None:
        """Its actor is down: what is left is not awaited any more."""
        if iscoroutine(self._rest):
            self._rest.close()


async def raising(error: Exception) -> None:
    """What is left of a handler that has raised."""
    raise error
