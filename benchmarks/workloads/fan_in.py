"""fan-in: many senders, one receiver."""

from __future__ import annotations

import asyncio
import math

import anyio
import trio

from benchmarks.workloads.numbers import CHUNK, Number
from benchmarks.workloads.tell import Counter
from benchmarks.workloads.trial import Trial, Workload, least
from sentient_core import Actor, ActorRef, ActorSystem, MemoryStore, handles

__all__ = ["fan_in"]

_SENDERS = 100


class More:
    """Asks a sender for its next messages."""


class Sender(Actor):
    """Sends a chunk, and reminds itself to go on, so that others get their turns."""

    durability = "volatile"

    def __init__(self, target: ActorRef[Counter], count: int) -> None:
        self.target = target
        self.left = count

    @handles
    def more(self, message: More) -> None:
        number = Number(1)
        for _ in range(min(CHUNK, self.left)):
            self.target.tell(number)
        self.left -= CHUNK
        if self.left > 0:
            self.context.ref.tell(message)


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        each = trial.count // _SENDERS
        target = await system.spawn(Counter, each * _SENDERS, done)
        senders = [await system.spawn(Sender, target, each) for _ in range(_SENDERS)]
        started = trial.clock()
        for sender in senders:
            sender.tell(More())
        await done.wait()
        return trial.rate_since(started)


async def _tasks(trial: Trial) -> float:
    queue: asyncio.Queue[Number] = asyncio.Queue()
    each = trial.count // _SENDERS

    async def consume() -> None:
        for _ in range(each * _SENDERS):
            await queue.get()

    async def send() -> None:
        number = Number(1)
        for start in range(0, each, CHUNK):
            for _ in range(min(CHUNK, each - start)):
                queue.put_nowait(number)
            await asyncio.sleep(0)

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    started = trial.clock()
    async with asyncio.TaskGroup() as senders:
        for _ in range(_SENDERS):
            senders.create_task(send())
    await consumer
    return trial.rate_since(started)


async def _channels(trial: Trial) -> float:
    sender, receiver = trio.open_memory_channel[Number](math.inf)
    each = trial.count // _SENDERS

    async def consume() -> None:
        for _ in range(each * _SENDERS):
            await receiver.receive()

    async def send() -> None:
        number = Number(1)
        for start in range(0, each, CHUNK):
            for _ in range(min(CHUNK, each - start)):
                sender.send_nowait(number)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        for _ in range(_SENDERS):
            nursery.start_soon(send)
    return trial.rate_since(started)


fan_in = Workload(
    name="fan-in",
    about=f"{_SENDERS} actors that each send to one, {CHUNK} messages at a time, as fast as they can. Most "
    "piles up in the receiver's mailbox, as it gets no more turns than they. Counted: messages handled.",
    unit="messages/s",
    count=100_000,
    quick_count=20_000,
    actors=_actors,
    tasks=_tasks,
    channels=_channels,
    goals=least(0.75, 0.65),
    limit="the garbage collector, which walks again and again through what has piled up; a queue's consumer "
    "takes all there is before anything else gets its turn",
)
