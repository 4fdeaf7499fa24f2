"""Every question about rows is answered by an index, a bounded range, or the row that an edge hangs on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentient_core.store import SurrealStore
from sentient_core.store.row_models import RowQuery, plan_of
from sentient_core.store.row_sql import rows_query
from sentient_core.store.row_tables import SHAPES, RowTable

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def explained(store: SurrealStore, query: RowQuery) -> str:
    sql, parameters = rows_query("bank", query, plan_of(query))
    (found,) = await store.query(f"{sql} EXPLAIN", **parameters)
    text = json.dumps(found, default=str)
    assert "TableScan" not in text
    return text


@pytest.mark.parametrize("table", RowTable)
async def test_all_of_a_table_or_a_part_of_it_is_a_bounded_range(
    store: SurrealStore, table: RowTable
) -> None:
    shape = SHAPES[table]
    for parts in range(shape.parts + 1):
        key = tuple("abcd"[:parts])
        found = await explained(store, RowQuery(table=table, key=key))
        if parts or shape.time_index is None:
            assert "RecordIdScan" in found
            assert "Sort" not in found
    after = ("a",) * shape.parts
    assert "RecordIdScan" in await explained(store, RowQuery(table=table, key=("a",), after=after, limit=5))


@pytest.mark.parametrize(
    ("table", "where", "is_by_time"),
    [
        (shape.table, dict.fromkeys(fields[:count], "x"), fields[count:] == (shape.time,))
        for shape in SHAPES.values()
        if shape.edge is None
        for fields in shape.indexes.values()
        for count in range(0 if fields == (shape.time,) else 1, len(fields) + 1)
        if fields[:count][-1:] != (shape.time,)
    ],
)
async def test_rows_come_from_an_index_and_in_the_order_of_its_time(
    store: SurrealStore, table: RowTable, where: dict[str, Any], is_by_time: bool
) -> None:
    query = RowQuery(table=table, where=where, newest_first=True, limit=5)
    index = plan_of(query).index

    found = await explained(store, query)

    assert f'"index": "{index}"' in found
    if is_by_time:
        assert '"direction": "Backward"' in found
        assert "Sort" not in found
    within = RowQuery(table=table, where=where, since=NOON, until=NOON + timedelta(hours=1))
    assert f'"index": "{index}"' in await explained(store, within)


@pytest.mark.parametrize("table", [shape.table for shape in SHAPES.values() if shape.edge is not None])
@pytest.mark.parametrize("end", ["in", "out"])
async def test_edges_come_from_the_row_they_hang_on(store: SurrealStore, table: RowTable, end: str) -> None:
    shape = SHAPES[table]

    found = await explained(store, RowQuery(table=table, where={end: ("a",) * (shape.parts // 2)}, limit=5))

    assert "GraphEdgeScan" in found
