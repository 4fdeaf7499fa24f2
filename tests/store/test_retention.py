"""What may go: the decisions alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.errors import InvalidArgument
from sentient_core.store.retention import (
    Cutoffs,
    LetterFacts,
    Retention,
    cutoffs,
    due_letters,
    ended_actors,
    oldest_beyond,
    spare_checkpoints,
)

SIZES = st.lists(st.integers(0, 1_000), max_size=30)
LIMITS = st.none() | st.integers(0, 5_000)
TIMES = st.integers(0, 100)

letters = st.lists(
    st.builds(
        LetterFacts,
        message_id=st.uuids().map(str),
        died_at=TIMES,
        settled_at=st.none() | TIMES,
        size=st.integers(0, 1_000),
    ),
    unique_by=lambda letter: letter.message_id,
    max_size=20,
)
names = st.sampled_from(["a", "b", "$1.1", "$1.2", "$2.1", "$3.1", "$odd"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
rows = st.dictionaries(paths, st.tuples(st.sampled_from(["idle", "completed", "failed"]), TIMES), max_size=12)


@given(SIZES, LIMITS)
def test_as_few_of_the_oldest_go_as_make_the_rest_fit(sizes: list[int], limit: int | None) -> None:
    gone = oldest_beyond(sizes, limit)

    if limit is None:
        assert gone == 0
    else:
        assert sum(sizes[gone:]) <= limit
        assert gone == 0 or sum(sizes[gone - 1 :]) > limit


@given(SIZES, LIMITS)
def test_the_newest_checkpoint_stays_and_others_as_far_as_they_fit(
    sizes: list[int], limit: int | None
) -> None:
    kept = spare_checkpoints(sizes, limit)

    assert kept >= min(1, len(sizes))
    if limit is not None and kept > 1:
        assert sum(sizes[:kept]) <= limit
    if kept < len(sizes):
        assert limit is not None
        assert sum(sizes[: kept + 1]) > limit


@given(letters, TIMES, TIMES, LIMITS)
def test_an_open_letter_goes_by_its_own_age_alone(
    found: list[LetterFacts], settled: int, opened: int, limit: int | None
) -> None:
    due = due_letters(found, Cutoffs(0, settled, opened, 0), limit)

    assert len(set(due)) == len(due)
    for letter in found:
        if letter.settled_at is None:
            assert (letter.message_id in due) == (letter.died_at < opened)
    left = [letter for letter in found if letter.message_id not in due and letter.settled_at is not None]
    assert all(letter.settled_at is not None and letter.settled_at >= settled for letter in left)
    assert limit is None or sum(letter.size for letter in left) <= limit


@given(letters)
def test_without_limits_no_letter_goes(found: list[LetterFacts]) -> None:
    assert due_letters(found, Cutoffs(0, 0, 0, 0), None) == []


@given(rows, st.integers(1, 4), TIMES)
def test_only_what_can_never_come_back_has_ended(
    found: dict[str, tuple[str, int]], epoch: int, before: int
) -> None:
    for path in ended_actors(found, epoch, before):
        names = path.split("/")
        first = next(i for i, name in enumerate(names) if name.startswith("$"))  # one it has
        of_earlier_start = names[first] != "$odd" and int(names[first][1]) < epoch
        outermost = found.get("/".join(names[: first + 1]))

        assert found[path][1] < before
        assert of_earlier_start or (outermost is not None and outermost[0] != "idle")


def test_an_earlier_starts_nameless_actors_are_over_and_this_ones_when_they_have_ended() -> None:
    found = {
        "bank": ("completed", 1),
        "$1.7": ("idle", 1),
        "bank/$2.1": ("completed", 1),
        "bank/$2.2": ("idle", 1),
        "bank/$2.2/worker": ("failed", 1),
        "bank/$2.3": ("completed", 9),
    }

    assert ended_actors(found, epoch=2, before=5) == ["$1.7", "bank/$2.1"]


def test_ages_are_seconds_before_now() -> None:
    found = cutoffs(Retention(events_age=2.0, settled_letters_age=None), 10_000_000_000)

    assert found.events == 8_000_000_000
    assert found.settled_letters == 0
    assert cutoffs(Retention(events_age=1e9), 5).events == 0


@pytest.mark.parametrize(
    "limits",
    [
        {"events_age": -1},
        {"events_bytes": float("nan")},
        {"checkpoint_bytes": "1 MB"},
        {"every": 0},
        {"batch_rows": 0},
        {"share": 1.5},
        {"share": None},
        {"ended_age": True},
    ],
)
def test_a_limit_that_cannot_be_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(limits))):
        Retention(**limits)
