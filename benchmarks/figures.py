"""How a figure is said, on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Figure
from sentient_core.bench.wording import value_of

__all__ = ["baseline_of", "goal_of", "missed", "ratio_of", "why_missed"]


def missed(figures: Sequence[Figure]) -> list[Figure]:
    """Those whose goal is missed, owed or not."""
    return [figure for figure in figures if (figure.verdict or "").startswith("missed")]


def why_missed(figure: Figure) -> str:
    """What limits it, and what to know of it."""
    said = [text for text in (f"What limits it: {figure.limit}" if figure.limit else "", figure.note) if text]
    return ("; ".join(said) + ".") if said else ""


def baseline_of(figure: Figure) -> str:
    """What it is compared with, and that one's value."""
    if figure.baseline is None or figure.baseline_value is None:
        return ""
    return f"{figure.baseline} {value_of(figure.baseline_value, '')}"


def ratio_of(figure: Figure, *, is_short: bool = False) -> str:
    """The median with its spread; the spread of the value where there is no ratio."""
    if figure.ratio is None:
        least, most = figure.spread or (0, 0)
        return "" if least == most else f"({value_of(least, '')}–{value_of(most, '')})"
    median = _digits(figure.ratio)
    if figure.spread is None or is_short:
        return median
    return f"{median} ({_digits(figure.spread[0])}–{_digits(figure.spread[1])})"


def goal_of(figure: Figure) -> str:
    """Its bound, in its unit."""
    goal = figure.goal
    if goal is None:
        return ""
    unit = "" if figure.ratio is not None and not goal.is_of_value else f" {figure.unit}"
    bound = f"{goal.bound:,.0f}" if goal.bound >= 100 else f"{goal.bound:g}"
    return f"{'≥' if goal.is_least else '≤'} {bound}{unit}"


def _digits(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.3f}" if ratio >= 0.01 else f"{ratio:.4f}"
