"""Rows kept in this process: what a database does with them, in plain Python."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import msgspec

from sentient_core.errors import RowConflict
from sentient_core.store.fold import AgentEffect
from sentient_core.store.retention import Cutoffs, Removed, Retention, oldest_beyond
from sentient_core.store.row_effects import OF_STATUS, RowEffect
from sentient_core.store.row_models import Row, RowQuery, RowWrite, order_of, plan_of, with_fields
from sentient_core.store.row_tables import (
    BELONGING,
    FINAL_STATUSES,
    SHAPES,
    Field,
    Kind,
    RowKey,
    RowTable,
    Shape,
)
from sentient_core.store.row_values import checked_writes, wanted
from sentient_core.store.views import moment, nanoseconds

__all__ = ["RowBook"]

_AGENTS = RowTable.AGENT_STATE.value
_COUNTED = (*BELONGING, RowTable.TASK_ITEM, RowTable.WORKFLOW_STEP, RowTable.WORKFLOW_HISTORY)
_EDGES_OF_AGENTS = (RowTable.SPAWNED, RowTable.SUPERVISES)


class _Kept(msgspec.Struct):
    fields: dict[str, Any]
    revision: int


class RowBook:
    """The rows of one system.

    Of an actor that has reported its status, the row in `agent_state` is made of that when somebody asks, and
    what is kept here is what was written over it: an actor that nobody writes about costs nothing.
    """

    def __init__(self, agents: Mapping[str, AgentEffect]) -> None:
        self._agents = agents
        self._tables: dict[str, dict[tuple[str, ...], _Kept]] = {table: {} for table in SHAPES}

    def apply(self, rows: Mapping[RowKey, RowEffect], agents: Iterable[str]) -> None:
        """What a window did; the actors at these paths have reported their status, which comes first."""
        of_agents = self._tables[_AGENTS]
        if of_agents:
            for path in agents:
                known = of_agents.get((path,))
                if known is not None:
                    known.fields = {name: v for name, v in known.fields.items() if name not in OF_STATUS}
        for (table, key), effect in rows.items():
            self._write(table, key, effect.fields, effect.changes, effect.at)

    def write(self, writes: Sequence[RowWrite], now: int) -> None:
        """See `Store.write_rows`."""
        checked = checked_writes(writes)
        for write, (key, _) in zip(writes, checked, strict=True):
            found = self._revision(write.table, key)
            if write.expects is not None and found != write.expects:
                raise RowConflict(write.table, key, write.expects, found)
        for write, (key, fields) in zip(writes, checked, strict=True):
            if fields is None:
                self.delete([(write.table, key)])
            else:
                self._write(write.table, key, fields, 1, now)

    def find(self, query: RowQuery) -> list[Row]:
        """See `Store.rows`."""
        plan = plan_of(query)
        shape = plan.shape
        values = wanted(shape, query)
        found = [row for row in self._rows(shape) if _meets(row, shape, query, values)]
        found.sort(key=order_of(plan), reverse=query.newest_first)
        return [with_fields(row, query.fields) for row in found[: query.limit]]

    def forget(self, path: str) -> Removed:
        """Delete what an actor has written, with what belongs to it, and what was written about it."""
        keys: list[RowKey] = []
        for root in BELONGING:
            for key, kept in self._tables[root].items():
                if kept.fields.get("owner") == path:
                    keys += [(root.value, key), *self.belonging(root, key)]
        keys += self._with_prefix(RowTable.STATUS_CHANGE, ("agent", path))
        for table in _EDGES_OF_AGENTS:
            keys += [(table.value, key) for key in self._tables[table] if path in key]
        return self.delete(keys)

    def forget_agents(self, paths: Iterable[str]) -> Removed:
        """Delete what was written over the rows of actors, and their checkpoints that somebody asked for.

        Returns what these were.
        """
        found = Removed()
        for path in paths:
            self.delete([(_AGENTS, (path,))])
            found += self.delete(self._with_prefix(RowTable.STATE_CHECKPOINT, (path,)))
        return found

    def prune(self, retention: Retention, before: Cutoffs) -> Removed:
        """Delete what is due; see `RowPruner.sweep`."""
        over = sorted(
            (nanoseconds(kept.fields["updated_at"]), root, key)
            for root in BELONGING
            for key, kept in self._tables[root].items()
            if kept.fields.get("status") in FINAL_STATUSES
        )
        gone = [(root, key) for at, root, key in over if at < before.rows]
        removed = sum(map(self._delete_root, gone), start=Removed())
        if retention.rows_bytes is not None:
            excess = sum(map(self._size, _COUNTED)) - retention.rows_bytes
            for _, root, key in over[len(gone) :]:
                if excess <= 0:
                    break
                more = self._delete_root((root, key))
                removed, excess = removed + more, excess - more.bytes
        return removed + self._prune_trail(retention, before)

    def _prune_trail(self, retention: Retention, before: Cutoffs) -> Removed:
        trail = sorted(
            (nanoseconds(kept.fields["timestamp"]), key, _size_of(kept))
            for key, kept in self._tables[RowTable.STATUS_CHANGE].items()
        )
        count = sum(1 for at, _, _ in trail if at < before.trail)
        count += oldest_beyond((size for _, _, size in trail[count:]), retention.trail_bytes)
        return self.delete([(RowTable.STATUS_CHANGE.value, key) for _, key, _ in trail[:count]])

    def _delete_root(self, root: tuple[RowTable, tuple[str, ...]]) -> Removed:
        of_it = [row for row in self.belonging(*root) if row[0] != RowTable.STATUS_CHANGE]
        return self.delete([*of_it, (root[0].value, root[1])])

    def _size(self, table: RowTable) -> int:
        return sum(map(_size_of, self._tables[table].values()))

    def belonging(self, root: RowTable, key: tuple[str, ...]) -> Iterator[RowKey]:
        """The rows that go with one."""
        for table, first in BELONGING.get(root, ()):
            yield from self._with_prefix(table, first + key)

    def all(self, table: RowTable) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Keys and what was written, in no promised order."""
        for key, kept in self._tables[table].items():
            yield key, kept.fields

    def delete(self, keys: Collection[RowKey]) -> Removed:
        """Delete rows, as far as they are there."""
        gone = [self._tables[table].pop(key, None) for table, key in keys]
        sizes = [_size_of(kept) for kept in gone if kept is not None]
        return Removed(len(sizes), sum(sizes)) + self._delete_edges(keys)

    def _delete_edges(self, nodes: Iterable[RowKey]) -> Removed:
        """An edge goes with either of the rows that it connects."""
        removed = Removed()
        for shape in SHAPES.values():
            edges = self._tables[shape.table] if shape.edge else {}
            if shape.edge is None or not edges:
                continue
            ends = {key for table, key in nodes if table == shape.edge.table}
            if ends:
                gone = [(shape.table.value, key) for key in edges if not ends.isdisjoint(shape.ends(key))]
                removed += self.delete(gone)
        return removed

    def _with_prefix(self, table: RowTable, prefix: tuple[str, ...]) -> list[RowKey]:
        return [(table.value, key) for key in self._tables[table] if key[: len(prefix)] == prefix]

    def _revision(self, table: str, key: tuple[str, ...]) -> int:
        kept = self._tables[table].get(key)
        agent = self._agents.get(key[0]) if table == _AGENTS else None
        return (0 if kept is None else kept.revision) + (0 if agent is None else agent.changes)

    def _write(
        self, table: str, key: tuple[str, ...], fields: Mapping[str, Any], changes: int, at: int
    ) -> None:
        rows = self._tables[table]
        known = rows.get(key)
        if known is None:
            known = rows[key] = _Kept({}, 0)
            if self._agents.get(key[0]) is None or table != _AGENTS:
                times = (name for name, field in SHAPES[table].fields.items() if _is_filled(field))
                known.fields.update(dict.fromkeys(times, moment(at)))
        # What holds nothing is kept as that: it may stand over what an actor has reported.
        known.fields.update(fields)
        known.revision += changes

    def _rows(self, shape: Shape) -> Iterator[Row]:
        kept = self._tables[shape.table]
        keys: Iterable[tuple[str, ...]] = kept
        if shape.table is RowTable.AGENT_STATE:
            keys = kept.keys() | {(path,) for path in self._agents}
        defaults = {name: value for name, f in shape.fields.items() if (value := f.default) is not None}
        for key in keys:
            fields = defaults | self._of_agent(shape, key)
            if key in kept:
                fields |= kept[key].fields
            if shape.edge is not None:
                fields["in"], fields["out"] = shape.ends(key)
            shown = {name: value for name, value in fields.items() if value is not None}
            yield Row(key, deepcopy(shown), self._revision(shape.table, key))

    def _of_agent(self, shape: Shape, key: tuple[str, ...]) -> dict[str, Any]:
        agent = self._agents.get(key[0]) if shape.table is RowTable.AGENT_STATE else None
        if agent is None:
            return {}
        status = agent.last
        return {
            "agent_id": status.path,
            "name": status.name,
            "status": status.status,
            "capabilities": list(status.capabilities),
            "created_at": moment(agent.first_at),
            "updated_at": moment(status.at),
            "kind": status.kind,
            "parent": status.parent,
            "restarts": status.restarts,
            "incarnation": status.incarnation,
        }


def _size_of(kept: _Kept) -> int:
    return len(msgspec.msgpack.encode(kept.fields))


def _meets(row: Row, shape: Shape, query: RowQuery, values: Mapping[str, object]) -> bool:
    if row.key[: len(query.key)] != query.key or (query.after is not None and row.key <= query.after):
        return False
    if any(row.fields.get(name) != value for name, value in values.items()):
        return False
    if query.since is None and query.until is None:
        return True
    time = row.fields.get(shape.time or "")
    if time is None:
        return False
    at = nanoseconds(time)
    return (query.since is None or at >= nanoseconds(query.since)) and (
        query.until is None or at < nanoseconds(query.until)
    )


def _is_filled(field: Field) -> bool:
    return field.kind is Kind.TIME and not field.is_optional
