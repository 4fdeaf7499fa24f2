"""Rows on a database that fails, loses answers, refuses or dies: written once, and never lost."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core.errors import RowConflict, StoreUnavailable
from sentient_core.store import RecordId, SurrealStore
from sentient_core.store.records import RowChange, Settled, Turn
from sentient_core.store.retention import Retention
from sentient_core.store.row_models import RowQuery, RowWrite
from sentient_core.store.row_tables import SHAPES, RowTable, place_of
from sentient_core.store.row_values import row_change
from sentient_core.store.schema import TABLES
from tests.conftest import ONCE
from tests.store.samples import NOW, Faults, event, is_commit, is_settlement
from tests.store.server import Server

MARK = re.compile(rb"\d{20}\.[0-9a-f]{32}")
"""The id of the row that makes a write done at most once."""
TASKS, ITEMS = RowTable.TASK_EXECUTION, RowTable.TASK_ITEM


def is_write(request: bytes) -> bool:
    """The request is the transaction of a call of `write_rows`."""
    return b"CREATE $mark" in request


def change(table: str, *key: str, **fields: object) -> RowChange:
    return row_change(table, key, fields, owner="team/a", at=NOW)


def write(*key: str, expects: int | None = None, **fields: Any) -> RowWrite:
    return RowWrite(table=TASKS, key=key, fields=fields, expects=expects)


async def seen(store: SurrealStore) -> list[int]:
    (row,) = await store.rows("bank", RowQuery(table=TASKS, key=("t1",)))
    found: list[int] = row.fields["data"]["seen"]
    return found


async def append(store: SurrealStore, number: int) -> None:
    """As who reads, changes and writes; again when somebody was faster."""
    while True:
        (row,) = await store.rows("bank", RowQuery(table=TASKS, key=("t1",)))
        data = {"seen": [*row.fields["data"]["seen"], number]}
        try:
            await store.write_rows("bank", [write("t1", data=data, expects=row.revision)])
        except RowConflict:
            continue
        return


async def test_a_write_whose_answer_is_lost_is_done_once(faulty_store: SurrealStore, faults: Faults) -> None:
    """At random; the seed is printed. A write is tried six times: at most five of its tries are struck."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    struck = Counter[bytes]()

    def strikes(request: bytes, share: float) -> bool:
        if not is_write(request) or dice.random() >= share:
            return False
        mark = max(MARK.findall(request))  # the newest; the others are of writes that were answered
        struck[mark] += 1
        return struck[mark] <= 5

    await faulty_store.write_rows("bank", [write("t1", data={"seen": []})])
    faults.lose = lambda request: strikes(request, 0.2)
    faults.fail = lambda request: strikes(request, 0.1)

    async with anyio.create_task_group() as group:
        for start in range(4):
            group.start_soon(append_some, faulty_store, range(start, 20, 4))

    assert sorted(await seen(faulty_store)) == list(range(20))


async def append_some(store: SurrealStore, numbers: range) -> None:
    for number in numbers:
        await append(store, number)


