"""The queue of a mailbox once a message with a priority has come: the highest first, each in its order.

A plain deque does for everybody else, so this stands in for one: it has the part of its interface that
the runtime uses. There is a deque per priority in use, and a sorted list of those priorities, of which
there are few: taking and adding are O(1) but for the first and the last message of a priority. Entries
are kept with the time they came, since the one taken next need not be the oldest.

What is put back at the left (a returned stash) goes before everything: it has had its turn already.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import ClassVar

from sentient_core.mailbox.envelope import Entry

__all__ = ["PriorityQueue", "Ranked", "priority_of"]


class Ranked:
    """The base of what stands in an entry for a message that has a priority."""

    __slots__ = ()

    priority: int = 0
    """Larger first; a message without one has 0."""

    is_first: ClassVar[bool] = False
    """It has had its turn already: it goes before those of any priority."""


def priority_of(entry: Entry) -> int:
    """The priority of a queued message."""
    message = entry[0]
    return message.priority if isinstance(message, Ranked) else 0


class PriorityQueue:
    """Entries by priority, larger first, then in the order they came."""

    __slots__ = ("_by_priority", "_count", "_first", "_now", "_priorities")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._first: deque[tuple[float, Entry]] = deque()
        self._by_priority: dict[int, deque[tuple[float, Entry]]] = {}
        self._priorities: list[int] = []
        """Those with entries, the lowest first."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        for _, entry in chain(self._first, *(self._by_priority[p] for p in reversed(self._priorities))):
            yield entry

    def append(self, entry: Entry) -> None:
        """Queue an entry behind those of its priority."""
        self.add(entry, self._now())

    def add(self, entry: Entry, came: float) -> None:
        """Queue one that came at that time."""
        priority = priority_of(entry)
        queue = self._by_priority.get(priority)
        if queue is None:
            queue = self._by_priority[priority] = deque()
            insort(self._priorities, priority)
        queue.append((came, entry))
        self._count += 1

    def take_over(self, entries: Iterable[Entry], came: float) -> None:
        """Queue what stood in a plain lane, in its order; all of it came at that time."""
        for entry in entries:
            message = entry[0]
            if isinstance(message, Ranked) and message.is_first:
                self._first.append((came, entry))
                self._count += 1
            else:
                self.add(entry, came)

    def appendleft(self, entry: Entry) -> None:
        """Put an entry before all others."""
        self._first.appendleft((self._now(), entry))
        self._count += 1

    def extendleft(self, entries: Iterable[Entry]) -> None:
        """Put entries before all others, one after the other: they end up in reverse order."""
        for entry in entries:
            self.appendleft(entry)

    def popleft(self) -> Entry:
        """Take the next entry. IndexError: there is none."""
        _, entry = self._first.popleft() if self._first else self._pop_oldest(-1)
        self._count -= 1
        return entry

    def pop_lowest(self) -> Entry:
        """Take the oldest entry of the lowest priority. IndexError: there is none."""
        _, entry = self._pop_oldest(0) if self._priorities else self._first.popleft()
        self._count -= 1
        return entry

    def take_out(self, entry: Entry) -> bool:
        """Remove this very entry. False: it is not there."""
        priority = priority_of(entry)
        for queue in (self._first, self._by_priority.get(priority, self._first)):
            for place, (_, queued) in enumerate(queue):
                if queued is entry:
                    del queue[place]
                    self._count -= 1
                    if not queue and queue is not self._first:
                        del self._by_priority[priority]
                        self._priorities.remove(priority)
                    return True
        return False

    def copy(self) -> PriorityQueue:
        """Another queue of the same entries."""
        other = PriorityQueue(self._now)
        other._first = self._first.copy()
        other._by_priority = {priority: queue.copy() for priority, queue in self._by_priority.items()}
        other._priorities = self._priorities.copy()
        other._count = self._count
        return other

    def clear(self) -> None:
        """Forget all entries."""
        self._first.clear()
        self._by_priority.clear()
        self._priorities.clear()
        self._count = 0

    def oldest(self) -> float | None:
        """When the oldest entry came; None: there is none."""
        return min(
            (queue[0][0] for queue in (self._first, *self._by_priority.values()) if queue), default=None
        )

    def _pop_oldest(self, position: int) -> tuple[float, Entry]:
        priority = self._priorities[position]
        queue = self._by_priority[priority]
        oldest = queue.popleft()
        if not queue:
            del self._by_priority[priority], self._priorities[position]
        return oldest
