"""Checkpoints of actors: when one is due, how a state becomes a record, how a record becomes a state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.causes import in_a_line
from sentient_core.codec import Codec, digest, tag_of
from sentient_core.errors import InvalidArgument, UnencodableState
from sentient_core.store.records import Checkpoint, CheckpointKind

if TYPE_CHECKING:
    from sentient_core.actors.blueprint import Blueprint

__all__ = [
    "CheckpointPolicy",
    "RejectedCheckpoint",
    "check_readable",
    "restore",
    "save",
    "state_bytes",
]


class CheckpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the runtime saves the state of a mirrored actor by itself, besides an orderly end."""

    messages: int | None = 1_000
    """After this many handled messages; None: not by count."""
    seconds: float | None = 5.0
    """So long after the first handled message that no checkpoint holds yet; None: not by time."""

    def __post_init__(self) -> None:
        if self.messages is not None and self.messages < 1:
            raise InvalidArgument(f"CheckpointPolicy(messages=...) must be at least 1, not {self.messages}")
        if self.seconds is not None and not self.seconds > 0:
            raise InvalidArgument(f"CheckpointPolicy(seconds=...) must be above 0, not {self.seconds}")


class RejectedCheckpoint(Exception):
    """A stored checkpoint that this code cannot load; its text says why."""


def save(
    codec: Codec,
    state: object,
    path: str,
    blueprint: Blueprint,
    incarnation: int,
    checkpoint_id: str,
    why: str,
) -> Checkpoint:
    """The record of a state as it is now. Raises UnencodableState."""
    data = state_bytes(codec, state, path)
    # What cannot be read back is worse than no checkpoint; a large state is not read twice by policy.
    if not why.startswith("policy") or len(data) <= 65_536:
        check_readable(codec, data, path, blueprint)
    return Checkpoint(
        path=path,
        incarnation=incarnation,
        checkpoint_id=checkpoint_id,
        kind=CheckpointKind.TURN,
        state=data,
        tag=tag_of(blueprint.state_type),
        schema_version=blueprint.schema_version,
        digest=digest(data),
        at=time.time_ns(),
        metadata=codec.encode({"why": why}),
    )


def state_bytes(codec: Codec, state: object, path: str) -> bytes:
    """The state of the actor at `path`, encoded. Raises UnencodableState."""
    try:
        return codec.encode(state)
    except Exception as error:  # msgspec raises TypeError, OverflowError, UnicodeError, RecursionError
        raise UnencodableState(path, in_a_line(error)) from error


def check_readable(codec: Codec, state: bytes, path: str, blueprint: Blueprint) -> None:
    """Raise UnencodableState if an encoded state cannot be read back."""
    try:
        codec.decode(state, blueprint.state_type)
    except Exception as error:
        raise UnencodableState(path, f"it could not be read back: {in_a_line(error)}") from error


def restore(codec: Codec, checkpoint: Checkpoint, blueprint: Blueprint) -> Any:
    """The state in a checkpoint. Raises RejectedCheckpoint."""
    if digest(checkpoint.state) != checkpoint.digest:
        raise RejectedCheckpoint("its bytes do not match its digest: it was changed or torn")
    if checkpoint.tag != tag_of(blueprint.state_type):
        raise RejectedCheckpoint(
            f"it holds a '{checkpoint.tag}', the class's State is '{tag_of(blueprint.state_type)}'"
        )
    if checkpoint.schema_version != blueprint.schema_version:
        raise RejectedCheckpoint(
            f"its schema_version is {checkpoint.schema_version}, the class's {blueprint.schema_version}"
        )
    try:
        return codec.decode(checkpoint.state, blueprint.state_type)
    except Exception as error:  # what msgspec raises, or a hook of a type in the State
        raise RejectedCheckpoint(f"it does not fit the State: {in_a_line(error)}") from error
