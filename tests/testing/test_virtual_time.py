"""Virtual time jumps when nothing runs, and is held while something outside of the loop is under way."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import BlockingPortal

from sentient_core import Actor, ActorSystem, InvalidArgument, MemoryStore, Request, handles
from sentient_core.testing import VirtualClock, virtual_backend
from sentient_core.testing.virtual_time import VirtualLoop, clock_of
from tests.probes import Add, Counter, DurableCounter, Total
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]

HOUR = 3600.0


@pytest.fixture
def clock(anyio_backend: tuple[str, dict[str, Any]]) -> VirtualClock:
    clock = clock_of(anyio_backend)
    assert clock is not None
    return clock


@pytest.fixture
def hasty(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs counts as hung at once, nearly."""
    monkeypatch.setattr(clock, "patience", 0.05)


class Compute(Request[str], frozen=True):
    """Ask for what takes real time."""


class Worker(Actor):
    durability = "volatile"

    @handles
    async def compute(self, message: Compute) -> str:
        return await self.run_sync(slow, "a thread")


class ProcessWorker(Actor):
    durability = "volatile"

    @handles
    async def compute(self, message: Compute) -> str:
        return await self.run_process(slow, "a process")


def slow(what: str) -> str:
    """It takes longer in real time than a socket may be quiet."""
    time.sleep(0.4)
    return what


async def test_days_pass_at_once_and_exactly(clock: VirtualClock) -> None:
    begin, began = clock.now, time.monotonic()

    for _ in range(100):
        await anyio.sleep(24 * HOUR)

    assert clock.now - begin == 100 * 24 * HOUR
    assert clock.now == anyio.current_time()
    assert time.monotonic() - began < 10


async def test_deadlines_strike_in_their_order(clock: VirtualClock) -> None:
    struck: list[tuple[str, float]] = []
    begin = clock.now

    async def wait(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        struck.append((name, clock.now - begin))

    async with anyio.create_task_group() as tasks:
        for name, seconds in (("day", 24 * HOUR), ("minute", 60.0), ("hour", HOUR)):
            tasks.start_soon(wait, name, seconds)

    assert struck == [("minute", 60.0), ("hour", HOUR), ("day", 24 * HOUR)]


async def test_no_time_passes_while_a_thread_works(clock: VirtualClock) -> None:
    begin = clock.now

    with anyio.fail_after(0.1):
        assert await anyio.to_thread.run_sync(slow, "x") == "x"
        assert await anyio.to_thread.run_sync(slow, "y") == "y"

    assert clock.now == begin


def test_no_time_passes_while_an_executor_of_asyncio_works() -> None:
    async def run() -> float:
        async with asyncio.timeout(0.1):
            assert await asyncio.to_thread(slow, "x") == "x"
        return asyncio.get_running_loop().time()

    backend, options = virtual_backend("asyncio")

    assert anyio.run(run, backend=backend, backend_options=options) == 0.0


@pytest.mark.parametrize("worker", [Worker, ProcessWorker])
async def test_no_time_passes_while_an_actor_has_blocking_work_done(
    clock: VirtualClock, worker: type[Worker | ProcessWorker]
) -> None:
    clock.patience = 120.0  # a loaded machine takes more than ten seconds to start a process
    async with ActorSystem("test", store=MemoryStore()) as system:
        ref = await system.spawn(worker)
        await anyio.sleep(1.0)
        begin = clock.now

        assert (await ref.ask(Compute(), timeout=0.1)).startswith("a ")

        assert clock.now == begin


@pytest.mark.usefixtures("hasty")
async def test_work_that_hangs_does_not_keep_its_deadline_from_striking(clock: VirtualClock) -> None:
    go_on = threading.Event()
    begin = clock.now

    with anyio.move_on_after(HOUR) as scope:
        await anyio.to_thread.run_sync(go_on.wait, abandon_on_cancel=True)

    assert scope.cancelled_caught
    assert clock.now == begin + HOUR
    go_on.set()


def test_each_job_of_a_thread_of_asyncio_has_its_own_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    hold, seen = clock.hold, set[Hashable]()
    go_on = threading.Event()

    def look(jobs: Iterable[Hashable], channels: Iterable[Hashable]) -> float:
        jobs = list(jobs)
        seen.update(jobs)
        go_on.set()
        return hold(jobs, channels)

    async def run() -> list[set[Hashable]]:
        found: list[set[Hashable]] = []
        for _ in range(2):
            seen.clear()
            go_on.clear()
            with anyio.fail_after(0.1):
                await anyio.to_thread.run_sync(go_on.wait)
            found.append(set(seen))
        return found

    monkeypatch.setattr(clock, "hold", look)
    options = {"loop_factory": lambda: VirtualLoop(clock)}
    first, second = anyio.run(run, backend="asyncio", backend_options=options)

    assert first
    assert second
    assert not first & second


def test_a_thread_that_asyncio_waits_for_in_the_end_is_waited_for_in_real_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shut_down = asyncio.SelectorEventLoop.shutdown_default_executor
    go_on = threading.Event()

    async def limited(self: asyncio.SelectorEventLoop, *_: Any) -> None:
        async with asyncio.timeout(300):  # as every Python from 3.12 on
            await shut_down(self)

    async def run() -> None:
        with anyio.move_on_after(1.0):
            await asyncio.to_thread(go_on.wait)
        threading.Timer(0.1, go_on.set).start()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "shutdown_default_executor", limited)
    backend, options = virtual_backend("asyncio", patience=0.0)

    anyio.run(run, backend=backend, backend_options=options)

    assert go_on.is_set()


