"""fairness: how long one actor takes to answer while another one has more to do than it ever gets done."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import anyio
import msgspec
import trio

from benchmarks.measure import Figure, Goal, Measurement, Settings, interleaved, observed
from benchmarks.workloads.ask import Clerk
from benchmarks.workloads.numbers import Number
from benchmarks.workloads.trial import BACKENDS, CHANNEL, QUEUE, Backend
from sentient_core import Actor, ActorSystem, MemoryStore, handles
from sentient_core.bench.samples import percentile

__all__ = ["fairness"]

_BACKLOG = 1_000
_STARVED = {True: 0.1, False: 1.0}
"""Seconds after which the backlog of the queue's leg ends, quick or not: nothing else gets a turn before."""


class Busy(msgspec.Struct):
    """Whether there is still a backlog, and how much of it was handled."""

    handled: int = 0
    is_over: bool = False


class Hot(Actor):
    """Sends itself whatever it gets."""

    durability = "volatile"

    def __init__(self, busy: Busy) -> None:
        self.busy = busy
        self.again = self.context.ref.tell

    @handles
    def number(self, message: Number) -> None:
        self.busy.handled += 1
        if not self.busy.is_over:
            self.again(message)


class Found(msgspec.Struct, frozen=True):
    """What came of one leg."""

    p99: float
    """Milliseconds until the reply."""
    hot: float
    """Messages per second that the hot actor handled meanwhile."""


def _measure(settings: Settings) -> list[Figure]:
    count = 200 if settings.is_quick else 2_000

    def actors(backend: Backend) -> Callable[[], Found]:
        return lambda: anyio.run(_actors, count, backend=backend)

    def told(round_: int, found: dict[str, Found]) -> None:
        said = ", ".join(f"{name} {one.p99:.2f} (hot {one.hot:,.0f}/s)" for name, one in found.items())
        settings.say(f"fairness  round {round_}/{settings.rounds}  p99 ms: {said}")

    found = interleaved(
        {
            QUEUE: lambda: asyncio.run(_tasks(count, _STARVED[settings.is_quick])),
            "asyncio": actors("asyncio"),
            "trio": actors("trio"),
            CHANNEL: lambda: trio.run(_channels, count),
        },
        settings.rounds,
        told,
    )
    goals = {"asyncio": Goal(bound=1, is_least=False), "trio": Goal(bound=2, is_least=False)}
    notes = {QUEUE: f"starves until the backlog ends, here after {_STARVED[settings.is_quick]:g} s"}
    names = (*BACKENDS, QUEUE, CHANNEL)
    return [
        *(
            observed(
                "fairness",
                f"{name}, p99 of a reply",
                "ms",
                [one.p99 for one in found[name]],
                goal=goals.get(name),
                note=notes.get(name, ""),
                limit="the budget of messages, and of time, that the hot actor has per turn",
            )
            for name in names
        ),
        *(
            observed("fairness", f"{name}, hot side", "messages/s", [one.hot for one in found[name]])
            for name in names
        ),
    ]


async def _actors(count: int) -> Found:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        busy = Busy()
        hot = await system.spawn(Hot, busy)
        other = await system.spawn(Clerk)
        message = Number(1)
        for _ in range(_BACKLOG):
            hot.tell(message)
        return await _watched(busy, count, lambda: other.ask(message, timeout=60))


async def _tasks(count: int, seconds: float) -> Found:
    busy = Busy()
    hot: asyncio.Queue[Number] = asyncio.Queue()
    asked: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
    until = time.perf_counter() + seconds

    async def work() -> None:
        while not busy.is_over:
            hot.put_nowait(await hot.get())
            busy.handled += 1
            if not busy.handled % 1_000 and time.perf_counter() > until:
                busy.is_over = True

    async def serve() -> None:
        while True:
            (await asked.get()).set_result(1)

    async def ask() -> int:
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asked.put_nowait(reply)
        return await reply

    for _ in range(_BACKLOG):
        hot.put_nowait(Number(1))
    tasks = [asyncio.create_task(work()), asyncio.create_task(serve())]
    found = await _watched(busy, count, ask)
    for task in tasks:
        task.cancel()
    return found


async def _channels(count: int) -> Found:
    busy = Busy()
    again, hot = trio.open_memory_channel[Number](math.inf)
    put, asked = trio.open_memory_channel[trio.MemorySendChannel[int]](math.inf)

    async def work() -> None:
        while not busy.is_over:
            again.send_nowait(await hot.receive())
            busy.handled += 1

    async def serve() -> None:
        async for reply in asked:
            reply.send_nowait(1)

    async def ask() -> int:
        give, take = trio.open_memory_channel[int](1)
        put.send_nowait(give)
        return await take.receive()

    for _ in range(_BACKLOG):
        again.send_nowait(Number(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        nursery.start_soon(serve)
        found = await _watched(busy, count, ask)
        nursery.cancel_scope.cancel()
    return found


async def _watched(busy: Busy, count: int, ask: Callable[[], Awaitable[int]]) -> Found:
    """Ask so often, or as long as there is a backlog."""
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < count and not busy.is_over:
        started = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - started)
    hot = busy.handled / (time.perf_counter() - began)
    busy.is_over = True
    return Found(percentile(seconds, 0.99) * 1e3, hot)


fairness = Measurement(
    "fairness",
    f"One asker outside, which waits for each reply, while another actor works off a backlog of {_BACKLOG:,} "
    "messages and sends itself each of them again. Measured: the p99 of the reply's time, and how much the "
    "hot side gets done meanwhile.",
    _measure,
)
