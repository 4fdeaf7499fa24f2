"""The seeded plan of faults."""

from __future__ import annotations

import itertools

import pytest

from examples.site.faults import FaultPlan, Injected, Place


def places(plan: FaultPlan, path: str = "team/ada") -> list[Place | None]:
    """Where an actor's first thousand messages in ten incarnations fail."""
    found: list[Place | None] = []
    for incarnation, message in itertools.product(range(1, 11), range(1, 101)):
        fate = plan.fate(path, incarnation, message)
        struck: Place | None = None
        for place in Place:
            try:
                fate.passes(place)
            except Injected:
                struck = place
        found.append(struck)
    return found


def test_the_same_seed_gives_the_same_plan() -> None:
    assert places(FaultPlan(1, 0.15)) == places(FaultPlan(1, 0.15))


def test_another_seed_or_another_actor_gives_another() -> None:
    assert places(FaultPlan(1, 0.15)) != places(FaultPlan(2, 0.15))
    assert places(FaultPlan(1, 0.15)) != places(FaultPlan(1, 0.15), "team/grace")


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_about_that_share_of_the_handlers_fails_at_every_place(share: float) -> None:
    struck = places(FaultPlan(3, share))

    assert struck.count(None) / len(struck) == pytest.approx(1 - share, abs=0.05)
    assert all(struck.count(place) > 20 for place in Place)


def test_a_share_of_zero_spares_everybody() -> None:
    assert set(places(FaultPlan(1, 0.0))) == {None}
