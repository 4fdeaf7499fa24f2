"""An unfinished task as its agent holds it in memory, and as its row says it: what a restart goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from sentient_core.agents.models import Task, TaskExecutionMode
from sentient_core.agents.statuses import TaskStatus

__all__ = ["ResumePoint", "Wish", "Work", "data_of", "work_of"]


class Wish(StrEnum):
    """What somebody asked for of a task, which it has not come to yet."""

    PAUSE = "pause"
    CANCEL = "cancel"


class ResumePoint(msgspec.Struct, frozen=True):
    """Where a task goes on when it is run again."""

    checkpoint_id: str
    data: dict[str, Any]
    """What the task has put into its last checkpoint."""


class Work(msgspec.Struct, kw_only=True):
    """See the module."""

    task: Task
    mode: TaskExecutionMode
    status: TaskStatus = TaskStatus.PENDING
    progress: float = 0
    position: int = 0
    """Items that it has brought, in all its runs: what it brings again has a position of its own."""
    resume: ResumePoint | None = None
    wish: Wish | None = None
    started_at: datetime | None = None
    attempts: int = 0
    """How often it was begun, or taken up again."""


def data_of(resume: ResumePoint | None, wish: Wish | None) -> dict[str, Any]:
    """What the row holds for the next run of the task."""
    made: dict[str, Any] = {}
    if resume is not None:
        made["resume"] = msgspec.structs.asdict(resume)
    if wish is not None:
        made["wish"] = wish.value
    return made


def work_of(fields: Mapping[str, Any]) -> Work:
    """The task that a row of `task_execution` tells of."""
    data: Mapping[str, Any] = fields.get("data") or {}
    resume = None if data.get("resume") is None else msgspec.convert(data["resume"], ResumePoint)
    wish = data.get("wish")
    return Work(
        task=Task(
            task_id=fields["task_id"],
            description=fields.get("description") or "",
            input_data=dict(fields.get("input_data") or {}),
            workflow_id=fields.get("workflow_id"),
        ),
        mode=TaskExecutionMode(fields.get("mode") or "background"),
        status=TaskStatus(fields["status"]),
        progress=fields.get("progress") or 0,
        position=fields.get("items") or 0,
        resume=resume,
        wish=None if wish is None else Wish(wish),
        started_at=fields.get("started_at"),
        attempts=fields.get("attempts") or 0,
    )
