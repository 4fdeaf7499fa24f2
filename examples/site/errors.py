"""What keeps the program from running: one readable line each, exit code 2.

    CannotRun
    ├── SourceUnusable      no such folder, or not readable
    ├── NoMarkdown          nothing to make a site of
    ├── OutputUnusable      the output folder cannot be written, or is not ours
    ├── StoreUnusable       the store cannot be used for what was asked
    └── Stalled             the agents came to a halt
"""

from __future__ import annotations

__all__ = ["CannotRun", "NoMarkdown", "OutputUnusable", "SourceUnusable", "Stalled", "StoreUnusable"]


class CannotRun(Exception):
    """The root of this program's own errors; the text is for the person who gave the command."""


class SourceUnusable(CannotRun):
    """The source folder is not there or cannot be read."""

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        super().__init__(f"cannot read documents from '{folder}': {why}")


class NoMarkdown(CannotRun):
    """The source folder holds no document."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(f"no Markdown in '{folder}': it needs at least one file that ends in .md")


class OutputUnusable(CannotRun):
    """The output folder cannot be made, written or cleared."""

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        super().__init__(f"cannot write the site to '{folder}': {why}")


class StoreUnusable(CannotRun):
    """The store cannot be used for what was asked."""


class Stalled(CannotRun):
    """Nothing has got done for a long time."""
