"""What is over and old, or too much, goes with what belongs to it; what is not over never does."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from msgspec import structs

from sentient_core.store import Journal, Store
from sentient_core.store.records import RowChange
from sentient_core.store.retention import Retention
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable, place_of
from sentient_core.store.row_values import row_change
from sentient_core.testing.store_conformance.place import Conformance

__all__ = ["RowPruningConformance"]

_DAY = 86_400
_UNLIMITED = Retention(
    events_age=None, accounts_age=None, rows_age=None, rows_bytes=None, trail_age=None, trail_bytes=None
)
_TABLES = (
    RowTable.TASK_EXECUTION,
    RowTable.TASK_ITEM,
    RowTable.WORKFLOW_STATE,
    RowTable.WORKFLOW_STEP,
    RowTable.WORKFLOW_HISTORY,
    RowTable.DEPENDS_ON,
)


def _change(table: str, *key: str, **fields: object) -> RowChange:
    return row_change(table, key, fields, owner="a", at=time.time_ns())


def _ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def _lives(journal: Journal, name: str, status: str, days: float) -> None:
    """A task and a workflow that were changed last so many days ago, with what belongs to them."""
    at = _ago(days)
    for record in (
        _change(RowTable.TASK_EXECUTION, name, status=status, updated_at=at),
        _change(RowTable.TASK_ITEM, name, place_of(1), item={"text": "x" * 1_000}),
        _change(RowTable.TASK_ITEM, name, place_of(2), item={"text": "x" * 1_000}),
        _change(RowTable.WORKFLOW_STATE, name, status=status, updated_at=at),
        _change(RowTable.WORKFLOW_STEP, name, "build", status=status),
        _change(RowTable.WORKFLOW_STEP, name, "plan", status=status),
        _change(RowTable.DEPENDS_ON, name, "build", name, "plan"),
        _change(RowTable.WORKFLOW_HISTORY, name, "1", entry={}),
        _change(RowTable.STATUS_CHANGE, "task", name, "1", new=status, cause="x" * 300, timestamp=at),
    ):
        journal.append(record)
    await journal.flush()


async def _names(store: Store, *tables: str) -> set[str]:
    """The first texts of the keys that are left."""
    rows = [row for table in tables for row in await store.rows("bank", RowQuery(table=table))]
    return {row.key[0] for row in rows}


async def _trail(store: Store) -> list[str]:
    rows = await store.rows("bank", RowQuery(table=RowTable.STATUS_CHANGE))
    return [row.key[1] for row in rows]


class RowPruningConformance(Conformance):
    """What is over and old, or too much, goes with what belongs to it; what is not over never does."""

    async def test_what_is_over_goes_by_age_with_what_belongs_to_it(
        self, store: Store, journal: Journal
    ) -> None:
        for status in ("completed", "failed", "cancelled"):
            await _lives(journal, f"old_{status}", status, 40)
            await _lives(journal, f"young_{status}", status, 20)
        for status in ("pending", "running", "paused"):
            await _lives(journal, f"open_{status}", status, 400)

        pruned = await journal.prune(structs.replace(_UNLIMITED, rows_age=30 * _DAY))

        left = {f"young_{s}" for s in ("completed", "failed", "cancelled")}
        left |= {f"open_{s}" for s in ("pending", "running", "paused")}
        for table in _TABLES:
            assert await _names(store, table) == left
        assert pruned.written.rows >= 3 * 7  # an edge may go with its step
        assert len(await _trail(store)) == 9
        again = await journal.prune(structs.replace(_UNLIMITED, rows_age=30 * _DAY))
        assert again.written.rows == 0

    async def test_the_oldest_of_what_is_over_goes_by_bytes(self, store: Store, journal: Journal) -> None:
        for number in range(6):
            await _lives(journal, f"t{number}", "completed", 10 - number)
        await _lives(journal, "open", "running", 400)

        await journal.prune(structs.replace(_UNLIMITED, rows_bytes=15_000))

        left = await _names(store, RowTable.TASK_EXECUTION)
        assert {"open", "t5"} <= left
        assert "t0" not in left
        assert await _names(store, RowTable.TASK_ITEM) == left

        await journal.prune(structs.replace(_UNLIMITED, rows_bytes=0))
        for table in _TABLES:
            assert await _names(store, table) == {"open"}

    async def test_the_trail_has_limits_of_its_own(self, store: Store, journal: Journal) -> None:
        for number in range(6):
            await _lives(journal, f"t{number}", "completed", 10 - number)

        await journal.prune(structs.replace(_UNLIMITED, trail_age=8.5 * _DAY))
        assert await _trail(store) == ["t2", "t3", "t4", "t5"]

        await journal.prune(structs.replace(_UNLIMITED, trail_bytes=1_000))
        left = await _trail(store)
        assert left == ["t2", "t3", "t4", "t5"][-len(left) :]
        assert 0 < len(left) < 4
        assert len(await _names(store, RowTable.TASK_EXECUTION)) == 6

    async def test_other_systems_keep_theirs(self, store: Store, journal: Journal) -> None:
        other = await store.open_journal("shop")
        await _lives(other, "t1", "completed", 400)
        await _lives(journal, "t1", "completed", 400)

        await journal.prune(Retention())

        assert await _names(store, *_TABLES, RowTable.STATUS_CHANGE) == set()
        assert len(await store.rows("shop", RowQuery(table=RowTable.TASK_ITEM, key=("t1",)))) == 2
        assert len(await store.rows("shop", RowQuery(table=RowTable.STATUS_CHANGE))) == 1
        await other.close(5.0)
