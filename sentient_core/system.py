"""The actor system: the root of everything, as programs see it; `assembly` puts it together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from signal import SIGINT, SIGTERM
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, cast, get_origin, overload

import anyio
import msgspec

from sentient_core.actors.actor import Actor, Askable, IsolationName
from sentient_core.actors.administration import administration_of
from sentient_core.actors.alerts import Alerts, raise_alert
from sentient_core.actors.blocking import THREADS, check_threads
from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.current import current_cell
from sentient_core.actors.event_publishing import bus_of
from sentient_core.actors.from_thread import FromThread
from sentient_core.actors.groups import Group, Topic
from sentient_core.actors.interruptible import unwound
from sentient_core.actors.letter_office import DeadLetterOffice
from sentient_core.actors.many import Answer, ask_many, broadcast
from sentient_core.actors.ref import ActorRef, cell_of
from sentient_core.actors.runtime import Runtime
from sentient_core.actors.virtual import VirtualCell
from sentient_core.actors.watchdog import check_threshold
from sentient_core.actors.water import MailboxNotices
from sentient_core.assembly import Parts, Root, put_together
from sentient_core.codec import Codec
from sentient_core.config import DEFAULT_SYSTEM, Settings
from sentient_core.errors import (
    ActorLives,
    ForeignRef,
    InvalidArgument,
    InvalidChildSpec,
    InvalidSignificance,
    SentientError,
    SignalsUnavailable,
    StoreError,
    SystemClosed,
)
from sentient_core.events import EventBus, EventType
from sentient_core.events.split_streams import streams_of
from sentient_core.faults import FaultPlan, Faults
from sentient_core.flushing import FlushProgress, flush
from sentient_core.health import Health, Phase, health_of
from sentient_core.in_thread import BackendName, SystemThread
from sentient_core.logs import runtime_log
from sentient_core.mailbox import Isolation
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.own_store import default_store, place_of_data, store_at
from sentient_core.past import Moment, StateAt, state_at
from sentient_core.paths import check_name
from sentient_core.recovering import (
    DormantActor,
    Recovered,
    Recovery,
    RecoveryProgress,
    classes_by_tag,
    dormant_actors,
)
from sentient_core.store import MemoryStore
from sentient_core.store.audit import Audit
from sentient_core.store.faulty import check_injectable, has_store_rules, heal, inject
from sentient_core.store.protocols import (
    Backlog,
    JournalOptions,
    Outage,
    Store,
    StoreHolder,
    store_of,
)
from sentient_core.store.retention import Pruned, Retention
from sentient_core.store.streams import EventStreams
from sentient_core.store.surreal import SurrealStore
from sentient_core.supervisor.administration import AdministeredChildren
from sentient_core.supervisor.children import Children
from sentient_core.supervisor.intensity import RestartBudget
from sentient_core.supervisor.spec import ChildSpec, Restart
from sentient_core.supervisor.strategy import Strategy
from sentient_core.supervisor.virtual import VirtualFamily, virtual_ref
from sentient_core.tree import TreeNode, tree_of
from sentient_core.until_signal import (
    ExitCode,
    Levers,
    check_seconds,
    check_signals,
    received,
    until_signal,
)

__all__ = ["ActorSystem", "OnGiveUp", "SystemStatistics", "runtime_of"]

OnGiveUp: TypeAlias = Literal["end", "stop"]
"""What the root does about a child that has exhausted its restarts: it alone ends, or the system stops."""

_UNCLEAN_END = "the process ended without closing the system"

A = TypeVar("A", bound=Actor)
M = TypeVar("M")
R = TypeVar("R")


class SystemStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """An actor system at one moment. Counts are since its start."""

    actors: int
    """Living, supervisors included."""
    handled: int
    """Messages handled, by the actors that live now."""
    failures: int
    """Handlers and hooks that raised."""
    restarts: int
    """Incarnations started in place of one that was down, of all actors."""
    dead_letters: int
    mirrored: int
    """Messages and replies given to the store."""
    unmirrored: int
    """Messages and replies handled without being mirrored, since the store could not take them."""
    backlog: Backlog
    """How far the store is behind."""


class ActorSystem:
    """Everything that actors need: use it as an async context manager.

    ::

        async with ActorSystem("bank", store="surrealkv://bank.db") as system:
            ref = await system.spawn(Account, name="alice")

    `store` is the address of a SurrealDB database (`surrealkv://directory` for an embedded one on
    disk, `mem://` for one in memory, `wss://host:8000` for a server's), or a `Store` or who has one
    (`SurrealDBConfig`), which then several systems may share and whoever made it closes. Without it the
    settings say where it is: at `SURREALDB_URL`, or in a directory of the user's data, one per system's name.
    `settings` are those of the environment and of a file `.env` (`Settings.load()`) where none are given; an
    address is opened as they say, with their namespace, database, user and number of connections. The system
    takes over the records that are stored under its name; actors spawned again under their paths
    continue from their latest checkpoints. Several systems can live in one process. `isolation` is that
    of the actor classes that say nothing themselves (`Actor.isolation`).

    Leaving the block, also by an exception or a cancellation, stops all actors, children before
    parents and each within its grace, then writes what the store has not got yet for at most
    `drain_patience` seconds; what is left stays in the journal for the next start. If the store is
    taken over by another start of the same system, the block is cancelled and raises Fenced. A service
    that ends by a signal waits for it in the block: `run_until_signal`.

    `on_give_up` says what becomes of the system when an actor spawned in it has exhausted its restarts:
    `"end"`: that actor ends for good with a `system_alert`, the system goes on; `"stop"`: the block is
    cancelled and raises RestartLimitExceeded, from the last failure.

    `restart_budget` bounds the restarts of the whole system, whichever supervisors they belong to: while it
    is spent, an actor that fails is not restarted, and the one below the root that it belongs to ends for
    good with an alert. Virtual actors are never given up: they, and whatever they spawn, do not count.

    `faults` is a plan of what goes wrong in it, for tests and benchmarks (`sentient_core.faults`).

    `threads` is how many threads `Actor.run_sync` uses at the same time, for all actors together.

    A handler that keeps the event loop from running for `watchdog` seconds is named in the log and in a
    `handler_blocks` event, with its stack; None looks after nothing. Apart from that thread, which ends
    with the block, and the store's, the process stays as it is: no signal handlers (but while
    `run_until_signal` waits), no logging configuration, no event-loop policy.

    All of it belongs to the thread that entered the block; other threads use `from_thread`, and a
    program that is not async `in_thread`.
    """

    def __init__(
        self,
        name: str = DEFAULT_SYSTEM,
        *,
        store: str | Store | StoreHolder | None = None,
        settings: Settings | None = None,
        journal: JournalOptions | None = None,
        drain_patience: float = 5.0,
        threads: int = THREADS,
        watchdog: float | None = 0.25,
        isolation: IsolationName = "none",
        restart_budget: RestartBudget | None = None,
        on_give_up: OnGiveUp = "end",
        faults: FaultPlan | None = None,
    ) -> None:
        self.name: str = check_name(name)
        check_seconds("drain_patience", drain_patience, is_optional=False)
        if settings is not None and not isinstance(settings, Settings):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"settings must be a Settings(...), not {settings!r}")
        self._threads = check_threads(threads)
        self.settings: Settings = settings or Settings.load()
        """What the installation decides. Its URL and credentials count where `store` does not name them."""
        self._own_store: SurrealStore | MemoryStore | None = None
        self._is_default_store = store is None
        if store is None:
            store = self._own_store = default_store(self.settings, self.name)
        elif isinstance(store, str):
            store = self._own_store = store_at(store, self.settings)
        self.store: Store = store_of(store)
        """The store, for queries: `await system.store.events(system.name, …)`."""
        self._sharer = store
        self._streams: EventStreams | None = None
        self._isolation = _checked_isolation(isolation)
        self._root_strategy = msgspec.structs.replace(Root.strategy, budget=restart_budget)
        self._stops_when_given_up = _is_stop(on_give_up)
        if faults is not None and not isinstance(faults, FaultPlan):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"faults must be a FaultPlan(...), not {faults!r}")
        self.faults: Faults | None = None if faults is None else Faults(faults)
        """What goes wrong on purpose: `.injected` says what has, `.pause()` lets nothing more."""
        if self.faults is not None and has_store_rules(self.faults):
            check_injectable(self.store)
        self._options = msgspec.structs.replace(
            journal or JournalOptions(), log_level=self.settings.log_level
        )
        self._forgetting = anyio.Lock()
        self._patience = drain_patience
        self._threshold = check_threshold(watchdog)
        self._log = runtime_log(self.name, self.settings.log_level)
        self._parts: Parts | None = None
        self._phase = Phase.NEW
        self._fenced: StoreError | None = None
        self._gave_up: Exception | None = None
        self._own_end: anyio.Event | None = None
        """Of `run_until_signal`, while it waits: set when the system ends by itself."""
        self._unsaved = 0
        """Records that the store had not taken at the end."""
        self._is_own_end_told = False
        """That call has returned why; the block need not raise it."""

    def __repr__(self) -> str:
        return f"<ActorSystem '{self.name}' at {self.store.url}: {self._phase}>"

    async def __aenter__(self) -> Self:
        if self._parts is not None:
            raise SentientError(f"the actor system '{self.name}' has been entered before: make a new one")
        self._phase = Phase.STARTING
        if self._is_default_store:
            self._log.info(f"data in {place_of_data(self.store.url)}", store=self.store.url)
        if self.faults is not None and has_store_rules(self.faults):
            inject(self.store, self.faults)
        try:
            journal = await self.store.open_journal(
                self.name, options=self._options, on_fenced=self._on_fenced, on_outage=self._on_outage
            )
        except BaseException:
            self._phase = Phase.STOPPED
            await self._close_store()
            raise
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._parts = parts = put_together(
            self,
            journal,
            tasks,
            log=self._log,
            codec=Codec(self._resolve, self._check_is_own),
            strategy=self._root_strategy,
            threads=self._threads,
            watchdog=self._threshold,
            isolation=self._isolation,
            on_give_up=self._on_give_up,
            on_gap=self._on_gap,
            faults=self.faults,
        )
        try:
            tasks.start_soon(parts.runtime.timekeeper.run, name="sentient-core timekeeper")
            if parts.watchdog is not None:
                parts.watchdog.start()
            await parts.root.start()
            await self._note_unclean_end(parts)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        self._phase = Phase.RUNNING
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        parts = self._parts
        if parts is None:
            return None
        try:
            await self._end(parts)
            if parts.runtime.abandoned:
                self._log.error(
                    "leaving waits for what was abandoned and still runs (run_until_signal would not)",
                    handlers=list(map(str, parts.runtime.abandoned)),
                )
            # The body's own exception passes as it is; the task group sees cancellations alone, which may
            # be its own.
            if isinstance(error, Exception):
                await parts.tasks.__aexit__(None, None, None)
                return False
            return await parts.tasks.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # A handler's KeyboardInterrupt or SystemExit ends the program as it would anywhere else.
            ends = [e for e in group.exceptions if isinstance(e, KeyboardInterrupt | SystemExit)]
            if len(ends) == len(group.exceptions) == 1:
                raise ends[0] from None
            raise
        finally:
            self._phase = Phase.STOPPED
            reason = None if self._is_own_end_told else self._fenced or self._gave_up
            if reason is not None:
                raise reason

    async def run_until_signal(
        self,
        *,
        drain: float = 10.0,
        grace: float | None = 30.0,
        signals: Iterable[int] = (SIGTERM, SIGINT),
    ) -> int:
        """Run as a service: wait for a signal, end in order, and return the exit code of the process.

        ::

            async def main() -> int:
                async with ActorSystem("bank", store="surrealkv://bank.db") as system:
                    await system.spawn(Bank, name="bank")
                    return await system.run_until_signal()

            raise SystemExit(anyio.run(main))

        After the signal, what is queued gets `drain` seconds to be handled; messages go on being taken
        meanwhile, and timers and pipes are not waited for. Then all actors stop, children before parents
        and each within its `shutdown`; those that are not down `grace` seconds later are killed (None: there
        is no limit but their own). At last the journal is written for at most `drain_patience` seconds. A
        second signal skips the drain, a third one kills at once. What is still to end is logged every few
        seconds. `ExitCode` says what is returned when; a process manager's patience should exceed
        `drain + grace + drain_patience`, and the `kill_grace` of actors that might swallow their kill.

        It also returns when the system ends by itself, with the code for that, and the block then raises
        nothing: FENCED must not be started again (systemd: `RestartPreventExitStatus=86`). Handlers that go
        on in spite of being cancelled would be waited for for ever: where there are any, the process is
        ended with `os._exit(code)` as soon as the store is closed, and only then; `finally` blocks and
        `atexit` do not run.

        The system has stopped when this returns, and the signals do again what they did before; meanwhile
        none of them raises KeyboardInterrupt. Cancelling it while it waits or drains stops nothing; the end
        of the block does. Raises InvalidArgument, and SignalsUnavailable on Windows, off the main thread, in
        an actor, and while another call waits.
        """
        parts = self._open("wait for a signal")
        check_seconds("drain", drain, is_optional=False)
        check_seconds("grace", grace, is_optional=True)
        numbers = check_signals(signals)
        if current_cell.get() is not None:
            raise SignalsUnavailable("in an actor, whose own end it would wait for")
        if self._own_end is not None:
            raise SignalsUnavailable("twice: another call of it waits already")
        self._own_end = has_begun = anyio.Event()
        try:
            with received(numbers) as source:
                if self._fenced or self._gave_up:
                    has_begun.set()
                levers = self._levers(parts)
                code = await until_signal(levers, source, has_begun, drain=drain, grace=grace)
            self._is_own_end_told = code in (ExitCode.FENCED, ExitCode.GAVE_UP)
            return code
        finally:
            self._own_end = None

    def spawn(
        self,
        cls: type[A],
        *args: Any,
        name: str | None = None,
        restart: Restart | str = Restart.TRANSIENT,
        shutdown: float | str | None = "default",
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ActorRef[A]]:
        """Start an actor under the root supervisor; returns its ref once it is ready.

        `args` and `kwargs` go to the class's `__init__`, at every start. A named actor that the store
        knows takes up its stored state. `restart` and `shutdown` are as in `ChildSpec`. The root gives
        each child three restarts in five seconds: what may fail more often belongs under a `Supervisor`
        of its own, or is started by `start_child` with a backoff. Raises InvalidName, InvalidChildSpec,
        NameTaken (with the living ref), CheckpointUnusable, StartIgnored, or whatever the actor's own start
        raised; nothing of it is then left.
        """
        spec = ChildSpec(cls, name=name, args=args, kwargs=kwargs, restart=restart, shutdown=shutdown)
        return self._family_of(self._open("spawn an actor").root).spawn(spec)

    def start_child(self, spec: ChildSpec) -> Coroutine[Any, Any, ActorRef[Any]]:
        """Start an actor under the root supervisor by its spec; returns its ref once it is ready.

        For what `spawn` has no argument for: a `start_timeout`, a `backoff` and rules (`decide`) of its own.
        A spec is `permanent` if it does not say otherwise: `terminate_child` ends it for good. Raises as
        `spawn`.
        """
        if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidChildSpec(f"start_child takes a ChildSpec(...), not {spec!r}; a class is for spawn")
        if spec.significant:
            raise InvalidSignificance(
                "no child of the root supervisor is significant: it does not end with one"
            )
        return self._family_of(self._open("spawn an actor").root).spawn(spec)

    async def terminate_child(self, name: str) -> None:
        """End an actor under the root for good, whatever its restart type, and return when it is down.

        As `ActorRef.terminate_child`, and nothing of it is left. Raises UnknownChild.
        """
        root = self._open("terminate an actor").root
        await administration_of(root).terminate_child(name)

    def spawn_child(
        self,
        parent: Cell,
        cls: type[A],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        name: str | None,
        restart: Restart | str,
        shutdown: float | str | None,
    ) -> Coroutine[Any, Any, ActorRef[A]]:
        """`Context.spawn`."""
        spec = ChildSpec(cls, name=name, args=args, kwargs=kwargs, restart=restart, shutdown=shutdown)
        self._open("spawn an actor")
        return self._family_of(parent).spawn(spec)

    async def get_or_spawn(self, cls: type[A], key: str, *args: Any, **kwargs: Any) -> ActorRef[A]:
        """The virtual actor of a class under a key, which is always there: `Account/alice`.

        It starts with its first message, with the state that the store has for it, ends in order when it
        has been idle for `cls.passivate_after` seconds (no message in hand or queued, no timer, nothing
        stashed), and starts again with its next message. Nobody notices: the ref stays alive, watchers
        and groups are kept, a message that comes meanwhile is handled by the next instance. `stop()`
        ends the instance at hand, not the actor; so does a failure, after which it is started again.

        `args` and `kwargs` go to the class's `__init__` at every start; those of the first call in this
        process hold. When it does not start, what is queued becomes dead letters (`failed`) and askers
        get ActivationFailed; the next message tries again. Raises InvalidChildSpec for a class that is
        volatile or has no State, InvalidCall for arguments that its `__init__` does not take (looked at
        in the first call, since they hold), InvalidName, NameTaken where something else lives at its path.
        """
        root = self._open("spawn an actor").root
        return virtual_ref(self._family_of(root), cls, key, args, kwargs)

    def get(self, path: str) -> ActorRef[Any]:
        """The living actor at a path such as `bank/alice`. Raises UnknownActor, with near misses."""
        return self._open("look up an actor").runtime.registry.get(path).ref

    @overload
    def actors(
        self, cls: type[A], *, capability: str | None = None, name: str | None = None
    ) -> list[ActorRef[A]]: ...
    @overload
    def actors(self, *, capability: str | None = None, name: str | None = None) -> list[ActorRef[Any]]: ...
    def actors(
        self, cls: type[Actor] = Actor, *, capability: str | None = None, name: str | None = None
    ) -> list[ActorRef[Any]]:
        """The living actors that are all of what is given; looks at every actor there is.

        `cls`: of this class or a subclass. `capability`: of a class whose `capabilities` hold it. `name`:
        the last part of the path. In no promised order.
        """
        cells = self._open("look up actors").runtime.registry
        return [
            cell.ref
            for cell in cells
            if (name is None or cell.name == name)
            and issubclass(cell.blueprint.cls, cls)
            and (capability is None or capability in cell.capabilities)
        ]

    def group(self, name: str) -> Group:
        """The group of actors under a name, empty until one joins."""
        return Group(self._open("look up a group").runtime, name)

    @overload
    def topic(self, name: str, of: type[M]) -> Topic[M]: ...
    @overload
    def topic(self, name: str) -> Topic[Any]: ...
    def topic(self, name: str, of: type[Any] | None = None) -> Topic[Any]:
        """The topic under a name; `of` is the type of the messages it carries, None: as it was taken before.

        One that was never taken with a type carries any. Raises InvalidArgument for one that was taken with
        another type.
        """
        return Topic(self._open("look up a topic").runtime, name, of)

    def broadcast(self, refs: Iterable[ActorRef[Actor[M]]], message: M) -> int:
        """`tell` a message to each of `refs`; returns how many they are. See `Group.broadcast`."""
        return broadcast(self._open("send a message").runtime, refs, message)

    # As in `ActorRef.ask`; the second is for mypy alone, which also wants the first parameter to be of one
    # type in all three: else it forgets the reply's type where the actor's class is not known.
    @overload
    async def ask_many(
        self, refs: Iterable[ActorRef[Actor[M]]], message: Askable[Actor[M], R], *, timeout: float
    ) -> list[Answer[R]]: ...
    @overload
    async def ask_many(  # pyright: ignore[reportOverlappingOverload] - as above
        self, refs: Iterable[ActorRef[Actor[M]]], message: Askable[Actor[M], object], *, timeout: float
    ) -> list[Answer[object]]: ...
    @overload
    async def ask_many(
        self, refs: Iterable[ActorRef[Actor[M]]], message: M, *, timeout: float
    ) -> list[Answer[Any]]: ...
    async def ask_many(
        self, refs: Iterable[ActorRef[Any]], message: object, *, timeout: float
    ) -> list[Answer[Any]]:
        """`ask` all of `refs` at the same time; the answers, in their order. See `Group.ask_many`."""
        return await ask_many(self._open("send a message").runtime, refs, message, timeout)

    @property
    def event_streams(self) -> EventStreams:
        """Its events for event buses: in the store; or what is published in memory, by EVENT_BUS_BACKEND."""
        if self._streams is None:
            self._streams = streams_of(self.store, self.settings, shared=self._sharer)
        return self._streams

    @property
    def events(self) -> EventBus:
        """The system's event bus: what happens to its actors, and what is published, for whoever follows.

        ::

            system.events.subscribe(EventType.ACTOR_FAILED, report)
            await system.events.publish_event(AgentEvent(event_type="shop.opened", source_agent="shop"))

        Followers get events right behind their commit. It ends with the system; nothing is spent on it before
        it is asked for. What is published in a durable turn is committed with the turn. Belongs to the loop's
        thread.
        """
        parts = self._entered("use its events")
        if parts.events is None:
            parts = self._open("use its events")
            parts.events = bus_of(parts.runtime, self.store, self.name, self.event_streams, self.settings)
            parts.tasks.start_soon(parts.events.serve, name="sentient-core event bus")
        return parts.events

    @property
    def dead_letters(self) -> DeadLetterOffice:
        """The messages that will not be handled: the newest, the counts, and what can be done with them."""
        return self._entered("look at dead letters").office

    @property
    def mailbox_notices(self) -> MailboxNotices:
        """High and low water of the mailboxes that have marks (`MailboxOptions`): to subscribe or follow."""
        return MailboxNotices(self._entered("look at mailbox notices").runtime.notices)

    @property
    def alerts(self) -> Alerts:
        """What a person should look at, as it comes up: to subscribe or follow. See `system_alert`."""
        return Alerts(self._entered("look at alerts").runtime.alerts)

    async def flush(self, *, progress: Callable[[FlushProgress], object] | None = None) -> None:
        """Return when everything sent and saved before this call can be queried in the store.

        What mirrored actors have counted is written as well: see `audit`. Of a backlog that takes longer
        than three seconds a line of the log says how far it is, again and again, and `progress` is called
        with the same. It waits through an outage. Raises Fenced, StoreUnavailable, SystemClosed.
        """
        runtime = self._open("flush").runtime
        runtime.mirror.catch_up()
        await runtime.counts.write(runtime.registry, runtime.mirror, runtime.backend)
        await flush(runtime, progress)

    async def rows_written(self) -> None:
        """Return when everything committed before this call can be queried in the store.

        As `flush`, without what mirrored actors have counted: of very many, that takes its time.
        """
        mirror = self._open("wait for its rows").runtime.mirror
        mirror.catch_up()
        await mirror.journal.flush()

    async def state_at(self, path: str, moment: Moment, *, cls: type[Actor] | None = None) -> StateAt:
        """The state of an actor at an earlier time, or at the position of an event or a checkpoint.

        ::

            then = await system.state_at("bank/alice", datetime.now(UTC) - timedelta(hours=1))
            print(then.state, then.messages_since)

        It is the newest checkpoint that the store has of that moment or before; `messages_since` says how
        many messages came between the two. How many checkpoints there are is up to the class
        (`checkpoint_policy`, which a durable class has to set for that, `self.checkpoint()`) and to what is
        kept (`JournalOptions.kept_checkpoints`, `Retention`). `cls` is the class of the state where nobody
        lives at the path; without either it is plain data. Raises NoSuchState, CheckpointUnusable,
        InvalidArgument.
        """
        runtime = self._open("look at an earlier state").runtime
        await self.flush()
        cell = runtime.registry.find(path)
        known = cls if cls is not None or cell is None else cell.blueprint.cls
        return await state_at(self.store, runtime.codec, self.name, path, moment, known)

    def dormant(self) -> list[DormantActor]:
        """Durable actors that the store knows and nobody has spawned since the system started, by path.

        They go on accepting what is told or sent to them by refs out of states and messages; whoever is
        spawned at such a path takes that up, with the actor's state. Virtual actors that nobody has asked
        for yet are among them. `recover` starts them.
        """
        return dormant_actors(self._open("look at dormant actors").runtime)

    async def recover(
        self,
        actors: Iterable[type[Actor]] | None = None,
        *,
        progress: Callable[[RecoveryProgress], object] | None = None,
    ) -> Recovered:
        """Start the durable actors of earlier starts that nobody has spawned yet.

        ::

            async with ActorSystem("bank", store="surrealkv://bank.db") as system:
                await system.spawn(Bank, name="bank")           # its declared children come with it
                recovered = await system.recover()              # those that were spawned at run time
                assert not recovered.skipped, recovered.skipped

        What was spawned (below the root, by `context.spawn`, by `start_child`, in a pool) is spawned again
        where it was, as `transient` if not by the spec of a pool; virtual actors are activated that have
        messages, durable timers, or tasks that are not over. Their classes are found by tag among `actors`,
        else among all that are imported. One whose class is not known, that needs arguments, whose parent is
        not there, or that does not start, stays dormant, and is in `skipped` with the reason; one that had
        ended for good in order is left alone. Returns when all that were spawned are ready; until then each
        of them handles a message before any handles two. `progress` is called after each actor. May be called
        again.
        Raises InvalidArgument, SystemClosed.
        """
        parts = self._open("recover")
        recovery = Recovery(
            parts.root,
            self._family_of,
            classes_by_tag(actors),
            parts.runtime.mirror.journal.timers_due,
            self.store,
            progress,
        )
        began = parts.runtime.backend.now()
        found = await recovery.run()
        self._log.info(
            "recovered",
            started=found.started,
            activated=found.activated,
            pending=found.pending,
            skipped=len(found.skipped),
            seconds=round(parts.runtime.backend.now() - began, 3),
        )
        return found

    async def forget(self, path: str) -> Pruned:
        """Delete all that is stored of an actor: its states, messages, timers, dead letters and events.

        Of a path where nobody lives; a passive virtual actor ends with it. Events of others that it was
        sent, or has sent, are among its events. Not its children, and not its incarnation, which counts on.
        Returns what was deleted, when it is; goes in bounded batches, beside everything else. Begun once, it
        is finished by the next start if the process dies; cancelled or failed, nobody can be spawned there
        until it is called again and returns (BeingForgotten). Forgetting again, or what the store does not
        know, deletes nothing. Raises ActorLives, InvalidArgument, StoreUnavailable, Fenced, SystemClosed.
        """
        runtime = self._open("forget an actor").runtime
        registry = runtime.registry
        if not _is_path(path):
            raise InvalidArgument(f"forget takes the path of an actor, not {path!r}")
        async with self._forgetting:
            cell = registry.find(path)
            if (
                cell is not None
                and cell.is_passive
                and not cell.has_work
                and isinstance(cell.above, VirtualFamily)
            ):
                cell.above.discard(cast("VirtualCell", cell))
            elif cell is not None:
                raise ActorLives(path, cell.status.value)
            # Until it has succeeded: who lived there before would be deleted by the next start.
            registry.forgetting.add(path)
            runtime.mirror.catch_up()
            gone = await runtime.mirror.journal.forget(path)
            registry.forget(path)
            registry.forgetting.discard(path)
        return gone

    async def audit(self) -> Audit:
        """What has become of every message: sent = handled + dead-lettered + quarantined + expired + pending.

        ::

            audit = await system.audit()
            assert audit.is_balanced, audit

        Of durable actors by the ids of their messages, from the first on that the store knows, as the store
        has it: this waits until everything sent before is projected. What is missing or doubled is named.
        Takes some microseconds per message.

        Of mirrored and volatile actors by what this process has counted since the system started, exact when
        this returns, those that have ended included; of more than some hundred actors each at a moment of
        its own. What a mirrored actor was sent is counted apart from the rest, where its event is written
        down or left out; what a volatile one was sent is the sum of the rest. A dead letter of theirs that is
        sent again counts as sent once more. The store has the counts of mirrored actors as of the last
        `flush`, and of the orderly end: `store.audit(name)` and `sentient audit` add those of earlier starts.
        Raises StoreUnavailable, Fenced, SystemClosed.
        """
        runtime = self._open("audit").runtime
        await self.flush()
        stored = await self.store.audit(self.name)
        durable = (actor for actor in stored.actors if actor.durability == "durable")
        counted = await runtime.counts.audits(runtime.registry, runtime.backend)
        actors = sorted((*durable, *counted), key=lambda actor: (actor.path, actor.durability))
        return msgspec.structs.replace(stored, actors=tuple(actors))

    async def prune(self, retention: Retention | None = None) -> Pruned:
        """Delete from the store now what there is no room for any more; returns what that was.

        By the limits given, else by those of the system (`JournalOptions.retention`), which are kept in the
        background anyway; a system without any takes the defaults. Of this system's rows alone, and only
        of what can be queried already (`flush` first for all). Never deletes what the next start needs:
        see `Retention`. Raises InvalidArgument, StoreUnavailable, Fenced, SystemClosed.
        """
        journal = self._open("prune").runtime.mirror.journal
        if not isinstance(retention, Retention | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"prune takes a Retention(...), not {retention!r}")
        return await journal.prune(retention or self._options.retention or Retention())

    def statistics(self) -> SystemStatistics:
        """How the system is doing at this moment."""
        runtime = self._entered("take statistics").runtime
        return SystemStatistics(
            actors=len(runtime.registry),
            handled=sum(cell.handled for cell in runtime.registry),
            failures=runtime.failures,
            restarts=runtime.restarts,
            dead_letters=runtime.dead_letters.total,
            mirrored=runtime.mirror.recorded,
            unmirrored=runtime.mirror.unmirrored,
            backlog=runtime.mirror.journal.backlog(),
        )

    def tree(self, path: str = "") -> TreeNode:
        """All actors, or those from one on (`tree("bank")`), as they are at this moment: data, and a text.

        ::

            print(system.tree())
            [node.path for _, node in system.tree().walk() if node.status == "restarting"]

        Takes some microseconds per actor, in which nothing else runs. Raises UnknownActor, with near misses;
        WrongThread on another thread, which calls `system.from_thread.call(system.tree)`.
        """
        parts = self._entered("look at the tree")
        runtime = parts.runtime
        runtime.dispatcher.check_thread("call(system.tree)")
        if path:
            return tree_of(runtime.registry.get(path))
        return tree_of(parts.root, name=self.name, uptime=runtime.backend.now() - parts.began)

    def health(self) -> Health:
        """How the system is at this moment, for a readiness probe and for people. Cheap.

        At any time, also before it is entered and after its end, and from any thread.
        """
        parts = self._parts
        if parts is None:
            return health_of(self._phase, None, None, is_fenced=self._fenced is not None)
        return health_of(self._phase, parts.runtime, parts.watchdog, is_fenced=self._fenced is not None)

    @property
    def from_thread(self) -> FromThread:
        """The system for threads other than its event loop's: `system.from_thread.tell(ref, message)`."""
        return self._entered("use it from a thread").from_thread

    def in_thread(
        self, *, backend: BackendName = "asyncio", backend_options: dict[str, Any] | None = None
    ) -> SystemThread:
        """For a program that is not async: run the system in a thread of its own.

        ::

            with ActorSystem("shop", store="surrealkv://shop.db").in_thread() as shop:
                cart = shop.spawn(Cart, name="cart")
                total = shop.ask(cart, Total(), timeout=1.0)

        The block gets the system as its `from_thread`, which all of its threads may use. Leaving it, also
        by an exception or a Ctrl-C, ends the system in order. The block's own exception passes as it is;
        what went wrong with the system itself is raised at the end (Fenced), or noted on that exception.
        `backend_options` are those of `anyio.run`.
        """
        return SystemThread(self, backend, backend_options)

    def _entered(self, what: str) -> Parts:
        if self._parts is None:
            raise SystemClosed(self.name, what)
        return self._parts

    def _open(self, what: str) -> Parts:
        parts = self._entered(what)
        if not parts.runtime.is_open:
            raise SystemClosed(self.name, what)
        return parts

    def _family_of(self, cell: Cell) -> Children:
        if isinstance(cell.family, Children):
            return cell.family
        cell.family = family = AdministeredChildren(cell, Strategy())
        return family

    def _resolve(self, kind: type, path: str) -> object:
        if (get_origin(kind) or kind) is not ActorRef:
            raise NotImplementedError(f"a {kind.__qualname__} cannot be read back from the store")
        parts = self._open("read a ref")
        found = parts.runtime.registry.find(path)
        if found is None:
            found = Cell(parts.runtime, parts.ground, path, Actor)
            found.become_nobody()
        return found.ref

    def _check_is_own(self, value: object) -> None:
        """A ref is stored as its path, which would be read back as that of an actor of this system."""
        if isinstance(value, ActorRef):
            cell = cell_of(value)  # pyright: ignore[reportUnknownArgumentType] - of whatever actor it is
            if cell.runtime.system is not self:
                raise ForeignRef(cell.ref, self.name, cell.runtime.system.name)

    async def _note_unclean_end(self, parts: Parts) -> None:
        mirror = parts.runtime.mirror
        damage = mirror.journal.damage
        if mirror.journal.ended_cleanly:
            return
        if damage:
            alert, reason = "journal damaged", f"{damage}: what was committed with them is lost"
        else:
            alert, reason = "mirror gap", _UNCLEAN_END
            self._log.warning(
                "the last run did not end in order: messages to mirrored actors of its last milliseconds may "
                "not be mirrored. Durable actors lose nothing"
            )
        mirror.happened(
            EventType.MIRROR_GAP,
            "",
            {"target": None, "count": None, "reason": reason},
            force=True,
        )
        raise_alert(parts.runtime, alert, reason, force=True)
        # Committed before anything else happens, or a process killed right now would take the note along.
        with anyio.move_on_after(self._options.call_timeout):
            await mirror.journal.committed()

    def _on_fenced(self, error: StoreError) -> None:
        self._fenced = error
        self._end_by_itself()

    def _on_give_up(self, path: str, error: Exception) -> None:
        is_up = self._phase in (Phase.RUNNING, Phase.DRAINING)
        if self._stops_when_given_up and is_up and self._gave_up is None:
            self._log.error("stopping, since an actor was given up", path=path)
            self._gave_up = error
            self._end_by_itself()

    def _end_by_itself(self) -> None:
        if self._own_end is not None:
            self._own_end.set()
        elif self._parts is not None:
            self._parts.tasks.cancel_scope.cancel()

    def _on_outage(self, outage: Outage) -> None:
        if self._parts is not None:
            self._parts.store_alerts.outage(outage)

    def _on_gap(self) -> None:
        # One that is fenced or has ended takes nothing any more: that is not what is to be looked at.
        if self._parts is not None and self._parts.runtime.is_open and self._fenced is None:
            self._parts.store_alerts.gap()

    def _levers(self, parts: Parts) -> Levers:
        return Levers(
            runtime=parts.runtime,
            drain=self._note_drain,
            stop=lambda: self._end(parts),
            kill=lambda: _killed(parts.root),
            own_end=lambda: self._fenced or self._gave_up,
            unsaved=lambda: self._unsaved,
        )

    def _note_drain(self) -> None:
        self._phase = Phase.DRAINING

    async def _end(self, parts: Parts) -> None:
        """Stop everything, once: who comes later waits until that is done. Cannot be cancelled."""
        with anyio.CancelScope(shield=True):
            if parts.has_ended is not None:
                await parts.has_ended.wait()
                return
            parts.has_ended = anyio.Event()
            self._phase = Phase.STOPPING
            try:
                await self._shut_down(parts)
            finally:
                parts.has_ended.set()

    async def _shut_down(self, parts: Parts) -> None:
        runtime = parts.runtime
        runtime.is_ending = True
        if parts.root.status is CellStatus.RUNNING:
            parts.root.signal(Signal(SignalKind.STOP))
        if parts.root.status is not CellStatus.NEW:  # a kill may have come before the stop
            await parts.ground.is_down
        parts.root.bury()
        await runtime.burials.finish()
        await unwound(runtime)
        if runtime.has_durable:
            # What their last turns have sent, and answered, leaves with the commit.
            with anyio.move_on_after(self._patience), suppress(StoreError):
                await runtime.mirror.journal.committed()
        runtime.sent_ids.close()
        parts.from_thread.close()
        if parts.events is not None:
            await parts.events.stop()
        runtime.is_open = False
        runtime.dispatcher.close()
        runtime.timekeeper.close()
        runtime.dead_letters.close()
        runtime.failure_log.close()
        runtime.limited_logs.close()
        runtime.notices.close()
        runtime.alerts.close()
        runtime.mirror.close()
        runtime.counts.write_last(runtime.mirror)
        try:
            left = await runtime.mirror.journal.close(self._patience)
            if left.uncommitted and self._fenced is None:
                self._unsaved = left.uncommitted
                self._log.error("the store did not take the last records", records=left.uncommitted)
        finally:
            if parts.watchdog is not None:
                await parts.watchdog.stop()
            await self._close_store()
            if isinstance(self._own_store, SurrealStore):
                self._own_store.retire()  # else a later question would open it again and keep its lock

    async def _close_store(self) -> None:
        if self.faults is not None and has_store_rules(self.faults):
            heal(self.store, self.faults)
        if self._own_store is not None:
            with anyio.CancelScope(shield=True):
                await self._own_store.close()


def _checked_isolation(isolation: str) -> Isolation:
    try:
        return Isolation(isolation)
    except ValueError:
        names = ", ".join(repr(i.value) for i in Isolation)
        raise InvalidArgument(f"isolation is {isolation!r}; it can be {names}") from None


def _is_stop(on_give_up: object) -> bool:
    if on_give_up not in ("end", "stop"):
        raise InvalidArgument(f"on_give_up is {on_give_up!r}; it can be 'end' or 'stop'")
    return on_give_up == "stop"


def _is_path(path: object) -> bool:
    return isinstance(path, str) and bool(path)


def _killed(root: Cell) -> bool:
    if root.is_down:
        return False
    root.kill()
    return True


def runtime_of(system: ActorSystem, what: str) -> Runtime:
    """What its cells share, for the layers above. Raises SystemClosed, which names `what` was to be done."""
    return system._open(what).runtime  # pyright: ignore[reportPrivateUsage] - it is this module's own
