"""Whose the id of a task is: taken once, for as long as the task's row stands, by whichever agent.

The rows say so, and come a moment after what the agents of this system do. What was taken since stands here,
until it is over and the rows have caught up. Who gives a task looks into the rows first and has the id
reserved for its agent, which then need not look itself; a task that comes without that (from a workflow, or
from before a crash) is looked up by the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

from sentient_core.agents.statuses import is_final
from sentient_core.errors import IdTaken, StoreError
from sentient_core.store.plain_values import check_storable
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime
    from sentient_core.agents.models import Task

__all__ = ["Standing", "TaskIds", "is_open", "is_same", "standing_of"]

_FIELDS = ("description", "input_data", "owner", "status", "workflow_id")
_MOST_OVER = 10_000
"""Ids remembered beyond their tasks, a hundred bytes each: a flush of the rows costs more than they do."""


class Standing(Enum):
    """What a row says of a task that is given to an agent."""

    NEW = "new"
    """Nobody has taken it on."""
    KNOWN = "known"
    """The agent has, this very task."""
    ANOTHER = "another"
    """The agent has another task of this id."""


class TaskIds:
    """Those of one system."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._takers: dict[str, str] = {}
        """The agents, by the ids of tasks that rows need not show yet, or that are not over."""
        self._reserved: dict[str, str] = {}
        """The agents that ids are known to be free for."""
        self._over: list[str] = []
        """Of what was taken: may be forgotten when the rows have caught up."""
        self._has_caught_up = False
        """With what earlier starts have done."""
        self._is_catching_up = False

    def taker(self, task_id: str) -> str | None:
        """The agent that has taken it in this start, as far as that is still to be remembered."""
        return self._takers.get(task_id)

    async def look(self, task_id: str) -> dict[str, Any] | None:
        """The row of a task, with all that was done before this call; None: there is none.

        Raises StoreUnavailable.
        """
        if not self._has_caught_up or task_id in self._takers:
            await self._catch_up()
        elif len(self._over) >= _MOST_OVER and not self._is_catching_up:
            # Beside the callers: under load the rows are far behind, and nobody has to wait for them.
            self._is_catching_up = True
            self._runtime.tasks.start_soon(self._forget_over, name="sentient-core ids of tasks")
        system = self._runtime.system
        query = RowQuery(table=RowTable.TASK_EXECUTION, key=(task_id,), fields=_FIELDS)
        rows = await system.store.rows(system.name, query)
        return rows[0].fields if rows else None

    def reserve(self, task_id: str, path: str) -> None:
        """It is free, as `look` has just found, and meant for this agent."""
        if task_id not in self._takers:
            self._reserved[task_id] = path

    def release(self, task_id: str, path: str) -> None:
        """It is not meant for this agent any more."""
        if self._reserved.get(task_id) == path:
            del self._reserved[task_id]

    def is_reserved(self, task_id: str, path: str) -> bool:
        """It is free, and meant for this agent."""
        return self._reserved.get(task_id) == path

    def take(self, task_id: str, path: str) -> None:
        """The agent takes it, or has it."""
        self._reserved.pop(task_id, None)
        self._takers[task_id] = path

    def give_up(self, task_id: str) -> None:
        """It was not taken after all."""
        self._takers.pop(task_id, None)

    def note_over(self, task_id: str) -> None:
        """Its task is over, and its row on its way."""
        self._over.append(task_id)

    async def _forget_over(self) -> None:
        try:
            with suppress(StoreError):  # the next look tries again
                await self._catch_up()
        finally:
            self._is_catching_up = False

    async def _catch_up(self) -> None:
        over = len(self._over)
        await self._runtime.mirror.journal.flush()
        self._has_caught_up = True
        for task_id in self._over[:over]:
            self._takers.pop(task_id, None)
        del self._over[:over]


def standing_of(row: Mapping[str, Any] | None, task: Task, path: str) -> Standing:
    """What the row of a task means for an agent that it is given to. Raises IdTaken: it is not its own."""
    if row is None:
        return Standing.NEW
    owner = row.get("owner")
    if is_open(row):
        return Standing.NEW
    if owner != path:
        raise IdTaken("task", task.task_id, owner)
    is_it = is_same(task, row["description"], row["input_data"], row.get("workflow_id"))
    return Standing.KNOWN if is_it else Standing.ANOTHER


def is_open(row: Mapping[str, Any]) -> bool:
    """Somebody has written a task down, to be done by whichever agent it is given to."""
    return row.get("owner") is None and not is_final("task", row["status"])


def is_same(task: Task, description: str, input_data: object, workflow_id: str | None) -> bool:
    """A task is to do just this. Given without a workflow, it may have joined one since."""
    if task.description != description or task.workflow_id not in (None, workflow_id):
        return False
    given: object = check_storable(task.input_data, "input_data")
    return given == input_data
