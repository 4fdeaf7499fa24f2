"""Large states, written as what has changed of them.

A turn hands its actor's whole state to the journal. Of a large one the writer commits a *delta*: the pieces
that make it of the last one that was committed whole, its base. So there is never more than one delta to be
applied, a later one stands in place of an earlier one, and no bytes of the base need be at hand to make the
next: the difference to the state before is composed with those until then. The whole comes again when a delta
is more than half of it, at the latest when the deltas behind it have together its size (which is where the
bytes written per turn are fewest, if each adds as much), and with every incarnation.

Nothing else knows of deltas but who reads states: from rows, the base is in the row of the state and the
newest delta in one beside it; from the tail, whichever of them is there. Whether one belongs to the other is
told by the base's id, and whether the right state was made by its digest, which is looked at wherever a state
is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sentient_core.store.difference import Piece, composed, difference, pack, patched, unpack
from sentient_core.store.records import AnyRecord, Checkpoint, CheckpointKind, Forgotten, Turn

__all__ = ["LEAST_BYTES", "Deltas", "made_of", "whole"]

LEAST_BYTES = 16 * 1024
"""Of a state from which on deltas are made, and looked for: a release may raise it for the first alone.

Measured: at half of it a turn writes a third of the bytes and takes 15 % more processor time; at twice, an
eighth, and not more.
"""

_MEMORY = 64 * 1024 * 1024
"""Bytes of states that are remembered; as long as their actors live, they have the same bytes themselves."""
_MOST_PIECES = 500
"""Beyond, going through them takes longer than writing the whole once."""


class _Written(msgspec.Struct):
    """What was written of one actor."""

    base: Checkpoint
    """The last whole state, without its bytes."""
    state: bytes
    """The last one."""
    pieces: Sequence[Piece]
    """That make it of the base."""
    bytes: int = 0
    """Of all deltas behind the base."""


class Deltas:
    """What a journal's writer knows of the large states that it has written. Lives on the store thread.

    Its writer commits groups in order, and does not go on without one: what was shortened is what is there.
    """

    def __init__(self, memory: int = _MEMORY) -> None:
        self._memory = memory
        self._written: dict[str, _Written] = {}
        """By path; who wrote last comes last."""
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._written)

    def shortened(self, records: Sequence[AnyRecord]) -> list[AnyRecord]:
        """The records of a group, with deltas in place of large states."""
        return [self._shortened(record) for record in records]

    def forget(self) -> None:
        """What was shortened last is not what is written: all states are written whole once more."""
        self._written.clear()
        self._bytes = 0

    def _shortened(self, record: AnyRecord) -> AnyRecord:
        if isinstance(record, Forgotten):
            self._drop(record.path)
            return record
        part = record.parts[0] if isinstance(record, Turn) and record.parts else record
        if not isinstance(part, Checkpoint) or part.kind is not CheckpointKind.STATE:
            return record
        if len(part.state) < LEAST_BYTES:
            self._drop(part.path)
            return record
        delta = self._delta_of(part)
        if delta is None:
            return record
        return Turn((delta, *record.parts[1:])) if isinstance(record, Turn) else delta

    def _delta_of(self, state: Checkpoint) -> Checkpoint | None:
        """None: it is written whole."""
        known = self._drop(state.path)
        if known is None or not _continues(known.base, state):
            self._keep(state.path, _Written(_without_bytes(state), state.state, [(0, len(state.state))]))
            return None
        pieces = composed(known.pieces, difference(known.state, state.state))
        delta = msgspec.structs.replace(
            state, kind=CheckpointKind.DELTA, state=pack(pieces), base=known.base.checkpoint_id
        )
        written = known.bytes + delta.weight
        if 2 * delta.weight > len(state.state) or written > len(state.state) or len(pieces) > _MOST_PIECES:
            self._keep(state.path, _Written(_without_bytes(state), state.state, [(0, len(state.state))]))
            return None
        self._keep(state.path, _Written(known.base, state.state, pieces, written))
        return delta

    def _keep(self, path: str, written: _Written) -> None:
        self._written[path] = written
        self._bytes += len(written.state)
        while self._bytes > self._memory:
            self._drop(next(iter(self._written)))

    def _drop(self, path: str) -> _Written | None:
        known = self._written.pop(path, None)
        if known is not None:
            self._bytes -= len(known.state)
        return known


def whole(state: Checkpoint | None, delta: Checkpoint | None) -> Checkpoint | None:
    """A state with what it has become since.

    A delta without its base, or that is damaged, makes one that no digest fits: it is not loaded.
    """
    if delta is None:
        return state
    base = None if state is None or state.checkpoint_id != delta.base else state.state
    return msgspec.structs.replace(
        delta, kind=CheckpointKind.STATE, state=made_of(base, delta.state), base=""
    )


def made_of(base: bytes | None, packed: bytes) -> bytes:
    """What packed pieces make of a base; without one, or if they are of another, what is no state."""
    if base is None:
        return packed
    try:
        return patched(base, unpack(packed))
    except (msgspec.DecodeError, ValueError):
        return packed


def _continues(base: Checkpoint, state: Checkpoint) -> bool:
    """It is of the same incarnation, and is loaded as the base is."""
    return (base.incarnation, base.tag, base.schema_version) == (
        state.incarnation,
        state.tag,
        state.schema_version,
    )


def _without_bytes(state: Checkpoint) -> Checkpoint:
    return msgspec.structs.replace(state, state=b"")
