"""What durable actors should have left, kept in dictionaries beside a journal that is written at random."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from sentient_core.codec import digest
from sentient_core.store import Journal
from sentient_core.store.records import (
    Accepted,
    AnyPart,
    Checkpoint,
    CheckpointKind,
    Key,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
    Turn,
)
from sentient_core.testing.store_conformance.samples import checkpoint, dead_letter, event

__all__ = ["PATHS", "Reference", "compare"]

PATHS = ("a", "a/b", "b")
KEYS = ("tick", "tock")


class Reference:
    """What there should be, kept in dictionaries."""

    def __init__(self, chance: Random, *, has_large_states: bool = False) -> None:
        self.chance: Random = chance
        self.has_large_states: bool = has_large_states
        self.seq: int = 0
        self.accepted: int = 0
        """How many messages there were, over all starts."""
        self.epoch: int = 0
        self.pending: dict[Key, int] = {}
        self.states: dict[str, bytes] = {}
        self.timers: dict[tuple[str, str], int] = {}

    def turn(self) -> Turn:
        """What a random turn leaves, noted."""
        return Turn(tuple(self._parts()))

    def accept(self, path: str) -> Accepted:
        """A new message, noted."""
        self.seq += 1
        self.accepted += 1
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
