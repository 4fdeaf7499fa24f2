"""The mirror: turns what happens to messages and actors into records and hands them to the journal.

A message is encoded once, on its sender's thread, when it is sent; that is where an unencodable one
raises. The record is handed over when a mailbox has accepted the message, so that the order of rows
is the order of acceptance. When the journal's tail is full the message is handled all the same and
counted for its target; the counts become `mirror_gap` events as soon as there is room.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from sentient_core.causes import class_sent, in_a_line
from sentient_core.codec import Codec, tag_of
from sentient_core.errors import ForeignRef, MessageTooLarge, StoreUnavailable, UnencodableMessage
from sentient_core.events.event_type import EventType
from sentient_core.mailbox import Evidence
from sentient_core.store.protocols import DeadLetterRow, Journal
from sentient_core.store.records import (
    Accepted,
    AgentStatus,
    Checkpoint,
    Counted,
    DeadLetterRecord,
    Earlier,
    Event,
    LetterDiscarded,
    LetterRedriven,
    Resent,
    SentAs,
    full_id,
    parts_of_id,
)

__all__ = ["Mirror"]

_SENT = EventType.MESSAGE_SENT.value
_REPLIED = EventType.MESSAGE_REPLIED.value
_now = time.time_ns


class Mirror:
    """What one actor system writes down. Belongs to the loop's thread; never waits."""

    def __init__(self, journal: Journal, codec: Codec) -> None:
        self.journal = journal
        self.epoch: int = journal.epoch
        self.recorded: int = 0
        """Messages and replies handed to the journal."""
        self.unmirrored: int = 0
        """Messages and replies that found the journal full."""
        self.on_gap: Callable[[], None] | None = None
        """Called when a record is left out, then not again until all that were are told."""
        self._largest = journal.largest_record
        self._append = journal.append
        self._encode = codec.encode
        self._owes = False
        """There is something in one of the next three."""
        self._is_gap = False
        """There is something in one of the next two."""
        self._gaps: Counter[str] = Counter()
        """Messages left out, by their target."""
        self._others: Counter[str] = Counter()
        """Other records left out (dead letters, what happened to actors), by the actor they are about."""
        self._statuses: dict[str, AgentStatus] = {}
        """The latest status of each actor whose status was left out."""
        self._seq = 0
        self._tags: dict[type, str] = {}

    def conversation(self, event: Event | None) -> str | None:
        """The id of the message that a message's conversation began with; None: it has none."""
        if event is None or not event.correlation:
            return None
        return full_id(event.correlation_epoch or self.epoch, event.correlation)

    def message_id(self, event: Event) -> str:
        """The id that people see of the message that an event in a mailbox stands for."""
        if isinstance(event, Earlier):
            return full_id(event.of_epoch, event.of_seq)
        return full_id(self.epoch, event.seq)

    def encoded(self, message: object, target: str) -> bytes:
        """The bytes of a message, for `message`. From any thread.

        Raises UnencodableMessage (MessageTooLarge), ForeignRef.
        """
        try:
            payload = self._encode(message)
        except ForeignRef:
            raise
        except Exception as error:  # msgspec raises TypeError, OverflowError, UnicodeError, RecursionError
            raise _unencodable(message, target, error) from error
        if len(payload) > self._largest:
            raise MessageTooLarge(message, target, len(payload), self._largest)
        return payload

    def message(
        self,
        message: object,
        source: str,
        target: str,
        incarnation: int,
        correlation: int,
        causation: int,
        payload: bytes | None = None,
        correlation_epoch: int = 0,
        causation_epoch: int = 0,
    ) -> Event:
        """The event of a message about to be sent. Raises UnencodableMessage, ForeignRef.

        `payload` is what `encoded` made of it, where that was done before.
        """
        if payload is None:
            payload = self.encoded(message, target)
        self._seq = seq = self._seq + 1
        kind = type(message)
        tag = self._tags.get(kind) or self._new_tag(kind)
        return Event(
            _SENT,
            seq,
            source,
            target,
            tag,
            payload,
            _now(),
            correlation or seq,
            causation,
            incarnation,
            None,
            correlation_epoch,
            causation_epoch,
        )

    def reply(self, reply: object, source: str, target: str, incarnation: int, asked: Event) -> Event:
        """The event of a reply to `asked`. Raises UnencodableMessage."""
        try:
            payload = self._encode(reply)
        except Exception as error:  # as above
            why = f"as a reply of '{source}', {in_a_line(error)}"
            raise UnencodableMessage(reply, target, why) from error
        if len(payload) > self._largest:
            raise MessageTooLarge(reply, target, len(payload), self._largest)
        self._seq = seq = self._seq + 1
        tag = self._tags.get(type(reply)) or self._new_tag(type(reply))
        return Event(
            _REPLIED,
            seq,
            source,
            target,
            tag,
            payload,
            _now(),
            asked.correlation,
            asked.seq,
            incarnation,
            None,
            asked.correlation_epoch,
            asked.own_epoch if isinstance(asked, Earlier) else 0,
        )

    def record(self, event: Event) -> None:
        """Hand a message's event over, or count it for its target."""
        if self._append(event):
            self.recorded += 1
            if self._owes:
                self.catch_up()
        else:
            self.unmirrored += 1
            self._gaps[event.target or ""] += 1
            self._begin_gap()

    def happened(
        self,
        event_type: EventType,
        source: str,
        payload: dict[str, Any],
        *,
        incarnation: int = 0,
        about: Event | None = None,
        force: bool = False,
        workflow_id: str | None = None,
        target: str | None = None,
    ) -> None:
        """Write down something that is no message; without room it is counted for `source`.

        `about`: the message with which it has happened.
        """
        event = self.fact(
            event_type,
            source,
            payload,
            incarnation=incarnation,
            about=about,
            workflow_id=workflow_id,
            target=target,
        )
        if not self._append(event, force=force):
            self._leave_out(source)
        elif self._owes:
            self.catch_up()

    def fact(
        self,
        event_type: EventType | str,
        source: str,
        payload: dict[str, Any],
        *,
        incarnation: int = 0,
        about: Event | None = None,
        workflow_id: str | None = None,
        target: str | None = None,
    ) -> Event:
        """The event of something that is no message, for a durable turn to hand over."""
        self._seq += 1
        packed = self._encode(payload)
        if len(packed) > self._largest:  # by words of users, of which nothing else bounds the length
            packed = self._encode({"left_out_bytes": len(packed)})
        return Event(
            event_type=str(event_type),
            seq=self._seq,
            source=source,
            target=target,
            message_type=None,
            payload=packed,
            at=_now(),
            correlation=0 if about is None else about.correlation,
            causation=0 if about is None else about.seq,
            incarnation=incarnation,
            workflow_id=workflow_id,
            correlation_epoch=0 if about is None else about.correlation_epoch,
            causation_epoch=about.own_epoch if isinstance(about, Earlier) else 0,
        )

    def status(self, status: AgentStatus) -> None:
        """Write an actor's row; without room it is kept, since the next start counts on it."""
        if self._append(status):
            self._statuses.pop(status.path, None)
            if self._owes:
                self.catch_up()
        else:
            self._statuses[status.path] = status
            self._owes = True

    def checkpoint(self, checkpoint: Checkpoint, *, is_last: bool = False) -> bool:
        """Write a checkpoint and the event that announces it. False when the journal has no room.

        There is more of it for checkpoints than for messages, and always for the last one of an actor.
        """
        if not self._append(checkpoint, force=is_last, from_reserve=True):
            return False
        self.happened(
            EventType.STATE_CHECKPOINT,
            checkpoint.path,
            {"checkpoint_id": checkpoint.checkpoint_id},
            incarnation=checkpoint.incarnation,
        )
        return True

    def dead_letter(
        self,
        message: object,
        recipient: str,
        sender: str,
        reason: str,
        cause: str,
        event: Event | None,
        incarnation: int,
        tries: int = 0,
        evidence: Evidence | None = None,
        *,
        was_pending: bool = False,
        has_memos: bool = False,
        sent_as: SentAs | None = None,
    ) -> str:
        """Write a message down as dead; returns its id. With no bytes, or too many, it leaves its repr.

        `was_pending`: a durable actor had accepted it, under the id `sent_as` if it has one, and this settles
        it; `has_memos`: with what was written down for it.
        """
        epoch, attempts, exact = self.epoch, 1, None if event is None else event.payload
        if isinstance(event, Resent):
            epoch, seq, attempts, exact = event.of_epoch, event.of_seq, event.attempts, event.original
        elif isinstance(event, Earlier):
            epoch, seq = event.of_epoch, event.of_seq
        elif event is not None:
            seq = event.seq
        else:
            self._seq = seq = self._seq + 1
            try:
                exact = self._encode(message)
            except Exception:  # noqa: BLE001 - the letter is kept in words where it has no bytes
                exact = None
            if exact is not None and len(exact) > self._largest:
                exact = None
        letter = DeadLetterRecord(
            seq=seq,
            recipient=recipient,
            sender=sender,
            message_type=(event is not None and event.message_type)
            or self._tags.get(type(message))
            or self._new_tag(type(message)),
            payload=self._encode(_words(message)) if exact is None else exact,
            is_exact=exact is not None,
            reason=reason,
            cause=cause[:2_000],
            attempts=attempts,
            at=_now(),
            incarnation=incarnation,
            correlation=0 if event is None else event.correlation,
            epoch=0 if epoch == self.epoch else epoch,
            tries=tries,
            traceback=None if evidence is None else evidence.traceback,
            state_digest=None if evidence is None else evidence.state_digest,
            checkpoint_id=None if evidence is None else evidence.checkpoint_id,
            was_pending=was_pending,
            correlation_epoch=0 if event is None else event.correlation_epoch,
            has_memos=has_memos,
            sent_as=sent_as,
        )
        if not self._append(letter, force=was_pending):
            self._leave_out(recipient)
        return full_id(epoch, seq)

    def redrive(self, letter: DeadLetterRow, *, is_pending: bool = False) -> Resent:
        """Write down that a dead letter is sent again; returns what goes into the mailbox with it.

        `is_pending`: its recipient is durable, and has accepted it with this.

        What the handling causes belongs to the conversation of the message. Raises StoreUnavailable when
        the journal takes nothing more: then nothing may be sent.
        """
        of_epoch, of_seq = _parts(letter.message_id)
        attempts = letter.attempts + 1
        correlation = None if letter.correlation_id is None else parts_of_id(letter.correlation_id)
        self._seq = seq = self._seq + 1
        event = Event(
            event_type=EventType.MESSAGE_REDRIVEN.value,
            seq=seq,
            source=letter.sender,
            target=letter.recipient,
            message_type=None,
            payload=self._encode({"message_id": letter.message_id, "attempts": attempts}),
            at=_now(),
            correlation=seq if correlation is None else correlation[1],
            causation=of_seq,
            correlation_epoch=self._epoch_of(correlation),
            causation_epoch=self._epoch_of((of_epoch, of_seq)),
        )
        accepted = _accepted_again(letter, of_seq, event, attempts, self.epoch) if is_pending else None
        died_of = letter.reason if letter.was_pending else ""
        if not self._append(LetterRedriven(of_epoch, of_seq, attempts, event, accepted, died_of), force=True):
            raise StoreUnavailable("the journal has ended, so nothing can be redriven")
        return Resent(
            **msgspec.structs.asdict(event),
            of_epoch=of_epoch,
            of_seq=of_seq,
            attempts=attempts,
            original=letter.payload,
        )

    def discard(self, message_id: str, reason: str) -> None:
        """Write down that a dead letter stays undone."""
        self._append(LetterDiscarded(*_parts(message_id), reason[:2_000], _now()), force=True)

    def counted(
        self, path: str, numbers: tuple[int, int, int, int, int, int], *, is_last: bool = False
    ) -> bool:
        """Write down what has become of an actor's messages. False when the journal has no room."""
        return self._append(Counted(path, numbers, _now()), force=is_last)

    def next_seq(self) -> int:
        """The next number, for a checkpoint."""
        self._seq += 1
        return self._seq

    def catch_up(self, *, force: bool = False) -> None:
        """Write what was left out, as far as there is room for it again."""
        while self._statuses:
            path = next(iter(self._statuses))
            if not self._append(self._statuses[path], force=force):
                return
            del self._statuses[path]
        while self._gaps or self._others:
            path = next(iter(self._gaps or self._others))
            payload = {
                "target": path,
                "count": self._gaps[path],
                "other_records": self._others[path],
                "reason": "the journal's tail was full",
            }
            if not self._append(self.fact(EventType.MIRROR_GAP, path, payload), force=force):
                return
            del self._gaps[path], self._others[path]
        self._owes = self._is_gap = False

    def close(self) -> None:
        """Write what is still owed, whether there is room or not."""
        self.catch_up(force=True)

    def _epoch_of(self, parts: tuple[int, int] | None) -> int:
        """As records have it: 0 for this start."""
        return 0 if parts is None or parts[0] == self.epoch else parts[0]

    def _leave_out(self, path: str) -> None:
        self._others[path] += 1
        self._begin_gap()

    def _begin_gap(self) -> None:
        self._owes = True
        if not self._is_gap:
            self._is_gap = True
            if self.on_gap is not None:
                self.on_gap()

    def _new_tag(self, kind: type) -> str:
        tag = self._tags[kind] = tag_of(kind)
        return tag


