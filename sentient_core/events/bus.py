"""The event bus: publish, subscribe, replay, history, over what a store keeps of a system's events."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from uuid import uuid4
from weakref import WeakValueDictionary

import anyio
import msgspec

from sentient_core.backend import current_backend
from sentient_core.config import DEFAULT_SYSTEM, Settings, StorageBackend
from sentient_core.errors import EventBusStopped, Fenced, InvalidArgument, InvalidCursor, StoreError
from sentient_core.events.acknowledging import Acknowledger
from sentient_core.events.agent_event import AgentEvent
from sentient_core.events.cursor import Cursor
from sentient_core.events.event_type import EventType, event_type_of
from sentient_core.events.follower import Follower
from sentient_core.events.publishing import BesidePublisher, FreePublisher, Publisher
from sentient_core.events.streams import FedStream, RowStream, Stream
from sentient_core.events.subscription import TRIES, Callback, EventIterator, EventSubscription
from sentient_core.logs import LimitedLog, LogLevel, runtime_log
from sentient_core.paths import check_name
from sentient_core.store.event_filter import EventFilter, check_text
from sentient_core.store.other_systems import OtherSystems
from sentient_core.store.protocols import store_of
from sentient_core.store.retention import Retention
from sentient_core.store.streams import END, Mark, Place, Span, Subscriber, external_stream, just_before

if TYPE_CHECKING:
    from datetime import datetime

    from anyio.abc import TaskGroup

    from sentient_core.backend import Backend
    from sentient_core.store.protocols import DeadLetterRow, Journal, Store, StoreHolder
    from sentient_core.store.retention import Pruned
    from sentient_core.store.streams import EventStreams, StreamHead, Watch

__all__ = ["EventBus", "EventBusStatistics", "Wanted"]

Wanted: TypeAlias = "EventType | str | EventFilter | Iterable[EventType | str]"
"""What `subscribe` takes: a type, several types, or a filter."""

_LOOKING = "sentient-core event streams"
_PRUNING = "sentient-core event pruning"
_FOLLOWING = "sentient-core event subscription"
_BUSY, _IDLE = 0.05, 0.5
"""Seconds between two looks at the streams, where nobody tells that they have moved."""
_PATIENCE = 30.0
"""Seconds that a publisher waits for those who have subscribed before it."""
_SAFE = 5.0
"""Seconds after which they are looked at although somebody would have told."""


class EventBusStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """An event bus at one moment. Counts are since it was made."""

    subscriptions: int
    """Callbacks and iterators that follow now."""
    published: int
    delivered: int
    """Events that a callback has handled, or an iteration has taken."""
    retried: int
    """Calls of callbacks with an event that they have failed with before."""
    dead_lettered: int
    """Events that a callback has failed with at every try."""
    gaps: int = 0
    """Callbacks and iterations that were told by CursorExpired that they have missed events."""


class EventBus:
    """The events of one actor system, published and followed from anywhere.

    ::

        async with EventBus(store, system="shop") as bus:
            bus.subscribe(EventType.TASK_PROGRESS, show)
            await bus.publish_event(AgentEvent(event_type="shop.order_placed", source_agent="web"))
            history = await bus.get_event_history(workflow_id="w1", limit=20)

    `db_config` is a store (`SurrealStore`, `MemoryStore`), or what has one (`SurrealDBConfig`), whose
    settings then count as well: ENABLE_LIVE_QUERIES, LOG_LEVEL, and EVENT_BUS_BACKEND, which may say that
    what is published is kept in memory alone, where all buses of this `db_config` see it. The bus of a
    running system is `system.events`: it takes part in its journal. Others follow that journal as far as its
    events are rows, a moment later, and publish beside it; any number of processes may, on a server.

    On a server a live query tells when something has come; `live_queries=False`, HTTP, and a lost connection
    leave it to looking every 0.05 to 0.5 seconds. Nothing is missed or comes twice either way: what counts is
    a cursor per subscriber. An outage of the store is waited for.

    An actor system prunes what is published to it, while it runs. Of one that never runs, nobody does, unless
    a bus is given a `retention`: then it keeps to that every now and then, as long as it is running.

    Belongs to the thread and the event loop that started it.
    """

    def __init__(
        self,
        db_config: Store | StoreHolder,
        *,
        system: str | None = None,
        live_queries: bool | None = None,
        retention: Retention | None = None,
    ) -> None:
        """Raises InvalidArgument, InvalidName."""
        store = store_of(db_config)
        settings = getattr(db_config, "settings", None)
        settings = settings if isinstance(settings, Settings) else Settings()
        if live_queries is None:
            live_queries = settings.enable_live_queries
        if not isinstance(live_queries, bool):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"live_queries must be True or False, not {live_queries!r}")
        self._retention = _checked(retention)
        own_name = getattr(db_config, "name", None) if store is not db_config else None
        named = system if system is not None else own_name if isinstance(own_name, str) else DEFAULT_SYSTEM
        rows = getattr(db_config, "event_streams", None) or store.event_streams
        name = check_name(named)
        self._found(store, name, rows, live_queries=live_queries, log_level=settings.log_level)
        is_named = system is not None or isinstance(own_name, str)
        self._others = OtherSystems(store, name, "EventBus", is_due=not is_named)
        self.db_config: Store | StoreHolder = db_config
        """What it was given; the name is the original design's."""

    def __repr__(self) -> str:
        stands = "running" if self.is_running else "not running"
        count = self.statistics().subscriptions
        follows = {0: "nobody follows", 1: "1 follows"}.get(count, f"{count} follow")
        return f"<EventBus of '{self.system}' at {self.store.url}, {stands}, {follows}>"

    def _found(
        self, store: Store, system: str, rows: EventStreams, *, live_queries: bool, log_level: LogLevel
    ) -> None:
        self.system: str = system
        """Whose events these are."""
        self.store: Store = store
        self._is_live = live_queries
        self._rows: EventStreams = rows
        self._log = runtime_log(system, log_level)
        self._others = OtherSystems(store, system, "EventBus", is_due=False)
        self._journal: Stream = RowStream(system, self._rows, self._tell)
        self._external: Stream = RowStream(external_stream(system), self._rows, self._tell)
        self._publisher: Publisher = FreePublisher(self._rows, external_stream(system), self._has_begun)
        self._news: anyio.Event | None = None
        self._moved: anyio.Event | None = None
        self._subscriptions: dict[str, EventSubscription] = {}
        self._iterators: WeakValueDictionary[str, EventIterator] = WeakValueDictionary()
        """Not kept for the bus: whoever drops one without closing it follows no more."""
        self._waiting: list[EventSubscription] = []
        """Those that begin when the bus does."""
        self._followers = 0
        self._is_looking: anyio.Event | None = None
        """Set when the streams have been looked at, so that following can begin; None: nobody follows."""
        self._tasks: TaskGroup | None = None
        self._closing: anyio.Event | None = None
        self._ended: anyio.Event | None = None
        self._task: object = None
        self._is_of_system = False
        self._failures: LimitedLog | None = None
        self._published = self._delivered = self._retried = self._dead = self._gaps = 0

    @classmethod
    def of_journal(
        cls,
        store: Store,
        system: str,
        rows: EventStreams,
        journal: Journal,
        publisher: Publisher,
        settings: Settings,
    ) -> EventBus:
        """The bus of a system that runs in this process. `serve` is its life."""
        bus = cls.__new__(cls)
        live = settings.enable_live_queries
        bus._found(store, system, rows, live_queries=live, log_level=settings.log_level)
        bus.db_config = store
        bus._retention = None
        bus._journal = FedStream(system, journal, bus._rows, bus._tell)
        if settings.event_bus_backend is StorageBackend.MEMORY:
            free = FreePublisher(rows, external_stream(system), bus._has_begun)
            bus._publisher = BesidePublisher(free, publisher)
        else:
            bus._publisher = publisher
        bus._is_of_system = True
        bus._open()
        return bus

    @property
    def is_running(self) -> bool:
        """It was started, and not stopped."""
        return self._closing is not None and not self._closing.is_set()

    async def start(self) -> None:
        """Begin to follow. Idempotent; the bus of a running system has begun. Ended by `stop`.

        What was subscribed before follows from now on. It may be stopped from another task.
        """
        if not self.is_running and not self._is_of_system:
            if self._ended is not None:
                await self._ended.wait()
            is_up = anyio.Event()
            self._open()
            serve = functools.partial(self.serve, is_up)
            self._task = current_backend().start_task(serve, "sentient-core event bus")
            await is_up.wait()
        await current_backend().checkpoint()

    async def stop(self) -> None:
        """End all subscriptions, and the live query on the server. Idempotent, shielded from cancellation.

        A callback that runs is cancelled. Named subscribers write down how far they are.
        """
        closing, ended = self._closing, self._ended
        if closing is None or ended is None:
            await current_backend().checkpoint()
            return
        closing.set()
        with anyio.CancelScope(shield=True):
            await ended.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def publish_event(self, event: AgentEvent) -> None:
        """Publish an event; it is committed when this returns, and in every history that is asked for then.

        In a durable turn of an actor, with `system.events`: it is committed with the turn, and is gone with
        one that fails. Otherwise, cancelling it may leave the event published or not. Raises InvalidPayload
        (EventTooLarge) for what no store could hold or give back as it was, with nothing done; in an outage
        it waits up to 30 seconds, then StoreUnavailable says that the outcome is not known.
        """
        if not isinstance(event, AgentEvent):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"publish_event takes an AgentEvent(...), not {event!r}")
        if event.position is not None:
            event = msgspec.structs.replace(event, position=None, cursor=None)  # checks it again
        await self._publisher.publish(event)
        self._published += 1

    def subscribe(
        self, event_type: Wanted, callback: Callback, *, after: str | None = None, name: str | None = None
    ) -> EventSubscription:
        """Call `callback`, plain or async, with every event of a type, of several, or that meets a filter.

        ::

            bus.subscribe(EventType.AGENT_STARTED, print)
            bus.subscribe(EventFilter(workflow_id="w1"), on_event, after=last.cursor)
            bus.subscribe(("shop.order_placed", "shop.order_paid"), bill, name="billing")

        From now on; with `after`, from behind that cursor on: first what has been, then what comes, without a
        gap or a double. `'0-0'` is the beginning. With a `name` it is a durable subscriber: what it has
        handled is noted, and the next one of that name goes on there (whatever `after` says; it is for the
        first), also in another process; one at a time. What was handled within the last milliseconds before
        a crash may come again.

        Before `start` it is kept until then. Raises UnknownEventType, InvalidCursor, InvalidArgument,
        InvalidName; EventBusStopped.
        """
        if not callable(callback):
            raise InvalidArgument(f"a callback must be a function of one argument, not {callback!r}")
        follower = self._follower(event_type, after, name)
        subscription = EventSubscription(self, follower, callback, after, name)
        if self._closing is not None and not self.is_running:
            raise EventBusStopped("be subscribed to")
        if self.is_running:
            self._arrive(follower)
        if self._tasks is not None:
            self._tasks.start_soon(subscription.run, name=_FOLLOWING)
        else:
            self._waiting.append(subscription)
        self._subscriptions[subscription.id] = subscription
        return subscription

    def subscription(
        self, event_type: Wanted, *, after: str | None = None, name: str | None = None
    ) -> EventIterator:
        """The same events to iterate over.

        ::

            async with bus.subscription(EventType.TASK_PROGRESS) as events:
                async for event in events: ...

        With a `name`, an event is acknowledged when the next one is asked for. Raises as `subscribe`.
        """
        follower = self._follower(event_type, after, name)
        return EventIterator(self, follower, after, name)

    def unsubscribe(self, subscription: EventSubscription | EventIterator | str) -> bool:
        """End a subscription, named by itself or by its id. False: there is none of that id (any more)."""
        id_ = subscription if isinstance(subscription, str) else getattr(subscription, "id", None)
        iterator = self._iterators.get(id_) if isinstance(id_, str) else None
        if iterator is not None:
            iterator.unsubscribe()
            return True
        found = self._subscriptions.get(id_) if isinstance(id_, str) else None
        if found is None:
            return False
        found.unsubscribe()
        if found in self._waiting:
            self._waiting.remove(found)
            self.leave(found.id, found.follower)
        return True

    async def get_event_history(
        self,
        workflow_id: str | None = None,
        agent_id: str | None = None,
        event_type: Wanted | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> list[AgentEvent]:
        """Stored events, the newest first; what was published before this call included.

        Where a workflow, an agent or types are named, the newest are those of the latest timestamps (of equal
        ones, what was published outside of the system first, and what was committed later); otherwise those
        that were committed last. `agent_id` is their source. `since` is in, `until` is not; both need a time
        zone.

        `before=page[-1].cursor` gives the next page of the same question: all pages together have every event
        once that was there when the first one was asked for. Any other cursor is a place in the order of
        commits, and bounds what is looked at: `before` gives what comes before it, `after` what comes behind
        it. `subscribe(..., after=history[0].cursor)` with the same filter gives what has come since, and
        again those that were committed behind that event with an older timestamp. Raises UnknownEventType,
        InvalidCursor, InvalidArgument; StoreError.
        """
        wanted = self._filter(event_type)
        wanted = msgspec.structs.replace(
            wanted,
            workflow_id=_both("workflow_id", wanted.workflow_id, workflow_id),
            source_agent=_both("agent_id", wanted.source_agent, agent_id),
            since=since if since is not None else wanted.since,
            until=until if until is not None else wanted.until,
        )
        if not _is_count(limit):
            raise InvalidArgument(f"limit must be a whole number above 0, not {limit!r}")
        lower = Cursor() if after is None else Cursor.parse(after)
        upper = None if before is None else Cursor.parse(before)
        await self._publisher.settle()
        names = (self._journal.name, self._external.name)
        heads = await self._rows.heads(names)
        uppers = [(heads[name].number, END) for name in names]
        mark: Mark | None = None
        if upper is not None:
            bounds = upper.before
            if upper.at is not None and wanted.is_by_time:
                bounds = upper.bounds
                mark = Mark(upper.at, names[upper.is_of_external], upper.own)
            uppers = [min(one, other) for one, other in zip(uppers, bounds, strict=True)]
        spans = {
            name: Span(low, high)
            for name, low, high in zip(names, (lower.journal, lower.external), uppers, strict=True)
        }
        found = await self._rows.history(spans, wanted, limit, mark)
        if not found:
            await self._others.hint(self._log)
        cursors = _cursors([(stream == names[1], placed.position) for stream, placed in found], uppers)
        if wanted.is_by_time:
            journal, external = uppers
            cursors = [
                msgspec.structs.replace(cursor, at=placed.record.at, bounds=(journal, external))
                for cursor, (_, placed) in zip(cursors, found, strict=True)
            ]
        return [
            AgentEvent.of(placed, str(cursor)) for (_, placed), cursor in zip(found, cursors, strict=True)
        ]

    async def now(self) -> str:
        """The cursor of this moment: behind it comes what is published from now on."""
        await self._publisher.settle()
        heads = await self._rows.heads((self._journal.name, self._external.name))
        journal, external = (heads[name].number for name in (self._journal.name, self._external.name))
        return str(Cursor((journal, END), (external, END)))

    async def subscribers(self) -> list[Subscriber]:
        """The named subscribers there are, by name, also those that do not follow now."""
        return await self._rows.subscribers(self.system)

    async def forget_subscriber(self, name: str) -> bool:
        """Forget a named subscriber: retention does not wait for it any more. False: there is none.

        One that follows at the moment ends with SubscriberTaken.
        """
        return await self._rows.forget_subscriber(self.system, check_name(name))

    async def dead_letters(self, limit: int = 100) -> list[DeadLetterRow]:
        """Events that callbacks of buses without a running system have failed with, the last one first.

        Those of `system.events` are in `system.dead_letters`.
        """
        return await self.store.dead_letters(self._external.name, limit=limit)

    async def prune(self, retention: Retention | None = None) -> Pruned:
        """Delete now what these limits of events leave no room for; returns what that was.

        By those given, else by those of the bus, else by the defaults. Only of what was published from
        outside of a running system: what happens in one, that prunes by itself. Never what a named subscriber
        has not acknowledged. Raises InvalidArgument, StoreError.
        """
        limits = _checked(retention) or self._retention or Retention()
        return await self._rows.prune(self.system, limits)

    def statistics(self) -> EventBusStatistics:
        """Numbers of this moment."""
        return EventBusStatistics(
            subscriptions=self._followers,
            published=self._published,
            delivered=self._delivered,
            retried=self._retried,
            dead_lettered=self._dead,
            gaps=self._gaps,
        )

    async def serve(self, is_up: anyio.Event | None = None) -> None:
        """The life of a bus, in a task of its own: from `start` to `stop`."""
        closing, ended = self._open()
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                if self._is_looking is not None:
                    tasks.start_soon(self._look, self._is_looking, name=_LOOKING)
                if self._retention is not None:
                    tasks.start_soon(self._keep_to, self._retention, name=_PRUNING)
                for subscription in self._waiting:
                    if not subscription.follower.is_counted:
                        self._arrive(subscription.follower)
                    tasks.start_soon(subscription.run, name=_FOLLOWING)
                self._waiting.clear()
                if is_up is not None:
                    is_up.set()
                await closing.wait()
                self._tasks = None
                tasks.cancel_scope.cancel()
        except Exception:  # noqa: BLE001 - a mistake of ours; who waits for the bus must not wait for ever
            self._log.exception("the event bus has failed")
        finally:
            self._tasks = None
            closing.set()
            for subscription in list(self._subscriptions.values()):
                subscription.unsubscribe()
            for iterator in list(self._iterators.values()):
                iterator.unsubscribe()
            self._subscriptions.clear()
            self._iterators.clear()
            self._tell()
            if self._failures is not None:
                self._failures.close()
            if is_up is not None:
                is_up.set()
            ended.set()

    # What follows is for subscriptions.

    async def begin(self, follower: Follower, after: str | None, name: str | None) -> Acknowledger | None:
        """See `Home.begin`."""
        if not self.is_running:
            raise EventBusStopped("be followed")
        if not follower.is_counted:
            self._arrive(follower)
        looking = self._is_looking
        if looking is not None and not looking.is_set():
            await looking.wait()
        places = self._places_of(follower)
        if after is not None:
            cursor = Cursor.parse(after)
            places = [cursor.journal, cursor.external]
            await self._check_is_ours(cursor)
        if name is None:
            follower.places = list(places)
            return None
        owner = uuid4().hex
        known = await self._taken(name, owner, places)
        follower.places = [known.journal, known.external]
        if self._tasks is None:
            raise EventBusStopped("be followed")
        return Acknowledger(self._rows, self.system, name, owner, self._log, self._tasks)

    def enter(self, iterator: EventIterator) -> None:
        """See `Home.enter`."""
        self._iterators[iterator.id] = iterator
        iterator.when_dropped(functools.partial(self._drop, current_backend(), iterator.id))

    def leave(self, id_: str, follower: Follower) -> None:
        """See `Home.leave`."""
        self._subscriptions.pop(id_, None)
        self._iterators.pop(id_, None)
        if not follower.is_counted:
            return
        follower.leave()
        self._followers -= 1
        if not self._followers:
            self._is_looking = None
            if self._moved is not None:
                self._moved.set()  # the one who looks ends

    async def bury(self, event: AgentEvent, who: str, cause: BaseException) -> None:
        """See `Home.bury`."""
        self._dead += 1
        try:
            await self._publisher.bury(event, who, cause, TRIES)
        except Exception as error:  # noqa: BLE001 - the others of the subscriber's events are to come
            self._log.error(
                "a dead letter is lost", event_id=event.event_id, subscriber=who, error=str(error)
            )

    def count(self, *, delivered: int = 0, retried: int = 0) -> None:
        """See `Home.count`."""
        self._delivered += delivered
        self._retried += retried

    def log_failure(self, fields: Callable[[], dict[str, Any]]) -> None:
        """See `Home.log_failure`."""
        if self._failures is None:
            self._failures = LimitedLog(self._log, time.monotonic, "a subscriber of events failed")
        self._failures.warning(fields)

    def _drop(
        self, backend: Backend, id_: str, follower: Follower, acknowledger: Acknowledger | None
    ) -> None:
        """An iterator is gone that was not closed. On whatever thread that was found out."""

        def leave() -> None:
            if acknowledger is not None:
                acknowledger.abandon()
            self.leave(id_, follower)
            self._log.warning("an iterator of events was dropped and not closed: use 'async with'", id=id_)

        with suppress(RuntimeError):  # the loop has ended, and the bus with it
            backend.call_threadsafe(leave)

    def _open(self) -> tuple[anyio.Event, anyio.Event]:
        """What closes the bus, and what says that it has ended."""
        if self._closing is None or self._ended is None or self._closing.is_set():
            self._closing, self._ended = anyio.Event(), anyio.Event()
        return self._closing, self._ended

    def _follower(self, event_type: Wanted, after: str | None, name: str | None) -> Follower:
        wanted = self._filter(event_type)
        if after is not None:
            Cursor.parse(after)
        if name is not None:
            check_name(name)
        return Follower(self._journal, self._external, wanted, self._next_news, self._note_gap, self._log)

    def _filter(self, given: Wanted | None) -> EventFilter:
        if given is None:
            return EventFilter()
        if isinstance(given, EventFilter):
            for one in (given.event_type, *given.event_types):
                if one is not None:
                    event_type_of(one)
            return given
        if isinstance(given, str):
            return EventFilter(event_type=str(event_type_of(given)))
        if not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"{given!r} is neither an event type, nor several, nor an EventFilter(...)")
        types = [str(event_type_of(one)) for one in given]
        if not types:
            raise InvalidArgument("no event type is given: nothing would ever come")
        return EventFilter(event_types=tuple(types))

    def _arrive(self, follower: Follower) -> None:
        """Count somebody who follows; looking at the streams begins with the first."""
        follower.arrive()
        self._followers += 1
        if self._is_looking is None:
            self._is_looking = anyio.Event()
            if self._tasks is not None:
                self._tasks.start_soon(self._look, self._is_looking, name=_LOOKING)
        if not self._is_looking.is_set():
            follower.is_early = True

    def _places_of(self, follower: Follower) -> list[Place]:
        """Where somebody begins who wants what comes from now on."""
        if not follower.is_early:
            return follower.came
        # What is read from rows has been looked at since then for the first time.
        streams = (self._journal, self._external)
        return [
            stream.window.head if isinstance(stream, RowStream) else place
            for stream, place in zip(streams, follower.came, strict=True)
        ]

    async def _taken(self, name: str, owner: str, places: Collection[Place]) -> Subscriber:
        journal, external = places
        while True:
            try:
                return await self._rows.take_subscriber(self.system, name, owner, journal, external)
            except StoreError as error:
                self._log.debug("a named subscriber waits for the store", name=name, error=str(error))
                await anyio.sleep(_IDLE)

    async def _check_is_ours(self, cursor: Cursor) -> None:
        heads = await self._heads_in_time()
        heads_of = [max((heads[s.name].number, END), s.window.head) for s in (self._journal, self._external)]
        for place, head in zip((cursor.journal, cursor.external), heads_of, strict=True):
            if place[0] > head[0]:
                raise InvalidCursor(str(cursor), "it is ahead of all that this store has")

    async def _heads_in_time(self) -> Mapping[str, StreamHead]:
        """How far the streams reach, as soon as the store says it."""
        while True:
            try:
                return await self._rows.heads((self._journal.name, self._external.name))
            except Fenced:
                raise
            except StoreError as error:
                self._log.debug("one who begins to follow waits for the store", error=str(error))
                await anyio.sleep(_IDLE)

    async def _has_begun(self) -> None:
        if self._is_looking is not None and not self._is_looking.is_set():
            with anyio.move_on_after(_PATIENCE):
                await self._is_looking.wait()

    def _next_news(self) -> anyio.Event:
        if self._news is None:
            self._news = anyio.Event()
        return self._news

    def _tell(self) -> None:
        """Something has come into a window, or the bus ends."""
        news, self._news = self._news, None
        if news is not None:
            news.set()

    def _note_gap(self) -> None:
        self._gaps += 1

    def _note_move(self) -> None:
        if self._moved is not None:
            self._moved.set()

    async def _keep_to(self, retention: Retention) -> None:
        """Prune every now and then."""
        while True:
            await anyio.sleep(retention.every)
            try:
                pruned = await self._rows.prune(self.system, retention, is_paced=True)
            except StoreError as error:
                self._log.debug("pruning is tried again later", error=str(error))
            else:
                if pruned.rows:
                    self._log.info("old events pruned", rows=pruned.events.rows, bytes=pruned.events.bytes)

    async def _look(self, has_looked: anyio.Event) -> None:
        """Read what has come, as long as somebody follows."""
        streams = [one for one in (self._journal, self._external) if isinstance(one, RowStream)]
        watch: Watch | None = None
        pause = _BUSY
        try:
            while self._is_looking is has_looked:
                moved = self._moved = anyio.Event()
                try:
                    if watch is None:
                        names = [stream.name for stream in streams]
                        watch = await self._rows.watch(self._note_move, names, live=self._is_live)
                    has_come = await self._look_once(streams, is_first=not has_looked.is_set())
                    await self._others.hint(self._log)
                    has_looked.set()
                    pause = _BUSY if has_come else min(2 * pause, _IDLE)
                except StoreError as error:
                    self._log.debug("the event streams are looked at again later", error=str(error))
                    await anyio.sleep(_BUSY)
                    pause = min(2 * pause, _IDLE)
                told = watch is not None and watch.misses_nothing
                with anyio.move_on_after(_SAFE if told else pause):
                    await moved.wait()
        finally:
            has_looked.set()
            if watch is not None:
                await watch.close()

    async def _look_once(self, streams: Collection[RowStream], *, is_first: bool) -> bool:
        heads = await self._rows.heads([stream.name for stream in streams])
        has_come = False
        for stream in streams:
            number = heads[stream.name].number
            if is_first:
                stream.begin_at(number)
            elif await stream.fill(number):
                has_come = True
        return has_come


