"""Streams of two stores in one: what is published is in memory, all else where it is (EVENT_BUS_BACKEND)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sentient_core.config import Settings, StorageBackend
from sentient_core.store import MemoryStore
from sentient_core.store.streams import EventStreams, Mark, Place, Span, StreamHead, in_order, is_external

if TYPE_CHECKING:
    from sentient_core.store.event_filter import EventFilter
    from sentient_core.store.fold import Placed
    from sentient_core.store.protocols import Store
    from sentient_core.store.records import DeadLetterRecord, Event, Published
    from sentient_core.store.retention import Pruned, Retention
    from sentient_core.store.streams import EventPage, Subscriber, Watch

__all__ = ["SplitStreams", "streams_of"]


def streams_of(store: Store, settings: Settings, *, shared: object = None) -> EventStreams:
    """The events of a store as the settings want them kept.

    With what is published in memory, all who are to see it share these; `shared` may be who has them already.
    """
    if settings.event_bus_backend is StorageBackend.SURREALDB:
        return store.event_streams
    found = getattr(shared, "event_streams", None)
    return found if isinstance(found, SplitStreams) else SplitStreams(store, MemoryStore())


class SplitStreams:
    """See `EventStreams`. External streams, and how far named subscribers are, belong to `published`.

    So nothing that is published outlasts the process, and a named subscriber of the next one begins anew.
    Dead letters of events go into the store, where people look for them.
    """

    def __init__(self, stored: Store, published: Store) -> None:
        self._stored: EventStreams = stored.event_streams
        self._published: EventStreams = published.event_streams

    @property
    def largest_event(self) -> int:
        """See `EventStreams.largest_event`."""
        return min(self._stored.largest_event, self._published.largest_event)

    async def append(self, stream: str, events: Sequence[Published]) -> int:
        """See `EventStreams.append`."""
        return await self._of(stream).append(stream, events)

    async def heads(self, streams: Sequence[str]) -> Mapping[str, StreamHead]:
        """See `EventStreams.heads`."""
        found: dict[str, StreamHead] = {}
        for of, names in self._by_store(streams):
            found |= await of.heads(names)
        return found

    async def after(
        self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
    ) -> EventPage:
        """See `EventStreams.after`."""
        return await self._of(stream).after(stream, place, upto, types=types, limit=limit)

    async def history(
        self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
    ) -> list[tuple[str, Placed[Event]]]:
        """See `EventStreams.history`."""
        found: list[tuple[str, Placed[Event]]] = []
        for of, names in self._by_store(list(spans)):
            found += await of.history({name: spans[name] for name in names}, wanted, limit, behind)
        return in_order(found, is_by_time=wanted.is_by_time, limit=limit)

    async def subscribers(self, system: str) -> list[Subscriber]:
        """See `EventStreams.subscribers`."""
        return await self._published.subscribers(system)

    async def take_subscriber(
        self, system: str, name: str, owner: str, journal: Place, external: Place
    ) -> Subscriber:
        """See `EventStreams.take_subscriber`."""
        return await self._published.take_subscriber(system, name, owner, journal, external)

    async def acknowledge(self, system: str, name: str, owner: str, journal: Place, external: Place) -> bool:
        """See `EventStreams.acknowledge`."""
        return await self._published.acknowledge(system, name, owner, journal, external)

    async def forget_subscriber(self, system: str, name: str) -> bool:
        """See `EventStreams.forget_subscriber`."""
        return await self._published.forget_subscriber(system, name)

    async def prune(self, system: str, retention: Retention, *, is_paced: bool = False) -> Pruned:
        """See `EventStreams.prune`."""
        return await self._published.prune(system, retention, is_paced=is_paced)

    async def add_dead_letter(self, stream: str, message_id: str, letter: DeadLetterRecord) -> None:
        """See `EventStreams.add_dead_letter`."""
        await self._stored.add_dead_letter(stream, message_id, letter)

    async def watch(self, on_move: Callable[[], None], streams: Collection[str], *, live: bool) -> Watch:
        """See `EventStreams.watch`."""
        stored = await self._stored.watch(on_move, streams, live=live)
        try:
            return _Both(stored, await self._published.watch(on_move, streams, live=live))
        except BaseException:
            await stored.close()
            raise

    def _of(self, stream: str) -> EventStreams:
        return self._published if is_external(stream) else self._stored

    def _by_store(self, streams: Sequence[str]) -> list[tuple[EventStreams, list[str]]]:
        external = [stream for stream in streams if is_external(stream)]
        others = [stream for stream in streams if not is_external(stream)]
        both = ((self._stored, others), (self._published, external))
        return [(of, names) for of, names in both if names]


class _Both:
    """See `Watch`."""

    def __init__(self, first: Watch, second: Watch) -> None:
        self._first = first
        self._second = second

    @property
    def misses_nothing(self) -> bool:
        return self._first.misses_nothing and self._second.misses_nothing

    async def close(self) -> None:
        try:
            await self._first.close()
        finally:
            await self._second.close()
