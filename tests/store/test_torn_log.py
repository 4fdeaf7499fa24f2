"""A kill in the middle of a write: what is acknowledged after it survives the next kill as well."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import anyio
import pytest

from sentient_core.errors import StoreUnavailable
from sentient_core.store import SurrealStore
from sentient_core.store.url import Address
from tests.store.samples import Faults, event

BLOCK = 32 * 1024
"""Bytes in which the engine writes its log; a longer record goes on in the next one."""


async def killed(store: SurrealStore, directory: Path, copy: Path, *seqs: int) -> None:
    """Commit these events and leave a copy as a kill does: closed by nobody."""
    async with store:
        journal = await store.open_journal("bank")
        for seq in seqs:
            journal.append(event(seq))
            await journal.committed()
        await anyio.to_thread.run_sync(shutil.copytree, directory, copy)
        await journal.close(5.0)


async def seqs_in(directory: Path) -> list[int]:
    async with SurrealStore(f"surrealkv://{directory}") as store:
        journal = await store.open_journal("bank")
        await journal.flush()
        rows = await store.events("bank")
        await journal.close(5.0)
    return sorted(row.payload["amount"] for row in rows if "amount" in row.payload)


async def test_what_is_written_behind_half_a_record_is_there_after_the_next_kill(tmp_path: Path) -> None:
    torn, again = tmp_path / "torn", tmp_path / "again"
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        journal = await store.open_journal("bank")
        journal.append(event(1))
        await journal.flush()
        (log,) = (tmp_path / "db" / "wal").iterdir()
        before = log.stat().st_size
        # Too long for a block, and nothing that can be compressed.
        journal.append(event(2, {"text": random.Random(1).randbytes(4 * BLOCK).hex()}))
        await journal.committed()
        await anyio.to_thread.run_sync(shutil.copytree, tmp_path / "db", torn)
        await journal.close(5.0)
    with (torn / "wal" / log.name).open("r+b") as file:
        file.truncate((before // BLOCK + 1) * BLOCK)

    await killed(SurrealStore(f"surrealkv://{torn}"), torn, again, 3, 4)

    assert await seqs_in(again) == [1, 3, 4]


async def test_only_what_was_not_closed_is_opened_twice(tmp_path: Path) -> None:
    faults = Faults()
    await killed(SurrealStore(f"surrealkv://{tmp_path}/db"), tmp_path / "db", tmp_path / "left", 1)

    for name, times in (("db", 1), ("left", 2), ("left", 1)):
        opened = faults.opened
        async with SurrealStore(f"surrealkv://{tmp_path}/{name}", connect=faults.connect) as store:
            await store.query("RETURN 1")
        assert faults.opened - opened == times


async def test_a_log_that_cannot_be_ended_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_log(_: Address) -> bool:
        return True  # as on a full disk

    monkeypatch.setattr(Address, "has_log", has_log)

    with pytest.raises(StoreUnavailable, match="is the disk full"):
        await SurrealStore(f"surrealkv://{tmp_path}/db").query("RETURN 1")
