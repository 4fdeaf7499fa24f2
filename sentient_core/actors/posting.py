"""Priority and deadline of a message: what `ActorRef.with_options` attaches to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from sentient_core.actors.settling import dead, fail_asker
from sentient_core.actors.special import Special, kept_of, plain
from sentient_core.errors import InvalidArgument, MessageExpired
from sentient_core.mailbox import DeadLetterReason
from sentient_core.mailbox.priority import Ranked

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Posted", "Posting", "posted_of"]


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are to be posted."""

    priority: int = 0
    """Larger first; 0 is what all other messages have."""
    expires: float | None = None
    """Seconds from the call that sends; None: never."""

    def __post_init__(self) -> None:
        if type(self.priority) is not int:
            raise InvalidArgument(f"priority must be a whole number, not {self.priority!r}")
        if self.expires is not None and not _is_duration(self.expires):
            raise InvalidArgument(
                f"expires must be a number of seconds above 0, or None, not {self.expires!r}"
            )


def _is_duration(value: object) -> bool:
    """It is a number of seconds above 0, infinity included."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


class Posted(Special, Ranked):
    """A message with a priority, a deadline, or both; they stay its own when it is stashed or forwarded."""

    __slots__ = ("deadline", "priority")

    is_kept = True

    def __init__(self, message: object, priority: int, deadline: float) -> None:
        super().__init__(message)
        self.priority: int = priority
        self.deadline: float = deadline
        """On the loop's clock."""

    @classmethod
    def by(cls, posting: Posting, message: object, now: float) -> Posted:
        """A message that is posted at the time `now`."""
        return cls(message, posting.priority, math.inf if posting.expires is None else now + posting.expires)

    def again(self, message: object) -> Posted:
        """The same for what has become of the message."""
        return Posted(message, self.priority, self.deadline)

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Whether it is still in time; else it becomes a dead letter (`expired`)."""
        if cell.runtime.backend.now() <= self.deadline:
            return True
        why = "its time was over before its turn came"
        dead(cell, entry, DeadLetterReason.EXPIRED, why)
        fail_asker(entry, MessageExpired(plain(entry)[0], cell.ref, why))
        return False


def posted_of(entry: Entry) -> Posted | None:
    """The options that the message in hand came with, if it had any."""
    wrapper: object = kept_of(entry)
    while isinstance(wrapper, Special) and not isinstance(wrapper, Posted):
        wrapper = wrapper.message
    return wrapper if isinstance(wrapper, Posted) else None
