"""One run after the other on the same store: only what has to be done is done."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from examples.site.faults import FaultPlan
from examples.site.report import Report
from examples.site.run import Job, run
from tests.examples.documents import PAGES

FILES = PAGES + 3
"""Of the site: its pages, a style sheet, a picture, a licence."""


@pytest.fixture
def job(job: Job) -> Job:
    """To make the site while a third of the handlers crash."""
    return msgspec.structs.replace(job, faults=FaultPlan(1, 0.3))


async def done_in(job: Job, *, unfinished: int, withdrawn: int = 0) -> Report:
    """Run it; there has to be so much to do, and it has to end well."""
    commission, report = await run(job)
    assert commission.unfinished == unfinished
    assert commission.withdrawn == withdrawn
    assert report.is_perfect, report
    return report


def times(out: Path) -> dict[str, int]:
    """When the files of the site were written."""
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.*")}


def change(path: Path, old: str, new: str) -> None:
    """Change a document."""
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


async def test_a_finished_site_is_left_alone(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    before = times(job.out)

    report = await done_in(job, unfinished=0)

    assert times(job.out) == before
    assert report.starts == 2
    assert report.sent_now == 2


async def test_what_has_changed_since_is_made_anew_and_nothing_else(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    before = times(job.out)
    change(Path(job.source.root, "guide", "chapter-2.md"), "of a book", "of the book")

    await done_in(job, unfinished=1)

    after = times(job.out)
    assert {file for file in after if after[file] != before[file]} == {"guide/chapter-2.html"}
    assert "of the book" in (job.out / "guide" / "chapter-2.html").read_text()


async def test_a_new_title_is_on_every_page(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    change(Path(job.source.root, "guide", "chapter-2.md"), "# Chapter 2", "# The second")

    await done_in(job, unfinished=PAGES)

    assert "The second" in (job.out / "index.html").read_text()


async def test_a_document_that_goes_back_to_what_it_was_is_not_published_twice(job: Job) -> None:
    chapter = Path(job.source.root, "guide", "chapter-2.md")
    await done_in(job, unfinished=FILES)
    change(chapter, "of a book", "of the book")
    await done_in(job, unfinished=1)
    change(chapter, "of the book", "of a book")

    await done_in(job, unfinished=1)


async def test_the_page_of_a_document_that_is_gone_goes_too(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    (job.out / "CNAME").write_text("docs.example.org")
    await anyio.Path(job.source.root, "guide", "more", "last.md").unlink()

    await done_in(job, unfinished=PAGES - 1, withdrawn=1)

    assert not (job.out / "guide" / "more").exists()
    assert (job.out / "CNAME").exists(), "that is somebody else's"


async def test_a_page_that_somebody_removed_or_changed_is_made_again(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    (job.out / "index.html").unlink()
    (job.out / "guide" / "index.html").write_text("something else")

    await done_in(job, unfinished=2)


async def test_a_site_may_move(job: Job) -> None:
    await done_in(job, unfinished=FILES)
    moved = msgspec.structs.replace(job, out=job.out.with_name("elsewhere"))

    await done_in(moved, unfinished=FILES)
