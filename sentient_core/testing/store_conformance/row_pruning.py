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

DAY = 86_400
UNLIMITED = Retention(
    events_age=None, accounts_age=None, rows_age=None, rows_bytes=None, trail_age=None, trail_bytes=None
)
TABLES = (
    RowTable.TASK_EXECUTION,
    RowTable.TASK_ITEM,
    RowTable.WORKFLOW_STATE,
    RowTable.WORKFLOW_STEP,
    RowTable.WORKFLOW_HISTORY,
    RowTable.DEPENDS_ON,
)


def change(table: str, *key: str, **fields: object) -> RowChange:
    return row_change(table, key, fields, owner="a", at=time.time_ns())


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def lives(journal: Journal, name: str, status: str, days: float) -> None:
    """A task and a workflow that were changed last so many days ago, with what belongs to them."""
    at = ago(days)
    for record in (
        change(RowTable.TASK_EXECUTION, name, status=status, updated_at=at),
        change(RowTable.TASK_ITEM, name, place_of(1), item={"text": "x" * 1_000}),
        change(RowTable.TASK_ITEM, name, place_of(2), item={"text": "x" * 1_000}),
        change(RowTable.WORKFLOW_STATE, name, status=status, updated_at=at),
        change(RowTable.WORKFLOW_STEP, name, "build", status=status),
        change(RowTable.WORKFLOW_STEP, name, "plan", status=status),
        change(RowTable.DEPENDS_ON, name, "build", name, "plan"),
        change(RowTable.WORKFLOW_HISTORY, name, "1", entry={}),
        change(RowTable.STATUS_CHANGE, "task", name, "1", new=status, cause="x" * 300, timestamp=at),
    ):
        journal.append(record)
    await journal.flush()


async def names(store: Store, *tables: str) -> set[str]:
    """The first texts of the keys that are left."""
    rows = [row for table in tables for row in await store.rows("bank", RowQuery(table=table))]
    return {row.key[0] for row in rows}


async def trail(store: Store) -> list[str]:
    rows = await store.rows("bank", RowQuery(table=RowTable.STATUS_CHANGE))
    return [row.key[1] for row in rows]


class RowPruningConformance(Conformance):
    """What is over and old, or too much, goes with what belongs to it; what is not over never does."""

    async def test_what_is_over_goes_by_age_with_what_belongs_to_it(
        self, store: Store, journal: Journal
    ) -> None:
        for status in ("completed", "failed", "cancelled"):
            await lives(journal, f"old_{status}", status, 40)
            await lives(journal, f"young_{status}", status, 20)
        for status in ("pending", "running", "paused"):
            await lives(journal, f"open_{status}", status, 400)

        pruned = await journal.prune(structs.replace(UNLIMITED, rows_age=30 * DAY))

        left = {f"young_{s}" for s in ("completed", "failed", "cancelled")}
        left |= {f"open_{s}" for s in ("pending", "running", "paused")}
        for table in TABLES:
            assert await names(store, table) == left
        assert pruned.written.rows >= 3 * 7  # an edge may go with its step
        assert len(await trail(store)) == 9
        again = await journal.prune(structs.replace(UNLIMITED, rows_age=30 * DAY))
        assert again.written.rows == 0

    async def test_the_oldest_of_what_is_over_goes_by_bytes(self, store: Store, journal: Journal) -> None:
        for number in range(6):
            await lives(journal, f"t{number}", "completed", 10 - number)
        await lives(journal, "open", "running", 400)

        await journal.prune(structs.replace(UNLIMITED, rows_bytes=15_000))

        left = await names(store, RowTable.TASK_EXECUTION)
        assert {"open", "t5"} <= left
        assert "t0" not in left
        assert await names(store, RowTable.TASK_ITEM) == left

        await journal.prune(structs.replace(UNLIMITED, rows_bytes=0))
        for table in TABLES:
            assert await names(store, table) == {"open"}

    async def test_the_trail_has_limits_of_its_own(self, store: Store, journal: Journal) -> None:
        for number in range(6):
            await lives(journal, f"t{number}", "completed", 10 - number)

        await journal.prune(structs.replace(UNLIMITED, trail_age=8.5 * DAY))
        assert await trail(store) == ["t2", "t3", "t4", "t5"]

        await journal.prune(structs.replace(UNLIMITED, trail_bytes=1_000))
        left = await trail(store)
        assert left == ["t2", "t3", "t4", "t5"][-len(left) :]
        assert 0 < len(left) < 4
        assert len(await names(store, RowTable.TASK_EXECUTION)) == 6

    async def test_other_systems_keep_theirs(self, store: Store, journal: Journal) -> None:
        other = await store.open_journal("shop")
        await lives(other, "t1", "completed", 400)
        await lives(journal, "t1", "completed", 400)

        await journal.prune(Retention())

        assert await names(store, *TABLES, RowTable.STATUS_CHANGE) == set()
        assert len(await store.rows("shop", RowQuery(table=RowTable.TASK_ITEM, key=("t1",)))) == 2
        assert len(await store.rows("shop", RowQuery(table=RowTable.STATUS_CHANGE))) == 1
        await other.close(5.0)
