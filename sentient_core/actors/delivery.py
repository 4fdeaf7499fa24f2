"""The way of a message into a mailbox: encode it if it is mirrored, find room, or settle it otherwise.

The functions here are what `ActorRef.tell` and `send` do for the cell behind the ref; `ask` builds on them
in asking.py. A message ends up in exactly one place: the mailbox, the dead letters, or an error in the
sender's hands.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from sentient_core.actors.counting import COUNTED
from sentient_core.actors.current import current_cell, current_event, current_turn
from sentient_core.actors.fated import with_fate
from sentient_core.actors.isolating import isolated
from sentient_core.actors.posting import Posted
from sentient_core.actors.recoverable import check_recoverable
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import dead, fail_asker, late_reply, source_of, why_closed
from sentient_core.actors.special import is_discarded_at_end, plain
from sentient_core.actors.water import report_high_water
from sentient_core.errors import (
    ActorStopped,
    CommitTimeout,
    ForeignRef,
    InvalidArgument,
    MailboxFull,
    MessageDropped,
    MessageExpired,
    SendTimeout,
    StoreUnavailable,
    SystemClosed,
)
from sentient_core.mailbox import DeadLetterReason, Isolation
from sentient_core.mailbox.mailbox import CROWDED
from sentient_core.mailbox.overflow import Room
from sentient_core.paths import EXTERNAL
from sentient_core.store.records import Earlier

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.posting import Posting
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Event

__all__ = [
    "as_posted",
    "check_message",
    "check_system",
    "content_for",
    "dead",
    "deliver",
    "event_of",
    "fail_asker",
    "fail_closed",
    "late_reply",
    "lay_by",
    "let_in",
    "new_entry",
    "open_turn",
    "put",
    "put_anyway",
    "recipient",
    "record",
    "record_refused",
    "send",
    "source_of",
    "tell",
    "tell_from",
    "trouble_of_store",
    "wait_for_commit",
    "wait_for_room",
]

_STORE_IS_FULL = "the store is away or too slow, and the journal's tail is full"
_STORE_IS_AWAY = "the store is away"

_AS_IT_IS = Isolation.NONE
_TAKE = Room.TAKE


def tell(cell: Cell, message: object, posting: Posting | None = None) -> None:
    """`ActorRef.tell`, where its short cut does not apply."""
    cell.runtime.dispatcher.check_thread()
    turn = open_turn()
    if turn is not None:
        if not cell.runtime.is_open:
            raise SystemClosed(cell.runtime.system.name, "send a message")
        cell = cell.at_home()
        turn.send(cell, new_entry(cell, message, None, posting))
        return
    mailbox = cell.mailbox
    if not mailbox.is_open:
        _tell_closed(cell, message, posting)
        return
    if message is None or posting is not None or not mailbox.takes_as_it_is or cell.inbox is not None:
        _put_or_drop(cell, new_entry(cell, message, None, posting))
        return
    queue = mailbox.queue
    if queue is None:
        queue = mailbox.new_queue()
    sender = current_cell.get()
    event = event_of(cell, message, sender, current_event.get()) if mailbox.is_mirrored else None
    if len(queue) >= mailbox.limit:
        _put_or_drop(cell, (message, sender, None, event))
        return
    queue.append((message, sender, None, event))
    if event is not None:
        cell.sent += 1
        cell.runtime.mirror.record(event)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)
    elif len(queue) > CROWDED:
        cell.runtime.dispatcher.relieve(cell)


def deliver(cell: Cell, entry: Entry) -> None:
    """Put an entry that stands for somebody else's message into a mailbox, or settle it, its asker too."""
    if cell.mailbox.is_open:
        _put_or_drop(cell, entry)
        return
    if lay_by(cell, entry):
        return
    why = _dead_on_arrival(cell, entry)
    fail_asker(entry, ActorStopped(plain(entry)[0], cell.ref, why))


