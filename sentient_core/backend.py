"""The seam between the two event loops: what the runtime needs beyond anyio, made twice.

anyio carries everything at the edges (task groups, cancel scopes, deadlines). Three things are on
the path of every message and are taken from the event loop itself, since the portable forms cost
half of an ask: a one-shot `Slot` to wait on, a bare pass of the loop, and a call from another
thread. `asyncio` gives a Future and `sleep(0)`, trio gives `wait_task_rescheduled` and
`checkpoint`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Sequence
from contextvars import Context, copy_context
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, cast

import sniffio
import trio

__all__ = ["AsyncioBackend", "Backend", "Outside", "Slot", "TrioBackend", "current_backend"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Slot(Protocol[T]):
    """Room for one outcome, with at most one waiter.

    Not thread-safe: set it from the thread of the loop that made it (from another thread through
    `Backend.call_threadsafe`). The first outcome stays; later ones are refused.
    """

    @property
    def is_done(self) -> bool:
        """An outcome is there, or the waiter has gone away (cancelled)."""
        ...

    def set(self, value: T) -> bool:
        """Store `value` and wake the waiter. False, and nothing happens, if the slot is done."""
        ...

    def fail(self, error: BaseException) -> bool:
        """Store `error`, which `wait` raises. False, and nothing happens, if the slot is done."""
        ...

    def __await__(self) -> Generator[Any, Any, T]:
        """Return the value or raise the error; at once if it is there already.

        Cancelling the wait closes the slot: `set` then answers False, so that whoever brings the
        outcome knows that nobody takes it.
        """
        ...

    async def wait(self) -> T:
        """The same as a coroutine, for a task of its own."""
        ...

    def abandon(self) -> Sequence[T]:
        """Close it after a wait that was cancelled. The value that had come in that moment, if one had.

        asyncio cancels a task that has been woken already (`Task.cancel`; anyio's scopes wait for the next
        step); trio does not.
        """
        ...


class Outside(Protocol):
    """Who works for an event loop outside of it: a store's thread, threads and processes of actors."""

    def awaited(self) -> Iterable[Hashable]:
        """What somebody on the loop waits for now: a value each, another one as soon as it gets on."""
        ...


