"""A picture of all ratios: bars to the right of the baseline are faster than it, to the left slower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

import msgspec

__all__ = ["Bar", "Group", "as_svg"]

_WIDTH = 860
_LEFT, _RIGHT = 230, 760
"""Where the axis begins and ends; names and values stand beside the bars."""
_TOP = 84
_BAR, _GAP = 15, 20
"""Height of a bar with the space below it, and what is between two groups."""
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
_OWN = ("#1f5fa8", "#5b9bd5")
_OTHER = "#b8bcc4"
_INK, _FAINT = "#24292f", "#6b7280"


class Bar(msgspec.Struct, frozen=True):
    """One side's ratio."""

    name: str
    ratio: float
    goal: float | None = None
    """A tick is drawn there."""
    own: int | None = None
    """Number of our own colour; None for others."""


class Group(msgspec.Struct, frozen=True):
    """A workload."""

    title: str
    baseline: str
    bars: Sequence[Bar]


def as_svg(title: str, groups: Sequence[Group]) -> str:
    """The picture. Every group needs a bar, and ratios are above 0."""
    ratios = [value for group in groups for bar in group.bars for value in (bar.ratio, bar.goal or 1)]
    least = min(-1, math.floor(math.log10(min(ratios))))
    most = max(1, math.ceil(math.log10(max(ratios))))

    def x(ratio: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (math.log10(ratio) - least) / (most - least)

    parts: list[str] = []
    y = _TOP
    for group in groups:
        parts.append(_text(16, y + 10, group.title, weight=600))
        parts.append(_text(16, y + 25, f"1 = {group.baseline}", size=10, fill=_FAINT))
        for bar in group.bars:
            parts += _bar(bar, y, x(bar.ratio), x(1), x(bar.goal) if bar.goal else None)
            y += _BAR
        y += _GAP + max(0, 2 - len(group.bars)) * _BAR
    height = y + 6
    axis = [_axis_line(x(10.0**power), height, _label(power)) for power in range(least, most + 1)]
    size = f"width='{_WIDTH}' height='{height}'"
    head = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {_WIDTH} {height}' {_FONT} role='img'>",
        f"<title>{escape(title)}</title>",
        f"<rect {size} rx='8' fill='#ffffff'/>",
        _text(16, 28, title, size=16, weight=600),
        *_legend(),
    ]
    return "\n".join([*head, *axis, *parts, "</svg>"]) + "\n"


def _bar(bar: Bar, y: float, end: float, one: float, goal: float | None) -> list[str]:
    fill = _OTHER if bar.own is None else _OWN[bar.own]
    left, width = min(end, one), max(abs(end - one), 1)
    said = f"{bar.name}  {_number(bar.ratio)}"
    is_faster = end > one
    parts = [f"<rect x='{left:.1f}' y='{y}' width='{width:.1f}' height='{_BAR - 4}' rx='1.5' fill='{fill}'/>"]
    beyond = end
    if goal is not None:
        parts.append(f"<rect x='{goal - 1:.1f}' y='{y - 2}' width='2' height='{_BAR}' fill='{_INK}'/>")
        beyond = max(end, goal) if is_faster else min(end, goal)
    parts.append(
        _text(
            beyond + (6 if is_faster else -6),
            y + _BAR - 6,
            said,
            size=10.5,
            anchor="start" if is_faster else "end",
            weight=400 if bar.own is None else 600,
            fill=_FAINT if bar.own is None else _INK,
        )
    )
    return parts


def _axis_line(x: float, height: float, label: str) -> str:
    stroke = _INK if label == "1" else "#e5e7eb"
    return f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_TOP - 10}' y2='{height - 12}' stroke='{stroke}'/>" + _text(
        x, _TOP - 16, label, size=10.5, anchor="middle", fill=_FAINT
    )


def _legend() -> list[str]:
    parts: list[str] = []
    x = 16
    for colour, name in ((_OWN[0], "this runtime on asyncio"), (_OWN[1], "on trio"), (_OTHER, "others")):
        parts.append(f"<rect x='{x}' y='40' width='11' height='11' rx='1.5' fill='{colour}'/>")
        parts.append(_text(x + 16, 50, name, size=11, fill=_FAINT))
        x += 40 + 6 * len(name)
    parts.append(f"<rect x='{x + 4}' y='38' width='2' height='15' fill='{_INK}'/>")
    parts.append(_text(x + 12, 50, "goal", size=11, fill=_FAINT))
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12.5,
    anchor: str = "start",
    weight: int = 400,
    fill: str = _INK,
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size:g}' font-weight='{weight}' text-anchor='{anchor}' "
        f"fill='{fill}' xml:space='preserve'>{escape(text)}</text>"
    )


def _label(power: int) -> str:
    return f"{10**power:g}" if power >= 0 else f"1/{10**-power:g}"


def _number(ratio: float) -> str:
    digits = 1 if ratio >= 10 else 2 if ratio >= 0.1 else 3
    return f"{ratio:.{digits}f}"
