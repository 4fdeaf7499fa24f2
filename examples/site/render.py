"""One file of the site: its bytes, from the plan and its source. The same bytes for the same recipe."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from examples.site.files import digest_of
from examples.site.links import address, relinked
from examples.site.markdown import Heading, to_html
from examples.site.plan import Kind, Page, SitePlan, text_of
from examples.site.theme import STYLE_FILE, THEME

__all__ = ["SourceChanged", "make", "read_source"]


class SourceChanged(Exception):
    """A source file is not what it was when the site was planned."""


class _NavigationGroup(msgspec.Struct):
    """The pages of one folder."""

    label: str
    pages: list[Page]


def make(plan: SitePlan, page: Page) -> bytes:
    """What belongs into a file of the site. Blocks. Raises SourceChanged, and OSError."""
    if page.kind is Kind.STYLE:
        return THEME.stylesheet.encode()
    if page.kind is Kind.CONTENTS:
        return _dressed(plan, page, "contents.html.j2", "", ()).encode()
    content = read_source(Path(plan.root, page.source), page.content)
    if page.kind is Kind.COPY:
        return content
    body, headings = to_html(
        text_of(content), lambda href: relinked(href, page.source, page.file, plan.targets)
    )
    return _dressed(plan, page, "page.html.j2", body, headings).encode()


def read_source(path: Path, digest: str) -> bytes:
    """A source file's bytes. Raises SourceChanged if they are others than planned, and OSError."""
    content = path.read_bytes()
    if digest_of(content) != digest:
        raise SourceChanged(f"'{path}' was changed while the site was being made: give the command again")
    return content


def _dressed(plan: SitePlan, page: Page, template: str, body: str, headings: Sequence[Heading]) -> str:
    pages = plan.readable
    at = pages.index(page)
    return THEME.page(
        template,
        body,
        site=plan.title,
        page=page,
        pages=pages,
        groups=_groups(pages),
        headings=[heading for heading in headings if heading.level in (2, 3)],
        previous=pages[at - 1] if at else None,
        following=pages[at + 1] if at + 1 < len(pages) else None,
        home=address("index.html", page.file),
        style=address(STYLE_FILE, page.file),
        address=partial(address, seen_from=page.file),
    )


def _groups(pages: Sequence[Page]) -> list[_NavigationGroup]:
    """Pages by folder, in their order."""
    groups: dict[str, _NavigationGroup] = {}
    for page in pages:
        folder = posixpath.dirname(page.file)
        label = folder.replace("/", " / ").replace("-", " ").replace("_", " ")
        groups.setdefault(folder, _NavigationGroup(label, [])).pages.append(page)
    return list(groups.values())
