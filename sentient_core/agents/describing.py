"""How an agent is, without a message to it: so whoever looks leaves nothing in its history.

What it knows is read from its desk, and told when all of that is committed. Of one that is not there, or does
not know its tasks yet, the rows say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from sentient_core.agents.committed_rows import committed_rows
from sentient_core.agents.crew import crew_of
from sentient_core.agents.left_behind import read_left_behind
from sentient_core.agents.messages import AgentDescription
from sentient_core.agents.statuses import AgentStatus, TaskStatus
from sentient_core.errors import StoreUnavailable
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.backend import Slot

__all__ = ["describe"]


async def describe(cell: Cell, timeout: float) -> AgentDescription:
    """How the agent is that lives at the path of a cell, or the last one that did.

    Raises StoreUnavailable when that cannot be read, or is not committed within `timeout` seconds.
    """
    desk = crew_of(cell.runtime).desk_at(cell.path)
    with anyio.move_on_after(timeout):
        if desk is not None:
            described = desk.describe()
            await _committed(cell)
            return described
        return await _from_rows(cell)
    raise StoreUnavailable(
        f"how '{cell.path}' is cannot be told: the store has not answered within {timeout:g} s"
    )


async def _committed(cell: Cell) -> None:
    slot: Slot[Any] = cell.runtime.backend.slot()
    cell.runtime.mirror.journal.when_committed(slot)
    await slot


async def _from_rows(cell: Cell) -> AgentDescription:
    left = await read_left_behind(cell)
    status = left.status.value
    if not cell.is_alive:
        rows = await committed_rows(cell.runtime, RowQuery(table=RowTable.AGENT_STATE, key=(cell.path,)))
        status = rows[0].fields["status"] if rows else AgentStatus.IDLE.value
    return AgentDescription(
        agent_id=cell.path,
        name=cell.name,
        status=status,
        capabilities=sorted(cell.capabilities),
        current_task=left.context.get("task_id"),
        execution_context=left.context,
        waiting=[work.task.task_id for work in left.works if work.status is TaskStatus.PENDING],
    )
