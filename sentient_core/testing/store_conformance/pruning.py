"""What is old, or too much, goes when it is pruned; what is wanted never does."""

from __future__ import annotations

import time
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core.errors import Fenced, StoreUnavailable
from sentient_core.store import Journal, JournalOptions
from sentient_core.store.records import Accepted, CheckpointKind, LetterStatus, Settled, TimerSet
from sentient_core.store.retention import Retention
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    checkpoint,
    dead_letter,
    discarded,
    event,
    redriven,
    status,
)

__all__ = ["BY_HAND", "PruningConformance", "append", "keeping"]

NOW = time.time_ns()
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
FOR_EVER = Retention(
    events_age=None,
    events_bytes=None,
    settled_letters_age=None,
    settled_letters_bytes=None,
    checkpoint_bytes=None,
    ended_age=None,
    accounts_age=None,
)
BY_HAND = JournalOptions(retention=None)


def keeping(**limits: Any) -> Retention:
    """No limits but these."""
    return msgspec.structs.replace(FOR_EVER, **limits)


async def append(journal: Journal, *records: Any) -> None:
    for record in records:
        assert journal.append(record)
    await journal.flush()


class PruningConformance(Conformance):
    """What is old, or too much, goes when it is pruned; what is wanted never does."""

    async def test_events_go_by_age_the_rest_stays(self, place: Place, journal: Journal) -> None:
        await append(journal, *(event(seq, at=NOW - 2 * HOUR) for seq in range(1, 31)))
        await append(journal, *(event(seq, at=NOW) for seq in range(31, 41)))

        pruned = await journal.prune(keeping(events_age=3600.0, batch_rows=7))

        assert pruned.events.rows == pruned.rows == 30
        assert pruned.events.bytes > 30 * 100
        left = await place.store.events("bank")
        assert sorted(int(row.event_id.partition(".")[2]) for row in left) == list(range(31, 41))
        assert (await journal.prune(keeping(events_age=3600.0))).rows == 0

    async def test_of_events_committed_together_only_the_old_ones_go(
        self, place: Place, journal: Journal
    ) -> None:
        await append(journal, *(event(seq, at=NOW - (2 * HOUR if seq <= 5 else 0)) for seq in range(1, 11)))

        pruned = await journal.prune(keeping(events_age=3600.0))
        again = await journal.prune(keeping(events_age=3600.0))

        assert (pruned.rows, again.rows) == (5, 0)
        assert len(await place.store.events("bank")) == 5

    async def test_events_go_by_bytes_the_oldest_first(self, place: Place, journal: Journal) -> None:
        for seq in range(1, 21):
            await append(journal, event(seq, {"text": "x" * 10_000}))

        pruned = await journal.prune(keeping(events_bytes=55_000, batch_rows=1))

        assert pruned.events.rows == 15
        assert {row.payload["text"] for row in await place.store.events("bank")} == {"x" * 10_000}
        assert min(row.position for row in await place.store.events("bank")) > (15, 0)

        await append(journal, *(event(seq, {"text": "y" * 10_000}) for seq in (21, 22)))
        assert (await journal.prune(keeping(events_bytes=55_000, batch_rows=1))).events.rows == 2

    async def test_settled_letters_go_open_ones_stay(self, place: Place, journal: Journal) -> None:
        await append(journal, *(dead_letter(seq, at=NOW - 9 * HOUR) for seq in (1, 2, 3)))
        await append(journal, redriven(2), discarded(3))  # long ago, as the samples have it

        pruned = await journal.prune(keeping(settled_letters_age=3600.0))

        assert pruned.dead_letters.rows == 2
        (left,) = await place.store.dead_letters("bank")
        assert (left.message_id, left.status) == ("1.1", LetterStatus.OPEN)

    async def test_open_letters_go_by_an_age_of_their_own(self, place: Place, journal: Journal) -> None:
        await append(journal, dead_letter(1, at=NOW - 2 * HOUR), dead_letter(2, at=NOW))

        assert (await journal.prune(keeping(settled_letters_age=0, settled_letters_bytes=0))).rows == 0
        assert (await journal.prune(keeping(open_letters_age=3600.0))).dead_letters.rows == 1
        assert [row.message_id for row in await place.store.dead_letters("bank")] == ["1.2"]

    async def test_a_letter_that_was_pruned_and_dies_again_is_there_again(
        self, place: Place, journal: Journal
    ) -> None:
        await append(journal, dead_letter(1), redriven(1))
        assert (await journal.prune(keeping(settled_letters_age=0))).dead_letters.rows == 1

        await append(journal, dead_letter(1, attempts=2, epoch=1))

        (letter,) = await place.store.dead_letters("bank")
        assert (letter.message_id, letter.status, letter.attempts) == ("1.1", LetterStatus.OPEN, 2)

    async def test_many_letters_are_all_looked_at(self, place: Place, journal: Journal) -> None:
        count = 2_300
        await append(journal, *(dead_letter(seq) for seq in range(1, count + 1)))
        await append(journal, *(discarded(seq) for seq in range(1, count + 1) if seq % 23))

        pruned = await journal.prune(keeping(settled_letters_age=0))

        assert pruned.dead_letters.rows == count - count // 23
        assert len(await place.store.dead_letters("bank", limit=count)) == count // 23

    async def test_checkpoints_go_by_bytes_but_never_the_newest_or_a_named_one(
        self, place: Place, journal: Journal
    ) -> None:
        large = {"state": b"x" * 50_000}
        for number in (1, 2, 3):
            await append(journal, checkpoint("bank/a", number, **large), checkpoint("bank/b", number))
        await append(journal, checkpoint("bank/a", 9, kind=CheckpointKind.NAMED, **large))

        pruned = await journal.prune(keeping(checkpoint_bytes=40_000))

        assert pruned.checkpoints.rows == 2
        kept = [row.checkpoint_id for row in await place.store.checkpoint_rows("bank", "bank/a")]
        assert kept == ["c.9", "c.3"]
        assert len(await place.store.checkpoint_rows("bank", "bank/b")) == 3
        assert [found.checkpoint_id for found in await journal.checkpoints("bank/a", 3)] == ["c.3"]

        await append(journal, checkpoint("bank/a", 4, **large))
        assert [found.checkpoint_id for found in await journal.checkpoints("bank/a", 3)] == ["c.4", "c.3"]

    async def test_what_is_over_of_nameless_actors_goes_and_of_others_stays(
        self, place: Place, journal: Journal
    ) -> None:
        for path, state in (
            ("$1.1", "completed"),
            ("$1.2", "idle"),
            ("bank/$1.3", "failed"),
            ("bank", "completed"),
        ):
            await append(journal, status(path, state=state, at=NOW - 2 * HOUR), checkpoint(path, 1))

        pruned = await journal.prune(keeping(ended_age=3600.0))

        assert (pruned.agents.rows, pruned.checkpoints.rows) == (2, 2)
        assert [row.agent_id for row in await place.store.agents("bank")] == ["$1.2", "bank"]
        assert await place.store.checkpoint_rows("bank", "$1.1") == []
        assert len(await place.store.checkpoint_rows("bank", "bank")) == 1

    async def test_of_nameless_durable_actors_nothing_is_left_but_what_is_pending(
        self, place: Place, journal: Journal
    ) -> None:
        for path in ("$1.1", "$1.2"):
            await append(
                journal,
                status(path, state="completed", at=NOW - 2 * HOUR),
                checkpoint(path, 1, kind=CheckpointKind.STATE),
                TimerSet(path, "tick", 1, 0, "Tick", b"\x80"),
            )
        await append(journal, Accepted(event(9, target="$1.2")))

        pruned = await journal.prune(keeping(ended_age=3600.0))

        assert (pruned.agents.rows, pruned.checkpoints.rows) == (2, 1)  # its row and its timer
        gone, kept = [await journal.estate(path, 9) for path in ("$1.1", "$1.2")]
        assert (gone.state, gone.timers) == (None, [])
        assert kept.state is not None
        assert (len(kept.timers), len(kept.pending)) == (1, 1)
        assert [row.agent_id for row in await place.store.agents("bank")] == ["$1.2"]

        await append(journal, Settled("$1.2", 9))
        assert (await journal.prune(keeping(ended_age=3600.0))).rows == 3

    async def test_the_next_start_knows_all_it_needs_whatever_went(self, place: Place) -> None:
        journal = await place.store.open_journal("bank", options=BY_HAND)
        await append(journal, status("bank/a", 7, restarts=4), *(event(seq) for seq in range(1, 9)))
        await append(journal, *(checkpoint("bank/a", number) for number in (1, 2, 3)))
        nothing = Retention(events_age=0, events_bytes=0, open_letters_age=0, checkpoint_bytes=0, ended_age=0)
        assert (await journal.prune(nothing)).rows == 8 + 2
        await journal.close(5.0)

        store = await place.restart()
        again = await store.open_journal("bank", options=BY_HAND)

        assert (again.known["bank/a"], again.known_restarts["bank/a"]) == (7, 4)
        assert [found.checkpoint_id for found in await again.checkpoints("bank/a", 3)] == ["c.3"]
        assert again.ended_cleanly
        await again.close(5.0)

    async def test_other_systems_of_the_store_keep_their_rows(self, place: Place, journal: Journal) -> None:
        shop = await place.store.open_journal("shop", options=BY_HAND)
        await append(journal, event(1), dead_letter(2), discarded(2))
        await append(shop, event(1), dead_letter(2), discarded(2))

        assert (await journal.prune(keeping(events_age=0, settled_letters_age=0))).rows == 2
        assert len(await place.store.events("shop")) == 1
        assert len(await place.store.dead_letters("shop")) == 1
        await shop.close(5.0)

    async def test_a_journal_that_has_ended_prunes_nothing(self, place: Place) -> None:
        journal = await place.store.open_journal("bank", options=BY_HAND)
        await append(journal, event(1))
        await journal.close(5.0)

        with pytest.raises(StoreUnavailable):
            await journal.prune(keeping(events_age=0))

    async def test_a_start_that_was_taken_over_prunes_nothing(self, place: Place, journal: Journal) -> None:
        await append(journal, event(1))
        later = await place.store.open_journal("bank", options=BY_HAND)

        with pytest.raises(Fenced):
            await journal.prune(keeping(events_age=0))

        assert len(await place.store.events("bank")) == 1
        await later.close(5.0)

    async def test_it_goes_on_in_the_background(self, place: Place) -> None:
        options = JournalOptions(retention=keeping(events_age=3600.0, every=0.01))
        journal = await place.store.open_journal("bank", options=options)
        await append(journal, *(event(seq) for seq in range(1, 9)))

        with anyio.fail_after(30):
            while await place.store.events("bank"):
                await anyio.sleep(0.01)
                await append(journal, status("bank"))  # a memory store looks when something happens
        await journal.close(5.0)
