"""The pictures of a run: availability over time around a fault, one quantity over another.

matplotlib, of the extra `bench`, is imported here alone and only when there is something to draw.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sentient_core.bench.findings import Curve, Timeline
from sentient_core.bench.result import Report, Result

__all__ = ["can_draw", "draw"]

_COLUMNS = 2
_PANEL = (5.6, 2.4)
"""Inches of one panel."""
_INK, _OWN, _FAULT = "#24292f", "#1f5fa8", "#d1242f"


def can_draw() -> bool:
    """Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(report: Report, folder: Path) -> list[tuple[str, str]]:
    """Write the pictures there are figures for, as SVG; their titles and file names."""
    timelines = [(result, found) for result in report.results for found in result.findings.timelines]
    curves = [(result, found) for result in report.results for found in result.findings.curves]
    drawn: list[tuple[str, str]] = []
    for title, name, panels, fill in (
        ("Availability over time around the fault", "availability.svg", timelines, _fill_timeline),
        ("One quantity over another", "curves.svg", curves, _fill_curve),
    ):
        if panels:
            _panels(panels, fill, title, folder / name)
            drawn.append((title, name))
    return drawn


def _panels(
    panels: Sequence[tuple[Result, Any]], fill: Callable[[Any, Any], None], title: str, path: Path
) -> None:
    mpl: Any = importlib.import_module("matplotlib")  # its types are partly unknown
    figure: Any = importlib.import_module("matplotlib.figure")
    rows = -(-len(panels) // _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    # the same run draws the same file
    with mpl.rc_context({"svg.hashsalt": "sentient-core", "font.size": 8, "text.color": _INK}):
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
            axis.set_title(f"{result.row}: {found.name} ({result.store}, {result.backend})", fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(visible=True, color="#e5e7eb", linewidth=0.6)
            fill(axis, found)
        picture.savefig(path, format="svg", metadata={"Date": None})


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
    axis.set_xlabel(found.x)
    axis.set_ylabel(found.y)
