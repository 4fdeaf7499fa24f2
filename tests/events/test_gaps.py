"""What becomes of those who follow when their store is not what it was, or when nobody holds them."""

from __future__ import annotations

import gc
from typing import Any, cast

import anyio
import pytest
from structlog.testing import capture_logs

from sentient_core.errors import CursorExpired
from sentient_core.events import EventBus
from sentient_core.store import MemoryStore, Store
from tests.events.listeners import Seen, publish, until


class Replaceable:
    """A store in whose place another one can be put, as when a database is restored or begun anew."""

    def __init__(self) -> None:
        self.current = MemoryStore()

    @property
    def event_streams(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        streams = self.current.event_streams
        return getattr(streams if hasattr(streams, name) else self.current, name)


async def test_who_follows_is_told_when_the_store_has_less_than_it_had() -> None:
    store = Replaceable()
    async with EventBus(cast("Store", store), system="shop") as bus:
        seen = Seen()
        subscription = bus.subscribe("shop.sold", seen)
        async with bus.subscription("shop.sold") as events:
            await publish(bus, 1, 2, 3)
            assert [(await anext(events)).payload["n"] for _ in range(3)] == [1, 2, 3]
            store.current = MemoryStore()
            await publish(bus, 4)
            with pytest.raises(CursorExpired, match="the store has less than it had") as caught:
                await anext(events)
        await until(lambda: not subscription.is_active)
        assert isinstance(subscription.error, CursorExpired)
        assert bus.statistics().gaps == 2

        async with bus.subscription("shop.sold", after=caught.value.oldest) as events:
            assert (await anext(events)).payload["n"] == 4


async def test_an_outage_costs_an_iterator_nothing() -> None:
    store = MemoryStore()
    async with EventBus(store, system="shop") as bus, bus.subscription("shop.sold") as events:
        await publish(bus, 1)
        assert (await anext(events)).payload["n"] == 1
        store.pause()
        with anyio.move_on_after(10):
            await anext(events)
        store.resume()
        await publish(bus, 2, 3)
        assert [(await anext(events)).payload["n"] for _ in range(2)] == [2, 3]
        assert bus.statistics().gaps == 0


async def test_who_begins_to_follow_from_a_cursor_in_an_outage_gets_everything_behind_it() -> None:
    store = MemoryStore()
    async with EventBus(store, system="shop") as bus:
        other = bus.subscribe("shop.sold", Seen())
        await other.begun()
        await publish(bus, 1, 2)
        store.pause()
        seen = Seen()
        bus.subscribe("shop.sold", seen, after="0-0")
        await anyio.wait_all_tasks_blocked()
        store.resume()
        await publish(bus, 3)
        with anyio.fail_after(10):
            await seen.until(3)
        assert seen.numbers == [1, 2, 3]


@pytest.mark.parametrize("name", [None, "billing"])
async def test_an_iterator_that_is_dropped_and_not_closed_leaves_nothing_behind(name: str | None) -> None:
    store = MemoryStore()
    async with EventBus(store, system="shop") as bus:
        bus.subscription("shop.sold", name=name)  # never entered: nobody knows of it
        assert bus.statistics().subscriptions == 0
        events = bus.subscription("shop.sold", name=name)
        await events.__aenter__()
        await publish(bus, 1)
        assert (await anext(events)).payload["n"] == 1
        assert bus.statistics().subscriptions == 1
        with capture_logs() as lines:
            del events
            gc.collect()
            await until(lambda: not bus.statistics().subscriptions)
        assert ["async with" in line["event"] for line in lines] == [True]
        await until(lambda: not store.event_streams.is_watched)
        await publish(bus, 2)
        if name is not None:  # nothing is lost: the one in hand was not acknowledged
            async with bus.subscription("shop.sold", name=name) as events:
                assert [(await anext(events)).payload["n"] for _ in range(2)] == [1, 2]


async def test_one_that_is_closed_says_nothing_when_it_is_dropped() -> None:
    async with EventBus(MemoryStore(), system="shop") as bus:
        with capture_logs() as lines:
            async with bus.subscription("shop.sold") as events:
                pass
            del events
            gc.collect()
            await anyio.sleep(1)
        assert lines == []
