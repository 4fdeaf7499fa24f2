"""Every question the store asks is answered by an index or a bounded range."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentient_core.store import SurrealStore
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.queries import AGENTS, CHECKPOINTS, NEWEST, events_query, letters_query
from sentient_core.store.records import LetterStatus
from tests.store.samples import event

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

PARAMETERS: dict[str, Any] = {
    "system": "bank",
    "path": "team/a",
    "agent": "team/a",
    "event_type": "message_sent",
    "message_type": "Deposit",
    "projected": 9,
    "first": 1,
    "last": 9,
    "limit": 5,
}


async def plan(store: SurrealStore, sql: str) -> str:
    (explained,) = await store.query(f"{sql} EXPLAIN", **PARAMETERS)
    return json.dumps(explained, default=str)


@pytest.mark.parametrize(
    ("index", "conditions"),
    [
        ("event_source_idx", ["source_agent = $agent"]),
        ("event_source_idx", ["source_agent = $agent", "event_type = $event_type"]),
        ("event_target_idx", ["target_agent = $agent", "message_type = $message_type"]),
        ("event_type_idx", ["event_type = $event_type"]),
        ("event_message_idx", ["message_type = $message_type"]),
        ("event_message_idx", ["message_type = $message_type", "event_type = $event_type"]),
    ],
)
async def test_events_come_backward_from_an_index(
    store: SurrealStore, index: str, conditions: list[str]
) -> None:
    explained = await plan(store, events_query(index, *conditions))

    assert f'"index": "{index}"' in explained
    assert '"direction": "Backward"' in explained
    assert "TableScan" not in explained
    assert "Sort" not in explained


@pytest.mark.parametrize(
    ("index", "matching", "status"),
    [
        ("dead_letter_time_idx", DeadLetterFilter(), None),
        (
            "dead_letter_time_idx",
            DeadLetterFilter(reason="failed", message_type="Deposit"),
            LetterStatus.OPEN,
        ),
        ("dead_letter_time_idx", DeadLetterFilter(since=NOON, until=NOON + timedelta(hours=1)), None),
        ("dead_letter_recipient_idx", DeadLetterFilter(recipient="team/a"), None),
        ("dead_letter_recipient_idx", DeadLetterFilter(recipient="a", since=NOON), LetterStatus.OPEN),
    ],
)
async def test_dead_letters_come_in_order_from_an_index(
    store: SurrealStore, index: str, matching: DeadLetterFilter, status: LetterStatus | None
) -> None:
    sql, parameters = letters_query("*", "bank", matching, status)

    for order, direction in ((" DESC LIMIT 5", "Backward"), ("", "Forward")):
        (explained,) = await store.query(f"{sql}{order} EXPLAIN", **parameters)
        explained = json.dumps(explained, default=str)
        assert f'"index": "{index}"' in explained
        assert f'"direction": "{direction}"' in explained
        assert "TableScan" not in explained
        assert "Sort" not in explained


@pytest.mark.parametrize("sql", [AGENTS, CHECKPOINTS, NEWEST.format(table="agent_event")])
async def test_the_rest_are_bounded_ranges(store: SurrealStore, sql: str) -> None:
    explained = await plan(store, sql)

    assert "RecordIdScan" in explained
    assert "TableScan" not in explained


async def test_what_people_ask_uses_the_indexes_too(store: SurrealStore) -> None:
    for field in ("source_agent", "target_agent", "event_type", "message_type"):
        explained = await plan(
            store, f"SELECT * FROM agent_event WHERE {field} = $agent ORDER BY timestamp DESC LIMIT 5"
        )
        assert "IndexScan" in explained
        assert "TableScan" not in explained


async def test_a_payload_can_be_asked_by_its_keys(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    for seq in range(1, 21):
        journal.append(event(seq, {"amount": seq, "to": {"name": f"n{seq % 2}"}}))
    await journal.flush()

    (found,) = await store.query(
        "SELECT VALUE event_id FROM agent_event WHERE message_type = 'Deposit' AND payload.amount > $least"
        " AND payload.to.name = $name ORDER BY timestamp",
        least=16,
        name="n1",
    )

    assert found == ["1.17", "1.19"]
    await journal.close(5.0)
