"""The whole job on a small folder, as its users run it: supervised agents that crash, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from examples.site.errors import Interrupted
from tests.conftest import BACKENDS
from tests.examples.documents import PAGES, write_documents
from tests.examples.html_site import broken_links, pages_of
from tests.examples.process import ROOT, Site
from tests.long import few

OTHERS = 3
"""Files that belong to the pages: the style sheet, a picture, a licence."""

on_both = pytest.mark.parametrize("backend", BACKENDS)


@on_both
def test_a_site_gets_made_while_its_makers_crash(source: Path, out: Path, backend: str) -> None:
    site = Site(source, out, backend, "--seed=1")

    ended = site.run()

    assert ended.is_perfect, ended
    assert ended.table["pages planned"] == str(PAGES + OTHERS)
    assert int(ended.table["crashes"]) > 3
    assert ended.table["crashes"] == ended.table["restarts"]
    assert ended.table["messages sent"] == ended.table["events mirrored"]
    assert ended.table["gaps"] == "0"
    assert ended.errors == ""


@pytest.mark.parametrize("backend", few(["trio", "asyncio"], 1))
def test_half_of_the_handlers_may_crash(source: Path, out: Path, backend: str) -> None:
    ended = Site(source, out, backend, "--seed=2", "--faults=50").run()

    assert ended.is_perfect, ended
    assert int(ended.table["crashes"]) > 30


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a site whose makers crashed; not to be changed. The source is beside it."""
    folder = tmp_path_factory.mktemp("made")
    ended = Site(
        write_documents(folder / "source"), folder / "site", "asyncio", "--seed=1", "--faults=30"
    ).run()
    assert ended.is_perfect, ended
    return folder / "site"


def test_every_link_of_the_site_leads_somewhere(made: Path) -> None:
    assert len(pages_of(made)) == PAGES
    assert broken_links(made) == []


def test_nothing_in_a_document_becomes_a_script(made: Path) -> None:
    pages = pages_of(made)

    assert not any("script" in page.tags for page in pages.values())
    assert "<script>alert('no')</script>" in pages["guide/chapter-1.html"].text
    assert "A Book & its <Chapters>" in pages["index.html"].text
    assert "a secret" not in pages["guide/chapter-1.html"].html


def test_nothing_but_the_site_is_in_the_output_folder(made: Path) -> None:
    found = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    others = {"_site/style.css", "pictures/dot one.png", "LICENSE.txt", ".made-by-sentient-core-site"}

    assert found == {*pages_of(made), *others}


def test_pictures_are_copied(made: Path) -> None:
    original = made.parent / "source" / "pictures" / "dot one.png"

    assert (made / "pictures" / "dot one.png").read_bytes() == original.read_bytes()


def test_log_lines_go_to_a_file_and_say_who_and_in_which_conversation(made: Path) -> None:
    lines = [json.loads(line) for line in Path(f"{made}.log").read_text().splitlines()]

    failures = [line for line in lines if line["event"] == "actor failed"]
    assert failures
    assert all(line.keys() >= {"system", "path", "incarnation", "correlation_id"} for line in failures)


def test_a_finished_site_is_said_to_be_one(source: Path, out: Path) -> None:
    site = Site(source, out, "asyncio", "--seed=1")
    site.run()

    ended = site.run()

    assert ended.is_perfect, ended
    assert "The site is finished: 13 files, all up to date" in ended.output


def test_fresh_begins_anew(source: Path, out: Path) -> None:
    site = Site(source, out, "asyncio", "--seed=1")
    site.run()

    ended = site.run("--fresh")

    assert ended.is_perfect, ended
    assert "planned 13 files\n" in ended.output
    assert "by earlier ones" not in ended.output, "the database was made anew, too"


def test_a_store_in_memory_will_do(source: Path, out: Path) -> None:
    ended = Site(source, out, "trio", "--seed=1", "--store=mem://").run()

    assert ended.is_perfect, ended


def test_links_that_lead_nowhere_are_named(source: Path, out: Path) -> None:
    (source / "guide" / "chapter-1.md").write_text("# One\n\n[gone](gone.md) [up](../../../etc/passwd)\n")

    ended = Site(source, out, "asyncio", "--seed=1").run()

    assert ended.code == 0, "they are the author's business"
    assert "leads nowhere: gone.md in guide/chapter-1.md" in ended.output
    assert "leads nowhere: ../../../etc/passwd in guide/chapter-1.md" in ended.output


def test_what_was_skipped_is_named_and_the_rest_is_made(source: Path, out: Path) -> None:
    (source / "broken.md").symlink_to("gone.md")
    (source / "b\udcff.md").touch()
    (source / "latin.md").write_bytes(b"# Caf\xe9\n")
    os.mkfifo(source / "pipe.md")

    ended = Site(source, out, "asyncio", "--seed=1", "--faults=0").run()

    assert ended.is_perfect, ended
    assert ended.table["pages planned"] == str(PAGES + OTHERS + 1)
    for line in (
        "skipped, it leads nowhere: broken.md",
        r"skipped, its name is not UTF-8: 'b\udcff.md'",
        "not UTF-8: latin.md",
        "skipped, it is not a regular file: pipe.md",
    ):
        assert f"\n{line}\n" in ended.output
    assert "gaps ¹" in ended.output
    assert f'\nLook inside: async with SurrealStore("surrealkv://{out}.db") as store:' in ended.output


def test_the_projects_own_documents_make_a_site(out: Path) -> None:
    ended = Site(ROOT, out, "asyncio", "--seed=1").run()

    assert ended.is_perfect, ended
    assert {"index.html", "CHANGELOG.html", "docs/semantics.html"} <= pages_of(out).keys()
    assert "leads nowhere" not in ended.output
    assert broken_links(out) == []


@on_both
def test_ctrl_c_ends_it_in_order_and_the_same_command_goes_on(source: Path, out: Path, backend: str) -> None:
    site = Site(source, out, backend, "--seed=1")
    with site.started() as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("published 2"))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)

    assert process.returncode == 130, (output, errors)
    assert errors == f"error: {Interrupted(signal.SIGINT)}\n"

    ended = site.run()

    assert ended.is_perfect, ended
    assert ended.table["gaps"] == "0"
