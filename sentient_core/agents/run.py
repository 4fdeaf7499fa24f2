"""One task at work: the user's code beside the agent, and its points, where it may pause and be saved.

It runs as a pipe of the agent's incarnation, so it ends with that; what it has to say it says in turns of the
agent (`steps`), which return when they are committed. So nothing that a task has told anybody is lost, and
nothing of an old incarnation writes for the next one: that finds the task unfinished and runs it again from
its last checkpoint.

A run holds one of the system's places while it works, and gives it back while it is paused. Cancelling and
the time limit act at its next await (`Interruptible`); pausing acts at its points alone. Code that does not
end for that is left to itself: its task is over, and so is the instance that it could still change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import msgspec

from sentient_core.actors.current import current_run
from sentient_core.actors.escaped import stray
from sentient_core.actors.interruptible import Interruptible
from sentient_core.actors.life_events import report_alert
from sentient_core.agents.crew import Ending
from sentient_core.agents.outcome import fields_of, result_of
from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.steps import take_step
from sentient_core.agents.time_limit import TimeLimit
from sentient_core.agents.user_code import carry_out, returns_result
from sentient_core.agents.work import Wish, Work
from sentient_core.causes import in_a_line, last_lines
from sentient_core.errors import HandlerAbandoned, StaleIncarnation, StoreError, TaskTimedOut
from sentient_core.mailbox.signals import BESIDE, Signal, SignalKind

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
        self._code = Interruptible(self._life, self._left_to_itself, task_id=work.task.task_id)
        """The user's."""
        self._limit = TimeLimit(desk.cell.runtime, self._interrupt)
        self._is_cancelled = False
        self._is_rerun = False
        self._hold = _Hold(self._give_back)
        self._may_go_on = anyio.Event()
        self._waiting = anyio.CancelScope()
        self._returning = anyio.CancelScope()
        self._calls: Counter[str] = Counter()

    # For the desk, which calls these when what they mean is in the journal's hands.

    def cancel(self) -> None:
        """End it at its next await."""
        self._is_cancelled = True
        self._interrupt()

    def begin_again(self) -> None:
        """Run it again, from the checkpoint it has now."""
        self._is_rerun = True
        self._interrupt()

    def go_on(self) -> None:
        """Pausing is over."""
        self._may_go_on.set()

    def give_up(self) -> None:
        """It has not begun, and is not to."""
        self._waiting.cancel()

    def take_place(self) -> bool:
        """Have a place at once, for a run that is begun in the turn of now; False: there is none.

        It is given back by `execute`, by `leave_place`, or with the incarnation.
        """
        try:
            self._desk.crew.places.acquire_on_behalf_of_nowait(self)
        except anyio.WouldBlock:
            return False
        self._life.pipes[self._hold] = None
        return True

    def leave_place(self) -> None:
        """It is not begun after all."""
        self._life.pipes.pop(self._hold, None)
        self._give_back()

    # For the agent's pipe.

    async def execute(self) -> None:
        """Wait for a place, run the task, and see to its end."""
        desk = self._desk
        self._life.pipes.pop(self._hold, None)
        with self._waiting:
            await self._take_place()
        if self._waiting.cancelled_caught:
            return
        try:
            if not self.has_begun and not await self.step(lambda: desk.begin(self)):
                return
            ending = await self._attempt()
            while ending is None and not self._is_over:
                ending = await self._attempt()
            if ending is not None and not self._is_over:
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
        self._check()
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
        """Wait for somebody: without a place, and with the time limit standing still.

        A wait that a scope of the task's own cuts short ends as any other: when there is a place again.
        """
        self._check()
        left = self._limit.stop()
        self._give_back()
        try:
            yield
        finally:
            self._check()
            await self._come_back()
            if not self._code.is_interrupted:
                self._limit.start(left)

    async def step(self, act: Callable[[], T]) -> T:
        """Have the agent do something in a turn of its own; return what comes of it, committed."""
        self._check()
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
        """Run the user's code once. None: it is to be run again, or nothing that it does counts any more."""
        desk, work = self._desk, self.work
        seconds = desk.agent.task_timeout
        self._is_rerun = False
        self._limit.is_over = False
        self._calls.clear()
        self._code = code = Interruptible(self._life, self._left_to_itself, task_id=work.task.task_id)
        if work.wish is Wish.CANCEL:
            self.cancel()
        token = current_run.set(self)
        said: dict[str, Any] = {}
        error: str | None = None
        error_type: str | None = None
        try:
            said = fields_of(await code.run(self._from_its_place(seconds)))
        except Exception as raised:  # noqa: BLE001 - the supervision boundary: it is the task's failure
            if self._is_over:
                return None
            self._log_failure(raised)
            error, error_type = in_a_line(raised), type(raised).__name__
        finally:
            self._limit.stop()
            current_run.reset(token)
        if self._is_over:
            return None
        if code.was_cut_short or (code.is_interrupted and not self._limit.is_over and error is not None):
            if self._is_cancelled:
                return Ending(status=TaskStatus.CANCELLED, position=work.position, output={})
            if self._is_rerun:
                return None
        if code.was_cut_short:
            return self._overdue()
        if error is not None:
            return _failed(work, error, error_type)
        is_told = bool(said) and not returns_result(desk.agent, work.mode)
        if said.get("status") == "cancelled":  # it ended itself so
            return Ending(status=TaskStatus.CANCELLED, position=work.position, output=said, is_told=is_told)
        return Ending(
            status=TaskStatus.COMPLETED,
            position=work.position,
            output=result_of(said),
            is_told=is_told,
        )

    @property
    def is_abandoned(self) -> bool:
        """Its code has not ended when it was interrupted, and counts no more."""
        return self._code.is_abandoned

    @property
    def _is_over(self) -> bool:
        return self._life.is_over or self.is_abandoned

    def _check(self) -> None:
        """Nothing of code that was abandoned counts."""
        if self.is_abandoned:
            raise StaleIncarnation(self._desk.cell.path)

    def _interrupt(self) -> None:
        self._code.interrupt()
        self._returning.cancel()

    def _overdue(self) -> Ending:
        timed_out = TaskTimedOut(
            self.work.task.task_id, self._desk.cell.path, self._desk.agent.task_timeout or 0.0
        )
        return _failed(self.work, str(timed_out), TaskTimedOut.__name__)

    def _left_to_itself(self, error: HandlerAbandoned) -> None:
        """The user's code goes on in spite of its cancellation: the system goes on without it."""
        self._give_back()
        self._limit.stop()
        report_alert(self._desk.cell, "task abandoned", error, task_id=self.work.task.task_id)
        if not self._life.is_over:  # else the next incarnation goes on with the task
            self._life.pipe_to_self(self._go_down, (error,), None)

    async def _go_down(self, error: HandlerAbandoned) -> None:
        """End the task in the records, if it is to end, and then the instance that its code could change."""
        desk, work, why = self._desk, self.work, in_a_line(error)
        desk.is_ready = False  # whatever is next is for the next instance
        ending: Ending | None = None
        if self._is_cancelled:
            ending = Ending(status=TaskStatus.CANCELLED, position=work.position, output={}, error=why)
        elif self._limit.is_over:
            ending = msgspec.structs.replace(self._overdue(), error=f"{self._overdue().error}; {why}")
        if ending is not None:
            done = ending
            await take_step(self._life, lambda: desk.end(work, done), is_tasks=False)
        if not self._life.is_over:
            desk.cell.signal(Signal(SignalKind.FAIL, error, where=BESIDE))

    def _log_failure(self, error: Exception) -> None:
        self._desk.cell.log().warning(
            "a task has failed",
            task_id=self.work.task.task_id,
            error=in_a_line(error),
            # Lines, and no traceback: some loggers render that with all of its variables.
            exception=last_lines(error),
        )

    async def _from_its_place(self, seconds: float | None) -> object:
        self._limit.start(seconds)
        await self.pausable()
        await self._take_place()
        return await self._guarded()

    async def _guarded(self) -> object:
        """The user's code. A cancellation that comes from none of the scopes around it is its failure."""
        try:
            work = self.work
            return await carry_out(self._desk.agent, work.task, work.mode, self.item)
        except BaseException as error:
            is_asked_for = self._code.is_interrupted or self._life.is_over
            if is_asked_for or not self._desk.cell.runtime.backend.absorb_cancellation(error):
                raise
            raise stray(error) from error

    async def _take_place(self) -> None:
        """Have a place, also when it was given back, and then the wait for another one was cut short."""
        places = self._desk.crew.places
        if self not in places.statistics().borrowers:
            await places.acquire_on_behalf_of(self)

    async def _come_back(self) -> None:
        """Have a place again. Only the end of the task, or of its incarnation, cuts this short."""
        is_to_end = self._code.is_interrupted or self._life.is_over
        self._returning = scope = anyio.CancelScope(shield=not is_to_end)
        self._life.pipes[scope] = None
        try:
            with scope:
                await self._take_place()
        finally:
            self._life.pipes.pop(scope, None)

    def _give_back(self) -> None:
        places = self._desk.crew.places
        if self in places.statistics().borrowers:
            places.release_on_behalf_of(self)


class _Hold:
    """Of a place that a run has before it is at work: its incarnation may end before that."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back

    def cancel(self) -> None:
        self._give_back()


def _failed(work: Work, error: str, error_type: str | None) -> Ending:
    return Ending(
        status=TaskStatus.FAILED, position=work.position, output={}, error=error, error_type=error_type
    )
