"""What verbs print: progress for people on stderr, results on stdout, as tables or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

__all__ = ["Reporter", "amount", "cell", "print_json", "print_table"]


class Reporter:
    """Tells on stderr what is going on: a line that changes on a terminal, else nothing until a step ends."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._step = ""

    @contextmanager
    def step(self, what: str) -> Generator[None]:
        """Something that takes a while."""
        self._step = what
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(cell(what)) as self._status:
            yield
        self._status = None

    def rows(self, table: str, count: int) -> None:
        """So many rows of a table are done. From any thread."""
        if self._status is not None:
            self._status.update(cell(f"{self._step}: {table} {count:,}"))

    @property
    def is_terminal(self) -> bool:
        """Somebody looks on."""
        return self._console.is_terminal

    def change(self, line: str) -> None:
        """Within a step on a terminal: what is going on by now."""
        if self._status is not None:
            self._status.update(cell(line))

    def say(self, line: str) -> None:
        """A line for people."""
        self._console.print(cell(line), soft_wrap=True)


def print_json(value: object) -> None:
    """One document: bytes as base64, times in ISO 8601, UTC."""
    document = json.loads(msgspec.json.encode(value))
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0
) -> None:
    """A table whose last `numbers` columns are numbers."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)
    table = Table(title=cell(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        is_number = position >= len(columns) - numbers
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console.print(table)


def cell(value: str) -> Text:
    """Text of users as it is: no markup of it counts, and nothing in it moves the cursor."""
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value))


def amount(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
