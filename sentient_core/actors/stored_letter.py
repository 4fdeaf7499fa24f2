"""A dead letter of the store: as people see it, and as the message that it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sentient_core.actors.recoverable import types_under
from sentient_core.causes import in_a_line
from sentient_core.codec import Codec
from sentient_core.errors import NotRedrivable
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.records import LetterStatus

if TYPE_CHECKING:
    from sentient_core.actors.blueprint import Blueprint
    from sentient_core.store.protocols import DeadLetterRow

__all__ = ["StoredDeadLetter", "UnreadMessage", "as_seen", "decoded", "message_of"]

W = TypeVar("W")


class UnreadMessage(msgspec.Struct, frozen=True):
    """Stands for a stored message that the code of today cannot make of its bytes."""

    message_type: str
    """Tag of the message's type."""
    payload: bytes


class StoredDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as the store has it: one per message, as it is after the message's last death."""

    message_id: str
    reason: DeadLetterReason | str
    """A plain string is the word of a row that somebody has changed, or that a newer release has written."""
    recipient: str
    """Path."""
    sender: str
    """Path, or `external`."""
    message_type: str
    """Tag of the message's type."""
    payload: Mapping[str, Any]
    """The message as an object that can be looked into."""
    cause: str
    """What happened, for people."""
    attempts: int
    """How often the message was sent: once, and once more by every redrive."""
    timestamp: datetime
    """Of its last death, UTC."""
    incarnation: int
    """Of the recipient."""
    correlation_id: str | None
    status: LetterStatus | str
    """As of `reason`. One that says none of these is not redriven or discarded."""
    settled_at: datetime | None
    """When it was redriven or discarded; None while it is open."""
    discard_reason: str | None
    tries: int = 0
    """How often its handler failed with it since it was last sent: see `Actor.max_attempts`."""
    traceback: str | None = None
    """Of a quarantined message: the innermost frames of its last failure and the exception."""
    state_digest: str | None = None
    """Of a quarantined message: the digest (hex) of the actor's State as its handler left it. None: the class
    declares none, or it could not be encoded."""
    checkpoint_id: str | None = None
    """Of a quarantined message: the newest checkpoint that the runtime knew of then, if any."""


def as_seen(row: DeadLetterRow) -> StoredDeadLetter:
    """A row as people see it."""
    return StoredDeadLetter(
        message_id=row.message_id,
        reason=_word(DeadLetterReason, row.reason),
        recipient=row.recipient,
        sender=row.sender,
        message_type=row.message_type,
        payload=row.message,
        cause=row.cause,
        attempts=row.attempts,
        timestamp=row.timestamp,
        incarnation=row.incarnation,
        correlation_id=row.correlation_id,
        status=_word(LetterStatus, row.status),
        settled_at=row.settled_at,
        discard_reason=row.discard_reason,
        tries=row.tries,
        traceback=row.traceback,
        state_digest=row.state_digest,
        checkpoint_id=row.checkpoint_id,
    )


def _word(kind: Callable[[str], W], word: str) -> W | str:
    try:
        return kind(word)
    except ValueError:
        return word


def message_of(row: DeadLetterRow, recipient: Blueprint, codec: Codec) -> object:
    """The message of a row, made from its bytes as a type that the recipient's class handles.

    Raises NotRedrivable, which says why there is none.
    """
    if row.payload is None:
        raise NotRedrivable(
            row.message_id, "the message could not be encoded, so the store has only its text"
        )
    return decoded(row.message_type, row.payload, recipient, codec, row.message_id)


def decoded(tag: str, payload: bytes, recipient: Blueprint, codec: Codec, message_id: str = "") -> object:
    """The message in stored bytes, as a type under this tag that the recipient's class handles.

    Raises NotRedrivable, which says why there is none.
    """
    known = recipient.stored_types.get(tag)
    kinds = [known] if known is not None else types_under(tag, recipient)
    if len(kinds) != 1:
        what = "no type of message" if not kinds else f"{len(kinds)} types of message"
        raise NotRedrivable(
            message_id,
            f"{recipient.cls.__qualname__} handles {what} stored as '{tag}', and this process "
            "does not have the message itself any more",
        )
    recipient.stored_types[tag] = kinds[0]
    try:
        return codec.decode(payload, kinds[0])
    except Exception as error:
        # msgspec's errors, and whatever the type of a user makes of the bytes.
        raise NotRedrivable(
            message_id, f"its stored bytes are no {kinds[0].__qualname__} any more ({in_a_line(error)})"
        ) from error
