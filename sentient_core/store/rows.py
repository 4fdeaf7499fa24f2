"""Records as database rows, in CBOR; rows as the models that people read.

Event rows are put together by hand from constant parts: they are nearly all rows, and building
Python objects for cbor2 first costs about twice as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast

import cbor2
import msgspec

from sentient_core.codec import digest
from sentient_core.store.accounts import Account, Books, Carried
from sentient_core.store.audit import NUMBERS, Counts
from sentient_core.store.deltas import made_of
from sentient_core.store.fold import AgentEffect, LetterEffect, PendingEffect, Placed
from sentient_core.store.outcomes import IdKey, Outcome, OutcomeKind
from sentient_core.store.payload import as_plain, queryable, refused
from sentient_core.store.protocols import AgentRow, CheckpointRow, DeadLetterRow, EventRow, Pending
from sentient_core.store.records import (
    Accepted,
    Checkpoint,
    CheckpointKind,
    Counted,
    DeadLetterRecord,
    DurableActor,
    Event,
    Key,
    Published,
    TimerSet,
)
from sentient_core.store.views import nanoseconds, optional_id
from sentient_core.store.wire import bindable, moment_tag, number, numbers, record_id, text, value

__all__ = [
    "DELTA_PLACE",
    "STATE_PLACE",
    "RowEncoder",
    "carried_row",
    "enter_account",
    "read_agent",
    "read_checkpoint",
    "read_checkpoint_row",
    "read_counted",
    "read_dead_letter",
    "read_event",
    "read_outcome",
    "read_pending",
    "read_placed",
    "read_timer",
    "whole_row",
]

STATE_PLACE = ("state",)
DELTA_PLACE = ("state", "delta")
"""What stands in the id of a durable actor's state, and of what that has become, behind system and path."""

_MAX_TEXTS = 10_000


