"""Which siblings go down and come up with a child: OTP's `restart/2`, as properties of a pure function."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentient_core.supervisor.spec import Restart
from sentient_core.supervisor.strategy import Plan, RestartKind, Sibling, plan

families = st.lists(st.sampled_from(list(Restart)), min_size=1, max_size=12).map(
    lambda kinds: [Sibling(f"c{place}", restart) for place, restart in enumerate(kinds)]
)


@st.composite
def failures(draw: st.DrawFn) -> tuple[list[Sibling], int]:
    siblings = draw(families)
    return siblings, draw(st.integers(0, len(siblings) - 1))


@given(failures())
def test_one_for_one_touches_nobody_else(case: tuple[list[Sibling], int]) -> None:
    siblings, failed = case

    assert plan(RestartKind.ONE_FOR_ONE, siblings, f"c{failed}") == Plan((), (f"c{failed}",))


@given(failures())
def test_one_for_all_stops_all_others_in_reverse_and_starts_all_in_order(
    case: tuple[list[Sibling], int],
) -> None:
    siblings, failed = case

    steps = plan(RestartKind.ONE_FOR_ALL, siblings, f"c{failed}")

    assert list(steps.stops) == [s.name for s in reversed(siblings) if s.name != f"c{failed}"]
    assert list(steps.starts) == [
        s.name for s in siblings if s.restart is not Restart.TEMPORARY or s.name == f"c{failed}"
    ]


@given(failures())
def test_rest_for_one_is_one_for_all_of_those_from_the_failed_on(case: tuple[list[Sibling], int]) -> None:
    siblings, failed = case

    steps = plan(RestartKind.REST_FOR_ONE, siblings, f"c{failed}")

    assert steps == plan(RestartKind.ONE_FOR_ALL, siblings[failed:], f"c{failed}")


@given(failures(), st.sampled_from(list(RestartKind)))
def test_the_failed_child_is_started_once_and_never_stopped(
    case: tuple[list[Sibling], int], kind: RestartKind
) -> None:
    siblings, failed = case

    steps = plan(kind, siblings, f"c{failed}")

    assert steps.starts.count(f"c{failed}") == 1
    assert f"c{failed}" not in steps.stops
    assert set(steps.starts) <= {*steps.stops, f"c{failed}"}
