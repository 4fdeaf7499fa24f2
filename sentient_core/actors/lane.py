"""The lane from other threads to the event loop: first in, first out, one wake-up for all that is in it.

Design note. `loop.call_soon_threadsafe` writes to a socket and makes a handle for every call, which a
thread that sends many messages would pay for each. Here a call is appended to a deque, and the loop is
only woken when it has not been told yet; it then takes what is there, a bounded number in one pass.

The lane is bounded: who is further ahead of the loop waits for it, or a thread that only sends would
fill the memory while the loop is busy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from threading import Condition, get_ident
from typing import TypeVarTuple

from sentient_core.backend import Backend
from sentient_core.errors import SystemClosed, WrongThread
from sentient_core.logs import RuntimeLog

__all__ = ["LANE_CAPACITY", "LOOK_SECONDS", "Lane"]

Ts = TypeVarTuple("Ts")

LANE_CAPACITY = 100_000
"""Most calls on their way."""

LOOK_SECONDS = 1.0
"""How often a waiting thread looks whether the loop is still there."""

_BATCH = 1_000
"""Most calls made in one pass of the loop."""


class Lane:
    """Calls of other threads on their way to the thread that made the lane, an event loop's."""

    def __init__(self, backend: Backend, system: str, context: Context, log: RuntimeLog) -> None:
        self._backend = backend
        self._system = system
        self._context = context
        """What the calls are made in; not the context of whichever thread has woken the loop."""
        self._log = log
        self._loop_thread = get_ident()
        self._calls: deque[Callable[[], object]] = deque()
        self._changed = Condition()
        """Held to put something in; notified when there is room again, or nothing is taken any more."""
        self._waiting = 0
        """Threads that wait for room."""
        self._is_awake = False
        """The loop has been told to look, and has not looked yet."""
        self.is_closed: bool = False

    def check_thread(self) -> None:
        """Raise WrongThread on the loop's own thread."""
        if get_ident() == self._loop_thread:
            raise WrongThread(
                "`from_thread` is for other threads: on the event loop's own it would wait for itself. Here, "
                "use the ref and the system: ref.tell(message), await ref.ask(message, timeout=…), "
                "await system.spawn(…)"
            )

    def put(self, call: Callable[[], object], what: str) -> None:
        """Have a call made, behind those put in before. Raises WrongThread, SystemClosed."""
        self.check_thread()
        with self._changed:
            while len(self._calls) >= LANE_CAPACITY and not self.is_closed:
                self._wait_for_room()
            if self.is_closed:
                raise SystemClosed(self._system, what)
            self._calls.append(call)
            if not self._is_awake:
                self.wake()

    def wake(self) -> None:
        """Tell the loop to look. Raises SystemClosed when it has ended."""
        self._is_awake = True
        self.call_soon(self._context.run, self._take)

    def call_soon(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Have a call made past the lane. Raises SystemClosed when the loop has ended."""
        try:
            self._backend.call_threadsafe(function, *args)
        except RuntimeError:
            raise SystemClosed(self._system, "reach it") from None

    def close(self) -> None:
        """On the loop: refuse what comes from now on, make the calls that are on their way."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
        while self._calls:
            self._make(self._calls.popleft())

    def _wait_for_room(self) -> None:
        self._waiting += 1
        try:
            if not self._changed.wait(LOOK_SECONDS):
                self.wake()  # raises if the loop is gone
        finally:
            self._waiting -= 1

    def _take(self) -> None:
        calls = self._calls
        is_empty = not calls
        if is_empty:
            self._is_awake = False  # before the last look: who puts something in from now on wakes the loop
        for _ in range(min(len(calls), _BATCH)):
            self._make(calls.popleft())
        if self._waiting:
            with self._changed:
                self._changed.notify_all()
        if not is_empty or (calls and not self._is_awake):
            # Once more than needed: a thread that goes on sending need not wake the loop for each message.
            self.wake()

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - nobody is left to be told, and those behind it must go on
            self._log.exception("a call of another thread failed on the event loop's")
