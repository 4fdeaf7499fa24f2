"""tell: one sender outside, one receiver."""

from __future__ import annotations

import asyncio
import math

import anyio
import anyio.lowlevel
import trio

from benchmarks.workloads.numbers import Number, send_in_chunks
from benchmarks.workloads.trial import Trial, Workload, least
from sentient_core import Actor, ActorSystem, MailboxOptions, MemoryStore, handles

__all__ = ["Counter", "tell"]


class Counter(Actor):
    """Counts messages and says when it has got all."""

    durability = "volatile"
    mailbox = MailboxOptions(capacity=1_000_000)

    def __init__(self, expected: int, done: anyio.Event) -> None:
        self.left = expected
        self.done = done

    @handles
    def number(self, message: Number) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        ref = await system.spawn(Counter, trial.count, done)
        started = trial.clock()
        await send_in_chunks(trial.count, ref.tell, anyio.lowlevel.checkpoint)
        await done.wait()
        return trial.rate_since(started)


async def _tasks(trial: Trial) -> float:
    queue: asyncio.Queue[Number] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(trial.count):
            await queue.get()

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    started = trial.clock()
    await send_in_chunks(trial.count, queue.put_nowait, lambda: asyncio.sleep(0))
    await consumer
    return trial.rate_since(started)


async def _channels(trial: Trial) -> float:
    sender, receiver = trio.open_memory_channel[Number](math.inf)

    async def consume() -> None:
        for _ in range(trial.count):
            await receiver.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        await send_in_chunks(trial.count, sender.send_nowait, trio.lowlevel.checkpoint)
    return trial.rate_since(started)


tell = Workload(
    name="tell",
    about="One sender outside of any actor, one receiver with a plain `def` handler; a pass of the loop "
    "after every hundred. Counted: messages handled.",
    unit="messages/s",
    count=300_000,
    quick_count=20_000,
    actors=_actors,
    tasks=_tasks,
    channels=_channels,
    goals=least(1.0, 0.8),
    limit="the calls of a handler, and of `tell`, per message; a queue runs no code of its user",
)
