"""What an actor knew at an earlier time, as far as the store has kept it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias, cast

import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.checkpoints import RejectedCheckpoint, restore
from sentient_core.codec import Codec
from sentient_core.errors import CheckpointUnusable, InvalidArgument, NoSuchState
from sentient_core.store.letters import check_time
from sentient_core.store.protocols import CheckpointRow, Store
from sentient_core.store.records import Checkpoint, CheckpointKind

__all__ = ["Moment", "StateAt", "newest_at", "state_at"]

Moment: TypeAlias = datetime | tuple[int, int]
"""A time with a zone, or a position in the order of commits: that of an event or a checkpoint."""

_MOST_COUNTED = 10_000


class StateAt(msgspec.Struct, frozen=True, kw_only=True):
    """The newest stored state of an actor that is not younger than a moment."""

    path: str
    state: Any
    """An instance of the class's State, or plain data where no class was known."""
    checkpoint_id: str
    timestamp: datetime
    """When it was saved."""
    position: tuple[int, int] | None
    incarnation: int
    schema_version: int
    messages_since: int
    """Messages that were sent to the actor behind it and before that moment, up to 10,000 of them. 0: the
    state is what the actor knew then. Else it may have known more."""


async def state_at(
    store: Store, codec: Codec, system: str, path: str, moment: Moment, cls: type[Actor] | None
) -> StateAt:
    """See `ActorSystem.state_at`."""
    _check(moment)
    # One that was written as a row may have no state.
    rows = [row for row in await store.checkpoint_rows(system, path) if row.state]
    row = newest_at(rows, moment)
    if row is None:
        oldest = min((row.timestamp for row in rows), default=None)
        raise NoSuchState(path, moment, oldest)
    until = moment if isinstance(moment, datetime) else None
    sent = await store.events(
        system,
        agent=path,
        event_type="message_sent",
        since=row.timestamp,
        until=until,
        limit=_MOST_COUNTED,
    )
    place = row.position or (0, 0)
    return StateAt(
        path=path,
        state=_state_of(row, codec, cls),
        checkpoint_id=row.checkpoint_id,
        timestamp=row.timestamp,
        position=row.position,
        incarnation=row.incarnation,
        schema_version=row.schema_version,
        messages_since=sum(
            event.target_agent == path
            and event.position > place
            and (isinstance(moment, datetime) or event.position <= moment)
            for event in sent
        ),
    )


def newest_at(rows: Sequence[CheckpointRow], moment: Moment) -> CheckpointRow | None:
    """The checkpoint that was the newest at a moment."""
    if isinstance(moment, datetime):
        before = [row for row in rows if row.timestamp <= moment]
        return max(before, key=lambda row: (row.timestamp, row.position or (0, 0)), default=None)
    placed = [(row.position, row) for row in rows if row.position is not None and row.position <= moment]
    return max(placed, key=lambda item: item[0], default=(None, None))[1]


def _state_of(row: CheckpointRow, codec: Codec, cls: type[Actor] | None) -> Any:
    if cls is None:
        return msgspec.msgpack.decode(row.state)
    checkpoint = Checkpoint(
        path=row.agent_id,
        incarnation=row.incarnation,
        checkpoint_id=row.checkpoint_id,
        kind=CheckpointKind.of(row.kind),
        state=row.state,
        tag=row.tag,
        schema_version=row.schema_version,
        digest=row.digest,
        at=0,
    )
    try:
        return restore(codec, checkpoint, cls.__blueprint__)
    except RejectedCheckpoint as error:
        raise CheckpointUnusable(row.agent_id, [f"{row.checkpoint_id}: {error}"]) from error


def _check(moment: object) -> None:
    if isinstance(moment, datetime):
        check_time("moment", moment)
        return
    numbers = cast("tuple[object, ...]", moment) if isinstance(moment, tuple) else ()
    if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
        raise InvalidArgument(
            "a moment is a datetime with a time zone, or the position of an event such as (12, 0), "
            f"not {moment!r}"
        )
