"""What is written down of a workflow: its rows, history, trail and events, in the turn that changes it.

All of it is worked out from the two states before and after the turn, so there is one event for each change,
and none that the rows do not tell of.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sentient_core.agents.minutes import Minutes
from sentient_core.agents.statuses import TaskStatus, WorkflowStatus
from sentient_core.agents.workflows.changes import StepChange, status_changes, step_changes
from sentient_core.agents.workflows.deciding import task_of
from sentient_core.agents.workflows.definition import Step, Workflow
from sentient_core.agents.workflows.progress import UNDO, Goal, Progress, StepProgress, errand_of
from sentient_core.events import EventType
from sentient_core.store.row_tables import RowTable, place_of

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["Records"]


class Records:
    """Of the turn of a workflow that is open."""

    def __init__(self, cell: Cell, definition: Workflow, workflow_id: str) -> None:
        self.minutes: Minutes = Minutes(cell)
        self._mirror = cell.runtime.mirror
        self._definition = definition
        self._id = workflow_id

    def begin(self, new: Progress) -> None:
        """It is new: its row, those of its steps, and what they wait for."""
        minutes, definition = self.minutes, self._definition
        created_at = (
            _time(new.began_at) or minutes.now
        )  # before its steps begin, which is decided before this
        minutes.row(
            RowTable.WORKFLOW_STATE,
            (self._id,),
            workflow_id=self._id,
            name=definition.name,
            status=WorkflowStatus.PENDING.value,
            current_step=0,
            total_steps=len(definition.steps),
            input_data=new.input_data,
            created_at=created_at,
        )
        minutes.status("workflow", self._id, None, WorkflowStatus.PENDING.value, "it was started", self._id)
        after = definition.after
        for part in definition.steps:
            capability = part.capability if isinstance(part, Step) else None
            self._new_step(part.name, list(after[part.name]), capability, created_at)

    def change(self, old: Progress, new: Progress, cause: str) -> None:
        """It has come from one state to another."""
        changes: dict[str, list[StepChange]] = {}
        for change in step_changes(old, new):
            changes.setdefault(change.step, []).append(change)
        unborn = StepProgress()
        for name in sorted(
            new.steps, key=lambda name: not old.steps.get(name, unborn).is_due
        ):  # what led to it first
            before = old.steps.get(name, unborn)
            if new.steps[name] is not before and new.steps[name] != before:
                self._step(name, old.steps.get(name), new.steps[name], new)
            for change in changes.get(name, ()):
                self._step_status(change)
        kept = Counter(signal.name for signal in new.signals)
        for signal in old.signals:
            if kept[signal.name]:
                kept[signal.name] -= 1
            else:
                self.history("signal_used", name=signal.name)
        moved = status_changes(old, new)
        for was, becomes in moved:
            why = cause if new.goal is Goal.COMPLETE else new.cause
            self.minutes.status("workflow", self._id, was.value, becomes.value, why, self._id)
            payload = {"workflow_id": self._id, "old_status": was.value, "new_status": becomes.value}
            self.minutes.event(EventType.WORKFLOW_STATUS_CHANGED, payload, self._id)
            self.history("status", old_status=was.value, new_status=becomes.value, cause=why)
        if new.goal is not old.goal:
            self.history("gave_up", goal=new.goal.value, step=new.failed_step or None, cause=new.cause)
        if moved or new.places != old.places or new.goal is not old.goal:
            self._state(new)

    def history(self, event: str, **entry: Any) -> None:
        """One more entry of its history."""
        mirror, minutes = self._mirror, self.minutes
        place = f"{place_of(mirror.epoch)}.{place_of(mirror.next_seq())}"  # sorts as they come
        told = {name: value for name, value in entry.items() if value is not None}
        minutes.row(
            RowTable.WORKFLOW_HISTORY,
            (self._id, place),
            workflow_id=self._id,
            timestamp=minutes.now,
            entry={"timestamp": minutes.now.isoformat(), "event": event, **told},
        )

    def _step_status(self, change: StepChange) -> None:
        statuses = {"old_status": change.old.value, "new_status": change.new.value}
        payload = {"workflow_id": self._id, "step": change.step, **statuses}
        self.minutes.event(EventType.WORKFLOW_STEP_CHANGED, payload, self._id)
        self.history("step", step=change.step, **statuses)

    def _state(self, new: Progress) -> None:
        fields: dict[str, Any] = {"status": new.status.value, "current_step": new.places}
        if new.goal is not Goal.COMPLETE:
            fields["error_message"] = new.cause
            fields["data"] = {"failed_step": new.failed_step, "uncompensated": list(new.uncompensated)}
        if new.status is WorkflowStatus.COMPLETED:
            fields["output_data"] = new.results
        if new.is_over:
            fields["completed_at"] = _time(new.ended_at)
        self.minutes.row(RowTable.WORKFLOW_STATE, (self._id,), **fields, updated_at=self.minutes.now)

    def _step(self, name: str, old: StepProgress | None, new: StepProgress, progress: Progress) -> None:
        if old is None and name.endswith(UNDO):
            errand = errand_of(self._definition, name)
            capability = None if errand is None else errand.capability
            self._new_step(
                name, [name.removesuffix(UNDO)], capability, _time(new.began_at) or self.minutes.now
            )
        before = old or StepProgress()
        fields: dict[str, Any] = {
            "status": new.status.value,
            "attempts": new.attempts,
            "agent_id": new.agent,
            "task_id": new.task_id,
            "error_message": new.error,
            "started_at": _time(new.began_at),
            "completed_at": _time(new.ended_at),
        }
        if new.task_id != before.task_id:
            fields["input_data"] = task_of(self._definition, progress, name).input_data
            self.history("attempt", step=name, attempt=new.attempts, agent=new.agent, task_id=new.task_id)
        elif before.is_at_work and not new.is_at_work and new.status is TaskStatus.RUNNING:
            self.history("attempt_failed", step=name, attempt=new.attempts, error=new.error)
        if new.result is not None:
            fields["output_data"] = new.result
        self.minutes.row(RowTable.WORKFLOW_STEP, (self._id, name), **fields, updated_at=self.minutes.now)

    def _new_step(self, name: str, after: list[str], capability: str | None, created_at: datetime) -> None:
        names = [part.name for part in self._definition.steps]
        self.minutes.row(
            RowTable.WORKFLOW_STEP,
            (self._id, name),
            workflow_id=self._id,
            name=name,
            position=names.index(name.removesuffix(UNDO)),
            status=TaskStatus.PENDING.value,
            capability=capability,
            depends_on=after,
            created_at=created_at,
            updated_at=self.minutes.now,
        )
        for other in after:
            edge = (self._id, name, self._id, other)
            self.minutes.row(RowTable.DEPENDS_ON, edge, timestamp=self.minutes.now)


def _time(moment: int) -> datetime | None:
    return datetime.fromtimestamp(moment / 1_000_000_000, UTC) if moment else None
