"""Checkpoints of actors: when one is due, how a state becomes a record, how a record becomes a state.

A record names the State it holds (its tag) and the `schema_version` it was written under. It is loaded by
a class that knows the tag, of today or from before (`Blueprint.state_tags`), from the version of today or
from an older one that upcasters lead on from; whatever else there is is refused, with what to do about it.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.causes import in_a_line, kind_of
from sentient_core.codec import Codec, digest
from sentient_core.errors import InvalidArgument, StateTooLarge, UnencodableState
from sentient_core.store.records import Checkpoint, CheckpointKind

if TYPE_CHECKING:
    from sentient_core.actors.blueprint import Blueprint

__all__ = [
    "CheckpointPolicy",
    "RejectedCheckpoint",
    "check_fits",
    "check_readable",
    "is_of_today",
    "restore",
    "save",
    "state_bytes",
]


class CheckpointPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When the runtime saves the state of a mirrored actor by itself, besides an orderly end.

    What is reached first saves, and then all of them begin anew, as behind an explicit checkpoint.
    """

    messages: int | None = 1_000
    """After this many handled messages; None: not by count."""
    seconds: float | None = 5.0
    """So long after the first handled message that no checkpoint holds yet; None: not by time."""
    bytes: int | None = None
    """After handled messages of together so many bytes, as the store has them; None: not by size."""
    idle: float | None = None
    """So long after the last handled message, if nothing has come since; None: not by idleness."""

    def __post_init__(self) -> None:
        for name in ("messages", "bytes"):
            count: Any = getattr(self, name)
            if count is not None and not (_is_number(count, int) and count >= 1):
                raise InvalidArgument(f"CheckpointPolicy({name}=...) must be at least 1, not {count!r}")
        for name in ("seconds", "idle"):
            seconds: Any = getattr(self, name)
            if seconds is not None and not (_is_number(seconds, int | float) and 0 < seconds < math.inf):
                raise InvalidArgument(f"CheckpointPolicy({name}=...) must be above 0, not {seconds!r}")


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
    data = state_bytes(codec, state, path, blueprint)
    # What cannot be read back is worse than no checkpoint; a large state is not read twice by policy.
    if not why.startswith("policy") or len(data) <= 65_536:
        check_readable(codec, data, path, blueprint)
    return Checkpoint(
        path=path,
        incarnation=incarnation,
        checkpoint_id=checkpoint_id,
        kind=CheckpointKind.TURN,
        state=data,
        tag=blueprint.state_tag,
        schema_version=blueprint.schema_version,
        digest=digest(data),
        at=time.time_ns(),
        metadata=codec.encode({"why": why}),
    )


def state_bytes(codec: Codec, state: object, path: str, blueprint: Blueprint) -> bytes:
    """The state of the actor at `path`, encoded. Raises UnencodableState, StateTooLarge."""
    if not isinstance(state, blueprint.state_type):
        wanted = blueprint.state_type.__qualname__
        raise UnencodableState(path, f"self.state was replaced by a {kind_of(state)}, and must be a {wanted}")
    try:
        data = codec.encode(state)
    except Exception as error:  # msgspec raises TypeError, OverflowError, UnicodeError, RecursionError
        raise UnencodableState(path, in_a_line(error)) from error
    most = blueprint.state_bytes
    if most is not None and len(data) > most:
        raise StateTooLarge(path, len(data), most)
    return data


def check_fits(state: bytes, path: str, largest: int) -> None:
    """Raise StateTooLarge if an encoded state has more bytes than the store takes in one record."""
    if len(state) > largest:
        raise StateTooLarge(path, len(state), largest, is_of_store=True)


def check_readable(codec: Codec, state: bytes, path: str, blueprint: Blueprint) -> None:
    """Raise UnencodableState if an encoded state cannot be read back."""
    try:
        codec.decode(state, blueprint.state_type)
    except Exception as error:
        raise UnencodableState(path, f"it could not be read back: {in_a_line(error)}") from error


def is_of_today(checkpoint: Checkpoint, blueprint: Blueprint) -> bool:
    """It has the tag and the version that this code would store its state under."""
    return (checkpoint.tag, checkpoint.schema_version) == (blueprint.state_tag, blueprint.schema_version)


