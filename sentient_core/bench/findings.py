"""What a row has found: figures, losses, checks of what was promised, and what is drawn."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from sentient_core.bench.entries import Check, Curve, Entry, Figure, Latency, Loss, Timeline
from sentient_core.bench.load import LoadResult, OpenLoad
from sentient_core.bench.samples import percentile, spread_of

__all__ = ["Findings", "Run"]

_BINS = 50

Run: TypeAlias = tuple[LoadResult, tuple[float, float]]
"""A load, and when the fault in the midst of it began and ended, in seconds of the load."""


class Findings(msgspec.Struct, kw_only=True):
    """What a row fills while it runs, in the order in which it is to be read."""

    entries: list[Entry] = []
    timelines: list[Timeline] = []
    curves: list[Curve] = []
    notes: list[str] = []

    @property
    def checks(self) -> list[Check]:
        """What was promised, and what was found."""
        return [entry for entry in self.entries if isinstance(entry, Check)]

    @property
    def broken(self) -> list[Check]:
        """The promises that were not kept."""
        return [check for check in self.checks if not check.is_met]

    def figure(
        self,
        name: str,
        values: float | Sequence[float],
        unit: str,
        *,
        who: str = "",
        headline: bool = False,
    ) -> None:
        """A value, or the median of several."""
        many = [values] if isinstance(values, int | float) else list(values)
        self.entries.append(
            Figure(
                name=name,
                middle=statistics.median(many),
                unit=unit,
                spread=spread_of(many),
                samples=len(many),
                who=who,
                is_headline=headline,
            )
        )

    def latency(self, name: str, seconds: Sequence[float], *, who: str = "", headline: bool = False) -> None:
        """How long something took, each time; for a p99, 100 times or more."""
        self.entries.append(
            Latency(
                name=name,
                p50=percentile(seconds, 0.5),
                p99=percentile(seconds, 0.99),
                most=max(seconds, default=0.0),
                samples=len(seconds),
                who=who,
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
        who: str = "",
        headline: bool = False,
        allowed: int | None = 0,
    ) -> None:
        """So many of `of` are `name`: more than `allowed` (None: any number) is a broken promise."""
        found = Loss(name=name, count=count, of=of, unit=unit, label=label, who=who, is_headline=headline)
        self.entries.append(found)
        if allowed is not None and count > allowed:
            self.check(f"{unit} {found.title}", allowed, count, who=who)

    def check(
        self, claim: str, expected: object, found: object, *, who: str = "", headline: bool = False
    ) -> None:
        """A promise: what was found is what was expected."""
        self.entries.append(
            Check(
                claim=claim,
                expected=_said(expected),
                found=_said(found),
                is_met=expected == found,
                who=who,
                is_headline=headline,
            )
        )

    def holds(self, claim: str, is_met: bool, found: object, *, headline: bool = False) -> None:
        """A promise that is no equality: `found` says what was seen."""
        self.entries.append(
            Check(claim=claim, expected="", found=_said(found), is_met=is_met, is_headline=headline)
        )

    def others(
        self, load: OpenLoad, *, during: str = "", headline: bool = False, allowed: int | None = None
    ) -> None:
        """What those who were not concerned noticed of it, by kind, beside how they were before.

        `allowed` is as of `loss`: how many of them may go unanswered.
        """
        result = load.result
        before, meanwhile = result.between(0.0, load.quiet_until), result.after(load.quiet_until)
        around = ", ".join(filter(None, ("others", during)))
        for kind in dict.fromkeys(arrival.kind for arrival in result.arrivals):
            name = ", ".join(filter(None, (around, kind)))
            if load.quiet_until:
                self.latency(f"{name}: before", before.part(kind).latencies())
            if meanwhile.arrivals:
                self.latency(f"{name}: meanwhile", meanwhile.part(kind).latencies(), headline=headline)
        count = result.unanswered()
        self.loss("unanswered", count, len(result.arrivals), "requests", label=around, allowed=allowed)
        if count:
            self.note(f"{around}, in place of an answer: {_counted(result.errors())}")

    def timeline(self, name: str, runs: Sequence[Run], *, within: float, bin_seconds: float = 0.0) -> None:
        """Availability around a fault, of all runs together, each counted from its fault's beginning.

        Drawn is what of time all runs have, without intervals in which nothing was due.
        """
        begin = max(load.begin - start for load, (start, _) in runs)
        end = min(load.end - start for load, (start, _) in runs)
        width = bin_seconds or max((end - begin) / _BINS, 1e-3)
        due: Counter[int] = Counter()
        answered: Counter[int] = Counter()
        for load, (start, _) in runs:
            for arrival in load.arrivals:
                at = arrival.at - start
                if begin <= at <= end:
                    number = int(at // width)
                    due[number] += 1
                    answered[number] += arrival.is_answered(within)
        numbers = sorted(due)
        self.timelines.append(
            Timeline(
                name=name,
                within=within,
                lasts=statistics.median(stop - start for _, (start, stop) in runs),
                runs=len(runs),
                times=[number * width for number in numbers],
                shares=[answered[number] / due[number] for number in numbers],
            )
        )

    def curve(
        self, name: str, x: str, y: str, points: Mapping[float, Sequence[float]], *, label: str = ""
    ) -> None:
        """One quantity over another: for each x, what was measured there."""
        spreads = [spread_of(values) for values in points.values()]
        self.curves.append(
            Curve(
                name=name,
                label=label,
                x=x,
                y=y,
                xs=list(points),
                ys=[statistics.median(values) for values in points.values()],
                lows=[least for least, _ in spreads],
                highs=[most for _, most in spreads],
            )
        )

    def note(self, text: str) -> None:
        """What a reader should know of these figures: a sentence without its full stop."""
        self.notes.append(text)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == []:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in names.items())
