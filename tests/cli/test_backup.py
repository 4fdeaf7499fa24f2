"""A store in a file and back: exactly the same, or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from sentient_core.cli.opening import to_read
from sentient_core.cli.output import Reporter
from sentient_core.store import SurrealStore
from sentient_core.store.backup import MAGIC
from sentient_core.store.schema import TABLES
from sentient_core.store.wire import read_raw
from tests.cli.conftest import Run, change, files, place, shown
from tests.store.samples import NOW


def rows(url: str) -> dict[str, Any]:
    """All rows of a store, with their tags."""

    async def read() -> dict[str, Any]:
        async with to_read(place(url), Reporter()) as engine:
            names = [table.name for table in TABLES]
            found = await engine.thread.run(
                lambda: engine.query("; ".join(f"SELECT * FROM {name}" for name in names), read=read_raw)
            )
        return dict(zip(names, found, strict=True))

    return anyio.run(read)


@pytest.fixture
def file(run: Run, url: str, tmp_path: Path) -> Path:
    """A backup of the store."""
    file = tmp_path / "store.backup"
    assert run("backup", file, "--store", url).exit_code == 0
    return file


def test_a_round_trip_is_exact(run: Run, url: str, file: Path, tmp_path: Path) -> None:
    new = f"surrealkv://{tmp_path}/new/store"

    restored = shown(run("restore", file, "--store", new, "--json"))

    before, after = rows(url), rows(new)
    assert after == before
    assert str(before["agent_event"]).count("CBORTag(12") == 43
    assert any(row["timestamp"].value[1] % 1000 == NOW % 1000 for row in after["agent_event"])
    assert sum(restored["rows"].values()) == sum(map(len, before.values())) - 1  # but the version


def test_a_restored_store_is_gone_on_with(run: Run, file: Path, tmp_path: Path) -> None:
    new = f"surrealkv://{tmp_path}/new"
    assert run("restore", file, "--store", new).exit_code == 0

    async def go_on() -> None:
        async with SurrealStore(new) as store:
            journal = await store.open_journal("bank")
            assert (journal.epoch, journal.ended_cleanly, journal.known["team/a"]) == (2, True, 3)
            (found,) = await journal.checkpoints("team/a", 1)
            assert found.state == bytes(range(256)) * 300
            await journal.close(5.0)

    anyio.run(go_on)


def test_many_rows_go_page_by_page(run: Run, url: str, tmp_path: Path) -> None:
    change(
        url,
        """FOR $i IN 0..3000 {
            CREATE type::record('agent_state', ['bank', <string>$i]) SET agent_id = <string>$i, name = 'x',
                status = 'idle', capabilities = [], created_at = time::now(), updated_at = time::now(),
                kind = 'K', parent = '', restarts = 0, incarnation = 1
        }""",
    )
    new = f"surrealkv://{tmp_path}/new"

    assert run("backup", tmp_path / "b", "--store", url).exit_code == 0
    assert run("restore", tmp_path / "b", "--store", new).exit_code == 0

    assert rows(new) == rows(url)


def test_tables_of_others_are_named(run: Run, url: str, tmp_path: Path) -> None:
    change(url, "CREATE mine SET a = 1")

    result = run("backup", tmp_path / "b", "--store", url)

    assert result.exit_code == 0
    assert "mine" in result.stderr


def test_a_file_is_only_overwritten_when_asked(run: Run, url: str, file: Path) -> None:
    before = file.read_bytes()

    refused = run("backup", file, "--store", url)
    assert refused.exit_code == 2
    assert file.read_bytes() == before

    assert run("backup", file, "--overwrite", "--store", url).exit_code == 0
    assert file.read_bytes() != before  # another time


def test_a_backup_that_cannot_be_written_leaves_nothing(run: Run, url: str, tmp_path: Path) -> None:
    before = files(tmp_path)

    assert run("backup", tmp_path / "no" / "where", "--store", url).exit_code == 2
    assert files(tmp_path) == before


def test_a_restore_goes_where_nothing_is(run: Run, url: str, file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    before = files(tmp_path / "store")

    refused = run("restore", file, "--store", url)
    assert refused.exit_code == 2
    assert "something is there" in refused.stderr
    assert files(tmp_path / "store") == before
    assert run("restore", file, "--store", f"surrealkv://{tmp_path}/empty").exit_code == 0


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]


def test_a_restore_that_is_killed_leaves_no_store(run: Run, file: Path, tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, str(file), f"surrealkv://{tmp_path}/new"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert not (tmp_path / "new").exists()

    assert run("restore", file, "--store", f"surrealkv://{tmp_path}/new").exit_code == 0


_CHILD = """
import os, signal, sys
from sentient_core.cli import main
from sentient_core.cli.output import Reporter
Reporter.rows = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(["restore", sys.argv[1], "--store", sys.argv[2]])
"""


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "half": (lambda data: data[: len(data) // 2], "ends in the middle"),
    "short": (lambda data: data[:-1], "digest does not match"),
    "long": (lambda data: data + b"x", "digest does not match"),
    "digest": (lambda data: flipped(data, -5), "digest does not match"),
    "content": (lambda data: flipped(data, 400), "is damaged"),
    "empty": (lambda _: b"", "no backup"),
    "other": (lambda data: b"PK" + data, "no backup"),
    "nothing": (lambda _: MAGIC, "ends in the middle"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_refused_and_nothing_is_made(
    run: Run, file: Path, tmp_path: Path, kind: str
) -> None:
    damage, complaint = DAMAGES[kind]
    file.write_bytes(damage(file.read_bytes()))

    result = run("restore", file, "--store", f"surrealkv://{tmp_path}/new")

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "store.backup"]


def test_every_flipped_byte_is_found(run: Run, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 40)):
        file.write_bytes(flipped(data, position))
        assert run("restore", file, "--store", f"surrealkv://{tmp_path}/new").exit_code == 2
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_newer_release_is_refused(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "b"
    with monkeypatch.context() as patch:
        patch.setattr("sentient_core.store.migrations.VERSION", 99)
        assert run("backup", file, "--store", url).exit_code == 0

    result = run("restore", file, "--store", f"surrealkv://{tmp_path}/new")

    assert result.exit_code == 2
    assert "newer release" in result.stderr
