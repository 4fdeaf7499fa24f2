"""Every question about events goes by an index, or by a bounded range of ids."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sentient_core.store import SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.event_history import history_queries
from sentient_core.store.records import Published
from sentient_core.store.streams import Span, external_stream
from sentient_core.store.surreal_streams import AFTER
from sentient_core.store.views import nanoseconds
from tests.conftest import ONCE

SPANS = {"shop": Span(upto=(9, 9)), external_stream("shop"): Span()}
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

QUESTIONS: dict[str, tuple[EventFilter, list[str]]] = {
    "workflow": (EventFilter(workflow_id="w"), ["event_workflow_idx"]),
    "source": (EventFilter(source_agent="a"), ["event_source_idx"]),
    "target": (EventFilter(target_agent="a"), ["event_target_idx"]),
    "both": (EventFilter(agent="a"), ["event_source_idx", "event_target_idx"]),
    "type": (EventFilter(event_type="task_progress"), ["event_type_idx"]),
    "types": (EventFilter(event_types=("a.b", "c.d")), ["event_type_idx"] * 2),
    "message": (EventFilter(message_type="Sell"), ["event_message_idx"]),
    "workflow first": (
        EventFilter(workflow_id="w", source_agent="a", event_type="a.b", since=NOON, until=NOON),
        ["event_workflow_idx"],
    ),
    "source before type": (EventFilter(source_agent="a", event_type="a.b"), ["event_source_idx"]),
}


async def explained(store: SurrealStore, query: str, parameters: dict[str, Any]) -> str:
    async def explain(engine: Engine) -> str:
        (plan,) = await engine.query(f"{query} EXPLAIN", parameters)
        return str(plan)

    return await store._run(explain)  # pyright: ignore[reportPrivateUsage]


@ONCE
@pytest.mark.parametrize("what", QUESTIONS)
async def test_each_history_goes_by_its_index_from_the_newest_on(what: str) -> None:
    wanted, indexes = QUESTIONS[what]
    queries, parameters = history_queries(SPANS, wanted, 100)

    async with SurrealStore("mem://") as store:
        plans = [await explained(store, query, parameters) for query in queries]

    assert len(plans) == len(indexes)
    for plan, index in zip(plans, indexes, strict=True):
        assert index in plan
        assert "Backward" in plan or "reverse" in plan.lower() or "DESC" in plan
        assert "TableScan" not in plan


def test_what_no_index_knows_is_looked_for_by_place() -> None:
    assert history_queries(SPANS, EventFilter(), 100)[0] == []
    assert history_queries(SPANS, EventFilter(since=NOON), 100)[0] == []


@ONCE
async def test_whatever_is_asked_the_answer_is_what_reading_all_would_give() -> None:
    chance = random.Random(7)
    events = [
        Published(
            event_type=chance.choice(("a.b", "c.d")),
            seq=0,
            source=chance.choice("xy"),
            target=None,
            message_type=None,
            payload=b"\x80",
            at=nanoseconds(NOON + timedelta(seconds=20 * (n + chance.randrange(3)))),
            workflow_id=chance.choice(("v", "w")),
            event_id=str(n),
        )
        for n in range(120)
    ]
    async with SurrealStore("mem://") as store:
        streams = {"of-another/external": events[1::4], "shop/external": [*events[::4], *events[2::4]]}
        for stream, of_stream in streams.items():
            for start in range(0, len(of_stream), 3):
                await store.event_streams.append(stream, of_stream[start : start + 3])
        for _ in range(150):
            since, until = sorted(NOON + timedelta(seconds=chance.randrange(2400)) for _ in range(2))
            wanted = EventFilter(
                event_types=chance.choice(((), ("a.b",), ("a.b", "c.d"))),
                source_agent=chance.choice((None, None, "x")),
                workflow_id=chance.choice((None, None, "w")),
                since=chance.choice((None, since)),
                until=chance.choice((None, until)),
            )
            limit = chance.choice((1, 5, 1_000))
            found = await store.event_streams.history({"shop/external": Span()}, wanted, limit)
            meant = [event for event in streams["shop/external"] if wanted.meets(event)]
            if wanted.types is None and wanted.source_agent is None and wanted.workflow_id is None:
                assert {p.record.at for _, p in found} <= {event.at for event in meant}
                assert len(found) == min(limit, len(meant))
            else:
                newest = sorted((event.at for event in meant), reverse=True)[:limit]
                assert [p.record.at for _, p in found] == newest


@ONCE
@pytest.mark.parametrize("wanted", [EventFilter(event_type="a.b"), EventFilter(workflow_id="w")])
async def test_a_time_long_ago_is_not_looked_for_from_now_on(wanted: EventFilter) -> None:
    wanted = msgspec.structs.replace(wanted, since=NOON, until=NOON + timedelta(hours=1))
    (query,), parameters = history_queries(SPANS, wanted, 100, of_all=True)
    async with SurrealStore("mem://") as store:
        plan = await explained(store, query, parameters)
    assert "LessThan" in plan
    assert "MoreThan" not in plan


@ONCE
async def test_what_comes_next_is_read_from_a_bounded_range_of_ids() -> None:
    async with SurrealStore("mem://") as store:
        for where in ("", " WHERE event_type IN $types"):
            plan = await explained(
                store,
                AFTER.format(where=where),
                {"stream": "shop", "number": 1, "index": 0, "last": 9, "types": ["a.b"], "limit": 10},
            )
            assert "RecordIdScan" in plan
            assert "TableScan" not in plan


def test_values_are_bound_never_written_into_a_query() -> None:
    nasty = "x'; REMOVE TABLE agent_event; --"
    wanted = EventFilter(
        agent=nasty, event_types=(nasty,), source_agent=nasty, workflow_id=nasty, message_type=nasty
    )
    queries, parameters = history_queries({nasty: Span()}, wanted, 100)
    assert nasty not in "".join(queries)
    assert nasty in parameters.values()
