"""How far a workflow is: what its runner keeps in its state. Frozen, so that two of them can be compared.

All times are nanoseconds of the wall clock, 0 where there is none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from sentient_core.agents.statuses import TaskStatus, WorkflowStatus, is_final
from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Step, Workflow

__all__ = [
    "UNDO",
    "Cut",
    "Goal",
    "KeptSignal",
    "Outcome",
    "Progress",
    "SignalWait",
    "StepProgress",
    "errand_of",
    "undoing",
]

UNDO = ":undo"
"""Behind the name of a step: the name of what compensates it. No step has a colon in its name."""


class Goal(StrEnum):
    """What a workflow is heading for."""

    COMPLETE = "complete"
    FAIL = "fail"
    """A step has failed: what is at work is to end, and what was completed is undone."""
    CANCEL = "cancel"
    """Somebody has cancelled it: likewise."""


class Cut(StrEnum):
    """Why a task at work is to be cancelled."""

    TIMEOUT = "timeout"
    END = "end"
    """The workflow is not to be completed any more."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task."""

    status: TaskStatus
    result: dict[str, Any] | None = None
    error: str = ""
    error_type: str = ""
    """The class of the error, where there was one."""
    may_retry: bool = True
    """False: another attempt would only come to the same."""
    is_lost: bool = False
    """The agent ended before it took the task on: it is given again, as if it had not been."""


class StepProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one step is, or what undoes it."""

    status: TaskStatus = TaskStatus.PENDING
    is_due: bool = False
    """All that it waits for is completed."""
    attempts: int = 0
    """That an agent was given."""
    lost: int = 0
    """Of those, which none has taken on."""
    agent: str | None = None
    """Path of the agent of the latest attempt."""
    task_id: str | None = None
    """Of the latest attempt."""
    is_at_work: bool = False
    """The agent has the task, and has not said what became of it."""
    cut: Cut | None = None
    """That task is to be cancelled."""
    wakes_at: int = 0
    """When the next attempt may begin, or a delay is over."""
    expires_at: int = 0
    """When the attempt, or the wait for a signal, has taken too long."""
    left: int = 0
    """What was left until then when the workflow was paused."""
    result: dict[str, Any] | None = None
    error: str | None = None
    """Of the latest attempt that failed."""
    place: int = 0
    """The how manieth it was to be completed, from 1 on."""
    began_at: int = 0
    ended_at: int = 0

    @property
    def is_over(self) -> bool:
        """Nothing more becomes of it."""
        return is_final("task", self.status)


class KeptSignal(msgspec.Struct, frozen=True):
    """A signal that nobody has waited for yet."""

    name: str
    data: dict[str, Any]


class SignalWait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The code of a task waits for a signal, or did: asked again after a crash, it gets the same answer."""

    name: str
    task_id: str
    expires_at: int = 0
    data: dict[str, Any] | None = None
    """What came with it."""
    has_expired: bool = False

    @property
    def is_over(self) -> bool:
        """It has come to its answer."""
        return self.data is not None or self.has_expired


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a workflow is."""

    workflow_id: str
    status: WorkflowStatus = WorkflowStatus.PENDING
    goal: Goal = Goal.COMPLETE
    is_compensating: bool = True
    """Where it is not to be completed any more: what was completed is undone."""
    failed_step: str = ""
    cause: str = ""
    """Why it fails, or was cancelled."""
    input_data: dict[str, Any] = {}
    steps: dict[str, StepProgress] = {}
    """By name, in the order of the definition; behind them what compensates them, in the order of that."""
    places: int = 0
    """Steps completed."""
    bytes_of_results: int = 0
    signals: tuple[KeptSignal, ...] = ()
    """In the order in which they came."""
    waits: dict[str, SignalWait] = {}
    """Of the code of tasks at work, by what names the place in it."""
    began_at: int = 0
    ended_at: int = 0

    @property
    def is_over(self) -> bool:
        """It has ended."""
        return is_final("workflow", self.status)

    @property
    def results(self) -> dict[str, Any]:
        """What the completed steps came to."""
        return {
            name: step.result
            for name, step in self.steps.items()
            if step.status is TaskStatus.COMPLETED and not name.endswith(UNDO)
        }

    @property
    def uncompensated(self) -> tuple[str, ...]:
        """Steps whose compensation has failed."""
        return tuple(
            name.removesuffix(UNDO)
            for name, step in self.steps.items()
            if name.endswith(UNDO) and step.status is TaskStatus.FAILED
        )


def undoing(name: str) -> str:
    """The name of what compensates a step."""
    return name + UNDO


def errand_of(definition: Workflow, name: str) -> Step | Compensation | None:
    """What an agent is to do under a name; None: it is an approval or a delay."""
    for part in definition.steps:
        if part.name == name.removesuffix(UNDO):
            if isinstance(part, Approval | Delay):
                return None
            return part.compensate if name.endswith(UNDO) else part
    return None
