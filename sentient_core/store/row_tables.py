"""The tables whose rows people read and write by name: what a row has, and by what it is found.

Their rows are written in two ways: by a running actor through its system's journal (`RowChange`), and by
`Store.write_rows`. Both write fields over those the row has, and count it up. What is declared here
makes the tables of a database, decides what may be asked of them, and is what every value is held
against before it is stored; so all stores do the same.

The id of a row is `[system, *key]`. Of `state_checkpoint`, which holds the runtime's own checkpoints as well,
it is `[system, agent, 'named', checkpoint]`. The key of an edge is that of the row it comes from, and behind
it that of the row it leads to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

__all__ = [
    "BELONGING",
    "FINAL_STATUSES",
    "SHAPES",
    "Edge",
    "Field",
    "Kind",
    "RowKey",
    "RowTable",
    "Shape",
    "place_of",
    "shape_of",
]

RowKey: TypeAlias = tuple[str, tuple[str, ...]]
"""A row within its system: the name of the table, and the key."""

FINAL_STATUSES = ("completed", "failed", "cancelled")
"""Of a task or a workflow: it is over, and may go once it is old enough."""


class RowTable(StrEnum):
    """A table of rows that people read and write."""

    AGENT_STATE = "agent_state"
    """Key: agent. What an agent is and does, beside what the runtime says of its actor."""
    STATE_CHECKPOINT = "state_checkpoint"
    """Key: agent, checkpoint. Those that somebody asked for."""
    TASK_EXECUTION = "task_execution"
    """Key: task."""
    TASK_ITEM = "task_item"
    """Key: task, `place_of` the item. What a task has streamed."""
    WORKFLOW_STATE = "workflow_state"
    """Key: workflow."""
    WORKFLOW_STEP = "workflow_step"
    """Key: workflow, step."""
    WORKFLOW_HISTORY = "workflow_history"
    """Key: workflow, a text that sorts as the entries came."""
    STATUS_CHANGE = "status_change"
    """Key: `agent`, `task` or `workflow`; its id; a text that sorts as the changes came. The audit trail."""
    SPAWNED = "spawned"
    """Edge: who made an agent -> agent."""
    SUPERVISES = "supervises"
    """Edge: who looks after an agent -> agent."""
    DEPENDS_ON = "depends_on"
    """Edge: a step of a workflow -> one that it waits for."""


class Kind(StrEnum):
    """What a field holds; the word is the database's."""

    TEXT = "string"
    WHOLE = "int"
    NUMBER = "number"
    FLAG = "bool"
    TIME = "datetime"
    BYTES = "bytes"
    OBJECT = "object"
    TEXTS = "array<string>"
    OBJECTS = "array<object>"


_FLEXIBLE = (Kind.OBJECT, Kind.OBJECTS)
_DEFAULTS = {
    Kind.TEXT: "''",
    Kind.WHOLE: "0",
    Kind.NUMBER: "0",
    Kind.FLAG: "false",
    Kind.TIME: "time::now()",
    Kind.BYTES: "<bytes>''",
    Kind.OBJECT: "{}",
    Kind.TEXTS: "[]",
    Kind.OBJECTS: "[]",
}


class Field(msgspec.Struct, frozen=True):
    """One field of a table."""

    kind: Kind
    is_optional: bool = False
    """It may be missing; the others have an empty value then, and a time is that of the first writing."""

    @property
    def type(self) -> str:
        """Its type in the database's words."""
        type_ = f"option<{self.kind}>" if self.is_optional else self.kind.value
        if self.kind in _FLEXIBLE:
            type_ += " FLEXIBLE"
        return type_ if self.is_optional else f"{type_} DEFAULT ALWAYS {_DEFAULTS[self.kind]}"

    @property
    def default(self) -> object:
        """What is read where nothing was written; None: nothing, or it is a time."""
        if self.is_optional or self.kind is Kind.TIME:
            return None
        return _EMPTY[self.kind]()


_EMPTY: Mapping[Kind, type] = {
    Kind.TEXT: str,
    Kind.WHOLE: int,
    Kind.NUMBER: int,
    Kind.FLAG: bool,
    Kind.BYTES: bytes,
    Kind.OBJECT: dict,
    Kind.TEXTS: list,
    Kind.OBJECTS: list,
}


