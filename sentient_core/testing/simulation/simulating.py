"""Many programs, one after another, until one goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from sentient_core.testing.simulation.generating import STEPS, generate
from sentient_core.testing.simulation.playing import Outcome, play
from sentient_core.testing.simulation.program import Program
from sentient_core.testing.simulation.shrinking import shrink

__all__ = ["Simulation", "simulate"]


class Simulation(msgspec.Struct, frozen=True):
    """What came of many programs."""

    seeds: int
    """So many were played."""
    happenings: int
    """Lines of their traces."""
    failed: Outcome | None = None
    """The first that went wrong, as it was made from its seed."""
    shrunk: Outcome | None = None
    """The smallest program found that goes wrong as well."""

    @property
    def is_well(self) -> bool:
        return self.failed is None


def simulate(
    seeds: Iterable[int],
    *,
    steps: int = STEPS,
    has_faults: bool = True,
    shrinks: bool = True,
    progress: Callable[[int, int], object] | None = None,
    on_shrinking: Callable[[Program, int], object] | None = None,
) -> Simulation:
    """Play the programs of these seeds, up to the first that goes wrong, and make that one small.

    ::

        simulation = simulate(range(300))
        assert simulation.is_well, as_text(simulation.shrunk)

    `steps`: of each program. `has_faults`: with random fault plans as well. `progress` is called after each
    seed, with it and how many there have been; `on_shrinking` with the smallest program so far and the
    number of tries. It has the process to itself meanwhile: no other system runs in it, nor another thread
    that needs the clock. Raises WrongThread within an event loop.
    """
    played = happenings = 0
    for seed in seeds:
        outcome = play(generate(seed, steps, has_faults=has_faults))
        played += 1
        happenings += len(outcome.trace)
        if progress is not None:
            progress(seed, played)
        if not outcome.is_well:
            small = shrink(outcome, progress=on_shrinking) if shrinks else None
            return Simulation(played, happenings, outcome, small)
    return Simulation(played, happenings)
