"""Circles are found if and only if there is one, and all that can be reached is reached."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sentient_core.agents.graph import Edges, cycle_through, reachable

names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.lists(names, max_size=4, unique=True), max_size=6)


def ways(edges: Edges, start: str, end: str) -> bool:
    """Whether a way leads from one to the other, found by trying as often as there are names."""
    here = {start}
    for _ in range(len("abcdef")):
        here |= {there for one in here for there in edges.get(one, ())}
    return end in here


@given(graphs, names, names)
def test_a_circle_is_found_if_the_edge_would_close_one(edges: Edges, start: str, end: str) -> None:
    circle = cycle_through(edges, start, end)

    assert bool(circle) == ways(edges, end, start)
    if circle:
        assert circle[0] == circle[-1] == start
        assert circle[1] == end
        assert all(there in edges[here] for here, there in list(pairwise(circle))[1:])
        assert len(set(circle[1:])) == len(circle[1:])


@given(graphs, names)
def test_all_that_can_be_reached_is_found_once_the_nearest_first(edges: Edges, start: str) -> None:
    found = reachable(edges, [start])

    assert set(found) == {name for name in "abcdef" if name != start and ways(edges, start, name)}
    assert len(found) == len(set(found))
    steps = {start: 0}
    for name in found:
        steps[name] = 1 + min(steps[here] for here in steps if name in edges.get(here, ()))
    assert [steps[name] for name in found] == sorted(steps[name] for name in found)
