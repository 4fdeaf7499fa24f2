"""With deltas in place of large states, the last state of every actor is what it is without them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.codec import digest
from sentient_core.store.deltas import LEAST_BYTES, Deltas, whole
from sentient_core.store.difference import pack
from sentient_core.store.fold import NOTHING, Effect, fold, merge
from sentient_core.store.records import (
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    Entry,
    Forgotten,
    Settled,
    Turn,
    flat,
)
from sentient_core.store.superseded import without_superseded
from sentient_core.store.tail import decode_entry, encode_entry
from tests.store.samples import checkpoint

PATHS = ("a", "a/b", "c")


class Actors:
    """What random turns leave, and what the states of all are then."""

    def __init__(self, seed: int, *, sizes: Sequence[int] = (100, 20_000, 20_000, 40_000)) -> None:
        self.chance = Random(seed)
        self.sizes = sizes
        self.number = 0
        self.incarnations = dict.fromkeys(PATHS, 1)
        self.states: dict[str, bytes] = {}

    def record(self) -> AnyRecord:
        path, what = self.chance.choice(PATHS), self.chance.random()
        self.number += 1
        if what < 0.03:
            self.states.pop(path, None)
            return Forgotten(path)
        if what < 0.08:
            self.incarnations[path] += 1
        if what < 0.2:
            return Turn((Settled(path, self.number),))
        state = a_state(path, self._next(path), self.number, self.incarnations[path])
        self.states[path] = state.state
        if what < 0.9:
            return Turn((state, Settled(path, self.number)))
        return state  # of a hook

    def _next(self, path: str) -> bytes:
        chance, state = self.chance, bytearray(self.states.get(path, b""))
        if not state or chance.random() < 0.1:
            return chance.randbytes(chance.choice(self.sizes))
        for _ in range(chance.randrange(4)):
            at, length = chance.randrange(len(state) + 1), chance.randrange(50)
            state[at : at + length] = chance.randbytes(chance.randrange(50))
        return bytes(state)

    def group(self) -> list[AnyRecord]:
        return [self.record() for _ in range(self.chance.randrange(1, 8))]


def a_state(path: str, data: bytes, number: int, incarnation: int = 1) -> Checkpoint:
    return checkpoint(
        path,
        number,
        kind=CheckpointKind.STATE,
        state=data,
        digest=digest(data),
        incarnation=incarnation,
        metadata=b"\x80",
    )


def states_of(effect: Effect) -> dict[str, bytes]:
    """As whoever reads them finds them."""
    found: dict[str, bytes] = {}
    for path in {*effect.states, *effect.deltas}:
        base, delta = effect.states.get(path), effect.deltas.get(path)
        state = whole(None if base is None else base.record, None if delta is None else delta.record)
        assert state is not None
        assert state.kind is CheckpointKind.STATE
        assert digest(state.state) == state.digest
        found[path] = state.state
    return found


def journal_of(actors: Actors, groups: int, deltas: Deltas) -> list[tuple[int, Entry]]:
    """What a writer makes of random groups."""
    journal: list[tuple[int, Entry]] = []
    for number in range(1, groups + 1):
        records = deltas.shortened(without_superseded(actors.group()))
        journal.append((number, decode_entry(encode_entry(Entry(1, tuple(records))))))
    return journal


def deltas_in(records: Sequence[AnyRecord]) -> list[Checkpoint]:
    return [
        part for part in flat(records) if isinstance(part, Checkpoint) and part.kind is CheckpointKind.DELTA
    ]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 20), max_size=5))
def test_the_states_are_the_same_wherever_windows_are_cut(seed: int, cuts: list[int]) -> None:
    actors = Actors(seed)
    journal = journal_of(actors, 20, Deltas())
    bounds = [0, *sorted(cuts), len(journal)]

    effect = NOTHING
    for start, end in pairwise(bounds):
        effect = merge(effect, fold(journal[start:end], 3), 3)

    assert effect == fold(journal, 3)
    assert states_of(effect) == actors.states


@given(st.integers(0, 10_000))
def test_the_states_are_the_same_when_little_is_remembered(seed: int) -> None:
    actors = Actors(seed)

    journal = journal_of(actors, 20, Deltas(memory=50_000))

    assert states_of(fold(journal, 3)) == actors.states


@given(st.integers(0, 10_000), st.integers(1, 19))
def test_a_writer_that_begins_anew_writes_whole_states_first(seed: int, cut: int) -> None:
    actors = Actors(seed)
    first, second = journal_of(actors, cut, Deltas()), journal_of(actors, 20 - cut, Deltas())
    journal = first + [(number + cut, entry) for number, entry in second]

    assert states_of(fold(journal, 3)) == actors.states


@given(st.integers(0, 10_000))
def test_every_delta_is_to_the_last_whole_state_of_its_incarnation(seed: int) -> None:
    last: dict[str, Checkpoint] = {}
    for _, entry in journal_of(Actors(seed), 20, Deltas()):
        for part in flat(entry.records):
            if isinstance(part, Forgotten):
                last.pop(part.path, None)
            elif isinstance(part, Checkpoint) and part.kind is CheckpointKind.STATE:
                last[part.path] = part
            elif isinstance(part, Checkpoint):
                base = last[part.path]
                assert part.base == base.checkpoint_id
                assert (part.incarnation, part.tag) == (base.incarnation, base.tag)
                assert 2 * len(part.state) < len(base.state) + len(part.state) + 1_000


def test_deltas_are_made_at_all_and_no_record_but_a_large_state_is_touched() -> None:
    actors, deltas = Actors(1), Deltas()
    made = 0
    for _ in range(200):
        group = actors.group()

        for before, after in zip(group, deltas.shortened(group), strict=True):
            if after is not before:
                assert len(deltas_in([after])) == 1
                assert isinstance(before, Turn | Checkpoint)
                rest = before.parts[1:] if isinstance(before, Turn) else ()
                assert (after.parts[1:] if isinstance(after, Turn) else ()) == rest
                made += 1

    assert made > 100


def test_a_whole_state_comes_again_when_the_deltas_behind_it_have_its_size() -> None:
    deltas, state, since, wholes = Deltas(), bytes(20_000), 0, 0
    for number in range(500):
        state += b"%d" % number
        (record,) = deltas.shortened([a_state("a", state, number)])

        assert isinstance(record, Checkpoint)
        if record.kind is CheckpointKind.DELTA:
            since += record.weight
            assert since <= len(state)
        else:
            since, wholes = 0, wholes + 1

    assert 3 <= wholes <= 50


def test_of_a_small_state_nothing_is_remembered() -> None:
    deltas = Deltas()
    small = [a_state("a", bytes([number]) * (LEAST_BYTES - 1), number) for number in range(3)]

    assert all(after is before for before, after in zip(small, deltas.shortened(small), strict=True))
    assert not deltas


def test_what_shrinks_and_grows_again_is_written_whole() -> None:
    large, small = bytes(20_000), b"small"
    actor = [a_state("a", data, number) for number, data in enumerate((large, small, large + b"1"))]

    assert deltas_in(Deltas().shortened(actor)) == []


def test_a_delta_without_its_base_or_to_another_makes_what_no_digest_fits() -> None:
    chance = Random(2)
    first, other = chance.randbytes(20_000), chance.randbytes(20_000)
    base, delta = Deltas().shortened([a_state("a", first, 1), a_state("a", first[:-1] + b"x", 2)])
    assert isinstance(base, Checkpoint)
    assert isinstance(delta, Checkpoint)
    made = whole(base, delta)
    assert made is not None
    assert digest(made.state) == made.digest
    assert whole(base, None) is base

    wrong = [
        whole(None, delta),
        whole(a_state("a", first, 3), delta),  # the same bytes, under another id: it was not made of these
        whole(msgspec.structs.replace(base, state=other), delta),
        whole(msgspec.structs.replace(base, state=other[:100]), delta),
        whole(base, msgspec.structs.replace(delta, state=delta.state[:-1])),
        whole(base, msgspec.structs.replace(delta, state=b"\xc1")),
        whole(base, msgspec.structs.replace(delta, state=pack([(0, len(first))]))),
    ]

    for state in wrong:
        assert state is not None
        assert digest(state.state) != state.digest


@pytest.mark.parametrize("field", ["tag", "schema_version"])
def test_a_state_of_another_version_is_written_whole(field: str) -> None:
    first = a_state("a", bytes(20_000), 1)
    changed = {"tag": "other"} if field == "tag" else {"schema_version": 2}

    assert deltas_in(Deltas().shortened([first, msgspec.structs.replace(first, **changed)])) == []
