"""The desk of one instance of an agent: its unfinished tasks, and every change of them, one method for each.

All of these run in turns of the agent. Each works out what is to be written (`Minutes`), which commits with
the turn, and changes what is in memory once the turn has ended well. With what it is made of (`Course`,
`NamedCheckpoints`, `Books`) this is the only place that writes tasks, their items and checkpoints, the
agent's status, and the events about them: one emitter per type of event.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sentient_core.agents.course import Course
from sentient_core.agents.crew import Ending
from sentient_core.agents.messages import AgentDescription
from sentient_core.agents.minutes import Minutes
from sentient_core.agents.models import Task
from sentient_core.agents.named_checkpoints import NamedCheckpoints
from sentient_core.agents.run import Run
from sentient_core.agents.statuses import (
    TRANSITIONS,
    AgentStatus,
    StatusKind,
    TaskStatus,
    check_transition,
)
from sentient_core.agents.task_ids import Standing, is_open, is_same, standing_of
from sentient_core.agents.work import Wish, Work, data_of
from sentient_core.errors import FaultInjected, IdTaken, IllegalTransition, UnencodableState, UnknownTask
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.agents.agent import Agent
    from sentient_core.agents.left_behind import LeftBehind

__all__ = ["Desk"]

_AT_WORK = (AgentStatus.RUNNING, AgentStatus.PAUSED)


class Desk(Course, NamedCheckpoints):
    """What handles ask for, and which task is next. See the module."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self._found: dict[str, dict[str, Any]] = {}
        """Rows of tasks that were given to this agent, which it had to look for."""
        self._looked_for: set[str] = set()
        """Those that it is looking for: whoever gives one of them again is behind who gave it first."""

    def standing(self, task: Task) -> Standing | None:
        """What is known of a task that somebody gives; None: the rows have to be looked into first.

        Raises IdTaken: another agent has it, or has done it.
        """
        task_id, path, ids = task.task_id, self.cell.path, self.crew.ids
        work = self.unfinished.get(task_id)
        if work is not None:
            here = work.task
            is_it = is_same(task, here.description, here.input_data, here.workflow_id)
            return Standing.KNOWN if is_it else Standing.ANOTHER
        taker = ids.taker(task_id)
        if taker not in (None, path):
            raise IdTaken("task", task_id, taker)
        if task_id in self._looked_for:
            return None
        if ids.is_reserved(task_id, path):
            return Standing.NEW
        row = self._found.pop(task_id, None)
        return None if row is None else standing_of(row, task, path)

    def look_for(self, task_id: str) -> bool:
        """Its row is to be looked for; False: that is under way."""
        is_new = task_id not in self._looked_for
        self._looked_for.add(task_id)
        return is_new

    def note_found(self, task_id: str, row: dict[str, Any] | None) -> None:
        """What the rows say of it."""
        self._looked_for.discard(task_id)
        if row is None or is_open(row):
            self.crew.ids.reserve(task_id, self.cell.path)
        else:
            self._found[task_id] = row

    def accept(self, work: Work) -> None:
        """Take a new task on."""
        task = work.task
        minutes = Minutes(self.cell)
        self.crew.ids.take(task.task_id, self.cell.path)
        minutes.if_dropped(lambda: self.crew.ids.give_up(task.task_id))
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
        minutes.status("task", task.task_id, None, work.status.value, "it was taken on", task.workflow_id)
        is_next = self.run is None and self.is_ready and not self.unfinished
        begun = self._begin_at_once(work) if is_next else None
        minutes.then(lambda: self._take_on([work], begun))

    def adopt(self, left: LeftBehind) -> None:
        """Go on as earlier instances have left it, with their unfinished tasks before what came meanwhile."""
        later = self.unfinished
        self.unfinished: dict[str, Work] = {work.task.task_id: work for work in left.works} | later
        self.is_ready = True
        self._show(left.status, left.context)
        minutes = Minutes(self.cell)
        if left.status in _AT_WORK and left.context.get("task_id") not in self.unfinished:
            self._agent_status(
                minutes,
                AgentStatus.IDLE,
                "it has no task",
                current_task=None,
                workflow_id=left.context.get("workflow_id"),
            )
        elif left.status is not AgentStatus.IDLE:  # as which its actor was written down when it started
            self._agent_status(minutes, left.status, "", workflow_id=left.context.get("workflow_id"))
        self._take_on(left.works)

    def keep_state(self) -> None:
        """What the task at work has changed in the agent's state stays, whatever becomes of the open turn."""
        inbox, journal = self.cell.inbox, self.cell.runtime.mirror.journal
        with suppress(UnencodableState, FaultInjected):
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

    def _take_on(self, works: list[Work], begun: Run | None = None) -> None:
        for work in works:
            self.unfinished.setdefault(work.task.task_id, work)
            self.crew.unfinished.add(work.task.task_id)
            self.crew.ids.take(work.task.task_id, self.cell.path)
            following = self.crew.followed(work.task.task_id)
            if following is not None:
                following.begin(work.position)
                following.wake()
        self._begin_next(begun)

    def _run_of(self, work: Work) -> Run:
        return Run(self, work)

    def _begin_next(self, begun: Run | None = None) -> None:
        if begun is None and self.run is None and self.is_ready and self.unfinished:
            begun = Run(self, next(iter(self.unfinished.values())))
        if begun is not None:
            self.run: Run | None = begun
            self.cell.belongings().pipe_to_self(begun.execute, (), None)
