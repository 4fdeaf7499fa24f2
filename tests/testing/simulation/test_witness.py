"""What the witness of a simulation complains of, and what it lets pass."""

from __future__ import annotations

import pytest

from sentient_core.testing.simulation.copies import Copies
from sentient_core.testing.simulation.events import Events
from sentient_core.testing.simulation.lives import Lives
from sentient_core.testing.simulation.messages import Books, Origin
from sentient_core.testing.simulation.program import Follows, Kind, Part
from sentient_core.testing.simulation.states import States


class Complaints(list[str]):
    def __call__(self, of: str) -> None:
        self.append(of)


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def books(complaints: Complaints) -> Books:
    books = Books(complaints)
    books.begins_run()
    return books


def test_a_message_without_an_end_is_missed_when_all_is_quiet(books: Books, complaints: Complaints) -> None:
    books.sent("1", "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.sent("2", "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.begins("a", "2", "", 1, 1)
    books.ends("2")

    books.balance(100.0, is_end=False)

    assert len(complaints) == 1
    assert "message 1 to a" in complaints[0]


@pytest.mark.parametrize("other", ["ends", "dead", "answered"])
def test_two_ends_are_too_many(books: Books, complaints: Complaints, other: str) -> None:
    books.sent("1", "a", Kind.DURABLE, Origin.OUTSIDE)
    books.ends("1")
    assert not complaints

    if other == "ends":
        books.ends("1")
    elif other == "dead":
        books.is_dead("1", has_row=True)
    else:
        books.is_answered("1")

    assert "more than one end" in complaints[0]


def test_a_later_message_of_the_same_sender_comes_later(books: Books, complaints: Complaints) -> None:
    for id_ in "123":
        books.sent(id_, "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.begins("a", "1", "me", 1, 1)
    books.begins("a", "3", "me", 3, 1)
    books.begins("a", "3", "me", 3, 2)
    assert not complaints

    books.begins("a", "2", "me", 2, 1)

    assert "behind a later one" in complaints[0]


def test_what_a_failed_turn_has_sent_comes_nowhere(books: Books, complaints: Complaints) -> None:
    books.sent("1", "a", Kind.DURABLE, Origin.OUTSIDE)
    books.sent("1.relayed", "b", Kind.DURABLE, Origin.TURN, "1")
    books.is_dead("1", has_row=True)
    books.balance(100.0, is_end=False)
    assert not complaints

    books.begins("b", "1.relayed", "a", 2, 1)

    assert "has not ended well" in complaints[0]


def test_what_comes_once_more_or_to_another_one_or_from_nobody_is_seen(
    books: Books, complaints: Complaints
) -> None:
    for id_ in "12":
        books.sent(id_, "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.begins("a", "1", "", 0, 1)
    books.ends("1")
    books.sent("2.relayed", "b", Kind.VOLATILE, Origin.TURN, "2")
    assert not complaints

    books.begins("a", "1", "", 0, 1)
    books.begins("b", "2", "", 0, 1)
    books.begins("a", "3", "", 0, 1)
    books.is_dead("4", has_row=True)
    books.is_dead("2.relayed", has_row=True)  # of a turn that has not ended: it cannot have left

    assert [len([c for c in complaints if words in c]) for words in ("once more", "b got the message 2")] == [
        1,
        1,
    ]
    assert [c for c in complaints if "nobody has sent" in c] == [
        "a got a message 3 that nobody has sent",
        "there is a dead letter of message 4, which nobody has sent",
    ]
    assert "is a dead letter, and its turn has not ended well" in complaints[-1]


def test_what_a_state_shows_is_what_its_turns_have_left(complaints: Complaints) -> None:
    states = States(complaints)
    states.counts("a", Kind.DURABLE, "1")
    states.turn_ends("a", well=True)
    states.counts("b", Kind.VOLATILE, "2")
    states.shows("a", {"1": 1})
    states.starts("b", Kind.VOLATILE, {})
    assert not complaints

    states.shows("a", {})
    states.shows("a", {"1": 1, "3": 1})
    states.starts("b", Kind.VOLATILE, {"2": 1})

    assert [complaint.partition(" ")[2] for complaint in complaints] == [
        "has lost 1",
        "has what no turn has left, 3",
        "is volatile, and begins with 2",
    ]


def test_a_crash_may_take_what_was_not_acknowledged_and_nothing_else(
    books: Books, complaints: Complaints
) -> None:
    for id_, kind in (("1", Kind.DURABLE), ("2", Kind.DURABLE), ("3", Kind.MIRRORED)):
        books.sent(id_, "a", kind, Origin.OUTSIDE)
    books["2"].is_acknowledged = True

    books.crash()
    books.begins_run()
    books.restored("a", ())
    books.balance(100.0, is_end=False)

    assert len(complaints) == 1
    assert "message 2 to a" in complaints[0]
    books.begins("a", "3", "", 0, 1)
    assert "went with the process" in complaints[1]


def test_a_durable_state_is_that_of_the_turns_that_ended_well(complaints: Complaints) -> None:
    states = States(complaints)
    states.starts("a", Kind.DURABLE, {})
    states.counts("a", Kind.DURABLE, "1")
    states.turn_ends("a", well=True)
    states.counts("a", Kind.DURABLE, "2")
    states.turn_ends("a", well=False)
    states.starts("a", Kind.DURABLE, {"1": 1})
    assert not complaints

    states.shows("a", {"1": 2})
    states.starts("a", Kind.DURABLE, {"1": 1, "2": 1})
    states.starts("a", Kind.DURABLE, {})

    assert [complaint.partition(" ")[2] for complaint in complaints] == [
        "has applied more than once 1",
        "begins with what no turn has left, 2",
        "begins without 1, 2",
    ]


def test_a_state_that_was_committed_survives_a_crash_and_the_rest_need_not(complaints: Complaints) -> None:
    states = States(complaints)
    for id_ in "12":
        states.counts("a", Kind.DURABLE, id_)
        states.turn_ends("a", well=True)
        if id_ == "1":
            states.commit("a")

    states.crash()
    assert states.starts("a", Kind.DURABLE, {"1": 1})
    assert not complaints
    states.crash()
    states.starts("a", Kind.DURABLE, {"3": 1})

    assert [complaint.partition(" ")[2] for complaint in complaints] == [
        "begins without what was committed, 1",
        "begins with what it has never known, 3",
    ]


def team(strategy: str, most: int) -> dict[str, Part]:
    children = (Part(name="a", kind=Kind.MIRRORED), Part(name="b", kind=Kind.MIRRORED))
    top = Part(name="t", kind=Kind.TEAM, strategy=strategy, max_restarts=most, within=5.0, children=children)
    return {"t": top, "t/a": children[0], "t/b": children[1]}


def restart(lives: Lives, path: str, now: float, incarnation: int) -> None:
    lives.goes_down(path, now)
    lives.restarts(path, now, above=1)
    lives.starts(path, incarnation, 1, now)


def test_one_restart_too_many_within_the_window_is_seen(complaints: Complaints) -> None:
    lives = Lives(complaints, team("one_for_one", 2))
    lives.starts("t/a", 1, 1, 0.0)
    lives.starts("t/b", 1, 1, 0.0)
    restart(lives, "t/a", 1.0, 2)
    restart(lives, "t/b", 2.0, 2)
    restart(lives, "t/a", 6.5, 3)
    lives.costs_nothing("t/b", 6.6)
    restart(lives, "t/b", 6.6, 3)
    assert not complaints

    restart(lives, "t/b", 6.9, 4)

    assert "which allows 2" in complaints[0]


def test_a_group_restart_counts_once(complaints: Complaints) -> None:
    lives = Lives(complaints, team("one_for_all", 1))
    lives.starts("t/a", 1, 1, 0.0)
    lives.starts("t/b", 1, 1, 0.0)
    restart(lives, "t/a", 1.0, 2)
    restart(lives, "t/b", 1.0, 2)
    assert not complaints

    restart(lives, "t/a", 2.0, 3)

    assert len(complaints) == 1


def test_incarnations_grow_and_there_is_one_at_a_time(complaints: Complaints) -> None:
    lives = Lives(complaints, team("one_for_one", 9))
    lives.starts("t/a", 1, 1, 0.0)
    lives.takes("t/a", "7")
    lives.takes("t/a", "8")
    lives.starts("t/a", 1, 1, 0.0)
    lives.ends_in_order()
    lives.begins_run()
    lives.starts("t/a", 1, 1, 0.0)

    assert [complaint.partition(" ")[2] for complaint in complaints] == [
        "handles message 8 while message 7 is in hand",
        "starts as incarnation 1 behind 1",
        "starts while message 8 is in hand",
        "starts as incarnation 1 behind 1",
    ]


def test_an_end_is_told_once_and_to_those_who_asked(complaints: Complaints) -> None:
    lives = Lives(complaints, {})
    lives.watches("a", 1, "b")
    lives.is_told("a", 1, "b")
    assert not complaints

    lives.is_told("a", 1, "b")

    assert "without asking, or once more" in complaints[0]


def test_who_gives_up_has_had_enough_restarts(complaints: Complaints) -> None:
    lives = Lives(complaints, team("one_for_one", 1))
    lives.starts("t/a", 1, 1, 0.0)
    restart(lives, "t/a", 1.0, 2)
    lives.goes_down("t/a", 3.0)
    lives.gives_up("t")
    assert not complaints

    lives.begins_run()
    restart(lives, "t/a", 20.0, 3)
    lives.goes_down("t/a", 30.0)
    lives.gives_up("t")

    assert "only 1 of its children went down" in complaints[0]


def test_when_all_is_quiet_who_is_kept_is_there_and_who_watches_was_told(complaints: Complaints) -> None:
    lives = Lives(complaints, team("one_for_one", 1))
    lives.starts("t/a", 1, 1, 0.0)
    lives.watches("t/a", 1, "t/b")
    lives.look(lambda path: True)
    assert not complaints

    lives.look(lambda path: path != "t/b")
    lives.is_told("t/a", 1, "t/b")
    lives.is_terminated("t/b", is_so=True)
    lives.look(lambda path: path != "t/b")

    assert [complaint.partition(" ")[2] for complaint in complaints] == [
        "watches t/b, which has ended, and was not told",
        "is not there, and t is, which should have restarted it",
    ]


def test_each_copy_of_a_doubled_message_has_a_name_and_an_end_of_its_own(
    books: Books, complaints: Complaints
) -> None:
    copies = Copies(books)
    books.sent("1", "a", Kind.DURABLE, Origin.OUTSIDE)
    copies.may_be_one_more("a")

    names = [copies.begun("a", "1", message_id, 1) for message_id in ("x", "y", "x", "y")]
    assert names == ["1", "1'", "1", "1'"]
    assert copies.dead("a", "1", "y", is_refused=False) == "1'"
    for name in ("1", "1'"):
        books.begins("a", name, "", 0, 1)
        books.ends(name)
    assert not complaints

    books.begins("a", copies.begun("a", "1", "z", 1), "", 0, 1)

    assert "once more" in complaints[0]


def test_copies_without_ids_are_told_apart_by_their_ends(books: Books, complaints: Complaints) -> None:
    copies = Copies(books)
    books.sent("1", "a", Kind.VOLATILE, Origin.OUTSIDE)
    copies.may_be_one_more("a")
    for name in ("1", "1'"):
        assert copies.begun("a", "1", None, 1) == name
        books.begins("a", name, "", 0, 1)
        assert copies.begun("a", "1", None, 2) == name
        books.ends(name)
    assert not complaints

    assert copies.begun("a", "1", None, 1) == "1"


def test_a_message_may_come_late_once_for_each_that_was_let_pass(
    books: Books, complaints: Complaints
) -> None:
    for id_ in "1234":
        books.sent(id_, "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.may_pass("a")
    for number in (2, 1):
        books.begins("a", str(number), "me", number, 1)
    assert not complaints

    for number in (4, 3):
        books.begins("a", str(number), "me", number, 1)

    assert "behind a later one" in complaints[0]


def test_what_was_refused_to_its_sender_comes_nowhere(books: Books, complaints: Complaints) -> None:
    books.sent("1", "a", Kind.VOLATILE, Origin.OUTSIDE)
    books.is_refused("1")
    books.balance(100.0, is_end=False)
    assert not complaints

    books.begins("a", "1", "", 1, 1)

    assert "told that it has not left" in complaints[0]


@pytest.fixture
def events(books: Books, complaints: Complaints) -> Events:
    return Events(complaints, books)


def _published(events: Events, *ids: str) -> None:
    for id_ in ids:
        events.publishes(id_, "a", None)
        events.returns(id_)


def test_who_follows_gets_each_event_once_and_in_order(events: Events, complaints: Complaints) -> None:
    following = events.follows("f", Follows.NEW)
    _published(events, "1", "2", "3")
    for id_ in "13":
        events.comes(following, id_, 0)
    assert not complaints

    events.comes(following, "2", 0)
    events.comes(following, "1", 0)
    events.comes(following, "9", 0)

    assert "behind the event 3" in complaints[0]
    assert "once more" in complaints[1]
    assert "nobody has published" in complaints[-1]


@pytest.mark.parametrize(("kind", "missed"), [(Follows.NEW, ["2"]), (Follows.HISTORY, ["1", "2"])])
def test_who_follows_misses_nothing_from_where_he_begins(
    events: Events, complaints: Complaints, kind: Follows, missed: list[str]
) -> None:
    _published(events, "1")
    following = events.follows("f", kind)
    _published(events, "2")

    events.look([following], ["2", "1"])

    assert [complaint.split("event ")[1][0] for complaint in complaints] == missed


def test_a_name_goes_on_where_it_was_and_has_nothing_again_that_it_had_when_all_was_quiet(
    events: Events, complaints: Complaints
) -> None:
    first = events.follows("f", Follows.NAMED)
    _published(events, "1", "2")
    events.comes(first, "1", 0)
    events.crash()
    second = events.follows("f", Follows.NAMED)
    for id_ in "12":  # what it had had shortly before may come again
        events.comes(second, id_, 0)
    events.look([second], ["2", "1"])
    assert not complaints

    events.comes(events.follows("f", Follows.NAMED), "2", 0)

    assert "again, which it had before" in complaints[0]


def test_an_event_of_a_failed_turn_is_seen_nowhere(
    books: Books, events: Events, complaints: Complaints
) -> None:
    books.sent("1", "a", Kind.DURABLE, Origin.OUTSIDE)
    events.publishes("1.published", "a", "1")
    events.returns("1.published")
    events.look([events.follows("f", Follows.HISTORY)], [])
    assert not complaints

    events.look([], ["1.published"])
    events.comes(events.follows("f", Follows.HISTORY), "1.published", 0)

    assert all("not published in the end" in complaint for complaint in complaints)
    assert len(complaints) == 2


def test_an_event_that_was_seen_was_committed_with_its_turn(
    books: Books, events: Events, complaints: Complaints
) -> None:
    books.sent("1", "a", Kind.DURABLE, Origin.OUTSIDE)
    books.ends("1")
    events.publishes("1.published", "a", "1")
    events.returns("1.published")
    events.comes(events.follows("f", Follows.NEW), "1.published", 0)
    events.crash()

    events.restored("a", ["1"])
    assert not complaints
    events.restored("a", [])

    assert "was seen, and its turn was not committed" in complaints[0]


def test_who_fails_with_an_event_is_called_three_times(events: Events, complaints: Complaints) -> None:
    following = events.follows("f", Follows.NEW)
    _published(events, "1", "2")

    assert [events.comes(following, "1", 2) for _ in range(3)] == [True, True, False]
    assert [events.comes(following, "2", 3) for _ in range(3)] == [True, True, True]
    events.is_dead(following, "2")
    events.look([following], ["2", "1"])
    assert not complaints

    events.comes(following, "2", 3)
    events.is_dead(following, "1")

    assert "once more" in complaints[0]
    assert "4th time" in complaints[1]
    assert "has not failed with it" in complaints[2]
