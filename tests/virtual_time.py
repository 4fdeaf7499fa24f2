"""Both event loops under a virtual clock.

It stands still while anything runs, and jumps to the next timer when nothing does: an hour's wait costs
nothing, and a test of times has no race to lose.

Only for tests that do no real I/O and start no threads: the clock would jump meanwhile.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import pytest
from trio.testing import MockClock

__all__ = ["anyio_backend"]


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping until the next timer, moves the clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop under virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Asyncio and trio under virtual time. Import it into a conftest.py or a module of tests."""
    name: str = request.param
    if name == "asyncio":
        return name, {"loop_factory": VirtualLoop}
    return name, {"clock": MockClock(autojump_threshold=0)}
