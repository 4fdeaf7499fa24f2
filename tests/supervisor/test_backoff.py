"""How long a child waits before a restart: properties of pure functions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import Backoff, InvalidArgument, InvalidBackoff, InvalidStrategy


def backoff_of(first: float, more: float, factor: float, jitter: float, reset: float | None) -> Backoff:
    return Backoff(first=first, most=first + more, factor=factor, jitter=jitter, reset_after=reset)


backoffs = st.builds(
    backoff_of,
    first=st.floats(0, 1e3),
    more=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    jitter=st.floats(0, 1),
    reset=st.none() | st.floats(0, 1e6),
)
counts = st.integers(1, 10**6)
lucks = st.floats(0, 1)


def test_each_wait_is_twice_the_one_before_it_up_to_the_cap() -> None:
    backoff = Backoff(first=1.0, most=30.0, jitter=0.0)

    assert [backoff.delay(n, 0.7) for n in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter_takes_its_share_of_a_wait_away() -> None:
    backoff = Backoff(first=10.0, most=10.0, jitter=0.2)

    assert (backoff.delay(1, 0.0), backoff.delay(1, 0.5), backoff.delay(1, 1.0)) == (10.0, 9.0, 8.0)


@given(backoff=backoffs, failures=counts, luck=lucks)
def test_no_wait_exceeds_the_cap_whatever_the_luck(backoff: Backoff, failures: int, luck: float) -> None:
    delay = backoff.delay(failures, luck)

    assert 0 <= delay <= backoff.most
    assert delay >= backoff.delay(failures, 0.0) * (1 - backoff.jitter) - 1e-9


@given(backoff=backoffs, failures=counts, more=counts, luck=lucks)
def test_waits_never_become_shorter(backoff: Backoff, failures: int, more: int, luck: float) -> None:
    assert backoff.delay(failures + more, luck) >= backoff.delay(failures, luck)


@given(backoff=backoffs)
def test_nothing_to_begin_with_is_nothing_for_ever(backoff: Backoff) -> None:
    at_once = Backoff(first=0.0, most=backoff.most, factor=backoff.factor, jitter=backoff.jitter)

    assert [at_once.delay(n, 0.5) for n in (1, 2, 10**6)] == [0, 0, 0]


@given(backoff=backoffs, seconds=st.floats(0, 1e7))
def test_it_is_healthy_after_the_time_that_was_said_or_the_cap(backoff: Backoff, seconds: float) -> None:
    needed = backoff.most if backoff.reset_after is None else backoff.reset_after

    assert backoff.is_healthy(seconds) is (seconds >= needed)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"first": -1}, "first must be a number from 0 on, not -1"),
        ({"first": math.nan}, "first must be"),
        ({"most": math.inf}, "most must be"),
        ({"most": "30"}, "most must be"),
        ({"jitter": -0.1}, "jitter must be"),
        ({"jitter": 1.1}, "jitter must be 0 to 1, not 1.1"),
        ({"factor": 0.5}, "factor must be at least 1, not 0.5"),
        ({"factor": None}, "factor must be"),
        ({"first": 5, "most": 4}, "most is 4, less than its first, 5"),
        ({"reset_after": -1}, "reset_after must be"),
        ({"reset_after": True}, "reset_after must be"),
        ({"first": 10**400, "most": 10**401}, "first must be"),
    ],
    ids=str,
)
def test_a_backoff_that_cannot_be_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidBackoff, match=why) as caught:
        Backoff(**options)

    assert isinstance(caught.value, InvalidStrategy)
    assert isinstance(caught.value, InvalidArgument)
