"""What all tests share: the two event loops, and a check that nothing blocks one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

BACKENDS: dict[str, dict[str, Any]] = {"asyncio": {}, "trio": {}}
"""The event loops by name, with their options."""


@pytest.fixture(scope="module", params=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop and its options: every `async def test_…` runs on asyncio and on trio."""
    name: str = request.param
    return name, BACKENDS[name]


@pytest.fixture
def anyio_backend_name(anyio_backend: tuple[str, dict[str, Any]]) -> str:
    """`asyncio` or `trio`."""
    return anyio_backend[0]


@pytest.fixture
def fail_on_blocking_call() -> Iterator[None]:
    """Fail a call of `sentient_core` that would block the event loop (on asyncio: nothing watches trio).

    Asked for by the tests that are about it, not by all: the store's own thread runs an event loop
    as well, and may block it.
    """
    with blockbuster_ctx("sentient_core"):
        yield
