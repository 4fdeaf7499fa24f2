"""Blocking work in threads and processes, on a real clock: virtual time would jump while they work."""

from __future__ import annotations

import gc
import os
import threading
import time
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import pytest

from sentient_core import (
    ActorRef,
    ActorSystem,
    HandlerFailed,
    InvalidArgument,
    MemoryStore,
    NotInTurn,
    StaleIncarnation,
)
from tests.ids import named
from tests.probes import Gate, Log, running
from tests.puppet import Puppet, in_turn


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, {}


async def test_run_sync_runs_in_a_thread_and_the_loop_goes_on() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)
        release = threading.Event()

        def work(value: int) -> tuple[int, int]:
            anyio.from_thread.run_sync(release.set)  # the loop has to go on for it
            return value, threading.get_ident()

        value, thread = await in_turn(ref, lambda actor: actor.run_sync(work, 3))

        assert value == 3
        assert thread != threading.get_ident()
        assert release.is_set()


async def test_the_actor_handles_one_message_at_a_time_also_then() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)
        gate, release = Gate(), threading.Event()

        def wait() -> None:
            anyio.from_thread.run_sync(gate.reached.set)
            release.wait()

        async def work(actor: Puppet) -> None:
            await actor.run_sync(wait)
            log("worked")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn, ref, work)
            await gate.reached.wait()
            ref.tell("after")
            await anyio.wait_all_tasks_blocked()
            assert log.lines == []
            release.set()
        await log.until("after")

        assert log.lines == ["worked", "after"]


async def test_what_it_raises_fails_the_handler() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        with pytest.raises(HandlerFailed) as caught:
            await in_turn(ref, lambda actor: actor.run_sync(int, "x"))

        assert isinstance(caught.value.__cause__, ValueError)


async def test_a_kill_abandons_the_thread_at_once() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, restart="temporary")
        gate, release = Gate(), threading.Event()

        def wait() -> None:
            anyio.from_thread.run_sync(gate.reached.set)
            release.wait()

        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(Exception, match="killed while handling it"):
                    await in_turn(ref, lambda actor: actor.run_sync(wait))

            tasks.start_soon(ask)
            await gate.reached.wait()
            await ref.kill()

        assert not ref.is_alive
        assert not release.is_set()
        release.set()


async def test_threads_are_limited_for_all_actors_together() -> None:
    async with ActorSystem("test", store=MemoryStore(), threads=2) as system:
        lock, at_work, most = threading.Lock(), 0, 0

        def work() -> None:
            nonlocal at_work, most
            with lock:
                at_work += 1
                most = max(most, at_work)
            time.sleep(0.01)
            with lock:
                at_work -= 1

        async def ask(ref: ActorRef[Puppet]) -> None:
            await in_turn(ref, lambda actor: actor.run_sync(work))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, await system.spawn(Puppet))

        assert most == 2


async def test_a_limiter_of_its_own_takes_the_place_of_the_systems() -> None:
    async with ActorSystem("test", store=MemoryStore(), threads=1) as system:
        limiter = anyio.CapacityLimiter(2)
        refs = [await system.spawn(Puppet) for _ in range(2)]
        both = threading.Barrier(2, timeout=10)

        async def ask(ref: ActorRef[Puppet]) -> None:
            await in_turn(ref, lambda actor: actor.run_sync(both.wait, limiter=limiter))

        async with anyio.create_task_group() as tasks:
            for ref in refs:
                tasks.start_soon(ask, ref)

        assert limiter.borrowed_tokens == 0


@pytest.mark.parametrize("threads", [0, -1, 1.5, None])
def test_a_number_of_threads_that_is_none_is_refused(threads: Any) -> None:
    with pytest.raises(InvalidArgument, match="threads must be a whole number of at least 1"):
        ActorSystem("test", store=MemoryStore(), threads=threads)


async def test_an_instance_that_has_ended_does_no_work() -> None:
    async with running() as system:
        instances: list[Puppet] = []
        ref = await system.spawn(Puppet, None, instances.append)
        await ref.kill()

        for work in (instances[0].run_sync, instances[0].run_process):
            with pytest.raises(StaleIncarnation):
                await work(os.getpid)


async def test_a_thread_of_the_actor_is_beside_it() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def work(actor: Puppet) -> None:
            with pytest.raises(NotInTurn):
                actor.context.become(None)

        await in_turn(ref, lambda actor: actor.run_sync(work, actor))


async def test_run_process_runs_in_another_process_that_is_used_again() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        pids = [await in_turn(ref, lambda actor: actor.run_process(os.getpid)) for _ in range(2)]

        assert pids[0] == pids[1] != os.getpid()


async def test_what_a_process_raises_fails_the_handler() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        with pytest.raises(HandlerFailed) as caught:
            await in_turn(ref, lambda actor: actor.run_process(int, "x"))

        assert isinstance(caught.value.__cause__, ValueError)


async def test_a_kill_ends_the_process_too() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, restart="temporary")
        begun = anyio.Event()

        async def work(actor: Puppet) -> None:
            await actor.run_process(os.getpid)
            begun.set()
            await actor.run_process(time.sleep, 3_600)

        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(Exception, match="killed while handling it"):
                    await in_turn(ref, work)

            tasks.start_soon(ask)
            await begun.wait()
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(30):
                await ref.kill()

        assert not ref.is_alive


class Caller:
    async def __call__(self) -> None: ...


async def no_work() -> None: ...


@pytest.mark.parametrize("fn", [no_work, partial(no_work), Caller(), anyio.sleep], ids=named)
@pytest.mark.parametrize("what", ["run_sync", "run_process"])
async def test_an_async_function_is_refused(what: str, fn: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        async def try_it(actor: Any) -> None:
            with pytest.raises(InvalidArgument, match=f"{what} takes plain functions.* is async"):
                await getattr(actor, what)(fn)

        await in_turn(ref, try_it)


@pytest.mark.parametrize("what", ["run_sync", "run_process"])
async def test_a_coroutine_and_what_is_no_function_are_refused(what: str) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        async def try_it(actor: Any) -> None:
            with pytest.raises(InvalidArgument, match=f"{what} takes a plain function, not <coroutine"):
                await getattr(actor, what)(no_work())
            with pytest.raises(
                InvalidArgument, match=f"{what} takes a plain function and its arguments, not 3"
            ):
                await getattr(actor, what)(3)
            gc.collect()  # a coroutine that was never awaited would warn

        await in_turn(ref, try_it)


async def test_a_thread_gives_the_heartbeats_of_its_handler() -> None:
    class Grinder(Puppet):
        handler_heartbeat = 0.5

    async with running() as system:
        ref = await system.spawn(Grinder)

        def grind(actor: Grinder) -> str:
            for n in range(10):
                time.sleep(0.1)
                actor.heartbeat(n / 10)
            seen: list[Any] = [anyio.from_thread.run_sync(lambda: ref.progress)]
            return f"ground {seen[0].value}"

        async def act(actor: Grinder) -> str:
            return await actor.run_sync(grind, actor)

        assert await in_turn(ref, act) == "ground 0.9"
