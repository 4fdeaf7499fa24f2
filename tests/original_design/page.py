"""The page of changes as data: its tables, and whether a row of them speaks of a name."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["Row", "Section", "sections_of"]

Row = tuple[str, ...]
"""The cells of one row of a table, as Markdown."""


class Section:
    """What stands under one heading."""

    def __init__(self, heading: str, text: str) -> None:
        self.heading = heading
        lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
        self.rows: list[Row] = [tuple(re.split(r" ?\| ?", line)[1:-1]) for line in lines]

    def row_of(self, name: str) -> Row | None:
        """The first row that begins with this name, or has it in a list of names, or as a signature."""
        wanted = re.compile(rf"`{re.escape(name)}(\(.*?\))?`")
        return next((row for row in self.rows if wanted.search(row[0])), None)

    def signature_of(self, name: str) -> tuple[str, ...] | None:
        """The parameters that the page writes behind a name; None: it writes none."""
        row = self.row_of(name)
        found = None if row is None else re.search(rf"`{re.escape(name)}\((.*?)\)`", row[0])
        return None if found is None else tuple(filter(None, found[1].split(", ")))


def sections_of(page: Path) -> dict[str, Section]:
    """The sections by what stands first in their heading, without its backticks."""
    parts = re.split(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    sections = [Section(heading, text) for heading, text in zip(parts[::2], parts[1::2], strict=True)]
    return {re.split(r",| now ", section.heading)[0].strip("`"): section for section in sections}
