"""The user lane of one actor: bounded, first in first out within a priority, with senders that wait for room.

All of it is synchronous and belongs to the loop's thread. The deque is made at the first message
and dropped when its actor has been idle for a while, since an empty one weighs 600 bytes and most
actors of a large system are idle (`Warmth`). A `PriorityQueue` takes its place from the first message
with a priority until the lane is empty.

High and low water cost a `tell` nothing: below the high mark, `limit` (where the short cut of `tell` ends)
is that mark instead of the capacity. What comes behind it looks closer, and moves the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from sentient_core.backend import Slot
from sentient_core.errors import InvalidArgument
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.isolation import Isolation
from sentient_core.mailbox.line import Line
from sentient_core.mailbox.overflow import Overflow, Room, room_for
from sentient_core.mailbox.priority import PriorityQueue, priority_of
from sentient_core.mailbox.statistics import BUDGET, MailboxStatistics, Tally

__all__ = ["Mailbox", "MailboxOptions", "Queue", "Warmth"]

_AS_IT_IS = Isolation.NONE

CROWDED = 1_024
"""Messages queued from which on an actor is helped to get through them (`Dispatcher.relieve`)."""

MOST_WARM = 1_024
"""Mailboxes of one system that keep a deque while it is empty."""

MOST_IN_USE = 16
"""Mailboxes that hold messages which a look for empty ones passes over."""

Queue: TypeAlias = "deque[Entry] | PriorityQueue"


class MailboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an actor class wants its mailbox."""

    capacity: int = 10_000
    """Most messages queued; at least 1."""
    overflow: Overflow = Overflow.BACKPRESSURE
    stash: int = 1_000
    """Most messages put away by `Context.stash`; 0: none."""
    high_water: int | None = None
    """Messages queued that are reported as `mailbox_high_water`; at most the capacity. None: no reports."""
    low_water: int | None = None
    """Messages queued, at the end of a turn, that are reported as `mailbox_low_water` after that; below
    `high_water`. Until then the high mark is not reported again. None: half of `high_water`."""

    def __post_init__(self) -> None:
        try:
            overflow = Overflow(self.overflow)
        except ValueError:
            names = ", ".join(repr(o.value) for o in Overflow)
            raise InvalidArgument(f"overflow is {self.overflow!r}; it can be {names}") from None
        msgspec.structs.force_setattr(self, "overflow", overflow)
        _check_count("capacity", self.capacity, 1)
        _check_count("stash", self.stash, 0)
        if self.high_water is None:
            if self.low_water is not None:
                raise InvalidArgument("low_water says nothing without high_water: give both, or none")
            return
        _check_count("high_water", self.high_water, 1)
        if self.high_water > self.capacity:
            raise InvalidArgument(
                f"high_water ({self.high_water}) cannot be reached with a capacity of {self.capacity}"
            )
        if self.low_water is None:
            msgspec.structs.force_setattr(self, "low_water", self.high_water // 2)
            return
        _check_count("low_water", self.low_water, 0)
        if self.low_water >= self.high_water:
            raise InvalidArgument(
                f"low_water ({self.low_water}) must be below high_water ({self.high_water})"
            )


def _check_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgument(
            f"a mailbox's {name} must be a number of messages, at least {least}, not {value!r}"
        )


class Mailbox:
    """The queue of one actor. It outlives the actor's incarnations."""

    __slots__ = (
        "_paused_at",
        "_warmth",
        "high_water",
        "is_behind",
        "is_mirrored",
        "is_open",
        "isolation",
        "limit",
        "line",
        "options",
        "plain_capacity",
        "queue",
        "takes_as_it_is",
        "tally",
    )

    def __init__(
        self,
        options: MailboxOptions,
        warmth: Warmth,
        *,
        is_mirrored: bool,
        isolation: Isolation = _AS_IT_IS,
    ) -> None:
        self.options: MailboxOptions = options
        self.is_open: bool = True
        """False once the actor drains or has ended: nothing more is accepted."""
        self.is_behind: bool = False
        """More waits in the store for being read: until then nothing else is let in."""
        self.is_mirrored: bool = is_mirrored
        """Its messages are written down."""
        self.isolation: Isolation = isolation
        self.takes_as_it_is: bool = isolation is _AS_IT_IS and warmth.has_short_cuts
        """A message is queued as it was given: there is no isolation, and no plan of faults."""
        self.limit: int = options.capacity if options.high_water is None else options.high_water - 1
        """While fewer are queued, a message is taken without a further look: the capacity, or what is one
        short of the high water mark until that is reached."""
        self.plain_capacity: int = 0
        """Below it, appending is all there is to do for a message: the limit, or where it gets crowded; 0 for
        a mailbox that is closed, mirrored, isolated, or of a system with a plan of faults."""
        self.queue: Queue | None = None
        self.high_water: int = 0
        self.line: Line | None = None
        """Who waits for room, with what; None if nobody does."""
        self.tally: Tally | None = None
        """Made at the first thing to write down."""
        self._paused_at: float | None = None
        self._warmth = warmth
        self.be_plain()

    @property
    def capacity(self) -> int:
        """Most messages queued."""
        return self.options.capacity

    @property
    def depth(self) -> int:
        """Messages queued."""
        return 0 if self.queue is None else len(self.queue)

    def room(self, *, can_wait: bool) -> Room:
        """What the overflow policy says to one more message. Who waits already goes first."""
        capacity = self.capacity
        depth = capacity if self.line or self.is_behind else self.depth
        return room_for(self.options.overflow, depth, capacity, can_wait=can_wait)

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
            if self.tally is not None:
                self.tally.put_back(len(entries))

    def take_out(self, entry: Entry) -> bool:
        """Remove this very entry. False: it is not queued."""
        queue = self.queue
        if isinstance(queue, PriorityQueue):
            return queue.take_out(entry)
        if queue is not None:
            for place, queued in enumerate(queue):
                if queued is entry:
                    del queue[place]
                    return True
        return False

    def take_all(self) -> list[Entry]:
        """Take everything out, in order."""
        queue = self.queue
        entries = [] if queue is None else list(queue)
        if queue is not None:
            queue.clear()
        return entries

    def new_queue(self) -> deque[Entry]:
        """The deque for the first message after a while."""
        queue: deque[Entry] = deque()
        self._warmth.add(self)  # first: what is dropped for it may be an older place of this very mailbox
        self.queue = queue
        return queue

    def rank(self, now: Callable[[], float], *, is_paused: bool = False) -> None:
        """Heed priorities from now on, until the lane is empty; `is_paused` as in `statistics`."""
        queue = self.queue
        if isinstance(queue, PriorityQueue):
            return
        if queue is None:
            queue = self.new_queue()
        ranked = PriorityQueue(now)
        came = now() - self._age(now(), is_paused=is_paused)
        ranked.take_over(queue, came)
        queue.clear()  # a turn may still hold it: it finds nothing there, and ends
        self.queue = ranked
        self.tallied()  # so that the turn which empties the lane looks at it

    def renew(self) -> None:
        """Have a queue of its own again: a turn that still holds this one finds nothing in it."""
        queue = self.queue
        if queue is not None:
            self.queue = queue.copy()
            queue.clear()

    def shut(self) -> None:
        """Accept nothing more; what is queued stays."""
        self.is_open = False
        self.plain_capacity = 0

    def reopen(self) -> None:
        """Accept again."""
        self.is_open = True
        self.be_plain()

    def be_plain(self) -> None:
        """Let `tell` take its short cut, if this mailbox has one."""
        has_short_cut = self.is_open and not self.is_mirrored and self.takes_as_it_is
        self.plain_capacity = min(self.limit, CROWDED) if has_short_cut else 0

    @property
    def is_rising(self) -> bool:
        """What was put last has reached the high water mark: to be reported, by calling `rise`."""
        return self.limit < self.capacity and self.depth > self.limit

    def rise(self) -> None:
        """Watch out for the low water mark instead of the high one."""
        self.tallied().is_high = True
        self.limit = self.capacity
        self.be_plain()

    @property
    def is_falling(self) -> bool:
        """After the high water mark the low one is reached: to be reported, by calling `fall`."""
        low = self.options.low_water
        return low is not None and self.depth <= low

    def fall(self) -> None:
        """Watch out for the high water mark again."""
        options = self.options
        self.tallied().is_high = False
        self.limit = options.capacity if options.high_water is None else options.high_water - 1
        self.be_plain()

    def drop_oldest(self) -> Entry | None:
        """Take the oldest entry of the lowest priority out to make room."""
        queue = self.queue
        if not queue:
            return None
        return queue.pop_lowest() if isinstance(queue, PriorityQueue) else queue.popleft()

    def wait_for_room(self, entry: Entry, slot: Slot[None]) -> None:
        """Stand in line with an entry; `admit` queues it and sets the slot."""
        if self.line is None:
            self.line = Line()
        self.line.join(entry, slot)

    def leave_line(self, slot: Slot[None]) -> None:
        """Take a waiting entry back: nothing of it stays behind."""
        if self.line is not None:
            self.line.leave(slot)
            self.line = self.line or None

    def admit(self, now: Callable[[], float], most: int | None = None) -> list[Entry]:
        """Queue entries of those in line, in order, while there is room; returns what was queued."""
        admitted: list[Entry] = []
        depth = self.depth
        while self.line and depth < self.capacity and len(admitted) != most and not self.is_behind:
            entry, slot = self.line.pop()
            if slot.set(None):
                if priority_of(entry):
                    self.rank(now)
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
        line = [] if self.line is None else list(self.line)
        self.queue = self.line = None
        return queued, line

    def settle(self) -> None:
        """The lane is empty: go back to what costs least."""
        if isinstance(self.queue, PriorityQueue):
            self.queue = deque()
        if self.tally is not None and self.tally.is_blank():
            self.tally = None

    def pause(self, now: float) -> None:
        """Nothing is taken from here on for a while: a handler is suspended, or the actor is down."""
        self._paused_at = now
        if self.queue:
            self._note_time(now, is_paused=True)

    def _note_time(self, now: float, *, is_paused: bool) -> None:
        """What is queued was queued by now, and what comes in is younger."""
        self.tallied().note(self.depth, now, in_turn=BUDGET if is_paused else 0)

    def tallied(self) -> Tally:
        """What is written down of this mailbox."""
        tally = self.tally
        if tally is None:
            tally = self.tally = Tally()
        return tally

    def statistics(self, handled: int, now: float, *, is_paused: bool = False) -> MailboxStatistics:
        """The numbers at this moment. Where time stands is noted: the next look knows what was queued now.

        `is_paused`: nothing has been taken since `pause` was called.
        """
        depth = self.depth
        age = self._age(now, is_paused=is_paused)
        if depth:
            self._note_time(now, is_paused=is_paused)
        elif is_paused:
            self._paused_at = now
        tally = self.tally
        return MailboxStatistics(
            depth=depth,
            waiting=0 if self.line is None else len(self.line),
            capacity=self.capacity,
            high_water=max(self.high_water, depth),
            oldest_age=age,
            handled=handled,
            dropped=0 if tally is None else tally.dropped,
            expired=0 if tally is None else tally.expired,
            dead=0 if tally is None else tally.dead,
        )

    def _age(self, now: float, *, is_paused: bool) -> float:
        queue = self.queue
        if isinstance(queue, PriorityQueue):
            oldest = queue.oldest()
            return 0.0 if oldest is None else max(0.0, now - oldest)
        if not queue:
            return 0.0
        since = now if self._paused_at is None or not is_paused else self._paused_at
        return max(0.0, now - (since if self.tally is None else self.tally.head_since(since)))


class Warmth:
    """The mailboxes of one system that have a deque: those in use, and the last ones that were."""

    __slots__ = ("_warm", "has_short_cuts")

    def __init__(self) -> None:
        self._warm: deque[Mailbox] = deque()
        self.has_short_cuts: bool = True
        """Messages may be put into these mailboxes without a look; see `Mailbox.plain_capacity`."""

    def add(self, mailbox: Mailbox) -> None:
        """A mailbox got a deque: the oldest with an empty one loses it, which is not used again.

        A turn may still hold it.
        """
        warm = self._warm
        warm.append(mailbox)
        if len(warm) > MOST_WARM:
            self.cool(2)

    def cool(self, most: int) -> None:
        """Look at the `most` oldest beyond those that may stay warm; not on and on where many are in use."""
        warm = self._warm
        in_use = 0
        for _ in range(min(most, len(warm) - MOST_WARM)):
            oldest = warm.popleft()
            if oldest.queue:
                warm.append(oldest)
                in_use += 1
                if in_use > MOST_IN_USE:
                    return
            else:
                oldest.queue = None
