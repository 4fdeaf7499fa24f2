"""DBOS on SQLite: a hundred workflows at once; what is counted is their steps, each recorded by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from dbos import DBOS

from benchmarks.peers.meters import Rate

__all__ = ["WORKLOADS"]

_AT_ONCE = 100


@DBOS.step()
async def add(total: int, amount: int) -> int:
    return total + amount


@DBOS.workflow()
async def deposits(count: int) -> int:
    total = 0
    for _ in range(count):
        total = await add(total, 1)
    return total


async def _steps(count: int) -> float:
    each = max(1, count // _AT_ONCE)
    rate = Rate()
    totals = await asyncio.gather(*(deposits(each) for _ in range(_AT_ONCE)))
    found = rate.of(each * _AT_ONCE)
    assert totals == [each] * _AT_ONCE
    return found


async def _workflows(count: int) -> float:
    each = max(1, count // _AT_ONCE)

    async def one_by_one() -> None:
        for _ in range(each):
            assert await deposits(1) == 1

    rate = Rate()
    await asyncio.gather(*(one_by_one() for _ in range(_AT_ONCE)))
    return rate.of(each * _AT_ONCE)


def _on_disk(workload: Callable[[int], object]) -> Callable[[int], float]:
    def run(count: int) -> float:
        with TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'dbos.sqlite'}"
            DBOS(config={"name": "bench", "system_database_url": url, "log_level": "CRITICAL"})
            DBOS.launch()
            try:
                return asyncio.run(workload(count))
            finally:
                DBOS.destroy()

    return run


WORKLOADS: dict[str, Callable[[int], float]] = {
    "steps": _on_disk(_steps),
    "one-step workflows": _on_disk(_workflows),
}
