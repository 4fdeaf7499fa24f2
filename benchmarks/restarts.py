"""Restarts of durable actors from their last committed turn, the reading of the store included.

From the line that raises to the first line of the next incarnation's first handler: on an idle store, and
beside a hundred callers whose rows the projector keeps up with. There, how long a commit takes meanwhile is
measured as well, since a restart waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec

from benchmarks.accounts import Account, Pay, texts
from benchmarks.callers import keep_calling
from benchmarks.measure import Figure, Goal, Measurement, Settings, observed, percentile
from benchmarks.notes import Note, Reader, notes
from benchmarks.rounds import Disk, Leg, calm_rounds
from benchmarks.store import WatchedStore, url_of
from benchmarks.workloads.restart import Crash, Hire, Office
from sentient_core import ActorRef, ActorSystem, ChildSpec, handles

__all__ = ["restarts"]

_BACKENDS = ("asyncio", "trio")
_CALLERS = 100
_MOST = 5.0
"""Milliseconds that a restart may take beside what a commit takes."""
_PROBE_SECONDS = 0.01


class Clerk(Account):
    """Crashes when asked to, and says when it is back."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    @handles
    async def pay(self, message: Pay) -> int:
        if self.times and self.times[-1] < 0:
            self.times[-1] += time.perf_counter()
        self._add(message.amount)
        return self.state.balance

    @handles
    def crash(self, message: Crash) -> None:
        self.times.append(-time.perf_counter())
        raise ArithmeticError("as asked")


class _Run(msgspec.Struct, frozen=True):
    restarts: list[float]
    """Seconds of each."""
    commits: list[float]
    """Seconds from `tell` to its group's commit, of probes under the load."""


def _measure(settings: Settings) -> list[Figure]:
    count = 20 if settings.is_quick else 200
    legs = {
        (backend, is_loaded): Leg(backend, partial(_run, settings, backend, count, is_loaded))
        for backend in _BACKENDS
        for is_loaded in (False, True)
    }
    disk = calm_rounds(settings, "durable-restart", list(legs.values()))
    figures: list[Figure] = []
    for (backend, is_loaded), leg in legs.items():
        figures += _of_loaded(backend, leg.runs, disk) if is_loaded else _of_idle(backend, leg.runs, disk)
    return [*figures, disk.figure]


def _of_idle(backend: str, runs: Sequence[_Run], disk: Disk) -> list[Figure]:
    return [
        observed(
            "durable-restart",
            f"{backend}, idle store, p{share * 100:.0f}",
            "ms",
            [percentile(run.restarts, share) * 1e3 for run in runs],
            goal=goal,
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        )
        for share, goal in ((0.5, None), (0.99, Goal(bound=_MOST, is_least=False)))
    ]


def _of_loaded(backend: str, runs: Sequence[_Run], disk: Disk) -> list[Figure]:
    p50, p99 = ([percentile(run.restarts, share) * 1e3 for run in runs] for share in (0.5, 0.99))
    commits = [percentile(run.commits, 0.99) * 1e3 for run in runs]
    beyond = [restart - commit for restart, commit in zip(p99, commits, strict=True)]
    name = f"{backend}, loaded store"
    return [
        observed("durable-restart", f"{name}, p50", "ms", p50, note=disk.note),
        observed("durable-restart", f"{name}, p99", "ms", p99, note=disk.note),
        observed("durable-restart", f"{name}, a commit, p99", "ms", commits),
        observed(
            "durable-restart",
            f"{name}, p99 beyond that of a commit",
            "ms",
            beyond,
            goal=Goal(bound=_MOST, is_least=False),
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        ),
    ]


def _run(settings: Settings, backend: str, count: int, is_loaded: bool) -> _Run:
    with TemporaryDirectory(dir=settings.folder) as folder:
        crash = partial(_crash_clerk, Path(folder) / "db", count, settings.seed, is_loaded=is_loaded)
        run = anyio.run(crash, backend=backend)
    p50, p99, commit = (
        percentile(values, share) * 1e3
        for values, share in ((run.restarts, 0.5), (run.restarts, 0.99), (run.commits, 0.99))
    )
    beside = f", commit p99 {commit:.2f} ms" if is_loaded else ""
    word = "loaded" if is_loaded else "idle"
    settings.say(f"durable-restart  {backend}, {word}: p50 {p50:.2f} p99 {p99:.2f} ms{beside}")
    return run


async def _crash_clerk(folder: Path, count: int, seed: int, *, is_loaded: bool) -> _Run:
    times: list[float] = []
    commits: list[float] = []
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        office = await system.spawn(Office, name="office")
        await office.ask(Hire(ChildSpec(Clerk, name="clerk", args=(times,))), timeout=10)
        clerk = system.get("office/clerk")
        async with anyio.create_task_group() as load:
            if is_loaded:
                messages = texts(seed)
                for number in range(_CALLERS):
                    account = await system.spawn(Account, name=f"account-{number}")
                    load.start_soon(keep_calling, "ask", account, messages)
                probed = await system.spawn(Reader, name="probed")
                load.start_soon(_probe, store, probed, notes(seed)[0], commits)
                await anyio.sleep(0.5)
            for number in range(count):
                await clerk.ask(Pay(1, ""), timeout=10)
                if not is_loaded:
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
    "From a failure of a durable actor to the next incarnation's first message, its state loaded.",
    _measure,
)

_LIMIT = "the state is read behind the commit of what the failure itself settled"
