"""What the journal holds: one small record per fact, packed by msgpack as tagged arrays.

Fields are appended at the end with a default and never reordered, so that an older journal stays
readable. Ids of messages and events are integers that count within one start of the system (its
epoch); `full_id` makes the string that people see. Times are nanoseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec

__all__ = [
    "Accepted",
    "AgentStatus",
    "Answered",
    "AnyPart",
    "AnyRecord",
    "Checkpoint",
    "CheckpointKind",
    "Closed",
    "Counted",
    "DeadLetterRecord",
    "DurableActor",
    "Earlier",
    "Entry",
    "Event",
    "Forgotten",
    "Forwarded",
    "Key",
    "LetterDiscarded",
    "LetterRedriven",
    "LetterStatus",
    "Noted",
    "Opened",
    "Origin",
    "Published",
    "Record",
    "Resent",
    "RowChange",
    "SentAs",
    "Settled",
    "TimerGone",
    "TimerSet",
    "Tried",
    "Turn",
    "event_in",
    "flat",
    "full_id",
    "has_news",
    "parts_of_id",
]


Key: TypeAlias = tuple[str, int, int]
"""A message to a durable actor: the actor's path, and the message's epoch and number."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The root of all records. Bytes in memory are about `weight`."""

    @property
    def weight(self) -> int:
        """Bytes to count against the buffer's bound: at least half of what its rows take in a request."""
        return 200


class Event(Record, frozen=True, array_like=True, gc=False, tag="e"):
    """A row of `agent_event`: a message (`message_sent`, `message_replied`), or something that happened."""

    event_type: str
    seq: int
    """This event's (a message's) number within the epoch; from 1."""
    source: str
    """Path of the actor it comes from, or `external`."""
    target: str | None
    message_type: str | None
    """Tag of the message's type; None for an event that is no message."""
    payload: bytes
    """msgpack."""
    at: int
    correlation: int = 0
    """`seq` of the message the conversation began with; 0 for none."""
    causation: int = 0
    """`seq` of the message in hand when this was sent; 0 for none."""
    incarnation: int = 0
    """Of the source; 0 for `external`."""
    workflow_id: str | None = None
    correlation_epoch: int = 0
    """Of `correlation`; 0: that of the event itself."""
    causation_epoch: int = 0
    """Of `causation`; 0: that of the event itself."""

    @property
    def weight(self) -> int:
        return 200 + len(self.payload) + len(self.source) + len(self.target or "")


class Published(Event, frozen=True, array_like=True, gc=False, tag="p"):
    """An event that somebody has published, with the ids that he gave it."""

    event_id: str = ""
    correlation_id: str | None = None
    causation_id: str | None = None

    @property
    def weight(self) -> int:
        ids = len(self.event_id) + len(self.correlation_id or "") + len(self.causation_id or "")
        own = len(self.source) + len(self.target or "") + len(self.event_type) + len(self.workflow_id or "")
        return 200 + len(self.payload) + ids + own


class Earlier(Event, frozen=True, array_like=True, gc=False):
    """What a mailbox holds of a message that was sent before: by an earlier start, or as it is redriven.

    In memory only.
    """

    of_epoch: int = 0
    """The message's id, which stays its own: see `full_id`."""
    of_seq: int = 0

    @property
    def own_epoch(self) -> int:
        """Of `seq`, which is the message's own number, or that of its redrive in this start (0)."""
        return self.of_epoch if self.seq == self.of_seq else 0


class Resent(Earlier, frozen=True, array_like=True, gc=False):
    """What a mailbox holds of a redriven message: its `message_redriven` event, and what it was before.

    In memory only; the journal holds it as a `LetterRedriven`.
    """

    attempts: int = 0
    """This one included."""
    original: bytes | None = None
    """msgpack of the message; None where it could not be encoded."""


