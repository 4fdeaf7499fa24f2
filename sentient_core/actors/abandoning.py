"""A turn that swallows its cancellation: named, fenced, and left to itself.

Nothing can take code out of its task. So when a turn has not ended `Actor.kill_grace` seconds after it was
cancelled, whatever asked for that, the actor goes on without it: the message in hand fails, the incarnation
is down with HandlerAbandoned, without hooks, and its supervisor decides. The code that is left belongs to
nobody. Its context raises StaleIncarnation, what it sends counts as sent from outside, what it returns is no
reply, and the cell does not listen to it any more (`Cell.generation`). The system waits at its end for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.actors.actor import fence_off
from sentient_core.actors.attempts import settle_failed
from sentient_core.actors.current import current_cell, current_event
from sentient_core.actors.decision import Directive, MessageFate
from sentient_core.actors.lease import Lease, TurnAbandoned
from sentient_core.actors.life_events import report_failure
from sentient_core.actors.special import plain
from sentient_core.causes import in_a_line
from sentient_core.codec import tag_of
from sentient_core.errors import HandlerAbandoned
from sentient_core.events import EventType

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Runtime
    from sentient_core.logs import RuntimeLog
    from sentient_core.mailbox.envelope import Entry

__all__ = [
    "AbandonedTurn",
    "abandon",
    "be_nobody",
    "report_abandoned",
    "report_ended",
    "settle_abandoned",
]

_ABANDONED = "abandoned what does not end although it was cancelled"
_GOES_ON = (Directive.RESUME, Directive.QUARANTINE, Directive.PAUSE)


class AbandonedTurn(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was left to itself and has not ended yet."""

    path: str
    incarnation: int
    handler: str | None
    """Qualified name of the method, a handler or a hook; None: it could not be found out."""
    message_type: str | None
    """Of the message in hand; None in a hook."""
    since: float
    """On the loop's clock: when it was abandoned."""
    is_beside: bool = False
    """It ran beside the mailbox: no turn of its actor."""

    def __str__(self) -> str:
        return f"{self.handler or 'a turn'} of '{self.path}'"


def abandon(cell: Cell, lease: Lease, actor: Actor | None) -> None:
    """Let `cell` go on without its turn, which did not end within its grace after it was cancelled."""
    runtime = cell.runtime
    handler, stack = lease.where()
    entry = cell.in_hand
    error = HandlerAbandoned(
        cell.path,
        handler,
        None if entry is None else plain(entry)[0],
        cell.blueprint.kill_grace or 0.0,
        stack,
    )
    error.__cause__ = lease.cause or cell.killed_by
    turn = AbandonedTurn(
        path=cell.path,
        incarnation=cell.incarnation,
        handler=handler,
        message_type=None if entry is None else tag_of(type(plain(entry)[0])),
        since=runtime.backend.now(),
    )
    report_failure(cell, error, cell.in_hand, "handler" if cell.in_hand else turn.handler or "hook")
    report_abandoned(cell, turn, error)
    if actor is not None:
        fence_off(actor)
    if cell.vars is not None:
        cell.vars.run(be_nobody)
    runtime.abandoned[turn] = None
    lease.abandon(lambda ended_with: report_ended(cell.runtime, turn, ended_with))
    cell.leave_to_itself(error, lease)


def settle_abandoned(cell: Cell, entry: Entry, error: HandlerAbandoned) -> None:
    """Settle the message that abandoned code had in hand, as that of a handler that failed."""
    decision = cell.above.decide(cell, error)
    if decision.directive in _GOES_ON:  # which this incarnation cannot
        is_kept = decision.fate is MessageFate.KEPT  # as the next one would hang in it again
        fate = MessageFate.BY_ATTEMPTS if is_kept else decision.fate
        decision = msgspec.structs.replace(decision, directive=Directive.RESTART, fate=fate)
    settle_failed(cell, entry, error, decision, in_a_line(error))


def be_nobody() -> None:
    """What the code that runs sends from now on, is sent by nobody."""
    current_cell.set(None)
    current_event.set(None)


def report_abandoned(cell: Cell, turn: AbandonedTurn, error: HandlerAbandoned, **more: Any) -> None:
    """Name it in the log and in an event."""
    what = more | {
        "handler": turn.handler,
        "message_type": turn.message_type,
        "seconds": error.seconds,
        "stack": error.stack,
    }
    if cell.runtime.limited_logs.admits(_ABANDONED):
        log = cell.log() if not turn.is_beside else _log_of(cell.runtime, turn)
        log.error(_ABANDONED, **what)
    if cell.blueprint.is_mirrored:
        trace = None if cell.in_hand is None or turn.is_beside else cell.in_hand[3]
        cell.runtime.mirror.happened(
            EventType.HANDLER_ABANDONED,
            cell.path,
            what,
            incarnation=turn.incarnation,
            about=trace,
        )


def report_ended(runtime: Runtime, turn: AbandonedTurn, error: BaseException | None) -> None:
    """The abandoned code has ended after all."""
    runtime.abandoned.pop(turn, None)
    with_what = error.ended_with if isinstance(error, TurnAbandoned) else error
    _log_of(runtime, turn).warning(
        "what was abandoned has ended",
        handler=turn.handler,
        seconds=round(runtime.backend.now() - turn.since, 3),
        error=None if with_what is None else in_a_line(with_what),
    )


def _log_of(runtime: Runtime, turn: AbandonedTurn) -> RuntimeLog:
    return runtime.log.bind(path=turn.path, incarnation=turn.incarnation)
