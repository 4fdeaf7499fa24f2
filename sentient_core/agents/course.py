"""What the run of a task comes to: that it begins, gets on, stands still, and ends. In turns of the agent.

Each works out what is to be written (`Minutes`), which commits with the turn, and changes what is in memory
once the turn has ended well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentient_core.agents.books import Books
from sentient_core.agents.crew import Ending
from sentient_core.agents.minutes import Minutes
from sentient_core.agents.outcome import cancelled_item, checked_item, checked_progress, checked_status
from sentient_core.agents.statuses import AgentStatus, TaskStatus
from sentient_core.agents.work import Wish, Work
from sentient_core.events import EventType
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.agents.models import Task
    from sentient_core.agents.run import Run

__all__ = ["Course"]


class Course(Books):
    """See the module."""

    def begin(self, run: Run) -> bool:
        """The task has a place: it is at work from now on. False: it was cancelled meanwhile."""
        task = run.work.task
        if task.task_id not in self.unfinished:
            return False
        self._begin(run)
        return True

    def _begin_at_once(self, work: Work) -> Run | None:
        """Begin a task in the turn of now, where there is a place for it; None: it has to wait for one."""
        run = self._run_of(work)
        if not run.take_place():
            return None
        Minutes(self.cell).if_dropped(run.leave_place)
        self._begin(run)
        return run

    def _begin(self, run: Run) -> None:
        work, task = run.work, run.work.task
        minutes = Minutes(self.cell)
        is_new = work.started_at is None
        began = work.started_at or minutes.now
        if work.status is not TaskStatus.RUNNING:
            self._task_status(minutes, work, TaskStatus.RUNNING, "it is begun" if is_new else "it goes on")
        context = {
            "task_id": task.task_id,
            "workflow_id": task.workflow_id,
            "start_time": began,
            "status": TaskStatus.RUNNING.value,
        }
        minutes.row(
            RowTable.TASK_EXECUTION,
            (task.task_id,),
            status=TaskStatus.RUNNING.value,
            started_at=began,
            attempts=work.attempts + 1,
            updated_at=minutes.now,
        )
        self._agent_status(
            minutes,
            AgentStatus.RUNNING,
            f"task {task.task_id}",
            current_task=task.task_id,
            context=context,
            workflow_id=task.workflow_id,
        )
        if is_new:
            payload = {"task_id": task.task_id, "task_description": task.description}
            minutes.event(EventType.AGENT_STARTED, payload, task.workflow_id)

        def begun() -> None:
            work.status, work.started_at = TaskStatus.RUNNING, began
            work.attempts += 1
            run.has_begun = True

        minutes.then(begun)

    def join(self, work: Work, task: Task) -> None:
        """The task belongs to a workflow from now on: `task` says to which."""
        minutes = Minutes(self.cell)
        minutes.row(
            RowTable.TASK_EXECUTION, (task.task_id,), workflow_id=task.workflow_id, updated_at=minutes.now
        )
        context = self.context | {"workflow_id": task.workflow_id}
        self._agent_status(minutes, self.status, "", current_task=task.task_id, context=context)

        def joined() -> None:
            work.task = task

        minutes.then(joined)

    def item(self, work: Work, given: object) -> dict[str, Any]:
        """The task has yielded an item; returns it as followers get it. Raises InvalidItem."""
        made = checked_item(given, work.progress)
        position = work.position + 1
        minutes = Minutes(self.cell)
        self._item(minutes, work, position, made)
        minutes.row(RowTable.TASK_EXECUTION, (work.task.task_id,), items=position, phase=made["status"])
        self._progress(minutes, work, made["progress"], made["status"])

        told = {**made, "position": position}

        def moved() -> None:
            work.position, work.progress = position, made["progress"]

        def bring() -> None:
            following = self.crew.followed(work.task.task_id)
            if following is not None:
                following.bring(position, told)

        minutes.then(moved)
        minutes.when_committed(bring)
        return told

    def progress(self, work: Work, progress: float, status: str | None) -> None:
        """The task has got on, and yields nothing with it. Raises InvalidItem."""
        checked_progress(progress, "report_progress")
        if status is not None:
            checked_status(status, "report_progress")
        minutes = Minutes(self.cell)
        self._progress(minutes, work, progress, status)

        def moved() -> None:
            work.progress = progress

        minutes.then(moved)

    def paused(self, work: Work) -> None:
        """The run stands still."""
        if work.status is not TaskStatus.PAUSED and work.wish is Wish.PAUSE:
            self._turn(work, TaskStatus.PAUSED, AgentStatus.PAUSED)

    def went_on(self, work: Work) -> None:
        """The run goes on."""
        if work.status is TaskStatus.PAUSED:
            self._turn(work, TaskStatus.RUNNING, AgentStatus.RUNNING)

    def _turn(self, work: Work, status: TaskStatus, agent_status: AgentStatus) -> None:
        """Between running and paused, as somebody has asked for."""
        task_id = work.task.task_id
        minutes = Minutes(self.cell)
        self._task_status(minutes, work, status, "somebody asked for it")
        minutes.row(RowTable.TASK_EXECUTION, (task_id,), status=status.value, updated_at=minutes.now)
        self._agent_status(minutes, agent_status, f"task {task_id}", workflow_id=work.task.workflow_id)

        def turned() -> None:
            work.status = status
            self._wake_followers(work)

        minutes.then(turned)
        minutes.when_committed(lambda: self._wake_followers(work))

    def end(self, work: Work, ending: Ending) -> None:
        """The task is over."""
        task = work.task
        status = ending.status
        minutes = Minutes(self.cell)
        self._task_status(minutes, work, status, ending.error or "its run has ended")
        is_current = self.run is not None and self.run.work is work
        is_shown = self.context.get("task_id") == task.task_id
        position = work.position
        progress: float = work.progress
        output = ending.output
        item: dict[str, Any] | None = None
        if status is TaskStatus.CANCELLED and not ending.is_told:
            output = item = {**output, **cancelled_item(work.progress)}
        elif status is TaskStatus.COMPLETED and not ending.is_told:
            item = {**output, "progress": 100}
        if item is not None:
            position += 1
            self._item(minutes, work, position, item)
        if status is TaskStatus.COMPLETED:
            if work.progress != 100:
                self._progress(minutes, work, 100, status.value)
            progress = 100
        minutes.row(
            RowTable.TASK_EXECUTION,
            (task.task_id,),
            status=status.value,
            output_data=output if status is not TaskStatus.FAILED else None,
            error_message=ending.error,
            error_type=ending.error_type,
            progress=progress,
            items=position,
            completed_at=minutes.now,
            updated_at=minutes.now,
            data={},
        )
        if status is TaskStatus.COMPLETED:
            minutes.event(
                EventType.AGENT_COMPLETED, {"task_id": task.task_id, "result": output}, task.workflow_id
            )
            self._agent_status(
                minutes,
                AgentStatus.COMPLETED,
                f"task {task.task_id}",
                current_task=None,
                workflow_id=task.workflow_id,
            )
        elif status is TaskStatus.FAILED:
            minutes.event(
                EventType.AGENT_FAILED, {"error": ending.error, "task_id": task.task_id}, task.workflow_id
            )
            self._agent_status(
                minutes,
                AgentStatus.FAILED,
                ending.error or "",
                current_task=None,
                workflow_id=task.workflow_id,
            )
        else:
            minutes.event(
                EventType.TASK_CANCELLED, {"task_id": task.task_id, "progress": progress}, task.workflow_id
            )
        if is_shown and status is not TaskStatus.FAILED:
            self._agent_status(
                minutes,
                AgentStatus.IDLE,
                f"task {task.task_id}",
                current_task=None,
                workflow_id=task.workflow_id,
            )
        others = [other for other in self.unfinished.values() if other is not work]
        next_run = self._begin_at_once(others[0]) if is_current and self.is_ready and others else None
        last = Ending(
            status=status, position=position, output=output, error=ending.error, error_type=ending.error_type
        )

        def over() -> None:
            work.status = status
            self.unfinished.pop(task.task_id, None)
            if is_current:
                if self.run is not None and not self.run.has_begun:
                    self.run.give_up()
                self.run = None
            self._begin_next(next_run)

        def told() -> None:
            self.crew.unfinished.discard(task.task_id)
            self.crew.ids.note_over(task.task_id)
            follows = self.crew.followed(task.task_id)
            if follows is not None:
                if item is not None:
                    follows.bring(position, {**item, "position": position})
                follows.end(last)

        minutes.then(over)
        minutes.when_committed(told)

    def _run_of(self, work: Work) -> Run:
        """A run of a task."""
        raise NotImplementedError

    def _begin_next(self, begun: Run | None = None) -> None:
        """No task is at work: go on with the one that was begun, or have the next one wait for a place."""
        raise NotImplementedError

    def _wake_followers(self, work: Work) -> None:
        following = self.crew.followed(work.task.task_id)
        if following is not None:
            following.wake()
