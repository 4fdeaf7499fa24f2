"""Virtual time for asyncio and trio: an hour's wait costs nothing, and a test of times has no race to lose.

The clock stands still while anything runs, and jumps to the next timer when nothing does. It is held while
something outside of the loop is under way that the loop cannot see running:

- **jobs**, which somebody waits for and which will come back: calls of a store's thread, commits, rows and
  room that are waited for, `run_sync` and `run_process` of actors, functions in worker threads
  (`anyio.to_thread`, `asyncio.to_thread`, `trio.to_thread`, executors, name look-ups). One that has not got
  on for `patience` real seconds counts as hung: time goes on, so that the deadline over it can be tested too;
- **channels**, which may bring something or not: sockets, pipes and child processes that the loop looks at.
  Nothing tells whether an answer is under way, so before each jump nothing must have come for `quiet` real
  seconds. While a connection is open, every jump costs that much;
- whatever runs in a `clock.held()` block, for as long as it takes: right for a child process, or an answer
  over a socket, that is slower than that.

Design note. asyncio asks its selector, which here looks at the files without waiting, then waits in real time
as long as the clock is held, and only then adds what it was to wait to the time. trio asks its clock how long
it may sleep just before it does; the MockClock it ships with jumps when nothing has happened for its
`autojump_threshold` of real seconds, so that is set at this very moment. Threads and calls are not watched:
whoever works outside is asked whom it keeps waiting (`Backend.hold_clock_for`), when there is nothing else to
do.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from math import inf
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakSet

import trio
from trio.testing import MockClock, active_thread_count

from sentient_core.backend import Outside
from sentient_core.errors import InvalidArgument

__all__ = ["VirtualClock", "VirtualLoop", "clock_of", "virtual_backend"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 10.0
QUIET = 0.1


class VirtualClock:
    """What a test knows of its virtual time: the fixture `virtual_clock`, or of `virtual_backend`.

    Nobody sets it on: `await anyio.sleep(3600)` is over as soon as nothing else is to be done.
    """

    def __init__(self, *, patience: float = PATIENCE, quiet: float = QUIET) -> None:
        for name, seconds in (("patience", patience), ("quiet", quiet)):
            if not seconds >= 0:
                raise InvalidArgument(f"{name} must be a number of seconds, at least 0, not {seconds!r}")
        self.patience: float = patience
        """Real seconds that a job may take without getting on, before it counts as hung."""
        self.quiet: float = quiet
        """Real seconds without anything coming in, after which time goes on although something might."""
        self._read: Callable[[], float] = float
        self._outside: WeakSet[Outside] = WeakSet()
        self._blocks = 0
        self._since: dict[Hashable, float] = {}

    @property
    def now(self) -> float:
        """Virtual seconds since the clock began: what `anyio.current_time()` says."""
        return self._read()

    @property
    def is_held(self) -> bool:
        """It stands still because of a `held` block."""
        return self._blocks > 0

    def __repr__(self) -> str:
        return f"<VirtualClock at {self.now:g} s{', held' if self.is_held else ''}>"

    @contextmanager
    def held(self) -> Generator[None]:
        """Let no virtual time pass while the block runs, however long it takes in real time.

        For what the clock cannot know of: threads of your own, a slow answer over a socket, a child process
        at work. A deadline over the block does not fire meanwhile.
        """
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1

    def hold_clock_for(self, outside: Outside) -> None:
        """Stand still while something of `outside` is awaited. Keeps no reference to it."""
        self._outside.add(outside)

    def read_by(self, read: Callable[[], float]) -> None:
        """Tell the time of a loop from now on."""
        self._read = read

    def hold(self, jobs: Iterable[Hashable], channels: Iterable[Hashable]) -> float:
        """For how many real seconds to wait for something to happen before time goes on.

        Called when nothing else is to be done. Each of `jobs` and `channels` is a value that is another one
        as soon as it has got on.
        """
        if self._blocks:
            return inf
        until: dict[Hashable, float] = dict.fromkeys(channels, self.quiet)
        until |= dict.fromkeys(jobs, self.patience)
        for outside in self._outside:
            until |= dict.fromkeys(outside.awaited(), self.patience)
        if not until:
            self._since.clear()
            return 0.0
        now = time.monotonic()
        self._since = {each: self._since.get(each, now) for each in until}
        left = (self._since[each] + seconds - now for each, seconds in until.items())
        return max((0.0, *left))


def virtual_backend(
    name: str, *, patience: float = PATIENCE, quiet: float = QUIET
) -> tuple[str, dict[str, Any]]:
    """A backend and its options for `anyio.run`, or for the fixture `anyio_backend`, under virtual time.

    ::

        backend, options = virtual_backend("trio")
        anyio.run(main, backend=backend, backend_options=options)

    `patience` and `quiet` are as of `VirtualClock`. Raises InvalidArgument.
    """
    clock = VirtualClock(patience=patience, quiet=quiet)
    if name == "asyncio":
        return name, {"loop_factory": _LoopFactory(clock)}
    if name == "trio":
        time = _TrioTime(clock)
        return name, {"clock": time.mock, "instruments": [time]}
    raise InvalidArgument(f"the backends are 'asyncio' and 'trio', not {name!r}")


def clock_of(backend: object) -> VirtualClock | None:
    """The clock of a backend that `virtual_backend` has made. None: it is another one, its time is real."""
    match backend:
        case (str(), {"loop_factory": _LoopFactory(clock=clock)}):
            return clock
        case (str(), {"clock": MockClock() as mock}):
            found = vars(mock).get("virtual")
            return found if isinstance(found, VirtualClock) else None
        case _:
            return None


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop under virtual time."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock: VirtualClock = clock or VirtualClock()
        self._jobs: set[asyncio.Future[Any]] = set()
        self._reports = 0
        self._jumping = _JumpingSelector(self._held_for)
        self.hold_clock_for: Callable[[Outside], None] = self.clock.hold_clock_for
        super().__init__(self._jumping)
        self._jumping.own = frozenset(self._jumping.get_map())
        self.clock.read_by(self.time)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As ever; the clock is held until it comes back."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """As ever: its own time limit does not strike meanwhile."""
        with self.clock.held():
            await super().shutdown_default_executor(*timeout)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As ever; what worker threads bring by it is counted."""
        if isinstance(getattr(callback, "__self__", None), threading.Thread):
            self._reports += 1
        return super().call_soon_threadsafe(callback, *args, context=context)

    def _held_for(self, channels: Iterable[Hashable]) -> float:
        jobs: list[Hashable] = [*self._jobs, *((worker, self._reports) for worker in self._busy_workers())]
        return self.clock.hold(jobs, channels)

    def _busy_workers(self) -> list[str]:
        """The worker threads of anyio that are at work for this loop, by what they say of themselves."""
        return [
            thread.name
            for thread in threading.enumerate()
            if getattr(thread, "loop", None) is self
            and not getattr(thread, "stopping", True)
            and thread not in getattr(thread, "idle_workers", ())
        ]


