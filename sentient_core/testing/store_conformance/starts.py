"""A new start finds what was committed, and who was there before is refused from then on."""

from __future__ import annotations

import anyio
import pytest

from sentient_core.errors import Fenced, StoreError, StoreUnavailable
from sentient_core.store import Journal
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    checkpoint,
    event,
    status,
)

__all__ = ["StartConformance"]


class StartConformance(Conformance):
    """A new start finds what was committed, and who was there before is refused from then on."""

    async def test_a_new_start_after_an_orderly_end_finds_everything(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        journal.append(event(1))
        journal.append(status("team/a", incarnation=3))
        journal.append(checkpoint("team/b", 1, incarnation=2))
        backlog = await journal.close(5.0)
        assert (backlog.records, backlog.uncommitted) == (0, 0)

        store = await place.restart()
        journal = await store.open_journal("bank")

        assert journal.epoch == 2
        assert journal.ended_cleanly
        assert dict(journal.known) == {"team/a": 3, "team/b": 2}
        assert [record.checkpoint_id for record in await journal.checkpoints("team/b", 3)] == ["c.1"]
        journal.append(event(1))
        await journal.flush()
        assert [row.event_id for row in await store.events("bank")] == ["2.1", "1.1"]
        await journal.close(5.0)

    async def test_a_new_start_after_an_abandoned_one_finds_what_was_committed(self, place: Place) -> None:
        abandoned = await place.store.open_journal("bank")
        abandoned.append(event(1))
        abandoned.append(status("team/a", incarnation=2))
        await abandoned.committed()

        journal = await place.store.open_journal("bank")

        assert journal.epoch == 2
        assert not journal.ended_cleanly
        assert dict(journal.known) == {"team/a": 2}
        await journal.flush()
        assert [row.event_id for row in await place.store.events("bank")] == ["1.1"]
        await journal.close(5.0)
        await abandoned.close(0.0)

    @pytest.mark.parametrize("is_projected", [False, True])
    async def test_a_new_start_knows_how_often_paths_were_restarted(
        self, place: Place, is_projected: bool
    ) -> None:
        abandoned = await place.store.open_journal("bank")
        abandoned.append(status("team/a", incarnation=1, restarts=0))
        abandoned.append(status("team/b", incarnation=2, restarts=1))
        abandoned.append(status("team/$1.1", incarnation=9, restarts=8))  # it has no name to come back to
        await abandoned.flush()
        # A checkpoint within a start comes before the status that says how often it was restarted.
        abandoned.append(checkpoint("team/b", 1, incarnation=4))
        if is_projected:
            await abandoned.flush()
        abandoned.append(status("team/b", incarnation=4, restarts=3))
        await (abandoned.flush() if is_projected else abandoned.committed())

        journal = await place.store.open_journal("bank")

        assert dict(journal.known) == {"team/a": 1, "team/b": 4}
        assert dict(journal.known_restarts) == {"team/b": 3}

        # Whatever is written of it meanwhile, the count stays.
        journal.append(checkpoint("team/b", 2, incarnation=7))
        await journal.flush()
        await journal.close(5.0)
        await abandoned.close(0.0)
        again = await (await place.restart()).open_journal("bank")
        assert dict(again.known) == {"team/a": 1, "team/b": 7}
        assert dict(again.known_restarts) == {"team/b": 3}
        await again.close(5.0)

    async def test_a_later_start_fences_the_earlier_one(self, place: Place) -> None:
        told: list[StoreError] = []
        zombie = await place.store.open_journal("bank", on_fenced=told.append)
        zombie.append(event(1))
        await zombie.flush()
        owner = await place.store.open_journal("bank")

        zombie.append(event(2, "late"))
        with pytest.raises(Fenced, match="another process has started"):
            await zombie.committed()
        with pytest.raises(Fenced):
            await zombie.flush()
        with pytest.raises(Fenced):
            await zombie.checkpoints("team/a", 1)

        assert not zombie.append(event(3))
        assert not zombie.append(event(3), force=True)
        owner.append(event(1, "owner's"))
        await owner.flush()
        rows = await place.store.events("bank")
        assert [row.payload for row in rows] == [{"value": "owner's"}, {"amount": 1}]
        assert [type(error) for error in told] == [Fenced]
        await zombie.close(1.0)
        assert not (await owner.close(5.0)).uncommitted

    async def test_an_owner_is_not_fenced_by_the_end_of_the_one_before(self, place: Place) -> None:
        zombie = await place.store.open_journal("bank")
        owner = await place.store.open_journal("bank")
        await zombie.close(1.0)
        owner.append(event(1))
        await owner.flush()
        await owner.close(5.0)

        last = await place.store.open_journal("bank")
        assert last.ended_cleanly
        await last.close(5.0)

    async def test_closing_is_idempotent_and_final(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        journal.append(event(1))

        first = await journal.close(5.0)
        second = await journal.close(5.0)

        assert first == second == journal.backlog()
        assert not journal.append(event(2))
        assert not journal.append(event(2), force=True)
        with pytest.raises(StoreUnavailable, match="closed"):
            await journal.committed()
        assert len(await place.store.events("bank")) == 1

    async def test_a_cancelled_wait_takes_nothing_back(self, place: Place, journal: Journal) -> None:
        journal.append(event(1))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await journal.flush()
        journal.append(event(2))

        await journal.flush()

        assert len(await place.store.events("bank")) == 2

    async def test_many_wait_at_once(self, place: Place, journal: Journal) -> None:
        async def send(seq: int) -> None:
            journal.append(event(seq))
            await (journal.flush() if seq % 2 else journal.committed())

        async with anyio.create_task_group() as tasks:
            for seq in range(1, 101):
                tasks.start_soon(send, seq)
        await journal.flush()

        assert len(await place.store.events("bank", limit=200)) == 100
