"""What an agent and its tasks are known as, and how a change of that is written: in the turn that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentient_core.actors.ref import cell_of
from sentient_core.agents.crew import Crew, crew_of
from sentient_core.agents.statuses import AgentStatus, TaskStatus, check_transition
from sentient_core.events import EventType
from sentient_core.store.row_tables import RowTable, place_of

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.agents.agent import Agent
    from sentient_core.agents.minutes import Minutes
    from sentient_core.agents.run import Run
    from sentient_core.agents.work import Work

__all__ = ["Books"]


class Books:
    """What a desk works with. Its status and context are as the turn that is open leaves them."""

    def __init__(self, agent: Agent) -> None:
        self.agent: Agent = agent
        self.cell: Cell = cell_of(agent.context.ref)
        self.crew: Crew = crew_of(self.cell.runtime)
        self.status: AgentStatus = AgentStatus.IDLE
        self.unfinished: dict[str, Work] = {}
        """By id, in the order in which they were taken on."""
        self.run: Run | None = None
        """The task at work, or the one that waits for a place."""
        self.context: dict[str, Any] = {}
        """`execution_context` of the row."""
        self.life: Incarnation | None = None
        """Since it is ready for messages."""
        self.is_ready: bool = False
        """The unfinished tasks of earlier instances are known."""

    @property
    def is_of_now(self) -> bool:
        """Its instance lives, and all that it is to know is known."""
        return self.is_ready and self.life is not None and not self.life.is_over and self.cell.is_alive

    def _task_status(self, minutes: Minutes, work: Work, new: TaskStatus, cause: str) -> None:
        check_transition("task", work.status, new)
        task = work.task
        minutes.status("task", task.task_id, work.status.value, new.value, cause, task.workflow_id)

    def _agent_status(
        self,
        minutes: Minutes,
        new: AgentStatus,
        cause: str,
        *,
        current_task: str | None = "",
        context: dict[str, Any] | None = None,
        workflow_id: str | None = None,
    ) -> None:
        """`current_task` "": as it is; None: there is none any more. `workflow_id`: for which it changes."""
        old, old_context = self.status, self.context
        fields: dict[str, Any] = {"status": new.value, "updated_at": minutes.now}
        if current_task != "":
            context = context or {}
            fields["current_task"] = current_task
        if context is not None:
            fields["execution_context"] = context
        minutes.row(RowTable.AGENT_STATE, (self.cell.path,), **fields)
        if old is not new:
            check_transition("agent", old, new)
            minutes.status("agent", self.cell.path, old.value, new.value, cause, workflow_id)
            minutes.event(
                EventType.AGENT_STATUS_CHANGED, {"new_status": new.value, "old_status": old.value}, None
            )
        minutes.if_dropped(lambda: self._show(old, old_context))
        self._show(new, old_context if context is None else context)

    def _show(self, status: AgentStatus, context: dict[str, Any]) -> None:
        self.status, self.context = status, context

    def _item(self, minutes: Minutes, work: Work, position: int, item: dict[str, Any]) -> None:
        minutes.row(
            RowTable.TASK_ITEM,
            (work.task.task_id, place_of(position)),
            task_id=work.task.task_id,
            agent_id=self.cell.path,
            position=position,
            item=item,
            timestamp=minutes.now,
        )

    def _progress(self, minutes: Minutes, work: Work, progress: float, status: str | None) -> None:
        if progress == work.progress:
            return
        fields: dict[str, Any] = {"progress": progress, "updated_at": minutes.now}
        if status is not None:
            fields["phase"] = status
        minutes.row(RowTable.TASK_EXECUTION, (work.task.task_id,), **fields)
        payload = {"task_id": work.task.task_id, "progress": progress, "status": status}
        minutes.event(EventType.TASK_PROGRESS, payload, work.task.workflow_id)
