"""Named subscribers continue where they acknowledged, and what they still want is kept for them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore, Retention, SurrealStore
from sentient_core.errors import CursorExpired, SubscriberTaken
from sentient_core.events import AgentEvent, EventBus
from sentient_core.store import Store
from sentient_core.store.retention import held_by
from sentient_core.store.streams import END
from tests.conftest import ONCE
from tests.events.listeners import Seen, publish, until
from tests.store.places import stores

store = stores("memory", "surrealkv", "ws")


async def test_the_next_of_the_name_goes_on_where_the_last_has_acknowledged(store: Store) -> None:
    first, second = Seen(), Seen()
    async with EventBus(store, system="shop") as bus:
        bus.subscribe("shop.sold", first, name="billing")
        await publish(bus, 1, 2)
        await first.until(2)
    async with EventBus(store, system="shop") as bus:
        await publish(bus, 3)
        bus.subscribe("shop.sold", second, name="billing", after="0-0")
        await publish(bus, 4)
        await second.until(2)
        (stored,) = await bus.subscribers()
        assert stored.name == "billing"

    assert first.numbers == [1, 2]
    assert second.numbers == [3, 4]


async def test_an_event_that_one_has_failed_with_and_left_is_for_the_next_of_the_name() -> None:
    second, has_failed = Seen(), anyio.Event()

    def fail(event: AgentEvent) -> None:
        has_failed.set()
        raise ValueError(event)

    async with EventBus(MemoryStore(), system="shop") as bus:
        first = bus.subscribe("shop.sold", fail, name="billing")
        await publish(bus, 1)
        await has_failed.wait()
        first.unsubscribe()
        await until(lambda: not bus.statistics().subscriptions)
        bus.subscribe("shop.sold", second, name="billing")
        await second.until(1)
        assert not await bus.dead_letters()

    assert second.numbers == [1]


async def test_a_new_one_begins_behind_the_cursor_it_is_given(store: Store) -> None:
    seen = Seen()
    async with EventBus(store, system="shop") as bus:
        await publish(bus, 1)
        bus.subscribe("shop.sold", seen, name="billing", after="0-0")
        await seen.until(1)
    assert seen.numbers == [1]


async def test_an_iterator_acknowledges_when_the_next_is_asked_for_and_in_an_orderly_end(
    store: Store,
) -> None:
    async with EventBus(store, system="shop") as bus:
        await publish(bus, 1, 2, 3, 4)
        with pytest.raises(ValueError, match="in the middle"):  # noqa: PT012 - raised within what is tested
            async with bus.subscription("shop.sold", name="billing", after="0-0") as events:
                async for event in events:
                    if event.payload["n"] == 2:
                        raise ValueError("in the middle")
        found: list[object] = []
        async with bus.subscription("shop.sold", name="billing") as events:
            async for event in events:
                found.append(event.payload["n"])
                if event.payload["n"] == 3:
                    break
        async with bus.subscription("shop.sold", name="billing") as events:
            found.append((await anext(events)).payload["n"])

    assert found == [2, 3, 4]


async def test_two_of_one_name_the_later_takes_over_and_the_earlier_ends(store: Store) -> None:
    first, second = Seen(), Seen()
    async with EventBus(store, system="shop") as one, EventBus(store, system="shop") as other:
        earlier = one.subscribe("shop.sold", first, name="billing")
        await publish(one, 1)
        await first.until(1)
        with anyio.fail_after(60):
            while (await one.subscribers())[0].external[0] < 1:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.001)
        (before,) = await one.subscribers()
        other.subscribe("shop.sold", second, name="billing")
        with anyio.fail_after(60):
            while (await one.subscribers())[0].owner == before.owner:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.001)
        await publish(other, 2)
        await second.until(1)
        await publish(other, 3)
        with anyio.fail_after(60):
            while earlier.is_active:
                await publish(other, 4)
                await anyio.sleep(0.001)
        await second.until(2)

    assert isinstance(earlier.error, SubscriberTaken)
    assert second.numbers[:2] == [2, 3]


async def test_one_that_is_forgotten_begins_anew(store: Store) -> None:
    seen = Seen()
    async with EventBus(store, system="shop") as bus:
        async with bus.subscription("shop.sold", name="billing") as events:
            await publish(bus, 1)
            await anext(events)
        assert await bus.forget_subscriber("billing")
        assert not await bus.forget_subscriber("billing")
        assert await bus.subscribers() == []
        bus.subscribe("shop.sold", seen, name="billing")
        await publish(bus, 2)
        await seen.until(1)
    assert seen.numbers == [2]


ALL = Retention(events_age=0, events_bytes=0)


async def test_retention_never_passes_what_a_named_subscriber_has_not_acknowledged(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as beside:
        bus = system.events
        async with bus.subscription("shop.sold", name="billing") as events:
            await publish(bus, 1, 2, 3)
            await publish(beside, 11, 12)
            assert (await anext(events)).payload["n"] == 1
            assert (await anext(events)).payload["n"] in (2, 11)
        await system.flush()
        await system.prune(ALL)

        async with bus.subscription("shop.sold", name="billing") as events:
            found = {(await anext(events)).payload["n"] for _ in range(3)}
        assert found | {1, 2, 11} >= {2, 3, 12}

        await system.flush()
        pruned = await system.prune(ALL)
        assert pruned.events.rows >= 1
        assert len(await bus.get_event_history(event_type="shop.sold")) <= 1


async def test_one_that_was_away_longer_than_retention_waits_is_told_what_the_oldest_is(store: Store) -> None:
    gone = Retention(events_age=0, subscribers_age=0)
    async with ActorSystem("shop", store=store) as system:
        bus = system.events
        async with bus.subscription("shop.sold", name="billing"):
            pass
        before = await bus.now()
        await publish(bus, 1, 2)
        await system.flush()
        await system.prune(gone)
        await publish(bus, 3)

        with pytest.raises(CursorExpired) as expired:
            async with bus.subscription("shop.sold", name="billing") as events:
                await anext(events)
        seen, late, everything = Seen(), Seen(), Seen()
        plain = bus.subscribe("shop.sold", late, after=before)
        bus.subscribe("shop.sold", seen, after=expired.value.oldest)
        bus.subscribe("shop.sold", everything, after="0-0")
        await seen.until(1)
        await everything.until(1)
        with anyio.fail_after(60):
            while plain.is_active:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.001)

    assert isinstance(plain.error, CursorExpired)
    assert late.numbers == []
    assert seen.numbers == everything.numbers == [3]


async def test_what_is_published_from_outside_is_pruned_as_well(store: Store) -> None:
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as beside:
        await publish(beside, 1, 2)
        before = str(await beside.now())
        await publish(beside, 3)
        pruned = await system.prune(Retention(events_age=0))
        assert pruned.events.rows >= 3
        assert [event.payload["n"] for event in await beside.get_event_history(event_type="shop.sold")] == []
        with pytest.raises(CursorExpired):
            async with beside.subscription("shop.sold", after=before) as events:
                await anext(events)


def test_who_holds_what() -> None:
    retention = Retention(subscribers_age=10)
    second = 1_000_000_000
    assert held_by([], retention, 0)[0] > 10**15
    here, away = 100 * second, 80 * second
    assert held_by([((5, END), (7, 0), here), ((9, 1), (8, END), here)], retention, 100 * second) == (5, 6)
    assert held_by([((5, END), (7, 0), away), ((9, 1), (8, END), here)], retention, 100 * second) == (8, 8)
    for_ever = Retention(subscribers_age=None)
    assert held_by([((5, END), (7, 0), 0)], for_ever, 100 * second) == (5, 6)


CHILD = """
import anyio, sys
from sentient_core import SurrealStore
from sentient_core.events import AgentEvent, EventBus

