"""What keeps the program from its work: one readable line each, and an exit code.

CannotRun
├── SourceUnusable      no such folder, or not readable
├── NoMarkdown          nothing to make a site of
├── OutputUnusable      the output folder cannot be written, or is not ours
├── StoreUnusable       the store cannot be used for what was asked
├── PortUnusable        nobody can be served there
├── Stalled             the agents came to a halt
└── Interrupted         by Ctrl-C or SIGTERM; exit code 130 or 143, else 2
"""

from __future__ import annotations

import signal

__all__ = [
    "CannotRun",
    "Interrupted",
    "NoMarkdown",
    "OutputUnusable",
    "PortUnusable",
    "SourceUnusable",
    "Stalled",
    "StoreUnusable",
]


class CannotRun(Exception):
    """The root of this program's own errors; the text is for the person who gave the command."""

    exit_code = 2


class SourceUnusable(CannotRun):
    """The source folder is not there or cannot be read."""

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        super().__init__(f"cannot read documents from '{folder}': {why}")


class NoMarkdown(CannotRun):
    """The source folder holds no document."""

    def __init__(self, folder: str, *remarks: str) -> None:
        self.folder = folder
        seen = f" ({'; '.join(remarks)})" if remarks else ""
        super().__init__(f"no Markdown in '{folder}': it needs at least one file that ends in .md{seen}")


class OutputUnusable(CannotRun):
    """The output folder cannot be made, written or cleared."""

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        super().__init__(f"cannot write the site to '{folder}': {why}")


class StoreUnusable(CannotRun):
    """The store cannot be used for what was asked."""


class PortUnusable(CannotRun):
    """The port cannot be listened on."""


class Stalled(CannotRun):
    """Nothing has got done for a long time."""


class Interrupted(CannotRun):
    """Somebody wanted it to end."""

    def __init__(self, number: signal.Signals) -> None:
        self.exit_code = 128 + number
        super().__init__(f"interrupted by {number.name}: the same command goes on from here")
