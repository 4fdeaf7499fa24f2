"""Deletes what is due of the rows that people and actors write: what is over, with what belongs to it.

What belongs to a task or a workflow goes first, and its own row last: whenever this is stopped, the rest is
found again. What is not over never goes, whatever the limits say. The audit trail has limits of its own, so
that it says what has become of tasks that are long gone; only forgetting an actor takes that, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sentient_core.store.retention import Cutoffs, Removed, Retention
from sentient_core.store.row_tables import BELONGING, FINAL_STATUSES, RowTable
from sentient_core.store.wire import Encoded, RecordId, moment_tag, record_id

__all__ = ["SIZE", "RowPruner"]

SIZE = "bytes::len(encoding::cbor::encode($this))"
"""The bytes of a row's contents, in a SELECT without GROUP."""

_SUM = f"RETURN math::sum((SELECT VALUE {SIZE} FROM {{table}}:[$system, '']..=[$system, []]))"  # noqa: S608
_OLDEST = """SELECT id, updated_at, time::nano(updated_at) AS at FROM {table} WITH INDEX {index}
    WHERE status = $status AND updated_at < $before AND id[0] = $system ORDER BY updated_at LIMIT $limit"""
_OLDEST_TRAIL = f"""SELECT id, timestamp, {SIZE} AS size FROM status_change WITH INDEX status_change_time_idx
    WHERE timestamp < $before AND id[0] = $system ORDER BY timestamp LIMIT $limit"""  # noqa: S608
_BELONGING = "SELECT VALUE id FROM {table}:[$system{prefix}]..=[$system{prefix}, []] LIMIT $limit"
_OWNED = """SELECT VALUE id FROM {table} WITH INDEX {index} WHERE owner = $path AND id[0] = $system
    LIMIT $limit"""
_EDGES = "SELECT VALUE id FROM $end{way}{table} LIMIT $limit"
_MARKS = "SELECT VALUE id FROM row_write:[$system, '']..[$system, $before] LIMIT $limit"
_IS_OVER = f"status IN {list(FINAL_STATUSES)}"
_AT_ONCE = 5_000
_ROOTS_AT_ONCE = 200
_FOR_EVER = 2**62
_DAY = 86_400_000_000_000
_INDEXES = {RowTable.TASK_EXECUTION: "task_status_idx", RowTable.WORKFLOW_STATE: "workflow_status_idx"}
_OWNERS = {RowTable.TASK_EXECUTION: "task_owner_idx", RowTable.WORKFLOW_STATE: "workflow_owner_idx"}
_COUNTED = (*_INDEXES, RowTable.TASK_ITEM, RowTable.WORKFLOW_STEP, RowTable.WORKFLOW_HISTORY)


class _Work(Protocol):
    """What a `Pruner` lends."""

    @property
    def is_over(self) -> bool: ...

    async def query(self, sql: str, **parameters: object) -> list[Any]: ...

    async def delete(
        self,
        table: str,
        ids: Sequence[RecordId],
        retention: Retention,
        condition: str = ...,
        before: int = ...,
    ) -> Removed: ...


