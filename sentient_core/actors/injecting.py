"""The fault points that actors come by, where their system has a plan of faults.

A system without one pays nothing for them: its mailboxes keep the short cut of `tell`, and its cells find
handlers in their tables. With one, every message goes the long way, by what is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from sentient_core.actors import delivery
from sentient_core.actors.begun import Begun
from sentient_core.actors.fated import take_fate
from sentient_core.actors.settling import dead, fail_asker, source_of
from sentient_core.actors.special import Special, is_discarded_at_end, plain
from sentient_core.errors import MessageDropped
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
    """MAILBOX_GET, what was decided at MAILBOX_PUT, RECEIVE and REPLY, for a message that was taken.

    Returns what `look` finds, with the faults in it: the entry as the handler is to get it, and the handler.
    None: it is settled, or put back.
    """
    message = entry[0]
    if isinstance(message, Begun):
        return look(entry)
    if not isinstance(message, _Passed):
        fault = faults.choose(FaultPoint.MAILBOX_GET, cell.path, _name_of(plain(entry)[0])) or take_fate(
            entry
        )
        if fault is not None and not _may_be_handled(cell, entry, fault):
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


class _Passed(Special):
    """A message that has come by MAILBOX_GET before, and was put back."""

    __slots__ = ()

    def opens(self, cell: Cell, entry: Entry) -> bool:
        return True


def _may_be_handled(cell: Cell, entry: Entry, fault: Injected) -> bool:
    """Do with a message in hand what was decided of it in its mailbox. False: it is settled, or put back."""
    if fault.action is FaultAction.KILL:
        die()
    if fault.action is FaultAction.DROP:
        if is_discarded_at_end(entry):
            delivery.record_refused(cell, entry)  # a tick is written down when its turn comes
        entry = plain(entry)
        dead(cell, entry, DeadLetterReason.DROPPED, _DROPPED)
        fail_asker(entry, MessageDropped(entry[0], cell.ref, _DROPPED))
        return False
    if fault.action is FaultAction.DUPLICATE:
        _send_again(cell, entry)
    return not (fault.action is FaultAction.REORDER and _let_pass(cell, entry))


def _send_again(cell: Cell, entry: Entry) -> None:
    if is_discarded_at_end(entry):
        return  # a tick belongs to its timer, which has one
    message, sender, _, event = plain(entry)
    if event is not None:
        event = cell.runtime.mirror.message(message, source_of(cell, sender), cell.path, 0, 0, 0)
    delivery.deliver(cell, (message, sender, None, event))


def _let_pass(cell: Cell, entry: Entry) -> bool:
    """Put a message behind the next one. False: there is none."""
    mailbox = cell.mailbox
    if not mailbox.queue:
        return False
    following = mailbox.queue.popleft()
    mailbox.put_first((following, (_Passed(entry[0]), entry[1], entry[2], entry[3])))
    return True


def _faulty_handler(cell: Cell, faults: Faults, entry: Entry, handler: Handler) -> Handler:
    name = _name_of(entry[0])
    fault = faults.choose(FaultPoint.RECEIVE, cell.path, name)
    may_reply_badly = entry[2] is not None and faults.has(FaultPoint.REPLY)
    if fault is None and not may_reply_badly:
        return handler

    async def handle(actor: Actor, message: Any) -> Any:
        if fault is not None:
            await _suffer(cell, fault)
        outcome = await _finished(handler[0](actor, message))
        if may_reply_badly:
            await _pass_by(cell, faults, FaultPoint.REPLY, name)
        return outcome

    return handle, True


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
