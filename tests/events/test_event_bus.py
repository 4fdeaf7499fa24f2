"""What a bus promises, on every store alike: publishing, subscribing, replay then follow, the history."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sentient_core.errors import (
    EventBusStopped,
    EventTooLarge,
    InvalidArgument,
    InvalidCursor,
    InvalidName,
    InvalidPayload,
    UnknownEventType,
    UnstorableValue,
)
from sentient_core.events import AgentEvent, EventBus, EventType
from sentient_core.store import MemoryStore, Store
from sentient_core.store.event_filter import EventFilter
from tests.bad_payloads import BAD, nested
from tests.events.listeners import Seen, an_event, publish, until
from tests.store.places import stores

NASTY = ["a'; REMOVE TABLE agent_event; --", 'quo"ted ` back\\slash', "⟨agent_event:1⟩ $param", "δ漢字🎭\n"]


store = stores("memory", "surrealkv", "ws", long=("mem", "http"))


@pytest.fixture
async def bus(store: Store) -> AsyncIterator[EventBus]:
    async with EventBus(store, system="shop") as bus:
        yield bus


async def test_what_was_published_is_in_the_history_and_comes_to_who_subscribed(bus: EventBus) -> None:
    seen = Seen()
    bus.subscribe(EventType.TASK_PROGRESS, seen)

    published = an_event(
        event_type="task_progress",
        target_agent="boss",
        workflow_id="w1",
        correlation_id="c1",
        causation_id="c0",
    )
    await bus.publish_event(published)

    (found,) = await bus.get_event_history()
    await seen.until(1)
    assert found == seen.events[0]
    assert found.position is not None
    assert found.cursor is not None
    assert found.event_type is EventType.TASK_PROGRESS
    fields = published.to_dict()
    assert {name: value for name, value in found.to_dict().items() if fields[name] is not None} == {
        name: value for name, value in fields.items() if value is not None
    }


async def test_printed_a_bus_says_whose_it_is_and_whether_anybody_follows() -> None:
    bus = EventBus(MemoryStore(), system="shop")
    assert repr(bus) == "<EventBus of 'shop' at memory:, not running, nobody follows>"
    async with bus:
        bus.subscribe("shop.sold", print)
        assert repr(bus) == "<EventBus of 'shop' at memory:, running, 1 follows>"


async def test_a_subscriber_gets_the_types_it_named_in_the_order_of_commits(bus: EventBus) -> None:
    one, several, filtered, every = Seen(), Seen(), Seen(), Seen()
    bus.subscribe("shop.sold", one)
    bus.subscribe(("shop.sold", EventType.AGENT_STARTED), several)
    bus.subscribe(EventFilter(workflow_id="w2", event_types=("shop.sold", "shop.paid")), filtered)
    bus.subscribe(EventFilter(), every)

    await publish(bus, 1)
    await publish(bus, 2, event_type=EventType.AGENT_STARTED)
    await publish(bus, 3, event_type="shop.paid", workflow_id="w2")
    await publish(bus, 4, workflow_id="w2")

    await every.until(4)
    await several.until(3)
    await one.until(2)
    await filtered.until(2)
    assert every.numbers == [1, 2, 3, 4]
    assert several.numbers == [1, 2, 4]
    assert one.numbers == [1, 4]
    assert filtered.numbers == [3, 4]


async def test_who_comes_later_gets_only_what_comes_from_then_on(bus: EventBus) -> None:
    await publish(bus, 1)
    first, second = Seen(), Seen()
    bus.subscribe("shop.sold", first)
    await publish(bus, 2)
    await first.until(1)
    bus.subscribe("shop.sold", second)
    await publish(bus, 3)

    await first.until(2)
    await second.until(1)
    assert first.numbers == [2, 3]
    assert second.numbers == [3]


async def test_replay_then_follow_has_neither_a_gap_nor_a_double(bus: EventBus) -> None:
    seen = Seen()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish, bus, *range(40))
        with anyio.fail_after(60):
            while len(await bus.get_event_history()) < 10:
                await anyio.lowlevel.checkpoint()
        bus.subscribe("shop.sold", seen, after="0-0")
        await seen.until(40)

    middle = seen.events[19].cursor
    from_middle = Seen()
    bus.subscribe("shop.sold", from_middle, after=middle)
    await publish(bus, 40)
    await from_middle.until(21)
    await seen.until(41)
    assert seen.numbers == list(range(41))
    assert from_middle.numbers == list(range(20, 41))


async def test_many_who_publish_at_once_share_commits_and_nothing_is_lost(bus: EventBus) -> None:
    seen = Seen()
    bus.subscribe("shop.sold", seen)

    async with anyio.create_task_group() as tasks:
        for n in range(100):
            tasks.start_soon(publish, bus, n)

    await seen.until(100)
    assert sorted(seen.numbers, key=str) == sorted(range(100), key=str)
    positions = [event.position for event in seen.events]
    assert positions == sorted(positions, key=lambda position: position or (0, 0))
    assert len(await bus.get_event_history(limit=1_000)) == 100


async def test_two_buses_on_one_store_hear_each_other(store: Store) -> None:
    async with EventBus(store, system="shop") as one, EventBus(store, system="shop") as other:
        seen = Seen()
        one.subscribe("shop.sold", seen)
        await publish(one, 1)
        await seen.until(1)
        await publish(other, 2)
        await publish(one, 3)
        await seen.until(3)
        assert seen.numbers == [1, 2, 3]


async def test_buses_of_other_systems_hear_nothing_of_it(store: Store) -> None:
    async with EventBus(store, system="shop") as one, EventBus(store, system="bank") as other:
        seen, foreign = Seen(), Seen()
        one.subscribe("shop.sold", seen)
        other.subscribe("shop.sold", foreign)
        await publish(one, 1)
        await publish(other, 2)
        await seen.until(1)
        await foreign.until(1)
        assert (seen.numbers, foreign.numbers) == ([1], [2])
        assert [event.payload["n"] for event in await other.get_event_history()] == [2]
        await publish(other, 3, 4, 5)
        for limit in (1, 2):
            for asked in ("shop.sold", None):
                found = await one.get_event_history(event_type=asked, limit=limit)
                assert [event.payload["n"] for event in found] == [1]


async def test_an_iterator_gives_events_one_by_one_and_ends_with_the_bus(store: Store) -> None:
    bus = EventBus(store)
    await bus.start()
    found: list[object] = []
    is_following = anyio.Event()

    async def follow() -> None:
        async with bus.subscription("shop.sold", after="0-0") as events:
            is_following.set()
            async for event in events:
                found.append(event.payload["n"])
                if event.payload["n"] == 2:
                    await bus.stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await is_following.wait()
        await publish(bus, 1, 2)

    assert found == [1, 2]


async def test_after_unsubscribing_by_itself_by_its_id_or_by_itself_nothing_comes(bus: EventBus) -> None:
    last = Seen()
    by_id, by_method, by_bus, in_callback = Seen(), Seen(), Seen(), Seen()
    first = bus.subscribe("shop.sold", by_id)
    second = bus.subscribe("shop.sold", by_method)
    third = bus.subscribe("shop.sold", by_bus)

    def once(event: AgentEvent) -> None:
        in_callback(event)
        fourth.unsubscribe()

    fourth = bus.subscribe("shop.sold", once)
    await publish(bus, 1)
    for seen in (by_id, by_method, by_bus, in_callback):
        await seen.until(1)

    assert isinstance(first.id, str)
    assert bus.unsubscribe(first.id)
    second.unsubscribe()
    assert bus.unsubscribe(third)
    bus.subscribe("shop.sold", last)
    await publish(bus, 2)
    await last.until(1)

    assert not bus.unsubscribe("no such id")
    assert [seen.numbers for seen in (by_id, by_method, by_bus, in_callback)] == [[1]] * 4
    assert not fourth.is_active


@pytest.mark.parametrize("fails", [False, True])
async def test_who_has_unsubscribed_is_not_called_for_what_had_come_already(fails: bool) -> None:
    late: list[object] = []
    for passes in range(20):  # of the loop, between the publishing and the unsubscribing
        async with EventBus(MemoryStore(), system="shop") as bus, anyio.create_task_group() as tasks:
            is_over = anyio.Event()

            def on_event(event: AgentEvent, is_over: anyio.Event = is_over) -> None:
                if is_over.is_set():
                    late.append(event)
                elif fails:
                    raise ValueError(event)

            subscription = bus.subscribe("shop.sold", on_event)
            await subscription.begun()
            tasks.start_soon(publish, bus, 1, 2)
            for _ in range(passes):
                await anyio.lowlevel.checkpoint()
            subscription.unsubscribe()
            is_over.set()
            await until(lambda: not bus.statistics().subscriptions)

    assert not late


async def test_an_async_callback_that_unsubscribes_itself_comes_to_its_end(bus: EventBus) -> None:
    ended = anyio.Event()

    async def once(_: AgentEvent) -> None:
        subscription.unsubscribe()
        await anyio.sleep(0.01)
        ended.set()

    subscription = bus.subscribe("shop.sold", once)
    await publish(bus, 1)

    with anyio.fail_after(60):
        await ended.wait()


async def test_a_callback_that_fails_is_tried_again_then_its_event_is_a_dead_letter(bus: EventBus) -> None:
    calls: list[object] = []
    others, seen = Seen(), Seen()

    async def fails(event: AgentEvent) -> None:
        calls.append(event.payload["n"])
        if event.payload["n"] == 1 or (event.payload["n"] == 2 and calls.count(2) < 2):
            raise ValueError("no good")
        seen(event)

    subscription = bus.subscribe("shop.sold", fails)
    bus.subscribe("shop.sold", others)
    await publish(bus, 1, 2, 3)

    await others.until(3)
    await seen.until(2)
    assert calls == [1, 1, 1, 2, 2, 3]
    assert seen.numbers == [2, 3]
    assert subscription.is_active
    (letter,) = await bus.dead_letters()
    assert (letter.reason, letter.cause) == ("failed", "ValueError: no good")
    assert letter.tries == 3
    assert letter.recipient == f"$subscriber/{subscription.id}"
    assert letter.message["event_id"] == others.events[0].event_id
    assert "no good" in (letter.traceback or "")
    statistics = bus.statistics()
    assert (statistics.dead_lettered, statistics.retried, statistics.published) == (1, 3, 3)
    assert statistics.delivered == 5


async def test_what_is_subscribed_before_the_start_follows_from_then_on(store: Store) -> None:
    bus, seen = EventBus(store), Seen()
    bus.subscribe("shop.sold", seen)
    gone = bus.subscribe("shop.sold", seen)
    assert bus.unsubscribe(gone.id)
    await publish(bus, 1)

    await bus.start()
    await bus.start()
    await publish(bus, 2)
    await seen.until(1)
    await bus.stop()
    await bus.stop()

    assert seen.numbers == [2]
    with pytest.raises(EventBusStopped, match="start"):
        bus.subscribe("shop.sold", seen)
    with pytest.raises(EventBusStopped):
        async with bus.subscription("shop.sold"):
            pass


async def test_a_stopped_bus_can_be_started_again(store: Store) -> None:
    bus, seen = EventBus(store), Seen()
    async with bus:
        await publish(bus, 1)
    async with bus:
        bus.subscribe("shop.sold", seen, after="0-0")
        await publish(bus, 2)
        await seen.until(2)
    assert seen.numbers == [1, 2]


async def test_a_bus_is_started_in_one_task_and_stopped_in_another(store: Store) -> None:
    bus, seen = EventBus(store), Seen()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bus.start)
    bus.subscribe("shop.sold", seen)
    await publish(bus, 1)
    await seen.until(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bus.stop)
    assert not bus.is_running


# The history


async def test_the_history_is_the_newest_first_of_what_is_meant(bus: EventBus) -> None:
    await publish(bus, 1, source_agent="a", workflow_id="w1", event_type=EventType.AGENT_STARTED)
    await publish(bus, 2, source_agent="a", workflow_id="w1")
    await publish(bus, 3, source_agent="b", workflow_id="w1", event_type=EventType.AGENT_STARTED)
    await publish(bus, 4, source_agent="b", target_agent="a")

    async def numbers(**what: Any) -> list[object]:
        return [event.payload["n"] for event in await bus.get_event_history(**what)]

    assert await numbers() == [4, 3, 2, 1]
    assert await numbers(limit=2) == [4, 3]
    assert await numbers(workflow_id="w1") == [3, 2, 1]
    assert await numbers(agent_id="a") == [2, 1]
    assert await numbers(event_type="agent_started") == [3, 1]
    assert await numbers(event_type=(EventType.AGENT_STARTED, "shop.sold")) == [4, 3, 2, 1]
    assert await numbers(workflow_id="w1", agent_id="a", event_type=EventType.AGENT_STARTED) == [1]
    assert await numbers(event_type=EventFilter(target_agent="a")) == [4]
    assert await numbers(event_type=EventFilter(agent="a")) == [4, 2, 1]
    assert await numbers(event_type=EventFilter(agent="a", workflow_id="w1")) == [2, 1]
    assert await numbers(workflow_id="nobody's") == []
    (by_position,) = await bus.get_event_history("w1", "b", EventType.AGENT_STARTED, 10)
    assert by_position.payload == {"n": 3}


async def test_the_history_of_a_time(bus: EventBus) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    for n in range(5):
        await publish(bus, n, timestamp=noon + timedelta(hours=n), workflow_id="w")

    asked: list[dict[str, Any]] = [{}, {"workflow_id": "w"}, {"event_type": "shop.sold"}]
    for fields in asked:
        found = await bus.get_event_history(
            **fields, since=noon + timedelta(hours=1), until=noon + timedelta(hours=3)
        )
        assert [event.payload["n"] for event in found] == [2, 1]
    with pytest.raises(InvalidArgument, match="time zone"):
        await bus.get_event_history(since=datetime(2026, 5, 1))  # noqa: DTZ001 - that is the mistake


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)

PAGED: dict[str, tuple[dict[str, Any], Callable[[AgentEvent], bool], bool]] = {
    "an agent": ({"agent_id": "a"}, lambda event: event.source_agent == "a", True),
    "a type": ({"event_type": "shop.sold", "until": LATER}, lambda _: True, True),
    "a time": (
        {"since": NOON + timedelta(seconds=1)},
        lambda event: event.timestamp > NOON + timedelta(seconds=0.9),
        False,
    ),
    "nothing": ({}, lambda _: True, False),
}
"""Questions, what they mean, and whether the answer goes by time, or by commits."""


@pytest.mark.parametrize("store", ["memory", "mem"], indirect=True)
@pytest.mark.parametrize("what", PAGED)
async def test_all_pages_have_each_event_once_whatever_the_timestamps_say(bus: EventBus, what: str) -> None:
    fields, is_meant, is_by_time = PAGED[what]
    chance = random.Random(11)
    published: list[AgentEvent] = []

    async def publish_one() -> None:
        time = NOON + timedelta(milliseconds=chance.choice((0, 1, 500, 1_000)))
        if "until" in fields:
            time -= timedelta(milliseconds=1)
        published.append(an_event(len(published), timestamp=time, source_agent=chance.choice("ab")))
        await bus.publish_event(published[-1])

    for _ in range(30):
        await publish_one()
    there = [event for event in published if is_meant(event)]
    if is_by_time:
        there.sort(key=lambda event: event.timestamp)  # of equal ones, those published later are newer
    found: list[AgentEvent] = []
    while page := await bus.get_event_history(**fields, limit=4, before=found[-1].cursor if found else None):
        found += page
        await publish_one()  # what comes meanwhile is of no page

    assert [event.event_id for event in found] == [event.event_id for event in reversed(there)]


async def test_the_history_in_pages_has_each_event_once(bus: EventBus) -> None:
    for n in range(7):
        await publish(bus, n, workflow_id="w")

    asked: list[dict[str, Any]] = [{}, {"workflow_id": "w"}]
    for fields in asked:
        pages: list[object] = []
        cursor = None
        while page := await bus.get_event_history(**fields, limit=3, before=cursor):
            pages += [event.payload["n"] for event in page]
            cursor = page[-1].cursor
        assert pages == [6, 5, 4, 3, 2, 1, 0]

    newest = await bus.get_event_history(limit=3)
    assert await bus.get_event_history(after=newest[0].cursor) == []
    assert [event.payload["n"] for event in await bus.get_event_history(after=newest[-1].cursor)] == [6, 5]
    await publish(bus, 7)
    seen = Seen()
    bus.subscribe("shop.sold", seen, after=newest[0].cursor)
    await seen.until(1)
    assert seen.numbers == [7]


async def test_this_moment_is_a_cursor(bus: EventBus) -> None:
    await publish(bus, 1)
    now = await bus.now()
    await publish(bus, 2)
    assert [event.payload["n"] for event in await bus.get_event_history(after=now)] == [2]
    assert [event.payload["n"] for event in await bus.get_event_history(before=now)] == [1]


async def test_texts_of_all_kinds_are_bound_never_read(bus: EventBus) -> None:
    for n, text in enumerate(NASTY):
        await publish(
            bus, n, source_agent=text, workflow_id=text, event_id=text, payload={"n": n, text: text}
        )
    for n, text in enumerate(NASTY):
        asked: list[dict[str, Any]] = [{"workflow_id": text}, {"agent_id": text}]
        for fields in asked:
            (found,) = await bus.get_event_history(**fields)
            assert (found.event_id, found.payload) == (text, {"n": n, text: text})
    assert len(await bus.get_event_history()) == len(NASTY)


# Bad input


class Color(Enum):
    RED = "red"


FAITHFUL: list[dict[str, Any]] = [
    {},
    {"a": [1, -(2**63), 2**63 - 1, 1.5, True, None, "x", b"\x00\xff"]},
    {"deep": {"er": [[{"and": {"er": [1]}}]]}},
    {"": "the empty key", "$ref": "`", "δ": "漢字🎭\x00\n"},
    {"when": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)},
]


@pytest.mark.parametrize("payload", FAITHFUL, ids=range(len(FAITHFUL)))
async def test_a_payload_comes_back_as_it_was(bus: EventBus, payload: dict[str, Any]) -> None:
    seen = Seen()
    bus.subscribe("shop.sold", seen)
    await bus.publish_event(an_event(payload=payload))

    await seen.until(1)
    (found,) = await bus.get_event_history()
    assert seen.events[0].payload == payload
    assert found.payload == payload


@pytest.mark.parametrize("what", [*BAD, "no mapping"])
async def test_a_payload_that_no_store_could_give_back_is_refused_at_the_call(what: str) -> None:
    payload, place, says = ["a"], "payload", "mapping"
    if what in BAD:
        payload, place, says = BAD[what].value, f"payload{BAD[what].place}", BAD[what].says
    bus = EventBus(MemoryStore(), system="shop")  # refused before any store is asked
    with pytest.raises(InvalidPayload, match=re.escape(place)) as caught:
        await bus.publish_event(an_event(payload=payload))

    assert says in str(caught.value)
    assert isinstance(caught.value, UnstorableValue)
    assert await bus.get_event_history() == []


async def test_deep_payloads_and_large_ones_come_back_up_to_a_bound_that_is_named(
    bus: EventBus, store: Store
) -> None:
    await bus.publish_event(an_event(payload=nested(64)))
    (found,) = await bus.get_event_history()
    assert found.payload == nested(64)

    most = store.event_streams.largest_event
    with pytest.raises(EventTooLarge, match="at most"):
        await bus.publish_event(an_event(payload={"a": b"x" * most}))
    ten = {"a": "x" * (10 * 1024 * 1024)}
    if most > 10 * 1024 * 1024 + 100:
        await bus.publish_event(an_event(payload=ten))
        assert (await bus.get_event_history(limit=1))[0].payload == ten
    else:
        with pytest.raises(EventTooLarge):
            await bus.publish_event(an_event(payload=ten))


async def test_structs_enumerations_and_tuples_are_written_as_what_they_hold(bus: EventBus) -> None:
    await bus.publish_event(an_event(payload={"event": an_event(5).payload, "c": Color.RED, "t": (1, 2)}))
    (found,) = await bus.get_event_history()
    assert found.payload == {"event": {"n": 5}, "c": "red", "t": [1, 2]}


async def test_what_can_never_work_is_refused_at_the_call(bus: EventBus, store: Store) -> None:
    with pytest.raises(UnknownEventType, match="task_progress"):
        bus.subscribe("task_progres", print)
    with pytest.raises(UnknownEventType):
        await bus.get_event_history(event_type="bogus")
    with pytest.raises(UnknownEventType):
        bus.subscribe(EventFilter(event_types=("bogus",)), print)
    with pytest.raises(UnknownEventType):
        AgentEvent(event_type="bogus", source_agent="a")
    with pytest.raises(InvalidArgument):
        AgentEvent(event_type=3, source_agent="a")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="surrogate"):
        AgentEvent(event_type="a.b", source_agent="\ud800")
    with pytest.raises(InvalidArgument):
        AgentEvent(event_type="a.b", source_agent="a", event_id="")
    with pytest.raises(InvalidArgument, match="callback"):
        bus.subscribe("a.b", None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument):
        bus.subscribe((), print)
    with pytest.raises(InvalidCursor):
        bus.subscribe("a.b", print, after="yesterday")
    with pytest.raises(InvalidCursor):
        bus.subscription("a.b", after="1.1*-2.2*")
    with pytest.raises(InvalidCursor):
        await bus.get_event_history(before="1")
    for cursor in ("1.1*-2@", "1.1*-2@5", "1.1*-2@5/1", "1-2@5/1-1", "1.1*-2@x/1-1", "1.1*-2@5/1-1-1"):
        with pytest.raises(InvalidCursor):
            await bus.get_event_history(before=cursor)
    with pytest.raises(InvalidCursor, match="ahead"):
        async with bus.subscription("a.b", after="9-99"):
            pass
    with pytest.raises(InvalidName):
        bus.subscribe("a.b", print, name="a/b")
    for limit in (0, -1, True, "3"):
        with pytest.raises(InvalidArgument, match="limit"):
            await bus.get_event_history(limit=limit)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="AgentEvent"):
        await bus.publish_event({"event_type": "a.b"})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="store"):
        EventBus("mem://")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidName):
        EventBus(store, system="shop/external")


async def test_a_cursor_that_is_ahead_ends_its_subscription_and_says_why(bus: EventBus) -> None:
    subscription = bus.subscribe("a.b", print, after="9-99")
    with pytest.raises(InvalidCursor, match="ahead"):
        await subscription.begun()
    await until(lambda: not subscription.is_active)
    assert isinstance(subscription.error, InvalidCursor)


async def test_an_event_that_was_delivered_can_be_published_again(bus: EventBus) -> None:
    await publish(bus, 1)
    (found,) = await bus.get_event_history()
    await bus.publish_event(found)
    again = await bus.get_event_history()
    assert [event.event_id for event in again] == [found.event_id] * 2
    assert len({event.position for event in again}) == 2
