"""The page of a run, in Markdown: one table with all rows, then each row by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sentient_core.bench.findings import Findings
from sentient_core.bench.plots import Picture
from sentient_core.bench.result import Report, Result, RowTitle
from sentient_core.bench.wording import circumstances

__all__ = ["as_markdown", "headlines"]


def as_markdown(report: Report, pictures: Mapping[str, Sequence[Picture]] | None = None) -> str:
    """The page; `pictures`, by row, stand in files beside it."""
    lines = [
        "# Faults",
        "",
        f"Written by `{report.command}`; do not edit. Give the command again to measure on your machine;",
        "[faults.md](../faults.md) says how to read it.",
        "",
        circumstances(report.started, report.seconds, report.seed, report.machine),
        "",
    ]
    if report.is_quick:
        lines += ["**A quick run: it shows that everything works, its figures are rough.**", ""]
    for name, reason in report.skipped.items():
        lines += [f"Left out: {name}, since there is {reason}.", ""]
    lines += ["**Every promise held.**" if report.is_sound else "**Not every promise held: see below.**", ""]
    lines += _table(report)
    for row in report.rows:
        lines += _section(row, report, (pictures or {}).get(row.id, ()))
    return "\n".join(lines).rstrip() + "\n"


def _table(report: Report) -> list[str]:
    stores = report.stores()
    lines = [
        "| inject | figure | " + " | ".join(stores) + " |",
        "|---" * (2 + len(stores)) + "|",
    ]
    for row in report.rows:
        cells = ["<br><br>".join(map(_headline, report.of(row.id, store))) or "–" for store in stores]
        lines.append(f"| [{row.injects}](#{row.id}) | {row.shows} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def headlines(result: Result) -> list[str]:
    """What the table says of a row on a store: what broke, then what its author thought most telling."""
    if result.error is not None:
        return [f"**error**: {result.error}"]
    found = result.findings
    said = [f"**BROKEN** {check.claim}: {check.text}" for check in found.broken]
    said += [f"{one.name}: {one.text}" for one in found.measured if one.is_headline]
    said += [one.text for one in found.losses if one.is_headline]
    said += [f"{one.claim}: {one.text}" for one in found.checks if one.is_headline and one.is_met]
    return said


def _headline(result: Result) -> str:
    return "<br>".join(map(_cell, headlines(result)))


def _section(row: RowTitle, report: Report, pictures: Sequence[Picture]) -> list[str]:
    results = [result for result in report.results if result.row == row.id]
    if not results:
        return []
    lines = [f"## {row.id}", "", f"Inject: {row.injects}. Shown: {row.shows}.", ""]
    if row.about:
        lines += [row.about, ""]
    for picture in pictures:
        lines += [f"![{picture.title}]({picture.name})", ""]
    for result in results:
        disk = "" if result.fdatasync_p99_ms is None else f", fdatasync p99 {result.fdatasync_p99_ms:.2f} ms"
        lines += [f"**{result.store}, {result.backend}** ({result.sync}{disk}; {result.seconds:.1f} s)", ""]
        if result.error is not None:
            lines += [f"- **error**: {result.error}"]
        lines += [*_found(result.findings), ""]
    return lines


def _found(found: Findings) -> list[str]:
    lines = [f"- {one.name}: {one.text}" for one in found.measured]
    lines += [f"- {one.text}" for one in found.losses]
    lines += [f"- {one.claim}: {one.text}" for one in found.checks]
    lines += [f"- {note}." for note in found.notes]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
