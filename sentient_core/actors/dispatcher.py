"""The dispatcher: a few worker tasks run the turns of any number of actors.

Design note. There is no task per actor. Actors with something to do stand in one deque of ready
cells; one worker at a time (the holder) takes the next, makes its turn's coroutine and drives it by
hand with `send(None)` inside the actor's own contextvars.Context. A turn that never suspends costs no
pass of the event loop, and messages between actors are mere appends.

When a turn does suspend (a handler awaits something), the holder hands the deque to another worker and
stays with the turn: it forwards what the coroutine yields to the event loop and what the loop sends or
throws back to the coroutine, all in its own task. To the loop, the handler simply runs in that task, so
cancel scopes, timeouts, task groups, locks and threads inside of it behave as anywhere else.

Each worker stands in a cancel scope of its own, which it lends to the cell whose turn is suspended on
it: that makes `kill` a plain `scope.cancel()` and costs nothing per message. A cancelled scope is left
and replaced before the next turn. The scopes are shielded: cancelling the host program ends the body of
`async with ActorSystem`, which then stops the actors in order.

A worker drains for at most `SLICE` seconds before it lets the loop run once; a turn handles a bounded
number of messages (`Cell.turn`), so a hot actor delays others by one turn.

Prior art: the driving by hand and hand-over on suspension are what trio's and asyncio's own task
steppers do, one level further down; kameo and Erlang schedulers have the same ready queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import Context
from threading import get_ident
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from sentient_core.backend import Backend, Slot
from sentient_core.errors import SentientError
from sentient_core.mailbox.envelope import Entry

__all__ = ["Dispatcher", "Schedulable"]

SLICE = 0.0005
"""Seconds of turns before the event loop gets its turn."""

MOST_IDLE = 64
"""Workers kept waiting; more are let go."""


class Schedulable(Protocol):
    """What the dispatcher sees of a cell."""

    scheduled: bool
    """It stands in the deque or is having its turn; kept by the dispatcher."""
    scope: anyio.CancelScope | None
    """Set while its turn is suspended: cancelling it interrupts the handler."""
    vars: Context

    def turn(self) -> Coroutine[Any, Any, None]: ...
    def wants_turn(self) -> bool: ...
    def wants_kill(self) -> bool: ...
    def rest(self) -> None: ...


class Dispatcher:
    """Runs the turns of one system's actors."""

    def __init__(self, backend: Backend, tasks: TaskGroup) -> None:
        self._backend = backend
        self._tasks = tasks
        self._ready: deque[Schedulable] = deque()
        self._idle: list[Slot[None]] = []
        self._is_held = False
        """A worker holds the deque, or has been woken to hold it."""
        self._is_closed = False
        self._thread = get_ident()
        self.queues: list[deque[Entry]] = []
        """Empty deques for mailboxes to take and give back."""

    def schedule(self, cell: Schedulable) -> None:
        """Let a cell have a turn. The caller has seen that it is not scheduled."""
        self.check_thread()
        cell.scheduled = True
        self._ready.append(cell)
        if not self._is_held:
            self._wake_holder()

    def check_thread(self) -> None:
        """Raise SentientError off the event loop's thread."""
        if get_ident() != self._thread:
            raise SentientError(
                "refs belong to the thread of their event loop. From a worker thread, call "
                "anyio.from_thread.run_sync(ref.tell, message)."
            )

    def close(self) -> None:
        """Let the workers end once they have nothing in hand."""
        self._is_closed = True
        for slot in self._idle:
            slot.set(None)
        self._idle.clear()

    def _wake_holder(self) -> None:
        self._is_held = True
        if self._idle:
            self._idle.pop().set(None)
        else:
            self._tasks.start_soon(self._work, name="sentient-core worker")

    async def _work(self) -> None:
        """A worker's life: it comes as the holder and ends when it is let go."""
        goes_on = True
        while goes_on:
            with anyio.CancelScope(shield=True) as scope:
                goes_on = await self._serve(scope)
            if scope.cancel_called:  # by `kill`; the turn it was meant for has unwound
                goes_on = await self._take_hold()

    async def _serve(self, scope: anyio.CancelScope) -> bool:
        """As the holder, run turns until the worker is let go (False) or its scope is cancelled."""
        ready = self._ready
        now = time.perf_counter  # the loop's clock may be a virtual one that stands still meanwhile
        slice_ends = now() + SLICE
        while True:
            if not ready:
                self._is_held = False
                if not await self._park():
                    return False
                slice_ends = now() + SLICE
                continue
            cell = ready.popleft()
            turn = cell.turn()
            try:
                trap = cell.vars.run(turn.send, None)
            except StopIteration:
                self._after_turn(cell)
                if now() > slice_ends:
                    await self._backend.checkpoint()
                    slice_ends = now() + SLICE
                continue
            except BaseException as error:  # a handler's SystemExit or KeyboardInterrupt ends the program
                self._is_held = False
                self._leave(cell, error)
                raise
            self._let_go()
            try:
                await self._see_through(cell, turn, trap, scope)
            except BaseException as error:  # a kill leaves the scope with it; anything else ends this worker
                self._leave(cell, error)
                raise
            self._after_turn(cell)
            if scope.cancel_called:
                return True
            if not await self._take_hold():
                return False
            slice_ends = now() + SLICE

    async def _see_through(
        self, cell: Schedulable, turn: Coroutine[Any, Any, None], trap: Any, scope: anyio.CancelScope
    ) -> None:
        cell.scope = scope
        if cell.wants_kill():
            scope.cancel()
        try:
            await _Forward(turn, trap, cell.vars)
        finally:
            cell.scope = None

    def _after_turn(self, cell: Schedulable) -> None:
        if cell.wants_turn():
            self._ready.append(cell)
        else:
            cell.scheduled = False
            cell.rest()

    def _leave(self, cell: Schedulable, error: BaseException) -> None:
        """Its turn has raised through this worker: others go on with what is ready."""
        self._after_turn(cell)
        if self._ready and not self._is_held and self._backend.goes_on_after(error):
            self._wake_holder()

    def _let_go(self) -> None:
        """Give the deque up; somebody else takes it if there is anything in it."""
        self._is_held = False
        if self._ready:
            self._wake_holder()

    async def _take_hold(self) -> bool:
        """Become the holder, now or when woken. False: end."""
        if self._is_held:
            return await self._park()
        self._is_held = True
        return True

    async def _park(self) -> bool:
        """Wait to be woken as the holder. False: end."""
        if self._is_closed or len(self._idle) >= MOST_IDLE:
            return False
        slot = self._backend.slot()
        self._idle.append(slot)
        try:
            await slot.wait()
        except BaseException:  # asyncio ends all tasks of a program that a SystemExit has left
            if slot in self._idle:
                self._idle.remove(slot)
            else:
                self._let_go()
            raise
        return not self._is_closed


class _Forward:
    """Goes on with a suspended turn in the task that awaits this."""

    __slots__ = ("_context", "_trap", "_turn")

    def __init__(self, turn: Coroutine[Any, Any, None], trap: Any, context: Context) -> None:
        self._turn = turn
        self._trap = trap
        self._context = context

    def __await__(self) -> Generator[Any, Any, None]:
        turn, trap, run = self._turn, self._trap, self._context.run
        while True:
            try:
                value = yield trap
            except BaseException as error:  # noqa: BLE001 - all of it belongs to the turn, cancellation above all
                try:
                    trap = run(turn.throw, error)
                except StopIteration:
                    return
            else:
                try:
                    trap = run(turn.send, value)
                except StopIteration:
                    return
