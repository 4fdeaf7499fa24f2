"""`Agent`: an actor that works on tasks, one at a time, while its mailbox stays served."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.blueprint import checked_capabilities
from sentient_core.actors.current import current_run
from sentient_core.actors.handlers import handles
from sentient_core.agents.desk import Desk
from sentient_core.agents.fields import check_payload
from sentient_core.agents.left_behind import left_behind, waiting_for_store
from sentient_core.agents.messages import (
    AcceptTask,
    CancelTask,
    PauseTask,
    RestoreCheckpoint,
    ResumeTask,
    TakeCheckpoint,
    WishTask,
)
from sentient_core.agents.models import Task, TaskExecutionMode
from sentient_core.agents.run import Run
from sentient_core.agents.state_manager import StateManager
from sentient_core.agents.steps import Step, handle_step, take_step
from sentient_core.agents.task_ids import Standing
from sentient_core.agents.work import Work
from sentient_core.causes import kind_of
from sentient_core.errors import (
    CheckpointNotTaken,
    CheckpointOfAnother,
    CheckpointUnusable,
    IdTaken,
    IllegalTransition,
    InvalidArgument,
    NotInTask,
    SandboxMissing,
    StaleIncarnation,
    TaskIdConflict,
    UnencodableState,
    UnknownTask,
)
from sentient_core.events import EventBus
from sentient_core.store.protocols import StoreHolder
from sentient_core.system import ActorSystem

if TYPE_CHECKING:
    from sentient_core.agents.handle import AgentHandle

__all__ = ["Agent"]

_ANSWERS = (
    IdTaken,
    TaskIdConflict,
    IllegalTransition,
    UnknownTask,
    CheckpointNotTaken,
    CheckpointOfAnother,
    CheckpointUnusable,
)
"""What a handle may be told, which is no failure of the agent."""
_OWN = (
    AcceptTask,
    CancelTask,
    PauseTask,
    ResumeTask,
    WishTask,
    TakeCheckpoint,
    RestoreCheckpoint,
)
"""What is handled in the same way whatever the task at work has put into the state."""


class Agent(Actor[Any]):
    """An actor that works on tasks.

    ::

        class Writer(Agent):
            async def stream_execution(self, task):
                outline = await self.outline(task)
                await self.create_checkpoint({"outline": outline})
                yield {"status": "outlined", "progress": 20}
                ...
                yield {"status": "completed", "progress": 100, "result": text}

        writer = await Writer.start(system, name="writer")
        result = await writer.execute_task(Task(description="a poem about rain"))

    A subclass says what is done for a task in one of three ways: `stream_execution`, an async generator of
    items `{"status", "progress", ...}`, whose last one is the result; `perform`, a coroutine that returns it;
    or, in the manner of the original design, `execute_task`, which then runs for blocking and background
    tasks.

    A task is taken on by a message and then runs beside the mailbox, one at a time for each agent, and at
    most `MAX_CONCURRENT_AGENTS` in a system; the others wait, in order. Every item, every report of progress
    and every checkpoint is committed before the code goes on. When the agent is restarted, or the process, an
    unfinished task is run again: `self.resume_point` is then what it put into its last checkpoint. So let it
    look there, and not do again what is done. What it yields again is an item of its own, with a position
    behind the others.

    `self.state` may be changed by the task's code, too: it is saved with the next item, report or checkpoint,
    and with whatever turn of the agent comes before that. It is one state: a handler that fails puts it back
    to what the last turn has left, with what the task has changed since. So let a task change it at once,
    right before such a point, and reach for `self.state` anew behind an await.
    """

    durability: ClassVar[DurabilityName] = "durable"
    reply_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Those of a subclass, to which what handles are answered with is added."""
    task_timeout_seconds: ClassVar[float | None] = None
    """How long a task may be at work, pauses not counted; None: as `AGENT_EXECUTION_TIMEOUT` says."""

    sandbox_tool: Any = None
    """What it tries its results in; see `SandboxTool`."""

    __is_related__: ClassVar[bool] = True
    """Its row comes with edges from the row above it, `spawned` and `supervises`."""
    __executes__: ClassVar[bool] = False
    """Its class has an `execute_task` of its own."""
    __streams__: ClassVar[bool] = False
    """And a `stream_execution`."""
    __desk: Desk | None = None
    __db_config: StoreHolder | None = None
    __state_manager: StateManager | None = None
    __event_bus: EventBus | None = None

    def __init__(
        self,
        name: str | None = None,
        capabilities: Collection[str] | None = None,
        db_config: StoreHolder | None = None,
        state_manager: StateManager | None = None,
        event_bus: EventBus | None = None,
        sandbox_tool: Any = None,
    ) -> None:
        """`capabilities`: of this one, instead of those of its class.

        `name` is what `start` was given, and says nothing else here. `db_config`, `state_manager` and
        `event_bus` may be given, as in the original design, and have to be of the system's own store: they
        are what `self.db_config` and so on are then. Raises InvalidArgument.
        """
        if capabilities is not None:
            own = checked_capabilities(capabilities, type(self).__qualname__)
            vars(self)["capabilities"] = frozenset(own)  # instead of those of its class
        self.sandbox_tool = sandbox_tool
        del name
        system = self.context.system
        parts = {"db_config": db_config, "state_manager": state_manager, "event_bus": event_bus}
        for what, given in parts.items():
            if given is not None and getattr(given, "store", None) is not system.store:
                raise InvalidArgument(
                    f"{what} is of another store than the system '{system.name}': make both of one "
                    "SurrealDBConfig, ActorSystem(store=config), or leave it out"
                )
        self.__db_config = db_config
        self.__state_manager = state_manager
        self.__event_bus = event_bus

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.reply_errors = tuple(dict.fromkeys((*cls.reply_errors, *_ANSWERS)))
        super().__init_subclass__(**kwargs)
        if not cls.__blueprint__.is_durable:
            raise InvalidArgument(
                f"{cls.__qualname__} is an agent, and tasks of agents are durable: leave `durability` out"
            )
        cls.__executes__ = cls.execute_task is not Agent.execute_task
        cls.__streams__ = cls.stream_execution is not Agent.stream_execution

    # What a subclass writes.

    def check_task(self, task: Task) -> None:
        """Raise for a task that it cannot do: who gives it the task gets the error, and it is not taken on.

        The error's class has to be among the `reply_errors`; any other is a failure of the agent.
        """

    async def perform(self, task: Task) -> object:
        """Do a task; what it returns is the result: a mapping such as `{"message": …, "artifacts": […]}`."""
        raise NotImplementedError(
            f"{type(self).__qualname__} does not say what is done for a task: write "
            "stream_execution(self, task), an async generator, or perform(self, task)"
        )

    def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        """Do a task, yielding an item whenever there is something to tell. The last one is the result.

        An async generator: `async def stream_execution(self, task): ... yield {"status": ..., "progress":
        ...}`.
        """
        raise NotImplementedError

    async def execute_task(
        self, task: Task, mode: TaskExecutionMode = TaskExecutionMode.BLOCKING
    ) -> dict[str, Any]:
        """What handles call runs `stream_execution`. A subclass that overrides this has it run instead."""
        raise InvalidArgument(
            "call execute_task on the agent's handle: from within, it would wait for itself"
        )

    # What its code uses.

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.context.ref.name

    @property
    def agent_id(self) -> str:
        """Its path, which stays the same over all restarts."""
        return self.context.ref.path

    @property
    def db_config(self) -> StoreHolder:
        """What holds the store: the one it was given, or the system."""
        return self.__db_config or self.context.system

    @property
    def state_manager(self) -> StateManager:
        """The rows of the system's agents, tasks and workflows."""
        if self.__state_manager is None:
            self.__state_manager = StateManager(self.context.system, actor=self.agent_id)
        return self.__state_manager

    @property
    def event_bus(self) -> EventBus:
        """The system's events."""
        return self.__event_bus or self.context.system.events

    @property
    def current_task(self) -> Task | None:
        """The task at work."""
        run = self._desk.run
        return None if run is None or not run.has_begun else run.work.task

    @property
    def resume_point(self) -> dict[str, Any] | None:
        """What the task at work has put into its last checkpoint; None: it is run for the first time."""
        resume = self._running("resume_point").work.resume
        return None if resume is None else resume.data

    @property
    def sandbox(self) -> Any:
        """`sandbox_tool`. Raises SandboxMissing where there is none."""
        if self.sandbox_tool is None:
            raise SandboxMissing(self.agent_id)
        return self.sandbox_tool

    @property
    def task_timeout(self) -> float | None:
        """Seconds that a task may be at work."""
        own = type(self).task_timeout_seconds
        return self.context.system.settings.agent_execution_timeout if own is None else own

    async def report_progress(self, progress: float, status: str | None = None) -> None:
        """Say how far the task is, from 0 to 100, and what it is at. A point at which it may pause."""
        await self._running("report_progress").progress(progress, status)

    async def create_checkpoint(self, checkpoint_data: Mapping[str, Any]) -> str:
        """Take a checkpoint of the task at work, and of the agent's state; its id, when it is committed.

        The task goes on from the latest one when it is run again. A point at which it may pause.
        """
        run = self._running("create_checkpoint")
        return await run.checkpoint(check_payload(checkpoint_data, "checkpoint_data"))

    async def signal(self, name: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait for a signal to the workflow that the task at work belongs to; what came with it.

            approval = await self.signal("approve page", timeout=86_400)

        One that has come before is taken at once. Meanwhile the task has no place among those at work, and
        its time limit stands still. Run again after a restart, it waits for what is left of `timeout`, in
        seconds, or gets the same answer. A point at which the task may pause. Raises SignalTimeout,
        NotInTask, InvalidArgument for a task that belongs to no workflow.
        """
        from sentient_core.agents.workflows.waiting import signal_for  # noqa: PLC0415 - workflows know agents

        return await signal_for(self.context.system, self._running("signal"), name, timeout)

    async def check_cancellation_and_pause(self) -> None:
        """A point at which the task may pause, or be cancelled: `self.context.pausable()`."""
        await self.context.pausable()

    @asynccontextmanager
    async def execution_context(
        self, task: Task, workflow_id: str | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """What is known of the task at work: `task_id`, `workflow_id`, `start_time`, `status`.

        The runtime begins and ends it with the task; within the task's own code it may be entered again, as
        classes in the manner of the original design do. A task that belongs to no workflow is one of
        `workflow_id` from then on: in its row, and in the events that come. Raises NotInTask elsewhere, and
        for another task; InvalidArgument for another workflow than the task's.
        """
        run = self._running("execution_context")
        if task.task_id != run.work.task.task_id:
            raise NotInTask(self.agent_id, f"the execution context of task '{task.task_id}'")
        own = run.work.task.workflow_id
        if own is None and workflow_id is not None:
            joined = msgspec.structs.replace(run.work.task, workflow_id=workflow_id)
            await run.step(lambda: self._desk.join(run.work, joined))
        elif workflow_id not in (None, own):
            raise InvalidArgument(
                f"task '{task.task_id}' belongs to workflow '{own}', so its execution context is not of "
                f"{workflow_id!r}"
            )
        yield dict(self._desk.context)

    # Where it comes from.

    @classmethod
    async def start(
        cls, system: ActorSystem, *args: Any, name: str | None = None, **kwargs: Any
    ) -> AgentHandle[Self]:
        """Spawn it in a system; returns its handle. Arguments are those of `ActorSystem.spawn`.

        An `__init__` whose first parameter is `name`, in the manner of the original design, gets that as
        well. Raises InvalidArgument for a class that does not say what is done for a task.
        """
        from sentient_core.agents.handle import AgentHandle  # noqa: PLC0415 - handles know agents

        if not isinstance(system, ActorSystem):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's
            raise InvalidArgument(f"{cls.__qualname__}.start takes the ActorSystem, not {kind_of(system)}")
        if not (cls.__streams__ or cls.__executes__ or cls.perform is not Agent.perform):
            raise InvalidArgument(
                f"{cls.__qualname__} does not say what is done for a task: write "
                "stream_execution(self, task), an async generator, or perform(self, task)"
            )
        if list(inspect.signature(cls.__init__).parameters)[1:2] == ["name"]:
            args = (name, *args)
        return AgentHandle(await system.spawn(cls, *args, name=name, **kwargs))

    @property
    def _desk(self) -> Desk:
        desk = self.__desk
        if desk is None:
            desk = self.__desk = Desk(self)
        return desk

    def _running(self, what: str) -> Run:
        run = current_run.get()
        if isinstance(run, Run) and run.is_abandoned:
            raise StaleIncarnation(self.agent_id)
        if isinstance(run, Run) and run is self._desk.run:
            return run
        raise NotInTask(self.agent_id, what)

    @staticmethod
    def __leaves_state__(message: object) -> bool:
        return isinstance(message, _OWN) or (isinstance(message, Step) and not message.is_tasks)

    def __at_ready__(self) -> None:
        """An incarnation is ready: find out what earlier ones have left unfinished."""
        desk = self._desk
        desk.life = desk.cell.belongings()
        desk.crew.come(desk)
        if desk.cell.incarnation > 1:
            desk.cell.belongings().pipe_to_self(self.__load, (), None)
        else:
            desk.is_ready = True

    async def __load(self) -> None:
        desk, life = self._desk, self._desk.cell.belongings()
        left = await left_behind(desk.cell)

        def adopt() -> None:
            desk.adopt(left)
            self.context.unstash_all()

        await take_step(life, adopt)

    async def __look(self, task_id: str) -> None:
        """Find out what the rows say of a task that somebody wants to give."""
        desk, life = self._desk, self._desk.cell.belongings()
        row = await waiting_for_store(desk.cell, lambda: desk.crew.ids.look(task_id))

        def found() -> None:
            desk.note_found(task_id, row)
            self.context.unstash_all()

        await take_step(life, found, is_tasks=False)

    @contextmanager
    def _answering(self) -> Generator[None, None, None]:
        """A handler of the runtime's own, which says no by an exception: the task at work loses nothing."""
        try:
            yield
        except Exception:
            self._desk.keep_state()
            raise

    def _is_early(self) -> bool:
        """What earlier incarnations have left is not known yet: the message in hand waits for that."""
        if not self._desk.is_ready:
            self.context.stash()
        return not self._desk.is_ready

    # Its messages.

    @handles
    def _accept_task(self, message: AcceptTask) -> str:
        task = Task(
            task_id=message.task_id,
            description=message.description,
            input_data=message.input_data,
            workflow_id=message.workflow_id,
        )
        desk = self._desk
        with self._answering():
            standing = desk.standing(task)
            if standing is Standing.ANOTHER:
                raise TaskIdConflict(message, self.context.ref, task.task_id)
            if standing is Standing.NEW:
                self.check_task(task)
        if standing is None:
            self.context.stash()
            if desk.look_for(task.task_id):
                desk.cell.belongings().pipe_to_self(self.__look, (task.task_id,), None)
        elif standing is Standing.NEW:
            desk.accept(Work(task=task, mode=message.mode))
        return task.task_id

    @handles
    def _cancel_task(self, message: CancelTask) -> bool:
        if self._is_early():
            return False
        with self._answering():
            return self._desk.cancel(message.task_id)

    @handles
    def _pause_task(self, message: PauseTask) -> str:
        if self._is_early():
            return ""
        with self._answering():
            return self._desk.pause(message.task_id)

    @handles
    def _resume_task(self, message: ResumeTask) -> str:
        if self._is_early():
            return ""
        with self._answering():
            return self._desk.resume(message.task_id)

    @handles
    def _wish_task(self, message: WishTask) -> None:
        desk = self._desk
        if self._is_early():
            return
        with suppress(UnknownTask, IllegalTransition):  # it is over
            if message.wish == "cancel":
                desk.cancel(message.task_id)
            elif message.wish == "pause":
                desk.pause(message.task_id)
            else:
                desk.resume(message.task_id)

    @handles
    def _take_checkpoint(self, message: TakeCheckpoint) -> str:
        if self._is_early():
            return ""
        try:
            return self._desk.checkpoint(None, message.data)
        except UnencodableState as error:
            raise CheckpointNotTaken(self.agent_id, str(error)) from error

    @handles
    def _restore_checkpoint(self, message: RestoreCheckpoint) -> bool:
        if self._is_early():
            return False
        with self._answering():
            self._desk.restore(message.found)
        return True

    @handles
    def _step(self, step: Step) -> None:
        handle_step(self, self._desk.cell, step)