class SentAs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The id that a message was sent under, so that it is applied once."""

    path: str
    """Of who it was sent to; it stays the same when the message is passed on."""
    id: str
    digest: bytes
    """Of the message: the same id with another one is a mistake."""
    asker: Key | None = None
    """The message in hand of the durable turn that asked, for which the id is; None: a caller chose it."""

    @property
    def weight(self) -> int:
        """What it adds to that of a record."""
        return 200 + 2 * len(self.path) + 2 * len(self.id) + (0 if self.asker is None else len(self.asker[0]))


class Accepted(Record, frozen=True, array_like=True, gc=False, tag="m"):
    """A message to a durable actor is accepted: it is pending until it is settled. Also its `agent_event`.

    Settled by `Settled`, or by its `DeadLetterRecord`.
    """

    event: Event
    """`target` is the path of the actor."""
    priority: int = 0
    expires_at: int = 0
    """When its turn has to come, on the wall clock; 0: whenever."""
    due_at: int = 0
    """When its handler has to have returned, on the wall clock; 0: whenever."""
    attempts: int = 1
    """How often it was sent, redrives of its dead letter included."""
    sent_as: SentAs | None = None
    """The id that it was sent under, if it was."""

    @property
    def weight(self) -> int:
        of_id = 0 if self.sent_as is None else self.sent_as.weight
        return 100 + self.event.weight + len(self.event.target or "") + of_id


class Answered(Record, frozen=True, array_like=True, gc=False, tag="w"):
    """The reply to a message sent under an id, kept for whoever sends it again. Also its `agent_event`."""

    event: Event
    sent_as: SentAs
    error: str | None = None
    """Tag of the exception that is the reply; None: it is no exception."""

    @property
    def weight(self) -> int:
        return self.event.weight + self.sent_as.weight


class Forwarded(Record, frozen=True, array_like=True, gc=False, tag="h"):
    """A message that was sent under an id was handed on to somebody who writes no answers down."""

    sent_as: SentAs
    to: str
    """Path."""
    at: int

    @property
    def weight(self) -> int:
        return self.sent_as.weight + len(self.to)


class Noted(Record, frozen=True, array_like=True, gc=False, tag="n"):
    """What a handler has done once for the message in hand. It is forgotten when that is settled."""

    path: str
    """Of the actor."""
    seq: int
    """Of the message."""
    name: str
    payload: bytes
    """msgpack of the result."""
    at: int
    epoch: int = 0
    """Of the message; 0: that of the entry."""

    @property
    def weight(self) -> int:
        return 150 + len(self.path) + len(self.name) + len(self.payload)


class Settled(Record, frozen=True, array_like=True, gc=False, tag="s"):
    """A message that was accepted has been handled."""

    path: str
    seq: int
    """Of the message."""
    epoch: int = 0
    """Of the message; 0: that of the entry."""
    has_memos: bool = False
    """Something was recorded for it, which is to be forgotten now; for a message of an earlier start: may
    have been."""

    @property
    def weight(self) -> int:
        return 50 + len(self.path)


class Tried(Record, frozen=True, array_like=True, gc=False, tag="y"):
    """A message that was accepted has failed its handler and stays pending."""

    path: str
    seq: int
    """Of the message."""
    tries: int
    """How often its handler has failed with it."""
    epoch: int = 0
    """Of the message; 0: that of the entry."""

    @property
    def weight(self) -> int:
        return 100 + len(self.path)


class TimerSet(Record, frozen=True, array_like=True, gc=False, tag="i"):
    """A durable actor is to have a message at some time; instead of what was set under the same key."""

    path: str
    key: str
    due_at: int
    interval: int
    """Nanoseconds from one time to the next; 0: once."""
    message_type: str
    """Tag of the message's type."""
    payload: bytes
    """msgpack of the message."""

    @property
    def weight(self) -> int:
        return 150 + len(self.path) + len(self.key) + len(self.payload)


class TimerGone(Record, frozen=True, array_like=True, gc=False, tag="j"):
    """A durable timer has sent its last message, or was cancelled."""

    path: str
    key: str

    @property
    def weight(self) -> int:
        return 50 + len(self.path) + len(self.key)


class Origin(StrEnum):
    """What brings a durable actor to life."""

    DECLARED = "declared"
    """Its supervisor, which declares it."""
    SPAWNED = "spawned"
    """Somebody who spawned it: after a start of the process, who does so again, or `ActorSystem.recover`."""
    VIRTUAL = "virtual"
    """Its messages (`ActorSystem.get_or_spawn`)."""


class DurableActor(msgspec.Struct, frozen=True, gc=False):
    """What the store knows of a durable actor, so that it is found again."""

    kind: str
    """Tag of its class."""
    origin: Origin
    is_over: bool = False
    """It has ended for good, in order: nobody is to be expected at its path."""


