"""The seam between the two event loops: slots, passes of the loop, and calls from other threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from sentient_core.backend import current_backend


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """On a real clock: threads are part of it."""
    name: str = request.param
    return name, {}


def test_there_is_none_outside_of_an_event_loop() -> None:
    with pytest.raises(RuntimeError):
        current_backend()


async def test_it_is_that_of_the_running_loop(anyio_backend_name: str) -> None:
    backend = current_backend()

    assert backend.name == anyio_backend_name
    assert backend.now() == pytest.approx(anyio.current_time(), abs=0.5)


async def test_a_value_that_is_there_already_is_returned_at_once() -> None:
    slot = current_backend().slot()

    assert slot.set(3) is True

    with anyio.CancelScope() as scope:
        scope.cancel()
        assert await slot.wait() == 3  # not even a pass of the loop
    assert slot.is_done


async def test_who_waits_is_woken_with_the_value() -> None:
    slot = current_backend().slot()
    got: list[Any] = []

    async def wait() -> None:
        got.append(await slot.wait())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert slot.set(None) is True
        assert got == []

    assert got == [None]


async def test_who_waits_gets_the_error() -> None:
    slot = current_backend().slot()
    error = KeyError("mine")
    assert slot.fail(error) is True

    with pytest.raises(KeyError) as caught:
        await slot.wait()

    assert caught.value is error


async def test_the_first_outcome_stays() -> None:
    slot = current_backend().slot()

    assert slot.set(1) is True
    assert slot.set(2) is False
    assert slot.fail(ValueError()) is False

    assert await slot.wait() == 1


async def test_a_cancelled_wait_closes_the_slot() -> None:
    slot = current_backend().slot()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slot.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert slot.is_done
    assert slot.set(1) is False
    assert slot.fail(ValueError()) is False


async def test_a_value_and_a_cancellation_in_one_pass_do_no_harm() -> None:
    slot = current_backend().slot()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slot.wait)
        await anyio.wait_all_tasks_blocked()
        assert slot.set(1) is True
        tasks.cancel_scope.cancel()
        assert slot.set(2) is False


async def test_a_pass_of_the_loop_lets_the_others_run() -> None:
    order: list[str] = []

    async def other() -> None:
        order.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(3):
            await current_backend().checkpoint()
        order.append("mine")

    assert order == ["other", "mine"]


async def test_a_call_from_another_thread() -> None:
    backend = current_backend()
    slot = backend.slot()
    loop_thread = threading.get_ident()

    def call() -> None:
        backend.call_threadsafe(lambda: slot.set(threading.get_ident()))

    thread = threading.Thread(target=call)
    thread.start()

    assert await slot.wait() == loop_thread
    thread.join()


@pytest.mark.parametrize("run", [asyncio.run, anyio.run, trio.run], ids=["asyncio", "anyio", "trio"])
def test_a_call_may_start_tasks(run: Any) -> None:
    """Where there is no task that it belongs to; `asyncio.run` alone does not tell anyio which loop it is."""
    started: list[str] = []

    async def note(text: str, is_noted: anyio.Event) -> None:
        started.append(text)
        is_noted.set()

    async def main() -> None:
        backend = current_backend()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                events = anyio.Event(), anyio.Event()
                backend.call_soon(lambda: tasks.start_soon(note, "soon", events[0]))
                await events[0].wait()

                def begin() -> None:
                    tasks.start_soon(note, "from a thread", events[1])

                def call() -> None:
                    backend.call_threadsafe(begin)

                threading.Thread(target=call).start()
                await events[1].wait()

    run(main() if run is asyncio.run else main)

    assert started == ["soon", "from a thread"]


def test_a_call_into_a_loop_that_has_ended_is_refused() -> None:
    for name in ("asyncio", "trio"):
        backends: list[Any] = []

        async def main(backends: list[Any] = backends) -> None:
            backends.append(current_backend())
            await checkpoint()

        anyio.run(main, backend=name)

        with pytest.raises(RuntimeError):
            backends[0].call_threadsafe(print)


async def test_a_cancellation_that_nobody_asked_for_is_absorbed(anyio_backend_name: str) -> None:
    backend = current_backend()

    assert not backend.absorb_cancellation(ValueError())
    if anyio_backend_name == "trio":
        return
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.sleep(1)

    assert backend.absorb_cancellation(caught.value)
    assert task.cancelling() == 0
