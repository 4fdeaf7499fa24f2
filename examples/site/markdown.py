"""Markdown to HTML: CommonMark with tables, footnotes and task lists, coloured code, headings to link to.

HTML in a document is shown as the text it is, so nobody's document can put a script into the site;
comments are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name  # pyright: ignore[reportUnknownVariableType] - its options
from pygments.util import ClassNotFound

__all__ = ["Document", "Heading", "read_document", "to_html"]

SUMMARY_LENGTH = 220

Relink = Callable[[str], str | None]
"""What a link has to be in the page; None: it leads nowhere."""


class Heading(msgspec.Struct, frozen=True):
    """A place in a page to link to."""

    level: int
    anchor: str
    text: str


class Document(msgspec.Struct, frozen=True):
    """What the rest of a site has to know of a document."""

    title: str | None
    summary: str
    """The first paragraph, as text."""
    headings: tuple[Heading, ...]
    links: tuple[str, ...]
    """Where its links and images lead, each once, as in HTML."""


def read_document(text: str) -> Document:
    """Look through a document without rendering it."""
    tokens = _parser().parse(text)
    headings = tuple(_headings(tokens))
    title = _title_in_front_matter(tokens) or next((h.text for h in headings if h.level == 1), None)
    links = dict.fromkeys(_target(token) for token in _links(tokens))
    return Document(title, _summary(tokens), headings, tuple(links))


def to_html(text: str, relink: Relink) -> tuple[str, tuple[Heading, ...]]:
    """A document as HTML, its links led where `relink` says, and its headings."""
    parser = _parser()
    tokens = parser.parse(text)
    for token in _links(tokens):
        _lead(token, relink(_target(token)))
    headings = tuple(_headings(tokens))
    for token, inline in _heading_tokens(tokens):
        _add_permalink(inline, str(token.attrs["id"]))
    return parser.renderer.render(tokens, parser.options, {}), headings


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "highlight": _colour})
    parser.enable(["table", "strikethrough"])
    parser.use(front_matter_plugin).use(footnote_plugin).use(deflist_plugin).use(tasklists_plugin)
    # Right behind the inline rule, and before the task lists, which add HTML of their own.
    parser.core.ruler.after("inline", "html_as_text", _html_as_text)
    parser.core.ruler.push("anchors", _give_anchors)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("table_open", lambda *_: '<div class="table"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _html_as_text(state: StateCore) -> None:
    kept: list[Token] = []
    for token in state.tokens:
        if token.type == "html_block":
            kept += _as_paragraph(token)
            continue
        kept.append(token)
        if token.children is not None:
            token.children = [
                child if child.type != "html_inline" else _as_text(child)
                for child in token.children
                if child.type != "html_inline" or not child.content.startswith("<!--")
            ]
    state.tokens = kept


def _as_text(token: Token) -> Token:
    return Token("text", "", 0, content=token.content)


def _as_paragraph(token: Token) -> list[Token]:
    text = re.sub(r"<!--.*?-->", "", token.content, flags=re.DOTALL).strip()
    if not text:
        return []
    inline = Token("inline", "", 0, content=text, children=[Token("text", "", 0, content=text)])
    return [
        Token("paragraph_open", "p", 1, block=True),
        inline,
        Token("paragraph_close", "p", -1, block=True),
    ]


def _give_anchors(state: StateCore) -> None:
    """Ids as GitHub makes them, since that is what links in documents are written for."""
    taken: dict[str, int] = {}
    for token, inline in _heading_tokens(state.tokens):
        text = _plain(inline.children or ()).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-") or "section"
        count = taken.get(anchor, 0)
        taken[anchor] = count + 1
        if count:
            anchor = f"{anchor}-{count}"
            taken[anchor] = 1
        token.attrs["id"] = anchor


def _heading_tokens(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            yield token, tokens[at + 1]


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    for token, inline in _heading_tokens(tokens):
        yield Heading(int(token.tag[1:]), str(token.attrs["id"]), _plain(inline.children or ()).strip())


def _plain(tokens: Sequence[Token]) -> str:
    """The text of inline tokens. Images count by their alternative text."""
    return "".join(
        _plain(token.children or ())
        if token.type == "image"
        else " "
        if "break" in token.type
        else token.content
        for token in tokens
    )


def _links(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type in ("link_open", "image"):
            yield token
        yield from _links(token.children or ())


def _target(link: Token) -> str:
    return str(link.attrs.get("href") or link.attrs.get("src") or "")


def _lead(link: Token, target: str | None) -> None:
    if target is None:
        link.attrJoin("class", "dead")
        link.attrSet("title", "This link leads nowhere")
        return
    link.attrSet("src" if link.type == "image" else "href", target)


def _add_permalink(inline: Token, anchor: str) -> None:
    attrs: dict[str, str | int | float] = {
        "class": "permalink",
        "href": f"#{anchor}",
        "aria-label": "Permalink",
    }
    link = [
        Token("link_open", "a", 1, attrs=attrs),
        Token("text", "", 0, content="#"),
        Token("link_close", "a", -1),
    ]
    inline.children = [*(inline.children or ()), *link]


def _summary(tokens: Sequence[Token]) -> str:
    for at, token in enumerate(tokens):
        if token.type == "paragraph_open" and token.level == 0:
            text = " ".join(_plain(tokens[at + 1].children or ()).split())
            if text:
                return text if len(text) <= SUMMARY_LENGTH else text[: SUMMARY_LENGTH - 1].rstrip() + "…"
    return ""


def _title_in_front_matter(tokens: Sequence[Token]) -> str | None:
    if not tokens or tokens[0].type != "front_matter":
        return None
    found = re.search(r"^title:\s*(.+?)\s*$", tokens[0].content, re.MULTILINE)
    return found[1].strip("\"'") if found else None


def _fence(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType
) -> str:
    language = _language(tokens[at].info)
    label = f' data-language="{escapeHtml(language)}"' if language else ""
    return f'<div class="code"{label}>{renderer.fence(tokens, at, options, env)}</div>\n'


def _language(info: str) -> str:
    words = info.split()
    return words[0] if words else ""


def _colour(code: str, language: str, _attributes: str) -> str:
    """Code as HTML; an empty answer lets markdown-it escape it."""
    if not language:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return highlight(code, lexer, HtmlFormatter[str](nowrap=True))
