"""How agents, tasks and workflows stand, and which change of that is allowed: one checked state machine.

    agent      pending -> idle <-> running <-> paused      running, paused -> idle: the task was cancelled
                          running -> completed | failed    both stand until the next task, or a restore
    task,      pending -> running <-> paused
    workflow   running -> completed | failed | cancelled   the ends; the last two of the others as well

Cancelling is of a task or a workflow: its agent is idle then, and has not failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sentient_core.errors import IllegalTransition, InvalidArgument

__all__ = [
    "TRANSITIONS",
    "AgentStatus",
    "Status",
    "StatusKind",
    "TaskStatus",
    "WorkflowStatus",
    "check_transition",
    "is_final",
    "status_of",
]


class AgentStatus(StrEnum):
    """How an agent stands."""

    PENDING = "pending"
    """Known, and never started."""
    IDLE = "idle"
    """It has no task."""
    RUNNING = "running"
    """A task is at work."""
    PAUSED = "paused"
    """Its task waits to be resumed."""
    COMPLETED = "completed"
    """Its last task succeeded, or the agent came to its end in order."""
    FAILED = "failed"
    """Its last task failed, or the agent itself; until the next task, or a restore."""


class TaskStatus(StrEnum):
    """How a task stands."""

    PENDING = "pending"
    """Accepted, and waits for its turn."""
    RUNNING = "running"
    PAUSED = "paused"
    """Waits to be resumed."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkflowStatus(StrEnum):
    """How a workflow stands."""

    PENDING = "pending"
    """Created, and no step has begun."""
    RUNNING = "running"
    PAUSED = "paused"
    """Waits to be resumed."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StatusKind(StrEnum):
    """Whose status it is."""

    AGENT = "agent"
    TASK = "task"
    WORKFLOW = "workflow"


Status = AgentStatus | TaskStatus | WorkflowStatus

_AGENT: Mapping[Status, frozenset[Status]] = {
    AgentStatus.PENDING: frozenset({AgentStatus.IDLE, AgentStatus.RUNNING, AgentStatus.FAILED}),
    AgentStatus.IDLE: frozenset(
        {AgentStatus.RUNNING, AgentStatus.PAUSED, AgentStatus.COMPLETED, AgentStatus.FAILED}
    ),
    AgentStatus.RUNNING: frozenset(
        {AgentStatus.IDLE, AgentStatus.PAUSED, AgentStatus.COMPLETED, AgentStatus.FAILED}
    ),
    AgentStatus.PAUSED: frozenset({AgentStatus.IDLE, AgentStatus.RUNNING, AgentStatus.FAILED}),
    AgentStatus.COMPLETED: frozenset({AgentStatus.IDLE, AgentStatus.RUNNING, AgentStatus.FAILED}),
    AgentStatus.FAILED: frozenset({AgentStatus.IDLE, AgentStatus.RUNNING}),
}


def _of_work(kind: type[TaskStatus | WorkflowStatus]) -> Mapping[Status, frozenset[Status]]:
    ends: frozenset[Status] = frozenset({kind.FAILED, kind.CANCELLED})
    return {
        kind.PENDING: ends | {kind.RUNNING, kind.PAUSED},
        kind.RUNNING: ends | {kind.PAUSED, kind.COMPLETED},
        kind.PAUSED: ends | {kind.RUNNING},
        kind.COMPLETED: frozenset(),
        kind.FAILED: frozenset(),
        kind.CANCELLED: frozenset(),
    }


TRANSITIONS: Mapping[StatusKind, Mapping[Status, frozenset[Status]]] = {
    StatusKind.AGENT: _AGENT,
    StatusKind.TASK: _of_work(TaskStatus),
    StatusKind.WORKFLOW: _of_work(WorkflowStatus),
}
"""From each status, those that may follow it."""

_TYPES: Mapping[StatusKind, type[Status]] = {
    StatusKind.AGENT: AgentStatus,
    StatusKind.TASK: TaskStatus,
    StatusKind.WORKFLOW: WorkflowStatus,
}


def status_of(kind: StatusKind | str, status: str) -> Status:
    """The member that `status` names. InvalidArgument for what is no kind, or no status of it."""
    try:
        type_ = _TYPES[StatusKind(kind)]
    except ValueError:
        raise InvalidArgument(f"kind is {kind!r}; it can be {_listed(StatusKind)}") from None
    try:
        return type_(status)
    except ValueError:
        raise InvalidArgument(
            f"{status!r} is no status of {_ARTICLES[StatusKind(kind)]}; it can be {_listed(type_)}"
        ) from None


def check_transition(kind: StatusKind | str, old: str, new: str) -> None:
    """Return if what has the status `old` may get `new`; to stay as it is, is no change and always allowed.

    IllegalTransition if not, which says what may follow; InvalidArgument for a status that there is not.
    """
    before, after = status_of(kind, old), status_of(kind, new)
    allowed = TRANSITIONS[StatusKind(kind)][before]
    if after is not before and after not in allowed:
        raise IllegalTransition(
            str(kind), before.value, after.value, sorted(status.value for status in allowed)
        )


def is_final(kind: StatusKind | str, status: str) -> bool:
    """Nothing follows this status."""
    return not TRANSITIONS[StatusKind(kind)][status_of(kind, status)]


def _listed(type_: type[StrEnum]) -> str:
    return ", ".join(repr(member.value) for member in type_)


_ARTICLES = {StatusKind.AGENT: "an agent", StatusKind.TASK: "a task", StatusKind.WORKFLOW: "a workflow"}