class RowEncoder:
    """Makes the rows of one system."""

    def __init__(self, system: str) -> None:
        self._system = system
        self._id = b"".join((text("id"), b"\xc8\x82", text("agent_event"), b"\x83", text(system)))
        self._texts: dict[str, bytes] = {}  # paths and types come again and again

    def event(self, placed: Placed[Event], why_refused: str | None = None) -> bytes:
        """A row of `agent_event`. With `why_refused`, one that stands for a row the database did not take."""
        event, epoch = placed.record, placed.epoch
        known = self._text
        place = numbers(placed.number, placed.index)
        if isinstance(event, Published):
            event_id, correlation, causation = event.event_id, event.correlation_id, event.causation_id
        else:
            event_id = f"{epoch}.{event.seq}"
            correlation = optional_id(event.correlation_epoch or epoch, event.correlation)
            causation = optional_id(event.causation_epoch or epoch, event.causation)
        parts = [
            b"",  # the head, once the fields are counted
            self._id,
            place,
            _EVENT_ID,
            text(event_id),
            _EVENT_TYPE,
            known(event.event_type),
            _SOURCE,
            known(event.source),
            _PAYLOAD,
            _payload(event.payload) if why_refused is None else _encode(refused(event.payload, why_refused)),
            _TIMESTAMP,
            moment_tag(event.at),
            _POSITION,
            place,
            _INCARNATION,
            number(event.incarnation),
        ]
        fields = 8
        if event.target is not None:
            parts += (_TARGET, known(event.target))
            fields += 1
        if event.message_type is not None:
            parts += (_MESSAGE_TYPE, known(event.message_type))
            fields += 1
        if correlation is not None:
            parts += (_CORRELATION, text(correlation))
            fields += 1
        if causation is not None:
            parts += (_CAUSATION, text(causation))
            fields += 1
        if event.workflow_id is not None:
            parts += (_WORKFLOW, known(event.workflow_id))
            fields += 1
        parts[0] = bytes((0xA0 | fields,))
        return b"".join(parts)

    def agent(self, agent: AgentEffect) -> bytes:
        """A row of `agent_state`."""
        status = agent.last
        return _encode(
            {
                "id": record_id("agent_state", self._system, status.path),
                "agent_id": status.path,
                "name": status.name,
                "status": status.status,
                "capabilities": list(status.capabilities),
                "created_at": _time(agent.first_at),
                "updated_at": _time(status.at),
                "kind": status.kind,
                "parent": status.parent,
                "restarts": status.restarts,
                "incarnation": status.incarnation,
                "revision": agent.changes,
            }
        )

    def incarnation(self, path: str, incarnation: int, restarts: int) -> bytes:
        """A row of `ownership` for one path."""
        id_ = record_id("ownership", self._system, path)
        return _encode({"id": id_, "incarnation": incarnation, "restarts": restarts})

    def durable(self, path: str, actor: DurableActor) -> bytes:
        """What `ownership` says of a durable actor."""
        id_ = record_id("ownership", self._system, path)
        return _encode(
            {"id": id_, "kind": actor.kind, "origin": actor.origin.value, "is_over": actor.is_over}
        )

    def forgotten(self, path: str) -> bytes:
        """What `ownership` says of a path while its rows are being deleted."""
        return _encode({"id": record_id("ownership", self._system, path), "is_forgotten": True})

    def checkpoint(self, placed: Placed[Checkpoint], why_refused: str | None = None) -> bytes:
        """A row of `state_checkpoint`."""
        checkpoint = placed.record
        metadata = queryable(checkpoint.metadata)
        place: tuple[str | int, ...] = _PLACES.get(checkpoint.kind, placed.position)
        base = {"base": checkpoint.base} if checkpoint.base else {}
        return _encode(
            base
            | {
                "id": record_id("state_checkpoint", self._system, checkpoint.path, *place),
                "checkpoint_id": checkpoint.checkpoint_id,
                "agent_id": checkpoint.path,
                "timestamp": _time(checkpoint.at),
                "metadata": metadata if why_refused is None else refused(checkpoint.metadata, why_refused),
                "kind": checkpoint.kind.value,
                "state": checkpoint.state,
                "tag": checkpoint.tag,
                "schema_version": checkpoint.schema_version,
                "digest": checkpoint.digest,
                "incarnation": checkpoint.incarnation,
                "position": list(placed.position),
            }
        )

    def pending(self, pending: PendingEffect) -> bytes:
        """A row of `inbox`."""
        placed = pending.accepted
        event = placed.record.event
        record = _encode_record(placed.record)
        return _encode(
            {
                "id": record_id("inbox", self._system, event.target or "", placed.epoch, event.seq),
                "sender": event.source,
                "message_type": event.message_type or "",
                "timestamp": _time(event.at),
                "record": record,
                "digest": digest(record),
                "tries": pending.tries,
                "position": list(placed.position),
            }
        )

    def account(self, number: int, accounts: Mapping[str, Account], at: int) -> bytes:
        """A row of `account`: what a window did, which was settled at that time."""
        lines = _encode_record(accounts)
        id_ = record_id("account", self._system, number)
        return _encode({"id": id_, "at": at, "lines": lines, "digest": digest(lines)})

    def counted(self, placed: Placed[Counted]) -> bytes:
        """A row of `counted`."""
        record = placed.record
        id_ = record_id("counted", self._system, record.path)
        numbers_ = dict(zip(NUMBERS, record.numbers, strict=True))
        return _encode({"id": id_, "epoch": placed.epoch, "at": record.at} | numbers_)

    def timer(self, timer: TimerSet) -> bytes:
        """A row of `timer`."""
        record = _encode_record(timer)
        return _encode(
            {
                "id": record_id("timer", self._system, timer.path, timer.key),
                "due_at": timer.due_at,
                "record": record,
                "digest": digest(record),
            }
        )

    def inbox_id(self, key: Key) -> bytes:
        """The id of a row of `inbox`."""
        return value(record_id("inbox", self._system, *key))

    def tries(self, key: Key, tries: int) -> bytes:
        """What changes in a row of `inbox` when a handler has failed with its message."""
        return _encode({"id": record_id("inbox", self._system, *key), "changes": {"tries": tries}})

    def sent_id(self, key: IdKey, outcome: Outcome) -> bytes:
        """A row of `dedupe`."""
        row = {"id": record_id("dedupe", self._system, *key), "system": self._system}
        return _encode(row | _outcome(outcome))

    def memo(self, key: Key, name: str, outcome: Outcome) -> bytes:
        """A row of `memo`."""
        return _encode({"id": record_id("memo", self._system, *key, name)} | _outcome(outcome))

    def dead_letter(
        self,
        message_id: str,
        effect: LetterEffect,
        death: Placed[DeadLetterRecord],
        why_refused: str | None = None,
    ) -> bytes:
        """A row of `dead_letter`, for a letter that died in the window."""
        letter = death.record
        message = queryable(letter.payload)
        row: dict[str, object] = {
            "id": record_id("dead_letter", self._system, message_id),
            "message_id": message_id,
            "recipient": letter.recipient,
            "sender": letter.sender,
            "message_type": letter.message_type,
            "message": message if why_refused is None else refused(letter.payload, why_refused),
            "is_exact": letter.is_exact,
            "reason": letter.reason,
            "cause": letter.cause,
            "attempts": letter.attempts,
            "tries": letter.tries,
            "timestamp": _time(letter.at),
            "incarnation": letter.incarnation,
            "was_pending": letter.was_pending,
        }
        correlation = optional_id(letter.correlation_epoch or death.epoch, letter.correlation)
        if correlation is not None:
            row["correlation_id"] = correlation
        if letter.is_exact:
            row["payload"] = letter.payload
        for field in ("traceback", "state_digest", "checkpoint_id"):
            known = getattr(letter, field)
            if known is not None:
                row[field] = known
        return _encode(row | _settled(effect))

    def letter_mark(self, message_id: str, effect: LetterEffect) -> bytes:
        """What changes in the row of a letter that died in an earlier window: its id, and the fields."""
        return _encode(
            {"id": record_id("dead_letter", self._system, message_id), "changes": _settled(effect)}
        )

    def _text(self, words: str) -> bytes:
        encoded = self._texts.get(words)
        if encoded is None:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            encoded = self._texts[words] = text(words)
        return encoded


