"""A page is made of any task: its text is text, whatever is in it, and the same task gives the same page."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import InvalidPage
from sentient_core.agents.page import content_of, page_of

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section"),
    *("h1", "h2", "p", "ul", "li", "dl", "dt", "dd"),
}


class Wanted(msgspec.Struct):
    description: str = "A page about tea."
    input_data: dict[str, Any] = {}


class Seen(HTMLParser):
    """What a browser finds in a page: its tags, attributes, and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data)


def test_a_page_shows_title_description_sections_and_what_else_there_is() -> None:
    page = page_of(
        Wanted(
            "Leaves of all kinds.\n\nHot and cold.",
            {
                "title": "Tea",
                "sections": [
                    {"heading": "Green", "text": "Mild.\n\nFrom the hills.", "items": ["Sencha", 7]},
                    "Just a text",
                    {"title": "Black", "body": ["One", "Two"]},
                ],
                "opens": "at nine",
                "seats": 12,
                "prices": {"cup": 3.5},
                "is_open": True,
                "by": ["bus", 7],
            },
        )
    )

    assert Seen(page).texts == [
        *("Tea", "Tea", "Leaves of all kinds.", "Hot and cold."),
        *("Green", "Mild.", "From the hills.", "Sencha", "7", "Just a text", "Black", "One", "Two"),
        *("Details", "opens", "at nine", "seats", "12", "prices", '{"cup":3.5}', "is_open", "yes"),
        *("by", "bus, 7"),
        "Made by a Sentient-Core agent",
    ]


def test_sections_may_be_a_mapping_of_texts_by_heading() -> None:
    first, second = content_of(Wanted(input_data={"sections": {"One": "a", "Two": ["b", "c"]}})).sections

    assert (first.heading, first.paragraphs) == ("One", ("a",))
    assert (second.heading, second.paragraphs) == ("Two", ("b", "c"))


@pytest.mark.parametrize(
    ("description", "title"),
    [
        ("Build a shop. With tea.", "Build a shop"),
        ("Build a shop\nwith tea", "Build a shop"),
        ("Really? Yes", "Really?"),
        ("", "Untitled"),
        ("  \n ", "Untitled"),
        ("long " * 30, "long " * 13 + "long…"),
    ],
)
def test_without_a_title_the_first_sentence_is_one(description: str, title: str) -> None:
    assert content_of(Wanted(description)).title == title


def test_a_theme_and_a_language_are_said_to_the_browser() -> None:
    page = page_of(Wanted(input_data={"theme": "dark", "language": "pt-BR"}))

    assert '<html lang="pt-BR" data-theme="dark">' in page


EVIL = "</title></style><script>alert('&')</script><img src=x onerror=\"alert(1)\">"


def test_text_of_a_task_is_never_markup() -> None:
    page = page_of(
        Wanted(
            EVIL,
            {
                "title": EVIL,
                "sections": [{"heading": EVIL, "text": EVIL, "items": [EVIL, {EVIL: EVIL}]}, EVIL],
                EVIL: EVIL,
            },
        )
    )

    seen = Seen(page)
    assert set(seen.tags) <= TAGS
    assert "onerror" not in seen.attributes
    assert seen.texts.count(EVIL) == 9
    assert escape(EVIL) in page


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    page = page_of(Wanted())

    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not {"script", "link", "img", "iframe"} & set(Seen(page).tags)
    assert "url(" not in page


def test_what_no_file_can_hold_is_shown_as_what_it_is() -> None:
    page = page_of(Wanted("a\ud800b\0c", {"title": "\x1b[31m"}))

    assert "a\ufffdb\ufffdc" in page
    assert page.encode().decode() == page


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"title": 7}, "title"),
        ({"theme": "ocean"}, "'dark'"),
        ({"theme": ["dark"]}, "theme"),
        ({"language": '"><script>'}, "language"),
        ({"language": None}, "language"),
        ({"sections": "text"}, "sections"),
        ({"sections": [7]}, r"sections\[0\]"),
        ({"sections": ["a", {"text": 7}]}, r"sections\[1\]\['text'\]"),
        ({"sections": [{"heading": 7}]}, "heading"),
        ({"sections": [{"items": "a"}]}, "items"),
        ({"sections": [{"text": "a", "body": "b"}]}, "body"),
        ({"sections": [{"colour": "red"}]}, "colour"),
        ({"sections": {"One": 7}}, "One"),
    ],
)
def test_what_no_page_can_be_made_of_is_named(data: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidPage, match=place) as caught:
        page_of(Wanted(input_data=data))

    assert isinstance(caught.value, ValueError)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters() | st.sampled_from("<>&\"'\0\n"))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    TEXT,
    st.dictionaries(TEXT, PLAIN, max_size=4),
    st.lists(TEXT | st.fixed_dictionaries({"heading": TEXT, "text": st.lists(TEXT) | TEXT}), max_size=4),
)
def test_any_task_makes_a_whole_page_of_known_tags(
    description: str, data: dict[str, Any], sections: list[Any]
) -> None:
    for name in ("title", "theme", "language"):
        data.pop(name, None)
    task = Wanted(description, data | {"sections": sections})

    page = page_of(task)

    seen = Seen(page)
    assert seen.open == []
    assert set(seen.tags) <= TAGS
    assert page.encode()
    assert page == page_of(task)
