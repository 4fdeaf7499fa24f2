"""What the runtime asks of a store: a journal per actor system, and a few questions for people.

Every store passes the same suite (`sentient_core.testing.store_conformance`). All methods belong to
the thread of the event loop that opened the journal; none of them blocks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from sentient_core.causes import kind_of
from sentient_core.errors import InvalidArgument, StoreError
from sentient_core.logs import LogLevel
from sentient_core.store.audit import Audit
from sentient_core.store.outcomes import IdKey, Outcome
from sentient_core.store.records import (
    Accepted,
    AnyRecord,
    Checkpoint,
    DurableActor,
    Key,
    LetterStatus,
    Record,
    TimerSet,
)
from sentient_core.store.retention import Pruned, Retention
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.streams import EventFollower, EventStreams

if TYPE_CHECKING:
    from sentient_core.store.letters import DeadLetterFilter

__all__ = [
    "LARGEST_RECORD",
    "RESERVE",
    "AgentRow",
    "Backlog",
    "CheckpointRow",
    "DeadLetterRow",
    "Estate",
    "EventRow",
    "Journal",
    "JournalOptions",
    "Outage",
    "Pending",
    "Store",
    "StoreHolder",
    "Waiter",
    "store_of",
]


LARGEST_RECORD = 32 * 1024 * 1024
"""Most bytes of one message or state, where the database does not take less.

Measured: such a one takes half a second to commit, three to become rows and a dead letter, and a gigabyte of
memory meanwhile; one of twice that size takes three times as long.
"""

RESERVE = 0.25
"""Of a tail's limit, as much again is kept for checkpoints."""


class JournalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the one write path."""

    tail_bytes: int = 256 * 1024 * 1024
    """Most bytes of records accepted and not yet projected."""
    tail_seconds: float = 30.0
    """Most seconds that projecting them is estimated to take."""
    group_records: int = 2_000
    """Most records in one group commit."""
    group_bytes: int = 1024 * 1024
    """Most bytes in one group commit (one larger record makes a group of its own)."""
    record_bytes: int | None = None
    """Most bytes of one message, reply or state; None: what the store takes, see `Journal.largest_record`."""
    window_records: int = 4_000
    """Most records that one projection settles."""
    call_timeout: float = 30.0
    """Seconds after which a call of the database counts as unanswered."""
    room_patience: float = 30.0
    """Seconds that a `send` or an `ask` to a durable actor waits for room in a full tail; then it raises
    StoreUnavailable."""
    kept_checkpoints: int = 3
    """Newest `turn` checkpoints kept per actor."""
    retention: Retention | None = None
    """How long the system's rows are kept, `Retention()` for its defaults; None: until `prune` is called."""
    accepts_damage: bool = False
    """Start also where committed entries of the journal are missing or torn, and turns of durable actors
    may be lost with them: without these entries, and with an alert that names them. Else StoreDamaged."""
    log_level: LogLevel = LogLevel.DEBUG
    """Log lines of the journal below this level are not written. An ActorSystem puts its own here."""

    def __post_init__(self) -> None:
        if not isinstance(self.retention, Retention | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"retention must be a Retention(...) or None, not {self.retention!r}")
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in ("retention", "accepts_damage", "log_level") or (
                name == "record_bytes" and value is None
            ):
                continue
            if not (value > 0 or (name == "tail_seconds" and value == 0)):
                raise InvalidArgument(f"JournalOptions({name}=...) must be above 0, not {value!r}")
        if self.tail_bytes < Record().weight:
            raise InvalidArgument(
                f"JournalOptions(tail_bytes={self.tail_bytes!r}) has no room for any record: nothing would "
                f"be accepted: it must be {Record().weight} at least"
            )


