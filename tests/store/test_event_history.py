"""Every question about events goes by an index, or by a bounded range of ids."""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sentient_core.store import MemoryStore, SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.event_history import searches
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event, Published
from sentient_core.store.streams import END, Mark, Span, external_stream, in_order
from sentient_core.store.surreal_streams import AFTER
from sentient_core.store.views import nanoseconds
from tests.conftest import ONCE

SPANS = {"shop": Span(upto=(9, 9)), external_stream("shop"): Span()}
OURS = ("shop/external", "shop2/external")
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


def some_events(chance: random.Random, count: int) -> list[Published]:
    """With timestamps in no order, most of them of a few seconds, many equal, with 0 to 9 digits."""
    digits = (1_000_000_000, 1_000_000, 1_000, 1)

    def at() -> int:
        time = nanoseconds(NOON) + chance.randrange(8) * 1_000_000_000 + chance.randrange(3) * 1_000_000
        time += chance.randrange(3) * 1_000 + chance.randrange(3)
        return time // (digit := chance.choice(digits)) * digit

    return [
        Published(
            event_type=chance.choice(("a.b", "c.d")),
            seq=0,
            source=chance.choice("xy"),
            target=chance.choice((None, "x")),
            message_type=None,
            payload=b"\x80",
            at=at(),
            workflow_id=chance.choice(("v", "w")),
            event_id=str(n),
        )
        for n in range(count)
    ]


def some_filter(chance: random.Random) -> EventFilter:
    since, until = sorted(NOON + timedelta(milliseconds=chance.randrange(8_000)) for _ in range(2))
    since, until = (time.replace(microsecond=chance.choice((0, 1_000, 1_001))) for time in (since, until))
    return EventFilter(
        event_types=chance.choice(((), (), ("a.b",), ("a.b", "c.d"))),
        source_agent=chance.choice((None, None, "x")),
        agent=chance.choice((None, None, None, "x")),
        workflow_id=chance.choice((None, None, "w")),
        since=chance.choice((None, since)),
        until=chance.choice((None, None, until)),
    )


@ONCE
@pytest.mark.parametrize("kind", ["memory", "mem"])
async def test_whatever_is_asked_all_pages_are_what_reading_all_would_give(kind: str) -> None:
    chance = random.Random(7)
    events = some_events(chance, 250)
    streams = dict(zip(("of/external", *OURS), (events[:50], events[50:150], events[150:]), strict=True))
    store = MemoryStore() if kind == "memory" else SurrealStore("mem://")
    async with store if isinstance(store, SurrealStore) else nullcontext():
        placed: list[tuple[str, Placed[Event]]] = []
        for stream, of_stream in streams.items():
            for start in range(0, len(of_stream), 3):
                part = of_stream[start : start + 3]
                number = await store.event_streams.append(stream, part)
                for index, event in enumerate(part):
                    one: Placed[Event] = Placed(number, index, 0, event)
                    placed.append((stream, one))
        for _ in range(40):
            wanted = some_filter(chance)
            spans = {name: Span((chance.randrange(9), END), (40, END)) for name in OURS}
            limit = chance.choice((5, 30, 1_000))
            meant = [
                (stream, one)
                for stream, one in placed
                if stream in spans
                and spans[stream].after < one.position <= spans[stream].upto
                and wanted.meets(one.record)
            ]
            whole = in_order(meant, is_by_time=wanted.is_by_time, limit=len(meant))
            mark, found = None, list[tuple[str, Placed[Event]]]()
            while page := await store.event_streams.history(spans, wanted, limit, mark):
                found += page
                stream, last = page[-1]
                if not wanted.is_by_time:
                    break  # the next one is asked for by places: see the bus
                mark = Mark(last.record.at, stream, last.position)
            assert [id_of(one) for one in found] == [id_of(one) for one in whole][: len(found)]
            assert len(found) == (len(whole) if wanted.is_by_time else min(limit, len(whole)))


def id_of(found: tuple[str, Placed[Event]]) -> str:
    event = found[1].record
    assert isinstance(event, Published)
    return event.event_id


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
