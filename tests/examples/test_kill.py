"""Killed with SIGKILL, at whatever moment and by whomever, the same command finishes the site."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import BACKENDS
from tests.examples.process import Site
from tests.long import few


@pytest.mark.parametrize("backend", few(BACKENDS, 1))
def test_it_kills_itself_midway_and_finishes(source: Path, out: Path, backend: str) -> None:
    ended = Site(source, out, backend, "--seed=1").run("--kill")

    assert ended.is_perfect, ended
    assert "Killed with SIGKILL when" in ended.output
    assert "done already" in ended.output
    assert ended.table["gaps"] == "1"
    assert int(ended.table["checkpoints restored"]) >= 5


def test_a_finished_site_is_made_anew_to_have_something_to_kill(source: Path, out: Path) -> None:
    site = Site(source, out, "asyncio", "--seed=1")
    site.run()

    ended = site.run("--kill")

    assert ended.is_perfect, ended
    assert "it is made anew" in ended.output
    assert "Killed with SIGKILL when" in ended.output


def test_an_unfinished_site_is_finished_although_it_is_killed_once_more(source: Path, out: Path) -> None:
    site = Site(source, out, "asyncio", "--seed=1")
    site.kill_midway(3)

    ended = site.run("--kill")

    assert ended.is_perfect, ended
    assert ended.output.count("done already") == 2
    assert ended.table["gaps"] == "2"


def test_kill_and_fresh_begin_anew_once(source: Path, out: Path) -> None:
    site = Site(source, out, "trio", "--seed=1")
    site.run()

    ended = site.run("--kill", "--fresh")

    assert ended.is_perfect, ended
    assert ended.output.count("done already") == 1


@pytest.mark.parametrize(
    ("backend", "line"),
    few([("asyncio", "Site of"), ("trio", "planned"), ("asyncio", "planned"), ("trio", "published 0")], 2),
)
def test_killed_before_anything_was_done_it_is_finished_by_the_same_command(
    source: Path, out: Path, backend: str, line: str
) -> None:
    site = Site(source, out, backend, "--seed=4")
    site.kill_at(line)

    ended = site.run()

    assert ended.is_perfect, ended


@pytest.mark.parametrize(
    ("backend", "files"), few([("asyncio", 1), ("trio", 13), ("trio", 1), ("asyncio", 12)], 2)
)
def test_killed_by_somebody_else_it_is_finished_by_the_same_command(
    source: Path, out: Path, backend: str, files: int
) -> None:
    site = Site(source, out, backend, "--seed=4")
    site.kill_when_done(files)

    ended = site.run()

    assert ended.is_perfect, ended


@pytest.mark.slow
@pytest.mark.parametrize("backend", few(["trio", "asyncio"], 1))
def test_killed_again_and_again_it_is_finished_in_the_end(source: Path, out: Path, backend: str) -> None:
    generator = random.Random(backend)
    site = Site(source, out, backend, "--seed=1", "--faults=25")
    kills = 0
    for files in sorted(generator.sample(range(13), 4)):
        kills += site.kill_when_done(files)

    ended = site.run()

    assert ended.is_perfect, ended
    assert kills - 1 <= int(ended.table["gaps"]) <= kills, (
        "the last one may have struck behind the orderly end"
    )


def test_a_document_changed_between_two_starts_is_published_as_it_is_now(source: Path, out: Path) -> None:
    site = Site(source, out, "asyncio", "--seed=1")
    site.kill_midway(6)
    for chapter in (source / "guide").glob("chapter-*.md"):
        chapter.write_text(chapter.read_text() + "\nA new end.\n")

    ended = site.run()

    assert ended.is_perfect, ended
    assert all("A new end." in page.read_text() for page in (out / "guide").glob("chapter-*.html"))
