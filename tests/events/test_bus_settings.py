"""What the settings do to the event bus.

EVENT_BUS_BACKEND=memory: what is published is kept in memory alone, beside a system's journal; what happens
to actors is in that journal as ever. ENABLE_LIVE_QUERIES=false: nobody begins one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, Settings, SurrealStore
from sentient_core.agents import SurrealDBConfig
from sentient_core.config import StorageBackend
from sentient_core.events import AgentEvent, EventBus
from sentient_core.store.streams import external_stream
from tests.events.listeners import Seen, an_event, publish
from tests.probes import Add, Counter, Fail, Total
from tests.store.server import Server

MEMORY = Settings(event_bus_backend=StorageBackend.MEMORY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SurrealStore]:
    """One on disk."""
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        yield store


async def stored_types(store: SurrealStore) -> set[str]:
    (types,) = await store.query("SELECT VALUE event_type FROM agent_event")
    return set(types)


async def test_what_is_published_in_a_system_is_followed_and_found_and_not_stored(
    store: SurrealStore,
) -> None:
    seen = Seen()
    async with ActorSystem("shop", store=store, settings=MEMORY) as system:
        system.events.subscribe("shop.sold", seen)
        await publish(system.events, 1, 2, 3)

        with anyio.fail_after(60):
            await seen.until(3)
        assert len(await system.events.get_event_history(event_type="shop.sold")) == 3
        assert "shop.sold" not in await stored_types(store)

    async with ActorSystem("shop", store=store, settings=MEMORY) as again:
        assert await again.events.get_event_history(event_type="shop.sold") == []


async def test_by_default_it_is_stored(store: SurrealStore) -> None:
    async with ActorSystem("shop", store=store, settings=Settings()) as system:
        await publish(system.events, 1)
        await system.flush()

        assert "shop.sold" in await stored_types(store)


async def test_what_happens_to_actors_is_told_and_stored_as_ever(store: SurrealStore) -> None:
    async with ActorSystem("shop", store=store, settings=MEMORY) as system:
        async with system.events.subscription(("actor_failed", "shop.sold")) as events:
            counter = await system.spawn(Counter, name="a")
            await publish(system.events, 1)
            counter.tell(Fail())
            assert await counter.ask(Total(), timeout=60) == 0
            with anyio.fail_after(60):
                types = {(await anext(events)).event_type, (await anext(events)).event_type}
        assert types == {"actor_failed", "shop.sold"}
        history = await system.events.get_event_history(limit=1000)
        assert types < {event.event_type for event in history}
        times = [event.timestamp for event in history]
        assert times == sorted(times, reverse=True)
        assert "actor_failed" in await stored_types(store)


async def test_replay_then_follow_has_no_gap_and_no_double_over_both(store: SurrealStore) -> None:
    async with ActorSystem("shop", store=store, settings=MEMORY) as system:
        counter = await system.spawn(Counter, name="a")
        start = await system.events.now()
        seen: list[AgentEvent] = []
        for n in range(20):
            await publish(system.events, n)
            counter.tell(Add())
        assert await counter.ask(Total(), timeout=60) == 20
        async with system.events.subscription(("shop.sold", "message_sent"), after=start) as events:
            for n in range(20, 40):
                await publish(system.events, n)
                counter.tell(Add())
            with anyio.fail_after(60):
                async for event in events:
                    seen.append(event)
                    if sum(one.event_type == "shop.sold" for one in seen) == 40 and (
                        sum(one.event_type == "message_sent" for one in seen) >= 41
                    ):
                        break
        assert len({event.event_id for event in seen}) == len(seen)


async def test_buses_and_systems_of_one_config_see_each_other(tmp_path: Path) -> None:
    settings = Settings(event_bus_backend=StorageBackend.MEMORY)
    seen, of_system = Seen(), Seen()
    async with (
        SurrealDBConfig(f"surrealkv://{tmp_path}/db", settings=settings) as config,
        EventBus(config, system="shop") as first,
        EventBus(config, system="shop") as second,
        ActorSystem("shop", store=config, settings=settings) as system,
    ):
        second.subscribe("shop.sold", seen)
        system.events.subscribe("shop.sold", of_system)
        await publish(second, 0)  # both follow from here on
        await publish(system.events, 1)
        await seen.until(1)
        await of_system.until(1)
        seen.events.clear()
        of_system.events.clear()
        await publish(first, 2)
        await publish(system.events, 3)

        with anyio.fail_after(60):
            await seen.until(2)
            await of_system.until(2)
        assert seen.numbers == of_system.numbers == [2, 3]
        assert len(await first.get_event_history(event_type="shop.sold")) == 4
        assert "shop.sold" not in await stored_types(config.store)


async def test_a_callback_that_fails_leaves_a_dead_letter_where_people_look(store: SurrealStore) -> None:
    def fail(event: AgentEvent) -> None:
        raise ValueError(event.event_id)

    async with ActorSystem("shop", store=store, settings=MEMORY) as system:
        subscription = system.events.subscribe("shop.sold", fail)
        event = an_event(1)
        await system.events.publish_event(event)
        with anyio.fail_after(60):
            while system.events.statistics().dead_lettered == 0:  # noqa: ASYNC110 - it is a count
                await anyio.sleep(0.01)
        await system.flush()

        (letter,) = await system.dead_letters.list()
        assert letter.recipient == f"$subscriber/{subscription.id}"


async def test_settings_of_a_config_are_those_of_its_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENT_BUS_BACKEND", "memory")
    async with SurrealDBConfig("mem://") as config, EventBus(config) as bus:
        await publish(bus, 1)

        assert len(await bus.get_event_history()) == 1
        stream = external_stream("sentient_core")
        assert (await config.store.event_streams.heads([stream]))[stream].number == 0


@pytest.mark.parametrize("is_on", [True, False])
async def test_live_queries_are_used_or_not_as_the_settings_say(open_server: Server, is_on: bool) -> None:
    database = open_server.fresh_database()
    settings = Settings(
        surrealdb_url=open_server.url(), surrealdb_database=database, enable_live_queries=is_on
    )
    async with (
        SurrealDBConfig(settings=settings) as config,
        EventBus(config, system="shop") as bus,
        ActorSystem("bank", store=config, settings=settings) as system,
    ):
        of_bus, of_system = Seen(), Seen()
        bus.subscribe("shop.sold", of_bus)
        system.events.subscribe("shop.sold", of_system)
        for follower, seen in ((bus, of_bus), (system.events, of_system)):
            await publish(follower, 1, 2)
            await seen.until(2)
        if is_on:
            with anyio.fail_after(60):
                while not await lives(config.store):  # noqa: ASYNC110 - the server knows, and tells nobody
                    await anyio.sleep(0.02)
        else:
            assert await lives(config.store) == {}


async def lives(store: SurrealStore) -> dict[str, Any]:
    (info,) = await store.query("INFO FOR TABLE ownership")
    found: dict[str, Any] = info["lives"]
    return found
