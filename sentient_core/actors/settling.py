"""Where a message ends that is not handled: in the dead letters, and in its asker's hands as an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.actors.counting import COUNTED
from sentient_core.actors.recorded import dead_error
from sentient_core.actors.special import plain, tries_of
from sentient_core.causes import in_a_line, kind_of
from sentient_core.errors import ActorKilled, RestartLimitExceeded
from sentient_core.mailbox import DeadLetter, DeadLetterReason, Evidence
from sentient_core.paths import EXTERNAL

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.inbox import Release
    from sentient_core.mailbox.envelope import Entry, Sender
    from sentient_core.store.records import Event

__all__ = ["dead", "fail_asker", "how_ended", "late_reply", "source_of", "why_closed"]

_NOBODY = "nobody lives at this path"
_DORMANT = (
    "no actor runs at this path at the moment: what is told or sent to it is kept for the next one, and "
    "nobody is there to answer"
)


def dead(
    cell: Cell,
    entry: Entry,
    reason: DeadLetterReason,
    cause: str,
    *,
    tries: int | None = None,
    evidence: Evidence | None = None,
) -> str:
    """Make a dead letter of a message to `cell`; returns the message's id.

    `tries`: how often its handler has failed with it; None: as often as the entry says.
    """
    cell.mailbox.tallied().count(reason)
    if cell.sent == COUNTED:
        cell.runtime.counts.late(cell, reason)
    release = None if cell.inbox is None else cell.inbox.release(entry[3])
    sender = source_of(cell, entry[1])
    tries = tries_of(entry) if tries is None else tries
    message = plain(entry)[0]
    message_id = _dead_letter(
        cell, message, sender, cell.path, entry[3], reason, cause, tries, evidence, release
    )
    if release is not None and release.way is not None:
        cell.runtime.sent_ids.leaves(release.way, lambda: dead_error(cell, message, reason.value, cause))
    return message_id


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


def why_closed(cell: Cell) -> str:
    """Why a cell takes no messages: what errors and dead letters say of it."""
    if cell.inbox is not None and cell.runtime.registry.is_dormant(cell.path):
        return _DORMANT
    if cell.is_nobody:
        return _NOBODY
    if cell.is_alive:
        return "the actor is draining: it handles what is queued, and takes nothing more"
    return f"the actor has ended{how_ended(cell)}"


def how_ended(cell: Cell) -> str:
    """Why a cell is down, as the rest of a sentence; nothing, if that was in order.

    Made of what is kept anyway, so it is no more than what is known when it is asked for.
    """
    cause, above = cell.cause, cell.parent
    given_up = cell.runtime.given_up.get(cell.path)
    if isinstance(cause, ActorKilled):
        own = ": it was killed"
    else:
        own = "" if cause is None else f": it failed: {in_a_line(cause)}"
    if given_up is not None:
        return f"{own}; {given_up}"
    if above is None or above.cause is None:
        return own
    verb = "gave up" if isinstance(above.cause, RestartLimitExceeded) else "failed"
    return f"{own}; its supervisor {verb}: {in_a_line(above.cause)}"


def _dead_letter(
    cell: Cell,
    message: object,
    sender: str,
    recipient: str,
    event: Event | None,
    reason: DeadLetterReason,
    cause: str,
    tries: int = 0,
    evidence: Evidence | None = None,
    release: Release | None = None,
) -> str:
    mirror = cell.runtime.mirror
    way = None if release is None else release.way
    message_id = mirror.dead_letter(
        message,
        recipient,
        sender,
        reason.value,
        cause,
        event,
        cell.incarnation,
        tries,
        evidence,
        was_pending=release is not None,
        has_memos=release is not None and release.has_memos,
        sent_as=None if way is None else way.sent_as,
    )
    cell.runtime.dead_letters.add(
        DeadLetter(
            message=message,
            reason=reason,
            recipient=recipient,
            sender=sender,
            message_id=message_id,
            correlation_id=mirror.conversation(event),
            incarnation=cell.incarnation,
            cause=cause,
            tries=tries,
            traceback=None if evidence is None else evidence.traceback,
            state_digest=None if evidence is None else evidence.state_digest,
            checkpoint_id=None if evidence is None else evidence.checkpoint_id,
        )
    )
    return message_id
