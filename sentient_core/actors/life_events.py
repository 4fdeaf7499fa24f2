"""What happens to an actor, told: to the log, to its events, to its row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sentient_core.actors.alerts import raise_alert
from sentient_core.causes import chain, in_a_line, last_lines
from sentient_core.codec import tag_of
from sentient_core.errors import ActorKilled
from sentient_core.events import EventType
from sentient_core.store.records import AgentStatus, DurableActor, Origin
from sentient_core.store.row_tables import RowTable

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.saving import Ledger
    from sentient_core.mailbox.envelope import Entry

__all__ = [
    "report_alert",
    "report_end",
    "report_escalation",
    "report_failure",
    "report_give_up",
    "report_pause",
    "report_restart",
    "report_resume",
    "report_start",
    "write_status",
]


def report_start(cell: Cell, ledger: Ledger) -> None:
    """An incarnation is ready."""
    cause, restored = ledger.started_with
    ledger.started_with = (None, None)
    if not cell.blueprint.is_mirrored:
        return
    write_status(cell, "idle", relates=True)
    cell.runtime.mirror.happened(
        EventType.ACTOR_STARTED,
        cell.path,
        {
            "kind": tag_of(cell.blueprint.cls),
            "cause": None if cause is None else in_a_line(cause),
            "checkpoint_id": None if restored is None else restored.checkpoint_id,
        },
        incarnation=cell.incarnation,
    )


def report_failure(
    cell: Cell, error: BaseException, entry: Entry | None, where: str = "handler", words: str = ""
) -> None:
    """A handler (of `entry`) or a hook has raised; `words`: the error in a line, if it is made already."""
    runtime = cell.runtime
    runtime.failures += 1
    is_logged = runtime.failure_log.admits()
    if not is_logged and not cell.blueprint.is_mirrored:
        return
    trace = None if entry is None else entry[3]
    what = {
        "error": words or in_a_line(error),
        "where": where,
        "message_type": None if entry is None else tag_of(type(entry[0])),
    }
    lines = last_lines(error)
    if is_logged:
        runtime.failure_log.write(
            {
                "path": cell.path,
                "incarnation": cell.incarnation,
                "correlation_id": runtime.mirror.conversation(trace),
                **what,
                "exception": lines,  # the key that structlog's renderers print as it is
            }
        )
    if cell.blueprint.is_mirrored:
        runtime.mirror.happened(
            EventType.ACTOR_FAILED,
            cell.path,
            {**what, "traceback": lines},
            incarnation=cell.incarnation,
            about=trace,
        )


def report_restart(cell: Cell, cause: BaseException | None, delay: float) -> None:
    """It is decided that an actor is started again, in `delay` seconds; `cause` None: it had ended in order.

    Called once per child and restart, siblings of a group included, behind spending it and before the
    START. It costs an actor that is not mirrored nothing but this look.
    """
    if not cell.blueprint.is_mirrored:
        return
    cell.runtime.mirror.happened(
        EventType.ACTOR_RESTARTED,
        cell.path,
        {
            "next_incarnation": cell.incarnation + 1,
            "restarts": cell.restarts + 1,
            "restarts_in_window": cell.above.restarts_in_window(cell),
            "delay": delay,
            "causes": chain(cause),
        },
        incarnation=cell.incarnation,
    )


def report_escalation(cell: Cell, cause: BaseException) -> None:
    """A failure of `cell` becomes that of its supervisor."""
    parent = cell.parent
    if not (cell.blueprint.is_mirrored or (parent is not None and parent.blueprint.is_mirrored)):
        return
    cell.runtime.mirror.happened(
        EventType.ACTOR_ESCALATED,
        cell.path,
        {"supervisor": "" if parent is None else parent.path, "causes": chain(cause)},
        incarnation=cell.incarnation,
    )


def report_give_up(owner: Cell, child: Cell, error: BaseException) -> None:
    """A supervisor fails, since a restart of `child` was one too many (`error`): an event, and an alert.

    Of any supervisor, mirrored or not: it does not happen often, and somebody should know.
    """
    owner.runtime.mirror.happened(
        EventType.SUPERVISOR_GAVE_UP,
        owner.path,
        {"child": child.path, "restarts": child.restarts, "causes": chain(error)},
        incarnation=owner.incarnation,
    )
    report_alert(owner, "supervisor gave up", error)


def report_pause(cell: Cell, cause: BaseException | None) -> None:
    """An actor takes nothing from its mailbox any more; `cause` None: somebody asked for it."""
    words = "somebody asked for it" if cause is None else in_a_line(cause)
    cell.runtime.paused[cell.path] = words
    if cause is None:
        cell.log().info("actor paused", cause=words)
    else:
        report_alert(cell, "actor paused", cause)
    if cell.blueprint.is_mirrored:
        write_status(cell, "paused")
        cell.runtime.mirror.happened(
            EventType.ACTOR_PAUSED, cell.path, {"causes": chain(cause)}, incarnation=cell.incarnation
        )


def report_resume(cell: Cell) -> None:
    """It takes messages again."""
    cell.runtime.paused.pop(cell.path, None)
    cell.log().info("actor resumed")
    if cell.blueprint.is_mirrored:
        write_status(cell, "idle")
        cell.runtime.mirror.happened(EventType.ACTOR_RESUMED, cell.path, {}, incarnation=cell.incarnation)


def report_end(cell: Cell, cause: BaseException | None) -> None:
    """A mirrored actor has ended for good; `cause` None: in order."""
    write_status(cell, "completed" if cause is None else "failed", is_over=_is_over(cell), relates=True)
    cell.runtime.mirror.happened(
        EventType.ACTOR_STOPPED,
        cell.path,
        {"cause": None if cause is None else in_a_line(cause)},
        incarnation=cell.incarnation,
    )


def report_alert(cell: Cell, alert: str, cause: BaseException | str | None, **more: Any) -> None:
    """Something about an actor that a person should look at, and why; `more` is said of it, too."""
    words, links = (in_a_line(cause), chain(cause)) if isinstance(cause, BaseException) else (cause, [])
    runtime, incarnation = cell.runtime, cell.incarnation
    if runtime.limited_logs.admits(alert):
        cell.log().error(alert, cause=words, **more)
    raise_alert(runtime, alert, words, path=cell.path, incarnation=incarnation, causes=links, **more)


def _is_over(cell: Cell) -> bool:
    """An actor that has ended for good is not to be expected again: nothing that it belongs to failed."""
    if cell.runtime.is_ending:
        return False
    above: Cell | None = cell
    while above is not None:
        if above.cause is not None and not isinstance(above.cause, ActorKilled):
            return False
        above = above.parent
    return True


def write_status(cell: Cell, status: str, *, is_over: bool = False, relates: bool = False) -> None:
    """Write the actor's row. `is_over`: nobody is to be expected at its path.

    `relates`: with the edges that lead to it, where its class has any; or without them any more.
    """
    parent = cell.parent
    kind, origin, registry = tag_of(cell.blueprint.cls), None, cell.runtime.registry
    if cell.inbox is not None:
        known = None if cell.is_alive else registry.durable(cell.path)  # its family has struck it off by then
        origin = cell.above.origin_of(cell) if known is None else known.origin
        registry.note_durable(cell.path, DurableActor(kind, origin, is_over))
    cell.runtime.mirror.status(
        AgentStatus(
            path=cell.path,
            name=cell.name,
            kind=kind,
            parent="" if parent is None else parent.path,
            status=status,
            incarnation=cell.incarnation,
            restarts=cell.restarts,
            at=time.time_ns(),
            capabilities=cell.capabilities,
            origin=origin,
            is_over=is_over,
            relations=_relations(cell, origin) if relates and cell.blueprint.is_related else (),
        )
    )


def _relations(cell: Cell, origin: Origin | None) -> tuple[str, ...]:
    """The edges from its parent; of a virtual actor, which its messages have made, one less."""
    if cell.parent is None or not cell.parent.path:
        return ()
    supervises = (RowTable.SUPERVISES.value,)
    return supervises if origin is Origin.VIRTUAL else (*supervises, RowTable.SPAWNED.value)
