"""The way of a message into a mailbox: encode it if it is mirrored, find room, or settle it otherwise.

The functions here are what `ActorRef.tell` and `send` do for the cell behind the ref; `ask` builds on them
in asking.py. A message ends up in exactly one place: the mailbox, the dead letters, or an error in the
sender's hands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentient_core.actors.current import current_cell
from sentient_core.actors.special import plain
from sentient_core.errors import (
    ActorStopped,
    MailboxFull,
    MessageDropped,
    SendTimeout,
    SystemClosed,
)
from sentient_core.mailbox import DeadLetter, DeadLetterReason
from sentient_core.mailbox.overflow import Room
from sentient_core.paths import EXTERNAL

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry, Sender
    from sentient_core.store.records import Event

__all__ = [
    "dead",
    "deliver",
    "event_of",
    "fail_asker",
    "late_reply",
    "new_entry",
    "put",
    "recipient",
    "record",
    "redeliver",
    "send",
    "source_of",
    "tell",
    "tell_from",
    "wait_for_room",
]

_ENDED = "the actor has ended or is draining"
_NOBODY = "nobody lives at this path"
_TAKE = Room.TAKE


def tell(cell: Cell, message: object) -> None:
    """`ActorRef.tell`, where its short cut does not apply."""
    cell.runtime.dispatcher.check_thread()
    mailbox = cell.mailbox
    if not mailbox.is_open:
        _tell_closed(cell, message)
        return
    queue = mailbox.queue
    if queue is None:
        queue = mailbox.new_queue()
    sender = current_cell.get()
    event = event_of(cell, message, sender) if mailbox.is_mirrored else None
    if len(queue) >= mailbox.capacity:
        _put_or_drop(cell, (message, sender, None, event))
        return
    queue.append((message, sender, None, event))
    if event is not None:
        cell.runtime.mirror.record(event)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)


def deliver(cell: Cell, entry: Entry) -> None:
    """Put an entry that stands for somebody else's message into a mailbox, or settle it, its asker too."""
    if cell.mailbox.is_open:
        _put_or_drop(cell, entry)
        return
    fail_asker(entry, ActorStopped(entry[0], cell.ref, _dead_on_arrival(cell, entry)))


def tell_from(cell: Cell, message: object, sender: Cell | None, payload: bytes | None) -> None:
    """A `tell` of another thread, on the loop's: who sends it is known, and its bytes, if it is mirrored."""
    cell = cell.at_home()
    event = event_of(cell, message, sender, payload) if cell.mailbox.is_mirrored else None
    entry = (message, sender, None, event)
    if cell.mailbox.is_open:
        _put_or_drop(cell, entry)
    else:
        _dead_on_arrival(cell, entry)


async def send(cell: Cell, message: object, timeout: float | None) -> None:
    """`ActorRef.send`."""
    cell = recipient(cell, message)
    entry = new_entry(cell, message, None)
    if not put(cell, entry):
        await wait_for_room(cell, entry, timeout)


def event_of(cell: Cell, message: object, sender: Cell | None, payload: bytes | None = None) -> Event:
    """The event of a message to a mirrored cell. Raises UnencodableMessage."""
    mirror = cell.runtime.mirror
    if sender is None or sender.runtime is not cell.runtime:
        return mirror.message(message, EXTERNAL, cell.path, 0, 0, 0, payload)
    # What an actor sends while it handles a message belongs to that message's conversation.
    in_hand = None if sender.in_hand is None else sender.in_hand[3]
    correlation, causation = (0, 0) if in_hand is None else (in_hand.correlation, in_hand.seq)
    return mirror.message(
        message, sender.path, cell.path, sender.incarnation, correlation, causation, payload
    )


def record(cell: Cell, entry: Entry) -> None:
    """Mirror a message that has been accepted or refused."""
    event = entry[3]
    if event is not None:
        cell.runtime.mirror.record(event)


def redeliver(cell: Cell, entry: Entry) -> None:
    """Queue a message that has been accepted before: it is not refused for want of room."""
    cell.mailbox.put(entry)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)


def dead(cell: Cell, entry: Entry, reason: DeadLetterReason, cause: str) -> None:
    """Make a dead letter of a message to `cell`."""
    sender = source_of(cell, entry[1])
    _dead_letter(cell, plain(entry)[0], sender, cell.path, entry[3], reason, cause)


def late_reply(cell: Cell, value: object, asked: Entry, answer: Event | None) -> None:
    """Make a dead letter of a reply by `cell` that nobody waits for any more."""
    asker = source_of(cell, asked[1])
    cause = f"nobody waits any more for the reply to {type(asked[0]).__qualname__}"
    _dead_letter(cell, value, cell.path, asker, answer, DeadLetterReason.LATE_REPLY, cause)


