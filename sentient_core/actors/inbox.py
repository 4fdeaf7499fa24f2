"""What the cell of a durable actor knows of the store: the messages that are not settled, and its last state.

A message is *accepted* when its record is handed to the journal, which is when it enters the mailbox, and
*pending* until it is settled: by the turn that has handled it, or by its dead letter. What is in the mailbox,
in hand and in the stash is pending; what the runtime makes for an actor (a tick, a Terminated) never is.

The *savepoint* is the state after the last turn, as exact bytes. It is what a failed turn goes back to and
what the next incarnation begins with: whatever is in the journal's hands is committed before anything that
is handed to it later, so it need not be read back.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec

from sentient_core.actors import injecting
from sentient_core.actors.attempts import PutBack
from sentient_core.actors.checkpoints import check_fits, check_readable, is_of_today, restore, state_bytes
from sentient_core.actors.durable_timers import DurableTimers
from sentient_core.actors.gone import sender_at
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.posting import Posted, posted_of
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import dead, fail_asker
from sentient_core.actors.stored_letter import UnreadMessage, decoded
from sentient_core.actors.unread import READ_SECONDS, Unread
from sentient_core.codec import digest
from sentient_core.errors import NotRedrivable, StoreUnavailable
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.protocols import Estate
from sentient_core.store.records import (
    Accepted,
    Checkpoint,
    CheckpointKind,
    Earlier,
    Resent,
    Settled,
    Tried,
    full_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.unread import MessageKey
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.protocols import Pending
    from sentient_core.store.records import Event, Key

__all__ = ["Inbox", "Release"]

_NO_METADATA = b"\x80"

_DAMAGED = "its bytes do not match its digest: it was changed or torn"

_NOTHING = Estate()


class Release(NamedTuple):
    """What was known of a message that is settled."""

    way: UnderWay | None
    """The id that it was sent under, if it was."""
    has_memos: bool
    """Something was written down for it, or may have been."""


class Inbox:
    """The durable side of one cell, over all its incarnations."""

    __slots__ = (
        "_cell",
        "_epoch",
        "_has_lived",
        "_is_taken_up",
        "_is_watching",
        "_is_written",
        "_journal",
        "_kept_at",
        "_pending",
        "_settled",
        "_turns",
        "_with_memos",
        "leaving",
        "savepoint",
        "timers",
        "turn",
        "unread",
    )

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._journal = cell.runtime.mirror.journal
        self._epoch = cell.runtime.mirror.epoch
        self._pending: dict[tuple[int, int], UnderWay | None] = {}
        """Epoch and number of the messages that this process has, accepted and not settled; with the ids that
        they were sent under."""
        self._with_memos: set[tuple[int, int]] = set()
        """Of these, the messages for which this process has had something written down."""
        self._is_taken_up = False
        """What the store had of the actor has been read."""
        self._has_lived = False
        """That has been so before: what its instances have left may still be on its way to the store."""
        self._settled: set[tuple[int, int]] = set()
        """What was settled before that: the store may still have it."""
        self._is_watching = False
        self._is_written = False
        """The savepoint is in the journal's hands; else it is what `__init__` makes anyway."""
        self._turns = 0
        """Since an earlier state was kept."""
        self._kept_at = cell.runtime.backend.now()
        self.savepoint: Checkpoint | None = None
        self.leaving: Counter[Cell] = Counter()
        """Whom turns that have ended have sent something that waits for their commits, and how many turns."""
        self.timers: DurableTimers = DurableTimers(cell)
        self.turn: OpenTurn | None = None
        """The one that is open."""
        self.unread: Unread = Unread(
            cell, self, is_there=bool(cell.runtime.registry.pending_counts.get(cell.path))
        )
        """What is pending in the store alone."""

    @property
    def pending(self) -> int:
        """Messages accepted and not settled, of those in memory."""
        return len(self._pending)

    def is_pending(self, event: Event) -> bool:
        """The message of this event is accepted and not settled."""
        key = self._key(event)
        return key in self._pending or self.unread.is_behind(key)

    def has(self, key: MessageKey) -> bool:
        """A message with this key is in memory, or was settled before the store was asked."""
        return key in self._pending or key in self._settled

    def forget(self, key: MessageKey) -> None:
        """A pending message is from now on in the store alone."""
        self._pending.pop(key, None)

    def key_of(self, entry: Entry) -> MessageKey | None:
        """Of a message in memory that is pending; None for any other."""
        key = None if entry[3] is None else self._key(entry[3])
        return key if key in self._pending else None

    def keeps(self, entry: Entry) -> bool:
        """A message is not to be queued: it waits in the store, behind others."""
        key = self.key_of(entry)
        return key is not None and self.unread.keeps(entry, key)

    def when_left(self, slot: Slot[None]) -> None:
        """Set a slot when all that ended turns have sent so far has left."""
        self._journal.when_committed(slot)

    def left(self, target: Cell) -> None:
        """What one turn has sent to `target` is committed, and leaves."""
        self.leaving[target] -= 1
        if not self.leaving[target]:
            del self.leaving[target]

    def has_room(self) -> bool:
        """The store can take another message."""
        return self._journal.has_room()

    def watch_for_room(self) -> None:
        """Let the cell look at its mailbox, and at who stands in line there, once the store has room."""
        if not self._is_watching:
            self._is_watching = True
            self._journal.when_room(self)

    def set(self, _value: None) -> None:
        """As the `Waiter` of `watch_for_room`."""
        self._is_watching = False
        self._cell.look_for_room()

    def fail(self, _error: BaseException) -> None:
        """As the `Waiter` of `watch_for_room`: the journal has ended, and so does the system."""

    def accept(self, entry: Entry) -> None:
        """Hand a message over that enters the mailbox."""
        if entry[3] is not None:
            self._journal.append(self.accepted(entry, entry[3]), force=True)
            self.expect(entry)

    def leave(self, entry: Entry) -> None:
        """Hand a message over for whoever is spawned at the path."""
        if entry[3] is not None:
            self._journal.append(self.accepted(entry, entry[3]), force=True)
            if isinstance(entry[2], UnderWay):
                entry[2].accept()

    def accepted(self, entry: Entry, event: Event) -> Accepted:
        """The record of a message that is accepted, with the options it was posted with."""
        posted = entry[0] if isinstance(entry[0], Posted) else posted_of(entry)
        way = entry[2]
        sent_as = way.sent_as if isinstance(way, UnderWay) else None
        if posted is None:
            return Accepted(event, sent_as=sent_as)
        expires_at, due_at = posted.times(self._cell.runtime.backend.now(), time.time_ns())
        return Accepted(event, posted.priority, expires_at, due_at, sent_as=sent_as)

    def expect(self, entry: Entry) -> None:
        """A message is pending from now on, of which the journal knows already."""
        event, way = entry[3], entry[2]
        if event is not None:
            self._pending[self._key(event)] = way if isinstance(way, UnderWay) else None
            if isinstance(way, UnderWay):
                way.accept()

    def name_of(self, event: Event | None) -> Key | None:
        """Names the message of this event, if it is pending."""
        key = None if event is None else self._key(event)
        return None if key is None or key not in self._pending else (self._cell.path, *key)

    def has_memos(self, key: Key) -> bool:
        """Something was written down for a pending message by this process."""
        return key[1:] in self._with_memos

    def may_have(self, key: tuple[int, int]) -> bool:
        """A message is pending, or may be: what the store has was not read yet."""
        return key in self._pending or not self._is_taken_up

    def note_memo(self, key: Key) -> None:
        """Something is written down for a pending message, until it is settled."""
        self._with_memos.add(key[1:])

    def settlement(self, event: Event | None) -> Settled | None:
        """The record that settles a message, to `release` when it is handed over. None: it is not pending."""
        key = self.name_of(event)
        if event is None or key is None:
            return None
        path, epoch, seq = key
        return Settled(path, seq, 0 if epoch == self._epoch else epoch, self._may_have_memos(event))

    def release(self, event: Event | None) -> Release | None:
        """A message is settled, by a dead letter or by a `Settled`. None: it was not pending."""
        key = None if event is None else self._key(event)
        if key is None or key not in self._pending:
            return None
        way = self._pending.pop(key)
        if not self._is_taken_up:
            self._settled.add(key)
        has_memos = event is not None and self._may_have_memos(event)
        if key in self._with_memos:
            self._with_memos.remove(key)
            self._cell.runtime.sent_ids.settled((self._cell.path, *key))
        return Release(way, has_memos)

    def note_tries(self, entry: Entry, tries: int) -> None:
        """A handler has failed with a message that stays pending."""
        event = entry[3]
        if event is None or self._key(event) not in self._pending:
            return
        epoch, seq = self._key(event)
        of_epoch = 0 if epoch == self._epoch else epoch
        self._journal.append(Tried(self._cell.path, seq, tries, of_epoch), force=True)

    def changed_state(self, actor: Actor) -> Checkpoint | None:
        """The state as it is now, if it is not that of the savepoint.

        Raises UnencodableState, StateTooLarge, FaultInjected.
        """
        cell, savepoint = self._cell, self.savepoint
        if not cell.blueprint.has_state:
            return None
        data = state_bytes(cell.runtime.codec, actor.state, cell.path, cell.blueprint)
        if savepoint is not None and data == savepoint.state and is_of_today(savepoint, cell.blueprint):
            return None
        if cell.runtime.faults is not None:
            injecting.checkpoint(cell, cell.runtime.faults)
        check_fits(data, cell.path, self._journal.largest_record)
        return self._record_of(data)

    def kept(self, state: Checkpoint) -> Checkpoint | None:
        """A new state once more, if the class wants it to stay when the next one takes its place."""
        policy = self._cell.blueprint.history
        if policy is None:
            return None
        self._turns += 1
        now = self._cell.runtime.backend.now()
        is_due = policy.messages is not None and self._turns >= policy.messages
        if not is_due and (policy.seconds is None or now - self._kept_at < policy.seconds):
            return None
        self._turns, self._kept_at = 0, now
        return msgspec.structs.replace(state, kind=CheckpointKind.TURN)

    def save(self, state: Checkpoint) -> None:
        """The state is in the journal's hands: it is the savepoint."""
        self.savepoint = state
        self._is_written = True
        if self._cell.ledger is not None:
            self._cell.ledger.saved = state

    def begin_life(self, actor: Actor) -> None:
        """An incarnation begins: if nothing is stored, what `__init__` has made is the savepoint."""
        if not self._is_written and self._cell.blueprint.has_state:
            cell = self._cell
            data = state_bytes(cell.runtime.codec, actor.state, cell.path, cell.blueprint)
            self.savepoint = self._record_of(data)

    def roll_back(self, actor: Actor | None) -> None:
        """The open turn, if there is one, has failed: nothing of it leaves, and the state is as before it."""
        if self.turn is not None:
            self.turn.drop()
        if actor is not None and self.savepoint is not None:
            actor.state = restore(self._cell.runtime.codec, self.savepoint, self._cell.blueprint)

    async def take_up(self) -> tuple[Checkpoint, ...]:
        """The state that a new incarnation begins with, if there is one.

        The first of this process takes up what the store has: the state, and the messages, which are put
        before those that have come meanwhile. Raises StoreUnavailable.
        """
        if not self._is_taken_up:
            self._take(await self._read() or _NOTHING)
            self._is_taken_up = self._has_lived = True
            self._settled.clear()
        return (self.savepoint,) if self.savepoint is not None and self._is_written else ()

    def fall_asleep(self) -> None:
        """There is no instance until the next message: the state is kept by the store alone."""
        if self._is_written and not self._journal.backlog().is_down:
            self.savepoint = None
            self._is_taken_up = False
            self.unread.sleep()

    def lay_down(self, entries: Iterable[Entry], error_of: Callable[[Entry], Exception]) -> None:
        """The actor did not start: these stay pending in the store until it does. Askers get the error."""
        for entry in entries:
            key = self.key_of(entry)
            if key is not None:
                self.forget(key)
            fail_asker(entry, error_of(entry))
        self.unread.give_back(error_of)
        self.unread.sleep()
        self.unread.is_there = False  # it is not to be started for them, but by the next message
        self._is_taken_up = False

    async def _read(self) -> Estate | None:
        cell = self._cell
        ledger, adoption = cell.ledger, cell.runtime.adoption
        if not (self.unread.is_there or (ledger is not None and ledger.is_known)):
            return None
        if not self._journal.backlog().is_down:
            with suppress(StoreUnavailable), anyio.move_on_after(READ_SECONDS):
                return await adoption.estate(cell.path, cell.mailbox.capacity, has_lived=self._has_lived)
        raise StoreUnavailable(f"what '{cell.path}' has left cannot be read: the store does not answer")

    def _take(self, estate: Estate) -> None:
        if estate.state is not None:
            self.savepoint = estate.state
            self._is_written = True
        self.unread.take_up(estate)
        self.timers.take_up(estate.timers, estate.damaged_timers)

    def entry_of(self, pending: Pending) -> Entry | None:
        """What the mailbox holds of a message that was accepted before. None: it is a dead letter now."""
        cell = self._cell
        event = _earlier(pending)
        sent_as = pending.accepted.sent_as
        way = None if sent_as is None else cell.runtime.sent_ids.adopt(sent_as)
        self._pending[pending.epoch, event.seq] = way
        sender = sender_at(event.source, cell.runtime)
        try:
            message = self._message_of(pending)
        except NotRedrivable as error:
            unread: Entry = (UnreadMessage(event.message_type or "", event.payload), sender, way, event)
            dead(cell, unread, DeadLetterReason.UNHANDLED, error.why, tries=pending.tries)
            return None
        posted = Posted.restored(pending.accepted, message, cell.runtime.backend.now(), time.time_ns())
        content: object = message if posted is None else posted
        if pending.tries:
            content = PutBack(content, None, pending.tries, None)
        return content, sender, way, event

    def _message_of(self, pending: Pending) -> object:
        """Raises NotRedrivable, which says why there is none."""
        cell, event = self._cell, pending.accepted.event
        if pending.is_damaged:
            message_id = full_id(pending.epoch, event.seq)
            report_alert(cell, "stored message damaged", _DAMAGED, message_id=message_id)
            raise NotRedrivable(message_id, _DAMAGED)
        return decoded(event.message_type or "", event.payload, cell.blueprint, cell.runtime.codec)

    def _record_of(self, state: bytes) -> Checkpoint:
        cell = self._cell
        mirror = cell.runtime.mirror
        check_readable(cell.runtime.codec, state, cell.path, cell.blueprint)
        return Checkpoint(
            path=cell.path,
            incarnation=cell.incarnation,
            checkpoint_id=full_id(mirror.epoch, mirror.next_seq()),
            kind=CheckpointKind.STATE,
            state=state,
            tag=cell.blueprint.state_tag,
            schema_version=cell.blueprint.schema_version,
            digest=digest(state),
            at=time.time_ns(),
            metadata=_NO_METADATA,
        )

    def _may_have_memos(self, event: Event) -> bool:
        return isinstance(event, Earlier) or self._key(event) in self._with_memos

    def _key(self, event: Event) -> tuple[int, int]:
        if isinstance(event, Earlier):
            return event.of_epoch, event.of_seq
        return self._epoch, event.seq


def _earlier(pending: Pending) -> Earlier:
    accepted, epoch = pending.accepted, pending.epoch
    event = accepted.event
    fields = msgspec.structs.asdict(event)
    fields["correlation_epoch"] = event.correlation_epoch or epoch
    fields["causation_epoch"] = event.causation_epoch or epoch
    if accepted.attempts > 1:
        return Resent(
            **fields, of_epoch=epoch, of_seq=event.seq, attempts=accepted.attempts, original=event.payload
        )
    return Earlier(**fields, of_epoch=epoch, of_seq=event.seq)
