"""The two streams that a bus follows, each with its window: one is fed by its journal, one is read from rows.

Whoever follows asks for what comes behind its place, and gets it from the window, or from rows where the
window does not reach back so far. So there is one way for replaying and for following.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from sentient_core.events.window import Window
from sentient_core.store.streams import BEGINNING, END, EventPage, EventStreams, Place

if TYPE_CHECKING:
    from sentient_core.store.fold import Placed
    from sentient_core.store.protocols import Journal
    from sentient_core.store.records import Event

__all__ = ["Expired", "FedStream", "RowStream", "Stream"]

_PAGE = 500


class Expired(Exception):
    """Something behind the place that was asked from is deleted; `oldest` is where nothing is missing."""

    def __init__(self, oldest: Place) -> None:
        self.oldest = oldest
        super().__init__(oldest)


class Stream(Protocol):
    """Events in the order of commits, for those who follow them."""

    name: str
    window: Window
    breaks: int
    """How often it was found to reach less far than before: its store holds something else now."""

    def want(self, types: Collection[str] | None) -> Place:
        """Somebody follows these types (None: all) from now on; returns the place of this moment.

        As far as it is known: see `RowStream`.
        """
        ...

    def unwant(self, types: Collection[str] | None) -> None:
        """He does not any more."""
        ...

    async def read(self, place: Place, types: Collection[str] | None) -> EventPage:
        """What comes next behind a place: of these types all, and maybe others.

        Raises Expired, StoreError.
        """
        ...


class FedStream:
    """The journal of the system that runs in this process: fed right behind its commits."""

    def __init__(self, name: str, journal: Journal, rows: EventStreams, on_news: Callable[[], None]) -> None:
        self.name: str = name
        self.window: Window = Window(BEGINNING)
        self.breaks: int = 0
        self._journal = journal
        self._rows = rows
        self._on_news = on_news
        self._followers = 0

    def want(self, types: Collection[str] | None) -> Place:
        """See `Stream.want`."""
        is_first = not self._followers
        self._followers += 1
        place = self.window.want(types, self._here)
        if is_first:
            self.window.skip_to(place)
        return place

    def unwant(self, types: Collection[str] | None) -> None:
        """See `Stream.unwant`."""
        self._followers -= 1
        self.window.unwant(types)
        if not self._followers:
            self._journal.follow(None)

    async def read(self, place: Place, types: Collection[str] | None) -> EventPage:
        """See `Stream.read`."""
        if self.window.has(place, types):
            return EventPage(*self.window.after(place, _PAGE))
        head = (await self._rows.heads([self.name]))[self.name]
        if head.number <= place[0]:  # what is behind it, and before the window, is not in its rows yet
            await self._journal.flush()
            head = (await self._rows.heads([self.name]))[self.name]
        return _whole(place, await self._rows.after(self.name, place, head.number, types=types, limit=_PAGE))

    def wants(self, event_type: str) -> bool:
        """See `EventFollower`."""
        return self.window.wants(event_type)

    def take(self, number: int, events: Sequence[Placed[Event]]) -> None:
        """See `EventFollower`."""
        self.window.add(events, (number, END))
        self._on_news()

    def _here(self) -> Place:
        return (self._journal.follow(self), END)


class RowStream:
    """A stream that others write as well: its rows are read into the window when they have come."""

    def __init__(self, name: str, rows: EventStreams, on_news: Callable[[], None]) -> None:
        self.name: str = name
        self.window: Window = Window(BEGINNING)
        self.breaks: int = 0
        self._rows = rows
        self._on_news = on_news

    def want(self, types: Collection[str] | None) -> Place:
        """See `Stream.want`: the place up to which it was last looked at."""
        return self.window.want(types, lambda: self.window.head)

    def unwant(self, types: Collection[str] | None) -> None:
        """See `Stream.unwant`."""
        self.window.unwant(types)

    async def read(self, place: Place, types: Collection[str] | None) -> EventPage:
        """See `Stream.read`."""
        if self.window.has(place, types):
            return EventPage(*self.window.after(place, _PAGE))
        head = (await self._rows.heads([self.name]))[self.name]
        # Not past the window's head, where this place has been: else what the window gets would come twice.
        upto = min(head.number, self.window.head[0])
        return _whole(place, await self._rows.after(self.name, place, upto, types=types, limit=_PAGE))

    def begin_at(self, number: int) -> None:
        """Nobody follows what came before, unless he reads it himself."""
        if number < self.window.head[0]:
            self.window.begin_anew((number, END))
        self.window.skip_to((number, END))

    async def fill(self, number: int) -> bool:
        """Read what has come up to this commit; whether there was something. Raises StoreError."""
        window = self.window
        if number < window.head[0]:
            self.breaks += 1
            window.begin_anew(BEGINNING)
            self._on_news()
        is_news = False
        while window.head < (number, END):
            types = window.types
            page = await self._rows.after(self.name, window.head, number, types=types, limit=_PAGE)
            if page.pruned > window.head:  # it was not looked at for long: who follows is to hear of the gap
                window.skip_to(page.pruned)
                is_news = True
                self._on_news()
            elif _same(types, window.types):  # else somebody has come who wants others as well
                window.add(page.events, page.reached)
                is_news = True
                self._on_news()
        return is_news


def _whole(place: Place, page: EventPage) -> EventPage:
    """A page, if nothing is missing behind the place that it was asked for from. Raises Expired."""
    if place != BEGINNING and place < page.pruned:
        raise Expired(page.pruned)
    return page


def _same(before: Collection[str] | None, now: Collection[str] | None) -> bool:
    return before is now is None or (before is not None and now is not None and set(before) == set(now))
