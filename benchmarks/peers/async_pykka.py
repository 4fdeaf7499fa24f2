"""async-pykka: a task per actor, on asyncio alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import async_pykka

from benchmarks.peers.meters import Bytes, Meter, Rate

__all__ = ["WORKLOADS"]


class Counter(async_pykka.AsyncioActor):
    def __init__(self, expected: int, done: asyncio.Event | None) -> None:
        super().__init__()
        self.left = expected
        self.done = done

    async def on_receive(self, message: Any) -> Any:
        self.left -= 1
        if not self.left:
            self.done.set()
        return message


class Player(async_pykka.AsyncioActor):
    def __init__(self, hops: int, done: asyncio.Event) -> None:
        super().__init__()
        self.left = hops
        self.done = done
        self.following: async_pykka.ActorRef | None = None

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, async_pykka.ActorRef):
            self.following = message
        elif not self.left:
            self.done.set()
        else:
            self.left -= 1
            self.following.tell(message)


class Sender(async_pykka.AsyncioActor):
    def __init__(self, target: async_pykka.ActorRef, count: int, chunk: int) -> None:
        super().__init__()
        self.target = target
        self.left = count
        self.chunk = chunk

    async def on_receive(self, message: Any) -> None:
        for number in range(min(self.chunk, self.left)):
            self.target.tell(number)
        self.left -= self.chunk
        if self.left > 0:
            self.actor_ref.tell(message)


class Node(async_pykka.AsyncioActor):
    def __init__(self, report: async_pykka.ActorRef, first: int, leaves: int) -> None:
        super().__init__()
        self.report = report
        self.first = first
        self.leaves = leaves
        self.awaited = 10
        self.total = 0

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, int):
            self.total += message
            self.awaited -= 1
            if not self.awaited:
                self.report.tell(self.total)
        elif self.leaves == 1:
            self.report.tell(self.first)
        else:
            each = self.leaves // 10
            for place in range(10):
                Node.start(self.actor_ref, self.first + place * each, each).tell(message)


async def _tell(count: int) -> float:
    done = asyncio.Event()
    counter = Counter.start(count, done)
    rate = Rate()
    for number in range(count):
        counter.tell(number)
        if not number % 100:
            await asyncio.sleep(0)
    await done.wait()
    return rate.of(count)


async def _ask(count: int) -> float:
    counter = Counter.start(-1, None)
    rate = Rate()
    for number in range(count):
        await counter.ask(number).get(timeout=10)
    return rate.of(count)


async def _ring(players: int, count: int) -> float:
    done = asyncio.Event()
    refs = [Player.start(count // players, done) for _ in range(players)]
    for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
        ref.tell(following)
    rate = Rate()
    refs[0].tell("ball")
    await done.wait()
    return rate.of(count)


async def _fan_in(count: int) -> float:
    done = asyncio.Event()
    each = count // 100
    counter = Counter.start(each * 100, done)
    senders = [Sender.start(counter, each, 100) for _ in range(100)]
    rate = Rate()
    for sender in senders:
        sender.tell("more")
    await done.wait()
    return rate.of(each * 100)


async def _spawn(meter: type[Meter], count: int) -> float:
    started = meter()
    for _ in range(count):
        Counter.start(-1, None)
    await asyncio.sleep(0)
    return started.of(count)


async def _skynet(leaves: int) -> float:
    done = asyncio.Event()
    found = Counter.start(1, done)
    rate = Rate()
    Node.start(found, 0, leaves).tell("explore")
    await done.wait()
    return rate.of(len(async_pykka.ActorRegistry.get_all()) - 1)


def _run(workload: Callable[[int], Coroutine[Any, Any, float]], count: int) -> float:
    async def run() -> float:
        found = await workload(count)
        await async_pykka.ActorRegistry.stop_all()
        return found

    return asyncio.run(run())


WORKLOADS = {
    "tell": partial(_run, _tell),
    "ask": partial(_run, _ask),
    "ping-pong": partial(_run, partial(_ring, 2)),
    "fan-in": partial(_run, _fan_in),
    "ring": partial(_run, partial(_ring, 500)),
    "spawn": partial(_run, partial(_spawn, Rate)),
    "skynet": partial(_run, _skynet),
    "idle": partial(_run, partial(_spawn, Bytes)),
}
