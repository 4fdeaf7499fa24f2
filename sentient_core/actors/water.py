"""High and low water of a mailbox, reported once each: to whoever subscribed, and as events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sentient_core.events import EventType

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentient_core.actors.cell import Cell
    from sentient_core.feed import Feed, Following, Subscription

__all__ = ["MailboxNotice", "MailboxNotices", "report_high_water", "report_low_water"]


class MailboxNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox has reached one of the marks of its `MailboxOptions`."""

    event_type: EventType
    """`mailbox_high_water`, and after it `mailbox_low_water`."""
    path: str
    """Of the actor."""
    depth: int
    """Messages queued."""
    capacity: int


class MailboxNotices:
    """What the mailboxes of a system report."""

    def __init__(self, feed: Feed[MailboxNotice]) -> None:
        self._feed = feed

    def subscribe(self, callback: Callable[[MailboxNotice], object]) -> Subscription:
        """Call `callback`, a plain function, with every notice from now on, at once, on the loop's thread.

        It runs in the middle of a send or of an actor's turn, so it should only hand over. What it
        raises is logged. Raises InvalidArgument.
        """
        return self._feed.subscribe(callback)

    def follow(self, buffer: int = 1_000) -> Following[MailboxNotice]:
        """The notices from now on, to iterate over: `async with ….follow() as notices`.

        At most `buffer` of them wait for the iteration; the others are counted in `missed`. Ends with the
        system. Raises InvalidArgument.
        """
        return self._feed.follow(buffer)


def report_high_water(cell: Cell) -> None:
    """The high mark has been reached."""
    cell.mailbox.rise()
    _report(cell, EventType.MAILBOX_HIGH_WATER)


def report_low_water(cell: Cell) -> None:
    """The low mark has been reached after the high one."""
    cell.mailbox.fall()
    _report(cell, EventType.MAILBOX_LOW_WATER)


def _report(cell: Cell, event_type: EventType) -> None:
    depth, capacity = cell.mailbox.depth, cell.mailbox.capacity
    if cell.blueprint.is_mirrored:
        what = {"depth": depth, "capacity": capacity}
        cell.runtime.mirror.happened(event_type, cell.path, what, incarnation=cell.incarnation)
    notice = MailboxNotice(event_type=event_type, path=cell.path, depth=depth, capacity=capacity)
    cell.runtime.notices.publish(notice)
