"""What keeps the demo from running is said in one line, with exit code 2 and without a trace."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sentient_core.store import SurrealStore
from tests.conftest import ONCE
from tests.examples.process import Site
from tests.long import few


def refusal(site: Site, *options: str) -> str:
    """The one line that the command is refused with."""
    ended = site.run(*options)
    assert ended.code == 2, ended
    (line,) = ended.errors.splitlines()
    return line


def test_a_source_that_is_not_there(tmp_path: Path, out: Path) -> None:
    site = Site(tmp_path / "missing", out, "asyncio")

    assert refusal(site) == f"error: cannot read documents from '{tmp_path}/missing': there is no such folder"
    assert not out.exists()


def test_a_source_without_markdown(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "no Markdown in" in refusal(Site(tmp_path / "empty", out, "trio"))


def test_a_source_without_any_usable_markdown(tmp_path: Path, out: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "gone.md").symlink_to("nowhere")

    assert "(skipped, it leads nowhere: gone.md)" in refusal(Site(tmp_path / "odd", out, "trio"))


def test_folders_whose_names_are_no_text(source: Path, tmp_path: Path, out: Path) -> None:
    odd = tmp_path / "b\udcff"
    odd.mkdir()

    assert r"b\udcff': its name is not UTF-8" in refusal(Site(odd, out, "asyncio"))
    assert r"b\udcff': its name is not UTF-8" in refusal(Site(source, odd, "asyncio"), "--store=mem://")


def test_an_output_folder_that_holds_something_else(source: Path) -> None:
    for options in ([], ["--fresh"]):
        assert "cannot write the site to" in refusal(Site(source, source, "asyncio"), *options)
    assert (source / "README.md").exists()


def test_an_output_folder_that_cannot_be_made(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    line = refusal(Site(source, tmp_path / "file" / "site", "asyncio"), "--store=mem://")

    assert "there is a file in the way" in line


@pytest.mark.parametrize("url", few(["bogus://x", "surrealkv://x?sync=often", "nothing", "surrealkv://"], 2))
def test_a_store_address_that_means_nothing(source: Path, out: Path, url: str) -> None:
    assert "cannot open a store at" in refusal(Site(source, out, "asyncio"), f"--store={url}")
    assert not out.exists()


def test_a_database_server_that_does_not_run(source: Path, out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # nobody listens there from now on

    line = refusal(Site(source, out, "asyncio"), f"--store=ws://127.0.0.1:{port}/rpc")

    where = f"ws://127.0.0.1:{port}/rpc"
    assert (
        line
        == f"error: the database server at {where} cannot be reached (Connection refused): is it running?"
    )


@ONCE
@pytest.mark.parametrize("options", few([["--fresh"], ["--kill"], []], 2), ids=" ".join)
async def test_a_store_that_another_process_uses(source: Path, out: Path, options: list[str]) -> None:
    site = Site(source, out, "asyncio")
    async with SurrealStore(site.store) as store:
        await store.query("RETURN 1")

        assert "is in use by another process" in refusal(site, *options)


def test_a_store_that_does_not_survive_what_is_asked_for(source: Path, out: Path) -> None:
    assert "--kill needs a database on disk" in refusal(
        Site(source, out, "asyncio"), "--kill", "--store=mem://"
    )


def test_a_port_that_is_taken(source: Path, out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        line = refusal(Site(source, out, "asyncio"), "--serve", f"--port={port}")

    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert not out.exists()
