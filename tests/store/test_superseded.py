"""Leaving out what is replaced changes nothing that anybody can see."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store.fold import Effect, fold
from sentient_core.store.records import (
    AnyPart,
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    Entry,
    Settled,
    Turn,
    flat,
)
from sentient_core.store.superseded import without_superseded
from tests.store.samples import checkpoint, event

paths = st.sampled_from(["a", "b"])


def a_state(path: str, number: int, size: int) -> Checkpoint:
    return msgspec.structs.replace(
        checkpoint(path, number, kind=CheckpointKind.STATE), state=bytes([number]) * size
    )


def with_state(state: AnyPart, parts: list[AnyPart]) -> Turn:
    return Turn((state, *parts))


def without_state(parts: list[AnyPart]) -> Turn:
    return Turn(tuple(parts))


states = st.builds(
    a_state,
    paths,
    st.integers(0, 9),
    st.sampled_from([1, 600]),
)
others: st.SearchStrategy[AnyPart] = st.builds(Settled, paths, st.integers(1, 5)) | st.builds(
    event, st.integers(1, 5)
)
turns = st.builds(with_state, states, st.lists(others, max_size=2)) | st.builds(
    without_state, st.lists(others, min_size=1, max_size=2)
)
groups: st.SearchStrategy[list[AnyRecord]] = st.lists(turns | others, max_size=10)


def without_places(effect: Effect) -> object:
    """What is left of an effect apart from where its records stood."""
    return (
        [placed.record for placed in effect.events],
        {path: placed.record for path, placed in effect.states.items()},
        effect.settled,
        effect.accounts,
    )


@given(groups)
def test_the_effect_is_the_same(group: list[AnyRecord]) -> None:
    whole = fold([(1, Entry(1, tuple(group)))], 3)
    left = fold([(1, Entry(1, tuple(without_superseded(group))))], 3)

    assert without_places(left) == without_places(whole)


@given(groups)
def test_of_large_states_the_last_of_each_actor_is_left(group: list[AnyRecord]) -> None:
    left = [part for part in flat(without_superseded(group)) if isinstance(part, Checkpoint)]

    large = [part.path for part in left if len(part.state) > 512]
    assert len(large) == len(set(large))
