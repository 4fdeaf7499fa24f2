"""Rounds, goals and verdicts."""

from __future__ import annotations

import pytest

from benchmarks.figures import goal_of
from benchmarks.measure import Goal, compared, interleaved, observed, rotated


@pytest.mark.parametrize(
    ("goal", "measured", "verdict"),
    [
        (Goal(bound=2), 2.0, "met"),
        (Goal(bound=2), 1.7, "within noise"),
        (Goal(bound=2), 1.5, "missed"),
        (Goal(bound=1, is_least=False), 1.0, "met"),
        (Goal(bound=1, is_least=False), 1.2, "within noise"),
        (Goal(bound=1, is_least=False), 1.3, "missed"),
        (Goal(bound=2, is_later=True), 1.0, "missed (later work)"),
    ],
)
def test_a_goal_is_missed_below_four_fifths_of_it(goal: Goal, measured: float, verdict: str) -> None:
    assert goal.verdict(measured) == verdict


def test_a_ratio_is_the_median_of_the_ratios_within_the_rounds() -> None:
    figure = compared("tell", "ours", "messages/s", [10, 40, 30], "queue", [10, 20, 10], goal=Goal(bound=2))

    assert (figure.ratio, figure.spread) == (2, (1, 3))
    assert (figure.value, figure.baseline_value) == (30, 10)
    assert figure.verdict == "met"


def test_a_goal_may_be_about_the_value_although_there_is_a_ratio() -> None:
    goal = Goal(bound=25, is_of_value=True)
    figure = compared("turns", "ours", "turns/s", [10, 40, 30], "rows", [10, 20, 10], goal=goal)

    assert (figure.measured, figure.ratio, figure.verdict) == (30, 2, "met")
    assert goal_of(figure) == "≥ 25 turns/s"


def test_a_figure_without_a_baseline_keeps_its_own_spread() -> None:
    figure = observed("fairness", "ours", "ms", [3, 1, 2], goal=Goal(bound=1, is_least=False))

    assert (figure.value, figure.spread, figure.verdict) == (2, (1, 3), "missed")


def test_every_round_begins_with_another_leg_and_the_first_one_does_not_count() -> None:
    ran: list[str] = []

    def leg(name: str) -> int:
        ran.append(name)
        return len(ran)

    found = interleaved({"a": lambda: leg("a"), "b": lambda: leg("b")}, rounds=2)

    assert ran == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [4, 5], "b": [3, 6]}
    assert rotated([1, 2, 3], 4) == [2, 3, 1]
