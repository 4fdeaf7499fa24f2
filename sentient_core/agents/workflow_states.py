"""The states of workflows and their histories, read and written without whoever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from sentient_core.agents.fields import Fields, check_id, payload
from sentient_core.agents.listing import check_limit, newest_of
from sentient_core.agents.models import AgentState, WorkflowState
from sentient_core.agents.patching import Updates
from sentient_core.agents.state_rows import StateRows, touched
from sentient_core.agents.statuses import StatusKind, WorkflowStatus, status_of
from sentient_core.agents.subjects import WORKFLOW, from_row, refuse_owned
from sentient_core.agents.trail import moment_after, place_in_time
from sentient_core.errors import IdTaken, InvalidArgument, InvalidField, RowConflict
from sentient_core.store.row_models import RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable

__all__ = ["WorkflowStates"]


class WorkflowStates(StateRows):
    """Workflows and their histories."""

    async def create_workflow(
        self,
        workflow_data: Mapping[str, Any] | WorkflowState | None = None,
        *,
        cause: str = "create_workflow",
        actor: str | None = None,
    ) -> WorkflowState:
        """Create the state of a workflow; without an id it is given a new one.

        Raises IdTaken where there is one of this id already; InvalidField, UnstorableValue.
        """
        new = WorkflowState.from_dict(workflow_data or {})
        new = msgspec.structs.replace(new, owner=None)
        also = _entries(new.workflow_id, new.execution_history)
        try:
            made = await self._create(WORKFLOW, new, cause=cause, actor=actor, also=also)
        except RowConflict:
            raise IdTaken("workflow", new.workflow_id) from None
        return await self._filled_workflow(made)

    async def get_workflow(self, workflow_id: str) -> WorkflowState | None:
        """The state of a workflow with its history; None where there is none."""
        row = await self._row(RowTable.WORKFLOW_STATE, (check_id(workflow_id, "workflow_id"),))
        return None if row is None else await self._filled_workflow(from_row(WorkflowState, row))

    async def update_workflow(
        self,
        workflow_id: str,
        updates: Updates,
        *,
        cause: str = "update_workflow",
        actor: str | None = None,
        expects: int | None = None,
    ) -> WorkflowState | None:
        """Change some fields, each as a whole, or apply a JSON Patch; the state after it, or None.

        None: there is no such workflow. All or nothing, and on what is there: of many at once, each sees
        what the others have done. `execution_history` can only be added to: what is given has to begin with
        what is there. `expects` is the revision that the state must have, else RowConflict. A change of
        status leaves a row with `cause` and `actor` in the trail. Raises InvalidField, InvalidPatch,
        UnstorableValue, IllegalTransition; OwnedByActor where a living actor runs the workflow.
        """
        after = await self._update(
            WORKFLOW,
            (check_id(workflow_id, "workflow_id"),),
            updates,
            cause=cause,
            actor=actor,
            expects=expects,
            filled=self._with_history,
            more=_added,
        )
        return None if after is None else await self._filled_workflow(after)

    async def list_workflows(
        self, *, status: WorkflowStatus | str | None = None, limit: int | None = 100
    ) -> list[WorkflowState]:
        """The states of workflows, those changed last first; of those that have this status.

        Their histories are left out: `get_workflow` and `get_workflow_history` have them.
        """
        most = check_limit(limit)
        statuses = list(WorkflowStatus) if status is None else [status_of(StatusKind.WORKFLOW, status)]
        answers = [
            await self._rows(
                RowQuery(
                    table=RowTable.WORKFLOW_STATE, where={"status": one.value}, newest_first=True, limit=most
                )
            )
            for one in statuses
        ]
        return [from_row(WorkflowState, row) for row in newest_of(answers, most)]

    async def delete_workflow(self, workflow_id: str) -> bool:
        """Delete a workflow with its steps, history and trail; whether there was one. Not its tasks.

        Of one with very many rows the last go in one transaction with the workflow: cut short before that, it
        is still there, and can be deleted again. Raises OwnedByActor where a living actor runs it.
        """
        key = (check_id(workflow_id, "workflow_id"),)

        async def attempt() -> bool:
            row = await self._row(RowTable.WORKFLOW_STATE, key)
            if row is None:
                return False
            refuse_owned("workflow", RowTable.WORKFLOW_STATE, row)
            belonging = await self._keys(RowTable.WORKFLOW_HISTORY, key)
            belonging += await self._keys(RowTable.WORKFLOW_STEP, key)
            belonging += await self._keys(RowTable.DEPENDS_ON, key)
            belonging += await self._keys(RowTable.STATUS_CHANGE, (StatusKind.WORKFLOW.value, *key))
            await self._delete(RowTable.WORKFLOW_STATE, row, belonging)
            return True

        return await self._one_at_a_time((RowTable.WORKFLOW_STATE, key), attempt)

    async def add_workflow_history_entry(self, workflow_id: str, entry: Mapping[str, Any]) -> bool:
        """Add what has happened to a workflow's history, with its `timestamp`; False where there is none.

        An entry is a row of its own: none overwrites another, however many come at once. The workflow counts
        as changed by it. Raises UnstorableValue; OwnedByActor where a living actor runs the workflow.
        """
        key = (check_id(workflow_id, "workflow_id"),)
        if not isinstance(entry, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users' input
            raise InvalidArgument(f"an entry of a history is a dict, not {entry!r:.100}")
        kept = payload(entry, "entry")
        kept.pop("timestamp", None)

        async def attempt() -> bool:
            row = await self._row(RowTable.WORKFLOW_STATE, key)
            if row is None:
                return False
            refuse_owned("workflow", RowTable.WORKFLOW_STATE, row)
            # The workflow is written too: else somebody could delete it meanwhile, and the entry would stay.
            await self._write([*_entries(workflow_id, [kept]), touched(row)])
            return True

        return await self._one_at_a_time((RowTable.WORKFLOW_STATE, key), attempt)

    async def get_workflow_history(
        self, workflow_id: str, *, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """What has happened to a workflow, oldest first, each with its `timestamp`; [] where there is none.

        With a `limit` the newest so many, oldest of them first.
        """
        key = (check_id(workflow_id, "workflow_id"),)
        most = check_limit(limit)
        query = RowQuery(table=RowTable.WORKFLOW_HISTORY, key=key, newest_first=most is not None, limit=most)
        rows = await self._rows(query)
        rows.sort(key=lambda row: row.key)
        return [row.fields["entry"] for row in rows]

    async def _with_history(self, workflow: WorkflowState) -> WorkflowState:
        history = await self.get_workflow_history(workflow.workflow_id)
        return msgspec.structs.replace(workflow, execution_history=history)

    async def _filled_workflow(self, workflow: WorkflowState) -> WorkflowState:
        """With its history, the agents of its tasks, and how many of its steps are done, if nobody said."""
        workflow = await self._with_history(workflow)
        key = (workflow.workflow_id,)
        tasks = await self._rows(
            RowQuery(table=RowTable.TASK_EXECUTION, where={"workflow_id": workflow.workflow_id})
        )
        agents: dict[str, Fields] = {}
        for agent_id in dict.fromkeys(str(row.fields["agent_id"]) for row in tasks):
            row = await self._row(RowTable.AGENT_STATE, (agent_id,))
            if row is not None:
                state = from_row(AgentState, row)
                agents[agent_id] = {
                    "name": state.name,
                    "status": state.status.value,
                    "current_task": state.current_task,
                }
        counts: dict[str, int] = {}
        if not workflow.total_steps:
            steps = await self._rows(RowQuery(table=RowTable.WORKFLOW_STEP, key=key))
            if steps:
                done = sum(row.fields.get("status") == "completed" for row in steps)
                counts = {"total_steps": len(steps), "current_step": done}
        return msgspec.structs.replace(workflow, agent_states=agents | workflow.agent_states, **counts)


def _added(before: WorkflowState, after: WorkflowState) -> list[RowWrite]:
    """What adds to the history what is new in it."""
    known, given = before.execution_history, after.execution_history
    if given[: len(known)] != known:
        raise InvalidField(
            "WorkflowState",
            "execution_history",
            "can only be added to: its entries stand as they were written",
        )
    return _entries(after.workflow_id, given[len(known) :])


def _entries(workflow_id: str, entries: Sequence[Fields]) -> list[RowWrite]:
    """New entries in their order."""
    at = moment_after(None)
    together = uuid4().hex[:12]
    return [
        RowWrite(
            table=RowTable.WORKFLOW_HISTORY,
            key=(workflow_id, f"{place_in_time(at)}-{together}-{index:06d}"),
            fields={
                "workflow_id": workflow_id,
                "timestamp": at,
                "entry": {"timestamp": at.isoformat(), **entry},
            },
            expects=0,
        )
        for index, entry in enumerate(entries)
    ]
