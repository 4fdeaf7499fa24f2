"""Restarts: from a checkpoint on an embedded database, and of volatile children in memory.

From a checkpoint: the time from the line that raises to the first line of the next incarnation's first
handler, the reading of the checkpoint included, on an idle store. In memory: how often children that always
raise are started again, beside plain tasks that die on their message and are replaced by new ones.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
import msgspec

from benchmarks.machine import fdatasync_p99
from benchmarks.measure import VOID_ABOVE, Figure, Goal, Settings, compared, interleaved, observed, percentile
from benchmarks.store import WatchedStore, url_of
from sentient_core import Actor, ActorSystem, ChildSpec, MemoryStore, Supervisor, handles

__all__ = ["restart"]

_ENDLESS = Supervisor.one_for_one(max_restarts=1_000_000_000, within=1.0)


class Work(msgspec.Struct, frozen=True):
    """Something to do."""

    number: int


class Crash(msgspec.Struct, frozen=True):
    """Something that cannot be done."""


class Clerk(Actor):
    """Keeps a sum, checkpoints it, crashes when asked to, and says when it is back."""

    class State(msgspec.Struct):
        """What it keeps."""

        total: int = 0

    state: State

    def __init__(self, times: list[float]) -> None:
        self.times = times

    @handles
    async def work(self, message: Work) -> int:
        if self.times and self.times[-1] < 0:
            self.times[-1] += time.perf_counter()
        self.state.total += message.number
        await self.checkpoint()
        return self.state.total

    @handles
    def crash(self, message: Crash) -> None:
        self.times.append(-time.perf_counter())
        raise ArithmeticError("as asked")


class Hire:
    """Children for an office."""

    def __init__(self, *children: ChildSpec) -> None:
        self.children = children


class Office(Supervisor):
    """Restarts without end."""

    durability = "volatile"
    strategy = _ENDLESS

    @handles
    async def hire(self, message: Hire) -> None:
        for spec in message.children:
            await self.context.spawn(spec.cls, *spec.args, name=spec.name, restart=spec.restart)


class Faulty(Actor):
    """Raises at every message."""

    durability = "volatile"

    def __init__(self, tally: Tally) -> None:
        tally.started += 1
        self.tally = tally

    @handles
    def crash(self, message: Crash) -> None:
        self.tally.crashed()
        raise ArithmeticError("as asked")


class Tally:
    """How many crashes are still to come."""

    def __init__(self, expected: int) -> None:
        self.left = expected
        self.started = 0
        self.done = anyio.Event()

    def crashed(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


def restart(settings: Settings) -> list[Figure]:
    """Both kinds."""
    return [*_from_checkpoint(settings), *_in_memory(settings, 1), *_in_memory(settings, 1000)]


def _from_checkpoint(settings: Settings) -> list[Figure]:
    count = 25 if settings.is_quick else 200
    figures: list[Figure] = []
    for backend in ("asyncio", "trio"):
        runs: list[list[float]] = []
        syncs = [fdatasync_p99(settings.folder)]
        for round_ in range(1 if settings.is_quick else settings.rounds):
            with TemporaryDirectory(dir=settings.folder) as folder:
                runs.append(anyio.run(_crash_clerk, Path(folder) / "db", count, backend=backend))
            syncs.append(fdatasync_p99(settings.folder))
            p50, p99 = (percentile(runs[-1], share) * 1e3 for share in (0.5, 0.99))
            settings.say(
                f"restart  round {round_ + 1}  {backend}, from a checkpoint: p50 {p50:.2f} p99 {p99:.2f} ms"
            )
        for share, goal in ((0.5, None), (0.99, Goal(bound=5, is_least=False))):
            figures.append(
                observed(
                    "restart",
                    f"{backend}, from a checkpoint, p{share * 100:.0f}",
                    "ms",
                    [percentile(run, share) * 1e3 for run in runs],
                    goal=goal,
                    note=f"embedded, idle store, from the failure to the next incarnation's first message; "
                    f"fdatasync p99 in between at most {max(syncs):.1f} ms",
                    is_void=max(syncs) > VOID_ABOVE,
                    limit="the checkpoint is read behind the commit of what the crash itself recorded",
                )
            )
    return figures


async def _crash_clerk(folder: Path, count: int) -> list[float]:
    times: list[float] = []
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        office = await system.spawn(Office, name="office")
        await office.ask(Hire(ChildSpec(Clerk, name="clerk", args=(times,))), timeout=10)
        clerk = system.get("office/clerk")
        for number in range(count):
            await clerk.ask(Work(1), timeout=10)
            await system.flush()
            clerk.tell(Crash())
            total = await clerk.ask(Work(0), timeout=10)
            assert total == number + 1, f"the state after restart {number + 1} is {total}"
        assert system.statistics().restarts == count
    return times


def _in_memory(settings: Settings, children: int) -> list[Figure]:
    count = (2_000 if settings.is_quick else 20_000) // children

    def tasks() -> float:
        return anyio.run(_crash_tasks, children, count)

    def actors(backend: str) -> float:
        return anyio.run(_crash_children, children, count, backend=backend)

    legs = {"tasks": tasks, "asyncio": lambda: actors("asyncio"), "trio": lambda: actors("trio")}
    found = interleaved(settings, f"restart, children: {children}", legs)
    return [
        compared(
            "restart",
            f"{backend}, in memory, {'1 child' if children == 1 else f'{children} children'}",
            "restarts/s",
            found[backend],
            "task dies, a new one starts",
            found["tasks"],
            goal=Goal(bound=1, is_later=True) if children == 1000 else None,
            limit=_MEMORY_LIMIT,
        )
        for backend in ("asyncio", "trio")
    ]


async def _crash_children(children: int, count: int) -> float:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        tally = Tally(children * count)
        office = await system.spawn(Office, name="office")
        specs = [ChildSpec(Faulty, name=f"child-{number}", args=(tally,)) for number in range(children)]
        await office.ask(Hire(*specs), timeout=60)
        refs = system.actors(Faulty)
        started = time.perf_counter()
        for _ in range(count):
            for ref in refs:
                ref.tell(Crash())
            await anyio.lowlevel.checkpoint()
        await tally.done.wait()
        while tally.started < children * (count + 1):
            await anyio.lowlevel.checkpoint()
        return children * count / (time.perf_counter() - started)


async def _crash_tasks(children: int, count: int) -> float:
    tally = Tally(children * count)
    queues: list[asyncio.Queue[Crash]] = [asyncio.Queue() for _ in range(children)]
    tasks: set[asyncio.Task[None]] = set()

    async def consume(queue: asyncio.Queue[Crash]) -> None:
        while True:
            await queue.get()
            tally.crashed()
            raise ArithmeticError("as asked")

    def start(queue: asyncio.Queue[Crash]) -> None:
        task = asyncio.create_task(consume(queue))
        tasks.add(task)
        tally.started += 1

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                start(queue)

        task.add_done_callback(ended)

    for queue in queues:
        start(queue)
    started = time.perf_counter()
    for _ in range(count):
        for queue in queues:
            queue.put_nowait(Crash())
        await asyncio.sleep(0)
    await tally.done.wait()
    while tally.started < children * (count + 1):  # noqa: ASYNC110 - an event would be one more part to pay
        await asyncio.sleep(0)
    seconds = time.perf_counter() - started
    for task in list(tasks):
        task.cancel()
    return children * count / seconds


_MEMORY_LIMIT = (
    "a failure makes a dead letter, counts for the log and is decided on by the supervisor; a task that dies "
    "does none of that"
)
