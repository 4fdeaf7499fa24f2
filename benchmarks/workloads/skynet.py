"""skynet: a tree of actors, ten children each, whose leaves' numbers are added up on the way back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import anyio
import trio

from benchmarks.workloads.trial import TASK, Trial, Workload, least
from sentient_core import Actor, ActorSystem, MailboxOptions, MemoryStore, handles

__all__ = ["skynet"]

_CHILDREN = 10


class Explore:
    """Make your children, if you have any, and add up."""


class Sum:
    """What a child found."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Node(Actor):
    """Stands for `leaves` leaves, numbered from `first` on."""

    durability = "volatile"
    mailbox = MailboxOptions(capacity=_CHILDREN + 1)

    def __init__(self, report: Callable[[Sum], object], first: int, leaves: int) -> None:
        self.report = report
        self.first = first
        self.leaves = leaves
        self.awaited = _CHILDREN
        self.total = 0

    @handles
    async def explore(self, message: Explore) -> None:
        if self.leaves == 1:
            self.report(Sum(self.first))
            return
        context = self.context
        report = context.ref.tell
        each = self.leaves // _CHILDREN
        for place in range(_CHILDREN):
            child = await context.spawn(Node, report, self.first + place * each, each)
            child.tell(message)

    @handles
    def sum(self, message: Sum) -> None:
        self.total += message.value
        self.awaited -= 1
        if not self.awaited:
            self.report(Sum(self.total))


class Plain:
    """The same without actors: what a task does with the messages of its queue."""

    def __init__(
        self,
        start: Callable[[Plain], Callable[[object], None]],
        report: Callable[[Sum], object],
        first: int,
        leaves: int,
    ) -> None:
        self.start = start
        self.report = report
        self.first = first
        self.leaves = leaves
        self.awaited = _CHILDREN
        self.total = 0
        self.send = start(self)
        """Puts a message into this one's queue."""

    def receive(self, message: object) -> None:
        _HANDLERS[type(message)](self, message)

    def explore(self, message: Explore) -> None:
        if self.leaves == 1:
            self.report(Sum(self.first))
            return
        each = self.leaves // _CHILDREN
        for place in range(_CHILDREN):
            Plain(self.start, self.send, self.first + place * each, each).send(message)

    def sum(self, message: Sum) -> None:
        self.total += message.value
        self.awaited -= 1
        if not self.awaited:
            self.report(Sum(self.total))


_HANDLERS: dict[type, Callable[..., None]] = {Explore: Plain.explore, Sum: Plain.sum}


async def _actors(trial: Trial) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        done = anyio.Event()
        found = _checked(trial.count, done.set)
        started = trial.clock()
        root = await system.spawn(Node, found, 0, trial.count)
        root.tell(Explore())
        await done.wait()
        return trial.rate_since(started, _nodes(trial.count))


async def _tasks(trial: Trial) -> float:
    tasks: list[asyncio.Task[None]] = []

    def start(node: Plain) -> Callable[[object], None]:
        queue: asyncio.Queue[object] = asyncio.Queue()

        async def live() -> None:
            while True:
                node.receive(await queue.get())

        tasks.append(asyncio.create_task(live()))
        return queue.put_nowait

    done = asyncio.Event()
    found = _checked(trial.count, done.set)
    started = trial.clock()
    Plain(start, found, 0, trial.count).send(Explore())
    await done.wait()
    rate = trial.rate_since(started, _nodes(trial.count))
    for task in tasks:
        task.cancel()
    return rate


async def _channels(trial: Trial) -> float:
    async with trio.open_nursery() as nursery:

        def start(node: Plain) -> Callable[[object], None]:
            sender, receiver = trio.open_memory_channel[object](math.inf)

            async def live() -> None:
                while True:
                    node.receive(await receiver.receive())

            nursery.start_soon(live)
            return sender.send_nowait

        done = trio.Event()
        found = _checked(trial.count, done.set)
        started = trial.clock()
        Plain(start, found, 0, trial.count).send(Explore())
        await done.wait()
        rate = trial.rate_since(started, _nodes(trial.count))
        nursery.cancel_scope.cancel()
    return rate


def _checked(leaves: int, done: Callable[[], object]) -> Callable[[Sum], None]:
    """Where the root reports to."""

    def found(message: Sum) -> None:
        assert message.value == leaves * (leaves - 1) // 2, message.value
        done()

    return found


def _nodes(leaves: int) -> int:
    """All nodes of the tree, leaves included."""
    nodes = leaves
    while leaves > 1:
        leaves //= _CHILDREN
        nodes += leaves
    return nodes


skynet = Workload(
    name="skynet",
    about="A tree of 100,000 leaves (quick: 1,000; peers: as their baseline says), ten children to a node. "
    "Every node is an actor that makes its children, adds up what they report and reports that. The nodes "
    "stay, on every side. Counted: actors.",
    unit="actors/s",
    count=100_000,
    quick_count=1_000,
    actors=_actors,
    tasks=_tasks,
    channels=_channels,
    baseline=TASK,
    is_sized=True,
    is_long=True,
    goals=least(4, 4),
    limit="what a child is: a place in its parent's family, an address, a mailbox, a cell to be supervised",
)
