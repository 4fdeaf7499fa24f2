"""Stores for the command to look at, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from click.testing import CliRunner, Result

from sentient_core.cli import main
from sentient_core.cli.place import Place, place_of
from sentient_core.store import JournalOptions, SurrealStore
from sentient_core.store.engine import DATABASE, NAMESPACE
from sentient_core.store.records import CheckpointKind
from sentient_core.store.retention import Retention
from sentient_core.store.row_values import row_change
from tests.store.samples import NOW, checkpoint, dead_letter, discarded, event, status
from tests.store.server import PASSWORD, USER, Server

BIG = {
    "a text": "δ🎭\x1b[31m[red]",
    "huge": 2**64 - 1,
    "none": None,
    "list": [{"a": 1.5}],
    "raw": b"\x00\xff",
}

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """The command in this process: `run("events", "--store", url)`."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a store of two systems that have ended."""
    url = f"surrealkv://{tmp_path}/store"
    anyio.run(partial(fill, url))
    return url


async def fill(url: str, **settings: Any) -> None:
    """Write what a store can hold."""
    options = JournalOptions(retention=None)
    async with SurrealStore(url, **settings) as store:
        bank = await store.open_journal("bank", options=options)
        for seq in range(1, 41):
            bank.append(event(seq))
        bank.append(event(41, BIG, source="team/δ", target=None, workflow_id="w"))
        bank.append(event(42, {}, event_type="actor_started", message_type=None))
        for path in ("team/a", "$1.1"):
            bank.append(status(path, 3))
            bank.append(checkpoint(path, 1, state=bytes(range(256)) * 300))
        bank.append(checkpoint("team/a", 2, kind=CheckpointKind.NAMED))
        for seq in (1, 2):
            bank.append(dead_letter(seq, cause="[bold]no\nroom"))
        bank.append(discarded(2))
        bank.append(row_change("task_execution", ("t1",), {"status": "running"}, owner="team/a", at=NOW))
        for table in ("spawned", "supervises"):
            bank.append(row_change(table, ("team", "team/a"), {}, owner="team", at=NOW))
        bank.append(row_change("state_checkpoint", ("team/a", "c1"), {}, owner="team/a", at=NOW))
        bank.append(event(43, at=1_000_000_000))
        await bank.flush()
        await bank.prune(Retention(events_age=40 * 365 * 86_400.0, settled_letters_age=None))
        await bank.close(5.0)
        shop = await store.open_journal("shop", options=options)
        shop.append(event(1))
        await shop.close(5.0)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A database server that the tests share, each with databases of its own."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says who comes to the server."""
    monkeypatch.setenv("SURREALDB_USERNAME", USER)
    monkeypatch.setenv("SURREALDB_PASSWORD", PASSWORD)


def place(url: str, database: str = DATABASE) -> Place:
    """Where the command looks for a store."""
    return place_of(url, NAMESPACE, database)


def change(url: str, sql: str) -> None:
    """Do something to a store that its owner would not."""

    async def change() -> None:
        async with SurrealStore(url) as store:
            await store.query(sql)

    anyio.run(change)


def shown(result: Result) -> Any:
    """The document that a verb printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def files(directory: Path) -> dict[str, tuple[bytes, int]]:
    """What is in a directory, with times."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def packed(value: object) -> bytes:
    """As msgpack."""
    return msgspec.msgpack.encode(value)