async def test_only_writes_whose_answers_were_lost_leave_a_mark_and_that_for_a_day(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    for _ in range(5):
        await faulty_store.write_rows("bank", [write("t1", status="running")])
    assert len((await faulty_store.query("SELECT * FROM row_write"))[0]) == 1  # of the last
    is_lost = iter([True])
    faults.lose = lambda request: is_write(request) and next(is_lost, False)
    await faulty_store.write_rows("bank", [write("t1", status="running")])
    await faulty_store.write_rows("bank", [write("t1", status="running")])
    (row,) = await faulty_store.rows("bank", RowQuery(table=TASKS))
    assert row.revision == 7
    assert len((await faulty_store.query("SELECT * FROM row_write"))[0]) == 2

    journal = await faulty_store.open_journal("bank")
    await journal.prune(Retention())
    assert len((await faulty_store.query("SELECT * FROM row_write"))[0]) == 2
    await faulty_store.query("CREATE row_write:['bank', '00000000000000000001.x'] SET at = 1")
    await faulty_store.query("CREATE row_write:['shop', '00000000000000000001.x'] SET at = 1")
    await journal.prune(Retention())
    (left,) = await faulty_store.query("SELECT VALUE id[0] FROM row_write WHERE at = 1")
    assert left == ["shop"]
    await journal.close(5.0)


async def test_a_write_that_is_never_answered_says_so(faulty_store: SurrealStore, faults: Faults) -> None:
    faults.fail = is_write
    with pytest.raises(StoreUnavailable):
        await faulty_store.write_rows("bank", [write("t1", status="running")])
    faults.fail = lambda _: False

    assert await faulty_store.rows("bank", RowQuery(table=TASKS)) == []


async def test_what_an_actor_writes_is_written_once_whatever_answers_are_lost(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    journal = await faulty_store.open_journal("bank")
    faults.lose = lambda request: (is_commit(request) or is_settlement(request)) and dice.random() < 0.3

    for number in range(60):
        journal.append(change(TASKS, "t1", progress=number))
        journal.append(change(ITEMS, "t1", place_of(number), item={"n": number}))
        if number % 7 == 0:
            await journal.committed()
    await journal.flush()

    (row,) = await faulty_store.rows("bank", RowQuery(table=TASKS))
    assert (row.fields["progress"], row.revision) == (59, 60)
    items = await faulty_store.rows("bank", RowQuery(table=ITEMS, key=("t1",)))
    assert [item.fields["item"]["n"] for item in items] == list(range(60))
    assert {item.revision for item in items} == {1}
    await journal.close(5.0)


async def test_changes_of_a_row_within_a_window_are_one_write(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    with journal.postponed_rows():
        for number in range(500):
            journal.append(change(TASKS, "t1", progress=number))
        await journal.committed()
    await journal.flush()

    (statistics,) = await faulty_store.query("SELECT VALUE row_bytes FROM written:['bank']")
    assert statistics[0] < 20_000
    (row,) = await faulty_store.rows("bank", RowQuery(table=TASKS))
    assert (row.fields["progress"], row.revision) == (499, 500)
    await journal.close(5.0)


async def test_rows_that_the_database_refuses_are_written_without_their_objects(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    type_ = SHAPES[TASKS].fields["data"].type
    await store.query(f"DEFINE FIELD OVERWRITE data ON task_execution TYPE {type_} ASSERT !$value.bad")
    journal.append(change(TASKS, "t1", status="running", progress=5, data={"bad": True}))
    journal.append(change(ITEMS, "t1", place_of(1), item={"n": 1}))
    journal.append(event(1))

    with anyio.fail_after(60):
        await journal.flush()

    (row,) = await store.rows("bank", RowQuery(table=TASKS))
    assert (row.fields["status"], row.fields["progress"], row.fields["data"]) == ("running", 5, {})
    assert msgspec.msgpack.decode(row.fields["undecoded"])["data"] == {"bad": True}
    assert "data" in row.fields["refused"]
    assert len(await store.events("bank")) == 1
    await journal.close(5.0)


async def test_what_somebody_has_removed_of_the_tables_is_there_again_at_the_next_opening(url: str) -> None:
    async with SurrealStore(url) as store:
        await store.write_rows("bank", [write("t1", agent_id="a", status="running")])
        await store.query(
            "REMOVE TABLE task_item; REMOVE TABLE spawned; REMOVE INDEX task_agent_idx ON task_execution"
        )
        await store.query(
            "REMOVE FIELD progress ON task_execution; REMOVE INDEX event_workflow_idx ON agent_event"
        )

    async with SurrealStore(url) as store:
        infos = await store.query("".join(f"INFO FOR TABLE {table.name};" for table in TABLES))
        for table, info in zip(TABLES, infos, strict=True):
            assert set(table.fields) <= set(info["fields"])
            assert set(info["indexes"]) == set(table.indexes)
        (row,) = await store.rows("bank", RowQuery(table=TASKS, where={"agent_id": "a"}))
        assert (row.key, row.fields["progress"]) == (("t1",), 0)
        for gone in (RowTable.TASK_ITEM, RowTable.SPAWNED):
            await store.write_rows("bank", [RowWrite(table=gone, key=("a", "b"), fields={})])
            assert len(await store.rows("bank", RowQuery(table=gone))) == 1


async def test_edges_can_be_walked_in_the_databases_own_words(store: SurrealStore) -> None:
    names = ("root", "root/a", "root/a/b")
    walk = "SELECT VALUE ->spawned->agent_state->spawned->agent_state.agent_id FROM $root"
    nodes = [RowWrite(table=RowTable.AGENT_STATE, key=(name,), fields={}) for name in names]
    edges = [RowWrite(table=RowTable.SPAWNED, key=ends, fields={}) for ends in pairwise(names)]
    await store.write_rows("bank", nodes + edges)

    (found,) = await store.query(walk, root=RecordId("agent_state", ["bank", "root"]))

    assert found == [["root/a/b"]]


async def test_names_of_fields_and_tables_are_no_words_of_the_database() -> None:
    for shape in SHAPES.values():
        for name in (shape.table.value, *shape.fields):
            assert name.replace("_", "").isalpha()


@ONCE
@pytest.mark.parametrize("is_projected", [True, False])
async def test_killed_with_rows_in_its_journal_a_process_leaves_them_to_the_next_start(
    tmp_path: Path, is_projected: bool
) -> None:
    url = f"surrealkv://{tmp_path}/db"
    command = [sys.executable, "-P", "-c", _CHILD, url, str(int(is_projected))]
    for start in (1, 2):
        child = await anyio.run_process(command, check=False)
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

        async with SurrealStore(url) as store:
            if not is_projected and start == 1:
                assert await store.rows("bank", RowQuery(table=TASKS)) == []
            journal = await store.open_journal("bank")
            await journal.flush()
            (row,) = await store.rows("bank", RowQuery(table=TASKS))
            assert (row.fields["progress"], row.revision) == (99, 100 * start)
            assert row.fields["owner"] == "team/a"
            assert len(await store.rows("bank", RowQuery(table=ITEMS, key=("t1",)))) == 100
            assert len(await store.rows("bank", RowQuery(table=RowTable.SPAWNED))) == 1
            await journal.close(5.0)


async def write_and_die(url: str, is_projected: bool) -> None:
    """Of a child: turns with rows are committed."""
    store = SurrealStore(url)
    journal = await store.open_journal("bank")
    with journal.postponed_rows():
        for number in range(100):
            parts = (
                Settled("team/a", 1),
                change(TASKS, "t1", progress=number),
                change(ITEMS, "t1", place_of(number)),
                change(RowTable.SPAWNED, "team", "team/a"),
            )
            journal.append(Turn(parts))
        await journal.committed()
        if not is_projected:
            os.kill(os.getpid(), signal.SIGKILL)
    await journal.flush()
    os.kill(os.getpid(), signal.SIGKILL)


_CHILD = """
import sys
from anyio import run
from tests.store.test_row_writing import write_and_die
run(write_and_die, sys.argv[1], bool(int(sys.argv[2])))
"""


@ONCE
async def test_of_appends_to_a_server_that_is_killed_none_is_lost_or_doubled(own_server: Server) -> None:
    async with own_server.store() as store:
        await store.write_rows("bank", [write("t1", data={"seen": []})])
        reached = {at: anyio.Event() for at in (10, 30)}

        async def go_on() -> None:
            for number in range(60):
                while True:
                    try:
                        await append(store, number)
                    except StoreUnavailable:
                        if number in await _seen_again(store):  # unknown: it was
                            break
                        continue
                    break
                if number in reached:
                    reached[number].set()

        async with anyio.create_task_group() as group:
            group.start_soon(go_on)
            for event_ in reached.values():
                await event_.wait()
                own_server.kill()
                await anyio.to_thread.run_sync(own_server.start_again)

        assert await seen(store) == list(range(60))


async def _seen_again(store: SurrealStore) -> list[int]:
    while True:
        try:
            return await seen(store)
        except StoreUnavailable:
            await anyio.sleep(0.05)
