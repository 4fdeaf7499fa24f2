"""What happens to a message for which there is no room: decided here, as a pure function."""

from __future__ import annotations

from enum import Enum

__all__ = ["Overflow", "Room", "room_for"]


class Overflow(Enum):
    """The policy of a bounded mailbox that is full. A `tell` never waits and never raises for it."""

    BACKPRESSURE = "backpressure"
    """`send` and `ask` wait for room; a `tell` becomes a dead letter (`full`)."""
    FAIL = "fail"
    """`send` and `ask` raise MailboxFull; a `tell` becomes a dead letter (`full`)."""
    DROP_NEW = "drop_new"
    """The new message becomes a dead letter (`dropped`)."""
    DROP_OLD = "drop_old"
    """The oldest queued message becomes a dead letter (`dropped`), the new one is taken."""


class Room(Enum):
    """The decision for one message."""

    TAKE = "take"
    WAIT = "wait"
    REFUSE = "refuse"
    DROP_NEW = "drop_new"
    DROP_OLD = "drop_old"


def room_for(overflow: Overflow, depth: int, capacity: int, *, can_wait: bool) -> Room:
    """Decide on a message for a mailbox that holds `depth` of at most `capacity` messages.

    `can_wait` is True for a sender that may be suspended or told (`send`, `ask`). REFUSE means
    MailboxFull for such a sender and a dead letter for a `tell`.
    """
    if depth < capacity:
        return _TAKE
    if overflow is Overflow.DROP_NEW:
        return Room.DROP_NEW
    if overflow is Overflow.DROP_OLD:
        return Room.DROP_OLD
    if overflow is Overflow.BACKPRESSURE and can_wait:
        return Room.WAIT
    return Room.REFUSE


_TAKE = Room.TAKE  # the usual answer; a member's attribute is slow to look up in Python 3.11
