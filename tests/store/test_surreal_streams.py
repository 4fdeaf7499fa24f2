"""Who watches the streams of a database: nobody stays who could not begin, and no live query for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import anyio
import pytest

from sentient_core import StoreUnavailable
from sentient_core.store.engine import Engine
from sentient_core.store.surreal_streams import Ask, SurrealStreams
from tests.conftest import ONCE


class Away:
    """What a store runs while its server is away, or does not answer."""

    def __init__(self) -> None:
        self.work: Callable[[Engine], Coroutine[Any, Any, Any]] | None = None
        self.answers: bool = True
        self.asked: anyio.Event = anyio.Event()

    async def __call__(self, work: Callable[[Engine], Coroutine[Any, Any, Any]]) -> Any:
        self.work = work
        self.asked.set()
        if not self.answers:
            await anyio.sleep_forever()
        raise StoreUnavailable("it is away")


def streams_of(store: Away) -> SurrealStreams:
    return SurrealStreams(cast("Ask", store), cast("Ask", store), 100, 1_000, is_shared=True)


async def test_who_cannot_begin_to_watch_is_told_nothing_later() -> None:
    streams, told = streams_of(Away()), list[str]()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await streams.watch(lambda: told.append("moved"), ("bank",), live=True)

    streams.moved()
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    assert told == []


@ONCE  # what a store runs, it runs on asyncio
async def test_a_live_query_that_begins_after_all_have_gone_is_ended_at_once() -> None:
    class Thread:
        """Of a store, as far as it is needed."""

        def __init__(self) -> None:
            self.tasks: set[asyncio.Task[Any]] = set()

        def keep(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
            task = asyncio.get_running_loop().create_task(coroutine)
            self.tasks.add(task)
            return task

    class Server:
        def __init__(self) -> None:
            self.thread: Thread = Thread()

        async def own_connection(self) -> None:
            raise StoreUnavailable("it is away")

    store, server = Away(), Server()
    store.answers = False
    streams = streams_of(store)
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await streams.watch(lambda: None, ("bank",), live=True)

        tasks.start_soon(watch)
        await store.asked.wait()
        tasks.cancel_scope.cancel()

    assert store.work is not None
    with anyio.fail_after(10):
        await store.work(cast("Engine", server))  # whoever gives up a call leaves its work to be done
    assert [task for task in server.thread.tasks if not task.done()] == []
