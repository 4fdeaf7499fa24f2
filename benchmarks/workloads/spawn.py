"""spawn: how fast actors come to be."""

from __future__ import annotations

import asyncio
import math

import trio

from benchmarks.workloads.numbers import Number
from benchmarks.workloads.trial import Trial, Workload, least
from sentient_core import Actor, ActorSystem, MemoryStore, handles

__all__ = ["Idle", "spawn"]


class Idle(Actor):
    """Has nothing to do."""

    durability = "volatile"

    def __init__(self, number: int) -> None:
        self.total = number

    @handles
    def number(self, message: Number) -> None:
        self.total += message.value


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        started = trial.clock()
        refs = [await system.spawn(Idle, number) for number in range(trial.count)]
        rate = trial.rate_since(started)
        assert all(ref.is_alive for ref in refs)
    return rate


async def _tasks(trial: Trial) -> float:
    idle: list[tuple[asyncio.Queue[Number], asyncio.Task[None]]] = []

    async def take(queue: asyncio.Queue[Number], total: int) -> None:
        while True:
            total += (await queue.get()).value

    started = trial.clock()
    for number in range(trial.count):
        queue: asyncio.Queue[Number] = asyncio.Queue()
        idle.append((queue, asyncio.create_task(take(queue, number))))
    await asyncio.sleep(0)  # now every one of them waits at its queue
    rate = trial.rate_since(started)
    for _, task in idle:
        task.cancel()
    return rate


async def _channels(trial: Trial) -> float:
    idle: list[trio.MemorySendChannel[Number]] = []

    async def take(receiver: trio.MemoryReceiveChannel[Number], total: int) -> None:
        while True:
            total += (await receiver.receive()).value

    async with trio.open_nursery() as nursery:
        started = trial.clock()
        for number in range(trial.count):
            sender, receiver = trio.open_memory_channel[Number](math.inf)
            idle.append(sender)
            nursery.start_soon(take, receiver, number)
        await trio.lowlevel.checkpoint()
        rate = trial.rate_since(started)
        nursery.cancel_scope.cancel()
    return rate


spawn = Workload(
    name="spawn",
    about="Actors without a name, one after the other, each ready before the next. The baseline makes a "
    "queue and a task that waits at it. Counted: actors.",
    unit="actors/s",
    count=10_000,
    quick_count=1_000,
    actors=_actors,
    tasks=_tasks,
    channels=_channels,
    is_sized=True,
    goals=least(8, 8),
    limit="what an actor is: a place in its parent's family, an address, a mailbox, a cell to be supervised",
)
