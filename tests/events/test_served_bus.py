"""Buses on a server: other processes, live queries, lost connections, a server that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from sentient_core import ActorSystem, SurrealStore
from sentient_core.errors import StoreError
from sentient_core.events import EventBus, EventType
from tests.events.listeners import Seen, an_event, publish, until
from tests.store.server import PASSWORD, USER, Server


async def live_queries(store: SurrealStore) -> set[str]:
    """The ids of all that the server has for our tables."""
    found: set[str] = set()
    for table in ("ownership", "agent_event"):
        (info,) = await store.query(f"INFO FOR TABLE {table}")
        found |= info["lives"].keys()
    return found


async def test_a_live_query_wakes_the_bus_and_none_is_left_when_it_stops(open_server: Server) -> None:
    database = open_server.fresh_database()
    async with SurrealStore(open_server.url(), database=database) as store:
        async with EventBus(store) as bus:
            assert await live_queries(store) == set()
            seen = Seen()
            bus.subscribe("shop.sold", seen)
            with anyio.fail_after(60):
                while len(await live_queries(store)) != 1:  # noqa: ASYNC110
                    await anyio.sleep(0.005)
            async with EventBus(store) as other:  # one is enough for all of a store
                other.subscribe("shop.sold", Seen())
                await publish(other, 1)
                await seen.until(1)
                assert len(await live_queries(store)) == 1
        assert await live_queries(store) == set()


async def test_nobody_follows_so_there_is_no_live_query(open_server: Server) -> None:
    async with (
        SurrealStore(open_server.url(), database=open_server.fresh_database()) as store,
        EventBus(store) as bus,
        ActorSystem("other", store=store) as system,
    ):
        subscription = bus.subscribe("shop.sold", Seen())
        await publish(bus, 1)
        await publish(system.events, 1)
        bus.unsubscribe(subscription)
        with anyio.fail_after(60):
            while await live_queries(store):  # noqa: ASYNC110
                await anyio.sleep(0.005)


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_without_live_queries_it_looks_by_itself_and_misses_nothing(
    open_server: Server, scheme: str
) -> None:
    database = open_server.fresh_database()
    async with (
        SurrealStore(open_server.url(scheme), database=database) as store,
        SurrealStore(open_server.url(), database=database) as elsewhere,
        EventBus(store, live_queries=scheme == "http") as bus,
    ):
        seen, other = Seen(), EventBus(elsewhere)
        bus.subscribe("shop.sold", seen)
        await publish(bus, 0)
        await seen.until(1)
        for n in range(1, 30):
            await publish(other, n)
        await seen.until(30)
        assert seen.numbers == list(range(30))
        assert await live_queries(elsewhere) == set()


CHILD = """
import anyio, sys
from sentient_core import SurrealStore
from sentient_core.events import AgentEvent, EventBus
from sentient_core.store.event_filter import EventFilter

async def main():
    url, database = sys.argv[1:]
    async with SurrealStore(url, database=database) as store, EventBus(store, system="shop") as bus:
        async with bus.subscription("shop.asked") as events:
            print("ready", flush=True)
            async for event in events:
                n = event.payload["n"]
                await bus.publish_event(
                    AgentEvent(event_type="shop.answered", source_agent="child", payload={"n": n})
                )
                if n == 19:
                    break

