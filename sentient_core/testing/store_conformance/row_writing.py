"""Rows that anybody writes: all of a call or none, and never over what he has not seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import anyio
import pytest

from sentient_core.errors import InvalidArgument, RowConflict, UnstorableRow
from sentient_core.store import Store
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import SHAPES, Kind, RowTable
from sentient_core.store.row_values import row_change
from sentient_core.testing.store_conformance.payloads import NASTY
from sentient_core.testing.store_conformance.place import Conformance
from sentient_core.testing.store_conformance.row_samples import ITEMS, LAST, NOON, TASKS, keys, one, write
from sentient_core.testing.store_conformance.samples import NOW

__all__ = ["RowWritingConformance"]


class _Status(StrEnum):
    RUNNING = "running"


class RowWritingConformance(Conformance):
    """Rows that anybody writes: all of a call or none, and never over what he has not seen."""

    async def test_a_row_is_read_as_it_was_written_and_empty_where_nothing_was(self, store: Store) -> None:
        at = datetime(2026, 11, 22, 13, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
        data = {
            "text": "δ漢字🎭\x00",
            "none": None,
            "list": [1, None, 2.5, [True], {"a": b"\x00\xff"}],
            "least": -(2**63),
            "most": 2**63 - 1,
            "when": at,
        }
        await store.write_rows(
            "bank", [write(TASKS, "t1", task_id="t1", status="running", data=data, progress=30.5)]
        )

        row = await one(store, TASKS, "t1")

        assert row.revision == 1
        assert row.fields["data"] == data
        assert row.fields["data"]["when"].tzinfo is UTC
        assert (row.fields["status"], row.fields["progress"]) == ("running", 30.5)
        assert (row.fields["input_data"], row.fields["description"], row.fields["items"]) == ({}, "", 0)
        assert "output_data" not in row.fields
        assert "owner" not in row.fields
        assert row.fields["created_at"].tzinfo is UTC

    @pytest.mark.parametrize("table", RowTable)
    async def test_every_field_of_every_table_is_read_as_it_was_written(
        self, store: Store, table: RowTable
    ) -> None:
        shape = SHAPES[table]
        key = tuple(f"k{n}" for n in range(shape.parts))
        of_kind: dict[Kind, object] = {
            Kind.TEXT: "words",
            Kind.WHOLE: 7,
            Kind.NUMBER: 0.25,
            Kind.FLAG: True,
            Kind.TIME: NOON,
            Kind.BYTES: b"\x00\xff",
            Kind.OBJECT: {"a": {"b": [1, {"c": None}]}},
            Kind.TEXTS: ["x", "y"],
            Kind.OBJECTS: [{"a": 1}, {"b": {"c": 2}}],
        }
        fields = {name: of_kind[field.kind] for name, field in shape.fields.items()}
        fields |= {name: key[part] for name, part in shape.names.items()}
        ends = {} if shape.edge is None else dict(zip(("in", "out"), shape.ends(key), strict=True))

        for revision in (1, 2):
            await store.write_rows("bank", [RowWrite(table=table, key=key, fields=fields | ends)])
            assert await one(store, table, *key) == Row(key, fields | ends, revision)

        nothing = dict.fromkeys(
            n for n, field in shape.fields.items() if field.is_optional and n not in shape.names
        )
        await store.write_rows("bank", [RowWrite(table=table, key=key, fields=nothing)])
        left = {name: value for name, value in (fields | ends).items() if name not in nothing}
        assert await one(store, table, *key) == Row(key, left, 3)

    async def test_fields_are_written_over_as_a_whole_and_the_others_stay(self, store: Store) -> None:
        first = write(
            TASKS, "t1", status="running", data={"a": 1, "b": {"c": 2}}, error_message="no", progress=5
        )
        await store.write_rows("bank", [first])

        await store.write_rows("bank", [write(TASKS, "t1", data={"b": {}}, error_message=None)])

        row = await one(store, TASKS, "t1")
        assert (row.fields["data"], row.fields["status"], row.fields["progress"]) == ({"b": {}}, "running", 5)
        assert "error_message" not in row.fields
        assert row.revision == 2

    async def test_systems_do_not_see_each_others_rows(self, store: Store) -> None:
        for system in ("bank", "bank2", "ban"):
            await store.write_rows(system, [write(TASKS, "t1", agent_id=system, status="running")])

        for system in ("bank", "bank2", "ban"):
            for query in (
                RowQuery(table=TASKS),
                RowQuery(table=TASKS, where={"agent_id": system}),
                RowQuery(table=TASKS, where={"status": "running"}),
            ):
                (row,) = await store.rows(system, query)
                assert row.fields["agent_id"] == system
        assert await store.rows("zoo", RowQuery(table=TASKS)) == []

    async def test_a_write_that_expects_another_revision_changes_nothing_at_all(self, store: Store) -> None:
        await store.write_rows(
            "bank", [write(TASKS, "t1", status="pending"), write(TASKS, "t2", status="pending")]
        )
        await store.write_rows("bank", [write(TASKS, "t2", status="running", expects=1)])
        before = await store.rows("bank", RowQuery(table=TASKS))

        for expected, refused, found in (
            (1, write(TASKS, "t2", status="failed", expects=1), 2),
            (0, write(TASKS, "t2", status="failed", expects=0), 2),
            (3, write(TASKS, "t3", status="failed", expects=3), 0),
            (1, RowWrite(table=TASKS, key=("t2",), fields=None, expects=1), 2),
        ):
            with pytest.raises(RowConflict) as caught:
                await store.write_rows("bank", [write(TASKS, "t1", status="failed"), refused])
            assert (caught.value.table, caught.value.key) == (TASKS, refused.key)
            assert (caught.value.expected, caught.value.found) == (expected, found)
        assert await store.rows("bank", RowQuery(table=TASKS)) == before

    async def test_a_row_can_be_made_only_if_it_is_not_there_and_be_deleted_and_made_again(
        self, store: Store
    ) -> None:
        made = write(TASKS, "t1", status="running", data={"a": 1}, expects=0)
        await store.write_rows("bank", [made])
        with pytest.raises(RowConflict, match="not to be there"):
            await store.write_rows("bank", [made])

        await store.write_rows("bank", [RowWrite(table=TASKS, key=("t1",), fields=None, expects=1)])
        assert await store.rows("bank", RowQuery(table=TASKS)) == []
        await store.write_rows("bank", [RowWrite(table=TASKS, key=("t1",), fields=None)])  # nothing is there

        await store.write_rows("bank", [write(TASKS, "t1", status="pending", expects=0)])
        row = await one(store, TASKS, "t1")
        assert (row.fields["data"], row.revision) == ({}, 1)

    async def test_of_concurrent_appends_none_is_lost(self, store: Store) -> None:
        await store.write_rows("bank", [write(TASKS, "t1", data={"seen": []})])

        async def append(number: int) -> None:
            while True:
                row = await one(store, TASKS, "t1")
                seen = [*row.fields["data"]["seen"], number]
                try:
                    await store.write_rows(
                        "bank", [write(TASKS, "t1", data={"seen": seen}, expects=row.revision)]
                    )
                except RowConflict:
                    continue
                return

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(append, number)

        row = await one(store, TASKS, "t1")
        assert sorted(row.fields["data"]["seen"]) == list(range(20))
        assert row.revision == 21

    async def test_concurrent_writes_that_expect_nothing_are_all_done(self, store: Store) -> None:
        async def write_field(name: str) -> None:
            await store.write_rows("bank", [RowWrite(table=TASKS, key=("t1",), fields={name: name})])

        names = ["error_message", "agent_id", "status", "description", "mode", "phase", "message"]
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(write_field, name)

        row = await one(store, TASKS, "t1")
        assert [row.fields[name] for name in names] == names
        assert row.revision == len(names)

    @pytest.mark.parametrize("nasty", [*NASTY, "\U0010ffff", "a" * 5_000])
    async def test_keys_and_values_may_be_any_text(self, store: Store, nasty: str) -> None:
        await store.write_rows(
            "bank",
            [
                write(TASKS, nasty, agent_id=nasty, status=nasty),
                write(ITEMS, nasty, nasty, item={nasty: nasty}),
            ],
        )

        assert await keys(store, TASKS) == [(nasty,)]
        assert await keys(store, TASKS, where={"agent_id": nasty, "status": nasty}) == [(nasty,)]
        assert (await one(store, ITEMS, nasty, nasty)).fields["item"] == {nasty: nasty}
        assert await keys(store, ITEMS, key=(nasty,)) == [(nasty, nasty)]

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"bogus": 1}, "no such field"),
            ({"revision": 1}, "no such field"),
            ({"id": "x"}, "no such field"),
            ({"status; REMOVE TABLE agent_event": "x"}, "no such field"),
            ({"status": 1}, "holds a string"),
            ({"status": None}, "cannot hold nothing"),
            ({"status": "\ud800"}, "lone surrogate"),
            ({"data": [1]}, "holds a object"),
            ({"task_id": "t1"}, "what the key says"),
            ({"data": {"a": [1, {1, 2}]}}, r"data\['a'\]\[1\] is a set"),
            ({"progress": float("inf")}, "inf"),
            ({"progress": True}, "holds a number"),
            ({"progress": "30"}, "holds a number"),
            ({"items": 1.5}, "holds a int"),
            ({"created_at": "2026-11-22"}, "holds a datetime"),
            ({"created_at": datetime(2026, 11, 22)}, "time zone"),  # noqa: DTZ001
            ({"created_at": LAST}, "years 1 to 9999"),
        ],
    )
    async def test_what_cannot_be_stored_is_refused_before_anything_is_written(
        self, store: Store, fields: dict[str, object], why: str
    ) -> None:
        bad = RowWrite(table=TASKS, key=("t2",), fields=fields)

        with pytest.raises(UnstorableRow, match=why) as caught:
            await store.write_rows("bank", [write(TASKS, "t1", status="running"), bad])

        assert (caught.value.table, caught.value.key) == (TASKS, ("t2",))
        assert await store.rows("bank", RowQuery(table=TASKS)) == []
        with pytest.raises(UnstorableRow, match=why):
            row_change(TASKS, ("t2",), fields, owner="a", at=NOW)

    @pytest.mark.parametrize("key", [(), ("",), ("a", "b"), ("\ud800",), (1,), "t"])
    async def test_a_key_is_so_many_texts(self, store: Store, key: Any) -> None:
        if key == "t":
            key = "text"
        with pytest.raises(UnstorableRow):
            await store.write_rows("bank", [RowWrite(table=TASKS, key=key, fields={})])

    async def test_a_row_is_written_once_in_a_call_and_only_into_a_table_there_is(self, store: Store) -> None:
        with pytest.raises(InvalidArgument, match="twice"):
            await store.write_rows("bank", [write(TASKS, "t1"), write(TASKS, "t1")])
        for table in ("journal", "bogus", "task_execution; --"):
            with pytest.raises(InvalidArgument, match="no table"):
                await store.write_rows("bank", [write(table, "t1")])
            with pytest.raises(InvalidArgument, match="no table"):
                await store.rows("bank", RowQuery(table=table))
        await store.write_rows("bank", [])
        assert await store.rows("bank", RowQuery(table=TASKS)) == []

    async def test_a_row_may_have_megabytes_and_not_more_than_the_store_takes(self, store: Store) -> None:
        size = 10_000_000
        if store.url.startswith("http"):  # 4 MiB, where nothing else is said
            size = 4_000_000
        await store.write_rows("bank", [write(TASKS, "t1", data={"text": "x" * size})])

        assert len((await one(store, TASKS, "t1")).fields["data"]["text"]) == size
        for half in (40_000_000, 20_000_000):
            with pytest.raises(InvalidArgument, match="bytes"):
                await store.write_rows(
                    "bank", [write(TASKS, t, data={"text": "x" * half}) for t in ("t1", "t2")]
                )
        assert len(await keys(store, TASKS)) == 1

    async def test_enumerations_are_written_and_asked_for_as_what_they_are(self, store: Store) -> None:
        await store.write_rows(
            "bank", [write(TASKS, "t1", status=_Status.RUNNING, data={"of": _Status.RUNNING})]
        )

        (row,) = await store.rows("bank", RowQuery(table=TASKS, where={"status": _Status.RUNNING}))

        assert type(row.fields["status"]) is str
        assert row.fields["data"] == {"of": "running"}
