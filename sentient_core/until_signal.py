"""The life of a service in one call: run until a signal, drain, stop, and say by an exit code how it went.

    running ─signal→ DRAIN ─quiet, or time is up→ STOP ─all actors down, journal written→ exit code
                       └── second signal ───────────┘└── third signal: kill

A second signal while the actors stop changes nothing, since there is no drain left to skip; the third one,
whenever it comes, kills what is still there. A system that ends by itself (fenced, or it gave up) goes to
STOP at once: what it would do to handle more messages would count for nothing, or be given up again.

Quiet is what the dispatcher knows: no worker has a turn in hand and none is to come. Only then are all
mailboxes looked at, for actors that wait for their restart with messages. Those that are paused would not
take theirs however long one waits: they are not waited for, and the exit code says that something was left.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from enum import IntEnum
from threading import current_thread, main_thread

import anyio
import anyio.lowlevel
import msgspec

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.runtime import Runtime
from sentient_core.causes import in_a_line
from sentient_core.errors import Fenced, InvalidArgument, SignalsUnavailable

__all__ = ["ExitCode", "Levers", "check_seconds", "check_signals", "received", "until_signal"]

QUIET_EVERY = 0.02
"""Seconds between two looks at whether the system is quiet."""

TOLD_EVERY = 5.0
"""Seconds between two log lines about what is still to end."""

_MOST_NAMED = 5
_LOOKED_AT = 1_000
"""Actors looked at between two passes of the event loop."""


class ExitCode(IntEnum):
    """How a service has ended, for its process manager. Where several hold, the last of them is returned."""

    ENDED = 0
    """In order: what was queued has been handled, every actor has ended within its grace."""
    UNDRAINED = 81
    """In order, but `drain` ran out or was skipped, or paused actors had messages: those that were still
    queued are dead letters."""
    UNSAVED = 82
    """The store did not take the last records within `drain_patience`."""
    KILLED = 83
    """Actors were killed, since their own grace or `grace` was over or a third signal came: their `on_stop`
    has not run, or not to its end, and they have written no last checkpoint."""
    HUNG = 84
    """Handlers went on in spite of being cancelled, so the process was ended under them (`os._exit`)."""
    GAVE_UP = 85
    """A child of the root exhausted its restarts, and the system has `on_give_up="stop"`."""
    FENCED = 86
    """A later start of this system has taken its records over. It must not be started again by itself, or
    the two would take them from each other for ever; for systemd: `RestartPreventExitStatus=86`."""


class Levers(msgspec.Struct, frozen=True):
    """How a system is ended, as far as this module has to know."""

    runtime: Runtime
    drain: Callable[[], object]
    """Say that it is not ready for more, while it still takes it."""
    stop: Callable[[], Awaitable[None]]
    """Stop all actors in order and write what the store has not got; returns when that is done."""
    kill: Callable[[], bool]
    """Kill all actors. False: there are none."""
    own_end: Callable[[], Exception | None]
    """Why the system ends by itself, if it does."""
    unsaved: Callable[[], int]
    """Records that the store did not take before the end."""


def check_seconds(name: str, seconds: float | None, *, is_optional: bool) -> None:
    """Raise InvalidArgument for what is no time to wait for."""
    value: object = seconds
    if value is None and is_optional:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
        least = "a number of seconds, at least 0"
        raise InvalidArgument(f"{name} must be {least}{', or None' * is_optional}, not {seconds!r}")


def check_signals(signals: Iterable[int]) -> tuple[signal.Signals, ...]:
    """The signals to wait for. Raises InvalidArgument, or SignalsUnavailable where there are none."""
    try:
        numbers = tuple(dict.fromkeys(signal.Signals(number) for number in signals))
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"signals must be some of the operating system's, such as (signal.SIGTERM, signal.SIGINT), not "
            f"{signals!r}"
        ) from None
    if not numbers:
        raise InvalidArgument("signals is empty: there would be nothing to wait for")
    if sys.platform == "win32":
        raise SignalsUnavailable("on Windows, whose event loops have none")
    deaf = [n.name for n in numbers if n in (signal.SIGKILL, signal.SIGSTOP)]
    if deaf:
        raise InvalidArgument(f"no program can catch {' and '.join(deaf)}: leave it out of signals")
    if current_thread() is not main_thread():
        raise SignalsUnavailable("in this thread: Python has them in the main thread alone")
    return numbers


@contextmanager
def received(signals: tuple[signal.Signals, ...]) -> Generator[AsyncIterator[signal.Signals]]:
    """The signals that come in while the block runs, instead of what they did before; then that again."""
    before = {number: signal.getsignal(number) for number in signals}
    try:
        with anyio.open_signal_receiver(*signals) as source:
            yield source
    finally:
        for number, handler in before.items():  # asyncio leaves the system's default, whatever was there
            if handler is not None:
                signal.signal(number, handler)


async def until_signal(
    levers: Levers,
    source: AsyncIterator[signal.Signals],
    has_begun: anyio.Event,
    *,
    drain: float,
    grace: float | None,
) -> ExitCode:
    """Wait for a signal of `source`, then drain, stop and return how it went.

    The system sets `has_begun` when it ends by itself. Cancelled while it waits or drains, this stops
    nothing. If handlers are left that cannot be ended, it ends the process.
    """
    end = _End(levers, has_begun, drain, grace)
    async with anyio.create_task_group() as tasks:
        listening = anyio.CancelScope(shield=True)  # also to a third signal, while the program is cancelled
        tasks.start_soon(end.listen, source, listening)
        try:
            await has_begun.wait()
            tasks.start_soon(end.tell)
            await end.drain()
            with anyio.CancelScope(shield=True):
                await end.stop()
        finally:
            listening.cancel()
        tasks.cancel_scope.cancel()
    code = end.exit_code()
    if hung := _hung(levers.runtime):
        levers.runtime.log.error(
            "ending the process, since handlers go on in spite of being cancelled",
            handlers=hung,
            code=int(code),
        )
        _flush()
        os._exit(code)
    return code


class _End:
    """One end under way."""

    def __init__(self, levers: Levers, has_begun: anyio.Event, drain: float, grace: float | None) -> None:
        self._levers = levers
        self._runtime = levers.runtime
        self._log = levers.runtime.log
        self._drain_seconds = drain
        self._grace = grace
        self._has_begun = has_begun
        self._is_hurried = anyio.Event()
        self._phase = "draining"
        self._began = 0.0
        self._codes = {ExitCode.ENDED}
        self._overdue = 0
        self._awaited: Cell | None = None
        """An actor that was found to wait with messages: while it does, no other is looked at."""

    async def listen(self, source: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        """Take the signals that come."""
        seen = 0
        with scope:
            async for number in source:
                seen += 1
                if seen == 1:
                    self._on_first(number)
                elif seen == 2:
                    self._log.warning("another signal: no more draining", signal=number.name)
                    self._is_hurried.set()
                elif self._levers.kill():
                    self._log.warning("a third signal: killing what is left", signal=number.name)
                    self._codes.add(ExitCode.KILLED)

    def _on_first(self, number: signal.Signals) -> None:
        self._log.info(
            "signal received: draining, then stopping; another one skips the draining, a third one kills",
            signal=number.name,
            drain=self._drain_seconds,
            grace=self._grace,
        )
        self._has_begun.set()

    async def drain(self) -> None:
        """Let what is queued be handled, within its time and unless somebody is in a hurry."""
        self._began = self._runtime.backend.now()
        self._levers.drain()
        with anyio.move_on_after(self._drain_seconds):
            while not self._is_hurried.is_set() and self._levers.own_end() is None:
                if self._is_quiet():
                    self._note_drained()
                    return
                with anyio.move_on_after(QUIET_EVERY):
                    await self._is_hurried.wait()
        reason = self._levers.own_end()
        if reason is None:
            self._codes.add(ExitCode.UNDRAINED)
            self._log.warning("stopping with messages still queued or in hand", seconds=self._seconds())
        else:
            self._log.error("stopping, since the system ends by itself", cause=in_a_line(reason))

    def _is_quiet(self) -> bool:
        """No actor has anything to do, and none that is to be started again has messages."""
        runtime = self._runtime
        if runtime.dispatcher.busy > sum(not turn.is_beside for turn in runtime.abandoned):
            return False
        if self._awaited is None or not _will_handle(self._awaited):
            self._awaited = next(filter(_will_handle, runtime.registry), None)
        return self._awaited is None

    def _note_drained(self) -> None:
        left = [path for path in self._runtime.paused if _has_messages(self._runtime.registry.find(path))]
        if not left:
            self._log.info("drained", seconds=self._seconds())
            return
        self._codes.add(ExitCode.UNDRAINED)
        self._log.warning(
            "stopping with messages still queued for paused actors",
            seconds=self._seconds(),
            actors=len(left),
            paused=left[:_MOST_NAMED],
        )

    async def stop(self) -> None:
        """Stop all, and kill what has not ended when the time is over."""
        self._phase = "stopping"
        self._overdue = self._runtime.overdue
        async with anyio.create_task_group() as tasks:
            if self._grace is not None:
                tasks.start_soon(self._kill_after, self._grace)
            await self._levers.stop()
            tasks.cancel_scope.cancel()
        self._log.info("stopped", seconds=self._seconds(), code=int(self.exit_code()))

    def exit_code(self) -> ExitCode:
        """How it went."""
        codes, own_end = self._codes, self._levers.own_end()
        if own_end is not None:
            codes.add(ExitCode.FENCED if isinstance(own_end, Fenced) else ExitCode.GAVE_UP)
        if self._runtime.overdue > self._overdue:
            codes.add(ExitCode.KILLED)
        if self._levers.unsaved():
            codes.add(ExitCode.UNSAVED)
        if _hung(self._runtime):
            codes.add(ExitCode.HUNG)
        return max(codes)

    async def tell(self) -> None:
        """Say every few seconds what is still to end, those first that have been at it for longest."""
        since: dict[str, float] = {}
        while True:
            await anyio.sleep(TOLD_EVERY)
            now = self._runtime.backend.now()
            at_work, up = await _at_work(self._runtime)
            since = {path: since.get(path, now) for path in at_work}
            slowest = sorted(since, key=lambda path: since[path])[:_MOST_NAMED]
            self._log.info(f"still {self._phase}", seconds=self._seconds(), actors=up, at_work=slowest)

    async def _kill_after(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        if self._levers.kill():
            self._log.warning("the grace is over: killing what is left", grace=seconds)
            self._codes.add(ExitCode.KILLED)

    def _seconds(self) -> float:
        return round(self._runtime.backend.now() - self._began, 3)


def _will_handle(cell: Cell) -> bool:
    """It has messages, and will take them without anybody's doing."""
    return _has_messages(cell) and cell.status is not CellStatus.PAUSED


def _has_messages(cell: Cell | None) -> bool:
    return cell is not None and bool(cell.mailbox.queue)


def _hung(runtime: Runtime) -> int:
    """Handlers, and tasks of agents, that go on in spite of being cancelled."""
    return len(runtime.abandoned)


async def _at_work(runtime: Runtime) -> tuple[list[str], int]:
    """The paths of actors with a turn suspended, and how many are up: those to wait for."""
    at_work: list[str] = []
    up = 0
    for number, cell in enumerate(list(runtime.registry), 1):
        up += not cell.is_down
        if cell.scope is not None:
            at_work.append(cell.path)
        if not number % _LOOKED_AT:
            await anyio.lowlevel.checkpoint()
    return at_work, up


def _flush() -> None:
    """What `os._exit` leaves out and a reader of the logs would miss."""
    with suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
