"""What a durable actor has left is the same whatever of it is in rows already: rows and tail are one."""

from __future__ import annotations

from random import Random

from sentient_core.store import JournalOptions
from sentient_core.store.records import (
    Accepted,
    CheckpointKind,
    DurableActor,
    Origin,
    Settled,
    TimerSet,
)
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.reference import PATHS, Reference, compare
from sentient_core.testing.store_conformance.samples import checkpoint, dead_letter, event, status

__all__ = ["EstateConformance"]


class EstateConformance(Conformance):
    """What a durable actor has left is the same whatever of it is in rows already."""

    async def test_it_is_what_the_records_say_at_any_moment(self, place: Place, seed: int) -> None:
        chance = Random(seed)
        reference = Reference(chance, has_large_states=seed % 2 == 1)
        options = JournalOptions(window_records=chance.choice((3, 50, 4_000)))
        for start in range(3):
            store = await place.restart() if start else place.store
            journal = await store.open_journal("bank", options=options)
            reference.epoch = journal.epoch
            assert dict(journal.pending_counts) == {
                path: count for path in PATHS if (count := sum(key[0] == path for key in reference.pending))
            }
            assert journal.timers_due == {
                path: min(dues)
                for path in PATHS
                if (dues := [due for (of, _), due in reference.timers.items() if of == path])
            }
            await compare(journal, reference)
            for _ in range(12):
                for _ in range(chance.randrange(1, 12)):
                    journal.append(reference.turn())
                if chance.random() < 0.3:
                    await journal.flush()
                await compare(journal, reference)
            await journal.close(0 if chance.random() < 0.5 else 5)

    async def test_only_so_many_are_read_and_the_rest_behind_them(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        for _ in range(25):
            journal.append(reference.accept("a"))
        await journal.flush()
        for _ in range(5):
            journal.append(reference.accept("a"))
        journal.append(Settled("a", 3))

        first = await journal.estate("a", 10)
        second = await journal.estate("a", 10, after=first.pending[-1].key)
        third = await journal.estate("a", 10, after=second.pending[-1].key)

        found = [pending.accepted.event.seq for part in (first, second, third) for pending in part.pending]
        assert found == [seq for seq in range(1, 31) if seq != 3]
        assert (first.is_all, second.is_all, third.is_all) == (False, False, True)
        await journal.close(5)

    async def test_durable_actors_are_known_to_the_next_start_with_where_they_come_from(
        self,
        place: Place,
    ) -> None:
        journal = await place.store.open_journal("bank")
        journal.append(status("a", origin=Origin.SPAWNED, kind="account"))
        journal.append(status("b", origin=Origin.DECLARED))
        journal.append(status("c"))
        journal.append(status("$1.1", origin=Origin.SPAWNED))
        await journal.flush()
        journal.append(status("b", origin=Origin.VIRTUAL, is_over=True))
        await journal.close(5)

        store = await place.restart()
        journal = await store.open_journal("bank")

        assert dict(journal.durables) == {
            "a": DurableActor("account", Origin.SPAWNED),
            "b": DurableActor("Worker", Origin.VIRTUAL, is_over=True),
        }
        await journal.close(5)

    async def test_what_is_forgotten_is_gone_and_nothing_else(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        for number, path in enumerate(("a", "a/b", "b")):
            journal.append(status(path, 3, origin=Origin.SPAWNED))
            journal.append(checkpoint(path, 1, kind=CheckpointKind.STATE))
            journal.append(checkpoint(path, 2))
            journal.append(TimerSet(path, "tick", 1, 0, "Tick", b"\x80"))
            journal.append(dead_letter(10 + number, recipient=path))
            for seq in range(20, 23):
                journal.append(Accepted(event(seq, target=path)))
        await journal.flush()
        journal.append(Accepted(event(30, target="a")))
        journal.append(Accepted(event(31, target="b")))

        gone = await journal.forget("a")

        assert gone.messages.rows >= 3  # what was on its way has never become a row
        assert (gone.checkpoints.rows, gone.dead_letters.rows, gone.agents.rows) == (2, 1, 1)
        estate = await journal.estate("a", 100)
        assert (estate.state, list(estate.pending), list(estate.timers)) == (None, [], [])
        other = await journal.estate("b", 100)
        assert [pending.accepted.event.seq for pending in other.pending] == [20, 21, 22, 31]
        assert (other.state is not None, len(other.timers)) == (True, 1)
        assert await journal.checkpoints("a", 10) == []
        assert (await journal.forget("a")).rows == 0
        await journal.close(5)
        store = await place.restart()
        journal = await store.open_journal("bank")
        assert "a" not in journal.durables
        assert "a" not in journal.pending_counts
        assert "a" not in journal.timers_due
        assert journal.known["a"] == 3
        assert journal.pending_counts["b"] == 4
        await journal.close(5)

    async def test_what_is_forgotten_before_it_is_in_rows_is_gone_as_well(self, place: Place) -> None:
        journal = await place.store.open_journal("bank")
        journal.append(checkpoint("a", 1, kind=CheckpointKind.STATE))
        journal.append(checkpoint("a", 2))
        journal.append(TimerSet("a", "tick", 1, 0, "Tick", b"\x80"))
        journal.append(Accepted(event(3, target="a")))
        journal.append(checkpoint("b", 1, kind=CheckpointKind.STATE))

        await journal.forget("a")

        estate = await journal.estate("a", 100)
        assert (estate.state, list(estate.pending), list(estate.timers)) == (None, [], [])
        assert await journal.checkpoints("a", 10) == []
        journal.append(TimerSet("a", "tock", 1, 0, "Tick", b"\x80"))
        assert [timer.key for timer in (await journal.estate("a", 100)).timers] == ["tock"]
        assert (await journal.estate("b", 100)).state is not None
        await journal.close(5)
