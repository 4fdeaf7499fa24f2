"""The bus of a running system: its journal is followed, and what is published goes through it."""

from __future__ import annotations

from typing import ClassVar

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorSystem, SystemClosed, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.errors import EventBusStopped
from sentient_core.events import AgentEvent, EventBus, EventSubscription, EventType
from sentient_core.store import Store
from sentient_core.store.event_filter import EventFilter
from tests.events.listeners import Seen, an_event, publish
from tests.store.places import stores

store = stores("memory", "surrealkv", "ws")


class Sell(msgspec.Struct, frozen=True):
    n: int


class Shop(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        sold: int = 0

    @handles
    async def sell(self, message: Sell) -> None:
        self.state.sold += 1
        await self.context.system.events.publish_event(an_event(message.n))
        if message.n < 0:
            raise ValueError("not for sale")


async def test_what_happens_in_the_system_comes_right_behind_its_commit(store: Store) -> None:
    seen, every = Seen(), Seen()
    async with ActorSystem("shop", store=store) as system:
        system.events.subscribe((EventType.ACTOR_STARTED, EventType.MESSAGE_SENT), seen)
        system.events.subscribe(EventFilter(), every)
        shop = await system.spawn(Shop, name="shop")
        await shop.send(Sell(1))
        await seen.until(2)
        await every.until(3)
        await publish(system.events, 2)
        await every.until(4)

    assert [event.event_type for event in seen.events] == [EventType.ACTOR_STARTED, EventType.MESSAGE_SENT]
    assert [event.payload.get("n") for event in every.events[:4]] == [None, 1, 1, 2]
    positions = [event.position or (0, 0) for event in every.events]
    assert positions == sorted(positions)


async def test_what_is_published_in_a_durable_turn_is_committed_with_it_and_gone_with_one_that_fails(
    store: Store,
) -> None:
    async with ActorSystem("shop", store=store) as system:
        shop = await system.spawn(Shop, name="shop")
        await shop.send(Sell(1))
        await shop.send(Sell(-1))
        await shop.send(Sell(2))
        with anyio.fail_after(60):
            while len(await system.events.get_event_history(event_type="shop.sold")) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        history = await system.events.get_event_history(event_type="shop.sold")
        assert [event.payload["n"] for event in history] == [2, 1]


async def test_the_history_has_what_was_published_before(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system:
        mine = an_event(1, correlation_id="c", causation_id="d", workflow_id="w")
        await system.events.publish_event(mine)
        (found,) = await system.events.get_event_history("w")
        assert (found.event_id, found.correlation_id, found.causation_id) == (mine.event_id, "c", "d")
        assert found.timestamp == mine.timestamp


async def test_a_cursor_leads_over_starts_of_the_system(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system:
        seen = Seen()
        system.events.subscribe("shop.sold", seen)
        await publish(system.events, 1, 2)
        await seen.until(2)
    cursor = seen.events[0].cursor

    async with ActorSystem("shop", store=store) as system:
        again = Seen()
        system.events.subscribe("shop.sold", again, after=cursor)
        await publish(system.events, 3)
        await again.until(2)
    assert again.numbers == [2, 3]


async def test_a_bus_beside_the_system_hears_it_and_is_heard(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as beside:
        inside, outside = Seen(), Seen()
        subscriptions = system.events.subscribe("shop.sold", inside), beside.subscribe("shop.sold", outside)
        for subscription in subscriptions:
            await subscription.begun()
        await publish(beside, 1)
        await inside.until(1)
        await outside.until(1)
        await publish(system.events, 2)
        await inside.until(2)
        await outside.until(2)
        assert inside.numbers == outside.numbers == [1, 2]
        numbers = [
            [e.payload["n"] for e in await bus.get_event_history(event_type="shop.sold")]
            for bus in (system.events, beside)
        ]
        assert numbers == [[2, 1], [2, 1]]


async def test_an_event_that_a_callback_cannot_handle_is_a_dead_letter_of_the_system(store: Store) -> None:
    def fails(event: AgentEvent) -> None:
        raise ValueError(f"no {event.payload['n']}")

    async with ActorSystem("shop", store=store) as system:
        others = Seen()
        system.events.subscribe("shop.sold", fails, name="billing")
        system.events.subscribe("shop.sold", others)
        async with system.dead_letters.follow() as letters:
            await publish(system.events, 1)
            with anyio.fail_after(60):
                letter = await anext(letters)
        await others.until(1)
        assert (letter.recipient, letter.cause, letter.tries) == (
            "$subscriber/billing",
            "ValueError: no 1",
            3,
        )
        (stored,) = await system.dead_letters.list()
        assert stored.recipient == "$subscriber/billing"
        assert system.events.statistics().dead_lettered == 1


async def test_the_bus_ends_with_the_system(store: Store) -> None:
    ended = anyio.Event()

    async def follow(bus: EventBus) -> None:
        async with bus.subscription("shop.sold") as events:
            async for _ in events:
                pass
        ended.set()

    subscriptions: list[EventSubscription] = []
    system = ActorSystem("shop", store=store)
    with pytest.raises(SystemClosed):
        _ = system.events
    async with anyio.create_task_group() as tasks:
        async with system:
            bus = system.events
            assert bus is system.events
            tasks.start_soon(follow, bus)
            subscriptions.append(bus.subscribe("shop.sold", print))
            await publish(bus, 1)
        with anyio.fail_after(60):
            await ended.wait()

    assert not subscriptions[0].is_active
    with pytest.raises(EventBusStopped):
        system.events.subscribe("shop.sold", print)


async def test_a_system_whose_events_nobody_asked_for_can_end_without_them(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system:
        pass
    with pytest.raises(SystemClosed):
        _ = system.events


async def test_who_falls_out_of_the_window_reads_rows_and_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentient_core.events.window._MOST_EVENTS", 5)
    seen, gate = Seen(), anyio.Event()

    async def slow(event: AgentEvent) -> None:
        await gate.wait()
        seen(event)

    async with ActorSystem("shop", store=store) as system:
        system.events.subscribe("shop.sold", slow)
        quick = Seen()
        system.events.subscribe("shop.sold", quick)
        await publish(system.events, *range(40))
        await quick.until(40)
        gate.set()
        await seen.until(40)
        await publish(system.events, 40)
        await seen.until(41)
    assert seen.numbers == list(range(41))
    assert quick.numbers == list(range(41))[: len(quick.numbers)]
