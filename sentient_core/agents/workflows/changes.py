"""What has changed between two states of a workflow, as people are told: pure."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from sentient_core.agents.statuses import TaskStatus, WorkflowStatus
from sentient_core.agents.workflows.progress import Progress, StepProgress

__all__ = ["StepChange", "status_changes", "step_changes"]


class StepChange(msgspec.Struct, frozen=True):
    """The status of a step has changed."""

    step: str
    old: TaskStatus
    new: TaskStatus


def step_changes(old: Progress, new: Progress) -> list[StepChange]:
    """One for each change of a step's status, in the order of the steps.

    What was completed at once (an approval whose signal had come before) was running in between.
    """
    changes: list[StepChange] = []
    for name, step in new.steps.items():
        before = old.steps.get(name, StepProgress()).status
        if before is TaskStatus.PENDING and step.status is TaskStatus.COMPLETED:
            changes.append(StepChange(name, before, TaskStatus.RUNNING))
            before = TaskStatus.RUNNING
        if before is not step.status:
            changes.append(StepChange(name, before, step.status))
    return changes


def status_changes(old: Progress, new: Progress) -> list[tuple[WorkflowStatus, WorkflowStatus]]:
    """How the status of the workflow has changed: old and new of each change, in order."""
    passed = [old.status, new.status]
    if (
        old.status in (WorkflowStatus.PENDING, WorkflowStatus.PAUSED)
        and new.status is WorkflowStatus.COMPLETED
    ):
        passed.insert(1, WorkflowStatus.RUNNING)
    return [(before, after) for before, after in pairwise(passed) if before is not after]