class AgentStatus(Record, frozen=True, array_like=True, gc=False, tag="a"):
    """The row of `agent_state` of an actor, as it is from now on; also commits its incarnation."""

    path: str
    name: str
    kind: str
    """Tag of the actor's class."""
    parent: str
    status: str
    incarnation: int
    restarts: int
    """How often it was started again since the store knows it, starts of the process not counted."""
    at: int
    capabilities: tuple[str, ...] = ()
    origin: Origin | None = None
    """Of a durable actor alone."""
    is_over: bool = False
    """Of a durable actor: see `DurableActor`."""
    relations: tuple[str, ...] = ()
    """The tables of edges in which it stands from now on below its parent, or not any more if it is over."""


class CheckpointKind(StrEnum):
    """What a checkpoint is for."""

    TURN = "turn"
    """Recovery of a mirrored actor reads it; the newest few of an actor are kept."""
    STATE = "state"
    """The state of a durable actor after its last turn; there is one of each."""
    DELTA = "delta"
    """What that has become since, where it is large: see `store.deltas`. There is one of each at most."""
    NAMED = "named"
    """A user asked for it; kept until deleted."""
    UNKNOWN = "unknown"
    """Of a row that names none of these, as somebody has changed it. Nothing is restored from it."""

    @classmethod
    def of(cls, word: str) -> CheckpointKind:
        """What a row says."""
        try:
            return cls(word)
        except ValueError:
            return cls.UNKNOWN


class Checkpoint(Record, frozen=True, array_like=True, gc=False, tag="c"):
    """The state of one actor at one moment."""

    path: str
    incarnation: int
    checkpoint_id: str
    """`full_id` of a number of its own: unique within the system."""
    kind: CheckpointKind
    state: bytes
    """msgpack of the State, exactly as it was encoded; of a delta, the pieces that make it."""
    tag: str
    schema_version: int
    digest: bytes
    """`codec.digest(state)`; of a delta, of the state that it makes."""
    at: int
    metadata: bytes = b"\x80"
    """msgpack of a map: why it was taken, how many messages had been handled."""
    base: str = ""
    """Of a delta alone: the id of the checkpoint that it makes a state of."""

    @property
    def weight(self) -> int:
        return 300 + len(self.path) + len(self.state) + len(self.metadata) + len(self.base)


class LetterStatus(StrEnum):
    """What has become of a dead letter."""

    OPEN = "open"
    """Nothing yet; also again, after a redriven message has died once more."""
    REDRIVEN = "redriven"
    """It was sent again."""
    DISCARDED = "discarded"
    """Somebody decided that it stays undone."""


class DeadLetterRecord(Record, frozen=True, array_like=True, gc=False, tag="d"):
    """A message that will not be handled."""

    seq: int
    """Of the message."""
    recipient: str
    sender: str
    message_type: str
    payload: bytes
    """msgpack of the message; of its repr where it could not be encoded (`is_exact` False)."""
    is_exact: bool
    reason: str
    cause: str
    attempts: int
    """How often it was sent."""
    at: int
    incarnation: int = 0
    correlation: int = 0
    epoch: int = 0
    """Of the message; 0: that of the entry, as for every message that was not redriven."""
    tries: int = 0
    """How often its handler failed with it since it was last sent."""
    traceback: str | None = None
    """These three of a quarantined message alone: see `mailbox.Evidence`."""
    state_digest: str | None = None
    checkpoint_id: str | None = None
    was_pending: bool = False
    """It had been accepted by a durable actor, and is settled with this."""
    correlation_epoch: int = 0
    """Of `correlation`; 0: that of the entry."""
    has_memos: bool = False
    """As in `Settled`."""
    sent_as: SentAs | None = None
    """The id that it was sent under, if it was, and was pending."""

    @property
    def weight(self) -> int:
        texts = len(self.recipient) + len(self.sender) + len(self.cause) + len(self.traceback or "")
        if self.was_pending:  # the books name the recipient as well, and the row that goes
            texts += len(self.recipient)
        return 300 + len(self.payload) + texts + (0 if self.sent_as is None else self.sent_as.weight)


class LetterRedriven(Record, frozen=True, array_like=True, gc=False, tag="r"):
    """A dead letter is sent again: mark and sending are one record, so there is never one of them alone."""

    epoch: int
    """Of the message."""
    seq: int
    attempts: int
    """This one included."""
    event: Event
    """The `message_redriven` that goes with it, under a number of its own."""
    accepted: Accepted | None = None
    """The message, where its recipient is durable: it is pending again."""
    died_of: str = ""
    """Of a message that was pending before: the reason of the death that settled it."""

    @property
    def weight(self) -> int:
        return 200 + self.event.weight + (0 if self.accepted is None else self.accepted.weight)


