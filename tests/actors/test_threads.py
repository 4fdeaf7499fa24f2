"""Threads inside of handlers, on a real clock: virtual time would jump while they work."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from sentient_core import Actor, ActorRef, handles
from sentient_core.actors.current import current_cell
from tests.probes import Gate, Log, Recorder, Say, running


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, {}


class Threaded(Actor):
    def __init__(self, other: ActorRef[Recorder] | None = None) -> None:
        self.other = other

    @handles
    async def sync_work(self, message: int) -> bool:
        loop_thread = threading.get_ident()
        thread = await anyio.to_thread.run_sync(threading.get_ident)
        return thread != loop_thread

    @handles
    async def back_into_the_loop(self, message: str) -> str:
        def work() -> str:
            return anyio.from_thread.run(self._on_the_loop, message)

        return await anyio.to_thread.run_sync(work)

    @handles
    async def tell_from_the_thread(self, message: Say) -> None:
        def work() -> None:
            assert self.other is not None
            anyio.from_thread.run_sync(self.other.tell, message)

        await anyio.to_thread.run_sync(work)

    async def _on_the_loop(self, message: str) -> str:
        await anyio.lowlevel.checkpoint()
        cell = current_cell.get()
        return f"{message} in {None if cell is None else cell.path}"


async def test_a_handler_awaits_a_thread() -> None:
    async with running() as system:
        ref = await system.spawn(Threaded)

        assert await ref.ask(1, timeout=10) is True


async def test_a_thread_calls_back_into_the_loop() -> None:
    async with running() as system:
        ref = await system.spawn(Threaded, name="a")

        assert await ref.ask("back", timeout=10) == "back in a"


async def test_a_thread_tells_through_the_loop() -> None:
    async with running() as system:
        log = Log()
        other = await system.spawn(Recorder, log, name="other")
        ref = await system.spawn(Threaded, other)

        await ref.ask(Say("from a thread"), timeout=10)
        await log.until("from a thread")


async def test_hundreds_of_threads_at_once() -> None:
    async with running() as system:
        refs = [await system.spawn(Threaded) for _ in range(200)]
        replies: list[bool] = []

        async def ask(ref: ActorRef[Threaded]) -> None:
            replies.append(await ref.ask(1, timeout=30))

        async with anyio.create_task_group() as tasks:
            for ref in refs:
                tasks.start_soon(ask, ref)

        assert replies == [True] * 200


async def test_a_kill_waits_for_a_thread_that_cannot_be_cancelled() -> None:
    release = threading.Event()
    started = Gate()

    def wait() -> None:
        anyio.from_thread.run_sync(started.reached.set)
        release.wait()

    class Stuck(Actor):
        @handles
        async def work(self, message: int) -> None:
            await anyio.to_thread.run_sync(wait)

    async with running() as system:
        ref = await system.spawn(Stuck, restart="temporary")
        ref.tell(1)
        await started.reached.wait()

        ending = ref.kill()
        await anyio.wait_all_tasks_blocked()
        assert ref.is_alive
        release.set()
        await ending

        assert not ref.is_alive
