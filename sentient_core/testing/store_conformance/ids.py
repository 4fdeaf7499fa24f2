"""What became of ids of callers is known, as long as it has to be."""

from __future__ import annotations

import time

import msgspec

from sentient_core.store import Journal
from sentient_core.store.outcomes import Outcome, OutcomeKind
from sentient_core.store.records import Answered, Noted, Settled, Turn
from sentient_core.store.retention import Retention
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    NOW,
    accepted,
    answered,
    dead_letter,
    event,
    sent_as,
)

__all__ = ["IdConformance"]


class IdConformance(Conformance):
    """What became of ids of callers is known, as long as it has to be."""

    async def test_what_became_of_an_id_is_known_before_and_behind_its_projection(
        self, place: Place, journal: Journal
    ) -> None:
        pay, ship = sent_as("pay"), sent_as("ship", content=b"other")
        journal.append(accepted(1, pay))
        journal.append(accepted(2, ship))
        await journal.committed()
        both = [("team/b", "pay"), ("team/b", "ship")]

        known = await journal.outcomes([*both, ("team/a", "pay"), ("team/b", "never")])
        assert {key: outcome.kind for key, outcome in known.items()} == dict.fromkeys(both, "pending")
        await journal.flush()
        assert await journal.outcomes(both) == known

        journal.append(Turn((Settled("team/b", 1), answered(1, pay, "paid"))))
        journal.append(
            dead_letter(2, recipient="team/b", reason="failed", cause="no", was_pending=True, sent_as=ship)
        )
        await journal.committed()
        known = await journal.outcomes(both)
        assert known["team/b", "pay"] == Outcome(
            OutcomeKind.REPLY, pay.digest, answered(1, pay).event.at, "str", msgspec.msgpack.encode("paid")
        )
        assert known["team/b", "ship"].kind is OutcomeKind.DEAD
        assert msgspec.msgpack.decode(known["team/b", "ship"].payload) == "no"
        await journal.flush()
        assert await journal.outcomes(both) == known

    async def test_what_became_of_an_id_is_known_to_later_starts(self, place: Place) -> None:
        first = await place.store.open_journal("bank")
        first.append(accepted(1, sent_as("pay")))
        first.append(answered(1, sent_as("pay"), "paid"))
        first.append(accepted(2, sent_as("late")))
        await first.committed()

        second = await place.store.open_journal("bank")  # the first one never closed

        found = await second.outcomes([("team/b", "pay"), ("team/b", "late")])
        assert [outcome.kind for _, outcome in sorted(found.items())] == ["pending", "reply"]
        await second.close(5.0)
        await first.close(0.0)

    async def test_memos_are_there_until_their_message_is_settled(
        self, place: Place, journal: Journal
    ) -> None:
        in_hand = ("team/a", journal.epoch, 1)
        asked = sent_as("1", asker=in_hand)
        journal.append(accepted(1, target="team/a"))
        journal.append(Noted("team/a", 1, "once pay", b"\x01", NOW))
        journal.append(accepted(2, asked))
        journal.append(Noted("team/a", 3, "once pay", b"\x02", NOW))

        memos = await journal.memos(in_hand)
        assert {name: memo.kind for name, memo in memos.items()} == {
            "once pay": OutcomeKind.REPLY,
            "ask team/b 1": OutcomeKind.PENDING,
        }
        await journal.flush()
        assert await journal.memos(in_hand) == memos
        journal.append(answered(2, asked))
        assert (await journal.memos(in_hand))["ask team/b 1"].kind is OutcomeKind.REPLY
        await journal.flush()
        assert (await journal.memos(in_hand))["ask team/b 1"].kind is OutcomeKind.REPLY

        journal.append(Settled("team/a", 1, has_memos=True))
        await journal.flush()
        assert await journal.memos(in_hand) == {}
        assert set(await journal.memos(("team/a", journal.epoch, 3))) == {"once pay"}

    async def test_old_ids_go_and_what_is_pending_stays(self, place: Place, journal: Journal) -> None:
        old = time.time_ns() - 8 * 86_400_000_000_000
        journal.append(accepted(1, sent_as("settled"), at=old))
        journal.append(Answered(event(11, "fine", at=old), sent_as("settled")))
        journal.append(accepted(2, sent_as("pending"), at=old))
        journal.append(accepted(3, sent_as("young"), at=old))
        journal.append(Answered(event(13, "fine", at=time.time_ns()), sent_as("young")))
        journal.append(Settled("team/b", 1))
        journal.append(Noted("team/b", 1, "once lost", b"\x01", old))
        journal.append(Noted("team/b", 2, "once kept", b"\x01", old))
        await journal.flush()
        keys = [("team/b", id_) for id_ in ("settled", "pending", "young")]

        assert (await journal.prune(Retention(dedupe_window=None))).rows == 0
        pruned = await journal.prune(Retention(events_age=None, batch_rows=1))

        assert (pruned.ids.rows, pruned.memos.rows, pruned.rows) == (1, 1, 2)
        assert {id_ for _, id_ in await journal.outcomes(keys)} == {"pending", "young"}
        assert await journal.memos(("team/b", journal.epoch, 1)) == {}
        assert set(await journal.memos(("team/b", journal.epoch, 2))) == {"once kept"}
