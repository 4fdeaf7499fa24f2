"""Deposits as DBOS workflows on SQLite: the number is the workflow's id, and its one step records it.

SQLite's journal is as DBOS leaves it, or, in the variant `wal`, the write-ahead log that LangGraph's saver
chooses as well, which syncs less often for the same promise.
"""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child

__all__ = ["run"]

_dbos: Any = importlib.import_module("dbos")
_POLLING_SECONDS = 0.02
"""How often a client looks that waits for what another process had begun; the default is a second."""


def run(child: Child) -> list[int]:
    """Deposit until killed; in the last process, return what is recorded."""
    database = Path(child.plan.folder) / "dbos.sqlite"
    if child.plan.variant == "wal":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # it stays so
    workflow = _workflow(child)
    _dbos.DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{database}",
            "log_level": "CRITICAL",
            "application_version": "1",  # recovery is of the workflows of one's own version
        }
    )
    _dbos.DBOS.launch()  # takes up what was under way
    asyncio.run(_deposit_all(child, workflow))
    return [done.output for done in _dbos.DBOS.list_workflows(status="SUCCESS")]


def _workflow(child: Child) -> Any:
    async def record(number: int) -> int:
        child.executed(number)
        return number

    step: Any = _dbos.DBOS.step()(record)

    async def enter(number: int) -> int:
        entered: int = await step(number)
        return entered

    return _dbos.DBOS.workflow()(enter)


async def _deposit_all(child: Child, workflow: Any) -> None:
    perhaps_under_way = set(child.plan.nexts)

    async def deposit(number: int) -> None:
        with _dbos.SetWorkflowID(f"deposit-{number}"):
            if number in perhaps_under_way:
                handle: Any = await _dbos.DBOS.start_workflow_async(workflow, number)
                await handle.get_result(polling_interval_sec=_POLLING_SECONDS)
            else:
                await workflow(number)

    async with asyncio.TaskGroup() as tasks:
        for number in child.plan.nexts:
            tasks.create_task(child.as_client(number, deposit))
