"""How all workloads measure: interleaved rounds, medians with their spread, goals and verdicts.

Rules: every round runs every leg once, beginning with another one each time, so that a slow minute of the
machine hits all legs alike; a figure is the median over the rounds of the ratio within a round; nothing is
asserted about time, only that the work was done.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sentient_core.bench.samples import spread_of

__all__ = [
    "VOID_ABOVE",
    "Figure",
    "Goal",
    "Measurement",
    "Settings",
    "compared",
    "interleaved",
    "observed",
    "rotated",
]

T = TypeVar("T")

VOID_ABOVE = 1.0
"""Milliseconds of fdatasync's p99 above which a round that writes to the disk does not count."""

_MISSED_BELOW = 0.8
"""Share of a goal below which it counts as missed: less is within what this machine swings."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    is_quick: bool
    rounds: int
    seed: int
    folder: Path
    """An empty folder on a real disk; databases go there."""

    @property
    def short_rounds(self) -> int:
        """Rounds of what takes a fraction of a second: another process weighs more there."""
        return 3 * self.rounds

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        print(text, file=sys.stderr, flush=True)


class Measurement(msgspec.Struct, frozen=True):
    """Something that can be measured, by the name it has on the command line."""

    name: str
    about: str
    """What is done and counted, for the page."""
    run: Callable[[Settings], list[Figure]]


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that a figure should keep: on its ratio, or on its value where it has none."""

    bound: float
    is_of_value: bool = False
    """On its value, although it has a ratio."""
    is_least: bool = True
    """The bound is the least allowed; else the most."""
    is_later: bool = False
    """A goal of later work: shown, not owed."""

    def verdict(self, measured: float) -> str:
        """`met`, `within noise` (short by less than a fifth), or `missed`; marked where not owed yet."""
        reached = measured / self.bound if self.is_least else self.bound / max(measured, 1e-12)
        word = "met" if reached >= 1 else "within noise" if reached >= _MISSED_BELOW else "missed"
        return f"{word} (later work)" if self.is_later else word


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report."""

    workload: str
    name: str
    value: float
    unit: str
    baseline: str | None = None
    """What the value is compared with, measured in the same rounds."""
    baseline_value: float | None = None
    ratio: float | None = None
    """Median of the ratios within the rounds."""
    spread: tuple[float, float] | None = None
    """Least and greatest ratio of a round; of the value where there is no ratio."""
    rounds: int = 1
    goal: Goal | None = None
    note: str = ""
    limit: str = ""
    """What limits it, for the reader of a missed goal."""
    is_void: bool = False
    """The disk was too slow meanwhile for the figure to count, met or missed."""
    is_peer: bool = False
    """Of another library than ours."""

    @property
    def measured(self) -> float:
        """What the goal is about."""
        if self.ratio is None or (self.goal is not None and self.goal.is_of_value):
            return self.value
        return self.ratio

    @property
    def verdict(self) -> str | None:
        """How it stands with the goal; None without one."""
        if self.goal is None:
            return None
        return self.goal.verdict(self.measured) + (", but void" if self.is_void else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**msgspec.to_builtins(self), "verdict": self.verdict}


def compared(
    workload: str,
    name: str,
    unit: str,
    values: Sequence[float],
    baseline: str,
    baseline_values: Sequence[float],
    *,
    goal: Goal | None = None,
    note: str = "",
    limit: str = "",
    is_void: bool = False,
    is_peer: bool = False,
) -> Figure:
    """A figure that is compared round by round with its baseline."""
    ratios = [value / base for value, base in zip(values, baseline_values, strict=True)]
    return Figure(
        workload=workload,
        name=name,
        value=statistics.median(values),
        unit=unit,
        baseline=baseline,
        baseline_value=statistics.median(baseline_values),
        ratio=statistics.median(ratios),
        spread=spread_of(ratios),
        rounds=len(values),
        goal=goal,
        note=note,
        limit=limit,
        is_void=is_void,
        is_peer=is_peer,
    )


def observed(
    workload: str,
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    goal: Goal | None = None,
    note: str = "",
    limit: str = "",
    is_void: bool = False,
) -> Figure:
    """A figure that stands for itself."""
    return Figure(
        workload=workload,
        name=name,
        value=statistics.median(values),
        unit=unit,
        spread=spread_of(values),
        rounds=len(values),
        goal=goal,
        note=note,
        limit=limit,
        is_void=is_void,
    )


def interleaved(
    legs: Mapping[str, Callable[[], T]],
    rounds: int,
    after_round: Callable[[int, dict[str, T]], object] | None = None,
    *,
    is_warm: bool = False,
) -> dict[str, list[T]]:
    """Every leg once per round; its results by name.

    A first, unrecorded round warms up, unless that has been done.
    """
    results: dict[str, list[T]] = {name: [] for name in legs}
    for round_ in range(1 if is_warm else 0, rounds + 1):
        for name in rotated(list(legs), round_):
            gc.collect()
            value = legs[name]()
            if round_:
                results[name].append(value)
        if round_ and after_round is not None:
            after_round(round_, {name: values[-1] for name, values in results.items()})
    return results


def rotated(items: Sequence[T], by: int) -> list[T]:
    """The same items, beginning with another one."""
    start = by % len(items)
    return [*items[start:], *items[:start]]
