"""The random programs of agents, in virtual time: see `random_tasks` for what holds whatever happens."""

from __future__ import annotations

import anyio
import pytest
import structlog

from sentient_core import MemoryStore
from tests.agents.random_tasks import Program
from tests.long import few
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.mark.parametrize("seed", few(range(25), 6))
async def test_each_task_ends_once_and_is_told_of_once_whatever_happens(seed: int) -> None:
    store = MemoryStore()
    program = Program(seed, lambda: store, pace=1.0)
    with structlog.testing.capture_logs(), anyio.fail_after(100_000):
        for start in range(4):
            await program.live(25, last=start == 3)
