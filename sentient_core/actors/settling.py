"""Where a message ends that is not handled: in the dead letters, and in its asker's hands as an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.actors.special import plain
from sentient_core.causes import kind_of
from sentient_core.mailbox import DeadLetter, DeadLetterReason
from sentient_core.paths import EXTERNAL

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.mailbox.envelope import Entry, Sender
    from sentient_core.store.records import Event

__all__ = ["dead", "fail_asker", "late_reply", "source_of"]


def dead(cell: Cell, entry: Entry, reason: DeadLetterReason, cause: str) -> None:
    """Make a dead letter of a message to `cell`."""
    cell.mailbox.tallied().count(reason)
    sender = source_of(cell, entry[1])
    _dead_letter(cell, plain(entry)[0], sender, cell.path, entry[3], reason, cause)


def late_reply(cell: Cell, value: object, asked: Entry, answer: Event | None) -> None:
    """Make a dead letter of a reply by `cell` that nobody waits for any more."""
    asker = source_of(cell, asked[1])
    cause = f"nobody waits any more for the reply to {kind_of(asked[0])}"
    _dead_letter(cell, value, cell.path, asker, answer, DeadLetterReason.LATE_REPLY, cause)


def source_of(cell: Cell, sender: Sender | None) -> str:
    """The path of who sent something to `cell`; `external` for what is not of its system."""
    return EXTERNAL if sender is None or sender.runtime is not cell.runtime else sender.path


def fail_asker(entry: Entry, error: Exception) -> None:
    """End the ask that brought a message, if it was one."""
    if entry[2] is not None:
        entry[2].fail(error)


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