def tell_from(
    cell: Cell,
    message: object,
    content: object,
    sender: Cell | None,
    cause: Event | None,
    payload: bytes | None,
    posting: Posting | None,
    since: float,
    turn: OpenTurn | None = None,
) -> None:
    """A `tell` of another thread, on the loop's: who sends it is known, and for which message.

    `content` is what `content_for` made of the message there, `payload` its bytes, if it is mirrored; it was
    told at the time `since` of the monotonic clock, in that durable turn.
    """
    cell = cell.at_home()
    if posting is not None:
        told_at = cell.runtime.backend.now() - (time.monotonic() - since)
        content = as_posted(cell, Posted.by(posting, content, told_at))
    event = event_of(cell, message, sender, cause, payload) if cell.mailbox.is_mirrored else None
    entry = (content, sender, None, event)
    if turn is not None and turn.is_open:
        turn.gather(cell, entry)
    elif cell.mailbox.is_open:
        _put_or_drop(cell, entry)
    elif not lay_by(cell, entry):
        _dead_on_arrival(cell, entry)


async def send(cell: Cell, message: object, timeout: float | None, posting: Posting | None = None) -> None:
    """`ActorRef.send`."""
    cell = recipient(cell, message, may_be_dormant=True)
    entry = new_entry(cell, message, None, posting)
    turn = open_turn()
    if turn is None and not cell.mailbox.is_open and lay_by(cell, entry):
        await cell.runtime.mirror.journal.committed()
        return
    if turn is not None:
        cell.runtime.dispatcher.check_thread()
        turn.send(cell, entry, waits=True)
        await cell.runtime.backend.checkpoint()
        return
    began = cell.runtime.backend.now()
    if not put(cell, entry):
        await wait_for_room(cell, entry, timeout)
    if cell.inbox is not None:
        await wait_for_commit(cell, entry, timeout, began)


async def wait_for_commit(cell: Cell, entry: Entry, timeout: float | None, began: float) -> None:
    """Return when a message that is accepted is committed. Raises CommitTimeout, Fenced, StoreUnavailable."""
    runtime, journal = cell.runtime, cell.runtime.mirror.journal
    if timeout is None:
        await journal.committed()
        return
    slot: Slot[None] = runtime.backend.slot()
    journal.when_committed(slot)
    error = CommitTimeout(plain(entry)[0], cell.ref, timeout)
    left = began + timeout - runtime.backend.now()
    alarm = runtime.timekeeper.after(max(left, 0.0), lambda: slot.fail(error))
    try:
        await slot
    finally:
        alarm.cancel()


def open_turn() -> OpenTurn | None:
    """The durable turn that the code that runs belongs to, while it is open: what it sends is part of it."""
    turn = current_turn.get()
    return turn if turn is not None and turn.is_open else None


def event_of(
    cell: Cell, message: object, sender: Cell | None, cause: Event | None, payload: bytes | None = None
) -> Event:
    """The event of a message to a mirrored cell. Raises UnencodableMessage, ForeignRef.

    `cause` is the message that the sender sends it for; it goes on in its conversation.
    """
    mirror = cell.runtime.mirror
    if sender is None:
        return mirror.message(message, EXTERNAL, cell.path, 0, 0, 0, payload)
    check_system(cell, sender)
    if cause is None:
        return mirror.message(message, sender.path, cell.path, sender.incarnation, 0, 0, payload)
    return mirror.message(
        message,
        sender.path,
        cell.path,
        sender.incarnation,
        cause.correlation,
        cause.seq,
        payload,
        cause.correlation_epoch,
        cause.own_epoch if isinstance(cause, Earlier) else 0,
    )


def record(cell: Cell, entry: Entry) -> None:
    """Write down a message that has been accepted."""
    event = entry[3]
    if event is None:
        return
    if cell.inbox is None:
        cell.sent += 1
        cell.runtime.mirror.record(event)
    else:
        cell.inbox.accept(entry)


