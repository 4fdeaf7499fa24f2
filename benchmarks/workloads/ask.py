"""ask: one asker that waits for each reply, of an actor with turns, and of one that may answer at once."""

from __future__ import annotations

import asyncio
import math

import trio

from benchmarks.workloads.numbers import Number
from benchmarks.workloads.trial import Trial, Workload, least
from sentient_core import Actor, ActorSystem, MemoryStore, handles

__all__ = ["Clerk", "ask", "inline_ask"]


class Clerk(Actor):
    """Answers in a turn of its own: an `async def` handler could suspend."""

    durability = "volatile"

    @handles
    async def number(self, message: Number) -> int:
        return message.value


class Oracle(Actor):
    """Answers with a plain `def`, which the runtime may run within `ask` while the actor is idle."""

    durability = "volatile"

    @handles
    def number(self, message: Number) -> int:
        return message.value


async def _ask(trial: Trial, cls: type[Actor]) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        ref = await system.spawn(cls)
        message = Number(1)
        assert await ref.ask(message, timeout=10) == 1
        started = trial.clock()
        for _ in range(trial.count):
            await ref.ask(message, timeout=10)
        return trial.rate_since(started)


async def _clerk(trial: Trial) -> float:
    return await _ask(trial, Clerk)


async def _oracle(trial: Trial) -> float:
    return await _ask(trial, Oracle)


async def _tasks(trial: Trial) -> float:
    queue: asyncio.Queue[tuple[Number, asyncio.Future[int]]] = asyncio.Queue()

    async def serve() -> None:
        while True:
            message, reply = await queue.get()
            reply.set_result(message.value)

    server = asyncio.create_task(serve())
    loop = asyncio.get_running_loop()
    message = Number(1)
    started = trial.clock()
    for _ in range(trial.count):
        reply: asyncio.Future[int] = loop.create_future()
        queue.put_nowait((message, reply))
        await reply
    rate = trial.rate_since(started)
    server.cancel()
    return rate


async def _channels(trial: Trial) -> float:
    sender, receiver = trio.open_memory_channel[tuple[Number, trio.MemorySendChannel[int]]](math.inf)

    async def serve() -> None:
        async for message, reply in receiver:
            reply.send_nowait(message.value)

    message = Number(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        started = trial.clock()
        for _ in range(trial.count):
            give, take = trio.open_memory_channel[int](1)
            sender.send_nowait((message, give))
            await take.receive()
        rate = trial.rate_since(started)
        nursery.cancel_scope.cancel()
    return rate


ask = Workload(
    name="ask",
    about="One asker outside, which waits for each reply of an `async def` handler. The baseline answers "
    "through a future. Counted: replies.",
    unit="replies/s",
    count=20_000,
    quick_count=2_000,
    actors=_clerk,
    tasks=_tasks,
    channels=_channels,
    goals=least(0.65, 0.5),
    limit="an ask costs a slot, a timer and two passes of the event loop",
)

inline_ask = Workload(
    name="inline-ask",
    about="The same, of an idle volatile actor whose handler is a plain `def`. The baseline is that of ask.",
    unit="replies/s",
    count=20_000,
    quick_count=2_000,
    actors=_oracle,
    tasks=_tasks,
    channels=_channels,
    goals=least(5, 5),
    limit="that the actor is idle and living, and may answer at once, is checked for every message",
)
