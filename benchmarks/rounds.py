"""Rounds of what writes to the disk: every leg once per round, and the disk's own pace beside them.

A round before or behind which the slowest of a hundred fdatasyncs needed more than a millisecond is void;
it is repeated a few times, and if the disk never calms down the void rounds are reported as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from benchmarks.measure import VOID_ABOVE, Figure, Settings, observed, rotated
from sentient_core.bench.machine import fdatasync_p99

__all__ = ["Disk", "Leg", "calm_rounds"]

T = TypeVar("T")

_MOST_VOID = 3
"""Void rounds after which they count, marked as such: the disk does not calm down."""


class Leg(Generic[T]):
    """One side of a workload, run once per round."""

    def __init__(self, name: str, run: Callable[[], T]) -> None:
        self.name: str = name
        self.runs: list[T] = []
        """What it showed, by round, once the rounds are over."""
        self._run = run
        self._void: list[T] = []

    def go(self) -> None:
        """Once more."""
        self.runs.append(self._run())

    def set_aside(self) -> None:
        """The last run belongs to a void round."""
        self._void.append(self.runs.pop())

    def take_back(self, count: int) -> None:
        """So many of those set aside count after all."""
        self.runs += self._void[:count]


class Disk(msgspec.Struct, frozen=True):
    """How the disk was during the rounds of a workload."""

    workload: str
    syncs: list[float]
    """fdatasync's p99 in milliseconds by round, the worse one of before and behind."""

    @property
    def note(self) -> str:
        """What is to be said of void rounds; empty without any."""
        void = sum(sync > VOID_ABOVE for sync in self.syncs)
        return f"{void} of {len(self.syncs)} rounds are void (fdatasync p99 above 1 ms)" if void else ""

    @property
    def is_void(self) -> bool:
        """What the rounds show does not count."""
        return bool(self.note)

    @property
    def figure(self) -> Figure:
        """The pace itself."""
        note = self.note or "before and behind each round"
        return observed(self.workload, "fdatasync p99", "ms", self.syncs, note=note)


def calm_rounds(settings: Settings, workload: str, legs: Sequence[Leg[Any]]) -> Disk:
    """Run the legs, each round beginning with another one, until enough rounds were not void."""
    calm: list[float] = []
    void: list[float] = []
    most_void = 0 if settings.is_quick else _MOST_VOID
    while len(calm) < settings.rounds and (len(void) <= most_void or len(calm) + len(void) < settings.rounds):
        number = len(calm) + len(void)
        before = fdatasync_p99(settings.folder)
        for leg in rotated(legs, number):
            leg.go()
        sync = max(before, fdatasync_p99(settings.folder))
        if sync > VOID_ABOVE:
            void.append(sync)
            for leg in legs:
                leg.set_aside()
        else:
            calm.append(sync)
        word = ": the round is void" if sync > VOID_ABOVE else ""
        settings.say(f"{workload}  round {number + 1}  fdatasync p99 {sync:.2f} ms{word}")
    missing = settings.rounds - len(calm)
    for leg in legs:
        leg.take_back(missing)
    return Disk(workload, [*calm, *void[:missing]])
