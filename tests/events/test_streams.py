"""Streams that are read from rows: whoever follows one hears of what retention has taken before he came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, cast

import pytest

from sentient_core import ActorSystem, Retention
from sentient_core.errors import CursorExpired, InvalidArgument
from sentient_core.events import EventBus
from sentient_core.events.streams import Expired, RowStream
from sentient_core.store import Store
from sentient_core.store.streams import (
    BEGINNING,
    END,
    EventPage,
    EventStreams,
    Place,
    StreamHead,
    external_stream,
)
from tests.events.listeners import publish, until
from tests.store.places import stores

store = stores("memory", "surrealkv")


ALL = Retention(events_age=0)


class PrunedMeanwhile:
    """Streams of which rows go between the look at how far they reach and the reading of them."""

    def __init__(self, streams: EventStreams, prune: Callable[[], Awaitable[object]]) -> None:
        self._streams = streams
        self._prune = prune

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    async def heads(self, streams: Sequence[str]) -> Mapping[str, StreamHead]:
        found = await self._streams.heads(streams)
        await self._prune()
        return found

    async def after(
        self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
    ) -> EventPage:
        return await self._streams.after(stream, place, upto, types=types, limit=limit)


async def head_of(streams: EventStreams, name: str) -> int:
    return (await streams.heads([name]))[name].number


async def test_who_is_at_the_head_hears_of_what_was_deleted_before_it_was_looked_at(store: Store) -> None:
    name, streams = external_stream("shop"), store.event_streams
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as bus:
        await publish(bus, 1)
        stream = RowStream(name, streams, lambda: None)
        stream.begin_at(await head_of(streams, name))
        place = stream.want(None)
        await publish(bus, 2, 3)
        await system.prune(ALL)
        await publish(bus, 4)

        assert await stream.fill(await head_of(streams, name))
        with pytest.raises(Expired) as expired:
            await stream.read(place, None)
        page = await stream.read(expired.value.oldest, None)
        assert [event.number for event in page.events] == [4]


async def test_what_is_deleted_while_it_is_read_is_not_passed_over(store: Store) -> None:
    name, streams = external_stream("shop"), store.event_streams
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as bus:
        await publish(bus, 1, 2, 3)
        meanwhile = cast("EventStreams", PrunedMeanwhile(streams, lambda: system.prune(ALL)))
        stream = RowStream(name, meanwhile, lambda: None)
        stream.begin_at(await head_of(streams, name))
        stream.want(None)
        with pytest.raises(Expired):
            await stream.read((1, END), None)


async def test_a_bus_of_a_system_that_never_runs_prunes_what_is_published_to_it(store: Store) -> None:
    async with EventBus(store, system="shop") as bus, EventBus(store, system="other") as other:
        await publish(other, 1)
        await publish(bus, 1, 2)

        await publish(bus, 3)
        streams = store.event_streams
        place = (2, END)
        await streams.take_subscriber("shop", "billing", "me", BEGINNING, place)

        assert (await bus.prune()).rows == 0  # by the defaults: 30 days
        held = await bus.prune(Retention(events_age=0))
        assert held.events.rows == 2
        assert [event.payload["n"] for event in await bus.get_event_history()] == [3]
        await bus.forget_subscriber("billing")
        assert (await bus.prune(Retention(events_age=0))).events.rows == 1
        assert (await bus.prune(Retention(events_age=0))).rows == 0

        with pytest.raises(CursorExpired):
            async with bus.subscription("shop.sold", after="0-1") as events:
                await anext(events)
        async with bus.subscription("shop.sold", after=await bus.now()) as events:
            await publish(bus, 4)
            assert (await anext(events)).payload["n"] == 4

        assert len(await other.get_event_history()) == 1
        with pytest.raises(InvalidArgument, match="Retention"):
            await bus.prune(30)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_a_bus_with_a_retention_keeps_to_it_while_it_runs(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="Retention"):
        EventBus(store, retention=30)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    limits = Retention(events_age=0.05, every=0.02, share=1)
    async with EventBus(store, system="shop", retention=limits) as bus:
        await publish(bus, 1, 2)
        await until(lambda: nothing_is_left(bus))
    async with ActorSystem("shop", store=store) as system, EventBus(store, system="shop") as bus:
        await publish(bus, 3)
        assert (await bus.prune(Retention(events_age=0))).events.rows == 1  # beside one that runs, too
        assert (await system.prune(Retention(events_age=0))).events.rows >= 0


async def nothing_is_left(bus: EventBus) -> bool:
    return not await bus.get_event_history()