class Edge(msgspec.Struct, frozen=True):
    """What the rows of a relation lead from and to."""

    table: RowTable
    """Of both ends."""
    parts: int
    """How many texts the key of either has."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One table."""

    table: RowTable
    parts: int
    """How many texts a key has."""
    fields: Mapping[str, Field]
    indexes: Mapping[str, tuple[str, ...]] = {}
    """What rows can be asked for by, with the name of the index; for edges, which way they are gone."""
    time: str | None = None
    """The field that `since` and `until` are about."""
    mark: str | None = None
    """Stands in the id behind the first text of the key, where others have rows in the table."""
    edge: Edge | None = None

    @property
    def types(self) -> dict[str, str]:
        """The fields as the database declares them; those that every row has included."""
        return {name: field.type for name, field in self.fields.items()} | {"revision": "option<int>"}

    @property
    def time_index(self) -> str | None:
        """The index by which all rows are found in the order of time."""
        return next((name for name, fields in self.indexes.items() if fields == (self.time,)), None)

    def id_of(self, key: Sequence[str]) -> tuple[str, ...]:
        """What stands in the id behind the system, for a key or the beginning of one."""
        return tuple(key) if self.mark is None or not key else (key[0], self.mark, *key[1:])

    def key_of(self, id_: Sequence[str]) -> tuple[str, ...]:
        """The key, from what stands in the id behind the system."""
        return tuple(id_) if self.mark is None else (id_[0], *id_[2:])

    def ends(self, key: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys of the rows that an edge connects."""
        parts = 0 if self.edge is None else self.edge.parts
        return key[:parts], key[parts:]


def shape_of(table: str) -> Shape | None:
    """The declaration of a table; None: there is no such table of rows."""
    return SHAPES.get(table)


def place_of(number: int) -> str:
    """A number as a text that sorts as the numbers do: for what is counted in a key. From 0, below 10**15."""
    return f"{number:015d}"


_text = Field(Kind.TEXT)
_text_or_none = Field(Kind.TEXT, is_optional=True)
_whole = Field(Kind.WHOLE)
_number = Field(Kind.NUMBER)
_time = Field(Kind.TIME)
_time_or_none = Field(Kind.TIME, is_optional=True)
_object = Field(Kind.OBJECT)
_object_or_none = Field(Kind.OBJECT, is_optional=True)
_texts = Field(Kind.TEXTS)
_bytes = Field(Kind.BYTES)

# Of every row: whose it is, the path of a running actor; and what of a `RowChange` could not be shown.
_OF_ALL = {
    "owner": _text_or_none,
    "undecoded": Field(Kind.BYTES, is_optional=True),
    "refused": _text_or_none,
}
_DATA = {"data": _object}
"""For what has no field of its own."""


def _edge(table: RowTable, between: RowTable, parts: int) -> Shape:
    return Shape(
        table=table,
        parts=2 * parts,
        fields={"timestamp": _time} | _DATA | _OF_ALL,
        indexes={"->": ("in",), "<-": ("out",)},
        time="timestamp",
        edge=Edge(between, parts),
    )


_ALL = (
    Shape(
        table=RowTable.AGENT_STATE,
        parts=1,
        fields={
            "agent_id": _text,
            "name": _text,
            "status": _text,
            "capabilities": _texts,
            "current_task": _text_or_none,
            "execution_context": _object,
            "checkpoints": _texts,
            "created_at": _time,
            "updated_at": _time,
            "kind": _text,
            "parent": _text,
            "restarts": _whole,
            "incarnation": _whole,
        }
        | _DATA
        | _OF_ALL,
        indexes={"agent_id_idx": ("agent_id",)},
        time="updated_at",
    ),
    Shape(
        table=RowTable.STATE_CHECKPOINT,
        parts=2,
        fields={
            "checkpoint_id": _text,
            "named": _text_or_none,
            "agent_id": _text,
            "workflow_id": _text_or_none,
            "execution_context": _object,
            "progress_data": _object,
            "timestamp": _time,
            "metadata": _object,
            "kind": _text,
            "state": _bytes,
            "tag": _text,
            "schema_version": _whole,
            "digest": _bytes,
            "incarnation": _whole,
        }
        | _OF_ALL,
        indexes={
            "checkpoint_agent_idx": ("agent_id", "timestamp"),
            "checkpoint_named_idx": ("named",),
        },
        time="timestamp",
        mark="named",
    ),
    Shape(
        table=RowTable.TASK_EXECUTION,
        parts=1,
        fields={
            "task_id": _text,
            "agent_id": _text,
            "workflow_id": _text_or_none,
            "status": _text,
            "input_data": _object,
            "output_data": _object_or_none,
            "progress": _number,
            "error_message": _text_or_none,
            "started_at": _time_or_none,
            "completed_at": _time_or_none,
            "description": _text,
            "mode": _text,
            "phase": _text_or_none,
            "message": _text_or_none,
            "error_type": _text_or_none,
            "checkpoint_id": _text_or_none,
            "items": _whole,
            "attempts": _whole,
            "position": _whole,
            "deadline": _time_or_none,
            "created_at": _time,
            "updated_at": _time,
        }
        | _DATA
        | _OF_ALL,
        indexes={
            "task_agent_idx": ("agent_id", "status", "updated_at"),
            "task_workflow_idx": ("workflow_id", "updated_at"),
            "task_status_idx": ("status", "updated_at"),
            "task_owner_idx": ("owner",),
        },
        time="updated_at",
    ),
    Shape(
        table=RowTable.TASK_ITEM,
        parts=2,
        fields={
            "task_id": _text,
            "agent_id": _text,
            "position": _whole,
            "item": _object,
            "timestamp": _time,
        }
        | _OF_ALL,
        time="timestamp",
    ),
    Shape(
        table=RowTable.WORKFLOW_STATE,
        parts=1,
        fields={
            "workflow_id": _text,
            "status": _text,
            "current_step": _number,
            "total_steps": _number,
            "agent_states": _object,
            "execution_history": Field(Kind.OBJECTS),
            "metadata": _object,
            "created_at": _time,
            "updated_at": _time,
            "name": _text,
            "kind": _text,
            "input_data": _object,
            "output_data": _object_or_none,
            "error_message": _text_or_none,
            "completed_at": _time_or_none,
        }
        | _DATA
        | _OF_ALL,
        indexes={
            "workflow_id_idx": ("workflow_id",),
            "workflow_status_idx": ("status", "updated_at"),
            "workflow_owner_idx": ("owner", "status"),
        },
        time="updated_at",
    ),
    Shape(
        table=RowTable.WORKFLOW_STEP,
        parts=2,
        fields={
            "workflow_id": _text,
            "name": _text,
            "position": _whole,
            "status": _text,
            "agent_id": _text_or_none,
            "capability": _text_or_none,
            "task_id": _text_or_none,
            "depends_on": _texts,
            "attempts": _whole,
            "input_data": _object,
            "output_data": _object_or_none,
            "error_message": _text_or_none,
            "started_at": _time_or_none,
            "completed_at": _time_or_none,
            "created_at": _time,
            "updated_at": _time,
        }
        | _DATA
        | _OF_ALL,
        time="updated_at",
    ),
    Shape(
        table=RowTable.WORKFLOW_HISTORY,
        parts=2,
        fields={"workflow_id": _text, "timestamp": _time, "entry": _object} | _OF_ALL,
        time="timestamp",
    ),
    Shape(
        table=RowTable.STATUS_CHANGE,
        parts=3,
        fields={
            "subject": _text,
            "subject_id": _text,
            "old": _text_or_none,
            "new": _text,
            "cause": _text_or_none,
            "actor": _text_or_none,
            "workflow_id": _text_or_none,
            "timestamp": _time,
        }
        | _OF_ALL,
        indexes={"status_change_time_idx": ("timestamp",)},
        time="timestamp",
    ),
    _edge(RowTable.SPAWNED, RowTable.AGENT_STATE, 1),
    _edge(RowTable.SUPERVISES, RowTable.AGENT_STATE, 1),
    _edge(RowTable.DEPENDS_ON, RowTable.WORKFLOW_STEP, 2),
)

SHAPES: Mapping[str, Shape] = {shape.table.value: shape for shape in _ALL}
"""By name."""

BELONGING: Mapping[RowTable, tuple[tuple[RowTable, tuple[str, ...]], ...]] = {
    RowTable.TASK_EXECUTION: (
        (RowTable.TASK_ITEM, ()),
        (RowTable.STATUS_CHANGE, ("task",)),
    ),
    RowTable.WORKFLOW_STATE: (
        (RowTable.DEPENDS_ON, ()),
        (RowTable.WORKFLOW_STEP, ()),
        (RowTable.WORKFLOW_HISTORY, ()),
        (RowTable.STATUS_CHANGE, ("workflow",)),
    ),
}
"""What goes with a row: rows of these tables whose keys begin with these texts and its own key."""
