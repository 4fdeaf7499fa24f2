"""What people ask of a database: by an index or a bounded range each, never past what is projected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any

from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.protocols import AgentRow, CheckpointRow, DeadLetterRow, EventRow
from sentient_core.store.records import LetterStatus
from sentient_core.store.row_models import Row, RowQuery, order_of, plan_of, with_fields
from sentient_core.store.row_sql import read_row, rows_query
from sentient_core.store.rows import (
    DELTA_PLACE,
    STATE_PLACE,
    read_agent,
    read_checkpoint_row,
    read_dead_letter,
    read_event,
    whole_row,
)
from sentient_core.store.time_bounds import times_between
from sentient_core.store.wire import bindable, read_plain, record_id

__all__ = ["AGENTS", "CHECKPOINTS", "NEWEST", "Queries", "events_query", "letters_query", "started_systems"]

_PROJECTED = "SELECT VALUE projected FROM $owner"
# The upper bound must sort above the ids' type: an array above strings and integers.
AGENTS = "SELECT * FROM agent_state:[$system, '']..=[$system, []]"
CHECKPOINTS = "SELECT * FROM state_checkpoint:[$system, $path, 0]..=[$system, $path, []] ORDER BY id DESC"
NEWEST = "SELECT * FROM {table}:[$system, $first]..=[$system, $last, $end] ORDER BY id DESC LIMIT $limit"

_SECOND = timedelta(seconds=1)
_FIRST_SPAN = 8
_SPAN_GROWTH = 4


def events_query(index: str, *conditions: str) -> str:
    """The newest events that meet the conditions, by one index on (a field, timestamp).

    The index is named: with two that would do, the planner took the one that matches more rows.
    """
    where = " AND ".join((*conditions, "id[0] = $system", "position[0] <= $projected"))
    table = f"agent_event WITH INDEX {index}"
    return f"SELECT * FROM {table} WHERE {where} ORDER BY timestamp DESC LIMIT $limit"  # noqa: S608 - constants


def letters_query(
    fields: str, system: str, matching: DeadLetterFilter, status: LetterStatus | None
) -> tuple[str, dict[str, object]]:
    """The dead letters that are meant, oldest first, by an index on time; and what is bound in it.

    The order is right but for rows within a second one of which has no fraction, and so on.
    """
    conditions = ["id[0] = $system"]
    parameters: dict[str, object] = {"system": system}
    for name, condition, value in (
        ("recipient", "recipient = $recipient", matching.recipient),
        ("reason", "reason = $reason", None if matching.reason is None else str(matching.reason)),
        ("message_type", "message_type = $message_type", matching.message_type),
        ("status", "status = $status", None if status is None else status.value),
    ):
        if value is not None:
            conditions.append(condition)
            parameters[name] = bindable(value)
    for name, (condition, bound) in times_between(matching.since, matching.until).items():
        conditions.append(condition)
        parameters[name] = bound
    index = "dead_letter_time_idx" if matching.recipient is None else "dead_letter_recipient_idx"
    table = f"dead_letter WITH INDEX {index}"
    where = " AND ".join(conditions)
    return f"SELECT {fields} FROM {table} WHERE {where} ORDER BY timestamp", parameters  # noqa: S608 - constants


async def started_systems(engine: Engine) -> list[str]:
    """The names of all systems that have started on a database, sorted. On the store thread."""
    (ids,) = await engine.query("SELECT VALUE id FROM ownership WHERE epoch != NONE")
    return sorted(str(id_.key[0]) for id_ in ids)


class Queries:
    """Reads the rows of all systems. Lives on the store thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def events(self, system: str, wanted: EventFilter, limit: int) -> list[EventRow]:
        """See `Store.events`."""
        projected = await self._projected(system)
        if wanted.agent is None and wanted.event_type is None and wanted.message_type is None:
            return await self._newest_events(system, wanted, projected, limit)

        conditions: list[str] = []
        if wanted.event_type is not None:
            conditions.append("event_type = $event_type")
        if wanted.message_type is not None:
            conditions.append("message_type = $message_type")
        if wanted.agent is not None:
            searches = [
                ("event_source_idx", "source_agent = $agent"),
                ("event_target_idx", "target_agent = $agent"),
            ]
        elif wanted.message_type is not None:
            searches = [("event_message_idx", conditions.pop())]
        else:
            searches = [("event_type_idx", conditions.pop())]
        times = times_between(wanted.since, wanted.until)
        conditions += [condition for condition, _ in times.values()]
        results = await self._engine.query(
            ";\n".join(events_query(index, condition, *conditions) for index, condition in searches),
            {
                "system": system,
                "projected": projected,
                "agent": wanted.agent,
                "event_type": wanted.event_type,
                "message_type": wanted.message_type,
                "limit": limit,
            }
            | {name: bound for name, (_, bound) in times.items()},
            read=read_plain,
        )
        found = {row["id"]: row for rows in results for row in rows}  # a message to oneself is in both
        events = sorted(map(read_event, found.values()), key=_age, reverse=True)
        return events[:limit]

    async def agents(self, system: str) -> list[AgentRow]:
        """See `Store.agents`."""
        (rows,) = await self._engine.query(AGENTS, {"system": system}, read=read_plain)
        return sorted((read_agent(row) for row in rows), key=lambda row: row.agent_id)

    async def checkpoint_rows(self, system: str, path: str) -> list[CheckpointRow]:
        """See `Store.checkpoint_rows`."""
        (rows,) = await self._engine.query(CHECKPOINTS, {"system": system, "path": path}, read=read_plain)
        by_place = {tuple(row["id"].key[2:]): row for row in rows}  # the state of a durable actor comes first
        state = whole_row(by_place.pop(STATE_PLACE, None), by_place.pop(DELTA_PLACE, None))
        found = [*([] if state is None else [state]), *by_place.values()]
        return [read_checkpoint_row(row) for row in found]

    # The rows of letters change in the transaction that moves `projected`: all that are seen count.

    async def dead_letters(
        self, system: str, matching: DeadLetterFilter, status: LetterStatus | None, limit: int
    ) -> list[DeadLetterRow]:
        """See `Store.dead_letters`."""
        sql, parameters = letters_query("*", system, matching, status)
        (rows,) = await self._engine.query(
            f"{sql} DESC LIMIT $limit", parameters | {"limit": limit}, read=read_plain
        )
        return sorted(map(read_dead_letter, rows), key=lambda row: row.timestamp, reverse=True)

    async def open_letters(self, system: str, matching: DeadLetterFilter) -> list[str]:
        """See `Store.open_letters`."""
        sql, parameters = letters_query("message_id, timestamp", system, matching, LetterStatus.OPEN)
        (rows,) = await self._engine.query(sql, parameters, read=read_plain)
        return [row["message_id"] for row in sorted(rows, key=itemgetter("timestamp"))]

    async def letters_by_id(self, system: str, message_ids: Sequence[str]) -> list[DeadLetterRow]:
        """See `Store.letters_by_id`."""
        ids = [record_id("dead_letter", system, message_id) for message_id in message_ids]
        (rows,) = await self._engine.query("SELECT * FROM $ids", {"ids": ids}, read=read_plain)
        return [read_dead_letter(row) for row in rows]

    async def rows(self, system: str, query: RowQuery) -> list[Row]:
        """See `Store.rows`."""
        plan = plan_of(query)
        sql, parameters = rows_query(system, query, plan)
        (found,) = await self._engine.query(sql, parameters, read=read_plain)
        rows = [read_row(plan.shape, row) for row in found]
        rows.sort(key=order_of(plan), reverse=query.newest_first)
        return [with_fields(row, query.fields) for row in rows]

    async def _projected(self, system: str) -> int:
        (found,) = await self._engine.query(_PROJECTED, {"owner": record_id("ownership", system)})
        return int(found[0]) if found else 0

    async def _newest_events(self, system: str, wanted: EventFilter, last: int, limit: int) -> list[EventRow]:
        """By place: the order of commits is, but for what was handed over at the same time, that of time."""
        found: list[EventRow] = []
        end: int | None = None
        while len(found) < limit:
            rows = await self._newest("agent_event", system, last, limit, end)
            events = [read_event(row) for row in rows]
            found += [event for event in events if wanted.is_in_time(event.timestamp)]
            if len(rows) < limit or (wanted.since and events[-1].timestamp < wanted.since - _SECOND):
                break
            last, index = events[-1].position
            last, end = (last, index - 1) if index else (last - 1, None)
        return found[:limit]

    async def _newest(
        self, table: str, system: str, last: int, limit: int, end: int | None
    ) -> list[dict[str, Any]]:
        """The newest rows by place, from entry `last` on, and of that from index `end` on (None: its end).

        A range is read as a whole, so ranges grow from the end.
        """
        rows: list[dict[str, Any]] = []
        span = _FIRST_SPAN
        while last > 0 and len(rows) < limit:
            first = max(1, last - span + 1)
            (more,) = await self._engine.query(
                NEWEST.format(table=table),
                {
                    "system": system,
                    "first": first,
                    "last": last,
                    "end": [] if end is None else end,
                    "limit": limit - len(rows),
                },
                read=read_plain,
            )
            rows += more
            last, end = first - 1, None
            span *= _SPAN_GROWTH
        return rows


def _age(event: EventRow) -> tuple[object, ...]:
    return (event.timestamp, event.position)
