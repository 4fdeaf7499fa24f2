"""The pictures of a run: availability over time around a fault, one quantity over another.

matplotlib, of the extra `bench`, is imported here alone and only when there is something to draw.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from sentient_core.bench.entries import Curve, Timeline
from sentient_core.bench.result import Report, Result

__all__ = ["Picture", "can_draw", "draw"]

_COLUMNS = 3
_PANEL = (4.0, 1.9)
"""Inches of one panel."""
_DECADES = 50
"""From the smallest to the largest, so many times: then both axes are logarithmic."""
_INK, _OWN, _FAULT = "#24292f", "#1f5fa8", "#d1242f"
_COLOURS = (_OWN, "#bf5b04", "#2f7d32")
_TITLES = {"availability": "Availability: {}", "curves": "{}"}
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
        results = report.of(row.id)
        timelines = [(result, found) for result in results for found in result.findings.timelines]
        curves = [
            (result, list(found))
            for result in results
            for _, found in groupby(result.findings.curves, key=lambda curve: curve.name)
        ]
        names: dict[str, Sequence[Any]] = {
            "availability": [_Panel(r, found.name, _fill_timeline, found) for r, found in timelines],
            "curves": [_Panel(r, found[0].name, _fill_curves, found) for r, found in curves],
        }
        for kind, panels in names.items():
            if panels:
                picture = Picture(_TITLES[kind].format(row.injects), f"{row.id}-{kind}.svg")
                _draw(picture.title, panels, folder / picture.name)
                drawn.setdefault(row.id, []).append(picture)
    return drawn


class _Panel(msgspec.Struct, frozen=True):
    result: Result
    name: str
    fill: Callable[[Any, Any], None]
    found: Any


def _draw(title: str, panels: Sequence[_Panel], path: Path) -> None:
    mpl: Any = importlib.import_module("matplotlib")  # its types are partly unknown
    figure: Any = importlib.import_module("matplotlib.figure")
    places = {(panel.result.store, panel.result.backend): None for panel in panels}
    if 1 < len(places) <= _COLUMNS:  # a line for each name, a column for each store
        columns = len(places)
        names = list(dict.fromkeys(panel.name for panel in panels))
        panels = sorted(panels, key=lambda panel: names.index(panel.name))
    else:
        columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context(_STYLE):
        picture: Any = figure.Figure(
            figsize=(_PANEL[0] * max(columns, 2), _PANEL[1] * rows + 0.4), layout="constrained"
        )
        picture.suptitle(title, fontsize=10, fontweight="bold")
        axes: Any = picture.subplots(rows, columns, squeeze=False)
        for number, axis in enumerate(axes.flat):
            if number >= len(panels):
                axis.set_visible(False)
                continue
            panel = panels[number]
            where = f"{panel.result.store}, {panel.result.backend}"
            axis.set_title(f"{panel.name} ({where})", fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(visible=True, color="#e5e7eb", linewidth=0.6)
            panel.fill(axis, panel.found)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        picture.savefig(path, metadata=metadata)


def _fill_timeline(axis: Any, found: Timeline) -> None:
    shares = [100 * share for share in found.shares]
    axis.axvspan(0.0, max(found.lasts, 1e-3), color=_FAULT, alpha=0.15, linewidth=0)
    axis.axvline(0.0, color=_FAULT, linewidth=0.8)
    axis.step(found.times, shares, where="post", color=_OWN, linewidth=1.4)
    axis.set_ylim(-3, 105)
    runs = f" ({found.runs} runs)" if found.runs > 1 else ""
    axis.set_xlabel(f"seconds from the fault's beginning{runs}")
    axis.set_ylabel(f"% answered in {found.within * 1e3:g} ms")


def _fill_curves(axis: Any, found: Sequence[Curve]) -> None:
    for curve, colour in zip(found, _COLOURS, strict=False):
        below = [y - low for y, low in zip(curve.ys, curve.lows, strict=True)]
        above = [high - y for y, high in zip(curve.ys, curve.highs, strict=True)]
        axis.errorbar(
            curve.xs,
            curve.ys,
            yerr=(below, above),
            fmt="o-",
            color=colour,
            linewidth=1.2,
            markersize=3,
            capsize=2,
            label=curve.label,
        )
    xs = [x for curve in found for x in curve.xs]
    if min(xs) > 0 and max(xs) / min(xs) >= _DECADES:
        axis.set_xscale("log")
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.set_xlabel(found[0].x)
    axis.set_ylabel(found[0].y)
    if len(found) > 1:
        axis.legend(frameon=False)
