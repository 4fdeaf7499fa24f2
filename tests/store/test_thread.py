"""The store's thread: whoever asks it for something gets an outcome, also while it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from sentient_core.errors import StoreUnavailable
from sentient_core.store.thread import StoreThread
from tests.store.samples import until

Hold = Callable[[threading.Event, threading.Event], Coroutine[None, None, None]]


async def hold_by_a_task(is_ending: threading.Event, may_end: threading.Event) -> None:
    """Keep the thread where it waits for its tasks."""
    try:
        await asyncio.sleep(3600)
    finally:
        is_ending.set()
        may_end.wait(10.0)


async def hold_by_the_executor(is_ending: threading.Event, may_end: threading.Event) -> None:
    """Keep the thread where it waits for threads of its own."""
    asyncio.get_running_loop().run_in_executor(None, may_end.wait, 10.0)
    try:
        await asyncio.sleep(3600)
    finally:
        is_ending.set()


@pytest.mark.parametrize("hold", [hold_by_a_task, hold_by_the_executor])
async def test_what_is_asked_for_while_it_ends_is_refused(hold: Hold) -> None:
    thread = StoreThread("sentient-core-store")
    thread.start()
    is_ending, may_end = threading.Event(), threading.Event()

    async def begin() -> None:
        thread.keep(hold(is_ending, may_end))

    async def ask() -> None:
        with pytest.raises(StoreUnavailable, match="closed"):
            await thread.run(lambda: asyncio.sleep(3600))

    await thread.run(begin)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(thread.stop)
            await until(is_ending.is_set)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            may_end.set()


async def test_nobody_waits_for_ever_who_asks_at_any_moment_of_the_end() -> None:
    async def ask(thread: StoreThread, passes: int) -> None:
        for _ in range(passes):
            await anyio.lowlevel.checkpoint()
        with suppress(StoreUnavailable):
            await thread.run(lambda: asyncio.sleep(0))

    with anyio.fail_after(60):
        for _ in range(50):
            thread = StoreThread("sentient-core-store")
            thread.start()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(thread.stop)
                for passes in range(40):
                    tasks.start_soon(ask, thread, passes)
