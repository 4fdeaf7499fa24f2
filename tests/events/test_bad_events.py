"""Mistakes of those who publish and follow: a typed error at the call, and everybody else goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from sentient_core.agents import StateManager
from sentient_core.errors import InvalidArgument, InvalidCursor, InvalidName, UnknownEventType
from sentient_core.events import AgentEvent, EventBus
from sentient_core.store import MemoryStore, Store
from sentient_core.store.event_filter import EventFilter
from tests.events.listeners import Seen, an_event, publish
from tests.store.places import stores

NO_TEXTS: list[Any] = [5, b"x", ["a"], {}, True, "\ud800"]
NASTY = [
    "a'; REMOVE TABLE agent_event; --",
    'quo"ted ` ⟩ \\',
    "$param",
    "two\nlines",
    "a\0b",
    "🎭",
    "x" * 1_000,
]


store = stores("memory", "mem")


@pytest.fixture
async def bus(store: Store) -> AsyncIterator[EventBus]:
    async with EventBus(store, system="shop") as bus:
        yield bus


def shown(bad: object) -> str:
    return repr(bad)[:20]


@pytest.mark.parametrize(
    "field", ["source_agent", "target_agent", "workflow_id", "correlation_id", "event_id"]
)
@pytest.mark.parametrize("bad", [*NO_TEXTS, "x" * 10_000], ids=shown)
def test_an_event_with_what_is_no_text_cannot_be_made(field: str, bad: Any) -> None:
    with pytest.raises(InvalidArgument, match=field):
        an_event(**{field: bad})


def test_an_event_of_nobody_cannot_be_made() -> None:
    with pytest.raises(InvalidArgument, match="source_agent of an event is empty: say who"):
        AgentEvent(event_type="agent_started", source_agent="")


@pytest.mark.parametrize(
    "bad", ["bogus", "AGENT_STARTED", "", "\ud800.a", "a.\n", "a." + "x" * 1_000], ids=shown
)
async def test_an_unknown_type_is_refused_wherever_it_is_given(bus: EventBus, bad: str) -> None:
    with pytest.raises(InvalidArgument):
        an_event(event_type=bad)
    for wanted in (bad, [bad], EventFilter(event_type=bad) if bad.isprintable() else bad):
        with pytest.raises((UnknownEventType, InvalidArgument)):
            bus.subscribe(wanted, print)
        with pytest.raises((UnknownEventType, InvalidArgument)):
            await bus.get_event_history(event_type=wanted)
    assert bus.statistics().subscriptions == 0


@pytest.mark.parametrize("bad", NO_TEXTS, ids=shown)
async def test_filters_cursors_names_and_callbacks_that_cannot_be_are_refused(
    bus: EventBus, bad: Any
) -> None:
    for field in ("workflow_id", "agent_id"):
        with pytest.raises(InvalidArgument, match=field):
            await bus.get_event_history(**{field: bad})
    for field in ("before", "after"):
        with pytest.raises(InvalidCursor):
            await bus.get_event_history(**{field: bad})
    for field in ("source_agent", "workflow_id", "event_type"):
        with pytest.raises(InvalidArgument, match=field):
            EventFilter(**{field: bad})
    with pytest.raises(InvalidCursor):
        bus.subscribe("a.b", print, after=bad)
    with pytest.raises(InvalidName):
        bus.subscribe("a.b", print, name=bad)
    with pytest.raises(InvalidArgument, match="callback"):
        bus.subscribe("a.b", bad)
    with pytest.raises(InvalidName):
        await bus.forget_subscriber(bad)
    with pytest.raises(InvalidArgument):
        await bus.publish_event(bad)
    with pytest.raises(InvalidArgument):
        await bus.get_event_history(since=bad)
    assert not bus.unsubscribe(bad)
    assert bus.statistics().subscriptions == 0


@pytest.mark.parametrize("limit", [0, -1, "5", 1.5, None, True], ids=repr)
async def test_a_limit_that_is_no_count_is_refused(bus: EventBus, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        await bus.get_event_history(limit=limit)


@pytest.mark.parametrize("text", NASTY, ids=shown)
async def test_texts_are_data_whatever_they_look_like(bus: EventBus, text: str) -> None:
    seen = Seen()
    bus.subscribe(EventFilter(source_agent=text, workflow_id=text), seen)
    await publish(bus, 1)
    await bus.publish_event(an_event(2, source_agent=text, workflow_id=text, target_agent=text))
    await seen.until(1)
    assert seen.numbers == [2]
    found = await bus.get_event_history(workflow_id=text, agent_id=text)
    assert [replace(one, cursor=None) for one in found] == [replace(one, cursor=None) for one in seen.events]
    assert len(await bus.get_event_history()) == 2


async def test_whatever_a_callback_does_the_others_get_every_event(bus: EventBus) -> None:
    once: list[AgentEvent] = []
    own, ended, seen = Seen(), Seen(), Seen()

    def ends_itself(event: AgentEvent) -> None:
        once.append(event)
        first.unsubscribe()

    async def ends_another(_: AgentEvent) -> None:
        bus.unsubscribe(second)
        await anyio.lowlevel.checkpoint()

    def subscribes(_: AgentEvent) -> None:
        if not own.events:
            bus.subscribe("shop.sold", own)

    def raises(event: AgentEvent) -> None:
        raise ValueError(f"\ud800 {event.event_id}")

    async def publishes(event: AgentEvent) -> None:
        if event.payload["n"] == 3:
            await publish(bus, 4)

    first = bus.subscribe("shop.sold", ends_itself)
    second = bus.subscribe("shop.sold", ended)
    for callback in (ends_another, subscribes, raises, publishes, seen):
        bus.subscribe("shop.sold", callback)
    await publish(bus, 1, 2, 3)
    await seen.until(4)

    assert seen.numbers == [1, 2, 3, 4]
    assert [event.payload["n"] for event in once] == [1]
    assert not first.is_active
    assert not second.is_active


async def test_an_event_given_by_a_failing_callback_is_buried_and_the_next_one_comes(bus: EventBus) -> None:
    seen = Seen()

    def fails_once(event: AgentEvent) -> None:
        if event.payload["n"] == 1:
            raise ValueError("no 1")
        seen(event)

    bus.subscribe("shop.sold", fails_once)
    await publish(bus, 1, 2)
    await seen.until(1)
    assert seen.numbers == [2]
    (letter,) = await bus.dead_letters()
    assert letter.reason == "failed"


@pytest.mark.parametrize("bad", [5, b"x", ["a"], "", "\ud800", "a/b", "x" * 10_000], ids=shown)
def test_a_system_that_cannot_be_is_refused(bad: Any) -> None:
    for make in (EventBus, StateManager):
        with pytest.raises(InvalidName):
            make(MemoryStore(), system=bad)


@pytest.mark.parametrize("bad", [None, 5, "mem://", object()], ids=shown)
def test_what_has_no_store_is_refused(bad: Any) -> None:
    for make in (EventBus, StateManager):
        with pytest.raises(InvalidArgument):
            make(bad)
