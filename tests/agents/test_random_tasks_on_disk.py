"""The random programs of agents on an embedded database, which is opened again and again."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
import structlog

from tests.agents.random_tasks import Program
from tests.long import few


@pytest.mark.parametrize("seed", few(range(100, 104), 2))
async def test_each_task_ends_once_and_is_told_of_once_on_disk(seed: int, tmp_path: Path) -> None:
    program = Program(seed, lambda: f"surrealkv://{tmp_path}/db", pace=0.002)
    with structlog.testing.capture_logs(), anyio.fail_after(120):
        for start in range(3):
            await program.live(20, last=start == 2)
