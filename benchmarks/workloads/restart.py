"""restart: children that fail and are started again, in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

import anyio
import anyio.lowlevel
import msgspec
import trio

from benchmarks.measure import Goal
from benchmarks.workloads.trial import TASK, Trial, Workload, least
from sentient_core import Actor, ActorRef, ActorSystem, ChildSpec, MemoryStore, Supervisor, handles

__all__ = ["Crash", "Hire", "Office", "restart_many", "restart_one"]


class Crash(msgspec.Struct, frozen=True):
    """Something that cannot be done."""


class Hire:
    """Children for an office."""

    def __init__(self, *children: ChildSpec) -> None:
        self.children = children


class Office(Supervisor):
    """Restarts without end."""

    durability = "volatile"
    strategy = Supervisor.one_for_one(max_restarts=1_000_000_000, within=1.0)

    @handles
    async def hire(self, message: Hire) -> None:
        for spec in message.children:
            await self.context.spawn(spec.cls, *spec.args, name=spec.name, restart=spec.restart)


class Tally:
    """How many starts are still to come."""

    def __init__(self, expected: int, done: Callable[[], object]) -> None:
        self.left = expected
        self.done = done

    def started(self) -> None:
        self.left -= 1
        if not self.left:
            self.done()


class Faulty(Actor):
    """Raises at every message."""

    durability = "volatile"

    def __init__(self, tally: Tally) -> None:
        tally.started()

    @handles
    def crash(self, message: Crash) -> None:
        raise ArithmeticError("as asked")


class Plain:
    """The same without an actor."""

    def __init__(self, tally: Tally) -> None:
        tally.started()

    def receive(self, message: object) -> None:
        _HANDLERS[type(message)](self, message)

    def crash(self, message: Crash) -> None:
        raise ArithmeticError("as asked")


_HANDLERS: dict[type, Callable[..., None]] = {Crash: Plain.crash}


async def _actors(children: int, trial: Trial) -> float:
    each = trial.count // children
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        tally = Tally(children * (each + 1), done.set)
        office = await system.spawn(Office, name="office")
        specs = [ChildSpec(Faulty, name=f"child-{number}", args=(tally,)) for number in range(children)]
        await office.ask(Hire(*specs), timeout=60)
        refs: tuple[ActorRef[Faulty], ...] = tuple(system.actors(Faulty))
        started = trial.clock()
        for _ in range(each):
            for ref in refs:
                ref.tell(Crash())
            await anyio.lowlevel.checkpoint()
        await done.wait()
        return trial.rate_since(started, children * each)


async def _tasks(children: int, trial: Trial) -> float:
    each = trial.count // children
    done = asyncio.Event()
    tally = Tally(children * (each + 1), done.set)
    tasks: set[asyncio.Task[None]] = set()

    async def live(queue: asyncio.Queue[Crash]) -> None:
        actor = Plain(tally)
        while True:
            actor.receive(await queue.get())

    def start(queue: asyncio.Queue[Crash]) -> None:
        task = asyncio.create_task(live(queue))
        tasks.add(task)
        task.add_done_callback(partial(ended, queue))

    def ended(queue: asyncio.Queue[Crash], task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            start(queue)

    queues: list[asyncio.Queue[Crash]] = [asyncio.Queue() for _ in range(children)]
    for queue in queues:
        start(queue)
    await asyncio.sleep(0)
    started = trial.clock()
    for _ in range(each):
        for queue in queues:
            queue.put_nowait(Crash())
        await asyncio.sleep(0)
    await done.wait()
    rate = trial.rate_since(started, children * each)
    for task in tasks:
        task.cancel()
    return rate


async def _channels(children: int, trial: Trial) -> float:
    each = trial.count // children
    done = trio.Event()
    tally = Tally(children * (each + 1), done.set)

    async def live(receiver: trio.MemoryReceiveChannel[Crash]) -> None:
        try:
            actor = Plain(tally)
            while True:
                actor.receive(await receiver.receive())
        except ArithmeticError:
            nursery.start_soon(live, receiver)

    async with trio.open_nursery() as nursery:
        senders: list[trio.MemorySendChannel[Crash]] = []
        for _ in range(children):
            sender, receiver = trio.open_memory_channel[Crash](math.inf)
            senders.append(sender)
            nursery.start_soon(live, receiver)
        await trio.lowlevel.checkpoint()
        started = trial.clock()
        for _ in range(each):
            for sender in senders:
                sender.send_nowait(Crash())
            await trio.lowlevel.checkpoint()
        await done.wait()
        rate = trial.rate_since(started, children * each)
        nursery.cancel_scope.cancel()
    return rate


def _restart(children: int, goals: tuple[Goal, Goal] | None, *, count: int, quick_count: int) -> Workload:
    of = "1 supervised child" if children == 1 else f"{children:,} supervised children"
    return Workload(
        name=f"restart-{children}",
        about=f"{of}, each of which fails at every message and is started again. In the baseline the "
        "task dies and a new one is started at the same queue; nothing is recorded or decided. "
        "Peers leave this to their users. Counted: restarts.",
        unit="restarts/s",
        count=count,
        quick_count=quick_count,
        actors=partial(_actors, children),
        tasks=partial(_tasks, children),
        channels=partial(_channels, children),
        baseline=TASK,
        goals=goals,
        limit="a failure makes a dead letter, counts for the log and is decided on by the supervisor; a task "
        "that dies does none of that",
    )


restart_one = _restart(1, None, count=10_000, quick_count=500)
restart_many = _restart(1000, least(1, 1), count=20_000, quick_count=2_000)
