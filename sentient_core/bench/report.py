"""What is left of a run: JSON, a page and pictures in a folder; the table on stdout."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sentient_core.bench.page import as_markdown, headlines
from sentient_core.bench.plots import can_draw, draw
from sentient_core.bench.result import Report, as_json
from sentient_core.bench.wording import circumstances

__all__ = ["prepare", "print_report", "write_report"]


def write_report(report: Report, folder: Path) -> str | None:
    """`faults.json`, `README.md` and the pictures, as `*.svg`. Returns what could not be written, and why."""
    prepare(folder)
    (folder / "faults.json").write_bytes(as_json(report))
    pictures = draw(report, folder) if can_draw() else {}
    guide = "../faults.md" if (folder.parent / "faults.md").is_file() else None  # as in docs/faults
    (folder / "README.md").write_text(as_markdown(report, pictures, guide=guide), "utf-8")
    return (
        None
        if can_draw()
        else "no pictures: matplotlib is not installed (`pip install sentient-core[bench]`)"
    )


def prepare(folder: Path) -> None:
    """Make it, so that who cannot write there knows before anything was measured. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} may not be written to")


def print_report(report: Report, console: Console) -> None:
    """What the page's table says, line by line."""
    table = Table(title="sentient-core, faults", title_justify="left")
    for column in ("row", "store", "found", ""):
        table.add_column(column, no_wrap=column != "found", overflow="fold")
    for result in report.results:
        verdict = Text("held", "green") if result.is_sound else Text("broken", "red")
        said = Text("\n".join(line.replace("**", "") for line in headlines(result)))
        table.add_row(result.row, f"{result.store}\n{result.backend}", said, verdict, end_section=True)
    console.print(table)
    for name, reason in report.skipped.items():
        console.print(f"not measured: {name}: {reason}", markup=False, highlight=False)
    console.print(
        circumstances(report.started, report.seconds, report.seed, report.machine),
        markup=False,
        highlight=False,
        style="dim",
    )