async def main():
    async with SurrealStore(sys.argv[1]) as store, EventBus(store, system="shop") as bus:
        async with bus.subscription("shop.sold", name="billing", after="0-0") as events:
            async for event in events:
                print(event.payload["n"], flush=True)
                await anyio.sleep(0.01)

anyio.run(main)
"""


@ONCE
async def test_a_killed_process_is_continued_where_it_had_acknowledged(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    async with SurrealStore(url) as store:
        await publish(EventBus(store, system="shop"), *range(50))

    done: list[int] = []
    while len(set(done)) < 50:
        child = await anyio.open_process(
            [sys.executable, "-P", "-c", CHILD, url], stderr=subprocess.STDOUT, cwd=Path.cwd()
        )
        assert child.stdout is not None
        seen: list[int] = []
        async for text in child.stdout:
            seen += [int(line) for line in text.decode().split()]
            if len(seen) >= 20 or 49 in seen:
                break
        child.send_signal(signal.SIGKILL)
        # what it handled until the signal came counts as well
        seen += [int(line) async for text in child.stdout for line in text.decode().split()]
        await child.wait()
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        if done:
            # Nothing is missed; of what was handled last, the end of it may come again.
            assert done[-1] - 5 <= seen[0] <= done[-1] + 1
        done += seen


async def test_one_that_is_unsubscribed_before_it_has_begun_takes_the_name_from_nobody(store: Store) -> None:
    seen = Seen()
    async with EventBus(store, system="shop") as bus:
        earlier = bus.subscribe("shop.sold", seen, name="billing")
        await earlier.begun()
        later = bus.subscribe("shop.sold", Seen(), name="billing")
        later.unsubscribe()
        await later.begun()
        (stored,) = await bus.subscribers()
        await publish(bus, 1)
        await seen.until(1)
        with anyio.fail_after(60):
            while (await bus.subscribers())[0].external[0] < 1:  # noqa: ASYNC110 - nothing tells
                await anyio.sleep(0.001)
        assert [one.owner for one in await bus.subscribers()] == [stored.owner]
        assert earlier.is_active


async def test_what_ends_an_iteration_is_heard_also_when_the_last_acknowledgement_fails() -> None:
    store = MemoryStore()
    async with EventBus(store, system="shop") as bus:

        async def fail_in_an_outage() -> None:
            async with bus.subscription("shop.sold", name="billing") as events:
                await publish(bus, 1)
                await anext(events)
                store.pause()
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await fail_in_an_outage()
        store.resume()

        with anyio.CancelScope() as scope:
            async with bus.subscription("shop.sold", name="billing") as events:
                await anext(events)
                await publish(bus, 2)
                store.pause()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        store.resume()


async def test_the_looking_ends_with_a_follower_that_left_at_once() -> None:
    store = MemoryStore()
    async with EventBus(store, system="shop") as bus:
        bus.unsubscribe(bus.subscribe("shop.sold", Seen()))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert not store.event_streams.is_watched
