"""Tasks of agents in each mode, on disk: how many in a second, and how long each takes.

A task here is the least there can be: it reports once, takes a checkpoint, and is done. It costs a look for
its row and four commits that wait for each other: it is taken on and begun, reports, is saved, and ends.
Beside it, in the same rounds, turns of as many durable accounts, asked one message at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec

from benchmarks.accounts import texts
from benchmarks.callers import CallersRun, call_accounts
from benchmarks.measure import Figure, Measurement, Settings, compared, observed
from benchmarks.rounds import Leg, calm_rounds
from benchmarks.store import url_of
from sentient_core import ActorSystem
from sentient_core import Settings as SystemSettings
from sentient_core.agents import Agent, AgentHandle, Task, TaskExecutionMode
from sentient_core.bench.samples import percentile

__all__ = ["tasks_of"]

_BACKENDS = ("asyncio", "trio")
_MOST_PLACES = 1_000


class Clerk(Agent):
    """Does next to nothing."""

    async def perform(self, task: Task) -> dict[str, Any]:
        """Report, save, done."""
        await self.report_progress(50, "half")
        await self.create_checkpoint({"phase": "half"})
        return {"message": task.description}


class TasksRun(msgspec.Struct, frozen=True):
    """What a run showed."""

    seconds: float
    delays: list[float]
    """Seconds that each call took; of background tasks, until they were over."""
    started: list[float]
    """Of background tasks: seconds until they were taken on."""

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return len(self.delays) / self.seconds


def tasks_of(agents: int) -> Measurement:
    """With so many agents at work at the same time."""
    return Measurement(
        f"tasks-{agents}",
        f"{agents} agents with a caller each, one task at a time, in each mode.",
        partial(_measure, agents),
    )


def _measure(agents: int, settings: Settings) -> list[Figure]:
    seconds = 0.5 if settings.is_quick else 3.0
    workload = f"tasks-{agents}"
    sides = [(backend, mode) for backend in _BACKENDS for mode in TaskExecutionMode]
    ours = {side: Leg(", ".join(side), partial(_tasks, settings, agents, *side, seconds)) for side in sides}
    messages = texts(settings.seed)
    turns = {
        backend: Leg(f"{backend}, ask", partial(_turns, settings, agents, backend, messages, seconds))
        for backend in _BACKENDS
    }
    legs: list[Leg[Any]] = [*ours.values(), *turns.values()]
    disk = calm_rounds(settings, workload, legs)
    figures: list[Figure] = []
    for (backend, mode), leg in ours.items():
        name = f"{backend}, {mode.value}"
        rates, asks = [run.rate for run in leg.runs], [run.rate for run in turns[backend].runs]
        figures.append(
            compared(workload, name, "tasks/s", rates, f"turns/s, {backend}", asks, note=disk.note)
        )
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            delays = [1_000 * percentile(run.delays, share) for run in leg.runs]
            figures.append(observed(workload, f"{name}, {word}", "ms", delays, note=disk.note))
            if mode is TaskExecutionMode.BACKGROUND:
                started = [1_000 * percentile(run.started, share) for run in leg.runs]
                figures.append(
                    observed(workload, f"{name}, until it is taken on, {word}", "ms", started, note=disk.note)
                )
    return [*figures, disk.figure]


def _tasks(
    settings: Settings, agents: int, backend: str, mode: TaskExecutionMode, seconds: float
) -> TasksRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        run = anyio.run(_call_agents, Path(folder) / "db", agents, mode, seconds, backend=backend)
    settings.say(f"tasks-{agents}  {backend}, {mode.value}: {run.rate:,.0f} tasks/s")
    return run


async def _call_agents(folder: Path, agents: int, mode: TaskExecutionMode, seconds: float) -> TasksRun:
    delays: list[float] = []
    started: list[float] = []
    settings = SystemSettings(max_concurrent_agents=_MOST_PLACES)
    async with ActorSystem("bench", store=url_of(folder), settings=settings, drain_patience=0.1) as system:
        clerks = [await Clerk.start(system, name=f"clerk-{number}") for number in range(agents)]
        begin = time.perf_counter()
        async with anyio.create_task_group() as callers:
            for clerk in clerks:
                callers.start_soon(_keep_calling, clerk, mode, begin + seconds, delays, started)
        return TasksRun(time.perf_counter() - begin, delays, started)


async def _keep_calling(
    clerk: AgentHandle[Clerk],
    mode: TaskExecutionMode,
    until: float,
    delays: list[float],
    started: list[float],
) -> None:
    number = 0
    while time.perf_counter() < until:
        number += 1
        task = Task(task_id=f"{clerk.name}-{number}", description="file it")
        began = time.perf_counter()
        result = await clerk.execute_task(task, mode)
        if mode is TaskExecutionMode.BACKGROUND:
            started.append(time.perf_counter() - began)
            result = await clerk.execute_task(task)
        delays.append(time.perf_counter() - began)
        if result["status"] != "completed":
            raise AssertionError(f"task {task.task_id} came to {result!r}")


def _turns(
    settings: Settings, accounts: int, backend: str, messages: Sequence[str], seconds: float
) -> CallersRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        call = partial(
            call_accounts, Path(folder) / "db", messages, "ask", accounts=accounts, seconds=seconds
        )
        run = anyio.run(call, backend=backend)
    settings.say(f"tasks-{accounts}  {backend}, ask: {run.rate:,.0f} turns/s")
    return run
