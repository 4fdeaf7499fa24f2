"""How the site looks: templates, style sheet, colours of code, and a digest of all that decides on it."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments.formatters.html import HtmlFormatter

from examples.site.files import digest_of

__all__ = ["STYLE_FILE", "THEME", "Theme"]

HERE = Path(__file__).parent
STYLE_FILE = "_site/style.css"

MAKERS = ("links.py", "markdown.py", "plan.py", "render.py", "theme.py")
LIBRARIES = ("jinja2", "markdown-it-py", "mdit-py-plugins", "pygments")
LIGHT_CODE, DARK_CODE = "friendly", "github-dark"


class Theme:
    """The look. Everything is read once; it may be used from several threads."""

    @cached_property
    def digest(self) -> str:
        """Changes with whatever may change the bytes of a page, except for its source and the plan."""
        looks = sorted([*(HERE / "templates").iterdir(), *(HERE / "static").iterdir()])
        files = [path.read_bytes() for path in (*looks, *(HERE / name for name in MAKERS))]
        return digest_of(*files, *(f"{name} {version(name)}".encode() for name in LIBRARIES))

    @cached_property
    def stylesheet(self) -> str:
        """The style sheet, the colours of code included."""
        return "\n".join(
            (
                (HERE / "static" / "style.css").read_text(encoding="utf-8"),
                _code_colours(LIGHT_CODE),
                "@media (prefers-color-scheme: dark) {",
                _code_colours(DARK_CODE),
                "}\n",
            )
        )

    def page(self, template: str, body: str, **values: Any) -> str:
        """A page from a template; `body` is HTML, every other value is text and gets escaped."""
        return self._environment.get_template(template).render(body=Markup(body), **values)  # noqa: S704 - see above

    @cached_property
    def _environment(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )


THEME = Theme()


def _code_colours(style: str) -> str:
    # Only the tokens: lines, backgrounds and the like are the style sheet's.
    formatter: Any = HtmlFormatter[str](style=style)  # its stubs say nothing about this method
    styles: str = formatter.get_style_defs(".code")
    return "\n".join(
        line for line in styles.splitlines() if line.startswith(".code .") and ".hll" not in line
    )
