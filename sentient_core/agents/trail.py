"""The audit trail: a row per change of the status of an agent, a task or a workflow.

It is written with the change, in one transaction or one turn, so it neither lacks one nor has one that never
was. The key sorts as the changes came: those of one subject have one writer at a time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sentient_core.agents.models import StatusChange
from sentient_core.agents.statuses import StatusKind
from sentient_core.store.row_models import Row, RowWrite
from sentient_core.store.row_tables import RowTable

__all__ = ["change_fields", "change_key", "change_of", "change_write", "moment_after", "place_in_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def change_key(kind: StatusKind, id_: str, at: datetime, number: int = 0) -> tuple[str, str, str]:
    """The key of a change in `status_change`. `number` tells those apart that are made at the same time."""
    return (kind.value, id_, f"{place_in_time(at)}-{number:03d}")


def change_fields(change: StatusChange) -> dict[str, Any]:
    """Its row."""
    return change.to_dict()


def change_write(change: StatusChange) -> RowWrite:
    """What writes it, as a new row."""
    key = change_key(change.subject, change.subject_id, change.timestamp)
    return RowWrite(table=RowTable.STATUS_CHANGE, key=key, fields=change_fields(change), expects=0)


def change_of(row: Row) -> StatusChange:
    """A change, from its row."""
    fields = {name: row.fields[name] for name in StatusChange.__struct_fields__ if name in row.fields}
    return StatusChange(**fields)


def place_in_time(at: datetime) -> str:
    """A text that sorts as times do: microseconds since 1970."""
    return f"{(at - _EPOCH) // timedelta(microseconds=1):018d}"


def moment_after(last: datetime | None) -> datetime:
    """Now; or a microsecond later than `last`, where the clock was set back or has not moved."""
    nanoseconds = time.time_ns()
    now = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    return now if last is None else max(now, last + timedelta(microseconds=1))
