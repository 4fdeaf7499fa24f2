"""What makes a run the same every time: seeded scheduling, clocks that are part of the run, no collector.

The runtime looks at four things that differ from run to run. trio shuffles the tasks that are ready: here by
the seed. Clocks: the loop's is virtual; the wall clock follows it; the processor's, by which the dispatcher
ends its slices, goes on by a seeded amount at every look, so that slices end after more or fewer turns,
another way in which schedules differ. Jitter of backoffs is drawn from the seed. And the collector, which
runs when it likes, does not run. The clocks are put in place of the name `time` in the modules of this
package, for the thread of the run alone: the runtime itself has nothing to ask, and pays nothing.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from random import Random
from threading import get_ident
from types import ModuleType
from typing import Any

import sniffio
from trio._core import _run as trio_run  # pyright: ignore[reportPrivateUsage] - to seed its scheduler
from trio.testing import MockClock

from sentient_core.errors import WrongThread

__all__ = ["EPOCH_NS", "deterministic"]

EPOCH_NS = 1_700_000_000_000_000_000
"""The wall clock's time at the start of a run."""

LONGEST_LOOK = 0.0002
"""Seconds that the processor's clock goes on between two looks at it, at most: a slice is 0.0005."""


class _Clocks:
    """Stands for the module `time` in the runtime's modules."""

    def __init__(self, loop_time: Callable[[], float], chance: Random) -> None:
        self._loop_time = loop_time
        self._chance = chance
        self._thread = get_ident()
        self._spent = 0.0

    def time_ns(self) -> int:
        if get_ident() != self._thread:
            return time.time_ns()
        return EPOCH_NS + round(self._loop_time() * 1e9)

    def time(self) -> float:
        return self.time_ns() / 1e9

    def monotonic(self) -> float:
        return self._loop_time() if get_ident() == self._thread else time.monotonic()

    def perf_counter(self) -> float:
        if get_ident() != self._thread:
            return time.perf_counter()
        self._spent += self._chance.random() * LONGEST_LOOK
        return self._spent

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def deterministic(seed: int) -> Generator[MockClock]:
    """Within it, a `trio.run` under the clock it gives is the same for the same seed.

    It holds for the process: one at a time. Raises WrongThread within an event loop, which would go wrong.
    """
    if _is_within_a_loop():
        raise WrongThread(
            "a simulation runs an event loop of its own: call it from a plain function, not async"
        )
    clock = MockClock(autojump_threshold=0)
    clocks = _Clocks(clock.current_time, Random(f"slices {seed}"))
    scheduler, state = vars(trio_run)["_r"], vars(trio_run)["_r"].getstate()
    was_allowed = vars(trio_run)["_ALLOW_DETERMINISTIC_SCHEDULING"]
    was_enabled = gc.isenabled()
    gc.disable()
    replaced = list(_replace(clocks))
    setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)  # noqa: B010 - it is declared Final
    scheduler.seed(f"schedule {seed}")
    try:
        yield clock
    finally:
        scheduler.setstate(state)
        setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", was_allowed)  # noqa: B010
        for module, name, value in replaced:
            setattr(module, name, value)
        if was_enabled:
            gc.enable()


def _is_within_a_loop() -> bool:
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return False
    return True


def _replace(clocks: _Clocks) -> Generator[tuple[ModuleType, str, object]]:
    """Put the clocks into every module of the runtime; what was there before."""
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("sentient_core.") or module_name == __name__:
            continue
        for name, value in list(vars(module).items()):
            if value is time:
                yield module, name, value
                setattr(module, name, clocks)
            elif value is time.time_ns:
                yield module, name, value
                setattr(module, name, clocks.time_ns)
