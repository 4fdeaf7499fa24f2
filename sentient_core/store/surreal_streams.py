"""The event streams of a database: rows by commit; the newest by an index; who follows under a name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import anyio

from sentient_core.backend import Backend, current_backend
from sentient_core.errors import StoreUnavailable
from sentient_core.logs import runtime_log
from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.event_history import newest_events
from sentient_core.store.external import ExternalWriter
from sentient_core.store.fold import LetterEffect, Placed
from sentient_core.store.live import LiveQuery
from sentient_core.store.protocols import JournalOptions
from sentient_core.store.pruning import Pruner
from sentient_core.store.records import DeadLetterRecord, Event, Published
from sentient_core.store.retention import Pruned, Retention
from sentient_core.store.rows import RowEncoder, read_placed
from sentient_core.store.streams import END, EventPage, Mark, Place, Span, StreamHead, Subscriber
from sentient_core.store.wire import array, bindable, read_plain, record_id

__all__ = ["Ask", "SurrealStreams"]

T = TypeVar("T")

# Every range is bounded: an open one runs to the end of the table.
AFTER = """SELECT * FROM agent_event:[$stream, $number, $index]..=[$stream, $last, []]{where}
    ORDER BY id LIMIT $limit"""
# In this order: what is deleted between the two is told of.
_PRUNED = "SELECT VALUE reached FROM $pruned"
_HEADS = "SELECT id, projected FROM $owners"
SUBSCRIBERS = "SELECT * FROM subscriber:[$system, '']..=[$system, []]"
_TAKE = """BEGIN;
LET $known = (SELECT VALUE since FROM ONLY $row);
IF $known = NONE {
    CREATE $row SET owner = $owner, journal = $journal, external = $external, since = $now, seen_at = $now
        RETURN NONE;
} ELSE {
    UPDATE $row SET owner = $owner, seen_at = $now RETURN NONE;
};
COMMIT;"""
_FIND = "SELECT * FROM $row"
# One that was given up may be done behind the one that came after it.
_ACKNOWLEDGE = """UPDATE $row SET journal = IF journal > $journal THEN journal ELSE $journal END,
    external = IF external > $external THEN external ELSE $external END, seen_at = $now
    WHERE owner = $owner RETURN VALUE owner"""
_FORGET = "DELETE $row RETURN BEFORE"
_LETTER = "INSERT IGNORE INTO dead_letter $rows RETURN NONE"

_FIRST_SPAN = 16
_MOST_SPAN = 16_384
_QUICK_SECONDS = 0.01
"""A range that was read in less may be followed by one of twice as many commits."""


class Ask(Protocol):
    """Runs a coroutine function on the store's thread, with the open engine."""

    async def __call__(self, question: Callable[[Engine], Coroutine[Any, Any, T]], /) -> T: ...


