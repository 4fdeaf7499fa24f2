"""What people ask of a database: by an index or a bounded range each, never past what is projected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any

from sentient_core.store.accounts import Audit, Books
from sentient_core.store.engine import Engine
from sentient_core.store.fold import fold
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.protocols import AgentRow, CheckpointRow, DeadLetterRow, EventRow
from sentient_core.store.records import LetterStatus
from sentient_core.store.rows import (
    read_account,
    read_agent,
    read_checkpoint_row,
    read_dead_letter,
    read_event,
)
from sentient_core.store.tail import decode_entry
from sentient_core.store.views import nanoseconds
from sentient_core.store.wire import bindable, read_plain, record_id

__all__ = ["AGENTS", "CHECKPOINTS", "NEWEST", "Queries", "events_query", "letters_query"]

_PROJECTED = "SELECT VALUE projected FROM $owner"
# The upper bound must sort above the ids' type: an array above strings and integers.
AGENTS = "SELECT * FROM agent_state:[$system, '']..=[$system, []]"
CHECKPOINTS = "SELECT * FROM state_checkpoint:[$system, $path, 0]..=[$system, $path, []] ORDER BY id DESC"
NEWEST = "SELECT * FROM {table}:[$system, $first]..=[$system, $last, []] ORDER BY id DESC LIMIT $limit"

_SECOND = timedelta(seconds=1)
_ACCOUNTS = "SELECT * FROM account:[$system, $first]..=[$system, $last]"
# In one transaction, so that it is one moment.
_LAST_ACCOUNTS = """BEGIN;
SELECT * FROM account:[$system, $first]..=[$system, []];
SELECT VALUE id FROM inbox:[$system, '']..=[$system, []];
LET $projected = (SELECT VALUE projected FROM ONLY $owner);
SELECT id[1] AS number, body FROM journal:[$system, $projected + 1]..=[$system, []];
COMMIT;"""
_NUMBERS_AT_ONCE = 20_000

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

    The database's index sorts times as texts, with as many digits as each needs, so that a range misses
    rows within the second of its bounds: it is taken wider, and the exact bounds are compared as numbers.
    The order is right but for rows within a second one of which has no fraction, and so on.
    """
    conditions = ["id[0] = $system"]
    parameters: dict[str, object] = {"system": system}
    since, until = matching.since, matching.until
    for name, condition, value in (
        ("recipient", "recipient = $recipient", matching.recipient),
        ("from", "timestamp > $from", None if since is None else since - _SECOND),
        ("to", "timestamp < $to", None if until is None else until + _SECOND),
        ("since", "time::nano(timestamp) >= $since", None if since is None else nanoseconds(since)),
        ("until", "time::nano(timestamp) < $until", None if until is None else nanoseconds(until)),
        ("reason", "reason = $reason", None if matching.reason is None else str(matching.reason)),
        ("message_type", "message_type = $message_type", matching.message_type),
        ("status", "status = $status", None if status is None else status.value),
    ):
        if value is not None:
            conditions.append(condition)
            parameters[name] = bindable(value)
    index = "dead_letter_time_idx" if matching.recipient is None else "dead_letter_recipient_idx"
    table = f"dead_letter WITH INDEX {index}"
    where = " AND ".join(conditions)
    return f"SELECT {fields} FROM {table} WHERE {where} ORDER BY timestamp", parameters  # noqa: S608 - constants


class Queries:
    """Reads the rows of all systems. Lives on the store thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def audit(self, system: str) -> Audit:
        """See `Store.audit`. Reads all accounts, in parts; what is open is held, and the inbox at the end."""
        books = Books()
        projected, first = await self._projected(system), 1
        while first <= projected:
            last = first + _NUMBERS_AT_ONCE - 1
            bounds = {"system": system, "first": first, "last": min(last, projected)}
            (rows,) = await self._engine.query(_ACCOUNTS, bounds)
            for row in rows:
                books.enter(read_account(row))
            first = last + 1
        owner = record_id("ownership", system)
        results = await self._engine.query(
            _LAST_ACCOUNTS, {"system": system, "first": projected + 1, "owner": owner}
        )
        rows, ids, entries = (result for result in results if isinstance(result, list))
        for row in rows:
            books.enter(read_account(row))
        # What is committed and not projected counts as well.
        tail = fold(((int(row["number"]), decode_entry(row["body"])) for row in entries), 1)
        books.enter(tail.accounts)
        inbox = {(str(id_.key[1]), int(id_.key[2]), int(id_.key[3])) for id_ in ids}
        return books.close((inbox - tail.settled) | tail.pending.keys())

    async def events(
        self, system: str, agent: str | None, event_type: str | None, message_type: str | None, limit: int
    ) -> list[EventRow]:
        """See `Store.events`."""
        projected = await self._projected(system)
        if agent is None and event_type is None and message_type is None:
            return [read_event(row) for row in await self._newest("agent_event", system, projected, limit)]

        conditions: list[str] = []
        if event_type is not None:
            conditions.append("event_type = $event_type")
        if message_type is not None:
            conditions.append("message_type = $message_type")
        if agent is not None:
            searches = [
                ("event_source_idx", "source_agent = $agent"),
                ("event_target_idx", "target_agent = $agent"),
            ]
        elif message_type is not None:
            searches = [("event_message_idx", conditions.pop())]
        else:
            searches = [("event_type_idx", conditions.pop())]
        results = await self._engine.query(
            ";\n".join(events_query(index, condition, *conditions) for index, condition in searches),
            {
                "system": system,
                "projected": projected,
                "agent": agent,
                "event_type": event_type,
                "message_type": message_type,
                "limit": limit,
            },
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
        return [read_checkpoint_row(row) for row in rows]

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

    async def _projected(self, system: str) -> int:
        (found,) = await self._engine.query(_PROJECTED, {"owner": record_id("ownership", system)})
        return int(found[0]) if found else 0

    async def _newest(self, table: str, system: str, last: int, limit: int) -> list[dict[str, Any]]:
        """The newest rows by place. A range is read as a whole, so ranges grow from the end."""
        rows: list[dict[str, Any]] = []
        span = _FIRST_SPAN
        while last > 0 and len(rows) < limit:
            first = max(1, last - span + 1)
            (more,) = await self._engine.query(
                NEWEST.format(table=table),
                {"system": system, "first": first, "last": last, "limit": limit - len(rows)},
                read=read_plain,
            )
            rows += more
            last = first - 1
            span *= _SPAN_GROWTH
        return rows


def _age(event: EventRow) -> tuple[object, ...]:
    return (event.timestamp, event.position)