def restore(codec: Codec, checkpoint: Checkpoint, blueprint: Blueprint) -> Any:
    """The state in a checkpoint. Raises RejectedCheckpoint."""
    if digest(checkpoint.state) != checkpoint.digest:
        raise RejectedCheckpoint("its bytes do not match its digest: it was changed or torn")
    if checkpoint.kind is CheckpointKind.UNKNOWN:
        raise RejectedCheckpoint("its kind is none that there is: it was changed")
    if checkpoint.tag not in blueprint.state_tags:
        raise RejectedCheckpoint(_of_other_state(checkpoint.tag, blueprint))
    data = _as_of_today(codec, checkpoint, blueprint)
    try:
        return codec.decode(data, blueprint.state_type)
    except Exception as error:  # what msgspec raises, or a hook of a type in the State
        raise RejectedCheckpoint(_does_not_fit(checkpoint.schema_version, blueprint, error)) from error


def _as_of_today(codec: Codec, checkpoint: Checkpoint, blueprint: Blueprint) -> bytes:
    """The bytes of a state, under the tag and in the version of today."""
    version, data = checkpoint.schema_version, checkpoint.state
    config = blueprint.state_type.__struct_config__
    is_renamed = config.tag is not None and checkpoint.tag != blueprint.state_tag
    if version == blueprint.schema_version and not is_renamed:
        return data
    if version < 1:
        raise RejectedCheckpoint(f"its schema_version is {version}, which no class has: it was changed")
    if version > blueprint.schema_version:
        raise RejectedCheckpoint(
            f"its schema_version is {version}, the class's {blueprint.schema_version}: newer code wrote it, "
            "and that, or code newer still, is needed to load it"
        )
    try:
        plain: Any = msgspec.msgpack.decode(data)
    except Exception as error:  # what msgspec raises
        raise RejectedCheckpoint(_does_not_fit(version, blueprint, error)) from error
    plain = _upcast(plain, version, blueprint)
    if config.tag is not None:
        _retag(plain, checkpoint.tag, config)
    try:
        return codec.encode(plain)
    except Exception as error:  # as in `encoded`
        raise RejectedCheckpoint(
            f"what its upcasters made of it is no plain data: {in_a_line(error)}"
        ) from error


def _upcast(plain: Any, version: int, blueprint: Blueprint) -> Any:
    if version < min(blueprint.upcasters, default=blueprint.schema_version):
        raise RejectedCheckpoint(
            f"its schema_version is {version}, the class's {blueprint.schema_version}, and no upcaster leads "
            f"there: write @upcast({version}), or set schema_version back if the State is as it was"
        )
    for number in range(version, blueprint.schema_version):
        upcaster = blueprint.upcasters[number]
        try:
            plain = upcaster.step(plain)
        except Exception as error:  # the user's
            raise RejectedCheckpoint(
                f"{upcaster.name}, @upcast({number}), raised {in_a_line(error)}"
            ) from error
        if not isinstance(plain, dict | list):
            raise RejectedCheckpoint(
                f"{upcaster.name}, @upcast({number}), returned a {type(plain).__qualname__}, not the dict of "
                f"version {number + 1}"
            )
    return plain  # pyright: ignore[reportUnknownVariableType] - a dict or list of whatever


def _retag(plain: Any, before: str, config: msgspec.structs.StructConfig) -> None:
    """Put the tag of today where the State has it."""
    if isinstance(plain, dict):
        plain[config.tag_field] = config.tag
    elif isinstance(plain, list) and plain[:1] == [before]:
        plain[0] = config.tag


def _of_other_state(tag: str, blueprint: Blueprint) -> str:
    known = " or ".join(f"'{name}'" for name in sorted(blueprint.state_tags))
    name = blueprint.cls.__qualname__
    earlier = tag.removesuffix(f".{blueprint.state_type.__name__}")
    return (
        f"it holds a '{tag}', and {name} loads {known} alone. If that was an earlier name of it, say so: "
        f"class {name.rpartition('.')[2]}(..., aliases=('{earlier}',))"
    )


def _does_not_fit(version: int, blueprint: Blueprint, error: Exception) -> str:
    if version != blueprint.schema_version:
        return f"what its upcasters made of it does not fit the State: {in_a_line(error)}"
    return (
        f"it does not fit the State: {in_a_line(error)}. If the State has changed since: raise "
        f"schema_version to {version + 1}, and write @upcast({version})"
    )


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