class Backend(Protocol):
    """One running event loop, as the runtime sees it."""

    @property
    def name(self) -> str:
        """`asyncio` or `trio`."""
        ...

    def now(self) -> float:
        """The loop's monotonic clock in seconds (a virtual one under a test's virtual clock)."""
        ...

    def slot(self) -> Slot[Any]:
        """A new, empty slot of this loop."""
        ...

    def checkpoint(self) -> Awaitable[None]:
        """Let everything else that is ready run once."""
        ...

    def call_soon(self, function: Callable[[], object]) -> None:
        """Run `function()` in the next pass of the loop, with none of the caller's context variables.

        From the loop's thread. It belongs to no task, and may start some.
        """
        ...

    def call_threadsafe(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run `function(*args)` soon on the loop's thread, as by `call_soon`. Callable from any thread.

        Raises RuntimeError when the loop is closed.
        """
        ...

    def start_task(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
        """Run `await function()` as a task that ends with the loop, if not before. Keep what is returned.

        For what is begun in one task and ended in another, such as a `start()` with its `stop()`: a task
        group of its caller could not do that. It must not raise an Exception.
        """
        ...

    def absorb_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is a cancellation that need not end this task, which is then as if uncancelled.

        For one that the runtime has not asked for. Only asyncio has them: a future that somebody else
        cancelled is awaited, or somebody calls `Task.cancel`. trio's belong to scopes, which take them.
        """
        ...

    def hold_clock_for(self, outside: Outside) -> None:
        """Have a virtual clock stand still while something of `outside` is waited for. Real ones go on."""
        ...

    def goes_on_after(self, error: BaseException) -> bool:
        """Whether tasks that are started now will run although one ends with `error`.

        asyncio stops its loop at once for a SystemExit or KeyboardInterrupt; what has not begun by
        then is cancelled without a step.
        """
        ...


def current_backend() -> Backend:
    """The backend of the running event loop. RuntimeError outside of one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return TrioBackend()
    return AsyncioBackend(loop)


class _AsyncioSlot(asyncio.Future[T]):
    """A future, which the loop waits on without a coroutine in between."""

    __slots__ = ()

    @property
    def is_done(self) -> bool:
        return self.done()

    def set(self, value: T) -> bool:
        if self.done():
            return False
        self.set_result(value)
        return True

    def fail(self, error: BaseException) -> bool:
        if self.done():
            return False
        if isinstance(error, StopIteration):  # no future takes it: as Python does where a coroutine raises it
            stop, error = error, RuntimeError("a function raised StopIteration")
            error.__cause__ = stop
        self.set_exception(error)
        self._log_traceback = False  # an outcome that nobody waits for is no mistake here
        return True

    async def wait(self) -> T:
        return await self

    def abandon(self) -> Sequence[T]:
        if self.cancel() or self.cancelled() or self.exception() is not None:
            return ()
        return (self.result(),)


class _TrioSlot(Generic[T]):
    __slots__ = ("_error", "_task", "_value", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._task: trio.lowlevel.Task | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.is_done:
            self._task = trio.lowlevel.current_task()
            yield from trio.lowlevel.wait_task_rescheduled(self._abort).__await__()  # noqa: ASYNC105
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # the traceback refers to this frame: break the cycle
        return cast("T", self._value)

    async def wait(self) -> T:
        return await self

    def set(self, value: T) -> bool:
        if self.is_done:
            return False
        self.is_done = True
        self._value = value
        self._wake()
        return True

    def fail(self, error: BaseException) -> bool:
        if self.is_done:
            return False
        self.is_done = True
        self._error = error
        self._wake()
        return True

    def abandon(self) -> Sequence[T]:
        self.is_done = True
        return ()

    def _wake(self) -> None:
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.is_done = True
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class _Clock(Protocol):
    def __call__(self) -> float: ...


class AsyncioBackend:
    """The seam over a running asyncio loop."""

    __slots__ = ("_context", "_loop", "now")

    name = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # In a bare callback there is no current task for anyio to know the loop by: without this, nothing
        # that a callback leads to could start a task.
        self._context = Context()
        self._context.run(sniffio.current_async_library_cvar.set, self.name)
        # asyncio's own `time` is a Python function around this one, and is called several times per ask.
        is_plain = type(loop).time is asyncio.BaseEventLoop.time
        self.now: _Clock = time.monotonic if is_plain else loop.time

    def slot(self) -> Slot[Any]:
        slot: Slot[Any] = _AsyncioSlot(loop=self._loop)  # bare: a subscripted class takes four times as long
        return slot

    def checkpoint(self) -> Awaitable[None]:
        return asyncio.sleep(0)

    def call_soon(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function, context=self._context)

    def call_threadsafe(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        self._loop.call_soon_threadsafe(function, *args, context=self._context)

    def start_task(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
        return self._loop.create_task(function(), name=name)

    def absorb_cancellation(self, error: BaseException) -> bool:
        if not isinstance(error, asyncio.CancelledError):
            return False
        task = asyncio.current_task()
        while task is not None and task.cancelling():
            task.uncancel()
        return True

    def hold_clock_for(self, outside: Outside) -> None:
        _hold(self._loop, outside)

    def goes_on_after(self, error: BaseException) -> bool:
        return not isinstance(error, SystemExit | KeyboardInterrupt)


class TrioBackend:
    """The seam over a running trio loop."""

    __slots__ = ("_token",)

    name = "trio"

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def now(self) -> float:
        return trio.current_time()

    def slot(self) -> Slot[Any]:
        slot: Slot[Any] = _TrioSlot()  # bare, as above
        return slot

    def checkpoint(self) -> Awaitable[None]:
        return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - the caller awaits it

    def call_soon(self, function: Callable[[], object]) -> None:
        self._token.run_sync_soon(function)

    def call_threadsafe(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError as error:
            raise RuntimeError("the trio loop has ended") from error

    def start_task(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
        return trio.lowlevel.spawn_system_task(function, name=name, context=copy_context())

    def absorb_cancellation(self, error: BaseException) -> bool:
        return False

    def hold_clock_for(self, outside: Outside) -> None:
        _hold(trio.lowlevel.current_clock(), outside)

    def goes_on_after(self, error: BaseException) -> bool:
        return True


def _hold(clock: object, outside: Outside) -> None:
    """`sentient_core.testing.VirtualClock` is what has this."""
    hold: Callable[[Outside], None] | None = getattr(clock, "hold_clock_for", None)
    if hold is not None:
        hold(outside)
