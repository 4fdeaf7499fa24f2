"""A store of the release before: taken on as it is, also when a process is killed while it does so.

`version4.cbor` was written by that release (schema version 4): its definitions, and all rows of a system;
the last run of it is in the journal alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import cbor2
import msgspec
import pytest

from sentient_core import Actor, ActorSystem, Request, StoreSchemaTooNew, handles
from sentient_core.store import SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.row_models import RowQuery, RowWrite
from sentient_core.store.schema import TABLES, VERSION
from sentient_core.store.url import parse_url
from tests.conftest import ONCE
from tests.long import few

pytestmark = ONCE

BEFORE: dict[str, Any] = cbor2.loads(Path(__file__).with_name("version4.cbor").read_bytes())


class Add(msgspec.Struct, frozen=True):
    amount: int


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Fail(msgspec.Struct, frozen=True):
    why: str


class Account(Actor):
    """As the release before ran it."""

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


class Safe(Account):
    durability = "durable"


@pytest.fixture
async def before(url: str) -> str:
    """The address of a database as that release has left it."""
    await write(url)
    return url


async def write(url: str) -> None:
    async def nothing(_: Engine) -> None:
        pass

    async def fill() -> None:
        await engine.query(BEFORE["definitions"])
        for table, rows in BEFORE["rows"].items():
            if rows:
                await engine.query(f"INSERT INTO {table} $rows RETURN NONE", {"rows": rows})

    engine = Engine(parse_url(url))
    engine.start(nothing)
    try:
        await engine.opened()
        await engine.thread.run(fill)
    finally:
        await engine.stop()


async def goes_on(url: str) -> None:
    """All that was stored is there, and what is new works."""
    async with ActorSystem("bank", store=url) as system:
        a = await system.spawn(Account, name="a")
        assert await a.ask(Total(), timeout=60) == 30  # of a checkpoint that was in the journal alone
        assert a.incarnation == 4
        safe = await system.spawn(Safe, name="safe")
        await safe.send(Add(5))
        await system.flush()
        (agent,) = await system.store.rows("bank", RowQuery(table="agent_state", key=("b",)))
        assert (agent.fields["name"], agent.fields["execution_context"], agent.fields["data"]) == (
            "b",
            {},
            {},
        )
        note = RowWrite(table="agent_state", key=("b",), fields={"data": {"seen": 1}}, expects=agent.revision)
        await system.store.write_rows("bank", [note])
        letters = await system.dead_letters.list()
        assert sorted(letter.payload["why"] for letter in letters) == ["asked to", "too"]
        (letter,) = [letter for letter in letters if letter.payload["why"] == "asked to"]
        await system.dead_letters.discard(letter.message_id, reason="seen")
        assert len(await system.store.events("bank", message_type="Add", limit=100)) == 9
    async with ActorSystem("bank", store=url) as system:
        assert await (await system.spawn(Safe, name="safe")).ask(Total(), timeout=60) == 20
        assert await (await system.spawn(Account, name="a")).ask(Total(), timeout=60) == 30
        assert (await system.audit()).is_balanced
    async with SurrealStore(url) as store:
        (agent,) = await store.rows("bank", RowQuery(table="agent_state", key=("b",)))
        assert (agent.fields["data"], agent.fields["status"]) == ({"seen": 1}, "completed")
        # Fields that had to be given before have defaults.
        await store.write_rows("bank", [RowWrite(table="agent_state", key=("dev",), fields={}, expects=0)])
        assert await store.query("SELECT VALUE version FROM store_schema") == [[VERSION]]
        infos = await store.query("".join(f"INFO FOR TABLE {table.name};" for table in TABLES))
        for table, info in zip(TABLES, infos, strict=True):
            assert set(table.fields) <= set(info["fields"])
            assert set(info["indexes"]) == set(table.indexes)


async def test_it_is_of_the_version_before() -> None:
    assert BEFORE["version"] == VERSION - 1


async def test_a_store_of_the_release_before_is_taken_on_with_its_tail(before: str) -> None:
    await goes_on(before)


@pytest.mark.parametrize("when", few(["behind", "before"], 1))
async def test_killed_at_any_request_of_the_migration_it_is_taken_on_by_the_next_start(
    before: str, when: str, tmp_path: Path
) -> None:
    number = 0
    while True:
        number += 1
        copy = tmp_path / f"copy{number}"
        shutil.copytree(parse_url(before).path or "", copy)
        code = await die(f"surrealkv://{copy}", number, when)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        await goes_on(f"surrealkv://{copy}")
    assert number > 5  # the use, two looks, the definitions, the note, what was asked


@pytest.mark.parametrize("milliseconds", few(["3", "30", "1", "10"], 2))
async def test_killed_within_the_definitions_it_is_taken_on_by_the_next_start(
    before: str, milliseconds: str
) -> None:
    assert await die(before, 4, milliseconds) == -signal.SIGKILL

    await goes_on(before)


async def die(url: str, number: int, when: str) -> int:
    child = await anyio.run_process(
        [sys.executable, "-m", "tests.store.dying", url, str(number), when],
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=None,
    )
    return child.returncode


async def test_one_of_the_release_after_is_refused_with_durable_actors_in_it(url: str) -> None:
    async with SurrealStore(url) as store:
        async with ActorSystem("bank", store=store) as system:
            await (await system.spawn(Safe, name="safe")).send(Add(5))
        await store.query("UPDATE store_schema SET version = $version", version=VERSION + 1)
    for _ in range(2):
        with pytest.raises(StoreSchemaTooNew, match="upgrade sentient-core"):
            async with ActorSystem("bank", store=url):
                pass
