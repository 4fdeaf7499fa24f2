"""The report as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.site.report import Gap, Report

__all__ = ["print_report"]

MOST_NAMES = 5


def print_report(console: Console, report: Report) -> None:
    """Print what the database says; what is wrong in red."""
    table = Table(
        "what",
        "count",
        "note",
        title="Read back from the database",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.columns[1].justify = "right"
    table.columns[2].style = "dim"
    for what, value, is_fine, note in _rows(report):
        colour = "default" if is_fine is None else "green" if is_fine else "bold red"
        table.add_row(what, f"[{colour}]{value}[/]", escape(note))
    console.print()
    console.print(table)
    for footnote in _footnotes(report):
        console.print(footnote, style="dim", highlight=False)
    for file, why in report.given_up:
        console.print(f"not made: {file}: {why}", style="red", markup=False, highlight=False)
    links = (f"leads nowhere: {link.href} in {link.source}" for link in report.dead_links)
    remarks = (f"{remark.what}: {remark.source}" for remark in report.remarks)
    for line in (*links, *remarks):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _rows(report: Report) -> Iterator[tuple[str, object, bool | None, str]]:
    """What, how many, whether that is as it should be (None: it is neither good nor bad), and a note."""
    sent = report.sent_now + report.sent_before
    count = "tells, asks and replies, by the runtime's own count"
    if report.starts > 1:
        count = f"{report.sent_now} by this process, {report.sent_before} by earlier ones ¹"
    yield "messages sent", sent, None, count
    yield "events mirrored", report.mirrored, report.mirrored == sent, "their rows in agent_event"
    yield f"gaps {_gap_mark(report)}", len(report.gaps), None, _names([_gap(gap) for gap in report.gaps])
    yield "crashes", report.crashes, None, "handlers that raised"
    yield "restarts", report.restarts, None, "by a supervisor"
    yield "checkpoints restored", report.restored, None, "actors that began with a stored state"
    yield "pages planned", report.planned, None, f"{report.pages} to read, the rest belongs to them"
    yield "pages lost", len(report.lost), not report.lost, _names(report.lost)
    yield "pages published twice", len(report.twice), not report.twice, _names(report.twice)
    if report.differing:
        yield "as if undisturbed", "no", False, _names(report.differing)
    else:
        yield "as if undisturbed", "yes", True, "every file, byte for byte"


def _footnotes(report: Report) -> Iterator[str]:
    if report.starts > 1:
        yield "¹ Processes that are gone cannot be asked: theirs are counted by their rows."
    yield (
        f"{_gap_mark(report)} A gap is where rows may be missing: a process that is killed takes the "
        "messages of its last milliseconds with it, and the next start finds no mark of an orderly end."
    )


def _gap_mark(report: Report) -> str:
    return "²" if report.starts > 1 else "¹"


def _gap(gap: Gap) -> str:
    if gap.count is None:
        return "a process without an orderly end"
    return f"{gap.count} to {gap.target}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown}, …"
