"""stop: how long very many actors take to end, one after the other, and how the event loop fares then."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import anyio
import msgspec
import trio

from benchmarks.measure import Figure, Goal, Measurement, Settings, interleaved, observed
from benchmarks.workloads.spawn import Idle
from benchmarks.workloads.trial import BACKENDS, TASK, Backend, Trial, Workload
from sentient_core import ActorSystem, ChildSpec, MemoryStore, Supervisor
from sentient_core.bench.samples import percentile

__all__ = ["stop_lag", "stop_many", "stop_very_many"]

_TICK = 0.001
"""Seconds that the watcher of the loop sleeps; what it oversleeps is the lag."""


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        for number in range(trial.count):
            await system.spawn(Idle, number)
        started = trial.clock()
    return trial.rate_since(started)


async def _tasks(trial: Trial) -> float:
    async def live() -> None:
        await asyncio.get_running_loop().create_future()

    tasks = [asyncio.create_task(live()) for _ in range(trial.count)]
    await asyncio.sleep(0)
    started = trial.clock()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return trial.rate_since(started)


async def _channels(trial: Trial) -> float:
    async with trio.open_nursery() as nursery:
        for _ in range(trial.count):
            nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        nursery.cancel_scope.cancel()
    return trial.rate_since(started)


def _stop(name: str, count: int, *, is_long: bool) -> Workload:
    return Workload(
        name=name,
        about=f"A system ends with {count:,} actors, each asked, and down before the next one is. In the "
        "baseline as many tasks are cancelled together, and awaited together. Counted: actors.",
        unit="actors/s",
        count=count,
        quick_count=count // 10,
        actors=_actors,
        tasks=_tasks,
        channels=_channels,
        baseline=TASK,
        is_sized=True,
        is_long=is_long,
        limit="one after the other: each end is reported to the family, with a deadline for it set and taken "
        "back; tasks that are cancelled together owe nobody an order",
    )


stop_many = _stop("stop-10k", 10_000, is_long=False)
stop_very_many = _stop("stop-100k", 100_000, is_long=True)


class Lag(msgspec.Struct, frozen=True):
    """How much later than it wanted to a task came round, in milliseconds, while actors ended."""

    p99: float
    most: float


def _measure(settings: Settings) -> list[Figure]:
    count = 10_000 if settings.is_quick else 100_000

    def told(round_: int, found: dict[str, Lag]) -> None:
        said = ", ".join(f"{name} {lag.p99:.1f} (most {lag.most:.1f})" for name, lag in found.items())
        settings.say(f"stop-lag  round {round_}/{settings.rounds}  p99 ms: {said}")

    def leg(backend: Backend, is_declared: bool) -> Callable[[], Lag]:
        return lambda: anyio.run(_lag, count, is_declared, backend=backend)

    kinds = {"spawned": False, "declared": True}
    legs = {
        f"{backend}, {kind}": leg(backend, is_declared)
        for backend in BACKENDS
        for kind, is_declared in kinds.items()
    }
    found = interleaved(legs, settings.rounds, told, is_warm=True)
    goal = Goal(bound=10, is_least=False)
    return [
        *(
            observed("stop-lag", f"{name}, p99", "ms", [lag.p99 for lag in found[name]], goal=goal)
            for name in legs
        ),
        *(observed("stop-lag", f"{name}, most", "ms", [lag.most for lag in found[name]]) for name in legs),
    ]


async def _lag(count: int, is_declared: bool) -> Lag:
    lags: list[float] = []

    async def tick() -> None:
        while True:
            slept = time.perf_counter()
            await anyio.sleep(_TICK)
            lags.append((time.perf_counter() - slept - _TICK) * 1e3)

    async with anyio.create_task_group() as tasks:
        async with ActorSystem("bench", store=MemoryStore(), watchdog=None) as system:
            if is_declared:
                await system.spawn(_office(count))
            else:
                for number in range(count):
                    await system.spawn(Idle, number)
            gc.collect()
            gc.disable()
            tasks.start_soon(tick)
            await anyio.sleep(10 * _TICK)
            lags.clear()
        gc.enable()
        tasks.cancel_scope.cancel()
    return Lag(percentile(lags, 0.99), max(lags))


def _office(count: int) -> type[Supervisor]:
    class Office(Supervisor):
        durability = "volatile"
        children = tuple(ChildSpec(Idle, name=str(number), args=(number,)) for number in range(count))

    return Office


stop_lag = Measurement(
    "stop-lag",
    "The event loop while a system with 100,000 actors ends, spawned ones or the declared children of one "
    "supervisor: by how much a task that sleeps for a millisecond oversleeps. Python's collector is off "
    "meanwhile; it looks through all objects there are, a tenth of a second for so many actors.",
    _measure,
)
