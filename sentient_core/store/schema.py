"""The tables, as they are in this release. Every record id starts with the system's name.

Those of rows that people write are declared in `row_tables`.

| table | id |
|---|---|
| journal | [system, n] |
| agent_event | [system, n, i]: place in the order of commits |
| dead_letter | [system, message id] |
| agent_state | [system, path] |
| state_checkpoint | [system, path, n, i]; the state of a durable actor: [system, path, 'state'], and |
| | what that has become since, where it is large: [system, path, 'state', 'delta'] |
| inbox | [system, path, epoch, number of the message]: accepted by a durable actor and not settled |
| account | [system, n]: what a window, whose last entry is n, did to the messages of durable actors; or |
| | `carried`, what all until n have led to |
| counted | [system, path]: what has become of the messages to a mirrored actor, in the last start |
| | that said so and before it |
| timer | [system, path, key]: a durable timer that is set |
| dedupe | [system, path, id]: what became of a message that a caller sent under that id |
| memo | [system, path, epoch, number of the message, name]: what its handling has come to so far |
| ownership | [system]: epoch, projected n, clean end; [system, path]: incarnation, restarts, and of a |
| | durable actor what is needed to find it again; `is_forgotten` while its rows are being deleted |
| row_write | [system, time and a random text]: a call of `write_rows` was done |
| pruned | [system, table]: rows and bytes that retention has deleted; of `account` also where the books |
| | begin, of `agent_event` the last place it has deleted anything of |
| subscriber | [system, name]: what a named subscriber of events has acknowledged; `owner`: who is it now |
"""

from __future__ import annotations

import msgspec

from sentient_core.store.audit import NUMBERS
from sentient_core.store.row_tables import SHAPES, RowTable, Shape

__all__ = ["RESTORING", "TABLES", "VERSION", "Table", "definitions", "redefinitions"]

VERSION = 5
"""Version of the schema that this release writes."""

RESTORING = 1_000_000
"""The version of a store that holds a part of a backup: every release takes it for one of a newer one."""

_OBJECT = "object FLEXIBLE"  # in this order; without it nested keys are refused
_OWN_OF_CHECKPOINTS = {"position": "option<array<int>>", "base": "option<string>"}


class Table(msgspec.Struct, frozen=True):
    """One table: its fields with their types, its indexes with their fields."""

    name: str
    fields: dict[str, str]
    indexes: dict[str, str] = {}
    kind: str = ""
    """What stands between its name and SCHEMAFULL."""


def _table(shape: Shape) -> Table:
    # An edge is found by the rows it connects, which know it.
    indexes = {} if shape.edge else {name: ", ".join(fields) for name, fields in shape.indexes.items()}
    kind = "" if shape.edge is None else f"TYPE RELATION IN {shape.edge.table} OUT {shape.edge.table} "
    own = _OWN_OF_CHECKPOINTS if shape.table is RowTable.STATE_CHECKPOINT else {}
    return Table(shape.table.value, shape.types | own, indexes, kind)


