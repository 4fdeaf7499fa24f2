"""Reads a site as a browser would: ids, links, and where they lead."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Page", "broken_links", "pages_of"]


class Page(HTMLParser):
    """What is in one page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, its id and where it leads."""
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value is not None:
                self.ids.append(value)
            if name in ("href", "src") and value is not None:
                self.links.append(value)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def pages_of(out: Path) -> dict[str, Page]:
    """The HTML pages below a folder, by name."""
    return {path.relative_to(out).as_posix(): Page(path.read_text()) for path in out.rglob("*.html")}


def broken_links(out: Path) -> list[str]:
    """Every link of the site that leads to no file of it, or to no place in it."""
    pages = pages_of(out)
    broken: list[str] = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (out / name).parent / unquote(parts.path) if parts.path else out / name
            target = target.resolve()
            anchors = pages.get(target.relative_to(out.resolve()).as_posix(), Page("")).ids
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append(f"{name}: {link}")
    return broken
