"""What an actor system is made of, put together in one place."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio.abc import TaskGroup

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.alerts import StoreAlerts
from sentient_core.actors.blocking import Limits
from sentient_core.actors.cell import Cell
from sentient_core.actors.current import current_cell, current_event
from sentient_core.actors.decision import RESTARTED, Decision
from sentient_core.actors.dispatcher import Dispatcher
from sentient_core.actors.from_thread import FromThread
from sentient_core.actors.letter_office import DeadLetterOffice
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.registry import Registry
from sentient_core.actors.runtime import Family, Runtime
from sentient_core.actors.timekeeper import Timekeeper
from sentient_core.actors.watchdog import Watchdog
from sentient_core.backend import Slot, current_backend
from sentient_core.codec import Codec
from sentient_core.events import EventBus, Mirror
from sentient_core.feed import Feed
from sentient_core.logs import LimitedLog, LimitedLogs, RuntimeLog
from sentient_core.mailbox import Isolation
from sentient_core.store.protocols import Journal
from sentient_core.store.records import Origin
from sentient_core.supervisor.administration import AdministeredChildren
from sentient_core.supervisor.strategy import Strategy
from sentient_core.supervisor.supervisor import Supervisor, checked_children

if TYPE_CHECKING:
    from sentient_core.faults import Faults
    from sentient_core.system import ActorSystem

__all__ = ["Ground", "Parts", "Root", "put_together"]


class Root(Supervisor):
    """One for one, with a restart budget per child: one that exhausts it ends alone."""

    durability: ClassVar[DurabilityName] = "volatile"
    strategy: ClassVar[Strategy] = Strategy(max_restarts=3, within=5.0, is_per_child=True)


class Parts:
    """What exists between entering and leaving."""

    __slots__ = (
        "began",
        "events",
        "from_thread",
        "ground",
        "has_ended",
        "office",
        "root",
        "runtime",
        "store_alerts",
        "tasks",
        "watchdog",
    )

    def __init__(
        self,
        tasks: TaskGroup,
        runtime: Runtime,
        ground: Ground,
        root: Cell,
        office: DeadLetterOffice,
        from_thread: FromThread,
        watchdog: Watchdog | None,
        store_alerts: StoreAlerts,
    ) -> None:
        self.began: float = runtime.backend.now()
        self.tasks: TaskGroup = tasks
        self.office: DeadLetterOffice = office
        self.runtime: Runtime = runtime
        self.ground: Ground = ground
        self.root: Cell = root
        self.from_thread: FromThread = from_thread
        self.watchdog: Watchdog | None = watchdog
        self.store_alerts: StoreAlerts = store_alerts
        self.events: EventBus | None = None
        """Made when somebody wants it."""
        self.has_ended: anyio.Event | None = None
        """Set when everything has stopped; None: nobody has begun to stop it."""


def put_together(
    system: ActorSystem,
    journal: Journal,
    tasks: TaskGroup,
    *,
    log: RuntimeLog,
    codec: Codec,
    strategy: Strategy,
    threads: int,
    watchdog: float | None,
    isolation: Isolation,
    on_give_up: Callable[[str, Exception], None],
    on_gap: Callable[[], None],
    faults: Faults | None,
) -> Parts:
    """The parts of a system that owns its records. Nothing of them runs yet.

    `strategy`: of the root. `watchdog`: from how many seconds on a handler blocks the event loop.
    """
    backend = current_backend()
    base = copy_context()
    base.run(current_cell.set, None)
    base.run(current_event.set, None)
    mirror = Mirror(journal, codec)
    registry = Registry(
        journal.epoch, journal.known, journal.known_restarts, journal.pending_counts, journal.durables
    )
    office = DeadLetterOffice(
        LimitedLog(log, backend.now, "dead letter"),
        Feed(LimitedLog(log, backend.now, "a subscriber of dead letters failed")),
        system=system.name,
        store=system.store,
        mirror=mirror,
        codec=codec,
        registry=registry,
    )
    limits = Limits(threads)
    backend.hold_clock_for(limits)
    runtime = Runtime(
        system=system,
        backend=backend,
        dispatcher=Dispatcher(backend, tasks),
        timekeeper=Timekeeper(backend),
        mirror=mirror,
        codec=codec,
        registry=registry,
        dead_letters=office,
        log=log,
        new_family=_declared_family,
        new_context=base.copy,
        failure_log=LimitedLog(log, backend.now, "actor failed"),
        limited_logs=LimitedLogs(log, backend.now),
        tasks=tasks,
        limits=limits,
        notices=Feed(LimitedLog(log, backend.now, "a subscriber of mailbox notices failed")),
        alerts=Feed(LimitedLog(log, backend.now, "a subscriber of alerts failed")),
        isolation=isolation,
        on_give_up=on_give_up,
        faults=faults,
    )
    mirror.on_gap = on_gap
    ground = Ground(backend.slot())
    root = Cell(runtime, ground, "", Root)
    root.family = AdministeredChildren(root, strategy)
    return Parts(
        tasks,
        runtime,
        ground,
        root,
        office,
        FromThread(runtime, tasks),
        None if watchdog is None else Watchdog(runtime, watchdog),
        StoreAlerts(runtime),
    )


class Ground:
    """What stands above the root supervisor: it only waits for its end."""

    owner = None
    strategy = None

    def __init__(self, is_down: Slot[None]) -> None:
        self.is_down = is_down

    def refs(self) -> tuple[ActorRef[Any], ...]:
        return ()

    def cells(self) -> list[Cell]:
        return []

    def listed(self) -> list[Cell]:
        return []

    def restarts_in_window(self, child: Cell | None) -> int:
        return 0

    def seconds_until_start(self, child: Cell) -> float | None:
        return None

    def start_static(self) -> bool:
        return False

    def stop_all(self, *, kill: bool) -> bool:
        return False

    def decide(self, child: Cell, error: BaseException) -> Decision:
        return RESTARTED

    def origin_of(self, child: Cell) -> Origin:
        return Origin.DECLARED

    def child_started(self, child: Cell) -> None:
        pass

    def child_failing(self, child: Cell) -> None:
        pass

    def child_unwanted(self, child: Cell) -> bool:
        return True

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        self.is_down.set(None)


def _declared_family(cell: Cell, actor: Actor) -> Family | None:
    if isinstance(actor, Supervisor):
        # An instance may have made its own, of what it was given.
        children = checked_children(type(actor).__qualname__, actor.strategy, actor.children)
        return AdministeredChildren(cell, actor.strategy, children)
    return None
