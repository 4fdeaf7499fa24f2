"""Named subscribers go on where they have acknowledged, and what they still want is kept for them."""

from __future__ import annotations

import time

from sentient_core.store import Journal, Store
from sentient_core.store.retention import Retention
from sentient_core.store.streams import BEGINNING, END, external_stream
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import dead_letter, event, published

__all__ = ["SubscriberConformance"]

_BANK = external_stream("bank")
_ALL = Retention(events_age=0)


class SubscriberConformance(Conformance):
    """Named subscribers go on where they have acknowledged, and what they still want is kept for them."""

    async def test_a_new_subscriber_begins_where_it_is_told_and_the_next_of_its_name_goes_on(
        self, place: Place
    ) -> None:
        streams = place.store.event_streams
        first = await streams.take_subscriber("bank", "billing", "me", (3, END), (5, 1))
        assert (first.name, first.owner, first.journal, first.external) == ("billing", "me", (3, END), (5, 1))
        assert await streams.acknowledge("bank", "billing", "me", (4, 0), (6, END))

        streams = (await place.restart()).event_streams
        known = await streams.subscribers("bank")
        next_one = await streams.take_subscriber("bank", "billing", "you", (9, 9), BEGINNING)

        if known:  # else a database in memory has forgotten it
            assert (next_one.owner, next_one.journal, next_one.external) == ("you", (4, 0), (6, END))
            assert next_one.since == first.since
        assert [one.owner for one in await streams.subscribers("bank")] == ["you"]

    async def test_an_acknowledgement_that_arrives_late_moves_nobody_back(self, store: Store) -> None:
        streams = store.event_streams
        await streams.take_subscriber("bank", "billing", "me", (1, 0), (2, END))
        assert await streams.acknowledge("bank", "billing", "me", (5, 0), (6, 1))
        assert await streams.acknowledge("bank", "billing", "me", (3, END), (7, 0))

        (stored,) = await streams.subscribers("bank")
        assert (stored.journal, stored.external) == ((5, 0), (7, 0))

    async def test_who_has_lost_the_name_acknowledges_nothing(self, store: Store) -> None:
        streams = store.event_streams
        await streams.take_subscriber("bank", "billing", "me", BEGINNING, BEGINNING)
        await streams.take_subscriber("bank", "billing", "you", BEGINNING, BEGINNING)

        assert not await streams.acknowledge("bank", "billing", "me", (5, 0), (6, 0))
        assert not await streams.acknowledge("bank", "nobody", "me", (5, 0), (6, 0))

        (stored,) = await streams.subscribers("bank")
        assert (stored.owner, stored.journal, stored.external) == ("you", BEGINNING, BEGINNING)

    async def test_subscribers_come_by_name_of_their_system_alone_and_are_forgotten(
        self, store: Store
    ) -> None:
        streams = store.event_streams
        for system, name in (("bank", "b"), ("bank", "a"), ("bank2", "a")):
            await streams.take_subscriber(system, name, "me", BEGINNING, BEGINNING)

        assert [one.name for one in await streams.subscribers("bank")] == ["a", "b"]
        assert await streams.forget_subscriber("bank", "a")
        assert not await streams.forget_subscriber("bank", "a")
        assert [one.name for one in await streams.subscribers("bank")] == ["b"]
        assert [one.name for one in await streams.subscribers("bank2")] == ["a"]
        anew = await streams.take_subscriber("bank", "a", "me", (7, 0), (8, 0))
        assert (anew.journal, anew.external) == ((7, 0), (8, 0))

    async def test_pruning_takes_nothing_that_a_named_subscriber_still_wants(
        self, store: Store, journal: Journal
    ) -> None:
        streams = store.event_streams
        for n in range(1, 5):
            await streams.append(_BANK, [published(n, at=time.time_ns())])
            journal.append(event(n))
            await journal.flush()
        await streams.append(external_stream("zoo"), [published(1)])
        own = [row.position for row in reversed(await store.events("bank"))]
        await streams.take_subscriber("bank", "billing", "me", own[1], (3, END))

        assert (await streams.prune("bank", Retention())).rows == 0  # too young
        pruned = await streams.prune("bank", _ALL)
        page = await streams.after(_BANK, BEGINNING, 4, types=None, limit=100)
        assert (pruned.events.rows, pruned.rows) == (3, 3)
        assert [placed.number for placed in page.events] == [4]
        assert (3, 0) <= page.pruned < (4, 0)
        assert len(await store.events("bank")) == 4  # published from outside, and nothing else
        assert len((await streams.after("zoo/external", BEGINNING, 1, types=None, limit=9)).events) == 1

        await journal.prune(_ALL)
        left = [row.position for row in await store.events("bank")]
        assert set(own[2:]) <= set(left)
        assert own[0] not in left

        await streams.acknowledge("bank", "billing", "me", own[3], (4, END))
        assert (await streams.prune("bank", _ALL)).events.rows == 1
        assert (await streams.prune("bank", _ALL)).rows == 0

    async def test_a_dead_letter_of_a_subscriber_is_written_once_beside_those_of_the_system(
        self, store: Store
    ) -> None:
        letter = dead_letter(1, recipient="$subscriber/billing", reason="failed", cause="ValueError: no")
        for _ in range(2):  # the answer to the first try was lost
            await store.event_streams.add_dead_letter(_BANK, "e1-billing", letter)

        (found,) = await store.dead_letters(_BANK)

        assert (found.message_id, found.recipient) == ("e1-billing", "$subscriber/billing")
        assert (found.reason, found.cause, found.message) == ("failed", "ValueError: no", {"amount": 1})
        assert await store.dead_letters("bank") == []
