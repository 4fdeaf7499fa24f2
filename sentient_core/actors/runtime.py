"""What all cells of one actor system share. Put together by the system; nothing here is global."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeAlias

from anyio.abc import TaskGroup

from sentient_core.actors.adoption import Adoption
from sentient_core.actors.blocking import Limits
from sentient_core.actors.burying import Burials
from sentient_core.actors.counting import Counts
from sentient_core.actors.dispatcher import Dispatcher
from sentient_core.actors.registry import Registry
from sentient_core.actors.sent_ids import SentIds
from sentient_core.actors.timekeeper import Timekeeper
from sentient_core.backend import Backend
from sentient_core.codec import Codec
from sentient_core.events import Mirror
from sentient_core.logs import LimitedLog, LimitedLogs, RuntimeLog
from sentient_core.mailbox import DeadLetters, Isolation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sentient_core.actors.abandoning import AbandonedTurn
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.alerts import Alert
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.decision import Decision
    from sentient_core.actors.interruptible import Interruptible
    from sentient_core.actors.ref import ActorRef
    from sentient_core.actors.watching import Watch
    from sentient_core.actors.water import MailboxNotice
    from sentient_core.backend import Slot
    from sentient_core.faults import Faults
    from sentient_core.feed import Feed
    from sentient_core.store.records import Origin
    from sentient_core.supervisor.strategy import Strategy
    from sentient_core.system import ActorSystem

__all__ = ["Crowds", "Family", "Runtime", "Waits"]

Waits: TypeAlias = "dict[Cell, tuple[Cell, Slot[Any]]]"
Crowds: TypeAlias = "dict[Cell, list[tuple[Cell, Slot[Any]]]]"


class Family(Protocol):
    """The children of one cell and what becomes of them. Synchronous; children report by calling it."""

    @property
    def owner(self) -> Cell | None:
        """The cell; None above the root."""
        ...

    def refs(self) -> tuple[ActorRef[Any], ...]:
        """The children, in start order."""
        ...

    def cells(self) -> Sequence[Cell]:
        """The children's cells, in start order."""
        ...

    @property
    def strategy(self) -> Strategy | None:
        """How the children are kept; None above the root."""
        ...

    def listed(self) -> Sequence[Cell]:
        """As `cells`, with those that have ended and whose specs are kept."""
        ...

    def restarts_in_window(self, child: Cell | None) -> int:
        """The restarts that count by now in the window which a restart of this child is taken from.

        None: of the children's common window, if they have one.
        """
        ...

    def seconds_until_start(self, child: Cell) -> float | None:
        """How long a child that is down waits for its start; None: not for a time."""
        ...

    def start_static(self) -> bool:
        """Start the declared children in order; False: there are none.

        Answered by FAMILY_READY or FAIL in the own cell's control lane.
        """
        ...

    def stop_all(self, *, kill: bool) -> bool:
        """Stop every child, the last started first, answered by FAMILY_GONE. False: all are down."""
        ...

    def decide(self, child: Cell, error: BaseException) -> Decision:
        """What a failure of a child means: for the child at once, and when it is down."""
        ...

    def origin_of(self, child: Cell) -> Origin:
        """What brings a durable child to life after a start of the process."""
        ...

    def child_started(self, child: Cell) -> None:
        """A child is ready for messages."""
        ...

    def child_failing(self, child: Cell) -> None:
        """A child has failed, and its last hooks run: they have as long as those of one that is stopped."""
        ...

    def child_unwanted(self, child: Cell) -> bool:
        """A child that is down and is to be started again was asked to end: True, it has ended for good.

        False: it is permanent.
        """
        ...

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        """A child's incarnation has ended, its hooks too.

        `cause` None: an orderly end. `was_ready` False: it did not come to life.
        """
        ...


