"""What is left behind is found and named, and what is kept for later work is not taken for it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_process
import anyio.to_thread
import pytest

from sentient_core import ActorSystem, SurrealStore
from sentient_core.backend import current_backend
from sentient_core.testing import leaks_since, no_leaks, whatever_lives
from sentient_core.testing.virtual_time import clock_of
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]

STATUS = Path("/proc/self/status")


async def test_a_task_is_named_with_its_stack() -> None:
    async def forgotten(go_on: anyio.Event) -> None:
        await go_on.wait()

    go_on = anyio.Event()
    kept: list[object] = []
    with pytest.raises(AssertionError, match=r"1 task:\n  .*\n(.*\n)*.*forgotten") as failed:
        async with no_leaks(grace=0.02):
            kept.append(current_backend().start_task(lambda: forgotten(go_on), "the forgotten one"))

    assert "the forgotten one" in str(failed.value)
    assert "test_leaks.py" in str(failed.value)
    go_on.set()
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


async def test_a_task_is_found_wherever_it_was_started() -> None:
    go_on, has_begun = anyio.Event(), anyio.Event()

    async def innermost() -> None:
        has_begun.set()
        await go_on.wait()

    async def middle() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(innermost, name="the innermost one")
            await go_on.wait()

    async with anyio.create_task_group() as tasks:
        before = whatever_lives()
        tasks.start_soon(middle)
        await has_begun.wait()

        left = await leaks_since(before, grace=0.0)

        assert len(left.tasks) == 2
        assert "the innermost one" in str(left)
        go_on.set()


async def test_another_file_under_the_number_of_one_that_was_closed_is_found(tmp_path: Path) -> None:
    number = os.open(tmp_path / "first", os.O_CREAT | os.O_WRONLY)
    before = whatever_lives()
    os.close(number)
    assert os.open(tmp_path / "second", os.O_CREAT | os.O_WRONLY) == number

    left = await leaks_since(before, grace=0.0)

    os.close(number)
    assert list(left.files) == [number]
    assert "second" in str(left)


@pytest.mark.skipif(not STATUS.exists(), reason="there is no /proc")
async def test_what_the_system_says_of_itself_may_stay_open() -> None:
    before = whatever_lives()

    with STATUS.open("rb"):  # noqa: ASYNC230 - it is on no disk
        left = await leaks_since(before, grace=0.0)

    assert left.files == {}


async def test_what_ends_in_its_grace_is_no_leak() -> None:
    async with no_leaks(grace=30.0):
        threading.Timer(0.1, int).start()


async def test_a_thread_is_named_with_what_it_does() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="lost")

    with pytest.raises(AssertionError, match=r"1 thread:\n  lost\n    .*threading.py"):
        async with no_leaks(grace=0.02):
            thread.start()

    go_on.set()
    thread.join()


async def test_a_file_is_named_with_what_it_leads_to() -> None:
    ends: list[int] = []

    with pytest.raises(AssertionError, match=r"file descriptors:\n  \d+ -> pipe:"):
        async with no_leaks(grace=0.02):
            ends += os.pipe()

    for end in ends:
        os.close(end)


async def test_a_socket_is_named_with_where_it_leads() -> None:
    kept: list[socket.socket] = []

    with pytest.raises(AssertionError, match=r"socket:\[\d+\] AF_INET at \('127.0.0.1', \d+\)$"):
        async with no_leaks(grace=0.02):
            kept.append(socket.create_server(("127.0.0.1", 0)))

    kept.pop().close()


async def test_what_ends_in_time_and_what_is_kept_for_later_is_no_leak(
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    clock = clock_of(anyio_backend)
    assert clock is not None
    async with no_leaks(grace=5.0):
        thread = threading.Timer(0.05, int)
        thread.start()
        await anyio.to_thread.run_sync(int)
        with clock.held():
            await anyio.to_process.run_sync(int)


async def test_a_system_leaves_nothing(tmp_path: Path) -> None:
    async with SurrealStore("mem://") as store:
        await store.query("RETURN 1")

    async with no_leaks(), ActorSystem("test", store=f"surrealkv://{tmp_path}/db") as system:
        await system.flush()
