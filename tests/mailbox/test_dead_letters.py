"""Dead letters: what they say, how they are kept, counted and logged."""

from __future__ import annotations

from typing import Any

import anyio
import structlog

from sentient_core import DeadLetter, DeadLetterReason, DeadLetters, handles
from sentient_core.feed import Feed
from sentient_core.logs import LimitedLog, runtime_log
from tests.probes import Add, Counter, Gate, Log, Pass, Recorder, Say, Total, letters, running


def _letters(keep: int = 3) -> DeadLetters:
    log = LimitedLog(runtime_log("test"), lambda: 0.0, "dead letter")
    return DeadLetters(log, Feed(log), keep=keep)


def _letter(n: int, reason: DeadLetterReason = DeadLetterReason.FULL) -> DeadLetter:
    return DeadLetter(message=n, reason=reason, recipient="a", sender="external")


def test_the_newest_are_kept_and_all_are_counted() -> None:
    kept = _letters(keep=3)

    with structlog.testing.capture_logs():
        for n in range(5):
            kept.add(_letter(n))
        kept.add(_letter(5, DeadLetterReason.STOPPED))

    assert [letter.message for letter in kept] == [3, 4, 5]
    assert len(kept) == 3
    assert kept[-1].message == 5
    assert [letter.message for letter in kept[:2]] == [3, 4]
    assert kept.counts == {DeadLetterReason.FULL: 5, DeadLetterReason.STOPPED: 1}
    assert kept.total == 6
    assert repr(kept) == "<dead letters: 5 full, 1 stopped>"


async def test_a_dead_letter_says_everything() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Say("x"))
        await ref.ask(Total(), timeout=1)

        (letter,) = system.dead_letters

        assert letter.message == Say("x")
        assert letter.reason is DeadLetterReason.UNHANDLED
        assert (letter.recipient, letter.sender, letter.incarnation) == ("a", "external", 1)
        assert letter.message_id is not None
        assert letter.correlation_id == letter.message_id
        assert "Counter" in letter.cause


async def test_who_subscribes_is_told_of_every_letter_at_once() -> None:
    told: list[tuple[Any, str]] = []
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()

        with system.dead_letters.subscribe(lambda letter: told.append((letter.message, letter.reason))):
            ref.tell(Add(1))
            assert told == [(Add(1), "stopped")]
            ref.tell(Add(2))
        ref.tell(Add(3))

    assert told == [(Add(1), "stopped"), (Add(2), "stopped")]


async def test_a_subscriber_that_raises_or_makes_letters_itself_disturbs_no_actor() -> None:
    async with running() as system:
        gone = await system.spawn(Counter, name="gone")
        await gone.stop()
        counter = await system.spawn(Counter)

        def fails(letter: DeadLetter) -> None:
            gone.tell(letter.message)
            raise ValueError("no")

        system.dead_letters.subscribe(fails)
        with structlog.testing.capture_logs() as lines:
            counter.tell(Say("nobody handles this"))
            counter.tell(Add(1))
            assert await counter.ask(Total(), timeout=1) == 1

        assert counter.incarnation == 1
        assert letters(system) == [
            (Say("nobody handles this"), "unhandled"),
            (Say("nobody handles this"), "stopped"),
        ]
        assert "a subscriber of dead letters failed" in [line["event"] for line in lines]


async def test_what_a_subscriber_sends_comes_from_who_subscribed() -> None:
    log = Log()

    class Watcher(Recorder):
        @handles
        def say(self, message: Say) -> None:
            envelope = self.context.message
            assert envelope is not None
            log(f"{message.text} from {envelope.sender}")

    async with running() as system:
        watcher = await system.spawn(Watcher, log, name="watcher")
        system.dead_letters.subscribe(lambda letter: watcher.tell(Say(letter.reason)))
        counter = await system.spawn(Counter, name="counter")

        counter.tell(Say("nobody handles this"))

        await log.until("unhandled from external")


async def test_following_ends_with_the_system_behind_its_last_letters() -> None:
    followed: list[Any] = []

    async with anyio.create_task_group() as tasks, running() as system:

        async def follow() -> None:
            async with system.dead_letters.follow() as new:
                followed.extend([letter.message async for letter in new])

        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("queued at the end"))
        gate.open.set()
        ref.stop()

    assert followed == [Say("queued at the end")]


async def test_lines_of_dead_letters_are_limited_and_the_rest_is_counted() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running() as system:
            ref = await system.spawn(Counter, name="a")
            await ref.stop()
            for _ in range(500):
                ref.tell(Add())
        assert system.dead_letters.total == 500

    told = [line for line in lines if line["event"] == "dead letter"]
    counted = [line["suppressed"] for line in lines if "suppressed" in line]
    assert 0 < len(told) < 50
    assert len(told) + sum(counted) == 500


async def test_a_flood_in_a_mailbox_is_counted_exactly() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        for n in range(10_100):
            ref.tell(Say(str(n)))

        assert system.dead_letters.counts == {DeadLetterReason.FULL: 100}
        gate.open.set()
