"""The page that documents a run, in Markdown, and its picture."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import baseline_of, goal_of, missed, ratio_of, why_missed
from benchmarks.measure import Figure
from benchmarks.plot import Bar, Group, as_svg
from benchmarks.report import Run
from sentient_core.bench.wording import circumstances, value_of

__all__ = ["as_markdown", "picture"]

_OWN = ("asyncio", "trio")


def as_markdown(run: Run, plot: str | None = None) -> str:
    """The page; `plot` is the file name of the picture beside it."""
    lines = [
        f"# Benchmarks: {run.subject}",
        "",
        f"Written by `{run.command}`; do not edit. Give the command again to measure on your machine.",
        "",
        "Each figure is a median over rounds in which it and its baseline take turns; ratios are made within",
        "a round, their least and greatest stand behind. A goal counts as missed below 0.8 of it. Single",
        "values swing by some 40 % on shared cores: trust ratios.",
    ]
    if any(figure.is_void for figure in run.figures):
        lines += [
            "`but void`: fdatasync's p99 beside the rounds was above 1 ms, so that what they show, good or",
            "bad, does not count.",
        ]
    lines += ["", circumstances(run.started, run.seconds, run.seed, run.machine), ""]
    if run.is_quick:
        lines += ["**A quick run: it shows that everything works, its figures are rough.**", ""]
    lines += _skipped(run)
    if plot is not None:
        lines += [f"![Ratios of all workloads to their baselines]({plot})", ""]
    lines += _at_a_glance(run.figures)
    for workload in dict.fromkeys(figure.workload for figure in run.figures):
        lines += _section(workload, run)
    lines += ["## Missed goals", ""]
    lines += [
        f"- **{f.workload}, {f.name}**: {value_of(f.measured, '')} for {goal_of(f)}. {why_missed(f)}".rstrip()
        for f in missed(run.figures)
    ] or ["None."]
    return "\n".join(lines) + "\n"


def picture(run: Run) -> str | None:
    """An SVG of the ratios that compare with a plain baseline; None if there is none."""
    groups: list[Group] = []
    for workload, figures in _by_side(run.figures).items():
        bars = [
            Bar(
                name,
                figure.ratio or 0,
                goal=figure.goal.bound if figure.goal is not None else None,
                own=_OWN.index(name) if name in _OWN else None,
            )
            for name, figure in figures.items()
        ]
        groups.append(Group(workload, figures[_OWN[0]].baseline or "", bars))
    title = "How fast, as a ratio to a plain baseline in the same run (right of 1: faster)"
    return as_svg(title, groups) if groups else None


def _by_side(figures: Sequence[Figure]) -> dict[str, dict[str, Figure]]:
    """The figures of rates with a ratio, by workload and by who is measured: ours and the peers'."""
    found: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        is_rate = figure.unit.endswith("/s") and figure.ratio is not None
        if is_rate and (figure.name in _OWN or figure.is_peer):
            found.setdefault(figure.workload, {})[figure.name] = figure
    return {workload: sides for workload, sides in found.items() if _OWN[0] in sides}


def _at_a_glance(figures: Sequence[Figure]) -> list[str]:
    by_workload = _by_side(figures)
    if len(by_workload) < 2:
        return []
    sides = dict.fromkeys(name for found in by_workload.values() for name in found)
    lines = ["| ratio | " + " | ".join(by_workload) + " |", "|---" * (len(by_workload) + 1) + "|"]
    for side in sides:
        cells = [
            ratio_of(found[side], is_short=True) if side in found else "–" for found in by_workload.values()
        ]
        name = f"**{side}**" if side in _OWN else side
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _section(workload: str, run: Run) -> list[str]:
    figures = [figure for figure in run.figures if figure.workload == workload]
    lines = [f"## {workload}", ""]
    if workload in run.about:
        lines += [run.about[workload], ""]
    lines += ["| | value | baseline | ratio (least–most) | goal | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        cells = (
            figure.name,
            value_of(figure.value, figure.unit),
            baseline_of(figure),
            ratio_of(figure),
            goal_of(figure),
            figure.verdict or "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, *_notes(figures), ""]


def _skipped(run: Run) -> list[str]:
    if not run.skipped:
        return []
    return ["Left out:", "", *(f"- {name}: {reason}." for name, reason in run.skipped.items()), ""]


def _notes(figures: Sequence[Figure]) -> list[str]:
    by_note: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            by_note.setdefault(figure.note, []).append(figure.name)
    notes = [f"- {_names(names)}: {note}." for note, names in by_note.items()]
    return ["", *notes] if notes else []


def _names(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) <= 3 else f"{len(names)} of these figures"
