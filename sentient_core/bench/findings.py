"""What a row has found: figures, losses, checks of what was promised, and what is drawn."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from sentient_core.bench.load import LoadResult
from sentient_core.bench.samples import loss_bound, percentile, spread_of
from sentient_core.bench.wording import value_of

__all__ = ["Check", "Curve", "Figure", "Findings", "Latency", "Loss", "Timeline"]

_BINS = 40
_UNITS = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (0.0, "µs", 1e6))


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value that stands for itself: the median of `samples`, with the least and the greatest."""

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    samples: int
    is_headline: bool = False
    """It stands in the table that shows all rows."""

    @property
    def text(self) -> str:
        """Value and spread."""
        least, most = self.spread
        of = f" ({value_of(least, '')}–{value_of(most, '')}, n = {self.samples})" if self.samples > 1 else ""
        return value_of(self.value, self.unit) + of


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, in seconds."""

    name: str
    p50: float
    p99: float
    most: float
    samples: int
    is_headline: bool = False

    @property
    def text(self) -> str:
        """In a unit that suits the p50."""
        if not self.samples:
            return "never seen"
        unit, times = next((unit, times) for least, unit, times in _UNITS if self.p99 >= least)
        p50, p99, most = (value_of(value * times, "") for value in (self.p50, self.p99, self.most))
        if self.samples == 1:
            return f"{most} {unit} (n = 1)"
        return f"p50 {p50}, p99 {p99}, most {most} {unit} (n = {self.samples:,})"


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many were lost, doubled, violated: never without the number that it is of."""

    name: str
    """What is counted: `lost`, `doubled`."""
    count: int
    of: int
    unit: str = "messages"
    label: str = ""
    """Whose they are, if there are several such figures."""
    is_headline: bool = False

    @property
    def text(self) -> str:
        """With the bound that it supports, if it is none."""
        label = f"{self.label}: " if self.label else ""
        said = f"{label}{self.count:,} {self.name} of {self.of:,} {self.unit}"
        return said if self.count else f"{said} (< {100 * loss_bound(self.of):.2g} % at 95 %)"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is promised, and what was found."""

    claim: str
    expected: str
    """Empty where `claim` says it all."""
    found: str
    is_met: bool
    is_headline: bool = False

    @property
    def text(self) -> str:
        """What was found, and the promise where it was not kept."""
        if not self.expected:  # no equality
            return self.found if self.is_met else f"**{self.found}**"
        return f"{self.found} of {self.expected}" if self.is_met else f"**{self.found}, not {self.expected}**"


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Availability over time around a fault: the share answered in time of what was due in each interval."""

    name: str
    within: float
    """Seconds that an answer may take."""
    fault: tuple[float, float]
    """When the fault began and ended, in seconds; equal for one that is over at once."""
    times: Sequence[float]
    """Where each interval begins in which something was due."""
    shares: Sequence[float]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity over another: recovery time against backlog."""

    name: str
    x: str
    y: str
    xs: Sequence[float]
    ys: Sequence[float]


class Findings(msgspec.Struct, kw_only=True):
    """What a row fills while it runs, in the order in which it is to be read."""

    figures: list[Figure] = []
    latencies: list[Latency] = []
    losses: list[Loss] = []
    checks: list[Check] = []
    timelines: list[Timeline] = []
    curves: list[Curve] = []
    notes: list[str] = []

    @property
    def measured(self) -> list[Latency | Figure]:
        """What has a name and a value."""
        return [*self.latencies, *self.figures]

    @property
    def broken(self) -> list[Check]:
        """The promises that were not kept."""
        return [check for check in self.checks if not check.is_met]

    def figure(
        self, name: str, values: float | Sequence[float], unit: str, *, headline: bool = False
    ) -> None:
        """A value, or the median of several."""
        many = [values] if isinstance(values, int | float) else list(values)
        self.figures.append(
            Figure(
                name=name,
                value=statistics.median(many),
                unit=unit,
                spread=spread_of(many),
                samples=len(many),
                is_headline=headline,
            )
        )

    def latency(self, name: str, seconds: Sequence[float], *, headline: bool = False) -> None:
        """How long something took, each time; for a p99 worth the name, 100 times or more."""
        self.latencies.append(
            Latency(
                name=name,
                p50=percentile(seconds, 0.5),
                p99=percentile(seconds, 0.99),
                most=max(seconds, default=0.0),
                samples=len(seconds),
                is_headline=headline,
            )
        )

    def loss(
        self,
        name: str,
        count: int,
        of: int,
        unit: str = "messages",
        *,
        label: str = "",
        headline: bool = False,
        allowed: int | None = 0,
    ) -> None:
        """So many of `of` are `name`: more than `allowed` (None: any number) is a broken promise."""
        self.losses.append(Loss(name=name, count=count, of=of, unit=unit, label=label, is_headline=headline))
        if allowed is not None and count > allowed:
            self.check(f"{label}: {unit} {name}" if label else f"{unit} {name}", allowed, count)

    def check(self, claim: str, expected: object, found: object, *, headline: bool = False) -> None:
        """A promise: what was found is what was expected."""
        self.checks.append(
            Check(
                claim=claim,
                expected=str(expected),
                found=str(found),
                is_met=expected == found,
                is_headline=headline,
            )
        )

    def holds(self, claim: str, is_met: bool, found: object, *, headline: bool = False) -> None:
        """A promise that is no equality: `found` says what was seen."""
        self.checks.append(
            Check(claim=claim, expected="", found=str(found), is_met=is_met, is_headline=headline)
        )

    def others(self, load: LoadResult, *, during: str = "", headline: bool = False) -> None:
        """What those who were not concerned noticed of it, by kind."""
        for kind in dict.fromkeys(arrival.kind for arrival in load.arrivals):
            part = load.part(kind)
            name = ", ".join(filter(None, ("others", during, kind)))
            self.latency(name, part.latencies(), headline=headline)
            requests = len(part.arrivals)
            self.loss("unanswered", part.unanswered(), requests, "requests", label=name, allowed=None)

    def timeline(
        self,
        name: str,
        load: LoadResult,
        *,
        within: float,
        fault: tuple[float, float],
        bin_seconds: float = 0.0,
    ) -> None:
        """Availability around a fault, over the whole load; without intervals in which nothing was due."""
        end = max((arrival.at for arrival in load.arrivals), default=0.0)
        width = bin_seconds or max(end / _BINS, 1e-3)
        parts = {number * width: [0, 0] for number in range(int(end / width) + 1)}
        starts = list(parts)
        for arrival in load.arrivals:
            part = parts[starts[min(int(arrival.at / width), len(starts) - 1)]]
            part[0] += arrival.is_answered(within)
            part[1] += 1
        due = {start: answered / of for start, (answered, of) in parts.items() if of}
        self.timelines.append(
            Timeline(
                name=name,
                within=within,
                fault=fault,
                times=list(due),
                shares=list(due.values()),
            )
        )

    def curve(self, name: str, x: str, y: str, points: Sequence[tuple[float, float]]) -> None:
        """One quantity over another."""
        self.curves.append(Curve(name=name, x=x, y=y, xs=[p[0] for p in points], ys=[p[1] for p in points]))

    def note(self, text: str) -> None:
        """What a reader should know of these figures: a sentence without its full stop."""
        self.notes.append(text)