class LetterDiscarded(Record, frozen=True, array_like=True, gc=False, tag="x"):
    """A dead letter stays undone, since somebody said so."""

    epoch: int
    """Of the message."""
    seq: int
    reason: str
    at: int

    @property
    def weight(self) -> int:
        return 200 + len(self.reason)


class RowChange(Record, frozen=True, array_like=True, gc=False, tag="u"):
    """Fields of one row of a `RowTable`, written by an actor. `row_values.row_change` makes and checks it.

    What could not be stored would be left out of its field, and the row would carry these bytes and why.
    """

    table: str
    key: tuple[str, ...]
    fields: bytes
    """msgpack of a map, times as its timestamps. Written over those the row has, the others stay; nil in a
    field: it is to hold nothing."""
    at: int
    owner: str = ""
    """Path of the actor."""

    @property
    def weight(self) -> int:
        return 300 + len(self.fields) + len(self.owner) + 2 * sum(map(len, self.key))


class Forgotten(Record, frozen=True, array_like=True, gc=False, tag="f"):
    """Nothing that was stored of an actor until now counts any more; its rows are to be deleted."""

    path: str

    @property
    def weight(self) -> int:
        return 50


class Counted(Record, frozen=True, array_like=True, gc=False, tag="k"):
    """What has become of the messages to a mirrored actor in this start, until now.

    Or of all nameless ones of one parent together: see `paths.collective`.
    """

    path: str
    numbers: tuple[int, int, int, int, int, int]
    """In the order of `audit.NUMBERS`."""
    at: int


class Opened(Record, frozen=True, array_like=True, gc=False, tag="o"):
    """The first record of every start: its writer owns the system's records from here on."""

    epoch: int
    writer: str
    at: int


class Closed(Record, frozen=True, array_like=True, gc=False, tag="z"):
    """The last record of an orderly end: nothing was lost after it."""

    at: int


AnyPart = (
    Event
    | Published
    | Accepted
    | Answered
    | Forwarded
    | Settled
    | Tried
    | TimerSet
    | TimerGone
    | Checkpoint
    | DeadLetterRecord
    | RowChange
)
"""What a turn may leave."""


class Turn(Record, frozen=True, array_like=True, gc=False, tag="t"):
    """All that one turn of a durable actor leaves: in one record, so that it is committed as a whole."""

    parts: tuple[AnyPart, ...]
    """In this order: the new state, what is settled, what is sent."""

    @property
    def weight(self) -> int:
        return 50 + sum([part.weight for part in self.parts])


AnyRecord = (
    Event
    | Published
    | Accepted
    | Answered
    | Forwarded
    | Noted
    | Settled
    | Tried
    | TimerSet
    | TimerGone
    | AgentStatus
    | Checkpoint
    | DeadLetterRecord
    | LetterRedriven
    | LetterDiscarded
    | Forgotten
    | Turn
    | RowChange
    | Counted
    | Opened
    | Closed
)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The body of one journal record: what one group commit holds, in order."""

    epoch: int
    records: tuple[AnyRecord, ...]


def has_news(entry: Entry) -> bool:
    """There are events in it that are not of messages alone: what people follow."""
    return any(isinstance(record, Event) and record.message_type is None for record in flat(entry.records))


def flat(records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """Records in order, turns as the parts they hold: the place of a record in an entry is its place here."""
    for record in records:
        if isinstance(record, Turn):
            yield from record.parts
        else:
            yield record


def event_in(record: AnyRecord) -> Event | None:
    """The `agent_event` that a record is, or stands for; None: it is about something else. Of no turn."""
    if isinstance(record, Event):
        return record
    if isinstance(record, Accepted | Answered | LetterRedriven):
        return record.event
    return None


def full_id(epoch: int, seq: int) -> str:
    """The id of an event, message or checkpoint as people see it, unique within a system."""
    return f"{epoch}.{seq}"


def parts_of_id(id_: str) -> tuple[int, int] | None:
    """Epoch and number of what `full_id` made; None for any other text."""
    epoch, dot, seq = id_.partition(".")
    is_id = bool(dot) and all(part.isascii() and part.isdigit() and len(part) < 19 for part in (epoch, seq))
    parts = (int(epoch), int(seq)) if is_id else None
    return parts if parts is not None and full_id(*parts) == id_ else None
