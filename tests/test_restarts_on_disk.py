"""How often actors were restarted, over starts of the program and deaths of the process, on disk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from sentient_core import ActorSystem
from tests.probes import Counter, Fail, Total

MORTAL = """
import os, signal, sys, anyio
from sentient_core import ActorSystem
from tests.probes import Counter, Fail, Save, Total

async def main():
    async with ActorSystem("bank", store=sys.argv[1]) as system:
        ref = await system.spawn(Counter, name="a")
        for _ in range(2):
            ref.tell(Fail())
            await ref.ask(Total(), timeout=10)
        await system.flush() if sys.argv[3] == "rows" else await ref.ask(Save(), timeout=10)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("where", ["rows", "journal"])
async def test_the_count_goes_on_after_a_death_of_the_process(
    tmp_path: Path, anyio_backend_name: str, where: str
) -> None:
    url = f"surrealkv://{tmp_path}/db"
    for deaths in (1, 2):
        dead = await anyio.run_process(
            [sys.executable, "-c", MORTAL, url, anyio_backend_name, where],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            check=False,
        )
        assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()

        async with ActorSystem("bank", store=url) as system:
            ref = await system.spawn(Counter, name="a")
            await system.flush()
            (row,) = await system.store.agents("bank")
            assert row.restarts == 3 * deaths - 1  # a new start of the process is none
            ref.tell(Fail())
            await ref.ask(Total(), timeout=10)
            await system.flush()

            (row,) = await system.store.agents("bank")
            assert row.restarts == 3 * deaths
            assert system.statistics().restarts == 1
