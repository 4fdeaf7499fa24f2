"""Deposits in LangGraph threads with its SQLite saver: a thread for each till, a run for each deposit.

Its state is a list with a reducer. In the variant `once` that reducer leaves out a number that is there, as
the library's own `add_messages` does by the ids of messages; else it appends.

An invocation that was under way at a kill is not resumed (`invoke(None)`), since its client sends the deposit
again: that input takes the place of the unfinished one.
"""

from __future__ import annotations

import importlib
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child

__all__ = ["run"]

_graph: Any = importlib.import_module("langgraph.graph")
_sqlite: Any = importlib.import_module("langgraph.checkpoint.sqlite")


def _once(there: list[int], new: list[int]) -> list[int]:
    return [*there, *(number for number in new if number not in there)]


class _TillAppending(TypedDict):
    number: int
    numbers: Annotated[list[int], operator.add]


class _TillOnce(TypedDict):
    number: int
    numbers: Annotated[list[int], _once]


def run(child: Child) -> list[int]:
    """Deposit until killed; in the last process, return what is recorded."""

    def record(state: dict[str, Any]) -> dict[str, Any]:
        child.executed(state["number"])
        return {"numbers": [state["number"]]}

    builder = _graph.StateGraph(_TillOnce if child.plan.variant == "once" else _TillAppending)
    builder.add_node("record", record)
    builder.add_edge(_graph.START, "record")
    builder.add_edge("record", _graph.END)
    with _sqlite.SqliteSaver.from_conn_string(str(Path(child.plan.folder) / "langgraph.sqlite")) as saver:
        saver.setup()
        graph = builder.compile(checkpointer=saver)

        def deposit(number: int) -> None:
            graph.invoke({"number": number}, _thread(number % child.plan.tills), durability="sync")

        child.with_threads(deposit)
        states = [graph.get_state(_thread(till)).values for till in range(child.plan.tills)]
    return [number for state in states for number in state.get("numbers", [])]


def _thread(till: int) -> dict[str, Any]:
    return {"configurable": {"thread_id": f"till-{till}"}}
