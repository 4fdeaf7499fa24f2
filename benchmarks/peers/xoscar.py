"""xoscar: a pool without further processes; calls of methods, awaited or sent."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import xoscar as xo

from benchmarks.peers.meters import Bytes, Meter, Rate

__all__ = ["WORKLOADS"]


class Counter(xo.Actor):
    def __init__(self, expected: int, done: asyncio.Event | None) -> None:
        super().__init__()
        self.left = expected
        self.done = done

    async def number(self, value: int) -> int:
        self.left -= 1
        if not self.left:
            self.done.set()
        return value


class Player(xo.Actor):
    def __init__(self, hops: int, done: asyncio.Event) -> None:
        super().__init__()
        self.left = hops
        self.done = done

    async def link(self, following: Any) -> None:
        self.following = following

    async def ball(self) -> None:
        if not self.left:
            self.done.set()
            return
        self.left -= 1
        await self.following.ball.tell()


class Sender(xo.Actor):
    def __init__(self, target: Any) -> None:
        super().__init__()
        self.target = target

    async def more(self, left: int) -> None:
        for number in range(min(100, left)):
            await self.target.number.tell(number)
        if left > 100:
            await self.ref().more.tell(left - 100)


class Node(xo.Actor):
    def __init__(self, report: Any, first: int, leaves: int) -> None:
        super().__init__()
        self.report = report
        self.first = first
        self.leaves = leaves
        self.awaited = 10
        self.total = 0

    async def explore(self) -> None:
        if self.leaves == 1:
            await self.report.sum.tell(self.first)
            return
        each = self.leaves // 10
        for place in range(10):
            child = await xo.create_actor(
                Node, self.ref(), self.first + place * each, each, address=self.address
            )
            await child.explore.tell()

    async def sum(self, value: int) -> None:
        self.total += value
        self.awaited -= 1
        if not self.awaited:
            await self.report.sum.tell(self.total)


class Result(xo.Actor):
    def __init__(self, done: asyncio.Event) -> None:
        super().__init__()
        self.done = done

    async def sum(self, value: int) -> None:
        self.done.set()


async def _tell(address: str, count: int) -> float:
    done = asyncio.Event()
    counter = await xo.create_actor(Counter, count, done, address=address)
    rate = Rate()
    for number in range(count):
        await counter.number.tell(number)
    await done.wait()
    return rate.of(count)


async def _ask(address: str, count: int) -> float:
    counter = await xo.create_actor(Counter, -1, None, address=address)
    rate = Rate()
    for number in range(count):
        await counter.number(number)
    return rate.of(count)


async def _ring(players: int, address: str, count: int) -> float:
    done = asyncio.Event()
    refs = [await xo.create_actor(Player, count // players, done, address=address) for _ in range(players)]
    for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
        await ref.link(following)
    rate = Rate()
    await refs[0].ball.tell()
    await done.wait()
    return rate.of(count)


async def _fan_in(address: str, count: int) -> float:
    done = asyncio.Event()
    each = count // 100
    counter = await xo.create_actor(Counter, each * 100, done, address=address)
    senders = [await xo.create_actor(Sender, counter, address=address) for _ in range(100)]
    rate = Rate()
    for sender in senders:
        await sender.more.tell(each)
    await done.wait()
    return rate.of(each * 100)


async def _spawn(meter: type[Meter], address: str, count: int) -> float:
    started = meter()
    actors = [await xo.create_actor(Counter, -1, None, address=address) for _ in range(count)]
    found = started.of(count)
    assert await actors[-1].number(7) == 7
    return found


async def _skynet(address: str, leaves: int) -> float:
    done = asyncio.Event()
    result = await xo.create_actor(Result, done, address=address)
    rate = Rate()
    root = await xo.create_actor(Node, result, 0, leaves, address=address)
    await root.explore.tell()
    await done.wait()
    return rate.of((leaves * 10 - 1) // 9)


def _run(workload: Any, count: int) -> float:
    async def run() -> float:
        async with await xo.create_actor_pool(f"127.0.0.1:{xo.utils.get_next_port()}", n_process=0) as pool:
            return await workload(pool.external_address, count)

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
