"""Stores for processes that are killed, and where their seeds come from."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.server import Server


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop of the processes; the tests themselves need none."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def seed() -> int:
    """What all is random from: the same each time in `make test`, another one in a long run.

    `SENTIENT_CRASH_SEED` plays one again, as far as the operating system's scheduling lets it.
    """
    fixed = os.environ.get("SENTIENT_CRASH_SEED")
    if fixed is not None:
        return int(fixed)
    return random.randrange(2**32) if "SENTIENT_CRASH" in os.environ else 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A database server for one test, on disk."""
    with Server(tmp_path, "--unauthenticated") as server:
        yield server
