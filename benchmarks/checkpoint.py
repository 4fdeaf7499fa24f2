"""Restarts from a checkpoint on an embedded database.

The time from the line that raises to the first line of the next incarnation's first handler, the reading of
the checkpoint included, on an idle store. Restarts in memory: `benchmarks.workloads.restart`.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec

from benchmarks.measure import VOID_ABOVE, Figure, Goal, Measurement, Settings, observed
from benchmarks.store import WatchedStore, url_of
from benchmarks.workloads.restart import Crash, Hire, Office
from sentient_core import Actor, ActorSystem, ChildSpec, handles
from sentient_core.bench.machine import fdatasync_p99
from sentient_core.bench.samples import percentile

__all__ = ["checkpoint"]


class Work(msgspec.Struct, frozen=True):
    """Something to do."""

    number: int


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


def _measure(settings: Settings) -> list[Figure]:
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
            settings.say(f"checkpoint  round {round_ + 1}  {backend}: p50 {p50:.2f} p99 {p99:.2f} ms")
        for share, goal in ((0.5, None), (0.99, Goal(bound=5, is_least=False))):
            figures.append(
                observed(
                    "checkpoint",
                    f"{backend}, p{share * 100:.0f}",
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


checkpoint = Measurement(
    "checkpoint", "From a failure to the next incarnation's first message, its state loaded.", _measure
)
