"""Rows that tests of stores write and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sentient_core.store import Store
from sentient_core.store.records import RowChange
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable
from sentient_core.store.row_values import row_change
from sentient_core.testing.store_conformance.samples import NOW

__all__ = ["AGENTS", "ITEMS", "LAST", "NOON", "TASKS", "change", "keys", "one", "write"]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))
"""In UTC there is no such time."""
TASKS, ITEMS, AGENTS = RowTable.TASK_EXECUTION, RowTable.TASK_ITEM, RowTable.AGENT_STATE


def write(table: str, *key: str, expects: int | None = None, **fields: Any) -> RowWrite:
    """These fields of a row."""
    return RowWrite(table=table, key=key, fields=fields, expects=expects)


def change(table: str, *key: str, owner: str = "team/a", at: int = NOW, **fields: object) -> RowChange:
    """The same as a record."""
    return row_change(table, key, fields, owner=owner, at=at)


async def one(store: Store, table: str, *key: str) -> Row:
    """The row under a key."""
    (row,) = await store.rows("bank", RowQuery(table=table, key=key))
    assert row.key == key
    return row


async def keys(store: Store, table: str, **query: Any) -> list[tuple[str, ...]]:
    """Those of the rows that are found."""
    return [row.key for row in await store.rows("bank", RowQuery(table=table, **query))]
