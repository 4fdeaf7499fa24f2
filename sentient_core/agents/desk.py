"""The desk of one instance of an agent: its unfinished tasks, and every change of them, one method for each.

All of these run in turns of the agent. Each works out what is to be written (`Minutes`), which commits with
the turn, and changes what is in memory once the turn has ended well. This is the only place that writes
tasks, their items and checkpoints, the agent's status, and the events about them: one emitter per type of
event.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sentient_core.actors.checkpoints import restore, state_bytes
from sentient_core.actors.ref import cell_of
from sentient_core.agents.crew import Crew, Ending, crew_of
from sentient_core.agents.messages import AgentDescription
from sentient_core.agents.minutes import Minutes
from sentient_core.agents.outcome import cancelled_item, checked_item, checked_progress
from sentient_core.agents.run import Run
from sentient_core.agents.statuses import (
    TRANSITIONS,
    AgentStatus,
    StatusKind,
    TaskStatus,
    check_transition,
)
from sentient_core.agents.work import ResumePoint, Wish, Work, data_of
from sentient_core.codec import digest
from sentient_core.errors import (
    CheckpointOfAnother,
    IdTaken,
    IllegalTransition,
    UnencodableState,
    UnknownTask,
)
from sentient_core.events import EventType
from sentient_core.store.records import Checkpoint, CheckpointKind, full_id
from sentient_core.store.row_tables import RowTable, place_of

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.agents.agent import Agent
    from sentient_core.agents.left_behind import LeftBehind

__all__ = ["Desk"]


_AT_WORK = (AgentStatus.RUNNING, AgentStatus.PAUSED)
_TASK = "task_id"
"""In the metadata of a checkpoint: the task that took it."""


class Desk:
    """See the module."""

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
        self.is_ready: bool = False
        """The unfinished tasks of earlier instances are known."""

    # What handles ask for.

    def accept(self, work: Work) -> str:
        """Take a task on. One that is here already is not taken on twice. IdTaken: another agent has it."""
        task = work.task
        if task.task_id in self.unfinished:
            return task.task_id
        if task.task_id in self.crew.unfinished and any(
            task.task_id in desk.unfinished for desk in self.crew.desks()
        ):
            raise IdTaken("task", task.task_id)
        minutes = Minutes(self.cell)
        minutes.row(
            RowTable.TASK_EXECUTION,
            (task.task_id,),
            task_id=task.task_id,
            agent_id=self.cell.path,
            workflow_id=task.workflow_id,
            description=task.description,
            mode=work.mode.value,
            status=work.status.value,
            input_data=task.input_data,
            created_at=minutes.now,
            updated_at=minutes.now,
        )
        minutes.status("task", task.task_id, None, work.status.value, "it was taken on")
        minutes.then(lambda: self._take_on([work]))
        return task.task_id

    def adopt(self, left: LeftBehind) -> None:
        """Go on as earlier instances have left it, with their unfinished tasks before what came meanwhile."""
        later = self.unfinished
        self.unfinished = {work.task.task_id: work for work in left.works} | later
        self.is_ready = True
        self._show(left.status, left.context)
        minutes = Minutes(self.cell)
        if left.status in _AT_WORK and left.context.get("task_id") not in self.unfinished:
            self._agent_status(minutes, AgentStatus.IDLE, "it has no task", current_task=None)
        elif left.status is not AgentStatus.IDLE:  # as which its actor was written down when it started
            self._agent_status(minutes, left.status, "")
        self._take_on(left.works)

    def keep_state(self) -> None:
        """What the task at work has changed in the agent's state stays, whatever becomes of the open turn."""
        inbox, journal = self.cell.inbox, self.cell.runtime.mirror.journal
        with suppress(UnencodableState):
            state = None if inbox is None else inbox.changed_state(self.agent)
            if inbox is not None and state is not None and journal.append(state, force=True):
                inbox.save(state)

    def cancel(self, task_id: str | None) -> bool:
        """Cancel a task: at once if it was not begun, else at the next await of its run."""
        work = self._find(task_id)
        if work is None:
            return False
        run = self.run
        if run is None or run.work is not work or not run.has_begun:
            self.end(work, Ending(status=TaskStatus.CANCELLED, position=work.position, output={}))
            return True
        self._wish(work, Wish.CANCEL, run.cancel)
        return True

    def pause(self, task_id: str | None) -> str:
        """Have the task at work stop at its next point. Raises IllegalTransition, UnknownTask."""
        work = self._at_work(task_id, AgentStatus.PAUSED)
        if work.status is not TaskStatus.PAUSED and work.wish is not Wish.CANCEL:
            check_transition("task", work.status, TaskStatus.PAUSED)
            self._wish(work, Wish.PAUSE, lambda: None)
        return work.task.task_id

    def resume(self, task_id: str | None) -> str:
        """Let it go on. Raises IllegalTransition, UnknownTask."""
        work = self._at_work(task_id, AgentStatus.RUNNING)
        if work.wish is Wish.CANCEL:
            return work.task.task_id
        if work.status is not TaskStatus.PAUSED and work.wish is not Wish.PAUSE:
            old, new = work.status.value, TaskStatus.RUNNING.value
            raise IllegalTransition("task", old, new, [TaskStatus.PAUSED.value])
        run = self.run
        self._wish(work, None, (lambda: None) if run is None or run.work is not work else run.go_on)
        return work.task.task_id

    def describe(self) -> AgentDescription:
        """How it is."""
        return AgentDescription(
            agent_id=self.cell.path,
            name=self.cell.name,
            status=self.status.value,
            capabilities=sorted(self.agent.capabilities),
            current_task=self.context.get("task_id"),
            execution_context=self.context,
            waiting=[id_ for id_, work in self.unfinished.items() if work.status is TaskStatus.PENDING],
        )

    # What the run of a task comes to.

    def begin(self, run: Run) -> bool:
        """The task has a place: it is at work from now on. False: it was cancelled meanwhile."""
        work, task = run.work, run.work.task
        if task.task_id not in self.unfinished:
            return False
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
            minutes, AgentStatus.RUNNING, f"task {task.task_id}", current_task=task.task_id, context=context
        )
        if is_new:
            payload = {"task_id": task.task_id, "task_description": task.description}
            minutes.event(EventType.AGENT_STARTED, payload, task.workflow_id)

        def begun() -> None:
            work.status, work.started_at = TaskStatus.RUNNING, began
            work.attempts += 1
            run.has_begun = True

        minutes.then(begun)
        return True

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
        minutes = Minutes(self.cell)
        self._progress(minutes, work, progress, status)

        def moved() -> None:
            work.progress = progress

        minutes.then(moved)

    def paused(self, work: Work) -> None:
        """The run stands still."""
        if work.status is TaskStatus.PAUSED or work.wish is not Wish.PAUSE:
            return
        minutes = Minutes(self.cell)
        self._task_status(minutes, work, TaskStatus.PAUSED, "somebody asked for it")
        minutes.row(
            RowTable.TASK_EXECUTION,
            (work.task.task_id,),
            status=TaskStatus.PAUSED.value,
            updated_at=minutes.now,
        )
        self._agent_status(minutes, AgentStatus.PAUSED, f"task {work.task.task_id}")

        def stands() -> None:
            work.status = TaskStatus.PAUSED
            self._wake_followers(work)

        minutes.when_committed(lambda: self._wake_followers(work))
        minutes.then(stands)

    def went_on(self, work: Work) -> None:
        """The run goes on."""
        if work.status is not TaskStatus.PAUSED:
            return
        minutes = Minutes(self.cell)
        self._task_status(minutes, work, TaskStatus.RUNNING, "somebody asked for it")
        minutes.row(
            RowTable.TASK_EXECUTION,
            (work.task.task_id,),
            status=TaskStatus.RUNNING.value,
            updated_at=minutes.now,
        )
        self._agent_status(minutes, AgentStatus.RUNNING, f"task {work.task.task_id}")

        def goes() -> None:
            work.status = TaskStatus.RUNNING

        minutes.then(goes)

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
            self._agent_status(minutes, AgentStatus.COMPLETED, f"task {task.task_id}", current_task=None)
        elif status is TaskStatus.FAILED:
            minutes.event(
                EventType.AGENT_FAILED, {"error": ending.error, "task_id": task.task_id}, task.workflow_id
            )
            self._agent_status(minutes, AgentStatus.FAILED, ending.error or "", current_task=None)
        else:
            minutes.event(
                EventType.TASK_CANCELLED, {"task_id": task.task_id, "progress": progress}, task.workflow_id
            )
        if is_shown and status is not TaskStatus.FAILED:
            self._agent_status(minutes, AgentStatus.IDLE, f"task {task.task_id}", current_task=None)
        last = Ending(status=status, position=position, output=output, error=ending.error)

        def over() -> None:
            work.status = status
            self.unfinished.pop(task.task_id, None)
            if is_current:
                if self.run is not None and not self.run.has_begun:
                    self.run.give_up()
                self.run = None
            self._begin_next()

        def told() -> None:
            self.crew.unfinished.discard(task.task_id)
            following = self.crew.followed(task.task_id)
            if following is not None:
                if item is not None:
                    following.bring(position, {**item, "position": position})
                following.end(last)

        minutes.then(over)
        minutes.when_committed(told)

    # Named checkpoints.

    def checkpoint(self, work: Work | None, data: dict[str, Any]) -> str:
        """Take a named checkpoint: state, context, and these data. Raises UnencodableState.

        `work`: the task that takes it, and goes on from it when it is run again. None: somebody else does.
        """
        cell, mirror = self.cell, self.cell.runtime.mirror
        minutes = Minutes(cell)
        checkpoint_id = full_id(mirror.epoch, mirror.next_seq())
        blueprint = cell.blueprint
        codec = cell.runtime.codec
        state = state_bytes(codec, self.agent.state, cell.path, blueprint) if blueprint.has_state else b""
        workflow_id: str | None = self.context.get("workflow_id")
        minutes.row(
            RowTable.STATE_CHECKPOINT,
            (cell.path, checkpoint_id),
            checkpoint_id=checkpoint_id,
            named=checkpoint_id,
            agent_id=cell.path,
            workflow_id=workflow_id,
            execution_context=self.context,
            progress_data=data,
            timestamp=minutes.now,
            metadata={} if work is None else {_TASK: work.task.task_id},
            kind=CheckpointKind.NAMED.value,
            state=state,
            tag=blueprint.state_tag,
            schema_version=blueprint.schema_version,
            digest=digest(state),
            incarnation=cell.incarnation,
        )
        if work is not None:
            point = ResumePoint(checkpoint_id, data)
            minutes.row(
                RowTable.TASK_EXECUTION,
                (work.task.task_id,),
                checkpoint_id=checkpoint_id,
                data=data_of(point, work.wish),
            )

            def passed() -> None:
                work.resume = point

            minutes.then(passed)
        minutes.event(EventType.STATE_CHECKPOINT, {"checkpoint_id": checkpoint_id}, workflow_id)
        return checkpoint_id

    def restore(self, found: dict[str, Any]) -> None:
        """Put state and context back to a named checkpoint; its task, if it is at work, runs from there.

        Raises CheckpointOfAnother, CheckpointUnusable.
        """
        cell = self.cell
        if found["agent_id"] != cell.path:
            raise CheckpointOfAnother(found["checkpoint_id"], found["agent_id"], cell.path)
        minutes = Minutes(cell)
        if cell.blueprint.has_state and found.get("state"):
            self.agent.state = restore(cell.runtime.codec, _checkpoint_of(found), cell.blueprint)
        context = dict(found.get("execution_context") or {})
        run = self.run
        metadata: dict[str, Any] = found.get("metadata") or {}
        is_its_own = run is not None and run.has_begun and run.work.task.task_id == metadata.get(_TASK)
        if run is not None and is_its_own:
            work = run.work
            said = dict(found.get("progress_data") or {})
            point = ResumePoint(found["checkpoint_id"], said)
            minutes.row(
                RowTable.TASK_EXECUTION,
                (work.task.task_id,),
                checkpoint_id=point.checkpoint_id,
                data=data_of(point, work.wish),
            )

            def again() -> None:
                work.resume = point
                run.begin_again()

            minutes.then(again)
        elif self.status in (AgentStatus.FAILED, AgentStatus.COMPLETED):
            self._agent_status(
                minutes,
                AgentStatus.IDLE,
                f"checkpoint {found['checkpoint_id']}",
                current_task=None,
                context=context,
            )

    # What of it is written, and when the next task begins.

    def _task_status(self, minutes: Minutes, work: Work, new: TaskStatus, cause: str) -> None:
        check_transition("task", work.status, new)
        minutes.status("task", work.task.task_id, work.status.value, new.value, cause)

    def _agent_status(
        self,
        minutes: Minutes,
        new: AgentStatus,
        cause: str,
        *,
        current_task: str | None = "",
        context: dict[str, Any] | None = None,
    ) -> None:
        """`current_task` "": as it is; None: there is none any more."""
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
            minutes.status("agent", self.cell.path, old.value, new.value, cause)
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

    def _wish(self, work: Work, wish: Wish | None, act: Any) -> None:
        minutes = Minutes(self.cell)
        minutes.row(RowTable.TASK_EXECUTION, (work.task.task_id,), data=data_of(work.resume, wish))

        def noted() -> None:
            work.wish = wish
            act()

        minutes.then(noted)

    def _find(self, task_id: str | None) -> Work | None:
        """The task that is meant: None is the one at work, or the one that comes next."""
        if task_id is None:
            return next(iter(self.unfinished.values()), None) if self.run is None else self.run.work
        work = self.unfinished.get(task_id)
        if work is None:
            raise UnknownTask(task_id, self.cell.path, tuple(self.unfinished))
        return work

    def _at_work(self, task_id: str | None, wanted: AgentStatus) -> Work:
        work = self._find(task_id)
        if work is None:
            old, new = self.status, wanted
            allowed = sorted(status.value for status in TRANSITIONS[StatusKind.AGENT][old])
            raise IllegalTransition("agent", old.value, new.value, allowed, "has no task at work")
        return work

    def _take_on(self, works: list[Work]) -> None:
        for work in works:
            self.unfinished.setdefault(work.task.task_id, work)
            self.crew.unfinished.add(work.task.task_id)
            following = self.crew.followed(work.task.task_id)
            if following is not None:
                following.begin(work.position)
                following.wake()
        self._begin_next()

    def _begin_next(self) -> None:
        if self.run is None and self.is_ready and self.unfinished:
            self.run = run = Run(self, next(iter(self.unfinished.values())))
            self.cell.belongings().pipe_to_self(run.execute, (), None)

    def _wake_followers(self, work: Work) -> None:
        following = self.crew.followed(work.task.task_id)
        if following is not None:
            following.wake()


def _checkpoint_of(row: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        path=row["agent_id"],
        incarnation=row["incarnation"],
        checkpoint_id=row["checkpoint_id"],
        kind=CheckpointKind.NAMED,
        state=row["state"],
        tag=row["tag"],
        schema_version=row["schema_version"],
        digest=row["digest"],
        at=0,
    )
