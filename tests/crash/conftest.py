"""Stores for processes that are killed, and where their seeds come from."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.runs import IS_LONG
from tests.store.server import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The event loop of the processes, `backend`: in a short run one of them, by the test's name."""
    if "backend" in metafunc.fixturenames:
        both = ("asyncio", "trio")
        is_odd = sum(metafunc.function.__name__.encode()) % 2
        metafunc.parametrize("backend", both if IS_LONG else both[is_odd : is_odd + 1])


@pytest.fixture(scope="session")
def seed() -> int:
    """What all is random from: the same each time in `make test`, another one in a long run.

    `SENTIENT_CRASH_SEED` plays one again, as far as the operating system's scheduling lets it.
    """
    fixed = os.environ.get("SENTIENT_CRASH_SEED")
    if fixed is not None:
        return int(fixed)
    return random.randrange(2**32) if IS_LONG else 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A database server for one test, on disk."""
    with Server(tmp_path, "--unauthenticated") as server:
        yield server