def source_of(cell: Cell, sender: Sender | None) -> str:
    """The path of who sent something to `cell`; `external` for what is not of its system."""
    return EXTERNAL if sender is None or sender.runtime is not cell.runtime else sender.path


def fail_asker(entry: Entry, error: Exception) -> None:
    """End the ask that brought a message, if it was one."""
    if entry[2] is not None:
        entry[2].fail(error)


def _tell_closed(cell: Cell, message: object) -> None:
    if not cell.runtime.is_open:
        raise SystemClosed(cell.runtime.system.name, "send a message")
    cell = cell.at_home()
    if cell.mailbox.is_open:  # it stood for a path where somebody lives by now
        tell(cell, message)
        return
    _dead_on_arrival(cell, new_entry(cell, message, None))


def _dead_on_arrival(cell: Cell, entry: Entry) -> str:
    """Make a dead letter of a message to a mailbox that is closed; says why."""
    reason, why = (
        (DeadLetterReason.UNKNOWN, _NOBODY) if cell.is_nobody else (DeadLetterReason.STOPPED, _ENDED)
    )
    record(cell, entry)
    dead(cell, entry, reason, why)
    return why


def recipient(cell: Cell, message: object) -> Cell:
    """The cell itself, or who lives by now where a stored ref found nobody, if it accepts messages.

    Raises SystemClosed and ActorStopped.
    """
    if not cell.runtime.is_open:
        raise SystemClosed(cell.runtime.system.name, "send a message")
    cell = cell.at_home()
    if not cell.mailbox.is_open:
        raise ActorStopped(message, cell.ref, _NOBODY if cell.is_nobody else _ENDED)
    return cell


def new_entry(cell: Cell, message: object, reply: Slot[Any] | None) -> Entry:
    """What a message is queued as. Raises UnencodableMessage."""
    sender = current_cell.get()
    event = event_of(cell, message, sender) if cell.mailbox.is_mirrored else None
    return message, sender, reply, event


def _accept(cell: Cell, entry: Entry) -> None:
    cell.mailbox.put(entry)
    record(cell, entry)
    if not cell.scheduled:
        cell.runtime.dispatcher.schedule(cell)


def put(cell: Cell, entry: Entry) -> bool:
    """Settle an entry whose sender can wait. False: it has to, for room. Raises MailboxFull."""
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
    slot: Slot[None] = cell.runtime.backend.slot()
    alarm: Alarm | None = None
    if timeout is not None:
        error = SendTimeout(plain(entry)[0], cell.ref, timeout)
        alarm = cell.runtime.timekeeper.after(timeout, lambda: slot.fail(error))
    cell.mailbox.wait_for_room(entry, slot)
    try:
        await slot
    except BaseException:
        cell.mailbox.leave_line(slot)
        raise
    finally:
        if alarm is not None:
            alarm.cancel()


def _put_or_drop(cell: Cell, entry: Entry) -> None:
    """Accept an entry, or do with it what the overflow policy says for one that cannot wait."""
    room = cell.mailbox.room(can_wait=False)
    if room is _TAKE:
        _accept(cell, entry)
    elif room is Room.DROP_OLD:
        oldest = cell.mailbox.drop_oldest()
        _accept(cell, entry)
        if oldest is not None:
            _drop(cell, oldest, "the mailbox was full: the oldest was dropped")
    elif room is Room.DROP_NEW:
        record(cell, entry)
        _drop(cell, entry, "the mailbox was full: the newest was dropped")
    else:
        record(cell, entry)
        dead(cell, entry, DeadLetterReason.FULL, f"{cell.mailbox.capacity} messages were queued")
        if entry[2] is not None:  # one that was forwarded
            entry[2].fail(MailboxFull(plain(entry)[0], cell.ref, cell.mailbox.capacity))


def _drop(cell: Cell, entry: Entry, why: str) -> None:
    dead(cell, entry, DeadLetterReason.DROPPED, why)
    fail_asker(entry, MessageDropped(plain(entry)[0], cell.ref, why))


def _dead_letter(
    cell: Cell,
    message: object,
    sender: str,
    recipient: str,
    event: Event | None,
    reason: DeadLetterReason,
    cause: str,
) -> None:
    mirror = cell.runtime.mirror
    message_id = mirror.dead_letter(message, recipient, sender, reason.value, cause, event, cell.incarnation)
    cell.runtime.dead_letters.add(
        DeadLetter(
            message=message,
            reason=reason,
            recipient=recipient,
            sender=sender,
            message_id=message_id,
            correlation_id=None if event is None else mirror.id_of(event.correlation),
            incarnation=cell.incarnation,
            cause=cause,
        )
    )