async def test_no_time_passes_in_a_block_that_holds_it(clock: VirtualClock) -> None:
    begin, done = clock.now, anyio.Event()

    async with BlockingPortal() as portal:
        thread = threading.Thread(target=lambda: (slow("x"), portal.call(done.set)))
        thread.start()
        with anyio.fail_after(0.1), clock.held():
            assert clock.is_held
            await done.wait()
        await anyio.to_thread.run_sync(thread.join)

    assert not clock.is_held
    assert clock.now == begin


async def test_a_child_process_is_waited_for_in_a_block_that_holds_it(clock: VirtualClock) -> None:
    begin = clock.now

    with anyio.fail_after(0.1), clock.held():
        done = await anyio.run_process([sys.executable, "-c", "print('here')"], stdout=subprocess.PIPE)

    assert done.stdout == b"here\n"
    assert clock.now == begin


async def test_a_channel_is_given_a_moment_after_each_sign_of_life(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "quiet", 1.0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def answer() -> None:
        for _ in range(3):
            time.sleep(0.4)
            theirs.send(b"x")

    thread = threading.Thread(target=answer)
    begin = clock.now
    thread.start()
    with ours, theirs:
        with anyio.fail_after(0.1):
            for _ in range(3):
                await anyio.wait_readable(ours)
                ours.recv(1)
        thread.join()

    assert clock.now == begin


async def test_an_idle_connection_keeps_no_hour_from_passing(clock: VirtualClock) -> None:
    async def echo(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for _ in range(3):
                await stream.send(b"hello")
                with anyio.fail_after(0.1):
                    assert await stream.receive() == b"hello"
            begin = clock.now
            await anyio.sleep(HOUR)
            await anyio.sleep(HOUR)

        assert clock.now == begin + 2 * HOUR
        tasks.cancel_scope.cancel()


async def test_hours_pass_over_an_embedded_database_and_none_while_it_writes(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
        ref = await system.spawn(DurableCounter, name="counter")
        began = clock.now
        for hour in range(20):
            await anyio.sleep(HOUR)
            await ref.send(Add(1), timeout=0.001)
            assert await ref.ask(Total(), timeout=0.001) == hour + 1
            with anyio.fail_after(0.001):
                await system.flush()

        assert clock.now == began + 20 * HOUR
        assert (await system.audit()).is_balanced


async def test_what_follows_events_gets_them_before_a_second_has_passed(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
        async with system.events.subscription("actor_started") as events:
            with anyio.fail_after(0.5):
                await system.spawn(Counter, name="counter")
                found = await anext(aiter(events))

        assert found.event_type == "actor_started"


def test_a_clock_begins_at_zero_with_each_loop_of_asyncio() -> None:
    backend, options = virtual_backend("asyncio")
    clock = clock_of((backend, options))
    assert clock is not None

    for _ in range(2):
        anyio.run(anyio.sleep, HOUR, backend=backend, backend_options=options)
        assert clock.now == HOUR


def test_what_is_no_virtual_backend_has_no_virtual_clock() -> None:
    assert clock_of("asyncio") is None
    assert clock_of(("trio", {"clock": None})) is None
    assert clock_of(("asyncio", {"loop_factory": None})) is None


@pytest.mark.parametrize("options", [{"patience": -1}, {"quiet": float("nan")}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"patience|quiet"):
        virtual_backend("trio", **options)
    with pytest.raises(InvalidArgument, match="asyncio"):
        virtual_backend("curio")


def test_printed_a_clock_says_the_time() -> None:
    clock = VirtualClock()
    clock.read_by(lambda: 3600.5)
    assert repr(clock) == "<VirtualClock at 3600.5 s>"
    with clock.held():
        assert repr(clock) == "<VirtualClock at 3600.5 s, held>"
