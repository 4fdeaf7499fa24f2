"""Whoever follows a journal is handed each event of each commit once, in order; the rest is in the rows."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import anyio
import pytest

from sentient_core.errors import Fenced
from sentient_core.store import Journal
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event, Settled, Turn
from sentient_core.store.streams import BEGINNING
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import accepted, amount_of, dead_letter, event, redriven

__all__ = ["FollowingConformance"]

_PATIENCE = 20.0
_LAST = "the.last"


class _Follower:
    """Keeps what it is handed, and lets a test wait for the event that it has appended last."""

    def __init__(self, *types: str) -> None:
        self.types = types
        self.handed: list[tuple[int, Placed[Event]]] = []
        self.threads: set[int] = set()
        self._has_last = anyio.Event()

    def wants(self, event_type: str, /) -> bool:
        return not self.types or event_type in (*self.types, _LAST)

    def take(self, number: int, events: Sequence[Placed[Event]], /) -> None:
        self.threads.add(threading.get_ident())
        self.handed += [(number, placed) for placed in events]
        if any(placed.record.event_type == _LAST for placed in events):
            self._has_last.set()

    async def all_of(self, journal: Journal) -> list[int]:
        """The numbers of the events that it was handed before one that is appended now."""
        journal.append(event(999_999, event_type=_LAST))
        await journal.committed()
        with anyio.fail_after(_PATIENCE):
            await self._has_last.wait()
        return [placed.record.seq for _, placed in self.handed if placed.record.event_type != _LAST]


class FollowingConformance(Conformance):
    """Whoever follows a journal is handed each event of each commit once, in order; the rest is in rows."""

    async def test_who_follows_is_handed_each_event_once_in_the_order_of_the_commits(
        self, place: Place, journal: Journal
    ) -> None:
        follower = _Follower()
        behind = journal.follow(follower)
        for seq in range(1, 61):
            journal.append(event(seq))
            if seq % 20 == 0:
                await journal.committed()

        assert await follower.all_of(journal) == [*range(1, 61)]

        await journal.flush()
        rows = await place.store.events("bank")
        assert [placed.position for _, placed in follower.handed] == [row.position for row in reversed(rows)]
        assert all(placed.number == number > behind for number, placed in follower.handed)
        assert follower.threads == {threading.get_ident()}

    async def test_whatever_becomes_an_event_row_is_handed_over(self, place: Place, journal: Journal) -> None:
        follower = _Follower()
        journal.follow(follower)
        journal.append(accepted(1))
        journal.append(dead_letter(5))
        journal.append(Turn((Settled("team/b", 1), event(2), accepted(3))))
        journal.append(redriven(5))

        handed = await follower.all_of(journal)

        await journal.flush()
        rows = [row.event_id for row in await place.store.events("bank")]
        assert [f"1.{seq}" for seq in handed] == [id_ for id_ in reversed(rows) if id_ != "1.999999"]
        assert set(handed) >= {1, 2, 3}

    async def test_who_follows_is_handed_the_types_that_he_wants(self, journal: Journal) -> None:
        follower = _Follower("message_replied")
        journal.follow(follower)
        for seq in range(1, 11):
            journal.append(event(seq, event_type="message_replied" if seq % 3 == 0 else "message_sent"))

        assert await follower.all_of(journal) == [3, 6, 9]

    async def test_rows_up_to_its_beginning_and_what_is_handed_behind_it_are_all_there_is(
        self, place: Place, journal: Journal
    ) -> None:
        for seq in range(1, 11):
            journal.append(event(seq))
        await journal.committed()
        for seq in range(11, 21):  # these are on their way
            journal.append(event(seq))
        follower = _Follower()
        behind = journal.follow(follower)
        for seq in range(21, 31):
            journal.append(event(seq))
        await follower.all_of(journal)
        await journal.flush()

        page = await place.store.event_streams.after("bank", BEGINNING, behind, types=None, limit=1_000)

        before = [amount_of(placed.record) for placed in page.events]
        handed = [amount_of(placed.record) for number, placed in follower.handed if number > behind]
        assert [*before, *handed] == [*range(1, 31), 999_999]

    async def test_who_follows_no_more_is_handed_nothing_more(self, journal: Journal) -> None:
        first, second = _Follower(), _Follower()
        journal.follow(first)
        journal.append(event(1))
        assert await first.all_of(journal) == [1]
        before = list(first.handed)

        journal.follow(second)  # in its place
        journal.append(event(2))
        assert await second.all_of(journal) == [2]
        seen = list(second.handed)
        journal.follow(None)
        journal.append(event(3))
        await journal.flush()

        assert (first.handed, second.handed) == (before, seen)

    async def test_what_is_refused_is_handed_to_nobody(self, place: Place) -> None:
        follower = _Follower()
        zombie = await place.store.open_journal("bank")
        zombie.follow(follower)
        zombie.append(event(1))
        assert await follower.all_of(zombie) == [1]
        owner = await place.store.open_journal("bank")

        zombie.append(event(2))
        with pytest.raises(Fenced):
            await zombie.committed()

        assert [placed.record.seq for _, placed in follower.handed] == [1, 999_999]
        await zombie.close(1.0)
        await owner.close(5.0)
