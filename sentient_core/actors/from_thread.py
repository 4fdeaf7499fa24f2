"""An actor system used from other threads: the ref API as plain blocking calls.

Design note. Everything goes through one lane (`Lane`), so one thread's calls happen in the order it
made them. What has an outcome is a `_Call`: a coroutine that runs as a task of the system, inside a
cancel scope of its own, and a `concurrent.futures.Future` that the thread waits on, which a Ctrl-C
interrupts. Whoever stops waiting has the scope cancelled.

Every wait ends. The system fails what is still under way when it ends, and a loop that has ended
without saying so is noticed by the waiting thread, which looks after it once a second.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, overload

import anyio
import sniffio
from anyio.abc import TaskGroup

from sentient_core.actors import delivery
from sentient_core.actors.actor import Actor, Askable
from sentient_core.actors.current import current_cell, current_event, current_turn
from sentient_core.actors.fated import with_fate
from sentient_core.actors.lane import LOOK_SECONDS, Lane
from sentient_core.actors.recoverable import check_recoverable
from sentient_core.actors.ref import ActorRef, cell_of, check_timeout, posting_of
from sentient_core.backend import Backend
from sentient_core.errors import (
    AskTimeout,
    ForeignRef,
    InvalidArgument,
    SendTimeout,
    SystemClosed,
    WaitTimeout,
)

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Runtime
    from sentient_core.supervisor.spec import Restart
    from sentient_core.system import ActorSystem

__all__ = ["FromThread"]

A = TypeVar("A", bound=Actor)
M = TypeVar("M")
R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LATE_SECONDS = 1.0
"""What the loop may be late with a timeout before the thread stops waiting by itself."""


class FromThread:
    """The actor system, for every thread but the one of its event loop.

    ::

        system.from_thread.tell(ref, Deposit(3))
        total = system.from_thread.ask(ref, Balance(), timeout=1.0)   # an int

    One thread's calls take effect in the order it makes them. In a thread that a handler has work done
    in (`anyio.to_thread`), the handler's actor is the sender. Every method raises WrongThread on the
    loop's own thread, where it would wait for itself; SystemClosed when the system has ended, or ends
    while a thread waits; ForeignRef for a ref of another. Timeouts are in seconds of real
    time, from the call. A Ctrl-C ends any wait: an ask, a send or a spawn is then taken back, an end
    that was asked for goes on.
    """

    def __init__(self, runtime: Runtime, tasks: TaskGroup) -> None:
        system = runtime.system
        self._runtime = runtime
        self._tasks = tasks
        context = runtime.new_context()
        _belongs_to(context, runtime.backend)
        self._lane = Lane(runtime.backend, system.name, context, runtime.log)
        self._under_way: set[_Call[Any]] = set()

    @property
    def system(self) -> ActorSystem:
        """The actor system. Of its own methods, only `health` is for other threads."""
        return self._runtime.system

    def tell(self, ref: ActorRef[Actor[M]], message: M) -> None:
        """Put a message into the actor's mailbox and go on, as `ActorRef.tell`.

        It is encoded here, if the actor is mirrored, so UnencodableMessage is raised here. It waits
        neither for the actor nor for the loop, unless 100,000 calls of threads are on their way already.
        What is still on its way when the system ends becomes a dead letter (`stopped`).
        """
        cell = self._cell(ref)
        sender, payload = current_cell.get(), None
        if cell.mailbox.is_mirrored:
            check_recoverable(cell.blueprint, message, cell.path)
            payload = self._runtime.mirror.encoded(message, cell.path)
            if sender is not None:
                delivery.check_system(cell, sender)
        content = delivery.content_for(cell, message)
        faults = self._runtime.faults
        if faults is not None:
            content = with_fate(cell, faults, message, content)
        turn = current_turn.get()
        put = partial(
            delivery.tell_from,
            cell,
            message,
            content,
            sender=sender,
            cause=current_event.get(),
            payload=payload,
            posting=posting_of(ref),
            since=time.monotonic(),
            turn=turn,
        )
        if turn is not None and turn.is_open:
            turn.calls.append(put)  # it is made before the turn ends, even if the lane is late
            self._lane.put(turn.make_calls, "send a message")
        else:
            self._lane.put(put, "send a message")

    def send(
        self,
        ref: ActorRef[Actor[M]],
        message: M,
        *,
        timeout: float | None = None,
        message_id: str | None = None,
    ) -> None:
        """Put a message into the mailbox, waiting for room, as `ActorRef.send`."""
        self._cell(ref)
        if timeout is None:
            self._outcome("send a message", lambda _: ref.send(message, message_id=message_id))
        else:
            check_timeout(timeout)
            late = SendTimeout(message, ref, timeout)
            self._outcome(
                "send a message",
                lambda left: ref.send(message, timeout=left, message_id=message_id),
                timeout,
                late,
            )

    # As in `ActorRef.ask`; the second is for mypy alone, which also wants the first parameter to be of one
    # type in all three: else it forgets the reply's type where the actor's class is not known.
    @overload
    def ask(
        self,
        ref: ActorRef[Actor[M]],
        message: Askable[Actor[M], R],
        *,
        timeout: float,
        message_id: str | None = None,
    ) -> R: ...
    @overload
    def ask(  # pyright: ignore[reportOverlappingOverload] - as above
        self,
        ref: ActorRef[Actor[M]],
        message: Askable[Actor[M], object],
        *,
        timeout: float,
        message_id: str | None = None,
    ) -> object: ...
    @overload
    def ask(
        self, ref: ActorRef[Actor[M]], message: M, *, timeout: float, message_id: str | None = None
    ) -> Any: ...
    def ask(
        self, ref: ActorRef[Any], message: object, *, timeout: float, message_id: str | None = None
    ) -> Any:
        """Send a message and return the handler's reply, as `ActorRef.ask`.

        AskTimeout comes also while something blocks the event loop, then up to a second late.
        """
        self._cell(ref)
        check_timeout(timeout)
        late = AskTimeout(message, ref, f"no reply within {timeout:g} s, in which the event loop was blocked")
        return self._outcome(
            "send a message",
            lambda left: ref.ask(message, timeout=left, message_id=message_id),
            timeout,
            late,
        )

    def spawn(
        self,
        cls: type[A],
        *args: Any,
        name: str | None = None,
        restart: Restart | str = "transient",
        shutdown: float | str | None = "default",
        **kwargs: Any,
    ) -> ActorRef[A]:
        """Start an actor under the root supervisor and return its ref once it is ready.

        As `ActorSystem.spawn`, also from a handler's thread.
        """
        spawn = self._runtime.system.spawn
        return self._outcome(
            "spawn an actor",
            lambda _: spawn(cls, *args, name=name, restart=restart, shutdown=shutdown, **kwargs),
        )

    def get_or_spawn(self, cls: type[A], key: str, *args: Any, **kwargs: Any) -> ActorRef[A]:
        """The virtual actor of a class under a key, as `ActorSystem.get_or_spawn`."""
        get_or_spawn = self._runtime.system.get_or_spawn
        return self._outcome("spawn an actor", lambda _: get_or_spawn(cls, key, *args, **kwargs))

    def get(self, path: str) -> ActorRef[Any]:
        """The living actor at a path. Raises UnknownActor, with near misses. Waits for nothing."""
        self._lane.check_thread()
        return self._runtime.system.get(path)

    def stop(self, ref: ActorRef[Any], *, timeout: float | None = None) -> None:
        """Ask the actor to end after the message in hand and wait for that; see `ActorRef.stop`.

        After `timeout` it raises WaitTimeout, and the actor goes on ending; so do `drain` and `kill`.
        """
        self._end(ref, ActorRef.stop, timeout)

    def drain(self, ref: ActorRef[Any], *, timeout: float | None = None) -> None:
        """As `stop`, but what is queued is handled first."""
        self._end(ref, ActorRef.drain, timeout)

    def kill(self, ref: ActorRef[Any], *, timeout: float | None = None) -> None:
        """Cancel the handler in hand and wait until it has unwound; see `ActorRef.kill`."""
        self._end(ref, ActorRef.kill, timeout)

    def flush(self, *, timeout: float | None = None) -> None:
        """Return when everything sent and saved before this call can be queried in the store.

        After `timeout` it raises WaitTimeout; nothing is lost by that.
        """
        self._wait("flush", self._runtime.system.flush, timeout)

    @overload
    def call(self, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T: ...
    @overload
    def call(self, fn: Callable[[*Ts], T], *args: *Ts) -> T: ...
    def call(self, fn: Callable[[*Ts], Any], *args: *Ts) -> Any:
        """The outcome of `fn(*args)` on the loop's thread, awaited if it can be.

        For all that has no method here: `call(system.statistics)`, `call(system.store.agents, "bank")`.
        It sees a copy of this thread's context variables. The end of the system cancels it.
        """

        async def run(_: float) -> Any:
            outcome = fn(*args)
            return await outcome if isawaitable(outcome) else outcome

        return self._outcome("call a function in it", run)

    def close(self) -> None:
        """On the loop, when the actors are down: take nothing more and end every wait."""
        self._lane.close()
        for call in tuple(self._under_way):
            call.cancel()

    def _cell(self, ref: ActorRef[Any]) -> Cell:
        """What is behind a ref of this system."""
        if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"the first argument must be an ActorRef, not {ref!r}")
        cell = cell_of(ref)
        if cell.runtime is not self._runtime:
            raise ForeignRef(ref, self._runtime.system.name, cell.runtime.system.name)
        return cell

    def _end(
        self, ref: ActorRef[Any], end: Callable[[ActorRef[Any]], Awaitable[None]], timeout: float | None
    ) -> None:
        path = self._cell(ref).path

        async def run() -> None:
            await end(ref)

        self._wait(f"the end of '{path}'", run, timeout)

    def _wait(self, what: str, function: Callable[[], Awaitable[None]], timeout: float | None) -> None:
        if timeout is None:
            self._outcome(what, lambda _: function())
            return
        check_timeout(timeout)
        late = WaitTimeout(what, timeout)

        async def run(left: float) -> None:
            with anyio.move_on_after(left) as scope:
                await function()
            if scope.cancelled_caught:
                raise late

        self._outcome(what, run, timeout, late)

    def _outcome(
        self,
        what: str,
        function: Callable[[float], Awaitable[T]],
        timeout: float | None = None,
        late: Exception | None = None,
    ) -> T:
        """Have `function(seconds left)` run on the loop and wait for it; `late` is the error of a timeout."""
        call = _Call(function, what, timeout, late)
        _belongs_to(call.context, self._runtime.backend)
        try:
            self._lane.put(partial(self._begin, call), what)
            return self._wait_for(call)
        except BaseException:
            # It has failed by itself, or nobody waits for it any more: a Ctrl-C, a loop that is blocked.
            if not (call.future.done() or call.future.cancel()):
                self._lane.call_soon(call.cancel)
            raise

    def _wait_for(self, call: _Call[T]) -> T:
        future = call.future
        while not future.done():
            patience = call.left() + _LATE_SECONDS
            if patience <= 0 and call.late is not None:
                raise call.late
            try:
                future.exception(min(patience, LOOK_SECONDS))
            except TimeoutError:
                self._lane.wake()  # raises SystemClosed if the loop is gone
        return future.result()

    def _begin(self, call: _Call[Any]) -> None:
        if not call.future.set_running_or_notify_cancel():
            return  # taken back
        if self._lane.is_closed:
            call.future.set_exception(SystemClosed(self._runtime.system.name, call.what))
        elif call.left() <= 0 and call.late is not None:
            call.future.set_exception(call.late)
        else:
            self._under_way.add(call)
            call.context.run(self._tasks.start_soon, self._run, call)

    async def _run(self, call: _Call[Any]) -> None:
        future = call.future
        try:
            # Shielded: threads of handlers may still need it while the actors end in order.
            with call.new_scope():
                future.set_result(await call.function(call.patience()))
        except Exception as error:  # noqa: BLE001 - it is the thread's, whatever it is
            future.set_exception(error)
        except BaseException as error:
            # A cancellation ends this task and no other; what ends the program goes on.
            if not self._runtime.backend.absorb_cancellation(error):
                raise
        finally:
            self._under_way.discard(call)
            if not future.done():
                future.set_exception(SystemClosed(self._runtime.system.name, call.what))


def _belongs_to(context: Context, backend: Backend) -> None:
    """Say in a context which kind of loop it is used on: anyio asks, and a thread may have one of its own."""
    context.run(sniffio.current_async_library_cvar.set, backend.name)


class _Call(Generic[T]):
    """What a thread waits for."""

    __slots__ = (
        "_deadline",
        "_is_cancelled",
        "_scope",
        "_timeout",
        "context",
        "function",
        "future",
        "late",
        "what",
    )

    def __init__(
        self,
        function: Callable[[float], Awaitable[T]],
        what: str,
        timeout: float | None,
        late: Exception | None,
    ) -> None:
        self.function = function
        self.what = what
        self.late = late
        self.future: Future[T] = Future()
        self.context = copy_context()
        self._timeout = float("inf") if timeout is None else timeout
        self._deadline = time.monotonic() + self._timeout
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False

    def left(self) -> float:
        """Seconds until its timeout."""
        return self._deadline - time.monotonic()

    def patience(self) -> float:
        """The timeout that is left for the loop: all of it, where the lane took next to nothing of it."""
        left = self.left()
        return self._timeout if self._timeout - left < 0.05 else max(left, 0.001)

    def new_scope(self) -> anyio.CancelScope:
        """The scope that it runs in."""
        self._scope = scope = anyio.CancelScope(shield=True)
        if self._is_cancelled:
            scope.cancel()
        return scope

    def cancel(self) -> None:
        """On the loop: end it, now or as soon as it begins."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()
