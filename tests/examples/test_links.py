"""Where links lead."""

from __future__ import annotations

import pytest

from examples.site.links import address, local_path, relinked

TARGETS = {
    "README.md": "index.html",
    "docs/a b.md": "docs/a b.html",
    "docs": "docs/index.html",
    "x.png": "x.png",
}


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("b.md", "docs/b.md"),
        ("./sub/../b.md#place", "docs/b.md"),
        ("../README.md?raw=1", "README.md"),
        ("/README.md", "README.md"),
        ("a%20b.md", "docs/a b.md"),
        ("..", "."),
        ("/", "."),
        ("../../outside.md", "../outside.md"),
        ("#place", None),
        ("", None),
        ("https://example.org/b.md", None),
        ("//example.org/b.md", None),
        ("mailto:a@example.org", None),
        ("http://[", None),
    ],
)
def test_a_link_names_a_path_below_the_source_folder_or_none(href: str, path: str | None) -> None:
    assert local_path(href, "docs/a.md") == path


def test_a_link_to_a_document_leads_to_its_page_with_the_place_in_it() -> None:
    assert relinked("a%20b.md#place", "docs/c.md", "docs/c.html", TARGETS) == "a%20b.html#place"


def test_a_link_to_a_folder_leads_to_its_index() -> None:
    assert relinked("../docs/", "other/c.md", "other/c.html", TARGETS) == "../docs/index.html"


def test_a_link_to_a_file_leads_to_its_copy() -> None:
    assert relinked("/x.png", "docs/c.md", "docs/c.html", TARGETS) == "../x.png"


def test_a_link_elsewhere_stays_as_it_is() -> None:
    for href in ("https://example.org/README.md?a=b#c", "#place", "mailto:a@example.org", "http://["):
        assert relinked(href, "docs/c.md", "docs/c.html", TARGETS) == href


def test_a_link_to_what_is_not_there_leads_nowhere() -> None:
    for href in ("missing.md", "../../README.md"):
        assert relinked(href, "docs/c.md", "docs/c.html", TARGETS) is None


def test_addresses_are_relative_so_that_a_site_can_lie_anywhere() -> None:
    assert address("index.html", "docs/more/a.html") == "../../index.html"
    assert address("docs/ü.html", "index.html") == "docs/%C3%BC.html"
