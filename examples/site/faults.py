"""Which handler raises when: a seeded plan, the same for the same seed.

The decision depends on the actor's path, its incarnation and the number of the message within that
incarnation, and on nothing else: no clock, no shared generator. So one seed gives each actor the same
fate on both event loops, whatever the order in which the actors get their turns.
"""

from __future__ import annotations

import random
from enum import Enum

import msgspec

from sentient_core import Actor

__all__ = ["Fate", "FaultPlan", "Injected", "Mortal", "Place"]


class Injected(Exception):
    """The failure that the plan asked for."""


class Place(Enum):
    """Where in a handler it strikes."""

    BEFORE = "before anything was done"
    BETWEEN = "half way"
    AFTER = "after all was done, before anybody heard of it"


class FaultPlan(msgspec.Struct, frozen=True):
    """A share of all handlers raises."""

    seed: int
    share: float
    """Between 0 (none) and 1."""

    def fate(self, path: str, incarnation: int, message: int) -> Fate:
        """What becomes of the handling of an incarnation's n-th message."""
        # A string seeds the same in every process, a tuple or a hash would not.
        generator = random.Random(f"{self.seed}/{path}/{incarnation}/{message}")
        if generator.random() >= self.share:
            return Fate(None)
        return Fate(generator.choice(list(Place)))


class Fate:
    """One message's: a handler passes the three places with it, and may not get past one of them."""

    def __init__(self, place: Place | None) -> None:
        self._place = place

    def passes(self, place: Place) -> None:
        """Go on, or raise Injected."""
        if place is self._place:
            raise Injected(place.value)


class Mortal(Actor):
    """An actor whose handlers each meet a fate of the plan.

    Every handler begins with `fate = self.fate()` and passes all three places, so that the share of
    the handlers that raise is the plan's.
    """

    def __init__(self, faults: FaultPlan) -> None:
        self._faults = faults
        self._messages = 0

    def fate(self) -> Fate:
        """The fate of the message in hand."""
        self._messages += 1
        context = self.context
        return self._faults.fate(context.ref.path, context.incarnation, self._messages)
