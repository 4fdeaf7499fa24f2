"""What has a row of its own and a status: which model and table, and which of its fields are whose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from sentient_core.agents.fields import Model
from sentient_core.agents.models import AgentState, TaskExecution, WorkflowState, WorkflowStep
from sentient_core.agents.statuses import StatusKind, is_final
from sentient_core.errors import OwnedByActor
from sentient_core.store.row_models import Row
from sentient_core.store.row_tables import RowTable

__all__ = ["AGENT", "STEP", "TASK", "WORKFLOW", "Subject", "from_row", "refuse_owned"]

M = TypeVar("M", bound=Model)

_STATUS = "status"
_OF_ROWS = frozenset({"owner", "revision"})


class Subject(msgspec.Struct, Generic[M], frozen=True, kw_only=True):
    """One kind of it."""

    what: str
    """In words."""
    kind: StatusKind
    """By which of the state machines its status changes."""
    table: RowTable
    model: type[M]
    ids: tuple[str, ...]
    """The fields that are the row's key."""
    filled: frozenset[str] = frozenset()
    """Fields that stand in other rows and are filled in when it is read."""
    fixed: frozenset[str] = frozenset()
    """Fields that no update changes, beside its key and the row's own."""
    has_trail: bool = True
    """A change of its status leaves a row."""

    @property
    def unchangeable(self) -> frozenset[str]:
        """What an update may not change."""
        return self.fixed | _OF_ROWS | set(self.ids) | {"created_at"}

    def key(self, model: M) -> tuple[str, ...]:
        """Of its row."""
        return tuple(getattr(model, name) for name in self.ids)

    def status(self, model: M) -> str:
        """How it stands."""
        return str(getattr(model, _STATUS))

    def times(self, before: M, after: M, at: datetime) -> dict[str, datetime]:
        """What a change at this time sets: when it was last changed, and began and ended, if nobody said."""
        times = {"updated_at": at}
        names = self.model.__struct_fields__
        if self.status(before) != self.status(after):
            if self.status(after) == "running" and "started_at" in names:
                times["started_at"] = getattr(after, "started_at", None) or at
            if is_final(self.kind, self.status(after)) and "completed_at" in names:
                times["completed_at"] = getattr(after, "completed_at", None) or at
        return times

    def times_of_new(self, model: M, at: datetime) -> dict[str, datetime]:
        """What its creation at this time sets."""
        times = {"updated_at": at}
        if is_final(self.kind, self.status(model)) and "completed_at" in self.model.__struct_fields__:
            times["completed_at"] = getattr(model, "completed_at", None) or at
        return times

    def fields(self, model: M) -> dict[str, Any]:
        """What is written of it into its row."""
        left_out = self.filled | _OF_ROWS
        return {name: value for name, value in model.to_dict().items() if name not in left_out}


AGENT = Subject(
    what="agent",
    kind=StatusKind.AGENT,
    table=RowTable.AGENT_STATE,
    model=AgentState,
    ids=("agent_id",),
    filled=frozenset({"checkpoints"}),
    fixed=frozenset({"incarnation", "restarts"}),
)
TASK = Subject(
    what="task",
    kind=StatusKind.TASK,
    table=RowTable.TASK_EXECUTION,
    model=TaskExecution,
    ids=("task_id",),
)
WORKFLOW = Subject(
    what="workflow",
    kind=StatusKind.WORKFLOW,
    table=RowTable.WORKFLOW_STATE,
    model=WorkflowState,
    ids=("workflow_id",),
    filled=frozenset({"execution_history"}),
)
STEP = Subject(
    what="step",
    kind=StatusKind.TASK,
    table=RowTable.WORKFLOW_STEP,
    model=WorkflowStep,
    ids=("workflow_id", "name"),
    filled=frozenset({"depends_on"}),
    has_trail=False,
)


def from_row(model: type[M], row: Row, filled: Mapping[str, Any] | None = None) -> M:
    """A model of its row, and of what stands in others.

    An empty text is what the store has where nothing was written: the model has its default then.
    """
    fields = {
        field.name: row.fields[field.name]
        for field in msgspec.structs.fields(model)
        if field.name in row.fields and (field.required or row.fields[field.name] != "")
    }
    return model(**(fields | {"revision": row.revision} | dict(filled or {})))


def refuse_owned(what: str, table: RowTable, row: Row) -> None:
    """OwnedByActor for a row that a living actor writes."""
    owner = row.fields.get("owner")
    if not owner and table is RowTable.AGENT_STATE and row.fields.get("incarnation"):
        owner = row.key[0]
    if owner:
        raise OwnedByActor(f"the {what} {'/'.join(row.key)!r}", str(owner))
