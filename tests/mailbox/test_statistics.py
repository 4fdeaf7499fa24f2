"""What a mailbox tells of itself: losses by kind, and how long its oldest message has waited."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import Actor, ActorRef, MailboxOptions, Overflow, handles
from sentient_core.actors.ref import cell_of
from sentient_core.mailbox.statistics import MOST_MARKS, NOTE_SECONDS, Tally
from tests.probes import Add, Fail, Gate, Log, Pass, Recorder, Say, Total, VolatileCounter, running


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=60))
def test_the_head_came_after_the_last_time_noted_before_it(steps: list[tuple[int, int, bool]]) -> None:
    """Each step: some messages come, some are taken, the turn ends, and somebody may look."""
    tally = Tally()
    queue: list[int] = []
    now = 0
    noted = [-1]
    for come, go, is_noted in steps:
        now += 1
        queue.extend([now] * come)
        taken = min(go, len(queue))
        del queue[:taken]
        now += 1
        tally.turn_over(taken, len(queue), now)
        noted.append(now)
        if is_noted:
            tally.note(len(queue), now)
        if queue:
            assert tally.head_since(-1) == max(time for time in noted if time < queue[0])


def test_short_turns_are_noted_once_in_a_while() -> None:
    tally = Tally()
    for n in range(100):
        tally.turn_over(0, n, n * NOTE_SECONDS / 10)

    assert tally.marks <= 11


def test_what_a_turn_may_have_taken_makes_no_age_too_low() -> None:
    tally = Tally()
    tally.note(2, 1.0, in_turn=3)  # five came by then, of which three may have been taken since the last turn
    tally.turn_over(4, 5, 2.0)
    assert tally.head_since(0.0) == 0.0
    tally.turn_over(1, 4, 2.0)
    assert tally.head_since(0.0) == 1.0


def test_marks_are_thinned_out() -> None:
    tally = Tally()
    for n in range(10 * MOST_MARKS):
        tally.note(n + 1, float(n))

    tally.turn_over(9 * MOST_MARKS, MOST_MARKS, 0.0)

    assert tally.head_since(-1) == pytest.approx(9 * MOST_MARKS, abs=MOST_MARKS)
    assert tally.marks < 2 * MOST_MARKS


async def _busy(ref: ActorRef[Any], gate: Gate) -> None:
    ref.tell(Pass())
    await gate.reached.wait()


async def test_losses_are_counted_by_kind() -> None:
    class Small(Recorder):
        mailbox = MailboxOptions(capacity=2, overflow=Overflow.DROP_NEW)

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Small, Log(), gate)
        assert (ref.statistics().dead, ref.statistics().handled) == (0, 0)
        await _busy(ref, gate)
        ref.with_options(expires=1).tell(Say("1"))
        ref.tell(Fail())
        ref.tell(Say("3"))
        ref.tell(Say("4"))
        await anyio.sleep(2)
        gate.open.set()
        await anyio.sleep(1)
        assert await ref.ask(Say("5"), timeout=1) == "5"
        ref.tell(3.5)
        await ref.drain()
        ref.tell(Say("6"))

        seen = ref.statistics()
        assert (seen.dropped, seen.expired, seen.dead, seen.handled) == (2, 1, 6, 2)
        assert seen.dead == system.dead_letters.total


async def test_a_tell_without_room_counts_as_dropped() -> None:
    class Small(Recorder):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Small, Log(), gate)
        await _busy(ref, gate)
        for text in "123":
            ref.tell(Say(text))

        assert (ref.statistics().dropped, ref.statistics().depth) == (2, 1)
        gate.open.set()


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
@pytest.mark.parametrize("priority", [0, 1])
async def test_behind_a_suspended_handler_the_age_counts_from_when_nothing_was_there(
    durability: str, priority: int
) -> None:
    async with running() as system:
        gate = Gate()
        kind = type("It", (Recorder,), {"durability": durability})
        ref: ActorRef[Any] = await system.spawn(kind, Log(), gate)
        await _busy(ref, gate)
        await anyio.sleep(100)
        assert ref.statistics().oldest_age == 0.0

        await anyio.sleep(5)
        ref.tell(Say("1"))
        assert ref.statistics().oldest_age == pytest.approx(5.0)  # it may have come right after that look
        await anyio.sleep(5)
        ref.with_options(priority=priority).tell(Say("2"))
        await anyio.sleep(5)

        assert ref.statistics().oldest_age == pytest.approx(15.0)
        gate.open.set()
        await ref.ask(Say("3"), timeout=1)
        assert ref.statistics().oldest_age == 0.0
        ref.tell(Say("4"))
        assert ref.statistics().oldest_age == 0.0


async def test_with_a_priority_the_age_of_the_oldest_is_exact() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        await _busy(ref, gate)
        await anyio.sleep(5)
        ref.with_options(priority=-1).tell(Say("last"))
        for _ in range(3):
            await anyio.sleep(5)
            ref.tell(Say("x"))

        assert ref.statistics().oldest_age == pytest.approx(15.0)
        gate.open.set()


async def test_what_was_queued_when_the_handler_was_suspended_is_as_old_as_that() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        for message in (Pass(), Say("1"), Say("2")):
            ref.tell(message)
        await gate.reached.wait()
        await anyio.sleep(7)

        assert ref.statistics().oldest_age == pytest.approx(7.0)
        gate.open.set()


async def test_a_backlog_is_as_old_as_its_head_and_not_as_the_time_it_has_existed() -> None:
    class Slow(Actor):
        durability = "volatile"

        @handles
        async def say(self, message: Say) -> None:
            await anyio.sleep(1)

    async with running() as system:
        ref = await system.spawn(Slow)
        for _ in range(10):
            ref.tell(Say("x"))
        for _ in range(400):  # as many come as go
            await anyio.sleep(1)
            ref.tell(Say("x"))

        # About ten are queued, so the oldest came about ten seconds ago; two turns of 64 of these take 128.
        seen = ref.statistics()
        assert seen.depth - 1 <= seen.oldest_age <= 20 + 2 * 64
        await ref.kill()


async def test_what_waits_for_an_actor_that_starts_has_its_age() -> None:
    class Late(Recorder):
        def on_start(self) -> Any:
            return self.gate() if self.gate is not None and self.context.incarnation == 2 else None

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Late, Log(), gate)
        ref.tell(Fail())
        await gate.reached.wait()
        ref.tell(Say("1"))
        await anyio.sleep(3)

        assert ref.statistics().oldest_age == pytest.approx(3.0)
        gate.open.set()


async def test_actors_that_are_done_with_a_backlog_keep_no_tally() -> None:
    async with running() as system:
        refs = [await system.spawn(VolatileCounter) for _ in range(3)]
        for ref in refs:
            for _ in range(200):
                ref.tell(Add())
            ref.with_options(priority=1).tell(Add())
            ref.statistics()
            assert cell_of(ref).mailbox.tally is not None

        assert [await ref.ask(Total(), timeout=1) for ref in refs] == [201] * 3

        assert all(cell_of(ref).mailbox.tally is None for ref in refs)
        assert [ref.statistics().handled for ref in refs] == [202] * 3
