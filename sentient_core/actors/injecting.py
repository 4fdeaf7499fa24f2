"""The fault points that actors come by, where their system has a plan of faults.

A system without one pays nothing for them: its mailboxes keep the short cut of `tell`, and its cells find
handlers in their tables. With one, every message goes the long way, by what is here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from sentient_core.actors import delivery
from sentient_core.actors.begun import Begun
from sentient_core.actors.fated import Passed, take_fate, take_pass
from sentient_core.actors.notices import Notice
from sentient_core.actors.overdue import Function, within_limits
from sentient_core.actors.posting import posted_of
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import dead, fail_asker, source_of
from sentient_core.actors.special import Opened, came_in, is_discarded_at_end, plain
from sentient_core.errors import MessageDropped, UncopyableMessage
from sentient_core.faults.faults import Injected, die, suffer
from sentient_core.faults.points import FaultAction, FaultPoint
from sentient_core.mailbox import DeadLetterReason

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.faults.faults import Faults
    from sentient_core.mailbox.envelope import Entry

__all__ = ["checkpoint", "look_inside", "ring", "start", "stop"]

Look: TypeAlias = "Callable[[Entry], tuple[Entry, Handler] | None]"

_DROPPED = "dropped by the fault plan"


def look_inside(cell: Cell, faults: Faults, entry: Entry, look: Look) -> tuple[Entry, Handler] | None:
    """What was decided at MAILBOX_PUT, MAILBOX_GET, RECEIVE and REPLY, for a message that was taken.

    Returns what `look` finds, with the faults in it: the entry as the handler is to get it, and the handler.
    None: it is settled, or put back.
    """
    if isinstance(entry[0], Begun):
        return look(entry)
    if not _comes_through(cell, faults, entry):
        return None
    found = look(entry)
    return found and (found[0], _faulty_handler(cell, faults, *found))


async def start(cell: Cell, faults: Faults) -> None:
    """START. Raises FaultInjected."""
    await _pass_by(cell, faults, FaultPoint.START, cell.blueprint.cls.__name__)


async def stop(cell: Cell, faults: Faults, hook: Callable[[], Any]) -> None:
    """STOP, and the hook behind it. Raises FaultInjected, and what the hook raises."""
    await _pass_by(cell, faults, FaultPoint.STOP, cell.blueprint.cls.__name__)
    await _finished(hook())


def checkpoint(cell: Cell, faults: Faults) -> None:
    """CHECKPOINT. Raises FaultInjected."""
    fault = faults.choose(FaultPoint.CHECKPOINT, cell.path, cell.blueprint.cls.__name__)
    if fault is not None:
        if fault.action is FaultAction.KILL:
            die()
        raise fault.error()


def ring(cell: Cell, faults: Faults, message: object) -> Injected | None:
    """TIMER: what is to be done with the tick, DELAY or DROP. None: it is to come."""
    fault = faults.choose(FaultPoint.TIMER, cell.path, _name_of(message))
    if fault is not None and fault.action is FaultAction.KILL:
        die()
    return fault


def _comes_through(cell: Cell, faults: Faults, entry: Entry) -> bool:
    """A message is at the head of its mailbox, and then taken. False: it is settled, or put back."""
    notice = came_in(entry)
    if isinstance(notice, Notice) and not notice.is_message:
        return True
    fault = take_fate(entry)
    if fault is not None and not _may_be_handled(cell, faults, entry, fault):
        return False
    if take_pass(entry):
        return True
    fault = faults.decide(FaultPoint.MAILBOX_GET, cell.path, _name_of(plain(entry)[0]))
    return fault is None or _may_be_handled(cell, faults, entry, fault)


def _may_be_handled(cell: Cell, faults: Faults, entry: Entry, fault: Injected) -> bool:
    """Do with a message in hand what was decided of it. False: it is settled, or put back."""
    is_taken = fault.point is FaultPoint.MAILBOX_GET
    if fault.action is FaultAction.DUPLICATE:
        _double(cell, faults, entry, fault, is_taken=is_taken)
        return True
    if fault.action is FaultAction.DROP:
        is_done, goes_on = _drop(cell, entry), False
    elif fault.action is FaultAction.REORDER:
        is_done = _let_pass(cell, entry, is_taken=is_taken)
        goes_on = not is_done
    else:
        die()
        return False
    if is_done:
        faults.note(fault)
    else:
        faults.withdraw(fault)
    return goes_on


def _drop(cell: Cell, entry: Entry) -> bool:
    """Make a dead letter of a message. False: it tells of what does not hold any more, and is discarded."""
    notice = came_in(entry)
    if isinstance(notice, Notice) and not notice.accept():
        return False
    if is_discarded_at_end(entry):
        delivery.record_refused(cell, entry)  # a tick is written down when its turn comes
    entry = plain(entry)
    dead(cell, entry, DeadLetterReason.DROPPED, _DROPPED)
    fail_asker(entry, MessageDropped(entry[0], cell.ref, _DROPPED))
    return True


def _double(cell: Cell, faults: Faults, entry: Entry, fault: Injected, *, is_taken: bool) -> None:
    """Queue another message like this one, if it is one that is sent, and can be copied."""
    another = _another(cell, entry, is_taken=is_taken)
    if another is None:
        faults.withdraw(fault)
        return
    faults.note(fault)  # before what follows from it: there may be no room for the other one
    delivery.deliver(cell, another)


def _another(cell: Cell, entry: Entry, *, is_taken: bool) -> Entry | None:
    """Another message like this one. None: it is none that is sent, or cannot be copied."""
    if is_discarded_at_end(entry):
        return None
    message, sender, _, event = plain(entry)
    try:
        content = delivery.content_for(cell, message)
    except UncopyableMessage:
        return None
    if is_taken:
        content = Passed(content)
    posted = posted_of(entry)
    if posted is not None:
        content = delivery.as_posted(cell, posted.again(content))
    if event is not None:
        source = source_of(cell, sender)
        event = cell.runtime.mirror.message(message, source, cell.path, 0, 0, 0, event.payload)
    return content, sender, None, event


def _let_pass(cell: Cell, entry: Entry, *, is_taken: bool) -> bool:
    """Put a message behind the next one. False: there is none."""
    mailbox = cell.mailbox
    if not mailbox.queue:
        return False
    following = mailbox.queue.popleft()
    again = (Passed(entry[0]), *entry[1:]) if is_taken else entry
    mailbox.put_first([Opened.of(again, entry.wrapper) if isinstance(entry, Opened) else again])
    mailbox.queue.appendleft(following)
    return True


def _faulty_handler(cell: Cell, faults: Faults, entry: Entry, handler: Handler) -> Handler:
    name = _name_of(entry[0])
    fault = faults.choose(FaultPoint.RECEIVE, cell.path, name)
    if fault is not None:
        handler = within_limits(handler, partial(_after_fault, cell, fault))
    if entry[2] is not None and faults.has(FaultPoint.REPLY):
        handler = partial(_handle_and_reply, cell, faults, entry, name, handler[0]), True
    return handler


def _after_fault(cell: Cell, fault: Injected, function: Function) -> Function:
    async def suffer_and_handle(actor: Actor, message: Any) -> Any:
        await _suffer(cell, fault)
        return await _finished(function(actor, message))

    return suffer_and_handle


async def _handle_and_reply(
    cell: Cell, faults: Faults, entry: Entry, name: str, function: Function, actor: Actor, message: Any
) -> Any:
    outcome = await _finished(function(actor, message))
    slot = entry[2]
    is_asked = slot.is_asked if isinstance(slot, UnderWay) else slot is not None
    if is_asked and cell.in_hand is entry:
        await _pass_by(cell, faults, FaultPoint.REPLY, name)
    return outcome


async def _finished(outcome: Any) -> Any:
    return await outcome if hasattr(outcome, "__await__") else outcome


async def _pass_by(cell: Cell, faults: Faults, point: FaultPoint, message_type: str) -> None:
    fault = faults.choose(point, cell.path, message_type)
    if fault is not None:
        await _suffer(cell, fault)


async def _suffer(cell: Cell, fault: Injected) -> None:
    if fault.action is FaultAction.CANCEL:
        cell.kill()
        await anyio.sleep_forever()  # the kill cancels it
    await suffer(fault)


def _name_of(message: object) -> str:
    return type(message).__name__
