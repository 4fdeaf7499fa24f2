"""What leaves a block that had tasks beside it."""

from __future__ import annotations

import anyio
import pytest

from sentient_core.testing.background import leave


class Beside:
    """A block with a task beside it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.has_ended = False
        self._tasks = anyio.create_task_group()
        self._error = error

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._run)

    async def __aexit__(self, *raised: object) -> bool | None:
        return await leave(self._tasks, *raised)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    async def _run(self) -> None:
        try:
            if self._error is not None:
                raise self._error
            await anyio.sleep_forever()
        finally:
            self.has_ended = True


async def test_a_block_that_ends_takes_its_tasks_along() -> None:
    beside = Beside()
    async with beside:
        await anyio.wait_all_tasks_blocked()

    assert beside.has_ended


async def test_what_a_block_raises_leaves_it_as_it_is() -> None:
    beside = Beside()

    async def fail() -> None:
        async with beside:
            await anyio.wait_all_tasks_blocked()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await fail()
    assert beside.has_ended


async def test_a_cancellation_from_outside_goes_through() -> None:
    beside = Beside()
    with anyio.CancelScope() as scope:
        async with beside:
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert beside.has_ended


async def test_what_a_task_raises_is_not_swallowed() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with Beside(ValueError("its")):
            await anyio.sleep_forever()

    assert str(caught.value.exceptions[0]) == "its"