def record_refused(cell: Cell, entry: Entry) -> None:
    """Write down a message that will be a dead letter at once.

    To a durable actor it counts as accepted all the same, so that the audit knows it; but not where the store
    has no room for that. An id that it was sent under stays free: its sender may try again.
    """
    if entry[3] is None:
        return
    if cell.inbox is not None and cell.inbox.has_room():
        cell.inbox.accept((entry[0], entry[1], None, entry[3]) if isinstance(entry[2], UnderWay) else entry)
    else:
        if cell.sent != COUNTED:
            cell.sent += 1
        cell.runtime.mirror.record(entry[3])


def let_in(cell: Cell, entry: Entry, *, waits: bool) -> None:
    """Deliver a message whose event is written down. `waits`: it is not refused for want of room."""
    cell = cell.at_home()
    if entry[3] is not None and cell.sent != COUNTED:
        cell.sent += 1
    if not cell.mailbox.is_open:
        why = why_closed(cell)
        dead(cell, entry, DeadLetterReason.UNKNOWN if cell.is_nobody else DeadLetterReason.STOPPED, why)
        fail_closed(cell, entry, why)
    elif waits:
        put_anyway(cell, entry)
    else:
        _put_or_drop(cell, entry, is_recorded=True)


def fail_closed(cell: Cell, entry: Entry, why: str) -> None:
    """Tell who asked, if somebody did, that the mailbox is closed."""
    fail_asker(entry, ActorStopped(plain(entry)[0], cell.ref, why))


def put_anyway(cell: Cell, entry: Entry) -> None:
    """Queue what is not refused for want of room: accepted before, or sent by the actor to itself.

    Beyond the capacity of a durable actor it waits in the store.
    """
    if cell.inbox is None or not cell.inbox.keeps(entry):
        cell.mailbox.put(entry)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)


def _tell_closed(cell: Cell, message: object, posting: Posting | None) -> None:
    if not cell.runtime.is_open:
        raise SystemClosed(cell.runtime.system.name, "send a message")
    cell = cell.at_home()
    if cell.mailbox.is_open:  # it stood for a path where somebody lives by now
        tell(cell, message, posting)
        return
    entry = new_entry(cell, message, None, posting)
    if not lay_by(cell, entry):
        _dead_on_arrival(cell, entry)


def lay_by(cell: Cell, entry: Entry, *, is_recorded: bool = False) -> bool:
    """Leave a message pending for whoever is spawned at a path where a durable actor is expected.

    False: nobody is.
    """
    registry = cell.runtime.registry
    if cell.inbox is None or not registry.is_dormant(cell.path):
        return False
    if not is_recorded:
        cell.inbox.leave(entry)
    registry.note_pending(cell.path)
    fail_asker(entry, ActorStopped(plain(entry)[0], cell.ref, why_closed(cell)))
    return True


def _dead_on_arrival(cell: Cell, entry: Entry) -> str:
    """Make a dead letter of a message to a mailbox that is closed; says why."""
    reason = DeadLetterReason.UNKNOWN if cell.is_nobody else DeadLetterReason.STOPPED
    why = why_closed(cell)
    record_refused(cell, entry)
    dead(cell, entry, reason, why)
    return why


def recipient(cell: Cell, message: object, *, may_be_dormant: bool = False) -> Cell:
    """The cell itself, or who lives by now where a stored ref found nobody, if it accepts messages.

    Raises SystemClosed and ActorStopped. `may_be_dormant`: not for one that is to be spawned (`lay_by`).
    """
    if not cell.runtime.is_open:
        raise SystemClosed(cell.runtime.system.name, "send a message")
    cell = cell.at_home()
    is_dormant = may_be_dormant and cell.inbox is not None and cell.runtime.registry.is_dormant(cell.path)
    if not (cell.mailbox.is_open or is_dormant):
        raise ActorStopped(message, cell.ref, why_closed(cell))
    return cell


def content_for(cell: Cell, message: object) -> Any:
    """What is queued of a message: itself, or what isolation makes of it.

    Raises InvalidArgument and UncopyableMessage. From any thread.
    """
    check_message(message)
    return message if cell.mailbox.isolation is _AS_IT_IS else isolated(cell, message)


