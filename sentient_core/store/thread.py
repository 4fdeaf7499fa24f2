"""The store's own thread: an asyncio loop that the database client lives on, whatever the caller runs.

The client needs a running asyncio loop, its blocking form holds the GIL for whole queries, and
encoding rows takes time that no caller's loop should lose; so all of it happens here. Callers on
asyncio or trio hand in a coroutine function and wait for its outcome on their own loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, TypeVarTuple

import anyio

from sentient_core.backend import Backend, Slot, current_backend
from sentient_core.errors import StoreUnavailable

__all__ = ["StoreThread"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_JOIN_SECONDS = 5.0


class StoreThread:
    """One thread with one asyncio loop, from `start` to `stop`; not started again.

    It is a daemon: a store that nobody closed must not keep the interpreter from ending. Nothing is
    lost by that which was not lost by a crash: what is committed is on disk.
    """

    def __init__(self, name: str) -> None:
        # Not by the policy of the day: the client's futures want a plain asyncio loop.
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._callers: dict[Slot[Any], Backend] = {}
        """Who waits in `run`, and on which loop."""
        # Not the caller's context: its variables would live as long as the tasks started for it.
        self._context = contextvars.Context()
        self._waiting_for_end: dict[Slot[None], Backend] = {}
        self._is_stopping = False
        self._is_ending = False
        self._has_ended = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def now(self) -> float:
        """The thread's monotonic clock in seconds: real time, whatever the caller's loop lives in."""
        return self._loop.time()

    def post(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `function(*args)` soon on the thread. From any thread. StoreUnavailable once stopped."""
        try:
            self._loop.call_soon_threadsafe(function, *args, context=self._context)
        except RuntimeError as error:
            raise StoreUnavailable("the store is closed") from error

    async def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of `await function()` on the thread. For callers on any event loop.

        Cancelling the caller abandons the outcome, never the work: it goes on to its end, so that
        nothing in the thread is left half done. StoreUnavailable when the thread ends before the work does.
        """
        backend = current_backend()
        slot: Slot[T] = backend.slot()
        self._callers[slot] = backend
        backend.hold_clock_for(self)
        try:
            self.post(self._start, function, backend, slot)
            return await slot
        finally:
            del self._callers[slot]

    def awaited(self) -> list[object]:
        """See `Outside`: the calls under way."""
        return [*self._callers, *self._waiting_for_end]

    def keep(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task that the thread owns. From the thread only."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    async def stop(self) -> None:
        """Cancel what still runs, end the thread and wait for it, a few seconds at most."""
        if not self._is_stopping:
            self._is_stopping = True
            with suppress(StoreUnavailable):
                self.post(self._loop.stop)
        # No blocking join, that would hold the caller's loop; no sleeping, whose clock may be virtual.
        backend = current_backend()
        over: Slot[None] = backend.slot()
        self._waiting_for_end[over] = backend
        backend.hold_clock_for(self)
        try:
            with anyio.move_on_after(_JOIN_SECONDS, shield=True):
                if not self._has_ended and self._thread.is_alive():
                    await over
                while self._thread.is_alive():  # a moment: it has nothing left to do
                    await backend.checkpoint()
        finally:
            del self._waiting_for_end[over]

    def stop_blocking(self, before: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """At the end of the interpreter, where no loop runs any more: run `before`, then stop."""
        if self._is_stopping or not self._thread.is_alive():
            return
        self._is_stopping = True
        future = asyncio.run_coroutine_threadsafe(before(), self._loop)
        with suppress(Exception):  # whatever it is, nobody is left to be told
            future.result(_JOIN_SECONDS)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_SECONDS)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits gets it; where nobody waits any more, it is no complaint

    def _start(self, function: Callable[[], Coroutine[Any, Any, T]], backend: Backend, slot: Slot[T]) -> None:
        if not self._is_ending:
            self.keep(self._bring(function, backend, slot))

    async def _bring(
        self, function: Callable[[], Coroutine[Any, Any, T]], backend: Backend, slot: Slot[T]
    ) -> None:
        try:
            value = await function()
        except asyncio.CancelledError:
            self._deliver(backend, slot.fail, StoreUnavailable("the store was closed meanwhile"))
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            self._deliver(backend, slot.fail, error)
        else:
            self._deliver(backend, slot.set, value)

    def _deliver(self, backend: Backend, bring: Callable[[*Ts], object], *args: *Ts) -> None:
        with suppress(RuntimeError):  # the caller's loop has ended: nobody waits
            backend.call_threadsafe(bring, *args)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._is_ending = True
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=_JOIN_SECONDS / 2))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()
            # From now on `post` refuses. Nobody is to wait for what it took before and has not been done.
            for slot, backend in self._callers.copy().items():
                self._deliver(backend, slot.fail, StoreUnavailable("the store was closed meanwhile"))
            self._has_ended = True  # first this: who comes from now on need not be told
            for over, backend in self._waiting_for_end.copy().items():
                self._deliver(backend, over.set, None)
