"""The user lane of one actor: bounded, first in first out, with senders that wait for room.

All of it is synchronous and belongs to the loop's thread. The deque is made at the first message
and dropped when its actor has been idle for a while, since an empty one weighs 600 bytes and most
actors of a large system are idle (`Warmth`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import cast

import msgspec

from sentient_core.backend import Slot
from sentient_core.errors import InvalidArgument
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.overflow import Overflow, Room, room_for

__all__ = ["Mailbox", "MailboxOptions", "MailboxStatistics", "Warmth"]

MOST_WARM = 1_024
"""Mailboxes of one system that keep a deque while it is empty."""


class MailboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an actor class wants its mailbox."""

    capacity: int = 10_000
    """Most messages queued; at least 1."""
    overflow: Overflow = Overflow.BACKPRESSURE
    stash: int = 1_000
    """Most messages put away by `Context.stash`; 0: none."""

    def __post_init__(self) -> None:
        try:
            overflow = Overflow(self.overflow)
        except ValueError:
            names = ", ".join(repr(o.value) for o in Overflow)
            raise InvalidArgument(f"overflow is {self.overflow!r}; it can be {names}") from None
        msgspec.structs.force_setattr(self, "overflow", overflow)
        if self.capacity < 1:
            raise InvalidArgument(f"a mailbox's capacity must be at least 1, not {self.capacity}")
        if self.stash < 0:
            raise InvalidArgument(f"the capacity of a stash must be at least 0, not {self.stash}")


class MailboxStatistics(msgspec.Struct, frozen=True):
    """A mailbox at one moment."""

    depth: int
    """Messages queued."""
    waiting: int
    """Senders that wait for room."""
    capacity: int
    high_water: int
    """Greatest depth seen at the start of a turn."""


class Mailbox:
    """The queue of one actor. It outlives the actor's incarnations."""

    __slots__ = (
        "_warmth",
        "high_water",
        "is_mirrored",
        "is_open",
        "line",
        "options",
        "plain_capacity",
        "queue",
    )

    def __init__(self, options: MailboxOptions, warmth: Warmth, *, is_mirrored: bool) -> None:
        self.options: MailboxOptions = options
        self.is_open: bool = True
        """False once the actor drains or has ended: nothing more is accepted."""
        self.is_mirrored: bool = is_mirrored
        """Its messages are written down."""
        self.plain_capacity: int = 0 if is_mirrored else options.capacity
        """While it is open and unmirrored the capacity, else 0: below it, appending is all there is to do."""
        self.queue: deque[Entry] | None = None
        self.high_water: int = 0
        self.line: dict[Slot[None], Entry] | None = None
        """Who waits for room, with what, first come first; None if nobody does."""
        self._warmth = warmth

    @property
    def capacity(self) -> int:
        """Most messages queued."""
        return self.options.capacity

    def room(self, *, can_wait: bool) -> Room:
        """What the overflow policy says to one more message. Who waits already goes first."""
        options, queue = self.options, self.queue
        depth = options.capacity if self.line else (0 if queue is None else len(queue))
        return room_for(options.overflow, depth, options.capacity, can_wait=can_wait)

    def put(self, entry: Entry) -> None:
        """Queue an entry; the caller has asked for room."""
        queue = self.queue
        if queue is None:
            queue = self.new_queue()
        queue.append(entry)

    def put_first(self, entries: Sequence[Entry]) -> None:
        """Queue entries ahead of all others, in their order, whether there is room or not."""
        if entries:
            queue = self.new_queue() if self.queue is None else self.queue
            queue.extendleft(reversed(entries))

    def take_out(self, entry: Entry) -> bool:
        """Remove this very entry. False: it is not queued."""
        for place, queued in enumerate(self.queue or ()):
            if queued is entry:
                del cast("deque[Entry]", self.queue)[place]
                return True
        return False

    def new_queue(self) -> deque[Entry]:
        """The deque for the first message after a while."""
        queue = self.queue = deque()
        self._warmth.add(self)
        return queue

    def shut(self) -> None:
        """Accept nothing more; what is queued stays."""
        self.is_open = False
        self.plain_capacity = 0

    def reopen(self) -> None:
        """Accept again."""
        self.is_open = True
        self.plain_capacity = 0 if self.is_mirrored else self.options.capacity

    def drop_oldest(self) -> Entry | None:
        """Take the oldest entry out to make room."""
        return self.queue.popleft() if self.queue else None

    def wait_for_room(self, entry: Entry, slot: Slot[None]) -> None:
        """Stand in line with an entry; `admit` queues it and sets the slot."""
        if self.line is None:
            self.line = {}
        self.line[slot] = entry

    def leave_line(self, slot: Slot[None]) -> None:
        """Take a waiting entry back: nothing of it stays behind."""
        if self.line is not None:
            self.line.pop(slot, None)
            self.line = self.line or None

    def admit(self) -> list[Entry]:
        """Queue entries of those in line, in order, while there is room; returns what was queued."""
        admitted: list[Entry] = []
        depth = 0 if self.queue is None else len(self.queue)
        while self.line and depth < self.options.capacity:
            slot = next(iter(self.line))
            entry = self.line.pop(slot)
            if slot.set(None):
                self.put(entry)
                admitted.append(entry)
                depth += 1
        self.line = self.line or None
        return admitted

    def close(self) -> tuple[list[Entry], list[tuple[Entry, Slot[None]]]]:
        """Refuse everything from now on; returns what was queued and who stood in line."""
        self.shut()
        queued: list[Entry] = []
        if self.queue is not None:
            queued.extend(self.queue)
            self.queue.clear()  # a turn may still hold it
        line = [] if self.line is None else [(entry, slot) for slot, entry in self.line.items()]
        self.queue = self.line = None
        return queued, line

    def statistics(self) -> MailboxStatistics:
        """The numbers at this moment."""
        depth = 0 if self.queue is None else len(self.queue)
        return MailboxStatistics(
            depth=depth,
            waiting=0 if self.line is None else len(self.line),
            capacity=self.options.capacity,
            high_water=max(self.high_water, depth),
        )


class Warmth:
    """The mailboxes of one system that have a deque: those in use, and the last ones that were."""

    __slots__ = ("_warm",)

    def __init__(self) -> None:
        self._warm: deque[Mailbox] = deque()

    def add(self, mailbox: Mailbox) -> None:
        """A mailbox got a deque: the oldest with an empty one loses it, which is not used again.

        A turn may still hold it.
        """
        warm = self._warm
        warm.append(mailbox)
        if len(warm) > MOST_WARM:
            self.cool(2)

    def cool(self, most: int) -> None:
        """Look at the `most` oldest beyond those that may stay warm."""
        warm = self._warm
        for _ in range(min(most, len(warm) - MOST_WARM)):
            oldest = warm.popleft()
            if oldest.queue:
                warm.append(oldest)
            else:
                oldest.queue = None
