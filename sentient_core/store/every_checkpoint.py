"""Every checkpoint that a store holds, page by page: those in the journals' tails, then the rows.

A page holds about `PAGE_BYTES` of states, or one state that is larger. Nothing is paged by START, which
reads what it skips again for every page: a tail goes by ranges of numbers, the rows along their index on
paths, and what is in them is read by ids, once the sizes are known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from sentient_core.errors import StoreError
from sentient_core.store.deltas import whole
from sentient_core.store.engine import Engine
from sentient_core.store.records import AgentStatus, AnyRecord, Checkpoint, CheckpointKind, Forgotten, flat
from sentient_core.store.row_tables import SHAPES, RowTable
from sentient_core.store.rows import DELTA_PLACE, STATE_PLACE, read_checkpoint, whole_row
from sentient_core.store.tail import decode_entry
from sentient_core.store.wire import RecordId, array, record_id, value

__all__ = ["CheckpointReader", "StoredCheckpoint"]

_NAMED = SHAPES[RowTable.STATE_CHECKPOINT].mark
PAGE_BYTES = 4 * 1024 * 1024
_PAGE_ROWS = 500
_SPAN = 1_000
_TIMEOUT = 600.0

# Every range is bounded: an open one runs to the end of the table.
_PROJECTED = """SELECT VALUE projected FROM $owner;
SELECT VALUE id FROM ownership:[$system, '']..=[$system, []] WHERE is_forgotten"""
_ENTRIES = "SELECT id, bytes::len(body) AS size FROM journal:[$system, $first]..=[$system, $last]"
# Of a range on the first field of an index on several, this alone is answered rightly: with another
# condition, rows of `$after` come again, and an upper bound that is included is left out (core 3.2.4).
_SIZES = (
    "SELECT id, agent_id, bytes::len(state) AS size FROM state_checkpoint WITH INDEX checkpoint_agent_idx"
)
_NEXT = f"{_SIZES} WHERE agent_id > $after ORDER BY agent_id LIMIT $rows"
_OF_PATH = f"{_SIZES} WHERE agent_id = $path"
_COUNT = "SELECT count() FROM state_checkpoint GROUP ALL"
_READ = "SELECT * FROM $ids"
_KINDS = "SELECT id, kind FROM $ids"


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """One checkpoint and what is known of its actor."""

    system: str
    path: str
    checkpoint_id: str
    kind: str | None
    """Of the actor: the tag of the class that has lived there last; None: no row says it."""
    checkpoint: Checkpoint | None
    """None: it cannot be read."""
    why_not: str = ""


class CheckpointReader:
    """Reads a database at rest, from its beginning to its end. Lives on the store thread."""

    def __init__(self, engine: Engine, systems: Collection[str]) -> None:
        self._engine = engine
        self._systems = systems
        """Those that are wanted."""
        self._kinds: dict[tuple[str, str], str] = {}
        """By system and path, of the tails, which know better than the rows."""
        self._forgotten: dict[tuple[str, str], tuple[int, int]] = {}
        """Actors of which nothing counts that was stored before this place in the journal."""
        self._states: dict[tuple[str, str], tuple[int, int]] = {}
        """By system and path, where the last state is that a tail has whole."""
        self._deltas: dict[tuple[str, str], tuple[int, int]] = {}
        """And where the last delta is behind it, or to the state in the rows."""
        self._pages = self._read()

    async def page(self) -> Sequence[StoredCheckpoint]:
        """The next of them; empty: there are no more."""
        async for page in self._pages:
            return page
        return []

    async def _read(self) -> AsyncIterator[list[StoredCheckpoint]]:
        for system in self._systems:
            async for page in self._tail(system):
                if page:
                    yield page
        async for page in self._rows():
            if page:
                yield page

    async def _tail(self, system: str) -> AsyncIterator[list[StoredCheckpoint]]:
        found, gone = await self._engine.query(
            _PROJECTED, {"system": system, "owner": record_id("ownership", system)}, timeout=_TIMEOUT
        )
        first = int(found[0] if found else 0) + 1
        self._forgotten.update({(system, id_.key[1]): (first, 0) for id_ in gone})
        async for number, records in self._entries(system, first):
            for index, record in enumerate(records if isinstance(records, list) else ()):
                self._note(system, record, (number, index))
        async for number, records in self._entries(system, first):
            if isinstance(records, list):
                yield list(self._in_entry(system, number, records))
                for index, record in enumerate(records):
                    if isinstance(record, Checkpoint) and (number, index) == self._deltas.get(
                        (system, record.path)
                    ):
                        yield [await self._with_delta(system, record)]
            else:
                why = f"the journal entry {number}, with all that is in it, cannot be read: {records}"
                yield [StoredCheckpoint(system, "", "", None, None, why)]

    async def _entries(
        self, system: str, first: int
    ) -> AsyncIterator[tuple[int, list[AnyRecord] | Exception]]:
        """What is behind `projected`, entry by entry, in order."""
        while entries := await self._query(_ENTRIES, system=system, first=first, last=first + _SPAN - 1):
            for ids in _batches(entries):
                for row in await self._by_id(ids):
                    try:
                        records = list(flat(decode_entry(row["body"]).records))
                    except (msgspec.DecodeError, ValueError) as error:
                        yield row["id"].key[1], error
                    else:
                        yield row["id"].key[1], records
            first += _SPAN

    def _in_entry(self, system: str, number: int, records: list[AnyRecord]) -> Iterator[StoredCheckpoint]:
        for index, record in enumerate(records):
            if isinstance(record, AgentStatus):
                self._kinds[system, record.path] = record.kind
            elif isinstance(record, Checkpoint) and record.kind is not CheckpointKind.DELTA:
                actor = system, record.path
                if (number, index) > self._forgotten.get(actor, (0, 0)):
                    yield StoredCheckpoint(*actor, record.checkpoint_id, self._kinds.get(actor), record)

    def _note(self, system: str, record: AnyRecord, place: tuple[int, int]) -> None:
        if isinstance(record, Forgotten):
            self._forgotten[system, record.path] = place
            self._states.pop((system, record.path), None)
            self._deltas.pop((system, record.path), None)
        elif isinstance(record, Checkpoint) and record.kind is CheckpointKind.STATE:
            self._states[system, record.path] = place
            self._deltas.pop((system, record.path), None)
        elif isinstance(record, Checkpoint) and record.kind is CheckpointKind.DELTA:
            self._deltas[system, record.path] = place

    async def _with_delta(self, system: str, delta: Checkpoint) -> StoredCheckpoint:
        """The last state of an actor, which is whole earlier in the tail, or in its row."""
        actor = system, delta.path
        place = self._states.get(actor)
        found: object = None
        if place is None:
            rows = await self._by_id([RecordId("state_checkpoint", [*actor, *STATE_PLACE])])
            found = _of_row(rows[0], None, {}).checkpoint if rows else None
        else:
            (entry,) = await self._by_id([RecordId("journal", [system, place[0]])])
            found = list(flat(decode_entry(entry["body"]).records))[place[1]]
        state = whole(found if isinstance(found, Checkpoint) else None, delta)
        return StoredCheckpoint(*actor, delta.checkpoint_id, self._kinds.get(actor), state)

    async def _rows(self) -> AsyncIterator[list[StoredCheckpoint]]:
        after, seen = "", 0
        while rows := await self._query(_NEXT, after=after, rows=_PAGE_ROWS):
            last = rows[-1]["agent_id"]
            if len(rows) == _PAGE_ROWS:  # there may be more of the last path
                others = [row for row in rows if row["agent_id"] != last]
                rows = others or await self._query(_OF_PATH, path=last)
            if rows[0]["agent_id"] <= after:
                raise StoreError(f"the database does not get past the checkpoints of '{after}'")
            after = rows[-1]["agent_id"]
            seen += len(rows)
            wanted = [
                row
                for row in rows
                if row["id"].key[0] in self._systems
                and _actor(row) not in self._forgotten
                and (row["size"] or row["id"].key[2] != _NAMED)  # written as a row, without a state
            ]
            kinds = await self._kinds_of({_actor(row) for row in wanted})
            states = {_actor(row) for row in wanted if _place(row) == STATE_PLACE}
            # A delta is read with the state that it belongs to.
            deltas = {
                _actor(row): row["id"]
                for row in wanted
                if _place(row) == DELTA_PLACE and _actor(row) in states
            }
            for ids in _batches(row for row in wanted if row["id"] != deltas.get(_actor(row))):
                found = await self._by_id(ids)
                actors = [_actor(row) for row in found if _place(row) == STATE_PLACE]
                since = await self._by_id([deltas[actor] for actor in actors if actor in deltas])
                by_actor = {_actor(row): row for row in since}
                yield [
                    _of_row(row, by_actor.get(_actor(row)) if _place(row) == STATE_PLACE else None, kinds)
                    for row in found
                ]
        counts = await self._query(_COUNT)
        missed = (int(counts[0]["count"]) if counts else 0) - seen
        if missed:
            why = f"{missed} rows are not found by a path: their agent_id was changed by hand"
            yield [StoredCheckpoint("", "", "", None, None, why)]

    async def _kinds_of(self, actors: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        ids = array([value(record_id("agent_state", *actor)) for actor in actors])
        rows = await self._query(_KINDS, ids=ids)
        known = {_actor(row): row["kind"] for row in rows}
        return known | {actor: self._kinds[actor] for actor in actors if actor in self._kinds}

    async def _by_id(self, ids: Sequence[RecordId]) -> list[dict[str, Any]]:
        return await self._query(_READ, ids=array([value(record_id(id_.table, *id_.key)) for id_ in ids]))

    async def _query(self, sql: str, **parameters: object) -> list[dict[str, Any]]:
        results = await self._engine.query(sql, parameters, timeout=_TIMEOUT)
        return cast("list[dict[str, Any]]", results[0])


def _of_row(
    row: Mapping[str, Any], delta: Mapping[str, Any] | None, kinds: Mapping[tuple[str, str], str]
) -> StoredCheckpoint:
    actor = _actor(row)
    kind = kinds.get(actor)
    try:
        checkpoint = read_checkpoint(whole_row(row, delta) or row)
    except Exception as error:  # noqa: BLE001 - whatever somebody has made of the row
        why = f"its row cannot be read: {error}"
        return StoredCheckpoint(*actor, str(row.get("checkpoint_id")), kind, None, why)
    return StoredCheckpoint(*actor, checkpoint.checkpoint_id, kind, checkpoint)


def _actor(row: Mapping[str, Any]) -> tuple[str, str]:
    """System and path."""
    system, path = row["id"].key[:2]
    return system, path


def _place(row: Mapping[str, Any]) -> tuple[object, ...]:
    """In the id, behind them."""
    return tuple(row["id"].key[2:])


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[RecordId]]:
    batch: list[RecordId] = []
    size = 0
    for row in rows:
        if batch and (size + row["size"] > PAGE_BYTES or len(batch) >= _PAGE_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(row["id"])
        size += row["size"]
    if batch:
        yield batch
