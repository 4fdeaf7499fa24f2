"""Dead letters are listed, sent again, discarded, and found by what is known of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sentient_core.mailbox import DeadLetterReason
from sentient_core.store import Journal
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.records import LetterStatus
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    NOW,
    dead_letter,
    discarded,
    event,
    redriven,
)

__all__ = ["LetterConformance"]


class LetterConformance(Conformance):
    """Dead letters are listed, sent again, discarded, and found by what is known of them."""

    async def test_dead_letters_are_listed_newest_first(self, place: Place, journal: Journal) -> None:
        for seq in range(1, 4):
            journal.append(dead_letter(seq, cause="no\nroom"))
            journal.append(event(seq + 10))
            await journal.flush()

        rows = await place.store.dead_letters("bank", limit=2)

        assert [row.message_id for row in rows] == ["1.3", "1.2"]
        assert (rows[0].recipient, rows[0].sender, rows[0].reason) == ("team/gone", "team/a", "stopped")
        assert (rows[0].message, rows[0].cause, rows[0].attempts) == ({"amount": 3}, "no\nroom", 0)
        assert await place.store.dead_letters("zoo") == []

    async def test_a_dead_letter_row_holds_what_was_recorded(self, place: Place, journal: Journal) -> None:
        journal.append(dead_letter(7, incarnation=3, attempts=1, cause="why"))
        journal.append(dead_letter(8, is_exact=False, correlation=0))
        await journal.flush()

        words, exact = await place.store.dead_letters("bank")

        assert (exact.message_id, exact.message_type, exact.message) == ("1.7", "Deposit", {"amount": 7})
        assert msgspec.msgpack.decode(exact.payload or b"") == {"amount": 7}
        assert (exact.incarnation, exact.attempts, exact.cause) == (3, 1, "why")
        assert exact.timestamp.isoformat() == "2025-11-21T04:40:00.123456+00:00"
        assert (exact.correlation_id, words.correlation_id) == ("1.7", None)
        assert (exact.status, exact.settled_at, exact.discard_reason) == ("open", None, None)
        assert words.payload is None

    @pytest.mark.parametrize("is_one_window", [True, False])
    async def test_the_evidence_of_a_quarantine_is_in_the_row_and_goes_with_its_next_death(
        self, place: Place, journal: Journal, is_one_window: bool
    ) -> None:
        evidence = {"tries": 3, "traceback": "Traceback: …", "state_digest": "ab12", "checkpoint_id": "1.4"}

        async def seen(row: int = 0) -> tuple[object, ...]:
            await journal.flush()
            letter = (await place.store.dead_letters("bank", limit=2))[row]
            return tuple(getattr(letter, field) for field in evidence)

        journal.append(dead_letter(5, attempts=1))
        journal.append(dead_letter(6, attempts=1, reason="quarantined", **evidence))
        if not is_one_window:
            assert await seen() == (3, "Traceback: …", "ab12", "1.4")
            assert await seen(1) == (0, None, None, None)
            which = DeadLetterFilter(reason="quarantined")
            (letter,) = await place.store.dead_letters("bank", matching=which)
            assert letter.message_id == "1.6"
        journal.append(redriven(6, 2))
        if not is_one_window:
            assert await seen() == (3, "Traceback: …", "ab12", "1.4")
        journal.append(dead_letter(6, attempts=2, epoch=1, reason="failed", tries=1))

        assert await seen() == (1, None, None, None)

    @pytest.mark.parametrize("is_one_window", [True, False])
    async def test_a_letter_is_redriven_dies_again_and_is_discarded(
        self, place: Place, journal: Journal, is_one_window: bool
    ) -> None:
        async def seen() -> tuple[object, ...]:
            await journal.flush()
            (row,) = await place.store.dead_letters("bank")
            settled = None if row.settled_at is None else row.settled_at.microsecond
            return (row.status, row.reason, row.attempts, settled, row.discard_reason)

        journal.append(dead_letter(500_000, attempts=1))
        if not is_one_window:
            assert await seen() == ("open", "stopped", 1, None, None)
        journal.append(redriven(500_000, 2))
        if not is_one_window:
            assert await seen() == ("redriven", "stopped", 2, 123_956, None)
        journal.append(dead_letter(500_000, attempts=2, reason="failed", epoch=1))
        if not is_one_window:
            assert await seen() == ("open", "failed", 2, None, None)
        journal.append(discarded(500_000, "no use"))

        assert await seen() == ("discarded", "failed", 2, 123_956, "no use")
        (event_row,) = await place.store.events("bank")
        assert (event_row.event_id, event_row.event_type) == ("1.501000", "message_redriven")
        assert event_row.payload == {"message_id": "1.500000", "attempts": 2}

    async def test_a_mark_in_the_window_of_the_death_is_in_the_row(
        self, place: Place, journal: Journal
    ) -> None:
        journal.append(dead_letter(1))
        journal.append(redriven(1, 2))
        journal.append(dead_letter(2))
        journal.append(discarded(2))
        await journal.flush()

        two, one = await place.store.dead_letters("bank")

        assert (one.status, one.attempts) == ("redriven", 2)
        assert (two.status, two.discard_reason) == ("discarded", "no use")

    async def test_a_mark_without_a_letter_makes_no_row(self, place: Place, journal: Journal) -> None:
        journal.append(redriven(1, 2))
        journal.append(discarded(2))
        await journal.flush()

        assert await place.store.dead_letters("bank") == []
        assert await place.store.letters_by_id("bank", ["1.1", "1.2"]) == []

    async def test_a_letter_of_an_earlier_start_keeps_its_id(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        journal.append(dead_letter(5, attempts=1))
        journal.append(dead_letter(6, attempts=1))
        await journal.close(5.0)
        store = await place.restart()
        journal = await store.open_journal("bank")

        journal.append(dead_letter(5, attempts=1, reason="full"))  # a message of this start
        journal.append(redriven(5, 2, epoch=1))
        journal.append(redriven(6, 2, epoch=1))
        journal.append(dead_letter(6, attempts=2, reason="failed", epoch=1))
        await journal.flush()

        rows = {row.message_id: row for row in await store.dead_letters("bank")}
        if rows.keys() != {"2.5"}:  # a database in memory has forgotten the earlier start
            assert {id_: (row.status, row.reason, row.attempts) for id_, row in rows.items()} == {
                "1.5": ("redriven", "stopped", 2),
                "1.6": ("open", "failed", 2),
                "2.5": ("open", "full", 1),
            }
        await journal.close(5.0)

    async def test_dead_letters_are_found_by_what_is_known_of_them(
        self, place: Place, journal: Journal
    ) -> None:
        start = datetime.fromtimestamp(NOW // 1_000_000_000, UTC)
        for seq in range(6):
            journal.append(
                dead_letter(
                    seq,
                    at=NOW // 1_000_000_000 * 1_000_000_000 + seq * 1_000_000_000,
                    recipient=f"team/{'ab'[seq % 2]}",
                    reason=["stopped", "full", "failed"][seq % 3],
                    message_type="Order" if seq == 5 else "Deposit",
                )
            )
        journal.append(discarded(4))
        await journal.flush()

        async def found(status: LetterStatus | None = None, limit: int = 100, **matching: Any) -> list[int]:
            rows = await place.store.dead_letters(
                "bank", matching=DeadLetterFilter(**matching), status=status, limit=limit
            )
            return [row.message["amount"] for row in rows]

        assert await found() == [5, 4, 3, 2, 1, 0]
        assert await found(limit=2) == [5, 4]
        assert await found(recipient="team/a") == [4, 2, 0]
        assert await found(recipient="team/a", limit=1) == [4]
        assert await found(recipient="team/a", reason="failed") == [2]
        assert await found(reason=DeadLetterReason.FULL) == [4, 1]
        assert await found(message_type="Order") == [5]
        assert await found(since=start + timedelta(seconds=4)) == [5, 4]
        assert await found(since=start + timedelta(seconds=1), until=start + timedelta(seconds=3)) == [2, 1]
        assert await found(recipient="team/b", since=start + timedelta(seconds=2)) == [5, 3]
        assert await found(LetterStatus.DISCARDED) == [4]
        assert await found(LetterStatus.OPEN, recipient="team/a") == [2, 0]
        assert await found(recipient="team") == []

        everything = DeadLetterFilter()
        assert await place.store.open_letters("bank", everything) == ["1.0", "1.1", "1.2", "1.3", "1.5"]
        assert await place.store.open_letters("bank", DeadLetterFilter(recipient="team/a")) == ["1.0", "1.2"]
        assert await place.store.open_letters("zoo", everything) == []
        rows = await place.store.letters_by_id("bank", ["1.3", "1.4", "9.9", "nonsense"])
        assert sorted(row.message_id for row in rows) == ["1.3", "1.4"]
        assert await place.store.letters_by_id("zoo", ["1.3"]) == []

    @pytest.mark.parametrize("nanoseconds", [0, 1, 500, 1_000, 500_000_000, 123_456_000, 999_999_999])
    async def test_the_bounds_of_a_time_are_exact(
        self, place: Place, journal: Journal, nanoseconds: int
    ) -> None:
        at = NOW // 1_000_000_000 * 1_000_000_000 + nanoseconds
        for seq, off in enumerate((-1_000_000_000, -1_000, 0, 1_000, 1_000_000_000)):
            journal.append(dead_letter(seq, at=at + off, recipient="a"))
        await journal.flush()
        time = (await place.store.dead_letters("bank"))[2].timestamp

        for recipient in ("a", None):
            since = DeadLetterFilter(since=time, recipient=recipient)
            until = DeadLetterFilter(until=time, recipient=recipient)
            assert await place.store.open_letters("bank", since) == ["1.2", "1.3", "1.4"]
            assert await place.store.open_letters("bank", until) == ["1.0", "1.1"]
