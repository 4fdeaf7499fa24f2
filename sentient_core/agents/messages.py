"""What a handle asks of an agent."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from sentient_core.actors.request import Request
from sentient_core.agents.models import TaskExecutionMode

__all__ = [
    "AcceptTask",
    "AgentDescription",
    "CancelTask",
    "PauseTask",
    "RestoreCheckpoint",
    "ResumeTask",
    "TakeCheckpoint",
    "WishTask",
    "id_of_task",
]

_LONGEST = 990
"""Ids of messages have at most 1,000 characters, as those of tasks have."""


def id_of_task(task_id: str) -> str:
    """The id of the message by which a workflow gives a task: sent again, it is the same message."""
    if len(task_id) <= _LONGEST:
        return f"task:{task_id}"
    return f"task#{blake2b(task_id.encode(), digest_size=32).hexdigest()}"


class AcceptTask(Request[str], frozen=True, tag="agent.accept_task"):
    """Take on a task; the answer, its id, comes when it is written down. It is begun when its turn comes."""

    task_id: str
    description: str
    input_data: dict[str, Any]
    workflow_id: str | None
    mode: TaskExecutionMode = TaskExecutionMode.BACKGROUND
    """That of whoever gives it first counts."""


class CancelTask(Request[bool], frozen=True, tag="agent.cancel_task"):
    """Cancel a task, or the one at work. False: there is none to cancel."""

    task_id: str | None = None


class PauseTask(Request[str], frozen=True, tag="agent.pause_task"):
    """Pause the task at work at its next point; the answer is its id."""

    task_id: str | None = None


class ResumeTask(Request[str], frozen=True, tag="agent.resume_task"):
    """Let the paused task go on; the answer is its id."""

    task_id: str | None = None


class WishTask(msgspec.Struct, frozen=True, tag="agent.wish_task"):
    """What a workflow wants of a task that it has given: `cancel`, `pause`, or `resume`. Nobody waits for it.

    Of a task that is over by then nothing is wanted.
    """

    task_id: str
    wish: str


class TakeCheckpoint(Request[str], frozen=True, tag="agent.take_checkpoint"):
    """Take a named checkpoint of the agent as it is now; the answer is its id."""

    data: dict[str, Any]


class RestoreCheckpoint(Request[bool], frozen=True, tag="agent.restore_checkpoint"):
    """Put state and context back to what a named checkpoint holds. False: there is no such checkpoint."""

    checkpoint_id: str
    found: dict[str, Any]
    """The row of the checkpoint, which the handle has read."""


class AgentDescription(msgspec.Struct, frozen=True, kw_only=True):
    """An agent at one moment."""

    agent_id: str
    name: str
    status: str
    capabilities: list[str]
    current_task: str | None
    execution_context: dict[str, Any]
    waiting: list[str]
    """Ids of the tasks that it has taken on and not begun, in order."""