class RowPruner:
    """Prunes the rows of one system. Lives on the store thread."""

    def __init__(self, work: _Work, system: str) -> None:
        self._work = work
        self._system = system

    async def forget(self, path: str, retention: Retention) -> Removed:
        """Delete what an actor has written, and what was written about it."""
        removed = Removed()
        for root, index in _OWNERS.items():
            sql = _OWNED.format(table=root, index=index)
            while not self._work.is_over:
                (ids,) = await self._work.query(sql, path=path, limit=_ROOTS_AT_ONCE)
                if not ids:
                    break
                for id_ in ids:
                    removed += await self._delete_belonging(root, id_, retention, with_trail=True)
                removed += await self._work.delete(root, ids, retention)
        removed += await self._delete_range(RowTable.STATUS_CHANGE, ["agent", path], retention)
        for table in (RowTable.SPAWNED, RowTable.SUPERVISES):
            for way in ("->", "<-"):
                end = record_id(RowTable.AGENT_STATE, self._system, path)
                sql = _EDGES.format(way=way, table=table)
                removed += await self._delete_all(table, sql, retention, end=end)
        return removed

    async def sweep(self, retention: Retention, before: Cutoffs, now: int, *, with_bytes: bool) -> Removed:
        """Delete what is due. With `with_bytes` the limits by bytes count, too, which takes reading all."""
        removed = Removed()
        if before.rows:
            removed += await self._delete_roots(retention, before.rows, _FOR_EVER)
        if with_bytes and retention.rows_bytes is not None:
            excess = await self._size(*_COUNTED) - retention.rows_bytes
            removed += await self._delete_roots(retention, _FOR_EVER, excess)
        if before.trail:
            removed += await self._delete_trail(retention, before.trail, _FOR_EVER)
        if with_bytes and retention.trail_bytes is not None:
            excess = await self._size(RowTable.STATUS_CHANGE) - retention.trail_bytes
            removed += await self._delete_trail(retention, _FOR_EVER, excess)
        marks = await self._delete_all("row_write", _MARKS, retention, before=f"{now - _DAY:020d}")
        return removed + marks

    async def _delete_roots(self, retention: Retention, before: int, excess: int) -> Removed:
        """Delete what was over by then, about the oldest first, until so many bytes are gone."""
        removed = Removed()
        kept: set[str] = set()
        while removed.bytes < excess and not self._work.is_over:
            page = [root for root in await self._oldest(before) if str(root[1]) not in kept]
            if not page:
                break
            for _, id_ in page:
                if removed.bytes >= excess or self._work.is_over:
                    break
                table = RowTable(id_.table)
                removed += await self._delete_belonging(table, id_, retention, with_trail=False)
                condition = f"{_IS_OVER} AND time::nano(updated_at) < $before"
                gone = await self._work.delete(table, [id_], retention, condition, before)
                removed += gone
                if not gone.rows:
                    kept.add(str(id_))
        return removed

    async def _oldest(self, before: int) -> list[tuple[int, RecordId]]:
        """The tasks and workflows that have been over for longest, and since when."""
        found: list[tuple[int, RecordId]] = []
        for table, index in _INDEXES.items():
            for status in FINAL_STATUSES:
                (rows,) = await self._work.query(
                    _OLDEST.format(table=table, index=index),
                    status=status,
                    before=Encoded(moment_tag(min(before, _LATEST))),
                    limit=_ROOTS_AT_ONCE,
                )
                found += [(row["at"], row["id"]) for row in rows if row["at"] < before]
        found.sort(key=lambda root: root[0])
        return found[:_ROOTS_AT_ONCE]

    async def _delete_belonging(
        self, root: RowTable, id_: RecordId, retention: Retention, *, with_trail: bool
    ) -> Removed:
        removed = Removed()
        for table, first in BELONGING[root]:
            if with_trail or table is not RowTable.STATUS_CHANGE:
                removed += await self._delete_range(table, [*first, id_.key[1]], retention)
        return removed

    async def _delete_trail(self, retention: Retention, before: int, excess: int) -> Removed:
        removed = Removed()
        bound = Encoded(moment_tag(min(before, _LATEST)))
        while removed.bytes < excess and not self._work.is_over:
            (rows,) = await self._work.query(_OLDEST_TRAIL, before=bound, limit=retention.batch_rows)
            ids: list[RecordId] = []
            size = removed.bytes
            for row in rows:
                if size >= excess:
                    break
                size += row["size"]
                ids.append(row["id"])
            condition = "time::nano(timestamp) < $before"
            gone = await self._work.delete(RowTable.STATUS_CHANGE, ids, retention, condition, before)
            removed += gone
            if not gone.rows:
                break
        return removed

    async def _delete_range(self, table: RowTable, prefix: Sequence[str], retention: Retention) -> Removed:
        parts = "".join(f", $p{n}" for n in range(len(prefix)))
        sql = _BELONGING.format(table=table, prefix=parts)
        return await self._delete_all(
            table, sql, retention, **{f"p{n}": part for n, part in enumerate(prefix)}
        )

    async def _delete_all(self, table: str, sql: str, retention: Retention, **bound: object) -> Removed:
        removed = Removed()
        while not self._work.is_over:
            (ids,) = await self._work.query(sql, limit=_AT_ONCE, **bound)
            if not ids:
                break
            removed += await self._work.delete(table, ids, retention)
        return removed

    async def _size(self, *tables: RowTable) -> int:
        total = 0
        for table in tables:
            (found,) = await self._work.query(_SUM.format(table=table))
            total += int(found)
        return total


_LATEST = 253_402_300_799_000_000_000  # the last second of the year 9999