anyio.run(main)
"""


@pytest.mark.parametrize("is_running", [False, True], ids=["beside", "of a system"])
async def test_two_processes_on_one_server_hear_each_other(open_server: Server, is_running: bool) -> None:
    database = open_server.fresh_database()
    async with SurrealStore(open_server.url(), database=database) as store:
        child = await anyio.open_process(
            [sys.executable, "-P", "-c", CHILD, open_server.url(), database],
            stderr=subprocess.STDOUT,
            cwd=Path.cwd(),
        )
        assert child.stdout is not None
        with anyio.fail_after(60):
            assert (await child.stdout.receive()).decode().strip() == "ready"

        async def talk(bus: EventBus) -> None:
            seen = Seen()
            bus.subscribe("shop.answered", seen)
            for n in range(20):
                await bus.publish_event(an_event(n, event_type="shop.asked"))
            await seen.until(20)
            assert seen.numbers == list(range(20))

        if is_running:
            async with ActorSystem("shop", store=store) as system:
                await talk(system.events)
        else:
            async with EventBus(store, system="shop") as bus:
                await talk(bus)
        with anyio.fail_after(60):
            assert await child.wait() == 0


async def test_a_bus_in_another_process_hears_what_happens_in_a_system(open_server: Server) -> None:
    database = open_server.fresh_database()
    async with (
        SurrealStore(open_server.url(), database=database) as store,
        SurrealStore(open_server.url(), database=database) as elsewhere,  # as another process has it
        EventBus(elsewhere, system="shop") as bus,
    ):
        seen = Seen()
        bus.subscribe((EventType.MIRROR_GAP, "shop.sold"), seen, after="0-0")
        async with ActorSystem("shop", store=store) as system:
            for n in range(10):
                await publish(system.events, n)
            await seen.until(10)
        assert seen.numbers == list(range(10))


async def test_a_server_that_is_killed_and_comes_back_costs_nobody_an_event(own_server: Server) -> None:
    async with own_server.store() as store, EventBus(store, system="shop") as bus:
        seen, named = Seen(), Seen()
        bus.subscribe("shop.sold", seen)
        bus.subscribe("shop.sold", named, name="billing")
        acknowledged: list[int] = []
        iterated: list[object] = []

        async def iterate() -> None:
            nonlocal iterated
            async with bus.subscription("shop.sold", after="0-0") as events:
                async for event in events:
                    iterated += [event.payload["n"]]

        async def publish_on(first: int, last: int) -> None:
            for n in range(first, last):
                try:
                    await publish(bus, n)
                except StoreError:
                    continue
                acknowledged.append(n)

        await publish_on(0, 20)
        with anyio.fail_after(60):
            while not (of_the_killed := await live_queries(store)):  # noqa: ASYNC110
                await anyio.sleep(0.005)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(iterate)
            async with anyio.create_task_group() as publishing:
                publishing.start_soon(publish_on, 20, 60)
                await anyio.sleep(0.02)
                own_server.kill()
                await anyio.sleep(0.3)
                await anyio.to_thread.run_sync(own_server.start_again)
            await publish_on(60, 80)
            await seen.until(len(acknowledged))
            await until(lambda: len(iterated) >= len(seen.numbers))
            tasks.cancel_scope.cancel()
        assert iterated == seen.numbers
        with anyio.fail_after(60):
            while set(acknowledged) - {n for n in seen.numbers if isinstance(n, int)}:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            while set(acknowledged) - {n for n in named.numbers if isinstance(n, int)}:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        stored = [event.payload["n"] for event in await bus.get_event_history(limit=1_000)]
        assert len(acknowledged) == 80
        assert sorted(stored) == sorted(n for n in seen.numbers if isinstance(n, int))
        assert seen.numbers == named.numbers
        assert len(set(seen.numbers)) == len(seen.numbers)
        with anyio.fail_after(60):
            while not await live_queries(store) - of_the_killed:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await publish_on(80, 81)
        await seen.until(81)
    async with own_server.store() as store:  # a killed server leaves what it had, and clears it away later
        assert await live_queries(store) - of_the_killed == set()


async def test_the_connection_of_the_live_query_alone_is_lost_and_comes_back(own_server: Server) -> None:
    async with own_server.store() as store, EventBus(store) as bus:
        seen = Seen()
        bus.subscribe("shop.sold", seen)
        await publish(bus, 1)
        await seen.until(1)
        own_server.kill()
        await anyio.to_thread.run_sync(own_server.start_again)
        await publish(bus, 2)
        await seen.until(2)
        async with SurrealStore(own_server.url(), username=USER, password=PASSWORD) as elsewhere:
            await publish(EventBus(elsewhere), 3)
        await seen.until(3)
    assert seen.numbers == [1, 2, 3]
