"""The rows of tasks, read and written without the agents that run them; and the trail of all statuses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from sentient_core.agents.fields import check_id
from sentient_core.agents.listing import check_limit, newest_of
from sentient_core.agents.models import StatusChange, TaskExecution
from sentient_core.agents.patching import Updates
from sentient_core.agents.state_rows import StateRows
from sentient_core.agents.statuses import StatusKind, TaskStatus, status_of
from sentient_core.agents.subjects import TASK, from_row, refuse_owned
from sentient_core.agents.trail import change_of
from sentient_core.errors import IdTaken, InvalidArgument, RowConflict
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable

__all__ = ["TaskStates"]


class TaskStates(StateRows):
    """Tasks, and the trail."""

    async def create_task(
        self,
        task_data: Mapping[str, Any] | TaskExecution,
        *,
        cause: str = "create_task",
        actor: str | None = None,
    ) -> TaskExecution:
        """Write the row of a task that no agent of ours runs: `agent_id` is whoever does.

        Raises IdTaken where there is one of this id already; InvalidField, UnstorableValue.
        """
        new = msgspec.structs.replace(TaskExecution.from_dict(task_data), owner=None)
        try:
            return await self._create(TASK, new, cause=cause, actor=actor)
        except RowConflict:
            raise IdTaken("task", new.task_id) from None

    async def get_task(self, task_id: str) -> TaskExecution | None:
        """How a task stands, one of a living agent as well; None where there is none."""
        row = await self._row(RowTable.TASK_EXECUTION, (check_id(task_id, "task_id"),))
        return None if row is None else from_row(TaskExecution, row)

    async def update_task(
        self,
        task_id: str,
        updates: Updates,
        *,
        cause: str = "update_task",
        actor: str | None = None,
        expects: int | None = None,
    ) -> TaskExecution | None:
        """Change some fields of a task, as `update_agent_state` does; None where there is none.

        When it begins and ends is noted in `started_at` and `completed_at`, where nobody has said.
        """
        key = (check_id(task_id, "task_id"),)
        return await self._update(TASK, key, updates, cause=cause, actor=actor, expects=expects)

    async def list_tasks(
        self,
        *,
        agent_id: str | None = None,
        workflow_id: str | None = None,
        status: TaskStatus | str | None = None,
        limit: int | None = 100,
    ) -> list[TaskExecution]:
        """Tasks, those changed last first; of this agent, this workflow, with this status."""
        most = check_limit(limit)
        wanted = list(TaskStatus) if status is None else [status_of(StatusKind.TASK, status)]
        if workflow_id is not None:
            where: dict[str, object] = {"workflow_id": check_id(workflow_id, "workflow_id")}
            is_narrowed = status is not None or agent_id is not None
            rows = await self._rows(
                RowQuery(
                    table=RowTable.TASK_EXECUTION,
                    where=where,
                    newest_first=True,
                    limit=None if is_narrowed else most,
                )
            )
            meant = [
                row
                for row in rows
                if row.fields.get("status") in wanted and agent_id in (None, row.fields.get("agent_id"))
            ]
            return [from_row(TaskExecution, row) for row in meant[:most]]
        of = {} if agent_id is None else {"agent_id": check_id(agent_id, "agent_id")}
        answers = [
            await self._rows(
                RowQuery(
                    table=RowTable.TASK_EXECUTION,
                    where={**of, "status": one.value},
                    newest_first=True,
                    limit=most,
                )
            )
            for one in wanted
        ]
        return [from_row(TaskExecution, row) for row in newest_of(answers, most)]

    async def delete_task(self, task_id: str) -> bool:
        """Delete a task with its items and trail; whether there was one.

        Raises OwnedByActor for one of a living agent.
        """
        key = (check_id(task_id, "task_id"),)

        async def attempt() -> bool:
            row = await self._row(RowTable.TASK_EXECUTION, key)
            if row is None:
                return False
            refuse_owned("task", RowTable.TASK_EXECUTION, row)
            belonging = await self._keys(RowTable.TASK_ITEM, key)
            belonging += await self._keys(RowTable.STATUS_CHANGE, (StatusKind.TASK.value, *key))
            await self._delete(RowTable.TASK_EXECUTION, row, belonging)
            return True

        return await self._one_at_a_time((RowTable.TASK_EXECUTION, key), attempt)

    async def get_status_history(
        self,
        agent_id: str | None = None,
        *,
        workflow_id: str | None = None,
        task_id: str | None = None,
        limit: int | None = None,
    ) -> list[StatusChange]:
        """How the status of one agent, workflow or task has changed, oldest first; [] where there is none.

        With a `limit` the newest so many, oldest of them first. InvalidArgument unless one of them is named.
        """
        named = [
            (kind, id_)
            for kind, id_ in (
                (StatusKind.AGENT, agent_id),
                (StatusKind.WORKFLOW, workflow_id),
                (StatusKind.TASK, task_id),
            )
            if id_ is not None
        ]
        if len(named) != 1:
            raise InvalidArgument(
                "name one of agent_id, workflow_id and task_id: a history is of one of them"
            )
        ((kind, id_),) = named
        most = check_limit(limit)
        rows = await self._rows(
            RowQuery(
                table=RowTable.STATUS_CHANGE,
                key=(kind.value, check_id(id_, f"{kind.value}_id")),
                newest_first=most is not None,
                limit=most,
            )
        )
        return [change_of(row) for row in sorted(rows, key=lambda row: row.key)]

    async def list_status_changes(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int | None = 100
    ) -> list[StatusChange]:
        """How the statuses of all have changed, newest first.

        `since` is in, `until` is not; both need a time zone, else InvalidArgument.
        """
        rows = await self._rows(
            RowQuery(
                table=RowTable.STATUS_CHANGE,
                since=since,
                until=until,
                newest_first=True,
                limit=check_limit(limit),
            )
        )
        return [change_of(row) for row in rows]
