"""What a workload is: one piece of work, written once for actors and once for each plain baseline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeAlias

import anyio
import msgspec
import trio

from benchmarks.measure import Goal

__all__ = ["BACKENDS", "CHANNEL", "QUEUE", "TASK", "Backend", "Leg", "Trial", "Workload", "least"]

Backend: TypeAlias = Literal["asyncio", "trio"]
BACKENDS: tuple[Backend, ...] = ("asyncio", "trio")

QUEUE = "asyncio.Queue"
"""The baseline of nearly all ratios: tasks that pass messages through bare queues."""
TASK = "task + asyncio.Queue"
"""Where handlers matter: a task per actor that takes from its queue and dispatches on the message's type."""
CHANNEL = "trio channel"
"""The same with tasks and memory channels of trio."""


class Trial(msgspec.Struct, frozen=True):
    """One run of one leg."""

    count: int
    """How much work: messages, actors, restarts; the workload says which."""
    backend: Backend = "asyncio"
    clock: Callable[[], float] = time.perf_counter
    """Seconds: of the wall, or of the processor where other programs are in the way."""

    def rate_since(self, started: float, count: int | None = None) -> float:
        """How much was done per second since the clock said `started`."""
        return (self.count if count is None else count) / (self.clock() - started)


Leg: TypeAlias = Callable[[Trial], Coroutine[Any, Any, float]]
"""Does the work of a trial and returns its rate per second; what it builds up first is not counted."""


def least(on_asyncio: float, on_trio: float) -> tuple[Goal, Goal]:
    """Goals: the ratio to the baseline must be at least this."""
    return Goal(bound=on_asyncio), Goal(bound=on_trio)


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the comparison."""

    name: str
    about: str
    """What is done and counted, on every side; a sentence for the page."""
    unit: str
    count: int
    quick_count: int
    actors: Leg
    tasks: Leg
    """On asyncio: the baseline."""
    channels: Leg
    """On trio: what that leg is also compared with."""
    baseline: str = QUEUE
    is_sized: bool = False
    """The count is that of actors which live at once, so rates of another count do not compare with it."""
    is_long: bool = False
    """A round takes seconds: fewer of them, and none to warm up."""
    goals: tuple[Goal, Goal] | None = None
    """On asyncio and on trio."""
    limit: str = ""
    """What limits it, for the reader of a missed goal."""

    def run_actors(self, trial: Trial) -> float:
        """On the trial's backend."""
        return anyio.run(self.actors, trial, backend=trial.backend)

    def run_tasks(self, trial: Trial) -> float:
        """The baseline."""
        return asyncio.run(self.tasks(trial))

    def run_channels(self, trial: Trial) -> float:
        """The baseline of trio's own."""
        return trio.run(self.channels, trial)
