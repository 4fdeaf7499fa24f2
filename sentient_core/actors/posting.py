"""Priority and deadlines of a message: what `ActorRef.with_options` attaches to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from sentient_core.actors.overdue import TimeLimits, check_seconds, limited
from sentient_core.actors.settling import dead, fail_asker
from sentient_core.actors.special import Special, kept_of, plain
from sentient_core.errors import InvalidArgument, MessageExpired
from sentient_core.mailbox import DeadLetterReason
from sentient_core.mailbox.priority import Ranked

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Accepted

__all__ = ["FOR_EVER", "Posted", "Posting", "posted_of"]

FOR_EVER = 1e9
"""Seconds, thirty years: what is due later is as good as never due, and may not fit into a record."""


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are to be posted."""

    priority: int = 0
    """Larger first; 0 is what all other messages have."""
    expires: float | None = None
    """Seconds from the call that sends, in which its turn has to come; None: never."""
    deadline: float | None = None
    """Seconds from the call that sends, in which its handler has to return; None: it may take for ever."""

    def __post_init__(self) -> None:
        if type(self.priority) is not int:
            raise InvalidArgument(f"priority must be a whole number, not {self.priority!r}")
        check_seconds("expires", self.expires)
        check_seconds("deadline", self.deadline)


class Posted(Special, Ranked):
    """A message with a priority, deadlines, or both; they stay its own when it is stashed or forwarded."""

    __slots__ = ("_posting", "_since", "deadline", "handler", "priority")

    is_kept = True

    def __init__(self, posting: Posting, message: object, since: float) -> None:
        super().__init__(message)
        self._posting = posting
        self._since = since
        self.priority: int = posting.priority
        limits = [seconds for seconds in (posting.expires, posting.deadline) if seconds is not None]
        self.deadline: float = since + min(limits, default=math.inf)
        """When its turn has to come, on the loop's clock."""
        self.handler: Handler | None = None

    @classmethod
    def by(cls, posting: Posting, message: object, now: float) -> Posted:
        """A message that is posted at the time `now`."""
        return cls(posting, message, now)

    def times(self, now: float, wall: int) -> tuple[int, int]:
        """When its turn has to come and its handler to return, on the wall clock in nanoseconds; 0: whenever.

        `now` and `wall` are the same moment on the loop's clock and on that one.
        """
        began = wall - round((now - self._since) * 1e9)

        def at(seconds: float | None) -> int:
            return 0 if seconds is None or seconds > FOR_EVER else began + round(seconds * 1e9)

        return at(self._posting.expires), at(self._posting.deadline)

    @classmethod
    def restored(cls, accepted: Accepted, message: object, now: float, wall: int) -> Posted | None:
        """A message of the store, with the options it was posted with. None: it had none."""
        priority, expires_at, due_at = accepted.priority, accepted.expires_at, accepted.due_at
        if not (priority or expires_at or due_at):
            return None
        posted_at = accepted.event.at

        def seconds(at: int) -> float | None:
            return max((at - posted_at) / 1e9, 1e-9) if at else None

        posting = Posting(priority=priority, expires=seconds(expires_at), deadline=seconds(due_at))
        return cls(posting, message, now - (wall - posted_at) / 1e9)

    def again(self, message: object) -> Posted:
        """The same for what has become of the message."""
        return Posted(self._posting, message, self._since)

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Whether it is still in time; else it becomes a dead letter (`expired`)."""
        if cell.runtime.backend.now() <= self.deadline:
            self.handler = self._in_time(cell, entry)
            return True
        why = "its time was over before its turn came"
        dead(cell, entry, DeadLetterReason.EXPIRED, why)
        fail_asker(entry, MessageExpired(plain(entry)[0], cell.ref, why))
        return False

    def _in_time(self, cell: Cell, entry: Entry) -> Handler | None:
        """The handler of a message that has to be handled by a time; None: as any other."""
        seconds = self._posting.deadline
        handler = None if seconds is None else cell.handler_of(type(plain(entry)[0]))
        if seconds is None or handler is None:
            return None
        return limited(handler, TimeLimits(), due=self._since + seconds, deadline=seconds)


def posted_of(entry: Entry) -> Posted | None:
    """The options that the message in hand came with, if it had any."""
    wrapper: object = kept_of(entry)
    while isinstance(wrapper, Special) and not isinstance(wrapper, Posted):
        wrapper = wrapper.message
    return wrapper if isinstance(wrapper, Posted) else None