def check_message(message: object) -> None:
    """Raise InvalidArgument for what is no message."""
    if message is None:
        raise InvalidArgument("None is no message: send something that says what it is")


def new_entry(cell: Cell, message: object, reply: Slot[Any] | None, posting: Posting | None = None) -> Entry:
    """What a message is queued as; all that can be wrong with it is found here.

    Raises InvalidArgument, UnencodableMessage, UncopyableMessage, ForeignRef, FaultInjected.
    """
    mailbox = cell.mailbox
    sender = current_cell.get()
    content = content_for(cell, message)
    if cell.inbox is not None:
        check_recoverable(cell.blueprint, message, cell.path)
    faults = cell.runtime.faults
    if faults is not None:
        content = with_fate(cell, faults, message, content)
    event = event_of(cell, message, sender, current_event.get()) if mailbox.is_mirrored else None
    if posting is not None:
        content = as_posted(cell, Posted.by(posting, content, cell.runtime.backend.now()))
    return content, sender, reply, event


def as_posted(cell: Cell, message: Posted) -> Posted:
    """A message with options, for a mailbox that heeds priorities from now on, if it has one."""
    if message.priority and cell.mailbox.is_open:
        cell.mailbox.rank(cell.runtime.backend.now, is_paused=cell.is_paused)
    return message


def check_system(cell: Cell, sender: Cell) -> None:
    """Raise ForeignRef if an actor of another system sends to a mirrored cell.

    A conversation is recorded within one system. Unmirrored cells take such a sender for somebody
    outside: to look would cost every `tell` between actors a fifth.
    """
    if sender.runtime is not cell.runtime:
        raise ForeignRef(cell.ref, sender.runtime.system.name, cell.runtime.system.name)


def _accept(cell: Cell, entry: Entry, *, is_recorded: bool = False) -> None:
    mailbox = cell.mailbox
    if cell.inbox is None:
        mailbox.put(entry)
        if mailbox.is_rising:
            report_high_water(cell)
        if not is_recorded:
            record(cell, entry)
    else:
        if not is_recorded:
            record(cell, entry)
        if not cell.inbox.keeps(entry):
            mailbox.put(entry)
            if mailbox.is_rising:
                report_high_water(cell)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)


def put(cell: Cell, entry: Entry) -> bool:
    """Settle an entry whose sender can wait. False: it has to, for room. Raises MailboxFull."""
    if cell.inbox is not None and not cell.inbox.has_room():
        cell.inbox.watch_for_room()
        return False
    room = cell.mailbox.room(can_wait=True)
    if room is _TAKE:
        _accept(cell, entry)
    elif room is Room.WAIT:
        return False
    elif room is Room.REFUSE:
        raise MailboxFull(plain(entry)[0], cell.ref, cell.mailbox.capacity)
    else:
        _put_or_drop(cell, entry)
    return True


async def wait_for_room(cell: Cell, entry: Entry, timeout: float | None) -> None:
    """Return when the entry is queued. Raises SendTimeout, MessageExpired, StoreUnavailable.

    Nothing of it is left here then.
    """
    runtime, message = cell.runtime, entry[0]
    slot: Slot[None] = runtime.backend.slot()
    alarm: Alarm | None = None
    patience = None if cell.inbox is None else _Patience(cell, slot)
    left = message.deadline - runtime.backend.now() if isinstance(message, Posted) else math.inf
    if left < (math.inf if timeout is None else timeout):
        expired = MessageExpired(plain(entry)[0], cell.ref, "its time was over before there was room for it")
        alarm = runtime.timekeeper.after(left, lambda: slot.fail(expired))
    elif timeout is not None:

        def give_up() -> None:
            why = trouble_of_store(cell)
            error = SendTimeout(plain(entry)[0], cell.ref, timeout, why)
            error.__cause__ = StoreUnavailable(why) if why else None
            slot.fail(error)

        alarm = runtime.timekeeper.after(timeout, give_up)
    cell.mailbox.wait_for_room(entry, slot)
    try:
        await slot
    except BaseException:
        cell.mailbox.leave_line(slot)
        if slot.abandon():
            _take_back(cell, entry)
        raise
    finally:
        if alarm is not None:
            alarm.cancel()
        if patience is not None:
            patience.cancel()