def read_event(row: Mapping[str, Any]) -> EventRow:
    """The model of a row of `agent_event`, read by `wire.read_plain`."""
    _, number_, index = row["id"].key
    return EventRow(
        event_id=row["event_id"],
        event_type=row["event_type"],
        source_agent=row["source_agent"],
        target_agent=row.get("target_agent"),
        message_type=row.get("message_type"),
        payload=_object(row["payload"]),
        timestamp=row["timestamp"],
        correlation_id=row.get("correlation_id"),
        causation_id=row.get("causation_id"),
        incarnation=row["incarnation"],
        workflow_id=row.get("workflow_id"),
        position=(number_, index),
    )


def read_placed(row: Mapping[str, Any]) -> Placed[Event]:
    """The event that a row of `agent_event` stands for, read by `wire.read_plain`.

    Its payload is that of the row, encoded anew. `nano`, where it was asked for, is its time exactly.
    """
    _, number_, index = row["id"].key
    event = Published(
        event_type=row["event_type"],
        seq=0,
        source=row["source_agent"],
        target=row.get("target_agent"),
        message_type=row.get("message_type"),
        payload=msgspec.msgpack.encode(_object(row["payload"])),
        at=row.get("nano") or nanoseconds(row["timestamp"]),
        incarnation=row["incarnation"],
        workflow_id=row.get("workflow_id"),
        event_id=row["event_id"],
        correlation_id=row.get("correlation_id"),
        causation_id=row.get("causation_id"),
    )
    return Placed(number_, index, 0, event)


