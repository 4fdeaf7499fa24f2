"""What earlier incarnations of an agent have left: the tasks that are to go on, and how the agent stood."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import msgspec

from sentient_core.agents.committed_rows import committed_rows
from sentient_core.agents.statuses import AgentStatus, TaskStatus
from sentient_core.agents.work import Work, work_of
from sentient_core.errors import StoreUnavailable
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["LeftBehind", "left_behind", "read_left_behind", "waiting_for_store"]

T = TypeVar("T")

_UNFINISHED = (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.PAUSED)
_AGAIN_SECONDS = 0.5


class LeftBehind(msgspec.Struct, frozen=True):
    """See the module."""

    works: list[Work]
    """Unfinished tasks, in the order in which they are to go on."""
    status: AgentStatus
    context: dict[str, Any]
    """`execution_context` of the agent's row."""


async def left_behind(cell: Cell) -> LeftBehind:
    """Read it, when all that the incarnations have written is there. Waits for a store that is away."""
    return await waiting_for_store(cell, lambda: read_left_behind(cell))


async def waiting_for_store(cell: Cell, read: Callable[[], Awaitable[T]]) -> T:
    """What can be read, when the store is there."""
    while True:
        try:
            return await read()
        except StoreUnavailable as error:
            cell.log().warning("tasks are looked for again", error=str(error))
            await anyio.sleep(_AGAIN_SECONDS)


async def read_left_behind(cell: Cell) -> LeftBehind:
    """Read it now. Raises StoreUnavailable."""
    runtime, path = cell.runtime, cell.path
    tasks: list[Row] = []
    for status in _UNFINISHED:
        where = {"agent_id": path, "status": status.value}
        tasks += await committed_rows(runtime, RowQuery(table=RowTable.TASK_EXECUTION, where=where))
    tasks.sort(key=lambda row: (row.fields.get("started_at") is None, row.fields["created_at"], row.key))
    agents = await committed_rows(runtime, RowQuery(table=RowTable.AGENT_STATE, key=(path,)))
    # The status in that row is of the actor by now, which has been started again.
    key = ("agent", path)
    newest = RowQuery(table=RowTable.STATUS_CHANGE, key=key, newest_first=True, limit=1)
    changes = await committed_rows(runtime, newest)
    return LeftBehind(
        works=[work_of(row.fields) for row in tasks],
        status=AgentStatus(changes[0].fields["new"]) if changes else AgentStatus.IDLE,
        context=dict(agents[0].fields.get("execution_context") or {}) if agents else {},
    )
