"""Records as the rows that people read, for a store that has no database to ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentient_core.store.fold import AgentEffect, LetterEffect, Placed
from sentient_core.store.payload import queryable
from sentient_core.store.protocols import AgentRow, CheckpointRow, DeadLetterRow, EventRow
from sentient_core.store.records import Checkpoint, DeadLetterRecord, Event, Published, full_id
from sentient_core.store.row_models import Row

__all__ = [
    "agent_of_row",
    "agent_row",
    "checkpoint_of_row",
    "checkpoint_row",
    "dead_letter_row",
    "event_row",
    "moment",
    "nanoseconds",
    "optional_id",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(nanoseconds: int) -> datetime:
    """The aware UTC time of so many nanoseconds since 1970, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def nanoseconds(time: datetime) -> int:
    """The nanoseconds since 1970 of an aware time."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def optional_id(epoch: int, seq: int) -> str | None:
    """The id of a conversation or a cause; `seq` 0 means that there is none."""
    return full_id(epoch, seq) if seq else None


def event_row(placed: Placed[Event]) -> EventRow:
    """The row of an event."""
    event, epoch = placed.record, placed.epoch
    if isinstance(event, Published):
        event_id, correlation, causation = event.event_id, event.correlation_id, event.causation_id
    else:
        event_id = full_id(epoch, event.seq)
        correlation = optional_id(event.correlation_epoch or epoch, event.correlation)
        causation = optional_id(event.causation_epoch or epoch, event.causation)
    return EventRow(
        event_id=event_id,
        event_type=event.event_type,
        source_agent=event.source,
        target_agent=event.target,
        message_type=event.message_type,
        payload=queryable(event.payload),
        timestamp=moment(event.at),
        correlation_id=correlation,
        causation_id=causation,
        incarnation=event.incarnation,
        workflow_id=event.workflow_id,
        position=placed.position,
    )


def agent_row(agent: AgentEffect) -> AgentRow:
    """The row of an actor."""
    status = agent.last
    return AgentRow(
        agent_id=status.path,
        name=status.name,
        kind=status.kind,
        parent=status.parent,
        status=status.status,
        capabilities=list(status.capabilities),
        incarnation=status.incarnation,
        restarts=status.restarts,
        created_at=moment(agent.first_at),
        updated_at=moment(status.at),
    )


def agent_of_row(row: Row) -> AgentRow:
    """The same, of a row that somebody has written into."""
    names = AgentRow.__struct_fields__
    return AgentRow(**{name: value for name, value in row.fields.items() if name in names})


def checkpoint_of_row(row: Row) -> CheckpointRow:
    """A checkpoint that somebody has written himself."""
    names = CheckpointRow.__struct_fields__
    return CheckpointRow(**{name: value for name, value in row.fields.items() if name in names})


def checkpoint_row(placed: Placed[Checkpoint]) -> CheckpointRow:
    """The row of a checkpoint."""
    checkpoint = placed.record
    return CheckpointRow(
        checkpoint_id=checkpoint.checkpoint_id,
        agent_id=checkpoint.path,
        kind=checkpoint.kind.value,
        incarnation=checkpoint.incarnation,
        state=checkpoint.state,
        tag=checkpoint.tag,
        schema_version=checkpoint.schema_version,
        digest=checkpoint.digest,
        timestamp=moment(checkpoint.at),
        metadata=queryable(checkpoint.metadata),
        position=placed.position,
    )


def dead_letter_row(message_id: str, effect: LetterEffect, death: Placed[DeadLetterRecord]) -> DeadLetterRow:
    """The row of a dead letter that died `death` last."""
    letter = death.record
    return DeadLetterRow(
        message_id=message_id,
        recipient=letter.recipient,
        sender=letter.sender,
        message_type=letter.message_type,
        message=queryable(letter.payload),
        reason=letter.reason,
        cause=letter.cause,
        attempts=letter.attempts if effect.attempts is None else effect.attempts,
        timestamp=moment(letter.at),
        incarnation=letter.incarnation,
        correlation_id=optional_id(letter.correlation_epoch or death.epoch, letter.correlation),
        payload=letter.payload if letter.is_exact else None,
        status=effect.status.value,
        settled_at=None if effect.settled_at is None else moment(effect.settled_at),
        discard_reason=effect.discard_reason,
        tries=letter.tries,
        traceback=letter.traceback,
        state_digest=letter.state_digest,
        checkpoint_id=letter.checkpoint_id,
        was_pending=letter.was_pending,
    )
