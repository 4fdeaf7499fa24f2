"""Markdown to HTML."""

from __future__ import annotations

import pytest

from examples.site.markdown import Heading, read_document, to_html
from tests.examples.html_site import Page


def html(text: str) -> str:
    """The HTML of a document whose links stay as they are."""
    return to_html(text, lambda href: href)[0]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "Text with <script>alert(1)</script>.",
        "<div>\n<script>alert(1)</script>\n</div>",
        "<img src=x onerror=alert(1)>",
        "`<script>`",
        "```html\n<script>alert(1)</script>\n```",
        "```nonsense\n<script>\n```",
        "    <script>",
        "![<script>](x.png '<script>')",
        "[<script>](x.md '\"><script>')",
        '```"><script>\n```',
    ],
)
def test_html_is_shown_as_text(text: str) -> None:
    page = Page(html(text))

    assert "script" not in page.tags
    assert "img" not in page.tags or "x.png" in page.links
    assert "<script" not in html(text)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "vbscript:x", "data:text/html,x", "JAVASCRIPT:alert(1)"]
)
def test_a_link_that_would_run_something_is_no_link(href: str) -> None:
    assert Page(html(f"[text]({href})")).links == []


def test_comments_are_left_out() -> None:
    assert "secret" not in html("a <!-- secret --> b\n\n<!-- secret\nsecret -->\n\nc")


def test_headings_get_anchors_as_on_github() -> None:
    _, headings = to_html("# A `b` & *c*!\n## Über_größe 2.0\n## x\n## x\n## x-1\n## ??\n", lambda href: href)

    assert [heading.anchor for heading in headings] == [
        "a-b--c",
        "über_größe-20",
        "x",
        "x-1",
        "x-1-1",
        "section",
    ]
    assert headings[0] == Heading(1, "a-b--c", "A b & c!")


def test_every_anchor_is_there_once() -> None:
    page = Page(html("# x\n\n# x\n\n# x-1\n\n# x\n"))

    assert len(page.ids) == len(set(page.ids)) == 4


def test_a_link_that_leads_nowhere_is_shown_as_such() -> None:
    body, _ = to_html("[text](missing.md)", lambda href: None)

    assert 'class="dead"' in body
    assert "text" in body


def test_code_is_coloured_and_says_its_language() -> None:
    body = html("```python\nreturn 1 < 2\n```")

    assert '<span class="k">return</span>' in body
    assert "&lt;" in body
    assert 'data-language="python"' in body


@pytest.mark.parametrize("language", ["", "python", "nonsense"])
def test_code_keeps_every_line(language: str) -> None:
    assert Page(html(f"```{language}\n\n\nx\n\n```")).text.rstrip("\n") + "\n\n" == "\n\nx\n\n"


def test_tables_task_lists_and_footnotes_work() -> None:
    page = Page(html("| a |\n|---|\n| 1 |\n\n- [x] done\n\nText[^1]\n\n[^1]: Note\n"))

    assert {"table", "input", "section"} <= set(page.tags)


def test_a_document_tells_its_title_summary_and_links() -> None:
    document = read_document(
        "---\ntitle: 'From above'\n---\n# Heading\n\n"
        "The *first*\nparagraph, [a](b.md) ![c](d.png) [a](b.md).\n\nNext.\n"
    )

    assert document.title == "From above"
    assert document.summary == "The first paragraph, a c a."
    assert document.links == ("b.md", "d.png")


def test_the_title_is_the_first_heading_if_nothing_else_is_said() -> None:
    assert read_document("text\n\n# One\n\n# Two\n").title == "One"
    assert read_document("## Two\n").title is None
