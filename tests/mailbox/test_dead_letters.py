"""Dead letters: what they say, how they are kept, counted and logged."""

from __future__ import annotations

import structlog

from sentient_core import DeadLetter, DeadLetterReason, DeadLetters
from sentient_core.logs import LimitedLog
from tests.probes import Add, Counter, Gate, Log, Pass, Recorder, Say, Total, running


def _letters(keep: int = 3) -> DeadLetters:
    return DeadLetters(LimitedLog(structlog.get_logger(), lambda: 0.0, "dead letter"), keep=keep)


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
