"""tell, ask and ping-pong between volatile actors, beside the plainest thing that does the same.

The baseline of all legs is a bare `asyncio.Queue` (with a future for the answer of an ask); trio's leg is
also compared with a memory channel of trio's own. Every side moves the same message object and counts what
arrives. A rate is messages handled per second, from the first one sent to the last one counted.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import trio

from benchmarks.measure import Figure, Goal, Settings, compared, interleaved
from sentient_core import Actor, ActorRef, ActorSystem, MailboxOptions, MemoryStore, Request, handles

__all__ = ["ask", "ping_pong", "tell"]

_CHUNK = 100
"""Messages sent before the consumer gets a pass of the loop, on every side."""

QUEUE = "asyncio.Queue"
CHANNEL = "trio channel"


class Number(Request[int], frozen=True):
    """A message, on every side the same one."""

    value: int


class Counter(Actor):
    """Counts messages and says when it has got all."""

    durability = "volatile"
    mailbox = MailboxOptions(capacity=1_000_000)

    def __init__(self, expected: int, done: anyio.Event) -> None:
        self.left = expected
        self.done = done

    @handles
    def number(self, message: Number) -> int:
        self.left -= 1
        if not self.left:
            self.done.set()
        return message.value


class Meet:
    """Tells a player who the other one is."""

    def __init__(self, other: ActorRef[Player]) -> None:
        self.other = other


class Player(Actor):
    """Sends back what it gets, to the other one."""

    durability = "volatile"

    def __init__(self, hops: int, done: anyio.Event) -> None:
        self.left = hops
        self.done = done
        self.other: ActorRef[Player] | None = None

    @handles
    def meet(self, message: Meet) -> None:
        self.other = message.other

    @handles
    def number(self, message: Number) -> None:
        if self.other is None or not self.left:
            self.done.set()
            return
        self.left -= 1
        self.other.tell(message)


def tell(settings: Settings) -> list[Figure]:
    """One sender, one receiver."""
    count = 50_000 if settings.is_quick else 300_000
    found = interleaved(
        settings,
        "tell",
        {
            QUEUE: lambda: asyncio.run(_queue_tell(count)),
            "asyncio": lambda: anyio.run(_actor_tell, count, backend="asyncio"),
            "trio": lambda: anyio.run(_actor_tell, count, backend="trio"),
            CHANNEL: lambda: trio.run(_channel_tell, count // 4),
        },
    )
    return _figures("tell", found, Goal(bound=0.5), Goal(bound=0.5), _TELL_LIMIT)


def ask(settings: Settings) -> list[Figure]:
    """One asker that waits for each reply of an idle actor."""
    count = 3_000 if settings.is_quick else 20_000
    found = interleaved(
        settings,
        "ask",
        {
            QUEUE: lambda: asyncio.run(_queue_ask(count)),
            "asyncio": lambda: anyio.run(_actor_ask, count, backend="asyncio"),
            "trio": lambda: anyio.run(_actor_ask, count, backend="trio"),
            CHANNEL: lambda: trio.run(_channel_ask, count),
        },
    )
    later = (Goal(bound=0.65, is_later=True), Goal(bound=0.5, is_later=True))
    return _figures("ask", found, *later, _ASK_LIMIT)


def ping_pong(settings: Settings) -> list[Figure]:
    """Two actors that send one message to and fro."""
    count = 10_000 if settings.is_quick else 100_000
    found = interleaved(
        settings,
        "ping-pong",
        {
            QUEUE: lambda: asyncio.run(_queue_ping_pong(count)),
            "asyncio": lambda: anyio.run(_actor_ping_pong, count, backend="asyncio"),
            "trio": lambda: anyio.run(_actor_ping_pong, count, backend="trio"),
            CHANNEL: lambda: trio.run(_channel_ping_pong, count),
        },
    )
    later = (Goal(bound=2, is_later=True), Goal(bound=2, is_later=True))
    return _figures("ping-pong", found, *later, "")


_TELL_LIMIT = "the calls of a handler, and of `tell`, per message; a queue runs no code of its user"
_ASK_LIMIT = (
    "an ask costs a slot, a timer and two passes of the event loop; answering a plain `def` of an idle actor "
    "without them is later work"
)


def _figures(
    workload: str, found: dict[str, list[float]], on_asyncio: Goal, on_trio: Goal, limit: str
) -> list[Figure]:
    base, rate = found[QUEUE], "messages/s"
    return [
        compared(workload, "asyncio", rate, found["asyncio"], QUEUE, base, goal=on_asyncio, limit=limit),
        compared(workload, "trio", rate, found["trio"], QUEUE, base, goal=on_trio, limit=limit),
        compared(workload, "trio, beside its own", rate, found["trio"], CHANNEL, found[CHANNEL]),
    ]


async def _send_chunks(count: int, send: Callable[[Any], None], pause: Callable[[], Awaitable[None]]) -> None:
    message = Number(1)
    for start in range(0, count, _CHUNK):
        for _ in range(min(_CHUNK, count - start)):
            send(message)
        await pause()


async def _actor_tell(count: int) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        ref = await system.spawn(Counter, count, done)
        started = time.perf_counter()
        await _send_chunks(count, ref.tell, anyio.lowlevel.checkpoint)
        await done.wait()
        return count / (time.perf_counter() - started)


async def _queue_tell(count: int) -> float:
    queue: asyncio.Queue[Number] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(count):
            await queue.get()

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    started = time.perf_counter()
    await _send_chunks(count, queue.put_nowait, lambda: asyncio.sleep(0))
    await consumer
    return count / (time.perf_counter() - started)


async def _channel_tell(count: int) -> float:
    sender, receiver = trio.open_memory_channel[Number](math.inf)

    async def consume() -> None:
        for _ in range(count):
            await receiver.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.lowlevel.checkpoint()
        started = time.perf_counter()
        await _send_chunks(count, sender.send_nowait, trio.lowlevel.checkpoint)
    return count / (time.perf_counter() - started)


async def _actor_ask(count: int) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        ref = await system.spawn(Counter, -1, anyio.Event())
        message = Number(1)
        started = time.perf_counter()
        for _ in range(count):
            await ref.ask(message, timeout=10)
        return count / (time.perf_counter() - started)


async def _queue_ask(count: int) -> float:
    queue: asyncio.Queue[tuple[Number, asyncio.Future[int]]] = asyncio.Queue()

    async def serve() -> None:
        while True:
            message, reply = await queue.get()
            reply.set_result(message.value)

    server = asyncio.create_task(serve())
    loop = asyncio.get_running_loop()
    message = Number(1)
    started = time.perf_counter()
    for _ in range(count):
        reply: asyncio.Future[int] = loop.create_future()
        queue.put_nowait((message, reply))
        await reply
    seconds = time.perf_counter() - started
    server.cancel()
    return count / seconds


async def _channel_ask(count: int) -> float:
    sender, receiver = trio.open_memory_channel[tuple[Number, trio.MemorySendChannel[int]]](math.inf)

    async def serve() -> None:
        async for message, reply in receiver:
            reply.send_nowait(message.value)

    message = Number(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        started = time.perf_counter()
        for _ in range(count):
            give, take = trio.open_memory_channel[int](1)
            sender.send_nowait((message, give))
            await take.receive()
        seconds = time.perf_counter() - started
        nursery.cancel_scope.cancel()
    return count / seconds


async def _actor_ping_pong(count: int) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        left = await system.spawn(Player, count // 2, done)
        right = await system.spawn(Player, count // 2, done)
        left.tell(Meet(right))
        right.tell(Meet(left))
        started = time.perf_counter()
        left.tell(Number(1))
        await done.wait()
        return count / (time.perf_counter() - started)


async def _queue_ping_pong(count: int) -> float:
    left: asyncio.Queue[Number] = asyncio.Queue()
    right: asyncio.Queue[Number] = asyncio.Queue()

    async def play(mine: asyncio.Queue[Number], other: asyncio.Queue[Number]) -> None:
        for _ in range(count // 2):
            other.put_nowait(await mine.get())

    started = time.perf_counter()
    left.put_nowait(Number(1))
    await asyncio.gather(play(left, right), play(right, left))
    return count / (time.perf_counter() - started)


async def _channel_ping_pong(count: int) -> float:
    to_left, left = trio.open_memory_channel[Number](math.inf)
    to_right, right = trio.open_memory_channel[Number](math.inf)

    async def play(mine: trio.MemoryReceiveChannel[Number], other: trio.MemorySendChannel[Number]) -> None:
        for _ in range(count // 2):
            other.send_nowait(await mine.receive())

    started = time.perf_counter()
    to_left.send_nowait(Number(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(play, left, to_right)
        nursery.start_soon(play, right, to_left)
    return count / (time.perf_counter() - started)
