"""What became of a message that was sent under an id, so that it is applied once however often it is sent.

There are two kinds of ids. One chosen by a caller counts per recipient, for as long as retention says:
rows of `dedupe`. One that the runtime gives to an ask within a durable turn counts for the message that the
asker has in hand, until that is settled: rows of `memo`, where the results of `Actor.once` stand as well.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from sentient_core.store.records import (
    Accepted,
    Answered,
    AnyRecord,
    DeadLetterRecord,
    Forwarded,
    Key,
    Noted,
    SentAs,
)

__all__ = ["IdKey", "Outcome", "OutcomeKind", "id_key", "memo_key", "memo_name", "note_of", "outcome_of"]

IdKey: TypeAlias = tuple[str, str]
"""The recipient's path, and the id that a caller chose."""


class OutcomeKind(StrEnum):
    """What became of it."""

    PENDING = "pending"
    """Nothing yet: it is accepted."""
    REPLY = "reply"
    """It was handled; this is the reply."""
    ERROR = "error"
    """It was handled; the reply is an exception."""
    DEAD = "dead"
    """It is a dead letter."""
    FORWARDED = "forwarded"
    """It was handed on to somebody who writes no answers down."""
    UNREADABLE = "unreadable"
    """Its row says none of these, as somebody has changed it: it was sent, and no more is known."""

    @classmethod
    def of(cls, word: str) -> OutcomeKind:
        """What a row says."""
        try:
            return cls(word)
        except ValueError:
            return cls.UNREADABLE


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a message that was sent under an id, or of what was done once."""

    kind: OutcomeKind
    digest: bytes
    """Of the message."""
    at: int
    """When that was known, in nanoseconds since the Unix epoch."""
    name: str = ""
    """Tag of the reply or the exception, reason of the dead letter, or to whom it was forwarded."""
    payload: bytes = b""
    """msgpack: the reply; the exception's words and arguments; the dead letter's cause."""


def outcome_of(record: AnyRecord) -> tuple[SentAs, Outcome] | None:
    """What a record says of an id; None: nothing."""
    if isinstance(record, Accepted):
        return _pending(record)
    if isinstance(record, Answered):
        sent, event = record.sent_as, record.event
        kind = OutcomeKind.REPLY if record.error is None else OutcomeKind.ERROR
        name = (event.message_type or "") if record.error is None else record.error
        return sent, Outcome(kind, sent.digest, event.at, name, event.payload)
    if isinstance(record, DeadLetterRecord):
        of_letter = record.sent_as
        if of_letter is None:
            return None
        words = msgspec.msgpack.encode(record.cause)
        return of_letter, Outcome(OutcomeKind.DEAD, of_letter.digest, record.at, record.reason, words)
    if isinstance(record, Forwarded):
        sent = record.sent_as
        return sent, Outcome(OutcomeKind.FORWARDED, sent.digest, record.at, record.to)
    return None


def note_of(record: Noted) -> Outcome:
    """The recorded result of what was done once."""
    return Outcome(OutcomeKind.REPLY, b"", record.at, "", record.payload)


def id_key(sent: SentAs) -> IdKey:
    """Under what an id of a caller's is known."""
    return sent.path, sent.id


def memo_key(record: Noted, epoch: int) -> Key:
    """The message in hand that a result belongs to; `epoch` is that of the entry."""
    return record.path, record.epoch or epoch, record.seq


def memo_name(sent: SentAs) -> str:
    """Under what the answer to an ask of a durable turn is known to the message in hand."""
    return f"ask {sent.path} {sent.id}"


def _pending(accepted: Accepted) -> tuple[SentAs, Outcome] | None:
    sent = accepted.sent_as
    return None if sent is None else (sent, Outcome(OutcomeKind.PENDING, sent.digest, accepted.event.at))
