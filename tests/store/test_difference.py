"""The pieces of a difference make the new of the old, whatever the bytes are; of usual changes, few."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store.difference import Piece, composed, difference, pack, patched, unpack


def repeated(part: bytes, count: int) -> bytes:
    return part * count


repeating = st.builds(repeated, st.binary(min_size=1, max_size=5), st.integers(0, 400))
plain = st.binary(max_size=600) | repeating
changes = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 60), st.binary(max_size=60)), max_size=6)


def changed(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`data` with some bytes taken out and others put in, at several places."""
    found = bytearray(data)
    for at, length, instead in edits:
        found[at : at + length] = instead
    return bytes(found)


@given(plain, plain, changes)
def test_the_pieces_make_the_new_of_the_old(old: bytes, other: bytes, edits: list[Any]) -> None:
    for new in (other, changed(old, edits), changed(old + other, edits)):
        assert patched(old, difference(old, new)) == new


@given(plain, changes, changes, plain)
def test_two_differences_are_composed_to_one(
    first: bytes, some: list[Any], others: list[Any], in_between: bytes
) -> None:
    for second in (changed(first, some), in_between):
        third = changed(second, others)

        pieces = composed(difference(first, second), difference(second, third))

        assert patched(first, pieces) == third


@given(plain, st.lists(changes, max_size=8))
def test_a_chain_of_differences_stays_one(first: bytes, edits: list[list[Any]]) -> None:
    pieces: list[Piece] = [(0, len(first))] if first else []
    last = first
    for some in edits:
        new = changed(last, some)
        pieces, last = composed(pieces, difference(last, new)), new

        assert patched(first, pieces) == new
        assert unpack(pack(pieces)) == pieces


def test_pieces_are_whole_no_two_neighbours_could_be_one() -> None:
    chance = Random(3)
    old = chance.randbytes(3_000)
    new = changed(old, [(chance.randrange(3_000), 5, chance.randbytes(5)) for _ in range(10)])

    pieces = difference(old, new)

    for piece, following in pairwise(pieces):
        assert not (isinstance(piece, bytes) and isinstance(following, bytes))
        if not isinstance(piece, bytes) and not isinstance(following, bytes):
            assert sum(piece) != following[0]
    assert all(piece if isinstance(piece, bytes) else piece[1] for piece in pieces)


def a_state() -> dict[str, Any]:
    return {
        "count": 1,
        "items": [{"id": n, "name": f"item {n}", "price": n * 1.5} for n in range(1_000)],
        "by": {f"key {n}": {"id": n, "tags": ["a", str(n)]} for n in range(1_000)},
        "log": [f"entry {n}" for n in range(1_000)],
        "last": 7,
    }


def _both_ends(state: dict[str, Any]) -> None:
    state["count"], state["last"] = 70_000, 8
    state["log"].append("something else")


def _ten_of_many(state: dict[str, Any]) -> None:
    for n in range(0, 1_000, 100):
        state["by"][f"key {n}"]["tags"].append("new")


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], int]] = {
    "nothing": (lambda state: None, 10),
    "a counter at the beginning": (lambda state: state.update(count=2), 20),
    "a field in the middle": (lambda state: state["items"][500].update(price=99.5), 30),
    "one more in a list": (lambda state: state["log"].append("something else"), 60),
    "the first of a list goes": (lambda state: state["log"].pop(0), 30),
    "fields at both ends": (_both_ends, 80),
    "one of a thousand": (lambda state: state["by"]["key 300"].update(id=5), 30),
    "one of a thousand goes": (lambda state: state["by"].pop("key 300"), 40),
    "ten of a thousand": (_ten_of_many, 300),
}
"""What is done to a state, and the most bytes of the difference."""


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_turn_usually_changes_is_a_few_bytes(name: str) -> None:
    change, most = CHANGES[name]
    old = a_state()
    before = msgspec.msgpack.encode(old)
    change(old)
    after = msgspec.msgpack.encode(old)

    packed = pack(difference(before, after))

    assert len(packed) <= most
    assert patched(before, unpack(packed)) == after


def test_what_has_nothing_in_common_is_new_as_a_whole() -> None:
    chance = Random(4)
    old, new = chance.randbytes(50_000), chance.randbytes(50_000)

    assert len(pack(difference(old, new))) <= len(new) + 10


@pytest.mark.parametrize("pieces", [[(0, 11)], [(-1, 2)], [(5, -1)], [(11, 0)], [b"x", (10, 1)]])
def test_pieces_of_other_bytes_are_refused(pieces: list[Piece]) -> None:
    with pytest.raises(ValueError, match="there are no"):
        patched(b"0123456789", pieces)


@given(st.binary(max_size=50))
def test_what_are_no_pieces_is_refused_or_read_as_some(packed: bytes) -> None:
    try:
        pieces = unpack(packed)
    except msgspec.DecodeError:
        return
    assert unpack(pack(pieces)) == pieces
