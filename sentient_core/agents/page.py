"""The page that the frontend developer makes of a task: one file, no script, nothing loaded from elsewhere.

Pure: the same task gives the same bytes, so an agent that was killed makes it again. All text of the task
is text on the page, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Protocol, cast

import msgspec

from sentient_core.errors import InvalidPage

__all__ = ["Describes", "PageContent", "Section", "content_of", "page_of", "rendered"]

_THEMES = ("auto", "light", "dark")
_KNOWN = ("title", "sections", "theme", "language")
_TITLE_LETTERS = 70
_PLAIN = (str, bool, int, float)
_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
# What HTML does not allow in a text, and lone halves of surrogate pairs, which no file can hold.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Describes(Protocol):
    """Of a `Task`, what a page is made of."""

    @property
    def description(self) -> str:
        """What is wanted, in words."""
        ...

    @property
    def input_data(self) -> Mapping[str, Any]:
        """`title`, `sections`, `theme` ('auto', 'light', 'dark'), `language`; the rest is shown as it is."""
        ...


class Section(msgspec.Struct, frozen=True):
    """A part of the page."""

    heading: str = ""
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


class PageContent(msgspec.Struct, frozen=True):
    """What stands on a page, as plain text."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """What the task says besides, as names and values."""
    theme: str = "auto"
    language: str = "en"


def page_of(task: Describes) -> str:
    """A whole HTML document. Raises InvalidPage, which says what of `input_data` cannot be used."""
    return rendered(content_of(task))


def content_of(task: Describes) -> PageContent:
    """What is wanted on the page. Raises InvalidPage.

    `sections` is a mapping of texts by heading, or a list of texts and of mappings with `heading` (or
    `title`), `text` (or `body`, `content`; a text or a list of paragraphs), `items` (a list). Without `title`
    the description's first sentence is the title.
    """
    data = task.input_data
    title = data.get("title")
    if title is not None and not isinstance(title, str):
        raise InvalidPage("title", f"it is text, not {_kind_of(title)}")
    theme = data.get("theme", _THEMES[0])
    if theme not in _THEMES:
        raise InvalidPage("theme", f"it can be {', '.join(map(repr, _THEMES))}, not {theme!r}")
    language = data.get("language", "en")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise InvalidPage("language", f"it is a language tag such as 'en' or 'pt-BR', not {language!r}")
    return PageContent(
        title=(title or "").strip() or _first_sentence(task.description) or "Untitled",
        lead=_paragraphs(task.description),
        sections=tuple(_sections(data.get("sections"))),
        details=tuple((str(key), _in_words(value)) for key, value in data.items() if key not in _KNOWN),
        theme=cast("str", theme),
        language=language,
    )


def rendered(content: PageContent) -> str:
    """The content as an HTML document."""
    title = _text(content.title)
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="{_text(content.language)}" data-theme="{_text(content.theme)}">',
            "<head>",
            '<meta charset="utf-8">',
            # Whatever should get into this page after all: it can run nothing and load nothing.
            f'<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            "<header>",
            f"<h1>{title}</h1>",
            *_tagged("p", content.lead),
            "</header>",
            "<main>",
            *(line for section in content.sections for line in _section(section)),
            *_details(content.details),
            "</main>",
            "<footer><p>Made by a Sentient-Core agent</p></footer>",
            "</body>",
            "</html>",
            "",
        )
    )


def _sections(given: object) -> Iterator[Section]:
    if given is None:
        return
    if isinstance(given, Mapping):
        for heading, text in cast("Mapping[object, object]", given).items():
            yield Section(str(heading), _paragraphs_of(text, f"sections[{heading!r}]"))
        return
    if not isinstance(given, list | tuple):
        raise InvalidPage("sections", f"they are a list or a mapping, not {_kind_of(given)}")
    for number, part in enumerate(cast("Sequence[object]", given)):
        place = f"sections[{number}]"
        if isinstance(part, Mapping):
            yield _section_of(cast("Mapping[object, object]", part), place)
        else:
            yield Section(paragraphs=_paragraphs_of(part, place))


def _section_of(part: Mapping[object, object], place: str) -> Section:
    names = {"heading": "heading", "title": "heading", "text": "text", "body": "text", "content": "text"}
    found: dict[str, object] = {}
    for key, value in part.items():
        name = names.get(cast("str", key), "items" if key == "items" else "")
        if not name or name in found:
            raise InvalidPage(f"{place}[{key!r}]", "a section has one heading, one text, and items")
        found[name] = value
    heading = found.get("heading", "")
    if not isinstance(heading, str):
        raise InvalidPage(f"{place}['heading']", f"it is text, not {_kind_of(heading)}")
    items = found.get("items", ())
    if not isinstance(items, list | tuple):
        raise InvalidPage(f"{place}['items']", f"they are a list, not {_kind_of(items)}")
    return Section(
        heading.strip(),
        _paragraphs_of(found.get("text", ""), f"{place}['text']"),
        tuple(map(_in_words, cast("Sequence[object]", items))),
    )


def _paragraphs_of(text: object, place: str) -> tuple[str, ...]:
    parts = cast("Sequence[object]", text if isinstance(text, list | tuple) else [text])
    if not all(isinstance(part, str) for part in parts):
        raise InvalidPage(place, "it is text, or a list of paragraphs")
    return tuple(paragraph for part in parts for paragraph in _paragraphs(cast("str", part)))


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(stripped for part in re.split(r"\n\s*\n", text) if (stripped := part.strip()))


def _first_sentence(text: str) -> str:
    first = re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0].rstrip(".")
    return first if len(first) <= _TITLE_LETTERS else f"{first[: _TITLE_LETTERS - 1].rstrip()}…"


def _in_words(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case None:
            return "–"
        case int() | float():
            return str(value)
        case list() | tuple() if _is_plain_list(cast("Sequence[object]", value)):
            return ", ".join(map(_in_words, cast("Sequence[object]", value)))
        case _:
            try:
                return msgspec.json.encode(value).decode()
            except (TypeError, ValueError):  # nothing that JSON has a form for
                return str(value)


def _is_plain_list(value: Sequence[object]) -> bool:
    return len(value) > 0 and all(isinstance(part, _PLAIN) for part in value)


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    yield from _tagged("h2", [section.heading] if section.heading else [])
    yield from _tagged("p", section.paragraphs)
    if section.items:
        yield "<ul>"
        yield from _tagged("li", section.items)
        yield "</ul>"
    yield "</section>"


def _details(details: Iterable[tuple[str, str]]) -> Iterator[str]:
    rows = [f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in details]
    if rows:
        yield from ('<section class="details">', "<h2>Details</h2>", "<dl>", *rows, "</dl>", "</section>")


def _tagged(tag: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield f"<{tag}>{_text(text)}</{tag}>"


def _text(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def _kind_of(value: object) -> str:
    return type(value).__name__


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2333; --quiet: #5b6478; --page: #f6f7fb; --card: #ffffff;
  --line: #e3e6ef; --one: #4f46e5; --two: #0891b2 }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { --ink: #e8ebf4; --quiet: #a3acc2;
  --page: #10131c; --card: #191e2b; --line: #2a3144; --one: #6366f1; --two: #0e7490 } }
:root[data-theme=light] { color-scheme: light }
:root[data-theme=dark] { color-scheme: dark; --ink: #e8ebf4; --quiet: #a3acc2; --page: #10131c;
  --card: #191e2b; --line: #2a3144; --one: #6366f1; --two: #0e7490 }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 1.0625rem/1.6 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
header { padding: clamp(3rem, 9vw, 7rem) max(1.5rem, calc(50vw - 33rem)); color: #fff;
  background: linear-gradient(120deg, var(--one), var(--two)) }
h1 { margin: 0 0 1rem; max-width: 20em; font-size: clamp(2rem, 5vw, 3.25rem); line-height: 1.1;
  letter-spacing: -.02em; text-wrap: balance }
header p { max-width: 42em; margin: .5rem 0 0; font-size: 1.2rem; opacity: .92 }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; max-width: 69rem; margin: -2.5rem auto 0;
  padding: 0 1.5rem 3rem }
section { flex: 1 1 19rem; min-width: 0; padding: 1.5rem 1.75rem;
  border: 1px solid var(--line); border-radius: 1rem;
  background: var(--card); box-shadow: 0 10px 30px -18px rgb(16 19 28 / .35) }
h2 { margin: 0 0 .5rem; font-size: 1.25rem; line-height: 1.3 }
section p, ul { margin: .5rem 0 0 }
ul { padding-left: 1.2rem }
p, li, dd { white-space: pre-line }
.details { flex-basis: 100% }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1.5rem; margin: .75rem 0 0 }
dt { color: var(--quiet); max-width: 16rem }
dd { margin: 0 }
footer { padding: 0 1.5rem 2.5rem; text-align: center; color: var(--quiet); font-size: .9rem }
"""
