"""Tasks, and the states of agents and workflows, as people write and read them.

Each is a frozen record, checked when it is made, whoever makes it: plain text becomes the member of its
enumeration, times are in UTC, payloads can be stored. What stands in other rows (the history of a workflow,
the checkpoints of an agent) is filled in when a state is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from sentient_core.agents.fields import (
    Model,
    Rule,
    count,
    identity,
    moment,
    names,
    new_id,
    now,
    objects,
    one_of,
    optional,
    payload,
    percentage,
    text,
)
from sentient_core.agents.statuses import AgentStatus, StatusKind, TaskStatus, WorkflowStatus
from sentient_core.errors import InvalidField
from sentient_core.paths import EXTERNAL

__all__ = [
    "AgentState",
    "CheckpointKind",
    "StateCheckpoint",
    "StatusChange",
    "Task",
    "TaskExecution",
    "TaskExecutionMode",
    "WorkflowState",
    "WorkflowStep",
]


class TaskExecutionMode(StrEnum):
    """What `execute_task` returns, and when."""

    BLOCKING = "blocking"
    """The result, when the task has ended."""
    STREAMING = "streaming"
    """The last item of the stream, when it has ended."""
    BACKGROUND = "background"
    """At once, that it is accepted."""


class CheckpointKind(StrEnum):
    """Who wanted a checkpoint."""

    TURN = "turn"
    """The runtime, to recover an actor."""
    NAMED = "named"
    """Somebody, to come back to it."""


class Task(Model, frozen=True):
    """What an agent is to do.

    Task(description="Build a page", input_data={"title": "Hello"})
    """

    rules: ClassVar[Mapping[str, Rule]] = {
        "task_id": identity,
        "description": text,
        "input_data": payload,
        "workflow_id": optional(identity),
    }

    task_id: str = msgspec.field(default_factory=new_id)
    """Names the task in the whole system: the same id again is the same task."""
    description: str = ""
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    workflow_id: str | None = None


class TaskExecution(Model, frozen=True, kw_only=True):
    """A row of `task_execution`: a task given to an agent, and how it stands."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "task_id": identity,
        "agent_id": identity,
        "workflow_id": optional(identity),
        "description": text,
        "mode": one_of(TaskExecutionMode),
        "status": one_of(TaskStatus),
        "input_data": payload,
        "output_data": optional(payload),
        "progress": percentage,
        "phase": optional(text),
        "error_message": optional(text),
        "error_type": optional(text),
        "checkpoint_id": optional(identity),
        "items": count,
        "attempts": count,
        "created_at": moment,
        "started_at": optional(moment),
        "completed_at": optional(moment),
        "updated_at": moment,
        "owner": optional(text),
        "revision": count,
    }

    task_id: str = msgspec.field(default_factory=new_id)
    agent_id: str
    workflow_id: str | None = None
    description: str = ""
    mode: TaskExecutionMode = TaskExecutionMode.BLOCKING
    status: TaskStatus = TaskStatus.PENDING
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    output_data: dict[str, Any] | None = None
    """Its result; None until it is completed."""
    progress: float = 0
    """0 to 100."""
    phase: str | None = None
    """What it said last that it was at."""
    error_message: str | None = None
    """Why it failed."""
    error_type: str | None = None
    """The class of that error."""
    checkpoint_id: str | None = None
    """Its last checkpoint, from which it goes on."""
    items: int = 0
    """How many it has streamed."""
    attempts: int = 0
    """How often it was begun, or taken up again."""
    created_at: datetime = msgspec.field(default_factory=now)
    """When it was accepted."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    """When it ended, in whatever way."""
    updated_at: datetime = msgspec.field(default_factory=now)
    owner: str | None = None
    """Path of the actor that writes the row; None: whoever has a StateManager may."""
    revision: int = 0
    """Counts the row's changes; 0: it is in no store yet."""


class AgentState(Model, frozen=True, kw_only=True):
    """A row of `agent_state`: an agent, and how it stands."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "agent_id": identity,
        "name": text,
        "status": one_of(AgentStatus),
        "capabilities": names,
        "current_task": optional(identity),
        "execution_context": payload,
        "checkpoints": names,
        "created_at": moment,
        "updated_at": moment,
        "kind": text,
        "parent": text,
        "restarts": count,
        "incarnation": count,
        "owner": optional(text),
        "revision": count,
    }

    agent_id: str
    """Of an actor: its path."""
    name: str
    status: AgentStatus = AgentStatus.IDLE
    capabilities: list[str] = msgspec.field(default_factory=list[str])
    current_task: str | None = None
    """Id of the task at work."""
    execution_context: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Of the task at work: task_id, workflow_id, start_time, status; or what a checkpoint brought back."""
    checkpoints: list[str] = msgspec.field(default_factory=list[str])
    """Ids of its named checkpoints, oldest first; filled in when it is read."""
    created_at: datetime = msgspec.field(default_factory=now)
    updated_at: datetime = msgspec.field(default_factory=now)
    kind: str = ""
    """Of an actor: what its class is stored as."""
    parent: str = ""
    """Of an actor: the path of the one above it."""
    restarts: int = 0
    """How often it was started again."""
    incarnation: int = 0
    """Of an actor: its number; 0: no actor has ever written this row."""
    owner: str | None = None
    """Path of the actor that writes the row; None: whoever has a StateManager may."""
    revision: int = 0
    """Counts the row's changes; 0: it is in no store yet."""


