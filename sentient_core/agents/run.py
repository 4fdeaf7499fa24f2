"""One task at work: the user's code beside the agent, and its points, where it may pause and be saved.

It runs as a pipe of the agent's incarnation, so it ends with that; what it has to say it says in turns of the
agent (`steps`), which return when they are committed. So nothing that a task has told anybody is lost, and
nothing of an old incarnation writes for the next one: that finds the task unfinished and runs it again from
its last checkpoint.

A run holds one of the system's places while it works, and gives it back while it is paused. Cancelling and
the time limit act at its next await, by cancel scopes; pausing acts at its points alone.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from sentient_core.actors.current import current_run
from sentient_core.actors.escaped import stray
from sentient_core.agents.crew import Ending
from sentient_core.agents.models import Task, TaskExecutionMode
from sentient_core.agents.outcome import fields_of, result_of
from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.steps import take_step
from sentient_core.agents.work import Wish, Work
from sentient_core.causes import in_a_line, last_lines
from sentient_core.errors import InvalidItem, StaleIncarnation, StoreError, TaskTimedOut

if TYPE_CHECKING:
    from sentient_core.agents.desk import Desk

__all__ = ["Run"]

T = TypeVar("T")


class Run:
    """See the module."""

    def __init__(self, desk: Desk, work: Work) -> None:
        self._desk = desk
        self._life = desk.cell.belongings()
        self.work: Work = work
        self.has_begun: bool = False
        self._scope = anyio.CancelScope()
        """Around the user's code."""
        self._clock = anyio.CancelScope()
        """Within it: its time limit."""
        self._left = math.inf
        """Of that limit, while it is paused."""
        self._is_cancelled = False
        self._is_rerun = False
        self._may_go_on = anyio.Event()
        self._waiting = anyio.CancelScope()
        self._calls: Counter[str] = Counter()

    # For the desk, which calls these when what they mean is in the journal's hands.

    def cancel(self) -> None:
        """End it at its next await."""
        self._is_cancelled = True
        self._scope.cancel()

    def begin_again(self) -> None:
        """Run it again, from the checkpoint it has now."""
        self._is_rerun = True
        self._scope.cancel()

    def go_on(self) -> None:
        """Pausing is over."""
        self._may_go_on.set()

    def give_up(self) -> None:
        """It has not begun, and is not to."""
        self._waiting.cancel()

    # For the agent's pipe.

    async def execute(self) -> None:
        """Wait for a place, run the task, and see to its end."""
        desk = self._desk
        places = desk.crew.places
        with self._waiting:
            await places.acquire_on_behalf_of(self)
        if self._waiting.cancelled_caught:
            return
        try:
            if not await self.step(lambda: desk.begin(self)):
                return
            ending = await self._attempt()
            while ending is None:
                ending = await self._attempt()
            await self._end(ending)
        finally:
            self._give_back()

    # For the user's code.

    async def item(self, given: object) -> None:
        """Bring an item: committed, then told."""
        await self.pausable()
        await self.step(lambda: self._desk.item(self.work, given))

    async def progress(self, progress: float, status: str | None) -> None:
        """Say how far it is."""
        await self.pausable()
        await self.step(lambda: self._desk.progress(self.work, progress, status))

    async def checkpoint(self, data: dict[str, Any]) -> str:
        """Take a checkpoint, from which the task goes on when it is run again."""
        await self.pausable()
        return await self.step(lambda: self._desk.checkpoint(self.work, data))

    async def pausable(self) -> None:
        """A point at which the task may stand still, until it is resumed or cancelled."""
        await anyio.lowlevel.checkpoint()
        while self.work.wish is Wish.PAUSE:
            self._may_go_on = anyio.Event()
            await self.step(lambda: self._desk.paused(self.work))
            async with self.aside():
                await self._may_go_on.wait()
        if self.work.status is TaskStatus.PAUSED:
            await self.step(lambda: self._desk.went_on(self.work))

    @property
    def comes_again(self) -> bool:
        """What is cut short now is run again: by the next incarnation or start, or from a checkpoint."""
        return self._life.is_over or self._desk.cell.runtime.is_ending or self._is_rerun

    def place(self, what: str) -> str:
        """A name for the place in the code that calls this: the same whenever the task is run again.

        That is the last checkpoint, and how often `what` was called for since.
        """
        since = "" if self.work.resume is None else self.work.resume.checkpoint_id
        place = f"{self.work.task.task_id}|{since}|{what}"
        self._calls[place] += 1
        return f"{place}|{self._calls[place]}"

    @asynccontextmanager
    async def aside(self) -> AsyncGenerator[None, None]:
        """Wait for somebody: without a place, and with the time limit standing still."""
        self._left, self._clock.deadline = self._clock.deadline - anyio.current_time(), math.inf
        self._give_back()
        try:
            yield
        finally:
            await self._desk.crew.places.acquire_on_behalf_of(self)
            self._clock.deadline = anyio.current_time() + self._left

    async def step(self, act: Callable[[], T]) -> T:
        """Have the agent do something in a turn of its own; return what comes of it, committed."""
        return await take_step(self._life, act)

    async def _end(self, ending: Ending) -> None:
        """See to its end. A result that no store can hold is a failure of the task, not of the agent."""
        desk, work = self._desk, self.work
        try:
            await self.step(lambda: desk.end(work, ending))
        except (StoreError, StaleIncarnation):
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what the user's code has made
            self._log_failure(error)
            failed = _failed(work, in_a_line(error), type(error).__name__)
            await self.step(lambda: desk.end(work, failed))

    async def _attempt(self) -> Ending | None:
        """Run the user's code once. None: it is to be run again."""
        desk, work = self._desk, self.work
        seconds = desk.agent.task_timeout
        self._is_rerun = False
        self._calls.clear()
        self._scope, self._clock = anyio.CancelScope(), anyio.CancelScope()
        if work.wish is Wish.CANCEL:
            self.cancel()
        token = current_run.set(self)
        said: dict[str, Any] = {}
        error: str | None = None
        error_type: str | None = None
        try:
            with self._scope, self._clock:
                self._clock.deadline = anyio.current_time() + (math.inf if seconds is None else seconds)
                await self.pausable()
                await self._take_place()
                said = fields_of(await self._guarded())
        except Exception as raised:  # the supervision boundary: it is the task's failure
            if self._life.is_over:
                raise  # nothing that it does counts any more
            self._log_failure(raised)
            error, error_type = in_a_line(raised), type(raised).__name__
        finally:
            current_run.reset(token)
        if self._scope.cancelled_caught or (self._scope.cancel_called and error is not None):
            if self._is_rerun and not self._is_cancelled:
                return None
            return Ending(status=TaskStatus.CANCELLED, position=work.position, output={})
        if self._clock.cancelled_caught:
            error = str(TaskTimedOut(work.task.task_id, desk.cell.path, seconds or 0.0))
            error_type = TaskTimedOut.__name__
        if error is not None:
            return _failed(work, error, error_type)
        is_told = bool(said) and not self._returns
        if said.get("status") == "cancelled":  # it ended itself so
            return Ending(status=TaskStatus.CANCELLED, position=work.position, output=said, is_told=is_told)
        return Ending(
            status=TaskStatus.COMPLETED,
            position=work.position,
            output=result_of(said),
            is_told=is_told,
        )

    def _log_failure(self, error: Exception) -> None:
        self._desk.cell.log().warning(
            "a task has failed",
            task_id=self.work.task.task_id,
            error=in_a_line(error),
            # Lines, and no traceback: some loggers render that with all of its variables.
            exception=last_lines(error),
        )

    @property
    def _returns(self) -> bool:
        """The user's code returns its result; else its last item is that."""
        agent = self._desk.agent
        executes = agent.__executes__ and self.work.mode is not TaskExecutionMode.STREAMING
        return executes or not agent.__streams__

    async def _guarded(self) -> object:
        """The user's code. A cancellation that comes from none of the scopes around it is its failure."""
        try:
            return await self._body()
        except BaseException as error:
            is_asked_for = anyio.current_effective_deadline() == -math.inf
            if is_asked_for or not self._desk.cell.runtime.backend.absorb_cancellation(error):
                raise
            raise stray(error) from error

    async def _body(self) -> object:
        agent, task = self._desk.agent, self.work.task
        if agent.__executes__ and self._returns:
            return await agent.execute_task(task, TaskExecutionMode.BLOCKING)
        if not agent.__streams__:
            return await agent.perform(task)
        stream: Any = agent.stream_execution(task)
        if not _is_stream(stream):
            if inspect.iscoroutine(stream):
                stream.close()
            raise InvalidItem(
                f"{type(agent).__qualname__}.stream_execution is no async generator: let it yield items, "
                "or write perform(self, task) instead"
            )
        return await self._stream(stream, task)

    async def _stream(self, stream: AsyncGenerator[Any, None], task: Task) -> object:
        last: object = None
        async with aclosing(stream):
            async for given in stream:
                await self.item(given)
                last = given
        return last

    async def _take_place(self) -> None:
        """Have a place, also when it was given back, and then the wait for another one was cut short."""
        places = self._desk.crew.places
        if self not in places.statistics().borrowers:
            await places.acquire_on_behalf_of(self)

    def _give_back(self) -> None:
        places = self._desk.crew.places
        if self in places.statistics().borrowers:
            places.release_on_behalf_of(self)


def _failed(work: Work, error: str, error_type: str | None) -> Ending:
    return Ending(
        status=TaskStatus.FAILED, position=work.position, output={}, error=error, error_type=error_type
    )


def _is_stream(made: object) -> bool:
    return inspect.isasyncgen(made)
