"""What came of a run: a table on the terminal, JSON for programs. The page: `benchmarks.page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.figures import baseline_of, goal_of, missed, ratio_of, why_missed
from benchmarks.measure import Figure
from sentient_core.bench.machine import Machine
from sentient_core.bench.wording import circumstances, value_of

__all__ = ["Run", "as_json", "print_table"]

_STYLES = {"met": "green", "within noise": "yellow", "missed": "red"}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the command."""

    command: str
    seed: int
    is_quick: bool
    started: str
    """UTC, ISO 8601."""
    seconds: float
    machine: Machine
    figures: Sequence[Figure]
    subject: str = "all"
    """What was measured: actors, the store, all of it."""
    about: Mapping[str, str] = {}
    """What each workload does, by its name."""
    skipped: Mapping[str, str] = {}
    """What was left out, and why."""


def print_table(run: Run, console: Console) -> None:
    """The table; what limits each missed goal below it."""
    table = Table(
        title=f"sentient-core, {run.subject}, each figure beside its baseline", title_justify="left"
    )
    table.add_column("workload", no_wrap=True)
    table.add_column("figure")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("baseline", justify="right")
    table.add_column("ratio (least–most)", justify="right", no_wrap=True)
    table.add_column("goal", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    workload: str | None = None
    for figure in run.figures:
        if workload not in (None, figure.workload):
            table.add_section()
        table.add_row(
            figure.workload if figure.workload != workload else "",
            figure.name,
            value_of(figure.value, figure.unit),
            baseline_of(figure),
            ratio_of(figure),
            goal_of(figure),
            _coloured(figure.verdict),
        )
        workload = figure.workload
    console.print(table)
    for figure in missed(run.figures):
        console.print(f"missed: {figure.workload}, {figure.name}. {why_missed(figure)}", highlight=False)
    for name, reason in run.skipped.items():
        console.print(f"left out: {name}: {reason}", highlight=False, markup=False)
    console.print(
        circumstances(run.started, run.seconds, run.seed, run.machine), highlight=False, style="dim"
    )


def as_json(run: Run) -> bytes:
    """All of it, for programs."""
    whole = msgspec.to_builtins(run)
    whole["figures"] = [figure.as_dict() for figure in run.figures]
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _coloured(verdict: str | None) -> str:
    if verdict is None:
        return ""
    style = next(style for word, style in _STYLES.items() if verdict.startswith(word))
    return f"[{style}]{verdict}[/]"