def _checked(retention: Retention | None) -> Retention | None:
    if not isinstance(retention, Retention | None):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's
        raise InvalidArgument(f"retention takes a Retention(...), not {retention!r}")
    return retention


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _both(name: str, of_filter: str | None, given: str | None) -> str | None:
    check_text(name, given)
    if given is not None and of_filter not in (None, given):
        raise InvalidArgument(f"{name} is given twice, and differently: {given!r} and {of_filter!r}")
    return of_filter if given is None else given


def _cursors(found: Collection[tuple[bool, Place]], uppers: Collection[Place]) -> list[Cursor]:
    """The cursor of each event, the newest first: behind it, and behind what is older in the other stream."""
    older: Mapping[int, list[Place]] = {0: [], 1: []}
    for is_external, place in found:
        older[is_external].append(place)
    none_left = [
        just_before(min(places)) if places else upper
        for places, upper in zip((older[0], older[1]), uppers, strict=True)
    ]
    cursors: list[Cursor] = []
    met = [0, 0]
    for is_external, place in found:
        met[is_external] += 1
        other = 1 - is_external
        beside = older[other][met[other]] if met[other] < len(older[other]) else none_left[other]
        if is_external:
            cursors.append(Cursor(beside, place, is_of_external=True))
        else:
            cursors.append(Cursor(place, beside, is_of_journal=True))
    return cursors
