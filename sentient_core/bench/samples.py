"""What is said of many measurements of one thing."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["loss_bound", "percentile", "spread_of"]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed. 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest."""
    return min(values), max(values)


def loss_bound(of: int) -> float:
    """What share may be lost at most, at 95 %, if none of so many was: the rule of three. 1 for 0 of 0.

    If the share were 3/n, n tries without a single one would come up once in twenty times.
    """
    return min(1.0, 3 / of) if of else 1.0
