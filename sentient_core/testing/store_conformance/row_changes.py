"""Rows that actors write, through a journal: what is committed is written, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sentient_core.store import Journal, Store
from sentient_core.store.records import RowChange, Settled, Turn
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable, place_of
from sentient_core.testing.store_conformance.payloads import nested
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.row_samples import (
    AGENTS,
    ITEMS,
    NOON,
    TASKS,
    change,
    keys,
    one,
    write,
)
from sentient_core.testing.store_conformance.samples import NOW, status

__all__ = ["RowChangeConformance"]


def _record(*, table: str = TASKS, key: tuple[str, ...] = ("t1",), fields: object) -> RowChange:
    """One that nobody has checked."""
    return RowChange(
        table, key, fields if isinstance(fields, bytes) else msgspec.msgpack.encode(fields), NOW, "a"
    )


class RowChangeConformance(Conformance):
    """Rows that actors write, through a journal: what is committed is written, whatever it holds."""

    async def test_what_an_actor_writes_is_in_its_row_once_it_is_flushed(
        self, store: Store, journal: Journal
    ) -> None:
        journal.append(change(TASKS, "t1", status="pending", data={"a": 1}, created_at=NOON))
        journal.append(change(TASKS, "t1", status="running", progress=10))
        journal.append(Turn((Settled("team/a", 1), change(ITEMS, "t1", place_of(1), item={"n": 1}))))
        await journal.flush()
        journal.append(change(TASKS, "t1", progress=20, data={"b": None}, error_message=None))
        await journal.flush()

        row = await one(store, TASKS, "t1")

        assert row.fields["owner"] == "team/a"
        assert (row.fields["status"], row.fields["progress"]) == ("running", 20)
        assert (row.fields["data"], row.fields["created_at"]) == ({"b": None}, NOON)
        assert row.revision == 3
        assert (await one(store, ITEMS, "t1", place_of(1))).fields["item"] == {"n": 1}

    async def test_a_time_that_is_not_given_is_that_of_the_first_change(
        self, store: Store, journal: Journal
    ) -> None:
        journal.append(change(TASKS, "t1", at=NOW))
        journal.append(change(TASKS, "t1", at=NOW + 10**9))
        await journal.flush()
        journal.append(change(TASKS, "t1", at=NOW + 2 * 10**9))
        await journal.flush()

        created = (await one(store, TASKS, "t1")).fields["created_at"]

        assert created == datetime.fromtimestamp(NOW // 10**9, UTC).replace(microsecond=NOW // 1000 % 10**6)

    async def test_an_actor_writes_edges(self, store: Store, journal: Journal) -> None:
        ends: dict[str, Any] = {"in": ["team"], "out": ["team/a"]}
        for _ in range(2):
            journal.append(change(RowTable.SPAWNED, "team", "team/a", **ends))
            await journal.flush()

        (row,) = await store.rows("bank", RowQuery(table=RowTable.SPAWNED, where={"out": ("team/a",)}))

        assert (row.fields["in"], row.revision, row.fields["owner"]) == (("team",), 2, "team/a")

    @pytest.mark.parametrize(
        ("bad", "left"),
        [
            (b"\xc1 no msgpack", {}),
            ([1, 2], {}),
            ({1: 2}, {}),
            ({"status": 3, "progress": 5}, {"progress": 5}),
            ({"status": None, "phase": "x"}, {"phase": "x"}),
            ({"bogus": 1, "message": "x"}, {"message": "x"}),
            ({"data": {"a": 2**63}, "message": "x"}, {"message": "x"}),
            ({"data": {"a": {1: 2}}}, {}),
            ({"progress": float("nan")}, {}),
            ({"data": nested(120)}, {}),
        ],
    )
    async def test_what_a_record_holds_that_cannot_be_shown_is_kept_and_loses_nothing_else(
        self, store: Store, journal: Journal, bad: object, left: dict[str, object]
    ) -> None:
        journal.append(change(TASKS, "t0", status="running"))
        journal.append(_record(fields=bad))
        journal.append(change(TASKS, "t2", status="running"))
        await journal.flush()

        assert len(await keys(store, TASKS)) == 3
        row = await one(store, TASKS, "t1")
        assert row.fields["undecoded"] == (bad if isinstance(bad, bytes) else msgspec.msgpack.encode(bad))
        assert row.fields["refused"]
        assert {name: row.fields[name] for name in left} == left
        assert (row.fields["status"], row.fields["task_id"]) == ("", "t1")

    @pytest.mark.parametrize(
        "bad",
        [
            _record(table="bogus", fields={}),
            _record(table="journal", fields={}),
            _record(key=(), fields={}),
            _record(key=("a", "b"), fields={}),
            _record(key=("",), fields={}),
        ],
    )
    async def test_a_record_of_no_row_there_can_be_loses_nothing_else(
        self, store: Store, journal: Journal, bad: RowChange
    ) -> None:
        for item in (change(TASKS, "t0", status="running"), bad, change(TASKS, "t2", status="running")):
            journal.append(item)
        await journal.flush()

        assert await keys(store, TASKS) == [("t0",), ("t2",)]

    async def test_a_status_and_a_change_of_an_agent_count_in_the_order_they_came(
        self, store: Store, journal: Journal
    ) -> None:
        def busy(word: str) -> RowChange:
            return change(
                AGENTS, "team/a", status=word, current_task=word, execution_context={"task_id": word}
            )

        async def seen() -> tuple[str, str, str]:
            (agent,) = await store.agents("bank")
            fields = (await one(store, AGENTS, "team/a")).fields
            assert agent.status == fields["status"]
            assert fields["execution_context"] == {"task_id": fields["current_task"]}
            return agent.status, fields["current_task"], fields["kind"]

        for together in (True, False):
            for first, second, expected in (
                (status("team/a", 1, "running"), busy("one"), ("one", "one", "Worker")),
                (busy("two"), status("team/a", 2, "idle"), ("idle", "two", "Worker")),
                (busy("three"), busy("four"), ("four", "four", "Worker")),
            ):
                journal.append(first)
                if not together:
                    await journal.flush()
                journal.append(second)
                await journal.flush()
                assert await seen() == expected
        assert (await one(store, AGENTS, "team/a")).revision == 12

    async def test_the_row_of_an_agent_that_nobody_runs_can_be_written(
        self, store: Store, journal: Journal
    ) -> None:
        await store.write_rows(
            "bank", [write(AGENTS, "dev_1", agent_id="dev_1", name="dev", capabilities=["code"])]
        )
        journal.append(status("team/a"))
        await journal.flush()

        agents = {agent.agent_id: agent for agent in await store.agents("bank")}

        assert agents.keys() == {"dev_1", "team/a"}
        assert (agents["dev_1"].capabilities, agents["dev_1"].kind, agents["dev_1"].restarts) == (
            ["code"],
            "",
            0,
        )
        assert await keys(store, AGENTS) == [("dev_1",), ("team/a",)]
        assert (await one(store, AGENTS, "team/a")).revision == 1
        await store.write_rows("bank", [write(AGENTS, "team/a", data={"note": 1}, expects=1)])
        assert (await one(store, AGENTS, "team/a")).fields["name"] == "a"

    async def test_a_checkpoint_that_somebody_asked_for_is_found_by_its_id(
        self, store: Store, journal: Journal
    ) -> None:
        await store.write_rows(
            "bank",
            [
                write(
                    RowTable.STATE_CHECKPOINT,
                    "team/a",
                    "state",
                    kind="named",
                    timestamp=NOON,
                    progress_data={"phase": "building"},
                )
            ],
        )
        journal.append(status("team/a"))
        await journal.flush()

        (row,) = await store.rows("bank", RowQuery(table=RowTable.STATE_CHECKPOINT, where={"named": "state"}))

        assert (row.key, row.fields["progress_data"]) == (("team/a", "state"), {"phase": "building"})
        for query in (
            {"key": ("team/a",)},
            {"where": {"agent_id": "team/a"}},
            {"key": ("team/a", "state")},
            {},
        ):
            assert await keys(store, RowTable.STATE_CHECKPOINT, **query) == [("team/a", "state")]
        (found,) = await store.checkpoint_rows("bank", "team/a")
        assert (found.checkpoint_id, found.kind) == ("state", "named")
        assert (await journal.estate("team/a", 10)).state is None

    async def test_rows_outlive_the_journal(self, place: Place, journal: Journal) -> None:
        journal.append(change(TASKS, "t1", status="running"))
        await journal.close(5.0)
        store = await place.restart()

        assert (await one(store, TASKS, "t1")).fields["status"] == "running"

    async def test_what_is_forgotten_takes_what_its_actor_has_written(
        self, store: Store, journal: Journal
    ) -> None:
        for owner, task in (("team/a", "t1"), ("team/b", "t2")):
            journal.append(status(owner))
            journal.append(change(TASKS, task, owner=owner, agent_id=owner, status="running"))
            journal.append(change(ITEMS, task, place_of(1), owner=owner))
            journal.append(change(RowTable.STATUS_CHANGE, "task", task, "1", owner=owner, new="running"))
            journal.append(change(RowTable.STATUS_CHANGE, "agent", owner, "1", owner=owner, new="running"))
            journal.append(change(RowTable.SPAWNED, "team", owner, owner="team"))
            journal.append(change(RowTable.STATE_CHECKPOINT, owner, "c1", owner=owner, agent_id=owner))
            journal.append(change(RowTable.WORKFLOW_STATE, f"w{task}", owner=owner))
            journal.append(change(RowTable.WORKFLOW_STEP, f"w{task}", "s1", owner="team/other"))
            journal.append(change(RowTable.WORKFLOW_HISTORY, f"w{task}", "1", owner=owner))
            journal.append(change(RowTable.DEPENDS_ON, f"w{task}", "s2", f"w{task}", "s1", owner=owner))
            journal.append(change(AGENTS, owner, owner=owner, current_task=task))
        await store.write_rows("bank", [write(TASKS, "free", agent_id="team/a", status="running")])
        await journal.flush()
        journal.append(change(TASKS, "t1", owner="team/a", progress=5))

        pruned = await journal.forget("team/a")

        left = {table: await keys(store, table) for table in RowTable}
        assert left == {
            TASKS: [("free",), ("t2",)],
            ITEMS: [("t2", place_of(1))],
            AGENTS: [("team/b",)],
            RowTable.STATUS_CHANGE: [("agent", "team/b", "1"), ("task", "t2", "1")],
            RowTable.SPAWNED: [("team", "team/b")],
            RowTable.STATE_CHECKPOINT: [("team/b", "c1")],
            RowTable.WORKFLOW_STATE: [("wt2",)],
            RowTable.WORKFLOW_STEP: [("wt2", "s1")],
            RowTable.WORKFLOW_HISTORY: [("wt2", "1")],
            RowTable.DEPENDS_ON: [("wt2", "s2", "wt2", "s1")],
            RowTable.SUPERVISES: [],
        }
        assert pruned.written.rows == 9