class Backlog(msgspec.Struct, frozen=True):
    """How far the store is behind, at one moment."""

    records: int
    """Accepted and not yet projected."""
    bytes: int
    uncommitted: int
    """Of these, records not yet committed to the journal."""
    is_full: bool
    is_down: bool
    """The database does not take commits at the moment; they are retried."""


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The database does not take commits, or takes them again."""

    cause: str
    """What it said when it stopped."""
    is_over: bool
    seconds: float = 0.0
    """How long it was away."""
    records: int = 0
    """Those that waited for it when it was back."""


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `agent_event`."""

    event_id: str
    event_type: str
    source_agent: str
    target_agent: str | None
    message_type: str | None
    payload: dict[str, Any]
    timestamp: datetime
    correlation_id: str | None
    causation_id: str | None
    incarnation: int
    workflow_id: str | None
    position: tuple[int, int]
    """Journal number and index in it: the order of commits."""


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `agent_state`."""

    agent_id: str
    name: str
    kind: str
    parent: str
    status: str
    capabilities: list[str]
    incarnation: int
    restarts: int
    """How often it was started again since the store knows it; starts of the process are none."""
    created_at: datetime
    updated_at: datetime


class CheckpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `state_checkpoint`."""

    checkpoint_id: str
    agent_id: str
    kind: str
    incarnation: int
    state: bytes
    tag: str
    schema_version: int
    digest: bytes
    timestamp: datetime
    metadata: dict[str, Any]
    position: tuple[int, int] | None = None
    """Journal number and index in it: the order of commits. None: an older release wrote it."""


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `dead_letter`: one per message that died, as it is after its last death."""

    message_id: str
    recipient: str
    sender: str
    message_type: str
    message: dict[str, Any]
    reason: str
    cause: str
    attempts: int
    """How often it was sent."""
    timestamp: datetime
    """Of its death."""
    incarnation: int
    correlation_id: str | None
    payload: bytes | None
    """The exact bytes of the message (msgpack); None where it could not be encoded."""
    status: str
    """A `LetterStatus`."""
    settled_at: datetime | None
    """When it was redriven or discarded; None while it is open."""
    discard_reason: str | None
    tries: int = 0
    """How often its handler failed with it since it was last sent."""
    traceback: str | None = None
    """These three of a quarantined message alone: see `mailbox.Evidence`."""
    state_digest: str | None = None
    checkpoint_id: str | None = None
    was_pending: bool = False
    """A durable actor had accepted it, and its death settled it."""


class Pending(msgspec.Struct, frozen=True):
    """A message that a durable actor has accepted and not settled."""

    epoch: int
    """Of the message."""
    accepted: Accepted
    tries: int = 0
    """How often its handler has failed with it."""
    is_damaged: bool = False
    """Its row was changed or torn: the payload is the message's if that can be told, else all there is."""

    @property
    def key(self) -> Key:
        """Names the message."""
        event = self.accepted.event
        return (event.target or "", self.epoch, event.seq)


class Estate(msgspec.Struct, frozen=True, kw_only=True):
    """What a durable actor has left in the store, for the next one at its path."""

    state: Checkpoint | None = None
    """After its last turn; None: it never had one that changed it."""
    pending: Sequence[Pending] = ()
    """The earliest messages that it has not settled, in the order they were sent."""
    is_all: bool = True
    """There are no more of them."""
    timers: Sequence[TimerSet] = ()
    """Its durable timers."""
    damaged_timers: Sequence[str] = ()
    """Keys of those whose rows were changed or torn."""


class Waiter(Protocol):
    """What waits for a commit: a `Slot`, or anything that is called as one. On the loop's thread."""

    def set(self, value: None, /) -> object:
        """It is committed."""
        ...

    def fail(self, error: BaseException, /) -> object:
        """It never will be."""
        ...


