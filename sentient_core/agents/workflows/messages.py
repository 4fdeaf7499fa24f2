"""What is asked of a running workflow, and what it tells itself."""

from __future__ import annotations

from typing import Any

import msgspec

from sentient_core.actors.request import Request
from sentient_core.agents.workflows.definition import Workflow
from sentient_core.agents.workflows.progress import Outcome

__all__ = [
    "UNKNOWN",
    "AgentsCame",
    "AwaitSignal",
    "CancelWorkflow",
    "GoOn",
    "PauseWorkflow",
    "ResumeWorkflow",
    "SendSignal",
    "SignalAnswer",
    "StartWorkflow",
    "StopAwaiting",
    "TaskEnded",
    "TimeIsUp",
]


UNKNOWN = ""
"""The answer of one that was never started."""


class StartWorkflow(Request[bool], frozen=True, tag="workflow.start"):
    """Begin. False: there is another workflow of this id. Asked again with the same, it changes nothing."""

    definition: Workflow
    input_data: dict[str, Any]


class SendSignal(Request[str], frozen=True, tag="workflow.signal"):
    """A signal; the answer is `taken`, `full`, or the status of a workflow that is over."""

    name: str
    data: dict[str, Any]


class PauseWorkflow(Request[str], frozen=True, tag="workflow.pause"):
    """Begin nothing more until it is resumed; the answer is the status it had."""


class ResumeWorkflow(Request[str], frozen=True, tag="workflow.resume"):
    """Go on; the answer is the status it had."""


class CancelWorkflow(Request[str], frozen=True, tag="workflow.cancel"):
    """Come to an end; the answer is the status it had."""

    is_compensating: bool
    cause: str


class SignalAnswer(msgspec.Struct, frozen=True):
    """How it stands with a signal that the code of a task waits for."""

    data: dict[str, Any] | None
    """What came with it; None: it has not come."""
    has_expired: bool
    seconds_left: float | None
    is_known: bool = True
    """False: there is no such workflow."""


class AwaitSignal(Request[SignalAnswer], frozen=True, tag="workflow.await_signal"):
    """The code of a task waits for a signal, at a place that `key` names."""

    key: str
    name: str
    task_id: str
    timeout: float | None
    is_late: bool
    """Its time is up, by the clock of who waits."""


class StopAwaiting(msgspec.Struct, frozen=True, tag="workflow.stop_awaiting"):
    """The code of a task has gone on without the signal that it had waited for at this place."""

    key: str


class TaskEnded(msgspec.Struct, frozen=True, tag="workflow.task_ended"):
    """A task of a step has ended."""

    step: str
    task_id: str
    outcome: Outcome


class TimeIsUp(msgspec.Struct, frozen=True, tag="workflow.time_is_up"):
    """The moment has come that the workflow waits for, in nanoseconds."""

    moment: int


class AgentsCame(msgspec.Struct, frozen=True, tag="workflow.agents_came"):
    """Agents have come since nobody was there for a step."""


class GoOn(msgspec.Struct, frozen=True, tag="workflow.go_on"):
    """A later start of the system: be there. Being there is all that it takes."""
