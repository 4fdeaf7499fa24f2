"""Every checkpoint that is stored of a system, page by page: those in the journal's tail, then the rows.

A page holds about `PAGE_BYTES` of states, or one state that is larger. Nothing is paged by LIMIT and START,
which reads what it skips again for every page: the tail goes by ranges of numbers, rows by ranges of paths
along their index, and what is in one is read by ids, once their sizes are known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from sentient_core.store.engine import Engine
from sentient_core.store.records import AgentStatus, Checkpoint
from sentient_core.store.rows import read_checkpoint
from sentient_core.store.tail import decode_entry
from sentient_core.store.wire import RecordId, array, record_id, value

__all__ = ["CheckpointReader", "StoredCheckpoint"]

PAGE_BYTES = 4 * 1024 * 1024
_PAGE_ROWS = 500
_SPAN = 1_000
_TIMEOUT = 600.0

# Every range is bounded: an open one runs to the end of the table.
_PROJECTED = "SELECT VALUE projected FROM $owner"
_ENTRIES = "SELECT id, bytes::len(body) AS size FROM journal:[$system, $first]..=[$system, $last]"
_WITH_INDEX = "FROM state_checkpoint WITH INDEX checkpoint_agent_idx"
_PATHS = f"""SELECT VALUE agent_id {_WITH_INDEX} WHERE agent_id > $after AND id[0] = $system
    ORDER BY agent_id LIMIT $rows"""
_ROWS = f"""SELECT id, bytes::len(state) AS size {_WITH_INDEX}
    WHERE agent_id > $after AND agent_id <= $last AND id[0] = $system ORDER BY agent_id"""
_COUNT = "SELECT count() FROM state_checkpoint:[$system, '']..=[$system, []] GROUP ALL"
_READ = "SELECT * FROM $ids"
_KINDS = "SELECT agent_id, kind FROM $ids"


class StoredCheckpoint(msgspec.Struct, frozen=True):
    """One checkpoint and what is known of its actor."""

    path: str
    checkpoint_id: str
    kind: str | None
    """Of the actor: the tag of the class that has lived there last; None: no row says it."""
    checkpoint: Checkpoint | None
    """None: it cannot be read."""
    why_not: str = ""


class CheckpointReader:
    """Reads one system of a database at rest, from its beginning to its end. Lives on the store thread."""

    def __init__(self, engine: Engine, system: str) -> None:
        self._engine = engine
        self._system = system
        self._kinds: dict[str, str] = {}
        """By path, of the tail, which knows better than the rows."""
        self._pages = self._read()

    async def page(self) -> Sequence[StoredCheckpoint]:
        """The next of them; empty: there are no more."""
        return await anext(self._pages, ())

    async def _read(self) -> AsyncIterator[list[StoredCheckpoint]]:
        async for page in self._tail():
            if page:
                yield page
        async for page in self._rows():
            if page:
                yield page

    async def _tail(self) -> AsyncIterator[list[StoredCheckpoint]]:
        found = await self._query(_PROJECTED, owner=record_id("ownership", self._system))
        first = (int(found[0]) if found else 0) + 1
        while entries := await self._query(_ENTRIES, first=first, last=first + _SPAN - 1):
            for ids in _batches(entries):
                yield [stored for row in await self._by_id(ids) for stored in self._of_entry(row)]
            first += _SPAN

    def _of_entry(self, row: dict[str, Any]) -> Iterator[StoredCheckpoint]:
        try:
            records = decode_entry(row["body"]).records
        except (msgspec.DecodeError, ValueError) as error:
            why = f"the journal entry {row['id'].key[1]}, with all that is in it, cannot be read: {error}"
            yield StoredCheckpoint("", "", None, None, why)
            return
        for record in records:
            if isinstance(record, AgentStatus):
                self._kinds[record.path] = record.kind
            elif isinstance(record, Checkpoint):
                kind = self._kinds.get(record.path)
                yield StoredCheckpoint(record.path, record.checkpoint_id, kind, record)

    async def _rows(self) -> AsyncIterator[list[StoredCheckpoint]]:
        after, seen = "", 0
        while paths := await self._query(_PATHS, after=after, rows=_PAGE_ROWS):
            last = paths[-1]
            kinds = await self._kinds_of(set(paths))
            for ids in _batches(await self._query(_ROWS, after=after, last=last)):
                rows = await self._by_id(ids)
                seen += len(rows)
                yield [_of_row(row, kinds) for row in rows]
            after = last
        counts = await self._query(_COUNT)
        missed = (int(counts[0]["count"]) if counts else 0) - seen
        if missed:
            why = f"{missed} rows were changed by hand, and are not found: their agent_id is not their own"
            yield [StoredCheckpoint("", "", None, None, why)]

    async def _kinds_of(self, paths: Iterable[str]) -> dict[str, str]:
        ids = array([value(record_id("agent_state", self._system, path)) for path in paths])
        rows = await self._query(_KINDS, ids=ids)
        return {row["agent_id"]: row["kind"] for row in rows} | self._kinds

    async def _by_id(self, ids: Sequence[RecordId]) -> list[dict[str, Any]]:
        return await self._query(_READ, ids=array([value(record_id(id_.table, *id_.key)) for id_ in ids]))

    async def _query(self, sql: str, **parameters: object) -> list[Any]:
        results = await self._engine.query(sql, {"system": self._system} | parameters, timeout=_TIMEOUT)
        return cast("list[Any]", results[0])


def _of_row(row: dict[str, Any], kinds: dict[str, str]) -> StoredCheckpoint:
    path = row["id"].key[1]
    try:
        checkpoint = read_checkpoint(row)
    except Exception as error:  # noqa: BLE001 - whatever somebody has made of the row
        why = f"its row cannot be read: {error}"
        return StoredCheckpoint(path, str(row.get("checkpoint_id")), kinds.get(path), None, why)
    return StoredCheckpoint(path, checkpoint.checkpoint_id, kinds.get(path), checkpoint)


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