def read_agent(row: Mapping[str, Any]) -> AgentRow:
    """The model of a row of `agent_state`, read by `wire.read_plain`."""
    return AgentRow(
        agent_id=row["agent_id"],
        name=row["name"],
        kind=row["kind"],
        parent=row["parent"],
        status=row["status"],
        capabilities=list(row["capabilities"]),
        incarnation=row["incarnation"],
        restarts=row["restarts"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def read_checkpoint_row(row: Mapping[str, Any]) -> CheckpointRow:
    """The model of a row of `state_checkpoint`, read by `wire.read_plain`."""
    return CheckpointRow(
        checkpoint_id=row["checkpoint_id"],
        agent_id=row["agent_id"],
        kind=row["kind"],
        incarnation=row["incarnation"],
        state=row["state"],
        tag=row["tag"],
        schema_version=row["schema_version"],
        digest=row["digest"],
        timestamp=row["timestamp"],
        metadata=_object(row["metadata"]),
        position=None if row.get("position") is None else tuple(row["position"]),
    )


def read_checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    """The record that a row of `state_checkpoint` came from, read by `wire.read_exact`.

    Its metadata are encoded anew.
    """
    return Checkpoint(
        path=row["id"].key[1],
        incarnation=row["incarnation"],
        checkpoint_id=row["checkpoint_id"],
        kind=CheckpointKind.of(row["kind"]),
        state=row["state"],
        tag=row["tag"],
        schema_version=row["schema_version"],
        digest=row["digest"],
        at=row["timestamp"],
        metadata=msgspec.msgpack.encode(_object(row["metadata"])),
        base=row.get("base") or "",
    )


def whole_row(state: Mapping[str, Any] | None, delta: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The row of a durable actor's state with that of what it has become since, if it is not of before."""
    if delta is None or (state is not None and _place(state) > _place(delta)):
        return state
    base = None if state is None or state["checkpoint_id"] != delta.get("base") else state["state"]
    kind = CheckpointKind.STATE.value
    return {**delta, "kind": kind, "state": made_of(base, delta["state"]), "base": None}


def read_pending(row: Mapping[str, Any]) -> Pending:
    """A row of `inbox`, read by `wire.read_exact`; one that was changed or torn is marked as damaged."""
    _, path, epoch, seq = row["id"].key
    is_damaged = False
    try:
        accepted = _decode_accepted(_checked(row, row["record"]))
    except msgspec.DecodeError:
        accepted, is_damaged = Accepted(_what_is_left(row, path, seq)), True
    return Pending(epoch, accepted, row["tries"], is_damaged)


def carried_row(carried: Carried, at: int) -> dict[str, object]:
    """What is in a row of `account` that stands for all until it, the last settled at that time."""
    body = _encode_record(carried)
    return {"at": at, "carried": body, "digest": digest(body)}


def enter_account(books: Books, row: Mapping[str, Any]) -> None:
    """Enter a row of `account`, read by `wire.read_exact`. Raises DecodeError: it was changed or torn."""
    carried, lines = row.get("carried"), row.get("lines")
    if carried is not None:
        books.start_from(_decode_carried(_checked(row, carried)))
    else:
        books.enter(_decode_account(_checked(row, lines or b"")))


def read_counted(row: Mapping[str, Any]) -> tuple[str, Counts]:
    """The path and the numbers of a row of `counted`."""
    now = tuple(int(row[name]) for name in NUMBERS)
    return row["id"].key[1], (row["epoch"], now, tuple(int(row[f"earlier_{name}"]) for name in NUMBERS))


def read_timer(row: Mapping[str, Any]) -> TimerSet | None:
    """A row of `timer`, read by `wire.read_exact`. None: it was changed or torn."""
    try:
        return _decode_timer(_checked(row, row["record"]))
    except msgspec.DecodeError:
        return None


def read_outcome(row: Mapping[str, Any]) -> Outcome:
    """What a row of `dedupe` or `memo` says, read by `wire.read_exact`."""
    return Outcome(OutcomeKind.of(row["outcome"]), row["digest"], row["timestamp"], row["name"], row["reply"])


def read_dead_letter(row: Mapping[str, Any]) -> DeadLetterRow:
    """The model of a row of `dead_letter`, read by `wire.read_plain`."""
    return DeadLetterRow(
        message_id=row["message_id"],
        recipient=row["recipient"],
        sender=row["sender"],
        message_type=row["message_type"],
        message=_object(row["message"]),
        reason=row["reason"],
        cause=row["cause"],
        attempts=row["attempts"],
        timestamp=row["timestamp"],
        incarnation=row["incarnation"],
        correlation_id=row.get("correlation_id"),
        payload=row.get("payload"),
        status=row["status"],
        settled_at=row.get("settled_at"),
        discard_reason=row.get("discard_reason"),
        tries=row.get("tries") or 0,
        traceback=row.get("traceback"),
        state_digest=row.get("state_digest"),
        checkpoint_id=row.get("checkpoint_id"),
        was_pending=bool(row.get("was_pending")),
    )


def _place(row: Mapping[str, Any]) -> list[int]:
    return list(row.get("position") or (0, 0))  # an older release notes none


def _checked(row: Mapping[str, Any], record: bytes) -> bytes:
    if digest(record) != row["digest"]:
        raise msgspec.DecodeError(f"{row['id']}: its bytes do not match its digest")
    return record


def _what_is_left(row: Mapping[str, Any], path: str, seq: int) -> Event:
    """A damaged message: the payload is the message's own where it can still be told, else what was found."""
    payload: bytes = row["record"]
    with suppress(msgspec.DecodeError):
        payload = _decode_accepted(payload).event.payload
    return Event(
        event_type="message_sent",
        seq=seq,
        source=row["sender"],
        target=path,
        message_type=row["message_type"],
        payload=payload,
        at=row["timestamp"],
        correlation=seq,
    )


_PLACES = {CheckpointKind.STATE: STATE_PLACE, CheckpointKind.DELTA: DELTA_PLACE}
_decode_carried = msgspec.msgpack.Decoder(Carried).decode
_decode_account = msgspec.msgpack.Decoder(dict[str, tuple[tuple[str, int, int], ...]]).decode
_decode_timer = msgspec.msgpack.Decoder(TimerSet).decode
_encode_record = msgspec.msgpack.Encoder().encode
_decode_accepted = msgspec.msgpack.Decoder(Accepted).decode


def _settled(effect: LetterEffect) -> dict[str, object]:
    changes: dict[str, object] = {"status": effect.status.value}
    if effect.attempts is not None:
        changes["attempts"] = effect.attempts
    if effect.settled_at is not None:
        changes["settled_at"] = _time(effect.settled_at)
    if effect.discard_reason is not None:
        changes["discard_reason"] = effect.discard_reason
    return changes


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "digest": outcome.digest,
        "outcome": outcome.kind.value,
        "name": outcome.name,
        "reply": outcome.payload,
        "timestamp": _time(outcome.at),
    }


def _payload(payload: bytes) -> bytes:
    plain = as_plain(payload)
    return _encode(queryable(payload)) if plain is None else cbor2.dumps(plain)


def _encode(row: Mapping[str, object]) -> bytes:
    return cbor2.dumps(bindable(row))


def _time(nanoseconds: int) -> cbor2.CBORTag:
    return cbor2.CBORTag(12, list(divmod(nanoseconds, 1_000_000_000)))


def _object(found: object) -> dict[str, Any]:
    return cast("dict[str, Any]", _native(found))


def _native(found: object) -> object:
    # Integers beyond 64 bits are decimals in the database; nothing of ours is a decimal otherwise.
    if isinstance(found, Decimal) and found == found.to_integral_value():
        return int(found)
    if isinstance(found, Mapping):
        return {key: _native(item) for key, item in cast("Mapping[str, object]", found).items()}
    if isinstance(found, list | tuple):
        return [_native(item) for item in cast("list[object]", found)]
    return found


_EVENT_ID = text("event_id")
_EVENT_TYPE = text("event_type")
_SOURCE = text("source_agent")
_PAYLOAD = text("payload")
_TIMESTAMP = text("timestamp")
_POSITION = text("position") + b"\x82"
_INCARNATION = text("incarnation")
_TARGET = text("target_agent")
_MESSAGE_TYPE = text("message_type")
_CORRELATION = text("correlation_id")
_CAUSATION = text("causation_id")
_WORKFLOW = text("workflow_id")
