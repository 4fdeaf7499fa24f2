"""What the changes of a window come to for each row, and what of it a later status of the actor replaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from sentient_core.store.records import RowChange
from sentient_core.store.row_tables import RowKey, RowTable
from sentient_core.store.row_values import fitting

__all__ = ["OF_STATUS", "RowEffect", "Written", "add_row", "merge_rows", "replaced_by_status", "rows_without"]

OF_STATUS = frozenset(
    {
        "agent_id",
        "name",
        "status",
        "capabilities",
        "updated_at",
        "kind",
        "parent",
        "restarts",
        "incarnation",
    }
)
"""The fields of `agent_state` that an `AgentStatus` writes."""


class Written(msgspec.Struct, frozen=True):
    """What one actor has written into a row, until another one did."""

    owner: str
    """Its path."""
    fields: Mapping[str, Any]
    """None in a field: it is to hold nothing."""
    changes: int
    at: int
    """Time of the first."""


class RowEffect(msgspec.Struct, frozen=True):
    """What a window did to one row."""

    parts: tuple[Written, ...]
    """In order. Nearly always one; told apart, since an actor may be forgotten."""

    @property
    def fields(self) -> dict[str, Any]:
        """Of all changes together; None in a field: it is to hold nothing."""
        merged: dict[str, Any] = {}
        for part in self.parts:
            merged.update(part.fields)
        return merged | {"owner": self.parts[-1].owner or None}

    @property
    def changes(self) -> int:
        """How many there were."""
        return sum(part.changes for part in self.parts)

    @property
    def at(self) -> int:
        """Time of the first: when the row was made, if it is new."""
        return self.parts[0].at


def add_row(rows: dict[RowKey, RowEffect], change: RowChange) -> None:
    """Add one change. One of a table or under a key that there cannot be leaves nothing."""
    fields = fitting(change.table, change.key, change.fields)
    if fields is not None:
        _add(rows, (change.table, change.key), (Written(change.owner, fields, 1, change.at),))


def merge_rows(
    earlier: Mapping[RowKey, RowEffect], later: Mapping[RowKey, RowEffect]
) -> dict[RowKey, RowEffect]:
    """The changes of two windows, one right after the other."""
    rows = dict(earlier)
    for key, effect in later.items():
        _add(rows, key, effect.parts)
    return rows


def replaced_by_status(rows: dict[RowKey, RowEffect], paths: Iterable[str]) -> None:
    """Actors at these paths have reported their status behind these changes: it stands."""
    if not rows:
        return
    for path in paths:
        key = (RowTable.AGENT_STATE.value, (path,))
        known = rows.get(key)
        if known is not None:
            rows[key] = RowEffect(tuple(_but_status(part) for part in known.parts))


def rows_without(rows: Mapping[RowKey, RowEffect], paths: Collection[str]) -> dict[RowKey, RowEffect]:
    """The changes that none of these actors made."""
    left: dict[RowKey, RowEffect] = {}
    for key, effect in rows.items():
        parts = tuple(part for part in effect.parts if part.owner not in paths)
        if parts:
            _add(left, key, parts)
    return left


def _add(rows: dict[RowKey, RowEffect], key: RowKey, parts: Iterable[Written]) -> None:
    known = rows.get(key)
    joined = [] if known is None else [*known.parts]
    for part in parts:
        last = joined[-1] if joined else None
        if last is not None and last.owner == part.owner:
            changes = last.changes + part.changes
            joined[-1] = Written(part.owner, {**last.fields, **part.fields}, changes, last.at)
        else:
            joined.append(part)
    rows[key] = RowEffect(tuple(joined))


def _but_status(part: Written) -> Written:
    left = {name: value for name, value in part.fields.items() if name not in OF_STATUS}
    return msgspec.structs.replace(part, fields=left)
