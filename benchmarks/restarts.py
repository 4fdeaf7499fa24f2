"""Restarts of durable actors from their last committed turn, and of mirrored ones beside a load.

From the line that raises to the first line of the next incarnation's first handler: on an idle store, and
beside a hundred callers of durable accounts. There, how long a commit takes meanwhile is measured as well,
since a restart may wait for one. A mirrored actor's checkpoint is read from the store; a durable actor has
the state of its last turn at hand. Mirrored ones on an idle store: `benchmarks.checkpoint`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec

from benchmarks.accounts import Account, Pay, texts
from benchmarks.callers import keep_calling
from benchmarks.measure import Figure, Goal, Measurement, Settings, observed
from benchmarks.notes import Note, Reader, notes
from benchmarks.rounds import Disk, Leg, calm_rounds
from benchmarks.store import WatchedStore, url_of
from benchmarks.workloads.restart import Crash, Hire, Office
from sentient_core import ActorRef, ActorSystem, ChildSpec, handles
from sentient_core.bench.samples import percentile

__all__ = ["restarts"]

_BACKENDS = ("asyncio", "trio")
_CALLERS = 100
_MOST = 5.0
"""Milliseconds that a restart may take beside what a commit takes."""
_PROBE_SECONDS = 0.01


class DurableClerk(Account):
    """Crashes when asked to, and says when it is back."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    @handles
    async def pay(self, message: Pay) -> int:
        self._note_return()
        self._add(message.amount)
        return self.state.balance

    @handles
    def crash(self, message: Crash) -> None:
        self.times.append(-time.perf_counter())
        raise ArithmeticError("as asked")

    def _note_return(self) -> None:
        if self.times and self.times[-1] < 0:
            self.times[-1] += time.perf_counter()


class MirroredClerk(DurableClerk):
    """The same one, which saves its state itself."""

    durability = "mirrored"

    @handles
    async def pay(self, message: Pay) -> int:
        self._note_return()
        self._add(message.amount)
        await self.checkpoint()
        return self.state.balance


class _Case(msgspec.Struct, frozen=True):
    backend: str
    is_durable: bool
    is_loaded: bool

    @property
    def name(self) -> str:
        durability = "durable" if self.is_durable else "mirrored"
        return f"{self.backend}, {durability}, {'loaded' if self.is_loaded else 'idle'} store"


class _Run(msgspec.Struct, frozen=True):
    restarts: list[float]
    """Seconds of each."""
    commits: list[float]
    """Seconds from `tell` to its group's commit, of probes under the load."""


def _measure(settings: Settings) -> list[Figure]:
    count = 10 if settings.is_quick else 200
    cases = [
        _Case(backend, is_durable, is_loaded)
        for backend in _BACKENDS
        for is_durable, is_loaded in ((True, False), (True, True), (False, True))
    ]
    legs = {case: Leg(case.name, partial(_run, settings, case, count)) for case in cases}
    disk = calm_rounds(settings, "durable-restart", list(legs.values()))
    figures: list[Figure] = []
    for case, leg in legs.items():
        figures += _of_loaded(leg, disk) if case.is_loaded else _of_idle(leg, disk)
    return [*figures, disk.figure]


def _of_idle(leg: Leg[_Run], disk: Disk) -> list[Figure]:
    return [
        observed(
            "durable-restart",
            f"{leg.name}, p{share * 100:.0f}",
            "ms",
            [percentile(run.restarts, share) * 1e3 for run in leg.runs],
            goal=goal,
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        )
        for share, goal in ((0.5, None), (0.99, Goal(bound=_MOST, is_least=False)))
    ]


def _of_loaded(leg: Leg[_Run], disk: Disk) -> list[Figure]:
    p50, p99 = ([percentile(run.restarts, share) * 1e3 for run in leg.runs] for share in (0.5, 0.99))
    commits = [percentile(run.commits, 0.99) * 1e3 for run in leg.runs]
    beyond = [restart - commit for restart, commit in zip(p99, commits, strict=True)]
    return [
        observed("durable-restart", f"{leg.name}, p50", "ms", p50, note=disk.note),
        observed("durable-restart", f"{leg.name}, p99", "ms", p99, note=disk.note),
        observed("durable-restart", f"{leg.name}, a commit, p99", "ms", commits),
        observed(
            "durable-restart",
            f"{leg.name}, p99 beyond that of a commit",
            "ms",
            beyond,
            goal=Goal(bound=_MOST, is_least=False),
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        ),
    ]


def _run(settings: Settings, case: _Case, count: int) -> _Run:
    with TemporaryDirectory(dir=settings.folder) as folder:
        crash = partial(_crash_clerk, Path(folder) / "db", case, count, settings.seed)
        run = anyio.run(crash, backend=case.backend)
    p50, p99, commit = (
        percentile(values, share) * 1e3
        for values, share in ((run.restarts, 0.5), (run.restarts, 0.99), (run.commits, 0.99))
    )
    beside = f", commit p99 {commit:.2f} ms" if case.is_loaded else ""
    settings.say(f"durable-restart  {case.name}: p50 {p50:.2f} p99 {p99:.2f} ms{beside}")
    return run


async def _crash_clerk(folder: Path, case: _Case, count: int, seed: int) -> _Run:
    times: list[float] = []
    commits: list[float] = []
    kind = DurableClerk if case.is_durable else MirroredClerk
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        office = await system.spawn(Office, name="office")
        await office.ask(Hire(ChildSpec(kind, name="clerk", args=(times,))), timeout=10)
        clerk = system.get("office/clerk")
        async with anyio.create_task_group() as load:
            if case.is_loaded:
                messages = texts(seed)
                for number in range(_CALLERS):
                    account = await system.spawn(Account, name=f"account-{number}")
                    load.start_soon(keep_calling, "ask", account, messages)
                probed = await system.spawn(Reader, name="probed")
                load.start_soon(_probe, store, probed, notes(seed)[0], commits)
                await anyio.sleep(0.5)
            for number in range(count):
                await clerk.ask(Pay(1, ""), timeout=10)
                if not case.is_loaded:
                    await system.flush()
                clerk.tell(Crash())
                balance = await clerk.ask(Pay(0, ""), timeout=10)
                assert balance == number + 1, f"the balance after restart {number + 1} is {balance}"
            load.cancel_scope.cancel()
        assert system.statistics().restarts == count
    return _Run(times, commits)


async def _probe(store: WatchedStore, probed: ActorRef[Reader], note: Note, commits: list[float]) -> None:
    """How long a message takes from `tell` to its commit."""
    while True:
        await anyio.sleep(_PROBE_SECONDS)
        started = time.perf_counter()
        probed.tell(note)
        await store.journal.committed()
        commits.append(time.perf_counter() - started)


restarts = Measurement(
    "durable-restart",
    "From a failure to the next incarnation's first message, its state loaded.",
    _measure,
)

_LIMIT = "a checkpoint is read behind the commit of what the failure itself recorded"
