"""Rows are found by their keys, by an index, or by what an edge hangs on, and by nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sentient_core.errors import InvalidArgument, UnstorableRow
from sentient_core.store import Store
from sentient_core.store.row_models import RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable, place_of
from sentient_core.testing.store_conformance.place import Conformance
from sentient_core.testing.store_conformance.row_samples import ITEMS, LAST, NOON, TASKS, keys, write

__all__ = ["RowQueryConformance"]

_FROM_BANK: dict[str, Any] = {"in": ("bank",), "out": ("bank/a",)}


class RowQueryConformance(Conformance):
    """Rows are found by their keys, by an index, or by what an edge hangs on, and by nothing else."""

    async def test_of_rows_the_keys_alone_can_be_read_or_some_of_their_fields(self, store: Store) -> None:
        at = [NOON + timedelta(seconds=n) for n in range(3)]
        await store.write_rows(
            "bank",
            [
                write(RowTable.STATUS_CHANGE, "task", f"t{n}", "1", new="x" * n, timestamp=at[n])
                for n in range(3)
            ],
        )
        await store.write_rows("bank", [write(RowTable.SPAWNED, "a", "b")])

        by_key = RowQuery(table=RowTable.STATUS_CHANGE, key=("task",), fields=())
        by_time = RowQuery(table=RowTable.STATUS_CHANGE, newest_first=True, limit=2, fields=("new",))
        edges = RowQuery(table=RowTable.SPAWNED, where={"in": ("a",)}, fields=())

        assert [(row.key[1], row.fields) for row in await store.rows("bank", by_key)] == [
            ("t0", {}), ("t1", {}), ("t2", {}),
        ]  # fmt: skip
        assert [row.fields for row in await store.rows("bank", by_time)] == [{"new": "xx"}, {"new": "x"}]
        assert [(row.key, row.fields, row.revision) for row in await store.rows("bank", edges)] == [
            (("a", "b"), {}, 1)
        ]
        with pytest.raises(InvalidArgument, match="no field 'id; DELETE x'"):
            await store.rows("bank", RowQuery(table=TASKS, fields=("id; DELETE x",)))

    async def test_rows_come_by_their_keys_or_the_beginning_of_one(self, store: Store) -> None:
        writes = [
            write(ITEMS, task, place_of(n), item={"n": n})
            for task in ("t1", "t10", "t2")
            for n in (10, 9, 100)
        ]
        await store.write_rows("bank", writes)

        of_t1 = [("t1", place_of(n)) for n in (9, 10, 100)]
        assert await keys(store, ITEMS, key=("t1",)) == of_t1
        assert await keys(store, ITEMS, key=("t1",), newest_first=True) == of_t1[::-1]
        assert await keys(store, ITEMS, key=("t1",), limit=2) == of_t1[:2]
        assert await keys(store, ITEMS, key=("t1",), newest_first=True, limit=1) == of_t1[2:]
        assert await keys(store, ITEMS, key=("t1",), limit=0) == []
        assert await keys(store, ITEMS, key=("t1",), after=("t1", place_of(9))) == of_t1[1:]
        assert await keys(store, ITEMS, key=("t1",), after=("t1", place_of(9)), limit=1) == of_t1[1:2]
        assert await keys(store, ITEMS, key=("t1",), after=("t1", place_of(11))) == of_t1[2:]
        assert await keys(store, ITEMS, key=("t1",), after=("t1", place_of(100))) == []
        assert await keys(store, ITEMS, key=of_t1[1]) == [of_t1[1]]
        assert await keys(store, ITEMS, key=("t",)) == []
        assert len(await keys(store, ITEMS)) == 9

    async def test_rows_come_by_an_index_in_the_order_of_its_time(self, store: Store) -> None:
        def task(name: str, agent: str, status: str, minute: int) -> RowWrite:
            at = NOON + timedelta(minutes=minute)
            return write(TASKS, name, agent_id=agent, status=status, updated_at=at)

        await store.write_rows(
            "bank",
            [
                task("t1", "a", "running", 3),
                task("t2", "a", "completed", 2),
                task("t3", "b", "running", 1),
                task("t4", "a", "running", 0),
            ],
        )

        assert await keys(store, TASKS, where={"agent_id": "a"}) == [("t1",), ("t2",), ("t4",)]
        assert await keys(store, TASKS, where={"status": "running", "agent_id": "a"}) == [("t4",), ("t1",)]
        running = {"where": {"status": "running"}}
        assert await keys(store, TASKS, **running) == [("t4",), ("t3",), ("t1",)]
        assert await keys(store, TASKS, **running, newest_first=True, limit=2) == [("t1",), ("t3",)]
        assert await keys(store, TASKS, **running, since=NOON + timedelta(minutes=1)) == [("t3",), ("t1",)]
        assert await keys(store, TASKS, **running, until=NOON + timedelta(minutes=1)) == [("t4",)]
        assert await keys(store, TASKS, where={"status": "bogus"}) == []
        assert await keys(store, TASKS, key=("t1",), where={"status": "running"}) == [("t1",)]

    async def test_all_of_a_table_with_an_index_on_time_come_in_its_order(self, store: Store) -> None:
        trail = RowTable.STATUS_CHANGE
        for n, minute in enumerate((5, 1, 3)):
            at = NOON + timedelta(minutes=minute, microseconds=n)
            row = write(trail, "agent", f"a{n}", "1", subject="agent", new="running", timestamp=at)
            await store.write_rows("bank", [row])

        assert [key[1] for key in await keys(store, trail)] == ["a1", "a2", "a0"]
        assert [key[1] for key in await keys(store, trail, newest_first=True, limit=2)] == ["a0", "a2"]
        assert [key[1] for key in await keys(store, trail, since=NOON + timedelta(minutes=3))] == ["a2", "a0"]
        assert await keys(store, trail, key=("agent", "a1"), since=NOON + timedelta(minutes=2)) == []
        first = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
        assert len(await keys(store, trail, since=first, until=LAST, limit=2**70)) == 3
        assert await keys(store, trail, since=LAST) == await keys(store, trail, until=first) == []

    @pytest.mark.parametrize(
        "query",
        [
            {"where": {"description": "x"}},
            {"where": {"status": "running", "workflow_id": "w"}},
            {"where": {"status": 1}},
            {"where": {"bogus": 1}},
            {"key": ("a", "b")},
            {"limit": -1},
            {"limit": True},
            {"limit": "1"},
            {"since": "2026-11-22"},
            {"since": datetime(2026, 11, 22)},  # noqa: DTZ001
            {"since": NOON},
            {"after": ("t1",), "newest_first": True},
            {"after": ("t1",), "where": {"status": "running"}},
            {"after": ("t1", "t2")},
        ],
    )
    async def test_a_question_that_no_index_answers_is_refused(
        self, store: Store, query: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidArgument):
            await store.rows("bank", RowQuery(table=TASKS, **query))

    async def test_edges_are_written_once_and_found_from_both_ends(self, store: Store) -> None:
        for _ in range(2):
            await store.write_rows(
                "bank",
                [
                    write(RowTable.SUPERVISES, "bank", "bank/a", **_FROM_BANK),
                    write(RowTable.SUPERVISES, "bank", "bank/b"),
                    write(RowTable.SUPERVISES, "zoo", "bank/a", data={"since": 1}),
                    write(RowTable.DEPENDS_ON, "w1", "build", "w1", "plan"),
                    write(RowTable.DEPENDS_ON, "w1", "deploy", "w1", "build"),
                ],
            )

        below = await store.rows("bank", RowQuery(table=RowTable.SUPERVISES, where={"in": ("bank",)}))
        assert [row.fields["out"] for row in below] == [("bank/a",), ("bank/b",)]
        assert [row.revision for row in below] == [2, 2]
        above = await store.rows("bank", RowQuery(table=RowTable.SUPERVISES, where={"out": ("bank/a",)}))
        assert [row.fields["in"] for row in above] == [("bank",), ("zoo",)]
        assert above[1].fields["data"] == {"since": 1}
        assert await keys(store, RowTable.DEPENDS_ON, key=("w1", "deploy")) == [
            ("w1", "deploy", "w1", "build")
        ]
        waiting = await keys(store, RowTable.DEPENDS_ON, where={"out": ("w1", "build")})
        assert waiting == [("w1", "deploy", "w1", "build")]

        await store.write_rows(
            "bank", [RowWrite(table=RowTable.SUPERVISES, key=("bank", "bank/a"), fields=None, expects=2)]
        )
        assert await keys(store, RowTable.SUPERVISES, key=("bank",)) == [("bank", "bank/b")]
        with pytest.raises(UnstorableRow, match="not what the key says"):
            await store.write_rows("bank", [write(RowTable.SUPERVISES, "zoo", "bank/a", **_FROM_BANK)])
        with pytest.raises(InvalidArgument):
            await store.rows("bank", RowQuery(table=RowTable.SUPERVISES, where={"in": "bank"}))

    async def test_an_edge_goes_with_either_of_the_rows_it_connects(self, store: Store) -> None:
        steps = [write(RowTable.WORKFLOW_STEP, "w1", step) for step in ("a", "b", "c")]
        edges = [write(RowTable.DEPENDS_ON, "w1", start, "w1", end) for start, end in ("ab", "bc", "ca")]
        await store.write_rows("bank", steps + edges)

        await store.write_rows("bank", [RowWrite(table=RowTable.WORKFLOW_STEP, key=("w1", "a"), fields=None)])

        assert await keys(store, RowTable.DEPENDS_ON) == [("w1", "b", "w1", "c")]