class WorkflowState(Model, frozen=True, kw_only=True):
    """A row of `workflow_state`: some steps, and how far they are."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "workflow_id": identity,
        "name": text,
        "status": one_of(WorkflowStatus),
        "current_step": count,
        "total_steps": count,
        "agent_states": payload,
        "execution_history": objects,
        "metadata": payload,
        "input_data": payload,
        "output_data": optional(payload),
        "error_message": optional(text),
        "created_at": moment,
        "completed_at": optional(moment),
        "updated_at": moment,
        "owner": optional(text),
        "revision": count,
    }

    workflow_id: str = msgspec.field(default_factory=new_id)
    name: str = ""
    status: WorkflowStatus = WorkflowStatus.PENDING
    current_step: int = 0
    """How many steps are done; never more than `total_steps`, where that is said."""
    total_steps: int = 0
    """0: nobody has said."""
    agent_states: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict[str, dict[str, Any]])
    """The agents at work for it by their ids, each with name, status, current_task; filled in when read."""
    execution_history: list[dict[str, Any]] = msgspec.field(default_factory=list[dict[str, Any]])
    """What has happened, oldest first, each with a `timestamp`; filled in when it is read."""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    output_data: dict[str, Any] | None = None
    """Its result; None until it is completed."""
    error_message: str | None = None
    """Why it failed."""
    created_at: datetime = msgspec.field(default_factory=now)
    completed_at: datetime | None = None
    """When it ended, in whatever way."""
    updated_at: datetime = msgspec.field(default_factory=now)
    owner: str | None = None
    """Path of the actor that writes the row; None: whoever has a StateManager may."""
    revision: int = 0
    """Counts the row's changes; 0: it is in no store yet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total_steps and self.current_step > self.total_steps:
            raise InvalidField(
                "WorkflowState",
                "current_step",
                f"is {self.current_step}, and total_steps {self.total_steps}; it cannot be beyond",
            )
        for agent_id, state in self.agent_states.items():
            if not isinstance(state, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - a payload
                raise InvalidField("WorkflowState", "agent_states", f"has no dict for {agent_id!r}")


class StateCheckpoint(Model, frozen=True, kw_only=True):
    """A row of `state_checkpoint` that somebody asked for: what an agent was at, to come back to."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "checkpoint_id": identity,
        "agent_id": identity,
        "workflow_id": optional(identity),
        "execution_context": payload,
        "progress_data": payload,
        "timestamp": moment,
        "metadata": payload,
        "kind": one_of(CheckpointKind),
        "incarnation": count,
        "owner": optional(text),
        "revision": count,
    }

    checkpoint_id: str = msgspec.field(default_factory=new_id)
    agent_id: str
    workflow_id: str | None = None
    execution_context: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    progress_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    timestamp: datetime = msgspec.field(default_factory=now)
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    kind: CheckpointKind = CheckpointKind.NAMED
    incarnation: int = 0
    """Of the actor; 0: no actor has written it."""
    owner: str | None = None
    """Path of the actor that has written it."""
    revision: int = 0
    """0: it is in no store yet."""


class WorkflowStep(Model, frozen=True, kw_only=True):
    """A row of `workflow_step`: one part of a workflow, and how it stands."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "workflow_id": identity,
        "name": identity,
        "position": count,
        "status": one_of(TaskStatus),
        "agent_id": optional(identity),
        "capability": optional(text),
        "task_id": optional(identity),
        "depends_on": names,
        "attempts": count,
        "input_data": payload,
        "output_data": optional(payload),
        "error_message": optional(text),
        "created_at": moment,
        "started_at": optional(moment),
        "completed_at": optional(moment),
        "updated_at": moment,
        "owner": optional(text),
        "revision": count,
    }

    workflow_id: str
    name: str
    """Names it within its workflow."""
    position: int = 0
    """Where it stands among the steps, to be shown."""
    status: TaskStatus = TaskStatus.PENDING
    agent_id: str | None = None
    """Who runs it."""
    capability: str | None = None
    """What who runs it has to be able to do."""
    task_id: str | None = None
    """As what it is run."""
    depends_on: list[str] = msgspec.field(default_factory=list[str])
    """The steps that have to be completed before it; filled in when it is read."""
    attempts: int = 0
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    output_data: dict[str, Any] | None = None
    error_message: str | None = None
    created_at: datetime = msgspec.field(default_factory=now)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    """When it ended, in whatever way."""
    updated_at: datetime = msgspec.field(default_factory=now)
    owner: str | None = None
    """Path of the actor that writes the row; None: whoever has a StateManager may."""
    revision: int = 0
    """0: it is in no store yet."""


class StatusChange(Model, frozen=True, kw_only=True):
    """A row of `status_change`: that the status of an agent, a task or a workflow has changed."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "subject": one_of(StatusKind),
        "subject_id": identity,
        "old": optional(text),
        "new": text,
        "cause": text,
        "actor": text,
        "workflow_id": optional(identity),
        "timestamp": moment,
    }

    subject: StatusKind
    """Whether it is of an agent, a task or a workflow."""
    subject_id: str
    old: str | None = None
    """None: it is new."""
    new: str
    cause: str = ""
    """What led to it."""
    actor: str = EXTERNAL
    """Who did it: the path of an actor, or whatever name the caller of a StateManager gave."""
    workflow_id: str | None = None
    timestamp: datetime = msgspec.field(default_factory=now)