class _LoopFactory:
    """Makes the loops of one clock, one after the other."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock

    def __call__(self) -> VirtualLoop:
        return VirtualLoop(self.clock)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping until the next timer, moves the clock there, as soon as nothing holds it."""

    def __init__(self, held_for: Callable[[Iterable[Hashable]], float]) -> None:
        super().__init__()
        self.now = 0.0
        self.own: frozenset[object] = frozenset()
        """The loop's own files."""
        self._held_for = held_for
        self._news = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            files = self.get_map().keys() - self.own
            held = self._held_for([(self.now, self._news)] if files else [])
            if held > 0:
                ready = super().select(None if held == inf else held)
            else:
                self.now += timeout
        if any(key.fd not in self.own for key, _ in ready):
            self._news += 1
        return ready


class _TrioTime(trio.abc.Instrument):
    """A clock of trio's own for tests, told how patient to be each time before the loop would sleep."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._news = 0
        self._last: tuple[float, int] = (0.0, 0)
        """The time and the news of the last look."""
        self.mock = mock = MockClock(autojump_threshold=0)
        self._sleep_time = mock.deadline_to_sleep_time
        # It may not be subclassed.
        vars(mock).update(
            deadline_to_sleep_time=self._look_before_sleep,
            hold_clock_for=clock.hold_clock_for,
            virtual=clock,
        )
        clock.read_by(mock.current_time)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task that goes on is news; a mere call from another thread, such as a watchdog's, is none."""
        if "run_sync_soon" not in task.name:
            self._news += 1

    def _look_before_sleep(self, deadline: float) -> float:
        sleep = self._sleep_time(deadline)
        if sleep <= 0:
            return sleep  # it has just jumped there
        now, (then, news) = self.mock.current_time(), self._last
        if now > then:
            self._news = news  # what the time itself has set going is none
        self._last = (now, self._news)
        files = trio.lowlevel.current_statistics().io_statistics
        tasks = getattr(files, "tasks_waiting_read", 0) + getattr(files, "tasks_waiting_write", 0)
        threads = active_thread_count()
        held = self._clock.hold(
            [("threads", threads, self._news)] if threads else [],
            [("files", now, self._news)] if tasks > 1 else [],  # one is trio's own
        )
        # Where no timer is set, there is nowhere to jump to.
        threshold = held if deadline < inf else inf
        if threshold != self.mock.autojump_threshold:
            self.mock.autojump_threshold = threshold
        return sleep
