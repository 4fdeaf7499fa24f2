"""When rows wait for commits: a matter of numbers alone."""

from __future__ import annotations

import time

import msgspec
import pytest

from sentient_core.store import JournalOptions
from sentient_core.store.precedence import FOLLOWED_SECONDS, Precedence
from sentient_core.store.records import Entry, Event, Published, Turn, has_news
from sentient_core.store.tail import Intake

OPTIONS = JournalOptions(tail_bytes=1_000, tail_seconds=30.0)
NOW = 1_000.0


def an_event(seq: int, message_type: str | None = None) -> Event:
    return Event("x", seq, "a", None, message_type, b"", 0)


def commits(precedence: Precedence, *, every: float, lasting: float, is_awaited: bool = True) -> None:
    """A second of them, one behind the other, up to NOW."""
    for number in range(round(1 / every)):
        began = NOW - 1.0 + number * every
        precedence.note_commit(began, began + lasting, is_awaited=is_awaited)


def busy(intake: Intake, options: JournalOptions = OPTIONS) -> Precedence:
    precedence = Precedence(intake, options, 10)
    commits(precedence, every=0.002, lasting=0.0019)
    return precedence


def intake(*, weight: int = 0, records: int = 0) -> Intake:
    made = Intake(OPTIONS, 0, 0)
    made.bytes_in, made.count_in = weight, records
    return made


def test_rows_wait_while_callers_do_nothing_but_wait_for_commits() -> None:
    assert busy(intake()).is_with_commits(NOW, NOW)


def test_rows_do_not_wait_for_a_few_commits_in_a_second() -> None:
    precedence = Precedence(intake(), OPTIONS, 10)
    commits(precedence, every=0.05, lasting=0.01)

    assert not precedence.is_with_commits(NOW, NOW)


def test_rows_do_not_wait_for_commits_that_nobody_waits_for() -> None:
    precedence = Precedence(intake(), OPTIONS, 10)
    commits(precedence, every=0.002, lasting=0.0019, is_awaited=False)

    assert not precedence.is_with_commits(NOW, NOW)


def test_rows_go_on_soon_after_the_last_commit() -> None:
    precedence = busy(intake())

    assert precedence.is_with_commits(NOW + 0.05, NOW)
    assert not precedence.is_with_commits(NOW + 0.4, NOW)


@pytest.mark.parametrize(("weight", "is_first"), [(499, True), (500, False), (2_000, False)])
def test_half_of_the_tail_is_full_and_rows_wait_no_longer(weight: int, *, is_first: bool) -> None:
    assert busy(intake(weight=weight)).is_with_commits(NOW, NOW) is is_first


@pytest.mark.parametrize(
    ("waited", "records", "rate", "is_first"),
    [
        (14.0, 0, 0.0, True),
        (15.0, 0, 0.0, False),
        (0.0, 1_490, 100.0, True),
        (0.0, 1_500, 100.0, False),
        (8.0, 600, 100.0, True),
        (8.0, 700, 100.0, False),
        (8.0, 1_000_000, 0.0, True),
    ],
)
def test_rows_are_late_by_half_of_what_they_may_be(
    waited: float, records: int, rate: float, *, is_first: bool
) -> None:
    precedence = busy(intake(records=records))
    precedence.rate = rate

    assert precedence.is_with_commits(NOW, NOW - waited) is is_first


def test_a_tail_that_may_not_be_late_has_no_commits_first() -> None:
    at_once = msgspec.structs.replace(OPTIONS, tail_seconds=0.0)

    assert not busy(intake(), at_once).is_with_commits(NOW, NOW)


def test_the_share_is_that_of_the_time_in_flight() -> None:
    precedence = Precedence(intake(), OPTIONS, 10)
    commits(precedence, every=0.002, lasting=0.001)

    assert precedence.share(NOW) == pytest.approx(0.5, abs=0.05)


def test_rows_wait_while_a_start_reads_and_a_little_longer() -> None:
    now = time.monotonic()
    precedence = Precedence(intake(weight=999, records=1_000_000), OPTIONS, 10)

    with precedence.reading():
        assert precedence.is_with_commits(now + 5.0, now)

    now = time.monotonic()
    assert precedence.is_with_commits(now, now)
    assert not precedence.is_with_commits(now + 1.0, now)


@pytest.mark.parametrize(
    ("weight", "waited", "is_first"), [(999, 14, True), (1_000, 14, False), (1, 15, False)]
)
def test_a_start_that_reads_for_ever_does_not_hold_rows_for_ever(
    weight: int, waited: int, *, is_first: bool
) -> None:
    precedence = Precedence(intake(weight=weight), OPTIONS, 10)

    with precedence.reading():
        assert precedence.is_with_commits(NOW, NOW - waited) is is_first


def test_the_rate_of_rows_follows_what_is_measured_and_bounds_the_tail() -> None:
    made = intake()
    precedence = Precedence(made, OPTIONS, 10)

    precedence.note_rows(NOW, NOW, 1_000, 1.0)
    assert (precedence.rate, made.room_records) == (1_000, 30_000)

    precedence.note_rows(NOW, NOW, 500, 1.0)
    assert precedence.rate == pytest.approx(900)

    for _ in range(100):
        precedence.note_rows(NOW, NOW, 1, 100.0)
    assert made.room_records == 10


def test_beside_commits_the_rate_does_not_fall() -> None:
    precedence = busy(intake())
    precedence.rate = 1_000

    precedence.note_rows(NOW, NOW - 20.0, 100, 1.0)
    assert precedence.rate == 1_000

    precedence.note_rows(NOW, NOW, 1_100, 1.0)
    assert precedence.rate == 1_100


def test_beside_commits_a_first_rate_counts_when_rows_are_late_anyway() -> None:
    made = intake()
    unlimited = made.room_records
    precedence = busy(made)

    precedence.note_rows(NOW, NOW - 14.0, 100, 1.0)
    assert (precedence.rate, made.room_records) == (0, unlimited)

    precedence.note_rows(NOW, NOW - 16.0, 100, 1.0)
    assert (precedence.rate, made.room_records) == (100, 3_000)


def test_rows_that_somebody_follows_wait_for_a_moment_only() -> None:
    is_followed = True
    precedence = Precedence(intake(), OPTIONS, 10, lambda: is_followed)
    commits(precedence, every=0.002, lasting=0.0019)

    assert precedence.is_with_commits(NOW, NOW)
    assert not precedence.is_with_commits(NOW, NOW - 2 * FOLLOWED_SECONDS)
    with precedence.reading():
        assert not precedence.is_with_commits(NOW, NOW - 2 * FOLLOWED_SECONDS)
    is_followed = False
    assert precedence.is_with_commits(NOW, NOW - 2 * FOLLOWED_SECONDS)


def test_rows_that_somebody_elsewhere_may_follow_wait_for_a_moment_only_as_long_as_there_is_news() -> None:
    precedence = busy(intake())
    precedence.note_news(NOW - 0.5)

    assert not precedence.is_with_commits(NOW, NOW - 2 * FOLLOWED_SECONDS)
    assert not precedence.knows_of_news(NOW)
    precedence.note_news(NOW - 2.0)
    assert precedence.is_with_commits(NOW, NOW - 2 * FOLLOWED_SECONDS)


def test_news_is_what_is_not_of_messages_alone() -> None:
    message, fact = an_event(1, message_type="Note"), an_event(2)
    published = Published("a.b", 3, "a", None, None, b"", 0)

    assert not has_news(Entry(1, (message, Turn((message,)))))
    assert has_news(Entry(1, (message, fact)))
    assert has_news(Entry(1, (Turn((message, published)),)))
