"""The dispatcher: a few worker tasks run the turns of any number of actors.

Design note. There is no task per actor. Actors with something to do stand in one deque of ready
cells; one worker at a time (the holder) takes the next and drives its turn by hand, inside the actor's
own contextvars.Context. A turn that never suspends costs no pass of the event loop, and messages
between actors are mere appends.

What is driven is the worker's *drain*: one coroutine that runs turn after turn and yields in between
(`_ENDED`, `_GOES_ON`). So a turn costs one `send` and no exception; what else it yields comes from a
handler that suspends. The holder then hands the deque to another worker and stays with the turn: it
forwards what the drain yields to the event loop and what the loop sends or throws back to the drain,
all in its own task. To the loop, the handler simply runs in that task, so cancel scopes, timeouts,
task groups, locks and threads inside of it behave as anywhere else.

Each worker stands in a cancel scope of its own, which it lends to the cell whose turn is suspended on
it (`Lease`): that makes `kill` a plain `scope.cancel()` and costs nothing per message. A cancelled scope is
left and replaced before the next turn. The scopes are shielded: cancelling the host program ends the body
of `async with ActorSystem`, which then stops the actors in order.

A turn that does not end when it is cancelled cannot be taken out of its worker's task. Its cell may leave it
to itself (`abandoning`): from then on the worker drives it for nobody, and when it ends after all, by
whatever exception, the worker goes on as after a kill.

A worker drains for at most `SLICE` seconds before it lets the loop run once; a turn handles a bounded
number of messages (`Cell.turn`), so a hot actor delays others by one turn.

Prior art: the driving by hand and hand-over on suspension are what trio's and asyncio's own task
steppers do, one level further down; kameo and Erlang schedulers have the same ready queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from threading import get_ident
from types import coroutine
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from sentient_core.actors.lease import Lease, TurnAbandoned
from sentient_core.backend import Backend, Slot
from sentient_core.errors import WrongThread
from sentient_core.mailbox import Warmth

__all__ = ["Dispatcher", "Schedulable"]

SLICE = 0.0005
"""Seconds of turns before the event loop gets its turn."""

MOST_IDLE = 64
"""Workers kept waiting; more are let go."""

MOST_MOVED = 1_000
"""Among more actors that are ready, none is looked for."""

_ENDED: Any = object()
"""What a drain yields after a turn that leaves nothing to do."""

_GOES_ON: Any = object()
"""What a drain yields after a turn that leaves something for another one."""


class Schedulable(Protocol):
    """What the dispatcher sees of a cell."""

    scheduled: bool
    """It stands in the deque or is having its turn."""
    scope: Lease | None
    """Set while its turn is suspended: cancelling it interrupts the handler."""
    vars: Context | None

    def new_vars(self) -> Context:
        """Make its context variables, for its first turn."""
        ...

    def turn(self) -> Coroutine[Any, Any, bool]:
        """Do what there is to do. False: nothing is left, and `scheduled` is off again."""
        ...

    def turn_suspends(self) -> None:
        """The turn has just suspended; if it is to be interrupted, do it."""
        ...

    def catch_up(self) -> None:
        """Take more messages than usual in the next turn."""
        ...

    def give_way(self) -> None:
        """End the turn of now after the message in hand."""
        ...

    def leave_turn(self) -> bool:
        """A turn has been left by an exception. The answer is as of `turn`."""
        ...


class Dispatcher:
    """Runs the turns of one system's actors."""

    def __init__(self, backend: Backend, tasks: TaskGroup) -> None:
        self._backend = backend
        self._tasks = tasks
        self._ready: deque[Schedulable] = deque()
        self._idle: list[Slot[None]] = []
        self._workers = 0
        """Those there are; who is not among the idle ones has a turn in hand, or is about to."""
        self._is_held = False
        """A worker holds the deque, or has been woken to hold it."""
        self._is_closed = False
        self._thread = get_ident()
        self._spare_slot: Slot[Any] | None = None
        self._asks = 0
        self._asks_end = 0.0
        self._slice_ends = 0.0
        self.running: Schedulable | None = None
        """Whose code this thread is in: that of its turn itself, not of a task which the turn has started."""
        self.warmth: Warmth = Warmth()

    def schedule(self, cell: Schedulable) -> None:
        """Let a cell have a turn. The caller has seen that it is not scheduled."""
        if get_ident() != self._thread:
            self.check_thread()
        cell.scheduled = True
        self._ready.append(cell)
        if not self._is_held:
            self._wake_holder()

    def relieve(self, cell: Schedulable) -> None:
        """Many messages wait for an actor: it is next, and who sends gives way after the message in hand.

        Else many senders would each use their turns to the full between two of its own, and the queue
        would grow to whatever they have to send.
        """
        ready, sender = self._ready, self.running
        if not cell.scheduled or cell.scope is not None or cell is sender or not ready or ready[0] is cell:
            return
        if len(ready) <= MOST_MOVED:
            try:
                ready.remove(cell)
            except ValueError:  # it is having its turn: the sender is who it has asked or started at once
                return
            ready.appendleft(cell)
            cell.catch_up()
            if sender is not None:
                sender.give_way()

    @property
    def is_own_thread(self) -> bool:
        """This is the event loop's thread."""
        return get_ident() == self._thread

    def check_thread(self, instead: str = "tell(ref, message); it has send, ask and spawn as well") -> None:
        """Raise WrongThread off the event loop's thread; `instead` is the method of `from_thread` to call."""
        if get_ident() != self._thread:
            raise WrongThread(
                "refs belong to the thread of their event loop, as do groups and topics. From any other "
                f"thread, call system.from_thread.{instead}."
            )

    def take_slot(self) -> Slot[Any]:
        """An empty slot."""
        slot, self._spare_slot = self._spare_slot, None
        return slot or self._backend.slot()

    def give_back(self, slot: Slot[Any]) -> None:
        """A slot that nobody else has seen is used again."""
        self._spare_slot = slot

    def is_pass_due(self) -> bool:
        """Asks and starts have been done at once for a whole slice: the event loop is to have its turn."""
        self._asks += 1
        if self._asks & 7:
            return False
        now = time.perf_counter()
        if self.running is not None:  # this worker looks at its slice itself between turns
            is_due = now > self._slice_ends + SLICE
            if is_due:
                self._slice_ends = now + SLICE
            return is_due
        if now < self._asks_end:
            return False
        self._asks_end = now + SLICE
        return True

    @property
    def busy(self) -> int:
        """Workers that run turns, have one suspended in hand, or are about to take one.

        At 0, no actor is ready for a turn and none is in one.
        """
        return self._workers - len(self._idle)

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
            self._workers += 1
            self._tasks.start_soon(self._work, name="sentient-core worker")

    async def _work(self) -> None:
        """A worker's life: it comes as the holder and ends when it is let go."""
        goes_on = True
        try:
            while goes_on:
                with anyio.CancelScope(shield=True) as scope, anyio.CancelScope() as lull:
                    goes_on = await self._serve(Lease(scope, lull))
                if scope.cancel_called:  # by `kill`; the turn it was meant for has unwound
                    goes_on = await self._take_hold()
        finally:
            self._workers -= 1

    @coroutine
    def _serve(self, lease: Lease) -> Generator[Any, Any, bool]:
        """As the holder, run turns until the worker is let go (False) or its scope is cancelled."""
        ready = self._ready
        now = time.perf_counter  # the loop's clock may be a virtual one that stands still meanwhile
        drain: Generator[Any, Any, None] = _drain()
        lease.drain = drain
        turn = drain.send
        turn(None)
        self._slice_ends = now() + SLICE
        while True:
            if not ready:
                self._is_held = False
                if not (yield from self._park()):
                    return False
                self._slice_ends = now() + SLICE
                continue
            self.running = cell = ready.popleft()
            run = (cell.vars or cell.new_vars()).run
            try:
                trap = run(turn, cell)
                is_suspended = trap is not _ENDED and trap is not _GOES_ON
                if is_suspended:
                    self._let_go()
                    cell.scope = lease
                    lease.cell = cell
                    cell.turn_suspends()
                    while trap is not _ENDED and trap is not _GOES_ON:
                        self.running = None
                        try:
                            value = yield trap
                        except BaseException as error:  # noqa: BLE001 - it is the turn's, cancellation above all
                            self.running = lease.cell
                            if lease.cancel_called:
                                lease.note_resumed()
                            trap = run(drain.throw, error)
                        else:
                            self.running = lease.cell
                            if lease.cancel_called:
                                lease.note_resumed()
                            trap = run(turn, value)
            except BaseException as error:
                if lease.end(error):
                    self.running = None
                    if isinstance(error, TurnAbandoned):
                        return True
                    raise
                # A kill leaves the scope with it; a handler's SystemExit or KeyboardInterrupt the program.
                if cell.scope is None:
                    self._is_held = False
                self.running = cell.scope = None
                self._leave(cell, error)
                raise
            if trap is _GOES_ON:
                ready.append(cell)
            if is_suspended:
                self.running = cell.scope = None
                if lease.cancel_called:
                    lease.end()
                    return True
                if self._is_held and not (yield from self._park()):
                    return False
                self._is_held = True
                self._slice_ends = now() + SLICE
            elif now() > self._slice_ends:
                self.running = None
                yield from self._backend.checkpoint().__await__()
                self._slice_ends = now() + SLICE

    def _leave(self, cell: Schedulable, error: BaseException) -> None:
        """Its turn has raised through this worker: others go on with what is ready."""
        if cell.leave_turn():
            self._ready.append(cell)
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
        self.running = None
        if self._is_closed or len(self._idle) >= MOST_IDLE:
            return False
        self.warmth.cool(10_000)  # after a burst over many actors; a millisecond
        slot = self._backend.slot()
        self._idle.append(slot)
        try:
            await slot
        except BaseException:  # asyncio ends all tasks of a program that a SystemExit has left
            if slot in self._idle:
                self._idle.remove(slot)
            else:
                self._let_go()
            raise
        return not self._is_closed


def _turns() -> Generator[Any, Any, None]:
    """Turn after turn, each of the cell that is sent in."""
    cell: Schedulable = yield _ENDED
    while True:
        turn: Any = cell.turn()  # a coroutine, which only a coroutine's `yield from` takes
        goes_on: bool = yield from turn  # pyright: ignore[reportUnknownVariableType]
        cell = yield _GOES_ON if goes_on else _ENDED


_drain: Callable[[], Any] = coroutine(_turns)
