"""The restart window, against OTP's words and a naive model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentient_core.supervisor import RestartWindow

STEPS = st.floats(min_value=0, max_value=20, allow_nan=False)


def _spend(window: RestartWindow, *times: float) -> list[bool]:
    """Whether each restart was allowed."""
    return [window.spend(time) for time in times]


def test_none_allowed_means_none() -> None:
    assert _spend(RestartWindow(0, 5.0), 1.0, 100.0) == [False, False]


def test_as_many_as_allowed_and_not_one_more() -> None:
    assert _spend(RestartWindow(3, 5.0), 1.0, 2.0, 3.0, 4.0) == [True, True, True, False]


def test_the_window_slides() -> None:
    assert _spend(RestartWindow(1, 5.0), 0.0, 5.5, 11.0, 16.5) == [True, True, True, True]


def test_a_restart_at_the_very_edge_still_counts() -> None:
    assert _spend(RestartWindow(1, 5.0), 0.0, 5.0) == [True, False]


def test_a_refused_restart_does_not_count() -> None:
    assert _spend(RestartWindow(1, 5.0), 0.0, 4.0, 5.5) == [True, False, True]


@given(
    max_restarts=st.integers(0, 5),
    within=st.floats(min_value=0.1, max_value=20, allow_nan=False),
    steps=st.lists(STEPS, max_size=30),
)
def test_it_allows_what_counting_all_restarts_allows(
    max_restarts: int, within: float, steps: list[float]
) -> None:
    window = RestartWindow(max_restarts, within)
    restarts: list[float] = []
    now = 0.0
    for step in steps:
        now += step
        counting = [time for time in restarts if now - within <= time <= now]
        expected = len(counting) + 1 <= max_restarts

        assert window.spend(now) is expected

        if expected:
            restarts.append(now)
        assert len(window) == len(counting) + expected  # what no longer counts is not kept


@given(
    most=st.integers(0, 4),
    within=st.floats(0.1, 100),
    pauses=st.lists(st.floats(0, 50), max_size=20),
)
def test_the_window_says_how_long_it_allows_none(most: int, within: float, pauses: list[float]) -> None:
    window, now = RestartWindow(most, within), 0.0
    for pause in pauses:
        now += pause
        left = window.seconds_left(now)

        assert window.spend(now) == (left == 0)
        if left and most:
            assert left < within + 0.002
            now += left
            assert window.seconds_left(now) == 0
            assert window.spend(now)
