"""What a durable actor has left is the same whatever of it is in rows already: rows and tail are one."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from sentient_core.codec import digest
from sentient_core.store import Journal, JournalOptions
from sentient_core.store.records import (
    Accepted,
    AnyPart,
    Checkpoint,
    CheckpointKind,
    DurableActor,
    Key,
    Origin,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
    Turn,
)
from tests.long import few
from tests.store.places import Database, databases
from tests.store.samples import checkpoint, dead_letter, event, status

PATHS = ("a", "a/b", "b")
KEYS = ("tick", "tock")


database = databases("memory", "mem", "surrealkv", "ws")


class Reference:
    """What there should be, kept in dictionaries."""

    def __init__(self, chance: Random, *, has_large_states: bool = False) -> None:
        self.chance = chance
        self.has_large_states = has_large_states
        self.seq = 0
        self.seq_of_messages = 0
        """How many messages there were."""
        self.epoch = 0
        self.pending: dict[Key, int] = {}
        self.states: dict[str, bytes] = {}
        self.timers: dict[tuple[str, str], int] = {}

    def turn(self) -> Turn:
        """What a random turn leaves, noted."""
        return Turn(tuple(self._parts()))

    def accept(self, path: str) -> Accepted:
        """A new message, noted."""
        self.seq += 1
        self.seq_of_messages += 1
        self.pending[path, self.epoch, self.seq] = 0
        return Accepted(event(self.seq, target=path))

    def _state(self, path: str) -> Checkpoint:
        self.seq += 1
        state: Checkpoint = checkpoint(path, self.seq, kind=CheckpointKind.STATE)
        if self.has_large_states:
            # Mostly as it was, but for a few bytes: what is written is a delta then.
            data = bytearray(self.states.get(path) or self.chance.randbytes(25_000))
            if self.chance.random() < 0.1:
                data = bytearray(self.chance.randbytes(self.chance.choice((50, 25_000))))
            for _ in range(self.chance.randrange(4)):
                at = self.chance.randrange(len(data))
                data[at : at + self.chance.randrange(9)] = self.chance.randbytes(self.chance.randrange(9))
            state = msgspec.structs.replace(
                state, state=bytes(data), digest=digest(bytes(data)), checkpoint_id=f"{self.epoch}.{self.seq}"
            )
        self.states[path] = state.state
        return state

    def _parts(self) -> Iterator[AnyPart]:
        chance, path = self.chance, self.chance.choice(PATHS)
        if chance.random() < 0.7:
            yield self._state(path)
        mine = sorted(key for key in self.pending if key[0] == path)
        if mine:
            key = mine[0] if chance.random() < 0.8 else chance.choice(mine)
            of_epoch = 0 if key[1] == self.epoch else key[1]
            what = chance.random()
            if what < 0.7:
                del self.pending[key]
                yield Settled(path, key[2], of_epoch)
            elif what < 0.85:
                del self.pending[key]
                yield dead_letter(key[2], recipient=path, epoch=key[1], was_pending=True)
            else:
                self.pending[key] += 1
                yield Tried(path, key[2], self.pending[key], of_epoch)
        for _ in range(chance.randrange(3)):
            yield self.accept(chance.choice(PATHS))
        if chance.random() < 0.3:
            key_of_timer = chance.choice(KEYS)
            if chance.random() < 0.5:
                self.seq += 1
                self.timers[path, key_of_timer] = self.seq
                yield TimerSet(path, key_of_timer, self.seq, 0, "Tick", b"\x80")
            else:
                self.timers.pop((path, key_of_timer), None)
                yield TimerGone(path, key_of_timer)


async def compare(journal: Journal, reference: Reference) -> None:
    """The journal says of every path what the reference does, of one at a time and of several."""
    together = await journal.estates(PATHS, 10_000)
    assert together == {path: await journal.estate(path, 10_000) for path in PATHS}
    few = await journal.estates(PATHS[::-2], 2)
    assert few == {path: await journal.estate(path, 2) for path in PATHS[::-2]}
    for path in PATHS:
        estate = await journal.estate(path, 10_000)
        assert {pending.key: pending.tries for pending in estate.pending} == {
            key: tries for key, tries in reference.pending.items() if key[0] == path
        }
        assert [pending.key for pending in estate.pending] == sorted(p.key for p in estate.pending)
        assert estate.is_all
        assert (None if estate.state is None else estate.state.state) == reference.states.get(path)
        assert estate.state is None or digest(estate.state.state) == estate.state.digest
        assert {timer.key: timer.due_at for timer in estate.timers} == {
            key: due for (of, key), due in reference.timers.items() if of == path
        }


SEEDS = [(0, False), (4, True), (1, False), (2, False), (3, False), (5, True), (6, True)]


@pytest.mark.parametrize(("seed", "has_large_states"), few(SEEDS, 2))
async def test_it_is_what_the_records_say_at_any_moment(
    database: Database, seed: int, has_large_states: bool
) -> None:
    chance = Random(seed)
    reference = Reference(chance, has_large_states=has_large_states)
    options = JournalOptions(window_records=chance.choice((3, 50, 4_000)))
    for start in range(3):
        store = await database.restart() if start else database.store
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


async def test_only_so_many_are_read_and_the_rest_behind_them(database: Database) -> None:
    journal = await database.store.open_journal("bank")
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
    database: Database,
) -> None:
    journal = await database.store.open_journal("bank")
    journal.append(status("a", origin=Origin.SPAWNED, kind="account"))
    journal.append(status("b", origin=Origin.DECLARED))
    journal.append(status("c"))
    journal.append(status("$1.1", origin=Origin.SPAWNED))
    await journal.flush()
    journal.append(status("b", origin=Origin.VIRTUAL, is_over=True))
    await journal.close(5)

    store = await database.restart()
    journal = await store.open_journal("bank")

    assert dict(journal.durables) == {
        "a": DurableActor("account", Origin.SPAWNED),
        "b": DurableActor("Worker", Origin.VIRTUAL, is_over=True),
    }
    await journal.close(5)


async def test_what_is_forgotten_is_gone_and_nothing_else(database: Database) -> None:
    journal = await database.store.open_journal("bank")
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
    store = await database.restart()
    journal = await store.open_journal("bank")
    assert "a" not in journal.durables
    assert "a" not in journal.pending_counts
    assert "a" not in journal.timers_due
    assert journal.known["a"] == 3
    assert journal.pending_counts["b"] == 4
    await journal.close(5)


async def test_what_is_forgotten_before_it_is_in_rows_is_gone_as_well(database: Database) -> None:
    journal = await database.store.open_journal("bank")
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
