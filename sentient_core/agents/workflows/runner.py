"""`WorkflowRunner`: the actor of one workflow, which brings about what `deciding` says.

A virtual durable actor, so a workflow that waits for weeks needs no memory meanwhile. Each of its turns takes
what has happened, has `deciding` work out how far the workflow is then, and leaves in one record: that state,
the rows, history and events about the change, the tasks for agents, the timer for the next moment. So
whatever crashes, a task is given once, and what came of it counts once. What an agent does with its task is
waited for beside the actor; a new incarnation waits again, by the same ids.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.handlers import handles
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.ref import ActorRef, cell_of
from sentient_core.agents.crew import crew_of
from sentient_core.agents.messages import AcceptTask, WishTask, id_of_task
from sentient_core.agents.models import Task
from sentient_core.agents.statuses import WorkflowStatus
from sentient_core.agents.workflows.board import board_of
from sentient_core.agents.workflows.deciding import (
    begun,
    cancelled,
    ended,
    next_moment,
    paused,
    rang,
    resumed,
    signalled,
    task_of,
    unawaited,
)
from sentient_core.agents.workflows.definition import Workflow
from sentient_core.agents.workflows.errand import PATIENCE, outcome_of
from sentient_core.agents.workflows.messages import (
    UNKNOWN,
    AgentsCame,
    AwaitSignal,
    CancelWorkflow,
    GoOn,
    PauseWorkflow,
    ResumeWorkflow,
    SendSignal,
    SignalAnswer,
    StartWorkflow,
    StopAwaiting,
    TaskEnded,
    TimeIsUp,
)
from sentient_core.agents.workflows.progress import Progress, StepProgress
from sentient_core.agents.workflows.records import Records
from sentient_core.agents.workflows.signals import awaited
from sentient_core.agents.workflows.sizes import MOST_SIGNALS
from sentient_core.agents.workflows.staffing import staffed

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["WorkflowRunner"]

_TIMER = "next"
_SECOND = 1_000_000_000


class WorkflowRunner(Actor[Any], tag="workflow"):
    """See the module. Its key is the id of the workflow."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        """Of a workflow that was never started: nothing."""

        definition: msgspec.Raw = msgspec.Raw(b"\xc0")
        """A `Workflow`, encoded, or nothing: it never changes, and so is not read with every turn."""
        progress: Progress | None = None
        timer: int = 0
        """The moment for which its timer is set."""

    state: State
    _definition: Workflow | None = None
    _looks_for_agents: bool = False

    async def on_start(self) -> None:
        """Wait again for the tasks at work, and for agents."""
        progress = self.state.progress
        if progress is None or progress.is_over:
            return
        for name, step in progress.steps.items():
            if step.is_at_work:
                self._await_task(name, step, progress, is_again=True)
        await self._come_to(progress, time.time_ns(), "it goes on")

    @handles
    async def _start(self, message: StartWorkflow) -> bool:
        if self.state.progress is not None:
            definition, progress = self._known()
            return progress.input_data == message.input_data and definition == message.definition
        now, workflow_id = time.time_ns(), self.context.ref.name
        self.state.definition = msgspec.Raw(msgspec.msgpack.encode(message.definition))
        self.state.progress = Progress(workflow_id=workflow_id)
        new = begun(message.definition, workflow_id, message.input_data, now)
        self._records().begin(new)
        await self._come_to(new, now, "it was started")
        return True

    @handles
    async def _signal(self, message: SendSignal) -> str:
        if self.state.progress is None:
            return UNKNOWN
        definition, progress = self._known()
        if progress.is_over:
            return progress.status.value
        if len(progress.signals) >= MOST_SIGNALS:
            return "full"
        now = time.time_ns()
        self._records().history("signal", name=message.name, data=message.data)
        await self._come_to(
            signalled(definition, progress, message.name, message.data, now), now, "a signal came"
        )
        return "taken"

    @handles
    async def _pause(self, message: PauseWorkflow) -> str:
        del message
        if self.state.progress is None:
            return UNKNOWN
        _, progress = self._known()
        if progress.status is WorkflowStatus.RUNNING:
            now = time.time_ns()
            await self._come_to(paused(progress, now), now, "somebody asked for it")
        return progress.status.value

    @handles
    async def _resume(self, message: ResumeWorkflow) -> str:
        del message
        if self.state.progress is None:
            return UNKNOWN
        definition, progress = self._known()
        if progress.status is WorkflowStatus.PAUSED:
            now = time.time_ns()
            await self._come_to(resumed(definition, progress, now), now, "somebody asked for it")
        return progress.status.value

    @handles
    async def _cancel(self, message: CancelWorkflow) -> str:
        if self.state.progress is None:
            return UNKNOWN
        definition, progress = self._known()
        now = time.time_ns()
        new = cancelled(definition, progress, message.is_compensating, message.cause, now)
        await self._come_to(new, now, message.cause)
        return progress.status.value

    @handles
    async def _await_signal(self, message: AwaitSignal) -> SignalAnswer:
        if self.state.progress is None:
            return SignalAnswer(None, has_expired=False, seconds_left=None, is_known=False)
        _, progress = self._known()
        now = time.time_ns()
        new, wait = awaited(
            progress,
            message.key,
            message.name,
            message.task_id,
            message.timeout,
            now,
            is_late=message.is_late,
        )
        await self._come_to(new, now, "a task waits for a signal")
        left = (wait.expires_at - now) / _SECOND if wait.expires_at else None
        return SignalAnswer(wait.data, wait.has_expired, left)

    @handles
    async def _stop_awaiting(self, message: StopAwaiting) -> None:
        if self.state.progress is not None:
            definition, progress = self._known()
            now = time.time_ns()
            await self._come_to(
                unawaited(definition, progress, message.key, now), now, "a task waits no longer"
            )

    @handles
    async def _task_ended(self, message: TaskEnded) -> None:
        definition, progress = self._known()
        now = time.time_ns()
        new = ended(definition, progress, message.step, message.task_id, message.outcome, now)
        await self._come_to(new, now, f"step {message.step!r} has ended")

    @handles
    async def _time_is_up(self, message: TimeIsUp) -> None:
        definition, progress = self._known()
        now = max(time.time_ns(), message.moment)  # a timer goes by the loop's clock while the process lives
        if self.state.timer == message.moment:
            self.state.timer = 0
        await self._come_to(rang(definition, progress, now), now, "its time has come")

    @handles
    async def _agents_came(self, message: AgentsCame) -> None:
        del message
        self._looks_for_agents = False
        _, progress = self._known()
        await self._come_to(progress, time.time_ns(), "an agent has come")

    @handles
    def _go_on(self, message: GoOn) -> None:
        """`on_start` has done all there is to do."""

    @property
    def _cell(self) -> Cell:
        return cell_of(self.context.ref)

    def _known(self) -> tuple[Workflow, Progress]:
        progress = self.state.progress
        if progress is None:
            raise LookupError(f"there is no workflow '{self.context.ref.name}'")
        if self._definition is None:
            self._definition = msgspec.msgpack.decode(self.state.definition, type=Workflow)
        return self._definition, progress

    def _records(self) -> Records:
        definition, progress = self._known()
        return Records(self._cell, definition, progress.workflow_id)

    async def _come_to(self, new: Progress, now: int, cause: str) -> None:
        """The workflow is so far now: give its next steps to agents, and bring all of it about."""
        definition, old = self._known()
        crew = crew_of(self._cell.runtime)
        arrivals = crew.arrivals
        new, unmet = staffed(definition, new, crew, now)
        records = self._records()
        if new is not old:
            records.change(old, new, cause)
            self.state.progress = new
            board, is_over = board_of(self._cell.runtime), new.is_over
            records.minutes.when_committed(lambda: board.tell(new.workflow_id, is_over=is_over))
        await self._tell_agents(old, new)
        self._set_timer(new, now)
        if unmet and not self._looks_for_agents:
            self.context.pipe_to_self(self._look_for_agents, unmet, arrivals)
            records.minutes.then(self._is_looking)

    def _is_looking(self) -> None:
        self._looks_for_agents = True

    async def _tell_agents(self, old: Progress, new: Progress) -> None:
        """Give tasks, and tell of those that were given what is wanted of them."""
        if new is old:
            return
        pauses = old.status is WorkflowStatus.RUNNING and new.status is WorkflowStatus.PAUSED
        resumes = old.status is WorkflowStatus.PAUSED and new.status is WorkflowStatus.RUNNING
        for name, step in new.steps.items():
            before = old.steps.get(name, StepProgress())
            if not step.is_at_work or step.agent is None or step.task_id is None:
                continue
            if not before.is_at_work or before.task_id != step.task_id:
                await self._give(task_of(self._known()[0], new, name), step.agent)
                self._await_task(name, step, new, is_again=False)
            elif step.cut is not None and before.cut is None:
                self._ref_at(step.agent).tell(WishTask(step.task_id, "cancel"))
            elif pauses or resumes:
                self._ref_at(step.agent).tell(WishTask(step.task_id, "pause" if pauses else "resume"))

    async def _give(self, task: Task, path: str) -> None:
        message = AcceptTask(
            task_id=task.task_id,
            description=task.description,
            input_data=task.input_data,
            workflow_id=task.workflow_id,
        )
        await self._ref_at(path).send(message, message_id=id_of_task(task.task_id))

    def _await_task(self, name: str, step: StepProgress, progress: Progress, *, is_again: bool) -> None:
        definition, _ = self._known()
        if step.agent is not None:
            self.context.pipe_to_self(
                self._task_outcome, name, step.agent, task_of(definition, progress, name), is_again
            )

    async def _task_outcome(self, name: str, path: str, task: Task, is_again: bool) -> TaskEnded:
        def is_cut() -> bool:
            progress = self.state.progress
            return progress is not None and progress.steps[name].cut is not None

        outcome = await outcome_of(self._cell, path, task, is_cut, is_again=is_again)
        return TaskEnded(name, task.task_id, outcome)

    async def _look_for_agents(self, unmet: list[str], arrivals: anyio.Event) -> AgentsCame:
        with anyio.move_on_after(PATIENCE) as patience:
            await arrivals.wait()
        if patience.cancelled_caught:
            steps = ", ".join(map(repr, unmet))
            workflow_id = self.context.ref.name
            report_alert(
                self._cell,
                "workflow waits for agents",
                f"nobody is there for {steps}",
                workflow_id=workflow_id,
                steps=unmet,
            )
            await arrivals.wait()
        return AgentsCame()

    def _set_timer(self, new: Progress, now: int) -> None:
        moment = next_moment(new) or 0
        if moment == self.state.timer:
            return
        self.state.timer = moment
        if moment:
            seconds = max(0, moment - now) / _SECOND
            self.context.timers.once(_TIMER, seconds, TimeIsUp(moment), durable=True)
        else:
            self.context.timers.cancel(_TIMER)

    def _ref_at(self, path: str) -> ActorRef[Any]:
        """The agent at a path; of one that nobody has started yet, what it is told waits for it."""
        codec = self._cell.runtime.codec
        return codec.decode(codec.encode(path), ActorRef)
