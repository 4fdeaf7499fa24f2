"""The report says it when something is wrong, whatever it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from examples.site import developer, editor
from examples.site.board import Picture
from examples.site.messages import Commission, Copy, Receipt
from examples.site.plan import Page, SitePlan
from examples.site.render import make
from examples.site.report import read_report
from examples.site.run import SYSTEM, Job, run
from sentient_core import Actor, ActorSystem, SystemStatistics, handles
from sentient_core.store import SurrealStore


class Forger(Actor):
    """Says of everything that it was written just now."""

    @handles
    def copy(self, message: Copy) -> Receipt:
        """Lie."""
        return Receipt(message.file, message.edition, message.digest, fresh=True)


class AfterThePlan:
    """A display that does something as soon as there is a plan."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def planned(self, commission: Commission) -> None:
        """Change a source file."""
        append(self._path, "\nChanged meanwhile.\n")

    def changed(self, picture: Picture) -> None:
        """Nothing."""


def append(path: Path, text: str) -> None:
    """Write to the end of a file."""
    path.write_text(path.read_text() + text)


async def statistics_of(job: Job) -> SystemStatistics:
    """Those of a start of the system in which nothing happens."""
    async with SurrealStore(job.store) as store:
        async with ActorSystem(SYSTEM, store=store) as system:
            await system.flush()
        return system.statistics()


async def test_a_page_that_is_missing_is_lost(job: Job) -> None:
    await run(job)
    statistics = await statistics_of(job)
    (job.out / "guide" / "chapter-1.html").unlink()

    async with SurrealStore(job.store) as store:
        report = await read_report(store, SYSTEM, statistics, job.source, job.out)

    assert report.lost == report.differing == ("guide/chapter-1.html",)
    assert not report.is_perfect


async def test_a_page_whose_source_has_changed_since_is_lost(job: Job) -> None:
    await run(job)
    statistics = await statistics_of(job)
    append(Path(job.source.root, "guide", "chapter-1.md"), "\nA new end.\n")

    async with SurrealStore(job.store) as store:
        report = await read_report(store, SYSTEM, statistics, job.source, job.out)

    assert report.lost == report.differing == ("guide/chapter-1.html",)


async def test_a_page_that_is_not_as_it_should_be_is_found(job: Job) -> None:
    await run(job)
    statistics = await statistics_of(job)
    append(job.out / "index.html", "\n")

    async with SurrealStore(job.store) as store:
        report = await read_report(store, SYSTEM, statistics, job.source, job.out)

    assert report.differing == ("index.html",)


async def test_a_page_published_twice_is_found_also_over_two_starts(job: Job) -> None:
    await run(job)
    async with SurrealStore(job.store) as store:
        async with ActorSystem(SYSTEM, store=store) as system:
            forger = await system.spawn(Forger, name="forger")
            await forger.ask(Copy("index.html", 1, "", ""), timeout=10)
            await forger.ask(Copy("LICENSE.txt", 2, "", ""), timeout=10)
            await system.flush()

        report = await read_report(store, SYSTEM, system.statistics(), job.source, job.out)

    assert report.twice == ("index.html",)
    assert not report.is_perfect
    assert report.starts == 2
    assert report.sent_now == 4
    assert report.sent_now + report.sent_before == report.mirrored


async def test_a_page_that_cannot_be_rendered_is_given_up_and_the_others_are_made(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    lock = threading.Lock()

    def make_or_fail(plan: SitePlan, page: Page) -> bytes:
        nonlocal tries
        if page.file == "guide/chapter-1.html":
            with lock:
                tries += 1
            raise ValueError("a bug")
        return make(plan, page)

    monkeypatch.setattr(developer, "make", make_or_fail)
    monkeypatch.setattr(editor, "MOST_TRIES", 5)

    _, report = await run(job)

    assert report.lost == report.differing == ("guide/chapter-1.html",)
    assert report.given_up == (("guide/chapter-1.html", "it failed 5 times, see the log"),)
    assert tries == 5
    assert report.crashes == report.restarts == 5


async def test_a_page_that_cannot_be_written_is_given_up_at_once(job: Job) -> None:
    job.out.mkdir()
    (job.out / "guide").write_text("a file in the way of a folder")

    _, report = await run(job)

    assert len(report.given_up) == 9
    assert all("File exists" in why or "Not a directory" in why for _, why in report.given_up)
    assert report.crashes == 0


async def test_a_document_that_changes_meanwhile_is_given_up_until_the_next_run(job: Job) -> None:
    chapter = Path(job.source.root, "guide", "chapter-1.md")

    _, report = await run(job, AfterThePlan(chapter))

    ((file, why),) = report.given_up
    assert file == "guide/chapter-1.html"
    assert "was changed while the site was being made" in why

    _, report = await run(job)

    assert report.is_perfect
    assert "Changed meanwhile." in (job.out / "guide" / "chapter-1.html").read_text()
