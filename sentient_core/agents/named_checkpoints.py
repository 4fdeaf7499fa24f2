"""Named checkpoints of an agent: its state, its context, and what its task or anybody else puts into them."""

from __future__ import annotations

from typing import Any

from sentient_core.actors.checkpoints import restore, state_bytes
from sentient_core.agents.books import Books
from sentient_core.agents.minutes import Minutes
from sentient_core.agents.statuses import AgentStatus
from sentient_core.agents.work import ResumePoint, Work, data_of
from sentient_core.codec import digest
from sentient_core.errors import CheckpointOfAnother
from sentient_core.events import EventType
from sentient_core.store.records import Checkpoint, CheckpointKind, full_id
from sentient_core.store.row_tables import RowTable

__all__ = ["NamedCheckpoints"]

_TASK = "task_id"
"""In the metadata of a checkpoint: the task that took it."""


class NamedCheckpoints(Books):
    """See the module."""

    def checkpoint(self, work: Work | None, data: dict[str, Any]) -> str:
        """Take a named checkpoint: state, context, and these data. Raises UnencodableState.

        `work`: the task that takes it, and goes on from it when it is run again. None: somebody else does.
        """
        cell, mirror = self.cell, self.cell.runtime.mirror
        minutes = Minutes(cell)
        checkpoint_id = full_id(mirror.epoch, mirror.next_seq())
        blueprint = cell.blueprint
        codec = cell.runtime.codec
        state = state_bytes(codec, self.agent.state, cell.path, blueprint) if blueprint.has_state else b""
        workflow_id: str | None = self.context.get("workflow_id")
        minutes.row(
            RowTable.STATE_CHECKPOINT,
            (cell.path, checkpoint_id),
            checkpoint_id=checkpoint_id,
            named=checkpoint_id,
            agent_id=cell.path,
            workflow_id=workflow_id,
            execution_context=self.context,
            progress_data=data,
            timestamp=minutes.now,
            metadata={} if work is None else {_TASK: work.task.task_id},
            kind=CheckpointKind.NAMED.value,
            state=state,
            tag=blueprint.state_tag,
            schema_version=blueprint.schema_version,
            digest=digest(state),
            incarnation=cell.incarnation,
        )
        if work is not None:
            point = ResumePoint(checkpoint_id, data)
            minutes.row(
                RowTable.TASK_EXECUTION,
                (work.task.task_id,),
                checkpoint_id=checkpoint_id,
                data=data_of(point, work.wish),
            )

            def passed() -> None:
                work.resume = point

            minutes.then(passed)
        minutes.event(EventType.STATE_CHECKPOINT, {"checkpoint_id": checkpoint_id}, workflow_id)
        return checkpoint_id

    def restore(self, found: dict[str, Any]) -> None:
        """Put state and context back to a named checkpoint; its task, if it is at work, runs from there.

        Raises CheckpointOfAnother, CheckpointUnusable.
        """
        cell = self.cell
        if found["agent_id"] != cell.path:
            raise CheckpointOfAnother(found["checkpoint_id"], found["agent_id"], cell.path)
        minutes = Minutes(cell)
        if cell.blueprint.has_state and found.get("state"):
            self.agent.state = restore(cell.runtime.codec, _checkpoint_of(found), cell.blueprint)
        context = dict(found.get("execution_context") or {})
        run = self.run
        metadata: dict[str, Any] = found.get("metadata") or {}
        is_its_own = run is not None and run.has_begun and run.work.task.task_id == metadata.get(_TASK)
        if run is not None and is_its_own:
            work = run.work
            said = dict(found.get("progress_data") or {})
            point = ResumePoint(found["checkpoint_id"], said)
            minutes.row(
                RowTable.TASK_EXECUTION,
                (work.task.task_id,),
                checkpoint_id=point.checkpoint_id,
                data=data_of(point, work.wish),
            )

            def again() -> None:
                work.resume = point
                run.begin_again()

            minutes.then(again)
        elif self.status in (AgentStatus.FAILED, AgentStatus.COMPLETED):
            self._agent_status(
                minutes,
                AgentStatus.IDLE,
                f"checkpoint {found['checkpoint_id']}",
                current_task=None,
                context=context,
            )


def _checkpoint_of(row: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        path=row["agent_id"],
        incarnation=row["incarnation"],
        checkpoint_id=row["checkpoint_id"],
        kind=CheckpointKind.NAMED,
        state=row["state"],
        tag=row["tag"],
        schema_version=row["schema_version"],
        digest=row["digest"],
        at=0,
    )
