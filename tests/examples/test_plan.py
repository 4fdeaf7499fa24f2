"""What a site consists of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.site.errors import NoMarkdown, SourceUnusable
from examples.site.plan import DeadLink, Kind, Remark, Source, plan_site
from examples.site.render import make
from tests.examples.documents import PAGES


def test_every_document_is_a_page_in_reading_order(source: Path) -> None:
    plan = plan_site(Source(str(source)))

    assert len(plan.readable) == PAGES
    assert [page.file for page in plan.readable] == [
        "index.html",
        "guide/index.html",
        *(f"guide/chapter-{n}.html" for n in range(1, 7)),
        "guide/with space.html",
        "guide/more/last.html",
    ]
    assert plan.title == "A Book & its <Chapters>"
    assert plan.page("guide/more/last.html").title == "last"


def test_what_documents_show_or_link_to_is_copied_and_nothing_else(source: Path) -> None:
    copies = [page for page in plan_site(Source(str(source))).pages if page.kind is Kind.COPY]

    assert {page.source: page.file for page in copies} == {
        "pictures/dot one.png": "pictures/dot one.png",
        "LICENSE": "LICENSE.txt",
    }


def test_a_folder_without_an_index_gets_one(source: Path) -> None:
    (source / "README.md").unlink()

    plan = plan_site(Source(str(source)))

    assert plan.readable[0].kind is Kind.CONTENTS
    assert plan.readable[0].file == "index.html"
    assert plan.title == "source"


def test_only_what_is_asked_for_is_planned(source: Path) -> None:
    plan = plan_site(Source(str(source), only=("README.md", "guide/more")))

    assert [page.source for page in plan.readable] == ["README.md", "guide/more/last.md"]


def test_the_programs_own_folders_are_passed_over(source: Path) -> None:
    plan = plan_site(Source(str(source), apart=(str(source / "guide"),)))

    assert [page.source for page in plan.readable] == ["README.md"]


def test_two_documents_never_become_one_page(tmp_path: Path) -> None:
    for name in ("index.md", "README.md", "a.md", "a.markdown", "A.MD"):
        (tmp_path / name).write_text(f"# {name}\n")

    files = [page.file for page in plan_site(Source(str(tmp_path))).pages]

    assert len(set(files)) == len(files) == 6
    assert plan_site(Source(str(tmp_path))).readable[0].source == "index.md"


@pytest.mark.parametrize(
    "href", ["missing.md", "../outside.md", ".hidden/secret.md", "link.md", "guide/no.png", "/etc/passwd"]
)
def test_a_link_that_leads_nowhere_is_found_and_copies_nothing(source: Path, href: str) -> None:
    (source.parent / "outside.md").write_text("# Outside\n")
    (source / "link.md").symlink_to(source.parent / "outside.txt")
    (source / "extra.txt").write_text("x")
    (source / "start.md").write_text(f"[text]({href})\n")

    plan = plan_site(Source(str(source), only=("start.md",)))

    assert plan.dead_links == (DeadLink("start.md", href),)
    assert not [page for page in plan.pages if page.kind is Kind.COPY]


def test_a_symbolic_link_out_of_the_folder_is_not_followed(source: Path) -> None:
    (source.parent / "outside.txt").write_text("private")
    (source / "inside.txt").symlink_to(source.parent / "outside.txt")
    (source / "start.md").write_text("[text](inside.txt)\n")

    plan = plan_site(Source(str(source), only=("start.md",)))

    assert plan.dead_links == (DeadLink("start.md", "inside.txt"),)


def link_to(target: str) -> Callable[[Path], None]:
    """What makes a path a symbolic link."""

    def put(path: Path) -> None:
        path.symlink_to(target)

    return put


@pytest.mark.parametrize(
    ("name", "put", "remark"),
    [
        ("broken.md", link_to("gone.md"), "skipped, it leads nowhere: broken.md"),
        ("loop.md", link_to("loop.md"), "skipped, it leads nowhere: loop.md"),
        ("pipe.md", os.mkfifo, "skipped, it is not a regular file: pipe.md"),
        (
            "passwd.md",
            link_to("/etc/passwd"),
            "skipped, it leads out of the folder: passwd.md",
        ),
        ("b\udcff.md", Path.touch, r"skipped, its name is not UTF-8: 'b\udcff.md'"),
    ],
)
def test_what_only_looks_like_a_document_is_skipped_with_a_remark(
    source: Path, name: str, put: Callable[[Path], None], remark: str
) -> None:
    usual = plan_site(Source(str(source)))
    put(source / name)

    plan = plan_site(Source(str(source)))

    assert plan.pages == usual.pages
    assert [f"{found.what}: {found.source}" for found in plan.remarks] == [remark]


@pytest.mark.parametrize(
    ("content", "title", "remarks"),
    [
        (b"\xef\xbb\xbf# Marked\n", "Marked", ()),
        (b"# Caf\xe9\n", "Caf\ufffd", (Remark("start.md", "not UTF-8"),)),
    ],
    ids=["byte order mark", "latin-1"],
)
def test_a_document_in_another_encoding_is_read_as_well_as_can_be(
    source: Path, content: bytes, title: str, remarks: tuple[Remark, ...]
) -> None:
    (source / "start.md").write_bytes(content)

    plan = plan_site(Source(str(source), only=("start.md",)))

    assert plan.page("start.html").title == title
    assert "\ufeff" not in make(plan, plan.page("start.html")).decode()
    assert plan.remarks == remarks


@pytest.mark.parametrize("href", ["a%00b.md", "pipe.md", "x" * 300])
def test_a_link_to_what_cannot_be_read_leads_nowhere(source: Path, href: str) -> None:
    os.mkfifo(source / "pipe.md")
    (source / "start.md").write_text(f"[text]({href})\n")

    plan = plan_site(Source(str(source), only=("start.md",)))

    assert plan.dead_links == (DeadLink("start.md", href),)


def test_the_same_documents_give_the_same_plan(source: Path) -> None:
    assert plan_site(Source(str(source))).digest == plan_site(Source(str(source))).digest


def test_a_change_of_text_changes_the_recipe_of_that_page_alone(source: Path) -> None:
    before = plan_site(Source(str(source)))
    chapter = source / "guide" / "chapter-3.md"
    chapter.write_text(chapter.read_text() + "\nMore.\n")

    after = plan_site(Source(str(source)))

    assert _changed(before.pages, after.pages) == {"guide/chapter-3.html"}


def test_a_change_of_title_changes_every_page_since_all_of_them_show_it(source: Path) -> None:
    before = plan_site(Source(str(source)))
    chapter = source / "guide" / "chapter-3.md"
    chapter.write_text(chapter.read_text().replace("# Chapter 3", "# The third"))

    after = plan_site(Source(str(source)))

    assert _changed(before.pages, after.pages) == {page.file for page in after.readable}


def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="there is no such folder"):
        plan_site(Source(str(tmp_path / "missing")))
    with pytest.raises(NoMarkdown, match="no Markdown in"):
        plan_site(Source(str(tmp_path)))


def _changed(before: tuple[object, ...], after: tuple[object, ...]) -> set[str]:
    return {getattr(page, "file", "") for page in set(after) - set(before)}