class Journal(Protocol):
    """The one write path of one actor system, from its start to its end.

    Order: records are committed in the order of `append`, and nobody sees a row of a later record
    whose earlier ones are missing.
    """

    @property
    def epoch(self) -> int:
        """Number of this start of the system on this store, from 1."""
        ...

    @property
    def largest_record(self) -> int:
        """Most bytes that a message or a state may have to be written, as message, as row and as dead letter.

        `append` does not look at it: what is larger is to be refused where it is made.
        """
        ...

    @property
    def largest_turn(self) -> int:
        """Most bytes of a `Turn`, as its `weight` says: a state and all that is sent with it."""
        ...

    @property
    def known(self) -> Mapping[str, int]:
        """Paths the store knew when the journal was opened, with their last incarnation."""
        ...

    @property
    def known_restarts(self) -> Mapping[str, int]:
        """Of these, the paths that were ever restarted, with how often."""
        ...

    @property
    def ended_cleanly(self) -> bool:
        """The start before this one reached its orderly end (or there was none)."""
        ...

    @property
    def damage(self) -> str:
        """Which committed entries were missing or torn when the journal was opened, and are left out."""
        ...

    @property
    def pending_counts(self) -> Mapping[str, int]:
        """Paths with messages that were accepted and not settled when the journal was opened: how many."""
        ...

    @property
    def timers_due(self) -> Mapping[str, int]:
        """Paths with durable timers when the journal was opened: when the first of them is due.

        Nanoseconds since the Unix epoch.
        """
        ...

    @property
    def durables(self) -> Mapping[str, DurableActor]:
        """The durable actors that the store knew when the journal was opened, by path."""
        ...

    def append(self, record: AnyRecord, *, force: bool = False, from_reserve: bool = False) -> bool:
        """Accept a record for the next group commit. Never waits, never raises for the store.

        False, and the record is not kept, when the tail is full, or the journal is closed or
        fenced. `force` passes a full tail: for what is written once, such as last checkpoints and records
        that say what was left out. `from_reserve` may use `RESERVE` of a tail beyond its limit: for
        checkpoints, which no later message makes up for.
        """
        ...

    def backlog(self) -> Backlog:
        """How far the store is behind."""
        ...

    def mark(self) -> int:
        """Name this moment: everything appended until now."""
        ...

    async def committed(self, mark: int | None = None) -> None:
        """Return when every record appended before `mark`, or before this call, is committed.

        Waits through an outage of the store. Raises Fenced, or StoreUnavailable once closed.
        Cancelling it takes nothing back.
        """
        ...

    def when_committed(self, waiter: Waiter) -> None:
        """Call `waiter.set(None)` when all that was appended before this call is committed.

        Waiters are called in the order they came, on the loop's thread, not within this call. `fail` is
        called instead with Fenced, or StoreUnavailable once closed.
        """
        ...

    @property
    def room_patience(self) -> float:
        """Of its options."""
        ...

    def has_room(self) -> bool:
        """A record of usual size would be accepted without `force`."""
        ...

    def when_room(self, waiter: Waiter) -> None:
        """Call `waiter.set(None)` when there is room: then everybody who waits for it is called.

        On the loop's thread, in the order they came, not within this call; another may have taken the room
        by then. `fail` is called instead with Fenced, or StoreUnavailable once closed.
        """
        ...

    def follow(self, follower: EventFollower | None) -> int:
        """Hand the wanted events of every commit from now on to `follower`; None: to nobody any more.

        Returns the number of the last commit that is not handed over; it may be handed over all the same.
        One follower at a time; without one it costs nothing.
        """
        ...

    async def estate(
        self, path: str, limit: int, *, after: Key | None = None, mark: int | None = None
    ) -> Estate:
        """What a durable actor has left: its state, and at most `limit` of its messages (behind `after`).

        With everything that was appended before `mark`, or before this call: it waits for its commit, not
        for its projection. Raises StoreUnavailable when the database does not answer or a row of it cannot be
        read, Fenced when the system is no longer ours.
        """
        ...

    async def estates(
        self, paths: Sequence[str], limit: int, *, mark: int | None = None
    ) -> Mapping[str, Estate]:
        """As `estate`, of several actors at once, which costs least where their paths are neighbours."""
        ...

    def postponed_rows(self) -> AbstractContextManager[None]:
        """Meanwhile rows wait, as far as the bounds of the tail allow: the processors are for something else.

        Whoever asks for them (`flush`) gets them all the same.
        """
        ...

    async def forget(self, path: str) -> Pruned:
        """Delete all that is stored of an actor that nobody runs or sends to any more.

        Its states, messages, timers and dead letters, and the events from it or to it; not its incarnation.
        What is deleted is counted as by `prune`. Once this has begun, it is finished before the next journal
        of the system opens. Goes in batches. Raises StoreUnavailable, Fenced.
        """
        ...

    async def outcomes(self, keys: Sequence[IdKey]) -> Mapping[IdKey, Outcome]:
        """What is known of these ids of callers, as far as there is something: of all that is committed.

        Waits through an outage. Raises StoreUnavailable when the database does not answer, Fenced when the
        system is no longer ours.
        """
        ...

    async def memos(self, key: Key) -> Mapping[str, Outcome]:
        """What the handling of a message that is not settled has come to before, by its name.

        With everything that was appended before this call. Raises as `outcomes`.
        """
        ...

    async def flush(self) -> None:
        """Return when every record appended before this call is in its rows, visible to queries.

        Raises as `committed` does.
        """
        ...

    async def checkpoints(self, path: str, limit: int, *, mark: int | None = None) -> Sequence[Checkpoint]:
        """The newest `turn` checkpoints of an actor, newest first, at most `limit`.

        Includes every one that was appended before `mark`, or before this call: it waits for their
        commit, not for their projection. Digests are not verified here. Raises StoreUnavailable when
        the database does not answer, Fenced when the system is no longer ours.
        """
        ...

    async def prune(self, retention: Retention) -> Pruned:
        """Delete now what these limits leave no room for; returns what that was.

        Looks at what is projected, of this system alone. Goes in batches: commits pass in between. Stopped
        in the middle, whatever is deleted stays deleted and is counted in the totals. Cancelling it does
        not stop it; the journal's end does. Raises StoreUnavailable, Fenced.
        """
        ...

    async def close(self, patience: float) -> Backlog:
        """Append the mark of an orderly end, commit, project for at most `patience` seconds, detach.

        What is not projected by then is left in the journal for the next start; what could not
        even be committed is reported in the answer's `uncommitted`. Idempotent. Runs shielded from
        cancellation, bounded by `patience` plus a few seconds.
        """
        ...


