"""The health of an actor system at one moment: what a readiness probe asks, and what a person wants to read.

Everything is read off what the runtime keeps anyway, so that it may be polled each second and asked for
from any thread: a health page of a thread of its own answers while the event loop is blocked.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from sentient_core.actors.runtime import Runtime
from sentient_core.actors.watchdog import BlockedHandler, Watchdog
from sentient_core.causes import in_a_line
from sentient_core.store.protocols import Backlog

__all__ = ["Health", "Phase", "SystemStatus", "health_of"]

_MOST_NAMED = 3


class SystemStatus(StrEnum):
    """Where an actor system is in its life, and whether all is well."""

    STARTING = "starting"
    """Not entered yet, or just being entered."""
    RUNNING = "running"
    DEGRADED = "degraded"
    """It runs, and `Health.reasons` says what is not as it should be."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    """It has ended, or could not be started."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How an actor system is.

    Plain data: `msgspec.json.encode(system.health())` is the body of a probe's answer.
    """

    status: SystemStatus
    is_ready: bool
    """Its actors take messages: it runs, be it degraded, is not fenced, and nothing blocks its event loop
    at this moment. An outage of the store does not count, since actors go on without it."""
    reasons: tuple[str, ...] = ()
    """In words, why it is not simply `running`."""
    is_store_reachable: bool = True
    """The database takes commits; if not, they are retried."""
    is_fenced: bool = False
    """A later start of the same system owns its records."""
    backlog: Backlog = Backlog(0, 0, 0, is_full=False, is_down=False)
    """How far the store is behind. While it is full, messages are handled without being mirrored."""
    actors: int = 0
    """Living, supervisors included."""
    failing: tuple[str, ...] = ()
    """Paths of actors that are down after a failure and are to be started again."""
    paused: tuple[str, ...] = ()
    """Paths of actors that take no messages until somebody resumes them."""
    given_up: tuple[str, ...] = ()
    """Paths of actors that ended for good with a `system_alert`, until somebody lives there again."""
    dormant: int = 0
    """Durable actors with messages that nobody has spawned since the system started; see `dormant()`."""
    dormant_pending: int = 0
    """The messages that wait for them."""
    abandoned: tuple[str, ...] = ()
    """Handlers and hooks that swallowed their cancellation, were left to themselves, and still run."""
    blocked: BlockedHandler | None = None
    """What blocks the event loop, or did so within the last minute."""


class Phase(StrEnum):
    """Where a system is in its life."""

    NEW = "it has not been entered yet"
    STARTING = "it is starting"
    RUNNING = "it is running"
    DRAINING = "it is about to stop, and handles what is queued"
    STOPPING = "it is stopping"
    STOPPED = "it has ended"


_STATUSES = {
    Phase.NEW: SystemStatus.STARTING,
    Phase.STARTING: SystemStatus.STARTING,
    Phase.DRAINING: SystemStatus.STOPPING,
    Phase.STOPPING: SystemStatus.STOPPING,
    Phase.STOPPED: SystemStatus.STOPPED,
}


def health_of(phase: Phase, runtime: Runtime | None, watchdog: Watchdog | None, *, is_fenced: bool) -> Health:
    """The health of a system in `phase`, whose parts are there once it has been entered."""
    troubles = ["another start of this system has taken over its records: it is fenced"] if is_fenced else []
    if phase is not Phase.RUNNING:
        troubles.insert(0, phase.value)
    status = _STATUSES.get(phase)
    if runtime is None:
        return Health(
            status=status or SystemStatus.STARTING,
            is_ready=False,
            reasons=tuple(troubles),
            is_fenced=is_fenced,
        )
    backlog = runtime.mirror.journal.backlog()
    latest = None if watchdog is None else watchdog.latest
    troubles += _troubles(runtime, backlog, latest)
    waiting = tuple(runtime.registry.pending_counts.values())
    is_blocked = latest is not None and not latest[1].is_over
    return Health(
        status=status or (SystemStatus.DEGRADED if troubles else SystemStatus.RUNNING),
        is_ready=phase is Phase.RUNNING and not is_fenced and not is_blocked,
        reasons=tuple(troubles),
        is_store_reachable=not backlog.is_down,
        is_fenced=is_fenced,
        backlog=backlog,
        actors=len(runtime.registry),
        failing=tuple(runtime.failing),
        paused=tuple(runtime.paused),
        given_up=tuple(runtime.given_up),
        dormant=len(waiting),
        dormant_pending=sum(waiting),
        abandoned=tuple(map(str, tuple(runtime.abandoned))),
        blocked=None if latest is None else latest[1],
    )


def _troubles(
    runtime: Runtime, backlog: Backlog, latest: tuple[float, BlockedHandler] | None
) -> Iterator[str]:
    if backlog.is_down:
        yield f"the store takes no commits; {backlog.uncommitted} records wait for it"
    if backlog.is_full:
        yield "the store is too far behind: messages are handled without being mirrored"
    if runtime.failing:
        causes = tuple(runtime.failing.items())[:_MOST_NAMED]
        named = [f"'{path}' ({in_a_line(cause)})" for path, cause in causes]
        yield f"down after a failure: {_listed(named, len(runtime.failing))}"
    if runtime.paused:
        named = [f"'{path}' ({why})" for path, why in tuple(runtime.paused.items())[:_MOST_NAMED]]
        yield f"paused: {_listed(named, len(runtime.paused))}"
    if runtime.given_up:
        named = [f"'{path}' ({why})" for path, why in tuple(runtime.given_up.items())[-_MOST_NAMED:]]
        yield f"ended for good: {_listed(named, len(runtime.given_up))}"
    if runtime.abandoned:
        named = list(map(str, tuple(runtime.abandoned)[:_MOST_NAMED]))
        yield f"cancelled, abandoned and still running: {_listed(named, len(runtime.abandoned))}"
    if latest is not None:
        age, report = latest
        yield f"{report}, {age:.0f} s ago" if report.is_over else str(report)


def _listed(named: list[str], count: int) -> str:
    more = count - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