def trouble_of_store(cell: Cell) -> str:
    """How the store may be what holds a durable actor, and who sends to it, now; empty: it is not."""
    if cell.inbox is None:
        return ""
    if not cell.inbox.has_room():
        return _STORE_IS_FULL
    return _STORE_IS_AWAY if cell.runtime.mirror.journal.backlog().is_down else ""


class _Patience:
    """Ends the wait of a sender when the store has had no room for long enough."""

    __slots__ = ("_alarm", "_cell", "_slot")

    def __init__(self, cell: Cell, slot: Slot[None]) -> None:
        self._cell = cell
        self._slot = slot
        self._alarm = self._set()

    def cancel(self) -> None:
        self._alarm.cancel()

    def _look(self) -> None:
        inbox, journal = self._cell.inbox, self._cell.runtime.mirror.journal
        if inbox is not None and not inbox.has_room():
            self._slot.fail(
                StoreUnavailable(
                    f"no message to '{self._cell.path}' can be accepted: {_STORE_IS_FULL}, for "
                    f"{journal.room_patience:g} s now (JournalOptions.room_patience)"
                )
            )
        elif not self._slot.is_done:
            self._alarm = self._set()  # it is the mailbox that is full

    def _set(self) -> Alarm:
        runtime = self._cell.runtime
        return runtime.timekeeper.after(runtime.mirror.journal.room_patience, self._look)


def _take_back(cell: Cell, entry: Entry) -> None:
    """Who sent it was cancelled in the moment in which it found room: it is not handled, unless it was."""
    if isinstance(entry[2], UnderWay):
        return  # it is accepted: whoever sends it again gets what becomes of it
    if cell.mailbox.take_out(entry) and entry[3] is not None:
        dead(cell, entry, DeadLetterReason.DROPPED, "who sent it was cancelled when there was room for it")


def _put_or_drop(cell: Cell, entry: Entry, *, is_recorded: bool = False) -> None:
    """Accept an entry, or do with it what the overflow policy says for one that cannot wait."""
    if cell.inbox is not None and not cell.inbox.has_room():
        record_refused(cell, entry)
        dead(cell, entry, DeadLetterReason.FULL, _STORE_IS_FULL)
        fail_asker(entry, StoreUnavailable(f"no message to '{cell.path}' can be accepted: {_STORE_IS_FULL}"))
        return
    room = cell.mailbox.room(can_wait=False)
    if room is _TAKE:
        _accept(cell, entry, is_recorded=is_recorded)
        return
    if room is Room.DROP_OLD:
        oldest = None if cell.inbox is None else cell.mailbox.drop_oldest()  # it is to be queued, not left
        _accept(cell, entry, is_recorded=is_recorded)
        if cell.inbox is None:
            oldest = cell.mailbox.drop_oldest()
        if oldest is not None:
            if is_discarded_at_end(oldest):
                record_refused(cell, oldest)  # a tick, say, is written down when its turn comes
            _drop(cell, oldest, "the mailbox was full: the oldest was dropped")
        return
    if not is_recorded:
        record_refused(cell, entry)
    if room is Room.DROP_NEW:
        _drop(cell, entry, "the mailbox was full: the newest was dropped")
    else:
        dead(cell, entry, DeadLetterReason.FULL, f"{cell.mailbox.capacity} messages were queued")
        if entry[2] is not None:  # one that was forwarded
            entry[2].fail(MailboxFull(plain(entry)[0], cell.ref, cell.mailbox.capacity))


def _drop(cell: Cell, entry: Entry, why: str) -> None:
    dead(cell, entry, DeadLetterReason.DROPPED, why)
    fail_asker(entry, MessageDropped(plain(entry)[0], cell.ref, why))