class Store(Protocol):
    """A database that keeps the records of any number of actor systems."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def event_streams(self) -> EventStreams:
        """The events of all systems, for those who follow them and those who publish from outside."""
        ...

    async def open_journal(
        self,
        system: str,
        *,
        options: JournalOptions | None = None,
        on_fenced: Callable[[StoreError], None] | None = None,
        on_outage: Callable[[Outage], None] | None = None,
    ) -> Journal:
        """Open the database where needed and take the ownership of `system`'s records.

        Whoever owned them is refused at its next commit. `on_fenced` is called on this loop's
        thread when that happens to this journal, `on_outage` when the database stops taking its commits
        and when it takes them again. Raises StoreInUse, StorePathUnusable, StoreSchemaTooNew or
        StoreUnavailable, of a server also StoreAccessDenied, StoreTlsFailed or StoreVersionUnsupported;
        nothing is then left open.
        """
        ...

    async def events(
        self,
        system: str,
        *,
        agent: str | None = None,
        event_type: str | None = None,
        message_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[EventRow]:
        """Projected events, newest first. `agent` matches source or target.

        `since` is in, `until` is not; both need a time zone, else InvalidArgument.
        """
        ...

    async def agents(self, system: str) -> list[AgentRow]:
        """One row per actor the store knows, by path."""
        ...

    async def checkpoint_rows(self, system: str, path: str) -> list[CheckpointRow]:
        """Every stored checkpoint of an actor, newest first."""
        ...

    async def dead_letters(
        self,
        system: str,
        *,
        matching: DeadLetterFilter | None = None,
        status: LetterStatus | None = None,
        limit: int = 100,
    ) -> list[DeadLetterRow]:
        """Projected dead letters, by the time of their last death, newest first."""
        ...

    async def open_letters(self, system: str, matching: DeadLetterFilter) -> list[str]:
        """The message ids of all projected dead letters that are open, oldest first."""
        ...

    async def letters_by_id(self, system: str, message_ids: Sequence[str]) -> list[DeadLetterRow]:
        """The projected dead letters of these messages, as far as there are any, in no promised order."""
        ...

    async def audit(self, system: str) -> Audit:
        """What has become of all messages to durable actors, as far as it is projected; by their ids."""
        ...

    async def rows(self, system: str, query: RowQuery) -> list[Row]:
        """Rows of a `RowTable`, as far as they are projected. InvalidArgument for what no index answers."""
        ...

    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        """Write all of these rows, or none of them; returns when that is committed.

        For rows that no running actor writes: an actor's change that is projected later is written over
        them. Raises RowConflict when a row has another revision than its write expects, UnstorableRow for
        what cannot be stored, InvalidArgument for two writes of one row: then nothing is written.
        StoreUnavailable: it may have been, and may still be.
        """
        ...

    async def query(self, sql: str, /, **parameters: object) -> list[Any]:
        """The results of SurrealQL statements, one per statement, as plain values.

        Every value is bound as `$name`. Raises StoreRefused when any statement failed, or when this
        store knows no SurrealQL.
        """
        ...

    async def close(self) -> None:
        """Close the database once no journal is open on it. Idempotent."""
        ...


@runtime_checkable
class StoreHolder(Protocol):
    """Who has a store that others may use as well: a SurrealDBConfig, an ActorSystem."""

    @property
    def store(self) -> Store:
        """The store. Whoever has it closes it; who uses it does not."""
        ...


def store_of(where: Store | StoreHolder) -> Store:
    """The store that is meant: `where` itself, or the one it has. Raises InvalidArgument."""
    store = where.store if isinstance(where, StoreHolder) else where
    if not hasattr(store, "open_journal"):
        raise InvalidArgument(
            # Its type alone: it may be an address with a password in it.
            f"{kind_of(where)} is no store, and has none: SurrealStore('surrealkv://my.db') is one"
        )
    return store
