"""The disk of a store is full, or may not be written: durable actors hold, or nothing starts; all is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from sentient_core import ActorSystem, StorePathUnusable
from tests.conftest import ONCE
from tests.full_disk import Account, Total


async def run(*arguments: str) -> list[str]:
    """The lines that a child process prints, which has to end well."""
    child = await anyio.run_process(
        [sys.executable, *arguments],
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.STDOUT,
    )
    lines = child.stdout.decode().splitlines()
    assert child.returncode == 0, lines
    return lines


async def test_a_full_disk_holds_durable_actors_until_there_is_room_and_loses_nothing(
    tmp_path: Path, anyio_backend_name: str
) -> None:
    lines = await run("-m", "tests.full_disk", f"{tmp_path}/db", anyio_backend_name)

    acknowledged, total, said, is_held, restarts = msgspec.json.decode(lines[-1])
    assert total == acknowledged
    assert said == ["CommitTimeout"]
    assert is_held
    assert restarts == 0
    warnings = [line for line in lines if "[warning" in line or "[error" in line]
    # Once as long as it lasts. What is smaller than the others may find room, and the next one none again.
    assert len(warnings) in (1, 2, 3), warnings
    assert all("the store does not take commits" in line for line in warnings), warnings
    assert not any("without its payload" in line or "simplified" in line for line in lines)
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
        assert await (await system.spawn(Account, name="a")).ask(Total(), timeout=10) == total
        rows = await system.store.events("bank", message_type="Add", limit=1_000)
        assert len(rows) == acknowledged
        assert all(row.payload["amount"] == 1 for row in rows)
        assert (await system.audit()).is_balanced


SCRIPT = """
import os, sys
import anyio
from sentient_core import ActorSystem, StorePathUnusable
async def main():
    async with ActorSystem("bank", store="mem://"):
        pass  # all that is imported on the way is there
    if os.geteuid() == 0:  # who may write anywhere
        os.setgid(65534)
        os.setuid(65534)
    try:
        async with ActorSystem("bank", store=sys.argv[1]):
            print("started")
    except StorePathUnusable as error:
        print(error)
anyio.run(main)
"""


@ONCE
@pytest.mark.parametrize("where", ["", "/deeper", "/db"])
async def test_a_directory_that_may_not_be_written_is_refused_with_what_to_do(
    tmp_path: Path, where: str
) -> None:
    async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db"):
        pass
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):  # whoever it is can come as far as there
            parent.chmod(0o755)
    for path in (tmp_path / "db", tmp_path):
        path.chmod(0o555)

    lines = await run("-c", SCRIPT, f"surrealkv://{tmp_path}{where}")

    for path in (tmp_path, tmp_path / "db"):
        path.chmod(0o755)
    assert lines[-1].startswith("cannot keep a database at"), lines
    assert "Choose a directory that this user may write" in lines[-1]


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(StorePathUnusable, match="file in the way"):
        async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/file"):
            pass


def open_to_all(path: Path) -> None:
    """Whoever it is can come as far as there; pytest makes its folders for their owner alone."""
    for parent in path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