class SurrealStreams:
    """See `EventStreams`. Made by `SurrealStore`; its questions run on the store's thread."""

    def __init__(self, ask: Ask, run: Ask, batch_rows: int, largest_event: int, *, is_shared: bool) -> None:
        self.largest_event: int = largest_event
        self._ask = ask
        self._run = run
        self._batch_rows = batch_rows
        self._is_shared = is_shared
        self._spans: dict[str, int] = {}
        self._writers: dict[str, ExternalWriter] = {}
        self._writers_engine: Engine | None = None
        self._pruners: dict[str, Pruner] = {}
        self._pruners_engine: Engine | None = None
        self._watches: set[_Watch] = set()
        self._live: LiveQuery | None = None
        self._live_engine: Engine | None = None

    def moved(self) -> None:
        """Rows of some stream may have come. From any thread."""
        for watch in tuple(self._watches):
            watch.tell()

    async def append(self, stream: str, events: Sequence[Published]) -> int:
        """See `EventStreams.append`."""
        number = await self._run(lambda engine: self._writer(engine, stream).append(events))
        self.moved()
        return number

    async def heads(self, streams: Sequence[str]) -> Mapping[str, StreamHead]:
        """See `EventStreams.heads`."""
        parameters = {"owners": [record_id("ownership", stream) for stream in streams]}
        (owners,) = await self._ask(lambda engine: engine.query(_HEADS, parameters))
        numbers = {row["id"].key[0]: int(row["projected"] or 0) for row in owners}
        return {stream: StreamHead(numbers.get(stream, 0)) for stream in streams}

    async def after(
        self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
    ) -> EventPage:
        """See `EventStreams.after`. A range is read as a whole, so it grows while there is little in it."""
        return await self._ask(lambda engine: self._after(engine, stream, place, upto, types, limit))

    async def history(
        self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
    ) -> list[tuple[str, Placed[Event]]]:
        """See `EventStreams.history`."""
        return await self._ask(lambda engine: newest_events(engine, spans, wanted, limit, behind))

    async def subscribers(self, system: str) -> list[Subscriber]:
        """See `EventStreams.subscribers`."""
        (rows,) = await self._ask(
            lambda engine: engine.query(SUBSCRIBERS, {"system": system}, read=read_plain)
        )
        return sorted(map(_subscriber, rows), key=lambda subscriber: subscriber.name)

    async def take_subscriber(
        self, system: str, name: str, owner: str, journal: Place, external: Place
    ) -> Subscriber:
        """See `EventStreams.take_subscriber`."""
        row = record_id("subscriber", system, name)
        parameters: dict[str, object] = {
            "row": row,
            "owner": owner,
            "journal": list(journal),
            "external": list(external),
            "now": bindable(datetime.now(UTC)),
        }

        async def take(engine: Engine) -> Any:
            await engine.query(_TAKE, parameters, rows=1)
            return await engine.query(_FIND, {"row": row}, read=read_plain)

        (rows,) = await self._ask(take)
        return _subscriber(rows[0])

    async def acknowledge(self, system: str, name: str, owner: str, journal: Place, external: Place) -> bool:
        """See `EventStreams.acknowledge`."""
        parameters: dict[str, object] = {
            "row": record_id("subscriber", system, name),
            "owner": owner,
            "journal": list(journal),
            "external": list(external),
            "now": bindable(datetime.now(UTC)),
        }
        (owners,) = await self._ask(lambda engine: engine.query(_ACKNOWLEDGE, parameters, rows=1))
        return bool(owners)

    async def forget_subscriber(self, system: str, name: str) -> bool:
        """See `EventStreams.forget_subscriber`."""
        row = record_id("subscriber", system, name)
        (gone,) = await self._ask(lambda engine: engine.query(_FORGET, {"row": row}, rows=1))
        return bool(gone)

    async def prune(self, system: str, retention: Retention, *, is_paced: bool = False) -> Pruned:
        """See `EventStreams.prune`. On the store thread."""

        async def sweep(engine: Engine) -> Pruned:
            pruner = self._pruner(engine, system)
            return Pruned(events=await pruner.sweep_published(retention, time.time_ns(), is_paced=is_paced))

        return await self._ask(sweep)

    async def add_dead_letter(self, stream: str, message_id: str, letter: DeadLetterRecord) -> None:
        """See `EventStreams.add_dead_letter`."""
        death = Placed(0, 0, 0, letter)
        row = RowEncoder(stream).dead_letter(message_id, LetterEffect(death=death, attempts=1), death)
        await self._ask(lambda engine: engine.query(_LETTER, {"rows": array([row])}, indexed_rows=1))

    def is_watched(self, stream: str) -> bool:
        """Somebody of this process reads its events from rows. From any thread."""
        return any(stream in watch.streams for watch in tuple(self._watches))

    async def watch(self, on_move: Callable[[], None], streams: Collection[str], *, live: bool) -> _Watch:
        """See `EventStreams.watch`."""
        is_live = live and self._is_shared
        watch = _Watch(self, current_backend(), on_move, frozenset(streams), is_live=is_live)
        self._watches.add(watch)
        try:
            if watch.is_live:
                await self._run(self._go_live)
            else:
                await current_backend().checkpoint()
        except BaseException:
            with anyio.CancelScope(shield=True):  # nobody has it who could close it
                await watch.close()
            raise
        return watch

    def misses_nothing(self, watch: _Watch) -> bool:
        """Whatever moves is told to this watch."""
        return not self._is_shared or (watch.is_live and self._live is not None and self._live.is_live)

    async def leave(self, watch: _Watch) -> None:
        """A watch is closed."""
        self._watches.discard(watch)
        if self._live is None or any(other.is_live for other in self._watches):
            await current_backend().checkpoint()
            return
        live, self._live = self._live, None
        engine = self._live_engine
        if engine is None:
            return
        with anyio.CancelScope(shield=True):
            with suppress(StoreUnavailable):  # the store was closed, and the connection with it
                await engine.thread.run(live.stop)

    async def _go_live(self, engine: Engine) -> None:
        if self._live is None or self._live_engine is not engine:
            self._live_engine = engine
            self._live = LiveQuery(engine, self.moved)
            await self._live.start()
        else:
            await self._live.tried()
        if not any(watch.is_live for watch in tuple(self._watches)):  # who wanted it has gone meanwhile
            await self._end_live()

    async def _end_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            await live.stop()

    def _writer(self, engine: Engine, stream: str) -> ExternalWriter:
        if self._writers_engine is not engine:
            self._writers_engine = engine
            self._writers.clear()
        if stream not in self._writers:
            self._writers[stream] = ExternalWriter(engine, stream, batch_rows=self._batch_rows)
        return self._writers[stream]

    def _pruner(self, engine: Engine, system: str) -> Pruner:
        """It knows what it has looked at."""
        if self._pruners_engine is not engine:
            self._pruners_engine = engine
            self._pruners.clear()
        if system not in self._pruners:
            patience = JournalOptions().call_timeout
            self._pruners[system] = Pruner(engine, system, None, patience, runtime_log(system))
        return self._pruners[system]

    async def _after(
        self,
        engine: Engine,
        stream: str,
        place: Place,
        upto: int,
        types: Collection[str] | None,
        limit: int,
    ) -> EventPage:
        where = "" if types is None else " WHERE event_type IN $types"
        found: list[Placed[Event]] = []
        pruned: Place = (0, 0)
        number, index = place
        while number <= upto and len(found) < limit:
            if index >= END:
                number, index = number + 1, -1
                continue
            span = self._spans.get(stream, _FIRST_SPAN)
            last = min(number + span - 1, upto)
            left = limit - len(found)
            began = time.monotonic()
            rows, gone = await engine.query(
                f"{AFTER.format(where=where)};\n{_PRUNED}",
                {
                    "stream": stream,
                    "number": number,
                    "index": index + 1,
                    "last": last,
                    "types": [] if types is None else list(types),
                    "limit": left,
                    "pruned": record_id("pruned", stream, "agent_event"),
                },
                read=read_plain,
            )
            pruned = max((pruned, *(_place(one) for one in gone if one)))
            took = time.monotonic() - began
            found += map(read_placed, rows)
            if len(rows) == left:
                number, index = found[-1].position
                self._spans[stream] = max(1, span // 2) if took > _QUICK_SECONDS else span
                break
            number, index = last, END
            if took < _QUICK_SECONDS:
                self._spans[stream] = min(2 * span, _MOST_SPAN)
            await asyncio.sleep(0)
        return EventPage(found, (min(number, upto), index) if number <= upto else (upto, END), pruned)


class _Watch:
    """See `Watch`."""

    def __init__(
        self,
        home: SurrealStreams,
        backend: Backend,
        on_move: Callable[[], None],
        streams: frozenset[str],
        *,
        is_live: bool,
    ) -> None:
        self.streams: frozenset[str] = streams
        self._home = home
        self._backend = backend
        self._on_move = on_move
        self._is_open = True
        self.is_live = is_live

    @property
    def misses_nothing(self) -> bool:
        return self._home.misses_nothing(self)

    def tell(self) -> None:
        try:
            self._backend.call_threadsafe(self._told)
        except RuntimeError:  # its loop has ended
            self._is_open = False

    def _told(self) -> None:
        if self._is_open:
            self._on_move()

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._home.leave(self)


def _place(found: Sequence[int]) -> Place:
    number, index = found
    return (int(number), int(index))


def _subscriber(row: Mapping[str, Any]) -> Subscriber:
    return Subscriber(
        name=row["id"].key[1],
        owner=row["owner"],
        journal=_place(row["journal"]),
        external=_place(row["external"]),
        since=row["since"],
        seen_at=row["seen_at"],
    )
