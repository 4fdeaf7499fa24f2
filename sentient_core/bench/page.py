"""The page of a run, in Markdown: one table with all rows, then each row by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from sentient_core.bench.entries import Entry
from sentient_core.bench.plots import Picture
from sentient_core.bench.result import Report, Result, RowTitle
from sentient_core.bench.stores import StoreKind
from sentient_core.bench.wording import value_of

__all__ = ["as_markdown", "headlines"]

_BUSY = 0.5
"""A load above it, before anything was measured, is somebody else's."""
_NONE = "–"


def as_markdown(
    report: Report, pictures: Mapping[str, Sequence[Picture]] | None = None, *, guide: str | None = None
) -> str:
    """The page; `pictures`, by row, stand in files beside it. `guide` is where it finds docs/faults.md."""
    how_to_read = "docs/faults.md of sentient-core" if guide is None else f"[faults.md]({guide})"
    stores = [row for row in report.rows if not _is_side_by_side(report.of(row.id))]
    peers = [row for row in report.rows if _is_side_by_side(report.of(row.id))]
    lines = [
        "# Faults",
        "",
        f"Written by `{report.command}`; do not edit. Give the command again to measure on your machine;",
        f"{how_to_read} says how to read it.",
        "",
        *_circumstances(report),
        *_verdict(report),
        *_overview(stores, report),
    ]
    for row in peers:
        lines += [f"**{row.injects}** ([more](#{row.id}))", ""]
        lines += _lines(report.of(row.id), lambda entry: entry.is_headline)
    for row in report.rows:
        lines += _section(row, report, (pictures or {}).get(row.id, ()))
    return "\n".join(lines).rstrip() + "\n"


def headlines(result: Result) -> list[str]:
    """What is most telling of a row on a store: what broke, then what its author thought so."""
    found = result.findings
    said = [] if result.error is None else [f"**error**: {result.error}"]
    said += [f"**BROKEN** {check.text}" for check in found.broken]
    return said + [entry.text for entry in found.entries if entry.is_headline and entry not in found.broken]


def _circumstances(report: Report) -> list[str]:
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    syncs = {result.store: result.sync for result in report.results}
    said = {
        "machine": f"{machine.cpu}, {machine.cores} cores, {machine.os}; databases on {machine.file_system}",
        "load": f"{machine.load[0]:g} before, {machine.load[1]:g} behind",
        "versions": f"{machine.python}, {packages}",
        "run": f"{report.started}, {report.seconds / 60:.1f} minutes, seed {report.seed}",
        "stores": "; ".join(f"{store}: {sync}" for store, sync in syncs.items()) or _NONE,
        "event loops": ", ".join(dict.fromkeys(result.backend for result in report.results)) or _NONE,
    }
    if report.skipped:
        said["not measured"] = "; ".join(
            f"{', '.join(name for name, _ in names)}: {reason}"
            for reason, names in groupby(report.skipped.items(), key=lambda item: item[1])
        )
    return ["| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in said.items()), ""]


def _verdict(report: Report) -> list[str]:
    lines: list[str] = []
    if report.is_interrupted:
        lines += ["**Interrupted: what stands here was measured until then.**", ""]
    if report.is_quick:
        lines += ["**A quick run: it shows that everything works, its figures are rough.**", ""]
    if report.machine.load[0] > _BUSY:
        lines += ["**Something else ran on this machine: times are longer than they would be.**", ""]
    broken = [
        f"- **BROKEN** [{result.row}](#{result.row}), {result.store}, {result.backend}: {check.text}"
        for result in report.results
        for check in result.findings.broken
    ]
    errors = [
        f"- **error** [{result.row}](#{result.row}), {result.store}, {result.backend}: {_cell(result.error)}"
        for result in report.results
        if result.error is not None
    ]
    if broken:
        return [*lines, "**Not every promise held:**", "", *broken, *errors, ""]
    if errors:
        return [
            *lines,
            "**Every promise held of what could be measured, which is not all:**",
            "",
            *errors,
            "",
        ]
    return [*lines, "**Every promise held.**", ""]


def _overview(rows: Sequence[RowTitle], report: Report) -> list[str]:
    columns = _columns([result for row in rows for result in report.of(row.id)])
    if not columns:
        return []
    lines = ["| inject | figure | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    for row in rows:
        first = f"[{row.injects}](#{row.id})"
        for title, cells in _cells(report.of(row.id), lambda entry: entry.is_headline).items():
            lines.append(_line([first, title, *(cells.get(column, _NONE) for column in columns)]))
            first = ""
    return [*lines, ""]


def _section(row: RowTitle, report: Report, pictures: Sequence[Picture]) -> list[str]:
    results = report.of(row.id)
    lines = [f"## {row.id}", "", f"Inject: {row.injects}. Shown: {row.shows}.", ""]
    if row.about:
        lines += [row.about, ""]
    if not results:
        return [*lines, "Not measured in this run.", ""]
    for picture in pictures:
        lines += [f"![{picture.title}]({picture.name})", ""]
    lines += _lines(results, lambda _: True)
    for note, columns in _notes(results).items():
        of = f" ({', '.join(columns)})" if len(columns) < len(results) else ""
        lines += [f"- {note}{of}."]
    for result in results:
        if result.error is not None:
            lines += [f"- **error**, {_column(result)}: {result.error}"]
    disks = [r for r in results if r.fdatasync_p99_ms is not None]
    disk = "; ".join(f"{_column(r)} {value_of(r.fdatasync_p99_ms or 0.0, 'ms')}" for r in disks)
    took = ", ".join(f"{_column(r)} {r.seconds:.0f} s" for r in results)
    synced = f" fdatasync p99 just before: {disk}." if disk else ""
    return [*lines, "", f"<sub>Took: {took}.{synced}</sub>", ""]


def _lines(results: Sequence[Result], is_wanted: Callable[[Entry], bool]) -> list[str]:
    """What was found, a line for each title, a column for each store and loop, or for each program."""
    columns = _columns(results)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for title, cells in _cells(results, is_wanted).items():
        lines.append(_line([title, *(cells.get(column, _NONE) for column in columns)]))
    return [*lines, ""]


def _cells(results: Sequence[Result], is_wanted: Callable[[Entry], bool]) -> dict[str, dict[str, str]]:
    """By title, in the order of the first that has it, and by column."""
    cells: dict[str, dict[str, str]] = {}
    for result in results:
        for entry in result.findings.entries:
            if is_wanted(entry):
                cells.setdefault(entry.title, {})[entry.who or _column(result)] = entry.value
    return cells


def _columns(results: Sequence[Result]) -> list[str]:
    if _is_side_by_side(results):
        return list(dict.fromkeys(entry.who for r in results for entry in r.findings.entries if entry.who))
    in_order = sorted(results, key=lambda result: (list(StoreKind).index(result.store), result.backend))
    return list(dict.fromkeys(map(_column, in_order)))


def _column(result: Result) -> str:
    return f"{result.store}, {result.backend}"


def _is_side_by_side(results: Sequence[Result]) -> bool:
    return any(entry.who for result in results for entry in result.findings.entries)


def _notes(results: Sequence[Result]) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    for result in results:
        for note in result.findings.notes:
            notes.setdefault(note, []).append(_column(result))
    return notes


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")