class Runtime:
    """The services of one actor system."""

    __slots__ = (
        "abandoned",
        "adoption",
        "alerts",
        "backend",
        "burials",
        "chance",
        "codec",
        "counts",
        "crowds",
        "dead_letters",
        "dispatcher",
        "extensions",
        "failing",
        "failure_log",
        "failures",
        "faults",
        "given_up",
        "has_durable",
        "is_ending",
        "is_open",
        "isolation",
        "limited_logs",
        "limits",
        "log",
        "mirror",
        "new_context",
        "new_family",
        "notices",
        "on_give_up",
        "overdue",
        "paused",
        "recoveries",
        "registry",
        "restarts",
        "sent_ids",
        "system",
        "tasks",
        "timekeeper",
        "unwinding",
        "waits",
        "watchers",
    )

    def __init__(
        self,
        *,
        system: ActorSystem,
        backend: Backend,
        dispatcher: Dispatcher,
        timekeeper: Timekeeper,
        mirror: Mirror,
        codec: Codec,
        registry: Registry,
        dead_letters: DeadLetters,
        log: RuntimeLog,
        new_family: Callable[[Cell, Actor], Family | None],
        new_context: Callable[[], Context],
        failure_log: LimitedLog,
        limited_logs: LimitedLogs,
        tasks: TaskGroup,
        limits: Limits,
        notices: Feed[MailboxNotice],
        alerts: Feed[Alert],
        isolation: Isolation,
        on_give_up: Callable[[str, Exception], None],
        faults: Faults | None,
    ) -> None:
        self.system: ActorSystem = system
        self.backend: Backend = backend
        self.dispatcher: Dispatcher = dispatcher
        self.timekeeper: Timekeeper = timekeeper
        self.burials: Burials = Burials(backend, tasks)
        """What has still to end for good, since it is below what has."""
        self.counts: Counts = Counts()
        """The messages of actors that have ended."""
        self.mirror: Mirror = mirror
        self.adoption: Adoption = Adoption(mirror.journal, registry, backend, tasks)
        """Reads what durable actors have left."""
        self.codec: Codec = codec
        self.registry: Registry = registry
        self.dead_letters: DeadLetters = dead_letters
        self.log: RuntimeLog = log
        self.new_family: Callable[[Cell, Actor], Family | None] = new_family
        """The family that an actor's class declares, if it is a supervisor."""
        self.new_context: Callable[[], Context] = new_context
        """A copy of the context variables that the system was entered with, for one actor."""
        self.failure_log: LimitedLog = failure_log
        self.limited_logs: LimitedLogs = limited_logs
        """Of whatever very many actors may come to at once."""
        self.tasks: TaskGroup = tasks
        """For what runs beside an actor, which sees to its end itself."""
        self.limits: Limits = limits
        self.faults: Faults | None = faults
        """What is to go wrong in this run, if anything."""
        dispatcher.warmth.has_short_cuts = faults is None
        self.chance: Random = Random()
        """For the jitter of backoffs."""
        self.isolation: Isolation = isolation
        """Of the classes that say nothing themselves."""
        self.notices: Feed[MailboxNotice] = notices
        """High and low water of mailboxes."""
        self.alerts: Feed[Alert] = alerts
        """What a person should look at."""
        self.on_give_up: Callable[[str, Exception], None] = on_give_up
        """To be called when a child of the root (its path) has exhausted its budget and ends for good."""
        self.has_durable: bool = False
        """There are durable actors, or have been."""
        self.recoveries: int = 0
        """Calls of `ActorSystem.recover` that are under way."""
        self.is_ending: bool = False
        """The system has begun to end: what durable actors have not handled stays pending."""
        self.is_open: bool = True
        """False once the system has ended: sending raises SystemClosed."""
        self.sent_ids: SentIds = SentIds(backend, mirror.journal, tasks, lambda: self.is_ending)
        """Of messages that were sent under ids and are under way."""
        self.waits: Waits = {}
        """Whose turn waits for an answer, of whom, and in which slot."""
        self.crowds: Crowds = {}
        """Whose turn waits for several answers together (`ask_many`)."""
        self.watchers: dict[Cell, dict[Watch, None]] = {}
        """Who is to be told of whose end."""
        self.abandoned: dict[AbandonedTurn, None] = {}
        """Turns that were left to themselves and have not ended yet."""
        self.unwinding: dict[Interruptible, None] = {}
        """What runs beside actors, was interrupted, and has neither ended yet nor been abandoned."""
        self.failing: dict[str, BaseException] = {}
        """Why actors are down, by path, until they are up again or given up."""
        self.paused: dict[str, str] = {}
        """Why actors are paused, by path."""
        self.given_up: dict[str, str] = {}
        """Why paths ended for good with an alert, until somebody lives there again; the newest of them."""
        self.extensions: dict[type, object] = {}
        """What layers above have of their own for one system, by its type."""
        self.failures: int = 0
        """Handlers and hooks that raised."""
        self.restarts: int = 0
        """Incarnations started after a failure or an end."""
        self.overdue: int = 0
        """Actors killed since they had not ended within their `shutdown`."""
