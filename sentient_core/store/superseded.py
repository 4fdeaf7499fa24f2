"""What of a group of records need not be committed, since a later one of the same group replaces it."""

from __future__ import annotations

from collections.abc import Sequence

from sentient_core.store.records import AnyRecord, Checkpoint, CheckpointKind, Turn

__all__ = ["without_superseded"]

_LARGE = 512
"""Bytes of a state from which on leaving it out is worth the looking."""


def without_superseded(records: Sequence[AnyRecord]) -> Sequence[AnyRecord]:
    """The records without the large states that another turn of the same actor replaces.

    They are the very same object if no state among them is large.

    A group is committed as a whole, so nobody can ever see a state that is not the last of it. An actor with
    a large state that handles many messages at a time then writes it once per commit, not once per message.
    """
    if not any(_state(record) is not None for record in records):
        return records
    seen: set[str] = set()
    kept: list[AnyRecord] = []
    for record in reversed(records):
        state = _state(record)
        if state is not None:
            if isinstance(record, Turn) and state.path in seen:
                kept.append(Turn(record.parts[1:]))
                continue
            seen.add(state.path)
        kept.append(record)
    return kept[::-1]


def _state(record: AnyRecord) -> Checkpoint | None:
    """The large state that a turn has left, if it has; it is always the first part, or all of it."""
    part = record.parts[0] if isinstance(record, Turn) and record.parts else record
    if isinstance(part, Checkpoint) and part.kind is CheckpointKind.STATE and len(part.state) > _LARGE:
        return part
    return None
