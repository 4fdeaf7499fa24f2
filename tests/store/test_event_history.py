"""Every question about events goes by an index, or by a bounded range of ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sentient_core.store import SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.event_history import searches
from sentient_core.store.streams import Mark, Span, external_stream
from sentient_core.store.surreal_streams import AFTER
from sentient_core.testing.store_conformance import HistoryConformance
from tests.conftest import ONCE
from tests.long import few
from tests.store.places import Database, databases

SPANS = {"shop": Span(upto=(9, 9)), external_stream("shop"): Span()}
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

database = databases("memory", "mem")


class TestHistories(HistoryConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

    @pytest.fixture(params=few(range(7), 1))
    def seed(self, request: pytest.FixtureRequest) -> int:
        seed: int = request.param
        return seed


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
    found, parameters = searches(SPANS, wanted, 100, None, of_all=False)

    async with SurrealStore("mem://") as store:
        plans = [
            await explained(store, query, parameters | bound)
            for queries, bound in (one.questions() for one in found)
            for query in queries[:1]
        ]

    assert len(plans) == len(indexes)
    for plan, index in zip(plans, indexes, strict=True):
        assert index in plan
        assert "Backward" in plan or "reverse" in plan.lower() or "DESC" in plan
        assert "TableScan" not in plan


def test_what_no_index_knows_is_looked_for_by_place() -> None:
    assert not EventFilter().is_by_time
    assert not EventFilter(since=NOON).is_by_time


@ONCE
@pytest.mark.parametrize("wanted", [EventFilter(event_type="a.b"), EventFilter(workflow_id="w")])
async def test_a_time_long_ago_is_not_looked_for_from_now_on(wanted: EventFilter) -> None:
    """And nothing is looked at in the rows that are found: the limit is the index's own."""
    wanted = msgspec.structs.replace(wanted, since=NOON, until=NOON + timedelta(hours=1))
    (found,), parameters = searches(SPANS, wanted, 100, None, of_all=True)
    (query, *_), bound = found.questions()
    async with SurrealStore("mem://") as store:
        plan = await explained(store, query, parameters | bound)
    assert "LessThan" in plan
    assert "MoreThan" not in plan
    assert "Filter" not in plan


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
    found, parameters = searches({nasty: Span()}, wanted, 100, Mark(0, nasty, (1, 1)), of_all=False)
    for one in found:
        queries, bound = one.questions()
        assert nasty not in "".join(queries)
        assert nasty in (parameters | bound).values()
