"""Work that would hold the event loop up: in a thread, or in a process of its own.

While it is under way the actor waits, still with one message at a time; everybody else goes on. How many
threads and processes a system uses at once is limited for all of its actors together.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple

import anyio.to_process
import anyio.to_thread
from anyio import CapacityLimiter

from sentient_core.errors import InvalidArgument

__all__ = [
    "THREADS",
    "Limits",
    "blocks",
    "check_threads",
    "run_process",
    "run_sync",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 40
"""Threads of one system at once, where it does not say."""


class Limits:
    """How much blocking work a system does at the same time."""

    __slots__ = ("__weakref__", "_calls", "processes", "threads")

    def __init__(self, threads: int) -> None:
        self.threads: CapacityLimiter = CapacityLimiter(threads)
        self.processes: CapacityLimiter = CapacityLimiter(os.cpu_count() or 1)
        self._calls: set[object] = set()

    @contextmanager
    def call(self) -> Generator[None]:
        """A call under way: somebody waits for it until the block is left."""
        call = object()
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)

    def awaited(self) -> list[object]:
        """See `Outside`: the calls under way. One that was cancelled is none, whatever its thread does."""
        return list(self._calls)


def check_threads(threads: object) -> int:
    """The number of threads, if it is one. Raises InvalidArgument."""
    if not isinstance(threads, int) or threads < 1:
        raise InvalidArgument(f"threads must be a whole number of at least 1, not {threads!r}")
    return threads


async def run_sync(limits: Limits, limiter: CapacityLimiter | None, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """`Actor.run_sync`. Cancelled, it leaves the thread to itself."""
    _check_plain("run_sync", fn)
    with limits.call():
        return await anyio.to_thread.run_sync(
            fn, *args, abandon_on_cancel=True, limiter=limiter or limits.threads
        )


async def run_process(limits: Limits, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """`Actor.run_process`. Cancelled, it ends the process."""
    _check_plain("run_process", fn)
    with limits.call():
        return await anyio.to_process.run_sync(fn, *args, cancellable=True, limiter=limits.processes)


def blocks(fn: Callable[..., Any]) -> bool:
    """It surely is a plain function that works while it is called, so that there is nothing to await.

    Of most plain functions this shows only in what they return, which may be an awaitable. It is sure of
    those of Python's own library, such as `time.sleep`: what is to be awaited there is in asyncio.
    """
    fn = _unwrapped(fn)
    library = (getattr(fn, "__module__", None) or "").partition(".")[0]
    is_known = inspect.isroutine(fn) and library in sys.stdlib_module_names
    may_await = fn is anext or library in ("asyncio", "operator")
    return (
        is_known and not may_await and not inspect.iscoroutinefunction(fn) and not _is_method_of_an_object(fn)
    )


def _is_method_of_an_object(fn: Any) -> bool:
    """Of some, such as an async generator's, the methods that are written in C return awaitables."""
    owner = getattr(fn, "__self__", None)
    return owner is not None and not inspect.ismodule(owner)


def _check_plain(what: str, fn: Any) -> None:
    """Raise InvalidArgument for what is no function, or one that only makes something to await."""
    if inspect.isawaitable(fn):
        if inspect.iscoroutine(fn):
            fn.close()  # it will not be awaited, which is no mistake of its own
        raise InvalidArgument(f"{what} takes a plain function, not {fn!r}. Await it: no thread is needed.")
    if not callable(fn):
        raise InvalidArgument(f"{what} takes a plain function and its arguments, not {fn!r}")
    plain = _unwrapped(fn)
    # Of an object its `__call__`, to look at; a class is called to make one.
    call = None if isinstance(plain, type) else getattr(plain, "__call__", None)  # noqa: B004
    if any(
        test(each)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (plain, call)
    ):
        raise InvalidArgument(
            f"{what} takes plain functions, and {fn!r} is async: it would only make a coroutine there. "
            "Await it, or have it run beside the actor: self.context.pipe_to_self(fn, ...)."
        )


def _unwrapped(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn
