"""The pictures of a run: availability over time around a fault, one quantity over another.

matplotlib, of the extra `bench`, is imported here alone and only when there is something to draw.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sentient_core.bench.findings import Curve, Timeline
from sentient_core.bench.result import Report, Result

__all__ = ["Picture", "can_draw", "draw"]

_COLUMNS = 2
_PANEL = (5.6, 2.4)
"""Inches of one panel."""
_INK, _OWN, _FAULT = "#24292f", "#1f5fa8", "#d1242f"
_STYLE = {
    "svg.hashsalt": "sentient-core",  # the same run draws the same file
    "svg.fonttype": "none",  # text is text, and the file a tenth as long
    "font.size": 8,
    "text.color": _INK,
}


class Picture(msgspec.Struct, frozen=True):
    """One that was written."""

    title: str
    name: str
    """Of its file."""


def can_draw() -> bool:
    """Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(report: Report, folder: Path) -> dict[str, list[Picture]]:
    """Write the pictures there are figures for, as SVG; those of each row."""
    drawn: dict[str, list[Picture]] = {}
    for row in report.rows:
        results = [result for result in report.results if result.row == row.id]
        timelines = [(result, found) for result in results for found in result.findings.timelines]
        curves = [(result, found) for result in results for found in result.findings.curves]
        for title, kind, panels, fill in (
            ("Availability around the fault", "availability", timelines, _fill_timeline),
            ("One quantity over another", "curves", curves, _fill_curve),
        ):
            if panels:
                picture = Picture(f"{title}: {row.id}", f"{row.id}-{kind}.svg")
                _draw(picture.title, panels, fill, folder / picture.name)
                drawn.setdefault(row.id, []).append(picture)
    return drawn


def _draw(
    title: str, panels: Sequence[tuple[Result, Any]], fill: Callable[[Any, Any], None], path: Path
) -> None:
    mpl: Any = importlib.import_module("matplotlib")  # its types are partly unknown
    figure: Any = importlib.import_module("matplotlib.figure")
    rows = -(-len(panels) // _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    with mpl.rc_context(_STYLE):
        picture: Any = figure.Figure(
            figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.4), layout="constrained"
        )
        picture.suptitle(title, fontsize=11, fontweight="bold")
        axes: Any = picture.subplots(rows, columns, squeeze=False)
        for number, axis in enumerate(axes.flat):
            if number >= len(panels):
                axis.set_visible(False)
                continue
            result, found = panels[number]
            axis.set_title(f"{found.name} ({result.store}, {result.backend})", fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(visible=True, color="#e5e7eb", linewidth=0.6)
            fill(axis, found)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        picture.savefig(path, metadata=metadata)


def _fill_timeline(axis: Any, found: Timeline) -> None:
    start, end = found.fault
    shares = [100 * share for share in found.shares]
    axis.axvspan(start, max(end, start + 1e-3), color=_FAULT, alpha=0.15, linewidth=0)
    axis.axvline(start, color=_FAULT, linewidth=0.8)
    axis.step(found.times, shares, where="post", color=_OWN, linewidth=1.4)
    axis.set_ylim(-3, 105)
    axis.set_xlabel("seconds")
    axis.set_ylabel(f"% answered in {found.within * 1e3:g} ms")


def _fill_curve(axis: Any, found: Curve) -> None:
    axis.plot(found.xs, found.ys, "o-", color=_OWN, linewidth=1.2, markersize=3)
    if min(found.xs) > 0 and max(found.xs) / min(found.xs) >= 50:  # over decades
        axis.set_xscale("log")
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.set_xlabel(found.x)
    axis.set_ylabel(found.y)
