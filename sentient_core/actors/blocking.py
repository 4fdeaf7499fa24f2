"""Work that would hold the event loop up: in a thread, or in a process of its own.

While it is under way the actor waits, still with one message at a time; everybody else goes on. How many
threads and processes a system uses at once is limited for all of its actors together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio.to_process
import anyio.to_thread
from anyio import CapacityLimiter

from sentient_core.errors import InvalidArgument

__all__ = ["THREADS", "Limits", "check_threads", "run_process", "run_sync"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 40
"""Threads of one system at once, where it does not say."""


class Limits:
    """How much blocking work a system does at the same time."""

    __slots__ = ("processes", "threads")

    def __init__(self, threads: int) -> None:
        self.threads: CapacityLimiter = CapacityLimiter(threads)
        self.processes: CapacityLimiter = CapacityLimiter(os.cpu_count() or 1)


def check_threads(threads: object) -> int:
    """The number of threads, if it is one. Raises InvalidArgument."""
    if not isinstance(threads, int) or threads < 1:
        raise InvalidArgument(f"threads must be a whole number of at least 1, not {threads!r}")
    return threads


async def run_sync(limits: Limits, limiter: CapacityLimiter | None, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """`Actor.run_sync`. Cancelled, it leaves the thread to itself."""
    return await anyio.to_thread.run_sync(
        fn, *args, abandon_on_cancel=True, limiter=limiter or limits.threads
    )


async def run_process(limits: Limits, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """`Actor.run_process`. Cancelled, it ends the process."""
    return await anyio.to_process.run_sync(fn, *args, cancellable=True, limiter=limits.processes)
