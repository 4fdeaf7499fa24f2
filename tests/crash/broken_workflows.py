"""Workflow runners that break a promise each: what the crash test of workflows must find out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.workflows import deciding
from sentient_core.agents.workflows.progress import StepProgress
from sentient_core.agents.workflows.runner import WorkflowRunner

__all__ = ["BROKEN_WORKFLOWS"]


def _starts_with(change: Callable[[StepProgress], StepProgress]) -> None:
    """A later incarnation, or start, takes what it finds of each step for something else."""

    async def on_start(self: WorkflowRunner) -> None:
        progress = self.state.progress
        if progress is not None and not progress.is_over:
            steps = {name: change(step) for name, step in progress.steps.items()}
            new = msgspec.structs.replace(progress, steps=steps)
            await self._come_to(new, time.time_ns(), "it goes on")  # pyright: ignore[reportPrivateUsage]

    WorkflowRunner.on_start = on_start  # type: ignore[method-assign]


def gives_tasks_again() -> None:
    """What is at work is given to an agent once more, instead of being waited for."""
    _starts_with(lambda step: msgspec.structs.replace(step, is_at_work=False))


def forgets_what_is_done() -> None:
    """A step that is completed is taken for one that was never begun."""
    _starts_with(lambda step: StepProgress() if step.status is TaskStatus.COMPLETED else step)


def undoes_the_first_first() -> None:
    """What was completed first is undone first."""
    setattr(deciding, "max", min)  # noqa: B010 - it has none of its own


BROKEN_WORKFLOWS: Mapping[str, Callable[[], None]] = {
    broken.__name__: broken for broken in (gives_tasks_again, forgets_what_is_done, undoes_the_first_first)
}
