"""Records that tests of stores write: one of each kind, with what matters to a test as arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sentient_core.codec import digest
from sentient_core.store.fold import Placed
from sentient_core.store.records import (
    Accepted,
    AgentStatus,
    Answered,
    Checkpoint,
    CheckpointKind,
    DeadLetterRecord,
    Event,
    Key,
    LetterDiscarded,
    LetterRedriven,
    Published,
    SentAs,
)

__all__ = [
    "NOW",
    "accepted",
    "amount_of",
    "answered",
    "checkpoint",
    "dead_letter",
    "discarded",
    "event",
    "id_of",
    "ids_of",
    "published",
    "redriven",
    "sent_as",
    "status",
]

NOW = 1_763_700_000_123_456_789


def event(seq: int, payload: object = ..., **changes: Any) -> Event:
    """A message from `team/a` to `team/b`, at a time of its own."""
    fields: dict[str, Any] = {
        "event_type": "message_sent",
        "seq": seq,
        "source": "team/a",
        "target": "team/b",
        "message_type": "Deposit",
        "payload": msgspec.msgpack.encode({"amount": seq} if payload is ... else payload),
        "at": NOW + seq * 1_000_000,
        "correlation": seq,
        "incarnation": 1,
    }
    return Event(**fields | changes)


def amount_of(event: Event) -> int:
    """The number that `event` has put into its payload, which comes back from everywhere."""
    return int(msgspec.msgpack.decode(event.payload)["amount"])


def id_of(placed: Placed[Event]) -> str:
    """The id of an event of an external stream."""
    assert isinstance(placed.record, Published)
    return placed.record.event_id


def ids_of(events: Iterable[Placed[Event]]) -> list[str]:
    """Those of some."""
    return [id_of(placed) for placed in events]


def published(number: int, **changes: Any) -> Published:
    """An event that somebody has published from outside."""
    fields: dict[str, Any] = {
        "event_type": "shop.sold",
        "seq": 0,
        "source": "web",
        "target": None,
        "message_type": None,
        "payload": msgspec.msgpack.encode({"n": number}),
        "at": NOW + number * 1_000_000,
        "workflow_id": "w",
        "event_id": f"e{number}",
    }
    return Published(**fields | changes)


def status(path: str, incarnation: int = 1, state: str = "running", **changes: Any) -> AgentStatus:
    """The state of an actor."""
    fields: dict[str, Any] = {
        "path": path,
        "name": path.rpartition("/")[2],
        "kind": "Worker",
        "parent": path.rpartition("/")[0],
        "status": state,
        "incarnation": incarnation,
        "restarts": incarnation - 1,
        "at": NOW,
        "capabilities": ("render",),
    }
    return AgentStatus(**fields | changes)


def checkpoint(path: str, number: int, **changes: Any) -> Checkpoint:
    """The `number`-th checkpoint of an actor."""
    state = msgspec.msgpack.encode({"count": number})
    fields: dict[str, Any] = {
        "path": path,
        "incarnation": 1,
        "checkpoint_id": f"c.{number}",
        "kind": CheckpointKind.TURN,
        "state": state,
        "tag": "Worker.State",
        "schema_version": 1,
        "digest": digest(state),
        "at": NOW + number,
        "metadata": msgspec.msgpack.encode({"handled": number}),
    }
    return Checkpoint(**fields | changes)


def sent_as(id_: str, path: str = "team/b", asker: Key | None = None, content: bytes = b"deposit") -> SentAs:
    """The id that a message was sent under."""
    return SentAs(path, id_, digest(content), asker)


def accepted(seq: int, sent: SentAs | None = None, **changes: Any) -> Accepted:
    """A message to the durable actor `team/b`."""
    return Accepted(event(seq, **changes), sent_as=sent)


def answered(seq: int, sent: SentAs, reply: object = "fine", error: str | None = None) -> Answered:
    """The reply to a message that was sent under an id, under a number of its own."""
    sent_back = event(
        seq + 2_000, reply, event_type="message_replied", source="team/b", target="team/a", message_type="str"
    )
    return Answered(sent_back, sent, error)


def dead_letter(seq: int, **changes: Any) -> DeadLetterRecord:
    """A message nobody handled."""
    fields: dict[str, Any] = {
        "seq": seq,
        "recipient": "team/gone",
        "sender": "team/a",
        "message_type": "Deposit",
        "payload": msgspec.msgpack.encode({"amount": seq}),
        "is_exact": True,
        "reason": "stopped",
        "cause": "",
        "attempts": 0,
        "at": NOW + seq,
        "correlation": seq,
    }
    return DeadLetterRecord(**fields | changes)


def redriven(seq: int, attempts: int = 2, epoch: int = 1) -> LetterRedriven:
    """The letter of a message is sent again."""
    sent_again = event(
        seq + 1_000,
        {"message_id": f"{epoch}.{seq}", "attempts": attempts},
        event_type="message_redriven",
        message_type=None,
        at=NOW + seq + 100,
    )
    return LetterRedriven(epoch, seq, attempts, sent_again)


def discarded(seq: int, reason: str = "no use", epoch: int = 1) -> LetterDiscarded:
    """The letter of a message stays undone."""
    return LetterDiscarded(epoch, seq, reason, NOW + seq + 200)
