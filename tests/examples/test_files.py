"""Files on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.site.errors import OutputUnusable, StoreUnusable
from examples.site.files import claim, digest_of, digest_on_disk, remove, write
from examples.site.fresh import remove_output, remove_store
from sentient_core import StoreInUse
from sentient_core.store import SurrealStore


def test_what_is_written_is_there_as_a_whole_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".page.html.part").write_bytes(b"left by a process that was killed")

    write(tmp_path / "page.html", b"new")

    assert (tmp_path / "page.html").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_digest_stands_for_the_bytes(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "page.html", b"bytes")

    assert digest_on_disk(tmp_path / "sub" / "page.html") == digest_of(b"bytes")
    assert digest_on_disk(tmp_path / "sub") is None
    assert digest_on_disk(tmp_path / "sub" / "page.html" / "below") is None
    assert digest_of(b"ab", b"c") != digest_of(b"a", b"bc")


def test_removing_takes_empty_folders_along_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a/b/one", "a/two", "c/three"):
        write(tmp_path / name, b"x")

    remove(tmp_path, ["a/b/one", "c/three", "missing"])

    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "a/two"]


def test_a_folder_with_somebody_elses_files_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(OutputUnusable, match="files that this program has not written"):
        claim(tmp_path)
    with pytest.raises(OutputUnusable, match="has not made it"):
        remove_output(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_claimed_folder_can_be_claimed_again_and_removed(tmp_path: Path) -> None:
    out = tmp_path / "site"
    claim(out)
    write(out / "sub" / "page.html", b"x")

    claim(out)
    remove_output(out)

    assert not out.exists()
    remove_output(out)


def test_a_file_in_the_way_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputUnusable, match="there is a file in the way"):
            claim(out)


async def test_only_a_database_that_nobody_uses_is_removed(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    async with SurrealStore(url) as store:
        await store.query("RETURN 1")

        with pytest.raises(StoreInUse):
            await remove_store(url)
    assert (tmp_path / "db").exists()

    await remove_store(url)
    await remove_store(url)
    await remove_store("mem://")

    assert not (tmp_path / "db").exists()


async def test_a_folder_that_is_no_database_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(StoreUnusable, match="is not a database"):
        await remove_store(f"surrealkv://{tmp_path}")
    assert (tmp_path / "thesis.txt").exists()
