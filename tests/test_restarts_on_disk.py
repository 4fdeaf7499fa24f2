"""Restarts and alerts in a database on disk: counts over deaths of the process, causes to query."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from sentient_core import ActorSystem, ChildSpec, Supervisor, SurrealStore
from sentient_core.actors.life_events import report_escalation, report_give_up, report_restart
from sentient_core.actors.ref import cell_of
from sentient_core.codec import digest
from tests.probes import Add, Counter, Fail, Log, Save, Total
from tests.store.samples import Faults, is_commit

MORTAL = """
import os, signal, sys, anyio
from sentient_core import ActorSystem
from tests.probes import Counter, Fail, Save, Total

async def main():
    async with ActorSystem("bank", store=sys.argv[1]) as system:
        ref = await system.spawn(Counter, name="a")
        for _ in range(2):
            ref.tell(Fail())
            await ref.ask(Total(), timeout=10)
        await system.flush() if sys.argv[3] == "rows" else await ref.ask(Save(), timeout=10)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("where", ["rows", "journal"])
async def test_the_count_goes_on_after_a_death_of_the_process(
    tmp_path: Path, anyio_backend_name: str, where: str
) -> None:
    url = f"surrealkv://{tmp_path}/db"
    for deaths in (1, 2):
        dead = await anyio.run_process(
            [sys.executable, "-c", MORTAL, url, anyio_backend_name, where],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            check=False,
        )
        assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()

        async with ActorSystem("bank", store=url) as system:
            ref = await system.spawn(Counter, name="a")
            await system.flush()
            (row,) = await system.store.agents("bank")
            assert row.restarts == 3 * deaths - 1  # a new start of the process is none
            ref.tell(Fail())
            await ref.ask(Total(), timeout=10)
            await system.flush()

            (row,) = await system.store.agents("bank")
            assert row.restarts == 3 * deaths
            assert system.statistics().restarts == 1


async def test_what_happened_can_be_queried_with_how_it_came_about(tmp_path: Path) -> None:
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
        ref = await system.spawn(Counter, name="a")
        error = ValueError("outer")
        error.__cause__ = KeyError("inner")
        report_restart(cell_of(ref), error, 0.5)
        report_escalation(cell_of(ref), error)
        report_give_up(cell_of(ref), cell_of(ref), error)
        await system.flush()

        (counts,) = await system.store.query(
            """SELECT event_type, payload.causes[0].message AS outer FROM agent_event
            WHERE payload.causes.type CONTAINS $type ORDER BY event_type""",
            type="KeyError",
        )
        ((first,),) = await system.store.query(
            "SELECT payload FROM agent_event WHERE event_type = 'actor_restarted' AND payload.delay > 0.1"
        )

    assert [(row["event_type"], row["outer"]) for row in counts] == [
        ("actor_escalated", "outer"),
        ("actor_restarted", "outer"),
        ("supervisor_gave_up", "outer"),
        ("system_alert", "outer"),
    ]
    assert first["payload"]["causes"] == [
        {"type": "ValueError", "message": "outer"},
        {"type": "KeyError", "message": "'inner'"},
    ]


class Bank(Supervisor):
    children = (ChildSpec(Counter, name="a"), ChildSpec(Counter, name="b"))


async def test_a_checkpoint_edited_by_hand_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    async with ActorSystem("bank", store=url) as system:
        ref = await system.spawn(Counter, name="a")
        for _ in range(2):
            ref.tell(Add())
            await ref.ask(Save(), timeout=10)
        ref.tell(Add())
        newest = await ref.ask(Save(), timeout=10)
    async with SurrealStore(url) as store:
        await store.query(
            "UPDATE state_checkpoint SET state = $state WHERE checkpoint_id = $id",
            state=packed(70),
            id=newest,
        )

    async with ActorSystem("bank", store=url) as system:
        ref = await system.spawn(Counter, name="a")

        assert await ref.ask(Total(), timeout=10) == 2
        await system.flush()
        (event,) = await system.store.events("bank", event_type="checkpoint_rejected")
        assert event.payload["checkpoint_id"] == newest
        assert "changed or torn" in event.payload["reason"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("state = $state", "changed or torn"),
        ("state = $state, digest = $digest", "does not fit the State"),
        ("schema_version = 2", "newer code wrote it"),
        ("tag = 'Other.State'", "aliases="),
    ],
    ids=["digest", "fit", "version", "tag"],
)
async def test_an_actor_none_of_whose_checkpoints_loads_is_quarantined_at_its_restart(
    tmp_path: Path, edit: str, reason: str
) -> None:
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
        bank = await system.spawn(Bank, name="bank")
        bad, good = system.get("bank/a"), system.get("bank/b")
        for _ in range(4):
            bad.tell(Add())
            await bad.ask(Save(), timeout=10)
        await system.flush()
        rows = await system.store.checkpoint_rows("bank", "bank/a")
        await system.store.query(
            f"UPDATE state_checkpoint SET {edit}",
            state=packed("many"),
            digest=digest(packed("many")),
        )

        bad.tell(Fail())
        with anyio.fail_after(60):
            while bad.is_alive:  # noqa: ASYNC110 - the database answers when it does
                await anyio.sleep(0.001)

        assert await good.ask(Total(), timeout=10) == 0
        assert (good.incarnation, bank.incarnation) == (1, 1)
        assert bad.incarnation == 2
        await system.flush()
        (alert,) = await system.store.events("bank", event_type="system_alert")
        assert alert.source_agent == "bank/a"
        assert f"{', '.join(row.checkpoint_id for row in rows)}: " in alert.payload["cause"]
        assert alert.payload["cause"].count(reason) == 1
        assert len(await system.store.checkpoint_rows("bank", "bank/a")) == len(rows) == 3


def packed(total: object) -> bytes:
    return msgspec.msgpack.encode({"total": total})


async def test_an_outage_of_a_database_is_heard_and_stands_in_a_row_afterwards(tmp_path: Path) -> None:
    faults, heard = Faults(), Log()
    async with (
        SurrealStore(f"surrealkv://{tmp_path}/db", connect=faults.connect) as store,
        ActorSystem("bank", store=store) as system,
    ):
        system.alerts.subscribe(lambda alert: heard(alert.alert))
        ref = await system.spawn(Counter, name="a")
        await system.flush()
        faults.fail = is_commit
        ref.tell(Add())
        await heard.until("store outage")
        ref.tell(Add())
        faults.fail = lambda _: False
        await heard.until("store is back")
        await system.flush()

        ((row,),) = await store.query("SELECT payload FROM agent_event WHERE event_type = 'system_alert'")

    assert heard.lines == ["store outage", "store is back"]
    assert row["payload"]["alert"] == "store outage"
    assert "injected" in row["payload"]["cause"]
    assert row["payload"]["records"] >= 1
    assert row["payload"]["seconds"] > 0
