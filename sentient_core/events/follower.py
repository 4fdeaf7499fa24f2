"""Somebody who follows both streams of a bus: all he has is how far he is in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import anyio

from sentient_core.errors import CursorExpired, Fenced, StoreError
from sentient_core.events.agent_event import AgentEvent
from sentient_core.events.cursor import Cursor
from sentient_core.events.streams import Expired, Stream
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.streams import BEGINNING, Place

if TYPE_CHECKING:
    from sentient_core.logs import RuntimeLog
    from sentient_core.store.fold import Placed
    from sentient_core.store.records import Event

__all__ = ["Follower"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Follower:
    """Gives the events that meet a filter, page by page, in the order of each stream, each once."""

    def __init__(
        self,
        journal: Stream,
        external: Stream,
        wanted: EventFilter,
        news: Callable[[], anyio.Event],
        on_gap: Callable[[], None],
        log: RuntimeLog,
    ) -> None:
        self.places: list[Place] = []
        """How far it is in each stream: set before it follows."""
        self.wanted = wanted
        self.is_counted: bool = False
        self.is_early = False
        """It arrived when the streams had not been looked at."""
        self.came: list[Place] = []
        """The places of the moment when it arrived, as far as they were known."""
        self._streams = (journal, external)
        self._types = wanted.types
        self._news = news
        self._on_gap = on_gap
        self._breaks: list[int] = []
        self._log = log
        self._turn = 0

    @property
    def cursor(self) -> Cursor:
        """How far it is."""
        journal, external = self.places
        return Cursor(journal, external)

    def arrive(self) -> None:
        """Be counted among those who follow, from this moment on."""
        self.is_counted = True
        self._breaks = [stream.breaks for stream in self._streams]
        self.came = [stream.want(self._types) for stream in self._streams]

    def leave(self) -> None:
        """Be counted no more."""
        self.is_counted = False
        for stream in self._streams:
            stream.unwant(self._types)

    async def page(self) -> Iterator[AgentEvent]:
        """The next events, as soon as there are some. While it is iterated over, `places` follow.

        Raises CursorExpired; Fenced and what else ends a store for good. Waits through an outage.
        """
        while True:
            news = self._news()
            before = list(self.places)
            for _ in self._streams:
                which, self._turn = self._turn, 1 - self._turn
                events, reached = await self._read(which)
                if events:
                    return self._each(which, events, reached)
                self.places[which] = reached
            if self.places == before:  # else there may be more behind what was read
                await news.wait()

    async def _read(self, which: int) -> tuple[Sequence[Placed[Event]], Place]:
        pause = _FIRST_PAUSE
        stream, place = self._streams[which], self.places[which]
        while True:
            if stream.breaks != self._breaks[which]:
                raise self._broken()
            try:
                page = await stream.read(place, self._types)
            except Expired as expired:
                raise self._expired(which, expired.oldest) from None
            except Fenced:
                raise
            except StoreError as error:
                self._log.debug("events are read again later", stream=stream.name, error=str(error))
                await anyio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return [placed for placed in page.events if self.wanted.meets(placed.record)], page.reached

    def _each(self, which: int, events: Sequence[Placed[Event]], reached: Place) -> Iterator[AgentEvent]:
        journal, external = self.places
        for placed in events:
            place = placed.position
            cursor = Cursor(place, external, is_of_journal=True)
            if which:
                cursor = Cursor(journal, place, is_of_external=True)
            yield AgentEvent.of(placed, str(cursor))
            self.places[which] = place
        self.places[which] = reached

    def _expired(self, which: int, oldest: Place) -> CursorExpired:
        journal, external = self.places
        left = Cursor(journal, oldest) if which else Cursor(oldest, external)
        self._on_gap()
        return CursorExpired(str(self.cursor), str(left))

    def _broken(self) -> CursorExpired:
        journal, external = (
            place if stream.breaks == breaks else BEGINNING
            for place, stream, breaks in zip(self.places, self._streams, self._breaks, strict=True)
        )
        self._on_gap()
        why = "are gone: the store has less than it had, or is another one"
        return CursorExpired(str(self.cursor), str(Cursor(journal, external)), why)
