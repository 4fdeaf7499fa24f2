"""LangGraph with its SQLite savers: a hundred threads of one graph; what is counted is their supersteps.

With `durability="sync"` a superstep is saved before the next one begins, which is what a turn promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.peers.meters import Rate

__all__ = ["WORKLOADS"]

_AT_ONCE = 100


class _Account(TypedDict):
    total: int
    left: int


def _deposit(account: _Account) -> _Account:
    return {"total": account["total"] + 1, "left": account["left"] - 1}


def _following(account: _Account) -> str:
    return "deposit" if account["left"] else END


def _graph() -> StateGraph:
    graph = StateGraph(_Account)
    graph.add_node("deposit", _deposit)
    graph.add_edge(START, "deposit")
    graph.add_conditional_edges("deposit", _following)
    return graph


def _config(number: int, each: int) -> dict[str, object]:
    return {"configurable": {"thread_id": str(number)}, "recursion_limit": each + 10}


def _sync(count: int) -> float:
    each = max(1, count // _AT_ONCE)
    with TemporaryDirectory() as folder, SqliteSaver.from_conn_string(str(Path(folder) / "db")) as saver:
        saver.setup()
        graph = _graph().compile(checkpointer=saver)

        def run(number: int) -> int:
            found = graph.invoke({"total": 0, "left": each}, _config(number, each), durability="sync")
            return found["total"]

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            rate = Rate()
            totals = list(threads.map(run, range(_AT_ONCE)))
            found = rate.of(each * _AT_ONCE)
    assert totals == [each] * _AT_ONCE
    return found


async def _async(count: int) -> float:
    each = max(1, count // _AT_ONCE)
    with TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "db")) as saver:
            await saver.setup()
            graph = _graph().compile(checkpointer=saver)

            async def run(number: int) -> int:
                found = await graph.ainvoke(
                    {"total": 0, "left": each}, _config(number, each), durability="sync"
                )
                return found["total"]

            rate = Rate()
            totals = await asyncio.gather(*(run(number) for number in range(_AT_ONCE)))
            found = rate.of(each * _AT_ONCE)
    assert totals == [each] * _AT_ONCE
    return found


WORKLOADS: dict[str, Callable[[int], float]] = {
    "supersteps": _sync,
    "supersteps, async": lambda count: asyncio.run(_async(count)),
}
