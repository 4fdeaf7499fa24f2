"""The window of a stream: whatever it says it has, it has, and all of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.errors import InvalidCursor
from sentient_core.events import window as window_module
from sentient_core.events.cursor import Cursor
from sentient_core.events.window import Window
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event
from sentient_core.store.streams import BEGINNING, END, Place, just_before

TYPES = ("a.a", "b.b", "c.c")


def placed(number: int, index: int, type_: str) -> Placed[Event]:
    event = Event(type_, 1, "web", None, None, b"\x80", 0)
    return Placed(number, index, 1, event)


commits = st.lists(st.lists(st.sampled_from(TYPES), max_size=4), max_size=30)
comings = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.sets(st.sampled_from(TYPES), min_size=1))),
    max_size=5,
)


@given(commits, comings, st.integers(1, 20))
def test_what_it_says_it_has_behind_a_place_is_all_there_was(
    history: Sequence[Sequence[str]],
    wishes: Sequence[tuple[int, set[str] | None]],
    most: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_module, "_MOST_EVENTS", most)
        window = Window(BEGINNING)
        everything: list[Placed[Event]] = []
        for number, types in enumerate(history, 1):
            for at, wished in wishes:
                if at == number:
                    window.want(wished, lambda: window.head)
            events = [placed(number, index, type_) for index, type_ in enumerate(types)]
            everything += events
            window.add([one for one in events if window.wants(one.record.event_type)], (number, END))

        places = [BEGINNING, *((one.position) for one in everything), (len(history), END)]
        for _, wished in wishes:
            for place in places:
                if not window.has(place, wished):
                    continue
                given_, reached = window.after(place, 10_000)
                mine = [one for one in given_ if wished is None or one.record.event_type in wished]
                assert mine == [
                    one
                    for one in everything
                    if one.position > place and (wished is None or one.record.event_type in wished)
                ]
                assert reached >= place
        assert len(window) <= most or len(window) <= max(map(len, history), default=0)


def test_pages_of_it_lead_on_and_nothing_is_left_when_nobody_wants_it() -> None:
    window = Window(BEGINNING)
    window.want(None, lambda: window.head)
    window.add([placed(1, index, "a.a") for index in range(5)], (1, END))
    first, reached = window.after(BEGINNING, 2)
    assert [one.index for one in first] == [0, 1]
    second, reached = window.after(reached, 10)
    assert [one.index for one in second] == [2, 3, 4]
    assert reached == (1, END)

    window.unwant(None)
    assert len(window) == 0
    assert not window.has((1, 2), None)
    assert not window.wants("a.a")


def test_what_it_has_let_go_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "_MOST_BYTES", 2_000_000)
    window = Window(BEGINNING)
    window.want(None, lambda: window.head)
    tracemalloc.start()
    try:
        for number in range(1, 41):
            large = Event("a.a", 1, "web", None, None, bytes(500_000), 0)
            window.add([Placed(number, 0, 1, large)], (number, END))
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
    assert len(window) < 5


def test_a_commit_that_comes_twice_counts_once() -> None:
    window = Window(BEGINNING)
    window.want({"a.a"}, lambda: window.head)
    for _ in range(2):
        window.add([placed(1, 0, "a.a")], (1, END))
    assert len(window) == 1


places = st.tuples(st.integers(0, 10**12), st.one_of(st.integers(0, 10**6), st.just(END)))


@given(places, places, st.sampled_from([(False, False), (True, False), (False, True)]))
def test_a_cursor_is_read_as_it_was_written(
    journal: Place, external: Place, marks: tuple[bool, bool]
) -> None:
    cursor = Cursor(journal, external, *marks)
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "1", "1-", "-1-2", "1.2.3-4", "1-2 ", "１-2", "1*-2*", "a-b", 7, None])
def test_what_is_no_cursor_is_refused(text: object) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text)


@given(places)
def test_just_before_a_place_there_is_nothing_in_between(place: Place) -> None:
    if place != (0, 0):
        assert just_before(place) < place