def _parts(message_id: str) -> tuple[int, int]:
    parts = parts_of_id(message_id)
    if parts is None:
        raise ValueError(f"{message_id!r} is no message id")
    return parts


def _accepted_again(letter: DeadLetterRow, seq: int, redriven: Event, attempts: int, epoch: int) -> Accepted:
    """The message of a dead letter, pending once more. `epoch`: of this start, which is not the message's."""
    return Accepted(
        Event(
            event_type=_SENT,
            seq=seq,
            source=letter.sender,
            target=letter.recipient,
            message_type=letter.message_type,
            payload=letter.payload or b"",
            at=redriven.at,
            correlation=redriven.correlation,
            causation=redriven.causation,
            correlation_epoch=redriven.correlation_epoch or epoch,
            causation_epoch=redriven.causation_epoch or epoch,
        ),
        attempts=attempts,
    )


def _unencodable(message: object, target: str, error: Exception) -> UnencodableMessage:
    why = class_sent(message) or str(error) or type(error).__name__
    return UnencodableMessage(message, target, why)


def _words(message: object) -> str:
    try:
        return repr(message).encode("utf-8", "replace").decode()[:10_000]
    except Exception as error:  # noqa: BLE001 - a repr of the user's that raises
        return f"<{type(message).__qualname__}, whose repr raised {type(error).__name__}>"
