"""The lane between threads: wake-ups, order, its end. No event loop, only what it sees of one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, cast

import pytest

from sentient_core import SystemClosed, WrongThread
from sentient_core.actors.lane import Lane
from sentient_core.backend import Backend
from sentient_core.logs import runtime_log


class Loop:
    """What a lane sees of an event loop; it runs when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []
        self.is_over = False

    def call_threadsafe(self, function: Callable[..., object], *args: Any) -> None:
        if self.is_over:
            raise RuntimeError("the loop is closed")
        self.soon.append(lambda: function(*args))

    def run(self) -> int:
        """Until nothing is left; returns how many calls were made."""
        count = 0
        while self.soon:
            self.soon.pop(0)()
            count += 1
        return count


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def lane(loop: Loop) -> Lane:
    return Lane(cast("Backend", loop), "test", copy_context(), runtime_log("test"))


def elsewhere(work: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def main() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def put(lane: Lane, *calls: Callable[[], object]) -> None:
    def work() -> None:
        for call in calls:
            lane.put(call, "send a message")

    elsewhere(work)


def test_calls_are_made_in_the_order_they_were_put_in(loop: Loop, lane: Lane) -> None:
    made: list[int] = []

    put(lane, *(partial(made.append, n) for n in range(5_000)))
    loop.run()

    assert made == list(range(5_000))


def test_one_wake_up_for_all_that_is_in_it(loop: Loop, lane: Lane) -> None:
    put(lane, *[int] * 900)

    assert len(loop.soon) == 1
    assert loop.run() == 2, "one pass takes them, one more looks whether there is something new"


def test_it_sleeps_when_there_is_nothing_and_is_woken_again(loop: Loop, lane: Lane) -> None:
    made: list[str] = []
    for word in ("first", "second"):
        put(lane, partial(made.append, word))
        loop.run()

    assert made == ["first", "second"]
    assert loop.soon == []


def test_a_pass_of_the_loop_takes_a_bounded_number(loop: Loop, lane: Lane) -> None:
    made: list[int] = []
    put(lane, *(partial(made.append, n) for n in range(5_000)))

    loop.soon.pop(0)()

    assert 0 < len(made) < 5_000


def test_a_call_that_raises_does_not_stop_those_behind_it(loop: Loop, lane: Lane) -> None:
    made: list[str] = []

    def fails() -> None:
        raise ValueError("of this")

    put(lane, fails, lambda: made.append("behind"))
    loop.run()

    assert made == ["behind"]


def test_at_the_end_what_is_on_its_way_is_still_made_and_nothing_more_taken(loop: Loop, lane: Lane) -> None:
    made: list[str] = []
    put(lane, lambda: made.append("on its way"))

    lane.close()

    assert made == ["on its way"]
    with pytest.raises(SystemClosed):
        put(lane, lambda: made.append("late"))
    loop.run()
    assert made == ["on its way"]


def test_a_loop_that_has_ended_is_a_closed_system(loop: Loop, lane: Lane) -> None:
    loop.is_over = True

    with pytest.raises(SystemClosed, match="'test'"):
        put(lane, int)


def test_on_its_own_thread_it_is_refused(loop: Loop, lane: Lane) -> None:
    with pytest.raises(WrongThread):
        lane.put(int, "send a message")
