"""What a piece of a test leaves behind: tasks, threads and files, named with what they are about."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import CodeType
from typing import Any

import anyio.lowlevel
import msgspec
import trio

from sentient_core.backend import current_backend

__all__ = ["Leaks", "leaks_since", "no_leaks", "whatever_lives"]

_OPEN_FILES = Path("/proc/self/fd")
_LOOK_SECONDS = 0.005
_POOLS = ("AnyIO worker thread", "Trio thread", "asyncio_", "ThreadPoolExecutor")
"""Threads that are kept for the next work, whoever had them first."""
_TEST_RUNNER = "TestRunner."
"""Of anyio's pytest plugin: one of its tasks is another one when the test has ended."""
_PROCESS_POOL = "_shutdown_process_pool"
"""Keeps anyio's worker processes until its loop ends; they are kept for the next work, too."""


class Leaks(msgspec.Struct, frozen=True):
    """What is there, or what is still there, by what it is called."""

    tasks: dict[object, str]
    """Of the event loop that runs."""
    threads: dict[object, str]
    files: dict[int, str]
    """By their numbers. Empty where the operating system does not list them in /proc."""

    def __bool__(self) -> bool:
        return bool(self.tasks or self.threads or self.files)

    def __str__(self) -> str:
        kinds = (("task", self.tasks), ("thread", self.threads), ("file descriptor", self.files))
        return "\n".join(
            f"{len(found)} {kind}{'s' * (len(found) > 1)}:\n" + "\n".join(found.values())
            for kind, found in kinds
            if found
        )


def whatever_lives() -> Leaks:
    """All tasks, threads and files of this moment. From a task of the event loop."""
    has_processes, tasks = False, dict[object, str]()
    for task, name, stack in _tasks():
        if any(_PROCESS_POOL in code.co_qualname for code in stack):
            has_processes = True
        elif not any(code.co_qualname.startswith(_TEST_RUNNER) for code in stack[:1]):
            tasks[task] = name
    threads: dict[object, str] = {
        thread: _thread(thread)
        for thread in threading.enumerate()
        if thread.is_alive()
        and not thread.name.startswith(_POOLS)
        and not (has_processes and "waitpid" in thread.name)
    }
    files = {
        number: f"  {number} -> {what}"
        for number, what in _files()
        if not what.startswith("/proc/")  # the embedded database looks at the machine and keeps them open
        and not (has_processes and what.startswith(("pipe:", "anon_inode:[pidfd", "socket:")))
    }
    return Leaks(tasks, threads, files)


async def leaks_since(before: Leaks, *, grace: float = 1.0) -> Leaks:
    """What was not there before and still is after at most `grace` real seconds, in which the loop runs."""
    end = time.monotonic() + grace
    while True:
        now = whatever_lives()
        left = Leaks(
            {key: name for key, name in now.tasks.items() if key not in before.tasks},
            {key: name for key, name in now.threads.items() if key not in before.threads},
            {key: name for key, name in now.files.items() if before.files.get(key) != name},
        )
        if not left or time.monotonic() > end:
            files = {number: f"{line}{_socket(number)}" for number, line in left.files.items()}
            return msgspec.structs.replace(left, files=files)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        time.sleep(_LOOK_SECONDS)  # noqa: ASYNC251 - real time, also under a virtual clock; it is short


@asynccontextmanager
async def no_leaks(*, grace: float = 1.0) -> AsyncGenerator[None]:
    """Fail with an AssertionError if the block leaves a task, a thread or a file descriptor behind.

    ::

        async with no_leaks():
            async with ActorSystem("shop", store="surrealkv://shop.db") as system:
                ...

    They get `grace` real seconds to end. Each is named: a task with its stack, a thread with what it is
    doing, a file with what it leads to. Threads and processes that anyio, trio and executors keep for later
    work are none. What a library opens once per process, such as the embedded database, counts where it
    happens first: use it once before.
    """
    __tracebackhide__ = True
    before = whatever_lives()
    yield
    left = await leaks_since(before, grace=grace)
    if left:
        raise AssertionError(f"left behind: {left}")


def _tasks() -> Iterator[tuple[object, str, list[CodeType]]]:
    """Each task of the loop that runs, but the one that asks; its name with its stack; the stack's code."""
    if current_backend().name == "asyncio":
        current = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not current:
                yield task, *_described(task.get_name(), task.get_coro())
        return
    root, current_trio = trio.lowlevel.current_root_task(), trio.lowlevel.current_task()
    waiting = [] if root is None else [root]
    while waiting:
        each = waiting.pop()
        waiting += (child for nursery in each.child_nurseries for child in nursery.child_tasks)
        if each is not current_trio:
            yield each, *_described(each.name, each.coro)


def _described(name: str, coroutine: Any) -> tuple[str, list[CodeType]]:
    lines, stack = [f"  {name}"], list[CodeType]()
    while coroutine is not None and (code := getattr(coroutine, "cr_code", None)) is not None:
        frame = coroutine.cr_frame
        stack.append(code)
        lines.append(f"    {code.co_filename}:{frame.f_lineno if frame else '?'} in {code.co_qualname}")
        coroutine = coroutine.cr_await
    return "\n".join(lines), stack


def _thread(thread: threading.Thread) -> str:
    # There is no other way to another thread's stack.
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    stack = [] if frame is None else traceback.extract_stack(frame)[-3:]
    return "\n".join(
        (f"  {thread.name}", *(f"    {at.filename}:{at.lineno} in {at.name}" for at in reversed(stack)))
    )


def _socket(number: int) -> str:
    """Of a file that is a socket, where it leads."""
    try:
        with socket.socket(fileno=os.dup(number)) as twin:
            kind, here = twin.family.name, twin.getsockname() or "no address"
            with suppress(OSError):
                return f" {kind} at {here}, connected to {twin.getpeername() or 'its other end'}"
            return f" {kind} at {here}"
    except OSError:  # it is none, or it is closed by now
        return ""


def _files() -> Iterator[tuple[int, str]]:
    numbers: list[str] = []
    with suppress(OSError):
        numbers = os.listdir(_OPEN_FILES)  # noqa: PTH208 - a Path per file is of no use
    for number in numbers:
        with suppress(OSError):  # the one that lists them is closed again
            yield int(number), os.readlink(_OPEN_FILES / number)  # noqa: PTH115 - it leads to no path
