"""`AgentHandle`: an agent as programs use it, by its ref."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, Generic

import anyio
from typing_extensions import TypeVar

from sentient_core.actors.current import current_cell
from sentient_core.actors.ref import ActorRef, cell_of
from sentient_core.agents.agent import Agent
from sentient_core.agents.committed_rows import committed_rows
from sentient_core.agents.crew import Ending, Following, crew_of
from sentient_core.agents.describing import describe
from sentient_core.agents.fields import check_id, check_payload
from sentient_core.agents.messages import (
    AcceptTask,
    AgentDescription,
    CancelTask,
    PauseTask,
    RestoreCheckpoint,
    ResumeTask,
    TakeCheckpoint,
)
from sentient_core.agents.models import Task, TaskExecution, TaskExecutionMode
from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.subjects import from_row
from sentient_core.agents.task_ids import Standing, standing_of
from sentient_core.errors import (
    AgentGone,
    CheckpointOfAnother,
    InvalidArgument,
    StoreUnavailable,
    TaskFailed,
    TaskIdConflict,
    UnknownTask,
)
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable, place_of

__all__ = ["AgentHandle"]

A_co = TypeVar("A_co", bound=Agent, default=Agent, covariant=True)

_FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)
_PAGE = 100
_LEAST_WAIT = 0.01
"""Seconds between two looks at an agent that is down."""


class AgentHandle(Generic[A_co]):
    """What programs do with an agent. Belongs to the thread of the system's event loop, as its ref does.

    Tasks are written down before a call returns or waits: cancelling a call, or losing the process, does not
    cancel its task. `timeout`, in seconds, is what the agent may take to answer; how long its task takes is
    `AGENT_EXECUTION_TIMEOUT`.
    """

    def __init__(self, ref: ActorRef[A_co], *, timeout: float = 30.0) -> None:
        if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's
            raise InvalidArgument(f"AgentHandle takes the ref of an agent, not {ref!r}")
        self.ref: ActorRef[A_co] = ref
        self.timeout: float = timeout
        self._cell = cell_of(ref)
        if not issubclass(self._cell.blueprint.cls, Agent):
            raise InvalidArgument(
                f"{ref} is the ref of no agent, but of a {self._cell.blueprint.cls.__qualname__}"
            )

    def __repr__(self) -> str:
        return f"<AgentHandle {self.agent_id}>"

    @property
    def agent_id(self) -> str:
        """Its path."""
        return self.ref.path

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.ref.name

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return frozenset(self._cell.at_home().capabilities)

    async def execute_task(
        self, task: Task, mode: TaskExecutionMode | str = TaskExecutionMode.BLOCKING
    ) -> dict[str, Any]:
        """Have a task done. The same task given again is not done again: it is waited for, if need be.

        `blocking` waits for the end and returns the result: `status`, `message`, `artifacts`, and what else
        the agent says. `streaming` waits as well and returns the last item. `background` returns `{"status":
        "started", "task_id"}` as soon as the task is written down. One that was cancelled returns `{"status":
        "cancelled", "progress"}`; one that fails raises TaskFailed. Raises InvalidArgument for a mode that
        there is not, TaskIdConflict where this agent was given another task of this id, IdTaken where another
        agent was, AgentGone when the agent ends for good meanwhile.
        """
        how = _mode_of(mode)
        if how is not TaskExecutionMode.BACKGROUND:
            self._check_may_wait()
        crew = crew_of(self._cell.runtime)
        following = crew.follow(_task_of(task).task_id)
        try:
            await self._hand_over(task, how)
            if how is TaskExecutionMode.BACKGROUND:
                return {"status": "started", "task_id": task.task_id}
            return await self._answer(task.task_id, await self._ending(task.task_id, following), how)
        finally:
            crew.leave(task.task_id)

    async def stream_execution(
        self, task: Task | str, *, after: int = 0
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Have a task done, and iterate over its items: `status`, `progress`, `position` and what else.

        A task that is under way, or over, is followed, by its id alone if you like; `after` is the position
        behind which to begin, also in another process after a crash. Items come when they are committed. At
        most 100 are held in memory, so a slow reader costs nothing and misses none. Ends with the last item,
        which has `result`, or `status` `cancelled`; raises TaskFailed after the items of a task that failed.
        Leaving the iteration does not end the task.
        """
        _check_position(after)
        task_id = check_id(task, "task_id") if isinstance(task, str) else _task_of(task).task_id
        crew = crew_of(self._cell.runtime)
        following = crew.follow(task_id)
        try:
            if not isinstance(task, str):
                await self._hand_over(task, TaskExecutionMode.STREAMING)
            if task_id not in crew.unfinished:
                known = await self.get_task(task_id)
                if known is None:
                    raise UnknownTask(task_id, self.agent_id, None)
                done = _ending_of(known)
                if done is not None:
                    following.end(done)
            position = after
            while True:
                news, ending = following.news, following.ending
                items = following.items_after(position)
                is_all = items is not None
                if items is None:
                    items = await self._stored_items(task_id, position)
                for at, item in items:
                    position = at
                    yield item
                if ending is not None and (is_all or not items):
                    break
                if not items:
                    await self._change(following, news)
            if ending.status is TaskStatus.FAILED:
                raise TaskFailed(task_id, self.agent_id, ending.error or "", ending.error_type)
        finally:
            crew.leave(task_id)

    async def cancel_execution(self, task_id: str | None = None) -> bool:
        """Cancel a task, at its next await; None: the one at work, or next. Returns when it has ended.

        False: there is none to cancel, or it came to its end before. Raises UnknownTask.
        """
        watched = _id_or_none(task_id) or await self._at_work()
        if watched is None:
            return False
        crew = crew_of(self._cell.runtime)
        following = crew.follow(watched)
        try:
            try:
                await self.ref.ask(CancelTask(watched), timeout=self.timeout)
            except UnknownTask:
                if task_id is not None:
                    raise
                return False  # it has ended just now
            return (await self._ending(watched, following)).status is TaskStatus.CANCELLED
        finally:
            crew.leave(watched)

    async def pause_execution(self, task_id: str | None = None) -> bool:
        """Pause the task at work, at its next point. Returns when it stands still; False: it ended before.

        Raises IllegalTransition where none is at work, UnknownTask.
        """
        watched = await self.ref.ask(PauseTask(_id_or_none(task_id)), timeout=self.timeout)
        crew = crew_of(self._cell.runtime)
        following = crew.follow(watched)
        try:
            while True:
                news = following.news
                described = await self.describe()
                if described.current_task != watched and watched not in described.waiting:
                    return False
                if described.current_task == watched and described.status == TaskStatus.PAUSED.value:
                    return True
                await self._change(following, news)
        finally:
            crew.leave(watched)

    async def resume_execution(self, task_id: str | None = None) -> None:
        """Let the paused task go on. Raises IllegalTransition where none is at work, UnknownTask."""
        await self.ref.ask(ResumeTask(_id_or_none(task_id)), timeout=self.timeout)

    async def create_checkpoint(self, checkpoint_data: Mapping[str, Any] | None = None) -> str:
        """Take a checkpoint of the agent as it is now, with its state, its context and your data; its id.

        A task at work goes on from its own checkpoints all the same. Raises CheckpointNotTaken where that has
        put into the state what cannot be stored.
        """
        data = {} if checkpoint_data is None else check_payload(checkpoint_data, "checkpoint_data")
        return await self.ref.ask(TakeCheckpoint(data), timeout=self.timeout)

    async def restore_from_checkpoint(self, checkpoint_id: str) -> bool:
        """Put state and context back to a checkpoint; the task at work, if it took it, runs from there.

        What waits in the mailbox, and tasks that wait, stay. False: there is no such checkpoint. Raises
        CheckpointOfAnother, CheckpointUnusable.
        """
        checkpoint_id = check_id(checkpoint_id, "checkpoint_id")
        query = RowQuery(table=RowTable.STATE_CHECKPOINT, where={"named": checkpoint_id}, limit=1)
        rows = await self._rows(query)
        if not rows:
            return False
        found = rows[0].fields
        if found["agent_id"] != self.agent_id:
            raise CheckpointOfAnother(checkpoint_id, found["agent_id"], self.agent_id)
        return await self.ref.ask(RestoreCheckpoint(checkpoint_id, found), timeout=self.timeout)

    async def describe(self) -> AgentDescription:
        """How it is: status, task at work, context, tasks that wait. As far as it is committed.

        No message to it: it is not woken, need not be free, and nothing of this is in its history. Of one
        that has ended, its row is told. Raises StoreUnavailable.
        """
        return await describe(self._cell.at_home(), self.timeout)

    async def get_task(self, task_id: str) -> TaskExecution | None:
        """A task, with all that was written down before this call; None: there is no such task."""
        task_id = check_id(task_id, "task_id")
        rows = await self._rows(RowQuery(table=RowTable.TASK_EXECUTION, key=(task_id,)))
        return from_row(TaskExecution, rows[0]) if rows else None

    async def _hand_over(self, task: Task, mode: TaskExecutionMode) -> None:
        message = AcceptTask(
            task_id=task.task_id,
            description=task.description,
            input_data=task.input_data,
            workflow_id=task.workflow_id,
            mode=mode,
        )
        ids = crew_of(self._cell.runtime).ids
        if ids.taker(task.task_id) is None:
            with suppress(StoreUnavailable):  # the agent looks for itself then, when the store is back
                standing = standing_of(await ids.look(task.task_id), task, self.agent_id)
                if standing is Standing.KNOWN:
                    return
                if standing is Standing.ANOTHER:
                    raise TaskIdConflict(message, self.ref, task.task_id)
                ids.reserve(task.task_id, self.agent_id)
        try:
            await self.ref.ask(message, timeout=self.timeout)
        finally:
            ids.release(task.task_id, self.agent_id)

    async def _at_work(self) -> str | None:
        described = await self.describe()
        return described.current_task or next(iter(described.waiting), None)

    async def _ended_before(self, task_id: str) -> Ending | None:
        known = await self.get_task(task_id)
        return None if known is None else _ending_of(known)

    async def _ending(self, task_id: str, following: Following) -> Ending:
        while True:
            news = following.news
            ending = following.ending
            if ending is None and task_id not in crew_of(self._cell.runtime).unfinished:
                ending = await self._ended_before(task_id)
            if ending is not None:
                return ending
            await self._change(following, news)

    async def _answer(self, task_id: str, ending: Ending, mode: TaskExecutionMode) -> dict[str, Any]:
        if ending.status is TaskStatus.FAILED:
            raise TaskFailed(task_id, self.agent_id, ending.error or "", ending.error_type)
        if mode is TaskExecutionMode.STREAMING and ending.position:
            following = crew_of(self._cell.runtime).followed(task_id)
            items = None if following is None else following.items_after(ending.position - 1)
            if not items:
                items = await self._stored_items(task_id, ending.position - 1)
            if items:
                return items[-1][1]
        return ending.output

    async def _stored_items(self, task_id: str, position: int) -> list[tuple[int, dict[str, Any]]]:
        """At most a page of a task's items behind a position."""
        query = RowQuery(
            table=RowTable.TASK_ITEM, key=(task_id,), after=(task_id, place_of(position)), limit=_PAGE
        )
        return [
            (row.fields["position"], {**row.fields["item"], "position": row.fields["position"]})
            for row in await self._rows(query)
        ]

    async def _rows(self, query: RowQuery) -> list[Row]:
        return await committed_rows(self._cell.runtime, query)

    async def _change(self, following: Following, news: anyio.Event) -> None:
        """Return when there is news of a task. Raises AgentGone when its agent has ended for good."""
        self._check_may_wait()
        cell = self._cell.at_home()
        has_ended = False

        async def watch() -> None:
            nonlocal has_ended
            current_cell.set(None)  # also an actor below the agent may wait, for it waits for no end here
            while cell.is_alive:
                await cell.wait_for_end(cell.incarnation, is_drain=False)
                if cell.is_alive:  # down, and to be started again or not: nobody is told which
                    await anyio.sleep(_LEAST_WAIT)
            has_ended = True
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await news.wait()
            tasks.cancel_scope.cancel()
        if has_ended and following.ending is None:
            raise AgentGone(self.agent_id)

    def _check_may_wait(self) -> None:
        if current_cell.get() is self._cell.at_home():
            raise InvalidArgument(
                f"'{self.agent_id}' would wait for itself: a task of an agent is begun when the one at work "
                "has ended. Give it with mode='background', and do not wait for it."
            )


def _check_position(after: object) -> None:
    if not isinstance(after, int) or after < 0:
        raise InvalidArgument(f"after is the position of an item, from 1 on, or 0, not {after!r}")


def _mode_of(mode: TaskExecutionMode | str) -> TaskExecutionMode:
    try:
        return TaskExecutionMode(mode)
    except ValueError:
        names = ", ".join(repr(known.value) for known in TaskExecutionMode)
        raise InvalidArgument(f"mode is {mode!r}; it can be {names}") from None


def _id_or_none(task_id: object) -> str | None:
    return None if task_id is None else check_id(task_id, "task_id")


def _task_of(task: object) -> Task:
    if isinstance(task, Task):
        return task
    raise InvalidArgument(f"a task is given as a Task(description=…), not as {task!r:.200}")


def _ending_of(known: TaskExecution) -> Ending | None:
    if known.status not in _FINAL:
        return None
    return Ending(
        status=known.status,
        position=known.items,
        output=known.output_data or {},
        error=known.error_message,
        error_type=known.error_type,
    )
