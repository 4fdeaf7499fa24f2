"""The newest events of a stream, in memory, for all who follow it: each remembers only how far it is.

Bounded in events and bytes. Whoever has fallen out of it reads rows until it is back, so one who is slow
costs nobody anything and loses nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from sentient_core.store.fold import Placed
from sentient_core.store.records import Event
from sentient_core.store.streams import END, Place

__all__ = ["Window"]

_NOT_YET: Place = (END, END)
_MOST_EVENTS = 10_000
_MOST_BYTES = 32 * 1024 * 1024
_GONE: Placed[Event] = Placed(0, 0, 0, Event("", 0, "", None, None, b"", 0))
"""In the place of an event that is not here any more."""


class Window:
    """Of one stream, from `head` at its making on: only of the types that somebody wants."""

    def __init__(self, head: Place) -> None:
        self.head: Place = head
        """All up to here has been looked at."""
        self._floor = head
        """What is behind this, is here."""
        self._most_events = _MOST_EVENTS
        self._most_bytes = _MOST_BYTES
        self._events: list[Placed[Event]] = []
        self._places: list[Place] = []
        self._first = 0
        """Those before it are gone; they are taken out from time to time."""
        self._bytes = 0
        self._wanted: Counter[str | None] = Counter()
        self._since: dict[str | None, Place] = {}
        """From where on a type is here; None: all types."""

    def __len__(self) -> int:
        return len(self._events) - self._first

    def want(self, types: Collection[str] | None, now: Callable[[], Place]) -> Place:
        """Somebody follows these types (None: all). From the place on that `now` gives they are here.

        It is asked when they are wanted already, so that whoever adds events misses none.
        """
        named = (None,) if types is None else tuple(types)
        new = [type_ for type_ in named if type_ not in self._since]
        self._wanted.update(named)
        self._since.update(dict.fromkeys(new, _NOT_YET))
        place = now()
        self._since.update(dict.fromkeys(new, place))
        return place

    def unwant(self, types: Collection[str] | None) -> None:
        """He does not any more."""
        for type_ in (None,) if types is None else types:
            self._wanted[type_] -= 1
            if not self._wanted[type_]:
                del self._wanted[type_], self._since[type_]
        if not self._wanted:
            self._events.clear()
            self._places.clear()
            self._first = self._bytes = 0
            self._floor = self.head

    def wants(self, event_type: str) -> bool:
        """Somebody wants events of this type. Called on any thread."""
        return None in self._since or event_type in self._since

    @property
    def types(self) -> Collection[str] | None:
        """All that are wanted; None: every type there is."""
        return None if None in self._since else [type_ for type_ in self._since if type_ is not None]

    def add(self, events: Sequence[Placed[Event]], reached: Place) -> None:
        """What comes next, of the types that are wanted; all up to `reached`."""
        if reached <= self.head:
            return
        for placed in events:
            if placed.position > self.head:
                self._events.append(placed)
                self._places.append(placed.position)
                self._bytes += placed.record.weight
        self.head = reached
        while self._first < len(self._events) and (
            len(self) > self._most_events or self._bytes > self._most_bytes
        ):
            gone = self._events[self._first]
            self._bytes -= gone.record.weight
            self._floor = gone.position
            self._events[self._first] = _GONE  # its memory goes now, its place in the lists later
            self._first += 1
        if self._first > self._most_events:
            del self._events[: self._first], self._places[: self._first]
            self._first = 0

    def skip_to(self, head: Place) -> None:
        """What is before this is not looked at: nobody follows that far back here."""
        if head > self.head:
            self.begin_anew(head)

    def begin_anew(self, head: Place) -> None:
        """There is nothing before this."""
        self._events.clear()
        self._places.clear()
        self._first = self._bytes = 0
        self.head = self._floor = head
        self._since = dict.fromkeys(self._since, head)

    def has(self, place: Place, types: Collection[str] | None) -> bool:
        """All events of these types behind a place are here, up to the head."""
        if place < self._floor:
            return False
        of_all = self._since.get(None)
        if of_all is not None and place >= of_all:
            return True
        if types is None:
            return False
        return all((since := self._since.get(type_)) is not None and place >= since for type_ in types)

    def after(self, place: Place, limit: int) -> tuple[Sequence[Placed[Event]], Place]:
        """The next events behind a place, of all types that are wanted, and how far that reaches."""
        start = bisect_right(self._places, place, self._first)
        found = self._events[start : start + limit]
        if len(found) < limit or start + limit >= len(self._events):
            return found, max(self.head, place)
        return found, found[-1].position
