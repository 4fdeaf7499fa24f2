"""suspending: handlers that wait for a pass of the event loop in the middle of their work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import anyio
import trio

from benchmarks.workloads.numbers import Number
from benchmarks.workloads.trial import TASK, Backend, Trial, Workload, least
from sentient_core import Actor, ActorSystem, MailboxOptions, MemoryStore, handles

__all__ = ["suspending"]

_ACTORS = 10


class Waiting(Actor):
    """Waits once per message."""

    durability = "volatile"
    mailbox = MailboxOptions(capacity=1_000_000)

    def __init__(self, pause: Callable[[], Awaitable[None]], handled: Callable[[], object]) -> None:
        self.pause = pause
        self.handled = handled

    @handles
    async def number(self, message: Number) -> None:
        await self.pause()
        self.handled()


class Plain:
    """The same without an actor."""

    def __init__(self, pause: Callable[[], Awaitable[None]], handled: Callable[[], object]) -> None:
        self.pause = pause
        self.handled = handled

    async def receive(self, message: object) -> None:
        await _HANDLERS[type(message)](self, message)

    async def number(self, message: Number) -> None:
        await self.pause()
        self.handled()


_HANDLERS: dict[type, Callable[..., Awaitable[None]]] = {Number: Plain.number}


def _pass_of_asyncio() -> Awaitable[None]:
    return asyncio.sleep(0)


_PASS: dict[Backend, Callable[[], Awaitable[None]]] = {
    "asyncio": _pass_of_asyncio,
    "trio": trio.lowlevel.checkpoint,
}
"""Both sides wait with what their event loop offers for it, so that only the actors' part differs."""


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        handled = _countdown(trial.count, done.set)
        refs = [await system.spawn(Waiting, _PASS[trial.backend], handled) for _ in range(_ACTORS)]
        started = trial.clock()
        for number in range(trial.count):
            refs[number % _ACTORS].tell(Number(number))
        await done.wait()
        return trial.rate_since(started)


async def _tasks(trial: Trial) -> float:
    done = asyncio.Event()
    handled = _countdown(trial.count, done.set)

    async def live(queue: asyncio.Queue[Number]) -> None:
        actor = Plain(_PASS["asyncio"], handled)
        while True:
            await actor.receive(await queue.get())

    queues: list[asyncio.Queue[Number]] = [asyncio.Queue() for _ in range(_ACTORS)]
    tasks = [asyncio.create_task(live(queue)) for queue in queues]
    await asyncio.sleep(0)
    started = trial.clock()
    for number in range(trial.count):
        queues[number % _ACTORS].put_nowait(Number(number))
    await done.wait()
    rate = trial.rate_since(started)
    for task in tasks:
        task.cancel()
    return rate


async def _channels(trial: Trial) -> float:
    done = trio.Event()
    handled = _countdown(trial.count, done.set)

    async def live(receiver: trio.MemoryReceiveChannel[Number]) -> None:
        actor = Plain(_PASS["trio"], handled)
        while True:
            await actor.receive(await receiver.receive())

    channels = [trio.open_memory_channel[Number](math.inf) for _ in range(_ACTORS)]
    async with trio.open_nursery() as nursery:
        for _, receiver in channels:
            nursery.start_soon(live, receiver)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        for number in range(trial.count):
            channels[number % _ACTORS][0].send_nowait(Number(number))
        await done.wait()
        rate = trial.rate_since(started)
        nursery.cancel_scope.cancel()
    return rate


def _countdown(count: int, done: Callable[[], object]) -> Callable[[], None]:
    left = count

    def handled() -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return handled


suspending = Workload(
    name="suspending",
    about=f"{_ACTORS} actors whose `async def` handlers wait for one pass of the event loop per message. "
    "Counted: messages handled.",
    unit="messages/s",
    count=20_000,
    quick_count=2_000,
    actors=_actors,
    tasks=_tasks,
    channels=_channels,
    baseline=TASK,
    goals=least(0.8, 0.8),
    limit="a worker whose handler suspends hands the other actors to another worker",
)
