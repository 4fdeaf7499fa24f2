"""The event streams of a store without a database: the same contract in plain Python."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from sentient_core.backend import Backend, current_backend
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.fold import LetterEffect, Placed
from sentient_core.store.protocols import LARGEST_RECORD
from sentient_core.store.records import DeadLetterRecord, Event, Published
from sentient_core.store.retention import Pruned, Removed, Retention, cutoffs, held_by
from sentient_core.store.streams import (
    EventPage,
    Mark,
    Place,
    Span,
    StreamHead,
    Subscriber,
    external_stream,
    in_order,
)
from sentient_core.store.views import nanoseconds

__all__ = ["MemoryStreams"]


class _Rows(Protocol):
    """Of a system, what a stream reads."""

    number: int
    pruned: Place
    letters: dict[str, LetterEffect]

    @property
    def events(self) -> deque[Placed[Event]]: ...

    def prune_events(self, before: int, limit: int | None, held: int) -> Removed: ...


class MemoryStreams:
    """See `EventStreams`. Made by `MemoryStore`; `read` gives the rows of a stream, settled."""

    def __init__(
        self, read: Callable[[str], Awaitable[_Rows]], check_up: Callable[[], None], keep_events: int
    ) -> None:
        self.largest_event: int = LARGEST_RECORD
        self._read_system = read
        self._check_up = check_up
        self._keep_events = keep_events
        self._subscribers: dict[tuple[str, str], Subscriber] = {}
        self._watches: list[_Watch] = []

    @property
    def is_watched(self) -> bool:
        """Somebody wants to know when rows come."""
        return bool(self._watches)

    def moved(self) -> None:
        """Rows of some stream may have come."""
        for watch in tuple(self._watches):
            watch.tell()

    async def append(self, stream: str, events: Sequence[Published]) -> int:
        """See `EventStreams.append`. While the store is paused, StoreUnavailable at once."""
        rows = await self._rows(stream)
        rows.number += 1
        for index, event in enumerate(events):
            if len(rows.events) == self._keep_events and rows.events:
                rows.pruned = rows.events[0].position
            rows.events.append(Placed(rows.number, index, 0, event))
        self.moved()
        return rows.number

    async def heads(self, streams: Sequence[str]) -> Mapping[str, StreamHead]:
        """See `EventStreams.heads`."""
        found = {stream: await self._rows(stream) for stream in streams}
        return {stream: StreamHead(rows.number) for stream, rows in found.items()}

    async def after(
        self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
    ) -> EventPage:
        """See `EventStreams.after`."""
        rows = await self._rows(stream)
        newest_first: list[Placed[Event]] = []
        for placed in reversed(rows.events):
            if placed.position <= place:
                break
            if placed.number <= upto and (types is None or placed.record.event_type in types):
                newest_first.append(placed)
        events = newest_first[: -limit - 1 : -1]
        reached = events[-1].position if len(events) == limit else Span(upto=(upto, Span().upto[1])).upto
        return EventPage(events, reached, rows.pruned)

    async def history(
        self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
    ) -> list[tuple[str, Placed[Event]]]:
        """See `EventStreams.history`."""
        found: list[tuple[str, Placed[Event]]] = []
        for stream, span in spans.items():
            rows = await self._rows(stream)
            found += [
                (stream, placed)
                for placed in rows.events
                if span.after < placed.position <= span.upto
                and wanted.meets(placed.record)
                and (behind is None or behind.is_before(stream, placed))
            ]
        return in_order(found, is_by_time=wanted.is_by_time, limit=limit)

    async def subscribers(self, system: str) -> list[Subscriber]:
        """See `EventStreams.subscribers`."""
        await self._pass()
        return [one for (of, _), one in sorted(self._subscribers.items()) if of == system]

    async def take_subscriber(
        self, system: str, name: str, owner: str, journal: Place, external: Place
    ) -> Subscriber:
        """See `EventStreams.take_subscriber`."""
        await self._pass()
        now = datetime.now(UTC)
        known = self._subscribers.get((system, name))
        if known is not None:
            journal, external = known.journal, known.external
        taken = self._subscribers[system, name] = Subscriber(
            name=name,
            owner=owner,
            journal=journal,
            external=external,
            since=now if known is None else known.since,
            seen_at=now,
        )
        return taken

    async def acknowledge(self, system: str, name: str, owner: str, journal: Place, external: Place) -> bool:
        """See `EventStreams.acknowledge`."""
        await self._pass()
        known = self._subscribers.get((system, name))
        if known is None or known.owner != owner:
            return False
        self._subscribers[system, name] = Subscriber(
            name=name,
            owner=owner,
            journal=max(known.journal, journal),
            external=max(known.external, external),
            since=known.since,
            seen_at=datetime.now(UTC),
        )
        return True

    async def forget_subscriber(self, system: str, name: str) -> bool:
        """See `EventStreams.forget_subscriber`."""
        await self._pass()
        return self._subscribers.pop((system, name), None) is not None

    async def prune(self, system: str, retention: Retention, *, is_paced: bool = False) -> Pruned:
        """See `EventStreams.prune`."""
        now = time.time_ns()
        _, held = self.held(system, retention, now)
        rows = await self._rows(external_stream(system))
        gone = rows.prune_events(cutoffs(retention, now).events, retention.events_bytes, held)
        return Pruned(events=gone)

    async def add_dead_letter(self, stream: str, message_id: str, letter: DeadLetterRecord) -> None:
        """See `EventStreams.add_dead_letter`."""
        rows = await self._rows(stream)
        rows.letters.setdefault(message_id, LetterEffect(death=Placed(0, 0, 0, letter), attempts=1))

    async def watch(self, on_move: Callable[[], None], streams: Collection[str], *, live: bool) -> _Watch:
        """See `EventStreams.watch`."""
        await current_backend().checkpoint()
        watch = _Watch(self._watches, current_backend(), on_move)
        self._watches.append(watch)
        return watch

    def held(self, system: str, retention: Retention, now: int) -> tuple[int, int]:
        """Of both streams, the last number that no named subscriber wants something of any more."""
        of_system = [one for (of, _), one in self._subscribers.items() if of == system]
        return held_by(
            ((one.journal, one.external, nanoseconds(one.seen_at)) for one in of_system), retention, now
        )

    async def _rows(self, stream: str) -> _Rows:
        self._check_up()
        return await self._read_system(stream)

    async def _pass(self) -> None:
        await current_backend().checkpoint()
        self._check_up()


class _Watch:
    """See `Watch`."""

    def __init__(self, watches: list[_Watch], backend: Backend, on_move: Callable[[], None]) -> None:
        self._watches = watches
        self._backend = backend
        self._on_move = on_move
        self._is_told = False

    @property
    def misses_nothing(self) -> bool:
        return True

    def tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._backend.call_soon(self._tell)

    def _tell(self) -> None:
        self._is_told = False
        if self in self._watches:
            self._on_move()

    async def close(self) -> None:
        if self in self._watches:
            self._watches.remove(self)
        await current_backend().checkpoint()
