"""ping-pong and ring: one message that travels through actors which each pass it on to the next one."""

from __future__ import annotations

import asyncio
import math
from functools import partial

import anyio
import trio

from benchmarks.workloads.numbers import Number
from benchmarks.workloads.trial import Trial, Workload, least
from sentient_core import Actor, ActorRef, ActorSystem, MemoryStore, handles

__all__ = ["ping_pong", "ring"]

_RING = 500


class Link:
    """Tells a player whom to pass to."""

    def __init__(self, following: ActorRef[Player]) -> None:
        self.following = following


class Player(Actor):
    """Passes on what it gets."""

    durability = "volatile"

    def __init__(self, hops: int, done: anyio.Event) -> None:
        self.left = hops
        self.done = done
        self.following: ActorRef[Player] | None = None

    @handles
    def link(self, message: Link) -> None:
        self.following = message.following

    @handles
    def number(self, message: Number) -> None:
        if not self.left or self.following is None:
            self.done.set()
            return
        self.left -= 1
        self.following.tell(message)


async def _actors(players: int, trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        refs = [await system.spawn(Player, trial.count // players, done) for _ in range(players)]
        for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
            ref.tell(Link(following))
        started = trial.clock()
        refs[0].tell(Number(1))
        await done.wait()
        return trial.rate_since(started)


async def _tasks(players: int, trial: Trial) -> float:
    queues: list[asyncio.Queue[Number]] = [asyncio.Queue() for _ in range(players)]

    async def play(mine: asyncio.Queue[Number], following: asyncio.Queue[Number]) -> None:
        for _ in range(trial.count // players):
            following.put_nowait(await mine.get())

    async with asyncio.TaskGroup() as tasks:
        for mine, following in zip(queues, [*queues[1:], queues[0]], strict=True):
            tasks.create_task(play(mine, following))
        await asyncio.sleep(0)
        started = trial.clock()
        queues[0].put_nowait(Number(1))
    return trial.rate_since(started)


async def _channels(players: int, trial: Trial) -> float:
    channels = [trio.open_memory_channel[Number](math.inf) for _ in range(players)]

    async def play(mine: trio.MemoryReceiveChannel[Number], other: trio.MemorySendChannel[Number]) -> None:
        for _ in range(trial.count // players):
            other.send_nowait(await mine.receive())

    async with trio.open_nursery() as nursery:
        for (_, mine), (following, _) in zip(channels, [*channels[1:], channels[0]], strict=True):
            nursery.start_soon(play, mine, following)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        channels[0][0].send_nowait(Number(1))
    return trial.rate_since(started)


ping_pong = Workload(
    name="ping-pong",
    about="Two actors that send a message to and fro. Counted: hops.",
    unit="hops/s",
    count=100_000,
    quick_count=5_000,
    actors=partial(_actors, 2),
    tasks=partial(_tasks, 2),
    channels=partial(_channels, 2),
    goals=least(2, 2),
    limit="a turn per hop: taking the actor from the ready queue, its context, its handler",
)

ring = Workload(
    name="ring",
    about=f"One message that goes round a ring of {_RING} actors. Counted: hops.",
    unit="hops/s",
    count=100_000,
    quick_count=5_000,
    actors=partial(_actors, _RING),
    tasks=partial(_tasks, _RING),
    channels=partial(_channels, _RING),
    goals=least(2, 2),
    limit="a turn per hop: taking the actor from the ready queue, its context, its handler",
)
