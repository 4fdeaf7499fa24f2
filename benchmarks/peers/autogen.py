"""autogen-core: its single-threaded runtime; a message to one agent is published to a topic of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)

from benchmarks.peers.meters import Bytes, Meter, Rate

__all__ = ["WORKLOADS"]


@dataclass
class Number:
    value: int


@dataclass
class Explore:
    first: int
    leaves: int
    report: str


class Counter(RoutedAgent):
    def __init__(self, expected: int, done: asyncio.Event | None) -> None:
        super().__init__("counts")
        self.left = expected
        self.done = done

    @message_handler
    async def number(self, message: Number, ctx: MessageContext) -> Number:
        self.left -= 1
        if not self.left:
            self.done.set()
        return message


class Player(RoutedAgent):
    def __init__(self, players: int, hops: int, done: asyncio.Event) -> None:
        super().__init__("passes on what it gets")
        self.following = TopicId("player", str((int(self.id.key) + 1) % players))
        self.left = hops
        self.done = done

    @message_handler
    async def number(self, message: Number, ctx: MessageContext) -> None:
        if not self.left:
            self.done.set()
            return
        self.left -= 1
        await self.publish_message(message, self.following)


class Sender(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("sends by the hundred")

    @message_handler
    async def more(self, message: Number, ctx: MessageContext) -> None:
        for number in range(min(100, message.value)):
            await self.publish_message(Number(number), TopicId("counter", "only"))
        if message.value > 100:
            await self.publish_message(Number(message.value - 100), TopicId("sender", self.id.key))


class Node(RoutedAgent):
    def __init__(self, done: asyncio.Event) -> None:
        super().__init__("adds up")
        self.done = done
        self.awaited = 10
        self.total = 0
        self.report = ""

    @message_handler
    async def explore(self, message: Explore, ctx: MessageContext) -> None:
        self.report = message.report
        if message.leaves == 1:
            await self.publish_message(Number(message.first), TopicId("node", self.report))
            return
        each = message.leaves // 10
        for place in range(10):
            first = message.first + place * each
            await self.publish_message(Explore(first, each, self.id.key), TopicId("node", f"{first}-{each}"))

    @message_handler
    async def sum(self, message: Number, ctx: MessageContext) -> None:
        self.total += message.value
        self.awaited -= 1
        if self.awaited:
            return
        if self.report:
            await self.publish_message(Number(self.total), TopicId("node", self.report))
        else:
            self.done.set()


async def _register(
    runtime: SingleThreadedAgentRuntime, cls: type[RoutedAgent], name: str, make: Callable[[], RoutedAgent]
) -> None:
    await cls.register(runtime, name, make)
    await runtime.add_subscription(TypeSubscription(name, name))


async def _tell(runtime: SingleThreadedAgentRuntime, count: int) -> float:
    done = asyncio.Event()
    await _register(runtime, Counter, "counter", lambda: Counter(count, done))
    rate = Rate()
    for number in range(count):
        await runtime.publish_message(Number(number), TopicId("counter", "only"))
    await done.wait()
    return rate.of(count)


async def _ask(runtime: SingleThreadedAgentRuntime, count: int) -> float:
    await _register(runtime, Counter, "counter", lambda: Counter(-1, None))
    rate = Rate()
    for number in range(count):
        await runtime.send_message(Number(number), AgentId("counter", "only"))
    return rate.of(count)


async def _ring(players: int, runtime: SingleThreadedAgentRuntime, count: int) -> float:
    done = asyncio.Event()
    await _register(runtime, Player, "player", lambda: Player(players, count // players, done))
    for number in range(players):
        await runtime.get("player", str(number), lazy=False)
    rate = Rate()
    await runtime.publish_message(Number(1), TopicId("player", "0"))
    await done.wait()
    return rate.of(count)


async def _fan_in(runtime: SingleThreadedAgentRuntime, count: int) -> float:
    done = asyncio.Event()
    await _register(runtime, Counter, "counter", lambda: Counter(count // 100 * 100, done))
    await _register(runtime, Sender, "sender", Sender)
    rate = Rate()
    for number in range(100):
        await runtime.publish_message(Number(count // 100), TopicId("sender", str(number)))
    await done.wait()
    return rate.of(count // 100 * 100)


async def _spawn(meter: type[Meter], runtime: SingleThreadedAgentRuntime, count: int) -> float:
    await _register(runtime, Counter, "counter", lambda: Counter(-1, None))
    started = meter()
    for number in range(count):
        await runtime.get("counter", str(number), lazy=False)
    return started.of(count)


async def _skynet(runtime: SingleThreadedAgentRuntime, leaves: int) -> float:
    done = asyncio.Event()
    await _register(runtime, Node, "node", lambda: Node(done))
    rate = Rate()
    await runtime.publish_message(Explore(0, leaves, ""), TopicId("node", "root"))
    await done.wait()
    return rate.of((leaves * 10 - 1) // 9)


def _run(workload: Any, count: int) -> float:
    async def run() -> float:
        runtime = SingleThreadedAgentRuntime()
        runtime.start()
        found = await workload(runtime, count)
        await runtime.stop()
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