_OWN = (
    Table(
        "store_schema",
        {
            "version": "int",
            "restore": "option<string>",
            "restore_began": "option<datetime>",
            "restore_rows": "option<int>",
        },
    ),
    Table(
        "journal",
        {
            "body": "bytes",
            "writer": "string",
            "keep": "bool",
            "is_broken": "option<bool>",
            "records": "int",
            "weight": "int",
        },
    ),
    Table(
        "ownership",
        {
            "epoch": "option<int>",
            "projected": "option<int>",
            "is_clean": "option<bool>",
            "incarnation": "option<int>",
            "restarts": "option<int>",
            "kind": "option<string>",
            "origin": "option<string>",
            "is_over": "option<bool>",
            "is_forgotten": "option<bool>",
        },
    ),
    Table(
        "inbox",
        {
            "sender": "string",
            "message_type": "string",
            "timestamp": "datetime",
            "record": "bytes",
            "digest": "bytes",
            "tries": "int",
            "position": "array<int>",
        },
    ),
    Table(
        "account",
        {"at": "int", "lines": "option<bytes>", "carried": "option<bytes>", "digest": "bytes"},
    ),
    Table(
        "counted",
        {"epoch": "int", "at": "int"}
        | dict.fromkeys(NUMBERS, "int")
        | {f"earlier_{name}": "int DEFAULT 0" for name in NUMBERS},
    ),
    Table("timer", {"due_at": "int", "record": "bytes", "digest": "bytes"}),
    Table(
        "dedupe",
        {
            "system": "string",
            "digest": "bytes",
            "outcome": "string",
            "name": "string",
            "reply": "bytes",
            "timestamp": "datetime",
        },
        {"dedupe_time_idx": "system, timestamp"},
    ),
    Table(
        "memo",
        {
            "digest": "bytes",
            "outcome": "string",
            "name": "string",
            "reply": "bytes",
            "timestamp": "datetime",
        },
    ),
    Table(
        "pruned",
        {
            "rows": "int DEFAULT 0",
            "bytes": "int DEFAULT 0",
            "carried_to": "option<int>",
            "reached": "option<array<int>>",
        },
    ),
    Table(
        "subscriber",
        {
            "owner": "string",
            "journal": "array<int>",
            "external": "array<int>",
            "since": "datetime",
            "seen_at": "datetime",
        },
    ),
    Table(
        "written",
        {
            "since": "datetime DEFAULT time::now()",
            "projected": "option<int>",
            "records": "int DEFAULT 0",
            "journal_bytes": "int DEFAULT 0",
            "row_bytes": "int DEFAULT 0",
            "messages": "int DEFAULT 0",
            "message_bytes": "int DEFAULT 0",
        },
    ),
    Table(
        "agent_event",
        {
            "event_id": "string",
            "event_type": "string",
            "source_agent": "string",
            "target_agent": "option<string>",
            "workflow_id": "option<string>",
            "payload": _OBJECT,
            "timestamp": "datetime",
            "correlation_id": "option<string>",
            "causation_id": "option<string>",
            "position": "array<int>",
            "incarnation": "int",
            "message_type": "option<string>",
            "batch": "option<string>",
        },
        # Measured: each index costs 6 to 10 % of what inserting a row takes. None is on `timestamp` alone, as
        # ids go with time; one on (event_type, message_type, timestamp) cannot give the newest of a type.
        {
            "event_source_idx": "source_agent, timestamp",
            "event_target_idx": "target_agent, timestamp",
            "event_type_idx": "event_type, timestamp",
            "event_message_idx": "message_type, timestamp",
            "event_workflow_idx": "workflow_id, timestamp",
        },
    ),
    Table("row_write", {"at": "int"}),
    Table(
        "dead_letter",
        {
            "message_id": "string",
            "recipient": "string",
            "sender": "string",
            "message_type": "string",
            "message": _OBJECT,
            "is_exact": "bool",
            "reason": "string",
            "cause": "string",
            "attempts": "int",
            "timestamp": "datetime",
            "incarnation": "int",
            "correlation_id": "option<string>",
            "payload": "option<bytes>",
            "status": "string DEFAULT 'open'",
            "settled_at": "option<datetime>",
            "discard_reason": "option<string>",
            "tries": "option<int>",
            "traceback": "option<string>",
            "state_digest": "option<string>",
            "checkpoint_id": "option<string>",
            "was_pending": "option<bool>",
        },
        {"dead_letter_time_idx": "timestamp", "dead_letter_recipient_idx": "recipient, timestamp"},
    ),
)


TABLES = (*_OWN, *(_table(shape) for shape in SHAPES.values()))


def redefinitions(*tables: str) -> str:
    """One transaction that defines the fields of these tables as they are in this release."""
    lines = [
        f"DEFINE FIELD OVERWRITE {field} ON {table.name} TYPE {type_};"
        for table in TABLES
        if table.name in tables
        for field, type_ in table.fields.items()
    ]
    return "\n".join(("BEGIN;", *lines, "COMMIT;"))


def definitions() -> str:
    """One transaction that defines what is missing and leaves alone what is there."""
    lines = ["BEGIN;"]
    for table in TABLES:
        lines.append(f"DEFINE TABLE IF NOT EXISTS {table.name} {table.kind}SCHEMAFULL;")
        lines += [
            f"DEFINE FIELD IF NOT EXISTS {field} ON {table.name} TYPE {type_};"
            for field, type_ in table.fields.items()
        ]
        lines += [
            f"DEFINE INDEX IF NOT EXISTS {index} ON {table.name} FIELDS {fields};"
            for index, fields in table.indexes.items()
        ]
    return "\n".join((*lines, "COMMIT;"))
