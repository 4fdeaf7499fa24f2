"""When a virtual actor has been idle for long enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentient_core.actors.virtual import seconds_left


@given(st.floats(0.0, 1e6), st.floats(1e-3, 1e5), st.floats(0.0, 1.0))
def test_a_clock_that_goes_on_by_what_is_left_comes_to_the_end(
    since: float, after: float, part: float
) -> None:
    now = since + after * part
    looks = 0
    while left := seconds_left(now, since, after):
        assert now + left > now
        now += left
        looks += 1
        assert looks < 5
    assert now >= since + after
