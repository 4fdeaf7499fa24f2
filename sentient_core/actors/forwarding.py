"""`forward`: the message in hand goes on to another actor, as if its sender had sent it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sentient_core.actors import delivery
from sentient_core.actors.asking import cycle_of, wait_of
from sentient_core.actors.committed_reply import reply_slot
from sentient_core.actors.posting import Posted, posted_of
from sentient_core.actors.recoverable import check_recoverable
from sentient_core.errors import AskCycle
from sentient_core.mailbox import DeadLetterReason
from sentient_core.paths import EXTERNAL

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.posting import Posting
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Event

__all__ = ["content_of", "deliver", "event_of"]


def event_of(entry: Entry, target: Cell) -> Event | None:
    """The event of a message that goes on to `target`: of the same sender, caused by the first one.

    None: the target is not mirrored. Raises UnencodableMessage.
    """
    if not target.mailbox.is_mirrored:
        return None
    message, sender, _, first = entry
    check_recoverable(target.blueprint, message, target.path)
    source = delivery.source_of(target, sender)
    # A message sent again from the dead letters may be of a sender who has long been gone.
    incarnation = 0 if source == EXTERNAL else getattr(sender, "incarnation", 0)
    correlation, causation = (0, 0) if first is None else (first.correlation, first.seq)
    return target.runtime.mirror.message(message, source, target.path, incarnation, correlation, causation)


def content_of(entry: Entry, target: Cell, posting: Posting | None) -> object:
    """What is queued at `target`: with the options of the ref, else with those that the message came with."""
    content = delivery.content_for(target, entry[0])
    if posting is not None:
        return delivery.as_posted(target, Posted.by(posting, content, target.runtime.backend.now()))
    posted = posted_of(entry)
    return content if posted is None else delivery.as_posted(target, posted.again(content))


def deliver(by: Cell, target: Cell, entry: Entry, content: object, event: Event | None) -> None:
    """Put a message that `by` had in hand into the mailbox of `target`, or make a dead letter of it.

    `content` is what `target` gets of it: itself, or a copy, where the class wants one.
    Whoever asked waits for `target` now, or is told at once: also where `target` waits for the asker.
    """
    message, sender, reply, _ = entry
    passed_on: Entry = (content, sender, reply, event)
    runtime, asker = by.runtime, cast("Cell", sender)
    wait = None if reply is None else wait_of(runtime, asker, reply)
    turn = delivery.open_turn()
    if reply is not None and wait is not None:
        cycle = cycle_of(runtime, asker, target)
        if cycle:
            error = AskCycle(message, target.ref, cycle)
            if turn is None:
                _refuse(target, passed_on, error)
            else:
                turn.let_go(cycle)
                turn.when_closed(lambda: _refuse(target, passed_on, error))
            return
        wait(target)
    if turn is not None:
        turn.pass_on(target, passed_on, None if wait is None else lambda: wait(by))
        return
    if reply is not None and target.inbox is not None:
        passed_on = (content, sender, reply_slot(reply, target, message), event)
    delivery.deliver(target, passed_on)


def _refuse(target: Cell, entry: Entry, error: AskCycle) -> None:
    """Settle a message that is not passed on, since who asked would wait for itself."""
    delivery.record_refused(target, entry)
    delivery.dead(target, entry, DeadLetterReason.FAILED, f"an ask cycle: {' -> '.join(error.cycle)}")
    delivery.fail_asker(entry, error)
