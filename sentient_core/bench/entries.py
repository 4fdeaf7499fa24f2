"""One line of what a row has found, by its kind, and how it is said: a title, and a value."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sentient_core.bench.samples import loss_bound
from sentient_core.bench.wording import value_of

__all__ = ["Check", "Curve", "Entry", "Figure", "Latency", "Loss", "Timeline"]

_UNITS = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (float("-inf"), "µs", 1e6))
_FOR_P99 = 100
"""Measurements from which on one of a hundred says something."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """A line of the report."""

    who: str = ""
    """Whose it is, where several programs stand side by side; else the row's store and loop say that."""
    is_headline: bool = False
    """It stands in the table that shows all rows."""

    @property
    def title(self) -> str:
        """What was measured or counted; the same on each store."""
        raise NotImplementedError

    @property
    def value(self) -> str:
        """What it was."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """Both, on one line."""
        return f"{self.who}: {self.title}: {self.value}" if self.who else f"{self.title}: {self.value}"


class Figure(Entry, frozen=True, kw_only=True):
    """A value that stands for itself: the median of `samples`, with the least and the greatest."""

    name: str
    middle: float
    unit: str
    spread: tuple[float, float]
    samples: int

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def value(self) -> str:
        """With its spread."""
        least, most = self.spread
        of = f" ({value_of(least, '')}–{value_of(most, '')}, n = {self.samples})" if self.samples > 1 else ""
        return value_of(self.middle, self.unit) + of


class Latency(Entry, frozen=True, kw_only=True):
    """How long something took, in seconds."""

    name: str
    p50: float
    p99: float
    most: float
    samples: int

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def value(self) -> str:
        """In units that suit it; a p99 only of so many that it is not just the greatest."""
        if not self.samples:
            return "never seen"
        named = {"p50": self.p50, "p99": self.p99, "most": self.most}
        if self.samples < _FOR_P99:
            del named["p99"]
        if self.samples == 1:
            named = {"": self.most}
        parts = [(name, *_in_unit(seconds)) for name, seconds in named.items()]
        following = [*(unit for _, _, unit in parts[1:]), ""]
        said = ", ".join(
            f"{name} {value}{'' if unit == next_unit else f' {unit}'}".strip()
            for (name, value, unit), next_unit in zip(parts, following, strict=True)
        )
        return f"{said} (n = {self.samples:,})"


def _in_unit(seconds: float) -> tuple[str, str]:
    unit, times = next((unit, times) for least, unit, times in _UNITS if seconds >= least)
    return value_of(seconds * times, ""), unit


class Loss(Entry, frozen=True, kw_only=True):
    """So many of so many were lost, doubled, violated: never without the number that it is of."""

    name: str
    """What is counted: `lost`, `doubled`."""
    count: int
    of: int
    unit: str = "messages"
    label: str = ""
    """Whose they are, if there are several such figures."""

    @property
    def title(self) -> str:
        """What is counted, and of whom."""
        return f"{self.name}, {self.label}" if self.label else self.name

    @property
    def value(self) -> str:
        """With the bound that it supports, if it is none."""
        said = f"{self.count:,} of {self.of:,} {self.unit}"
        bound = 100 * loss_bound(self.of)
        return said if self.count or bound >= 100 else f"{said} (< {bound:.2g} % at 95 %)"


class Check(Entry, frozen=True, kw_only=True):
    """Something that is promised, and what was found."""

    claim: str
    expected: str
    """Empty where `claim` says it all."""
    found: str
    is_met: bool

    @property
    def title(self) -> str:
        """What is promised."""
        return self.claim

    @property
    def value(self) -> str:
        """What was found, and the promise where it was not kept."""
        if self.is_met:
            return f"{self.found} ✓"
        return f"**{self.found}, not {self.expected}**" if self.expected else f"**{self.found}**"


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Availability over time around a fault: the share answered in time of what was due in each interval."""

    name: str
    within: float
    """Seconds that an answer may take."""
    lasts: float
    """Seconds from the fault's beginning, which is 0, to its end: the median of all runs."""
    runs: int
    times: Sequence[float]
    """Where each interval begins in which something was due, in seconds from the fault's beginning."""
    shares: Sequence[float]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity over another: recovery time against backlog."""

    name: str
    """Of the picture: curves of one name are drawn together."""
    label: str = ""
    """Of this curve among them."""
    x: str
    y: str
    xs: Sequence[float]
    ys: Sequence[float]
    """Medians."""
    lows: Sequence[float]
    highs: Sequence[float]
