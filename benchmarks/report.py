"""Figures for people and for programs: a table on the terminal, JSON, a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.measure import Figure

__all__ = ["Run", "as_json", "as_markdown", "print_table"]

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


def print_table(run: Run, console: Console) -> None:
    """The table; what limits each missed goal below it."""
    table = Table(title="sentient-core, each figure beside its baseline", title_justify="left")
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
            _value(figure.value, figure.unit),
            _baseline(figure),
            _ratio(figure),
            _goal(figure),
            _coloured(figure.verdict),
        )
        workload = figure.workload
    console.print(table)
    for figure in _missed(run.figures):
        console.print(f"missed: {figure.workload}, {figure.name}. {_why(figure)}", highlight=False)
    console.print(_circumstances(run), highlight=False, style="dim")


def as_json(run: Run) -> bytes:
    """All of it, for programs."""
    whole = msgspec.to_builtins(run)
    whole["figures"] = [figure.as_dict() for figure in run.figures]
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def as_markdown(run: Run) -> str:
    """The page that documents a run."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{run.command}`; do not edit. Give the command again to measure on your machine.",
        "",
        "Each figure is a median over rounds in which it and its baseline take turns; ratios are made within",
        "a round, their least and greatest stand behind. A goal counts as missed below 0.8 of it. Single",
        "values swing by some 40 % on shared cores: trust ratios. `but void`: fdatasync's p99 beside the",
        "rounds was above 1 ms, so that what they show, good or bad, does not count.",
        "",
        _circumstances(run),
        "",
    ]
    if run.is_quick:
        lines += ["**A quick run: it shows that everything works, its figures are rough.**", ""]
    for workload in dict.fromkeys(figure.workload for figure in run.figures):
        figures = [figure for figure in run.figures if figure.workload == workload]
        lines += [f"## {workload}", ""]
        lines += ["| | value | baseline | ratio (least–most) | goal | |", "|---|---|---|---|---|---|"]
        for figure in figures:
            cells = (
                figure.name,
                _value(figure.value, figure.unit),
                _baseline(figure),
                _ratio(figure),
                _goal(figure),
                figure.verdict or "",
            )
            lines.append("| " + " | ".join(cells) + " |")
        lines += [*_notes(figures), ""]
    missed = _missed(run.figures)
    lines += ["## Missed goals", ""]
    lines += [
        f"- **{f.workload}, {f.name}**: {_value(f.measured, '')} for {_goal(f)}. {_why(f)}" for f in missed
    ]
    if not missed:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def _notes(figures: Sequence[Figure]) -> list[str]:
    by_note: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            by_note.setdefault(figure.note, []).append(figure.name)
    notes = [f"- {_names(names)}: {note}." for note, names in by_note.items()]
    return ["", *notes] if notes else []


def _names(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) <= 3 else f"{len(names)} of these figures"


def _missed(figures: Sequence[Figure]) -> list[Figure]:
    return [figure for figure in figures if (figure.verdict or "").startswith("missed")]


def _why(figure: Figure) -> str:
    said = [text for text in (f"What limits it: {figure.limit}" if figure.limit else "", figure.note) if text]
    return ("; ".join(said) + ".") if said else ""


def _circumstances(run: Run) -> str:
    machine = run.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    load = f"load {machine.load[0]:g} before, {machine.load[1]:g} behind"
    return (
        f"{run.started}, {run.seconds / 60:.1f} min, seed {run.seed}. {machine.cpu}, {machine.cores} cores, "
        f"{machine.os}, {machine.file_system}, {load}. {machine.python}, {packages}."
    )


def _value(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def _baseline(figure: Figure) -> str:
    if figure.baseline is None or figure.baseline_value is None:
        return ""
    return f"{figure.baseline} {_value(figure.baseline_value, '')}"


def _ratio(figure: Figure) -> str:
    if figure.spread is None:
        return "" if figure.ratio is None else f"{figure.ratio:.2f}"
    least, most = figure.spread
    if figure.ratio is None:
        return "" if least == most else f"({_value(least, '')}–{_value(most, '')})"
    return f"{figure.ratio:.2f} ({least:.2f}–{most:.2f})"


def _goal(figure: Figure) -> str:
    goal = figure.goal
    if goal is None:
        return ""
    unit = "" if figure.ratio is not None else f" {figure.unit}"
    return f"{'≥' if goal.is_least else '≤'} {goal.bound:g}{unit}"


def _coloured(verdict: str | None) -> str:
    if verdict is None:
        return ""
    style = next(style for word, style in _STYLES.items() if verdict.startswith(word))
    return f"[{style}]{verdict}[/]"
