"""The receive timeout: an actor is told when it has had nothing to do for a while.

Nothing is done per message. The cell notes the time when a batch of messages has been handled, and only
in an actor that has set a timeout; one alarm looks at that time when it goes off, and is set anew for
what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sentient_core.actors import delivery
from sentient_core.actors.notices import Notice, notice_entry

if TYPE_CHECKING:
    from sentient_core.actors.incarnation import Incarnation

__all__ = ["Quiet", "ReceiveTimeout"]


class ReceiveTimeout(msgspec.Struct, frozen=True):
    """No message has been handled for as long as `Context.set_receive_timeout` said."""


class Quiet:
    """How long an incarnation has been without messages."""

    __slots__ = ("_alarm", "_clock", "_is_over", "_life", "_message", "_seconds", "_since")

    def __init__(self, life: Incarnation, seconds: float, message: object) -> None:
        runtime = life.cell.runtime
        self._life = life
        self._seconds = seconds
        self._message = message
        self._clock = runtime.backend.now
        self._is_over = False
        self._since = self._clock()
        self._alarm = runtime.timekeeper.after(seconds, self._look)

    def begin(self) -> None:
        """The actor has just finished something: quiet begins now."""
        self._since = self._clock()

    def cancel(self) -> None:
        """End it; a message that is under way is discarded."""
        self._is_over = True
        self._alarm.cancel()

    def accept_message(self) -> bool:
        """The message's turn has come. False: it is not wanted any more."""
        if not self._is_over:
            self._set_alarm(self._seconds)
        return not self._is_over

    def _set_alarm(self, seconds: float) -> None:
        self._alarm = self._life.cell.runtime.timekeeper.after(seconds, self._look)

    def _look(self) -> None:
        cell = self._life.cell
        if cell.in_hand is not None or cell.mailbox.queue:
            self._set_alarm(self._seconds)  # quiet will have begun by then, or not be over
            return
        left = self._since + self._seconds - self._clock()
        if left > 0:
            self._set_alarm(left)
            return
        if not cell.mailbox.is_open:
            return
        entry = notice_entry(self._life, _TimeIsUp(self, self._message), cell, "receive timeout")
        if entry is not None:
            delivery.put_anyway(cell, entry)


class _TimeIsUp(Notice):
    __slots__ = ("_quiet",)

    def __init__(self, quiet: Quiet, message: object) -> None:
        super().__init__(message)
        self._quiet = quiet

    def accept(self) -> bool:
        return self._quiet.accept_message()
