"""Code that runs beside an actor, and is left to itself where it does not end when it is interrupted.

What a handler is to its worker (`lease`, `abandoning`), such code is to whoever runs it: interrupted, by its
owner or by the end of its incarnation, it is cancelled at its await and at those behind it, up to a bound.
When it has not ended `Actor.kill_grace` seconds later, its owner goes on without it. It stays in the task it
runs in, which is one of the system's; nothing it sends is its actor's any more; and `Runtime.abandoned` names
it until it ends. Before that it is in `Runtime.unwinding`, which the end of the system waits for.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

import anyio

from sentient_core.actors.abandoning import AbandonedTurn, be_nobody, report_abandoned, report_ended
from sentient_core.actors.lease import MOST_RESUMED, frames_of, where_in
from sentient_core.errors import HandlerAbandoned

if TYPE_CHECKING:
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.actors.runtime import Runtime
    from sentient_core.actors.timekeeper import Alarm

__all__ = ["Interruptible", "unwound"]


class Interruptible:
    """See the module. Runs once."""

    __slots__ = (
        "_alarm",
        "_code",
        "_incarnation",
        "_life",
        "_lull",
        "_on_abandoned",
        "_resumed",
        "_scope",
        "_turn",
        "_what",
        "has_ended",
        "is_interrupted",
    )

    def __init__(
        self, life: Incarnation, on_abandoned: Callable[[HandlerAbandoned], object], **what: Any
    ) -> None:
        """`on_abandoned` is called on the loop's thread, and must not raise or wait. `what` is recorded."""
        self._life = life
        self._incarnation = life.cell.incarnation
        self._on_abandoned = on_abandoned
        self._what = what
        self._scope = anyio.CancelScope()
        self._lull = anyio.CancelScope()
        """Within that one: shields the code when it has been cancelled often enough (as `Lease`)."""
        self._code: Coroutine[Any, Any, Any] | None = None
        self._resumed = 0
        self._alarm: Alarm | None = None
        self._turn: AbandonedTurn | None = None
        self.is_interrupted: bool = False
        self.has_ended: anyio.Event = anyio.Event()
        """Or it was abandoned."""

    @property
    def is_abandoned(self) -> bool:
        """It did not end within its grace, and counts no more."""
        return self._turn is not None

    @property
    def was_cut_short(self) -> bool:
        """It has ended by its interruption."""
        return self._scope.cancelled_caught

    async def run(self, code: Coroutine[Any, Any, Any]) -> Any:
        """What the code returns; None when it was cut short. Raises what it raises."""
        self._code = code
        self._life.pipes[self] = None
        if self._life.is_over:
            self.interrupt()
        elif self.is_interrupted:
            self._give_grace()
        error: BaseException | None = None
        try:
            with self._scope, self._lull:
                return await self._driven(code)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(error)

    def interrupt(self) -> None:
        """Cancel it at its await; it has `kill_grace` seconds from now."""
        if self.is_interrupted:
            return
        self.is_interrupted = True
        self._scope.cancel()
        if self._code is not None:
            self._give_grace()

    def cancel(self) -> None:
        """Its incarnation is over."""
        self.interrupt()

    def _give_grace(self) -> None:
        runtime, grace = self._life.cell.runtime, self._life.cell.blueprint.kill_grace
        runtime.unwinding[self] = None
        if grace is not None:
            self._alarm = runtime.timekeeper.after(grace, self._abandon)

    @types.coroutine
    def _driven(self, code: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Resume it by hand: so it is known how often it goes on in spite of its cancellation."""
        value: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                awaited = code.send(value) if thrown is None else code.throw(thrown)
            except StopIteration as done:
                return done.value
            finally:
                thrown = None  # else the error and this frame would hold each other
            try:
                value = yield awaited
            except BaseException as error:  # noqa: BLE001 - it is thrown into the code
                thrown = error
            if self.is_interrupted:
                self._note_resumed()

    def _note_resumed(self) -> None:
        self._resumed += 1
        if self._resumed >= MOST_RESUMED:
            self._lull.shield = True
        if self._turn is not None:
            be_nobody()

    def _abandon(self) -> None:
        cell = self._life.cell
        runtime, grace = cell.runtime, cell.blueprint.kill_grace or 0.0
        handler, stack = where_in(list(frames_of(self._code)))
        error = HandlerAbandoned(cell.path, handler, None, grace, stack)
        self._turn = turn = AbandonedTurn(
            path=cell.path,
            incarnation=self._incarnation,
            handler=handler,
            message_type=None,
            since=runtime.backend.now(),
            is_beside=True,
        )
        self._lull.shield = True
        runtime.abandoned[turn] = None
        report_abandoned(cell, turn, error, **self._what)
        self._unwound()
        self._on_abandoned(error)

    def _end(self, error: BaseException | None) -> None:
        life = self._life
        life.pipes.pop(self, None)
        if self._alarm is not None:
            self._alarm.cancel()
        if self._turn is not None:
            report_ended(life.cell.runtime, self._turn, error)
        self._unwound()

    def _unwound(self) -> None:
        self._life.cell.runtime.unwinding.pop(self, None)
        self.has_ended.set()


async def unwound(runtime: Runtime) -> None:
    """Return when all that was interrupted has ended, or was abandoned."""
    while runtime.unwinding:
        await next(iter(runtime.unwinding)).has_ended.wait()
