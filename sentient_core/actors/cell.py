"""The cell: what stays of an actor over its incarnations, and the loop that runs it.

Design note. A cell owns the path, the ref, the mailbox and the control lane; the user's instance comes
and goes inside of it. Everything that an actor does happens in *turns* (`turn`), which the dispatcher
runs one at a time per cell: first the control lane, then at most `BUDGET` user messages.

    NEW ─START→ STARTING ─→ RUNNING ─STOP→ STOPPING ─→ DOWN ─(supervisor)→ STARTING … or ENDED
                    └─ hook raised ─→ DOWN     └─ handler raised → FAILING ─→ DOWN

STOPPING and FAILING wait for the children (`Family.stop_all`, answered by FAMILY_GONE) before the own
hooks run. DOWN means: the instance is gone, mailbox and ref remain, and the parent's family, called from
here, has the word: START again, or `bury` for good. That call is synchronous, so a restart in place
needs no message and works while the supervisor itself is busy; what it does to other cells goes through
their control lanes, so nothing recurses over the depth of the tree.

`kill` puts KILL at the head of the control lane and, if the turn is suspended, cancels the scope the
worker has lent (`Dispatcher`). The handler unwinds with the cancellation, the turn ends with it, and the
next turn finds KILL.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from enum import StrEnum
from functools import partial
from itertools import filterfalse
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

import anyio

from sentient_core.actors import delivery, injecting
from sentient_core.actors.abandoning import abandon, settle_abandoned
from sentient_core.actors.actor import IGNORE, Actor, new_actor
from sentient_core.actors.asking import NOT_YET
from sentient_core.actors.attempts import settle_failed, settle_unfinished
from sentient_core.actors.begun import Begun, raising
from sentient_core.actors.behaviour import Behaviour
from sentient_core.actors.blueprint import Blueprint
from sentient_core.actors.calls import CALL_HANDLERS
from sentient_core.actors.counting import COUNTED, handled_so_far
from sentient_core.actors.current import current_cell, current_event
from sentient_core.actors.decision import RESTARTED, Directive
from sentient_core.actors.escaped import parted, stray
from sentient_core.actors.handlers import Handler
from sentient_core.actors.inbox import Inbox
from sentient_core.actors.incarnation import Incarnation, enter
from sentient_core.actors.isolating import isolated_reply
from sentient_core.actors.lease import Lease, TurnAbandoned
from sentient_core.actors.life_events import (
    report_end,
    report_failure,
    report_pause,
    report_resume,
    report_start,
    write_status,
)
from sentient_core.actors.ref import ActorRef, Ending, new_ref
from sentient_core.actors.runtime import Family, Runtime
from sentient_core.actors.saving import (
    Ledger,
    find_checkpoints,
    forget_alarm,
    load_state,
    save_by_policy,
    save_in_time,
    save_state,
)
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import how_ended
from sentient_core.actors.special import Special, inside, is_discarded_at_end, plain, tries_of
from sentient_core.actors.watching import announce_end
from sentient_core.actors.water import report_low_water
from sentient_core.backend import Slot
from sentient_core.causes import class_sent, in_a_line
from sentient_core.errors import (
    ActorKilled,
    ActorStopped,
    FaultInjected,
    HandlerAbandoned,
    SentientError,
    StartFailed,
    StartIgnored,
    StoreUnavailable,
    UnencodableState,
    UnhandledMessage,
    UnknownActor,
)
from sentient_core.logs import RuntimeLog
from sentient_core.mailbox import DeadLetterReason, Envelope, Isolation, Mailbox, Queue
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.mailbox import CROWDED
from sentient_core.mailbox.signals import BESIDE, SUPERVISION, SUPERVISOR, Signal, SignalKind
from sentient_core.mailbox.statistics import BUDGET
from sentient_core.paths import is_anonymous
from sentient_core.store.records import Checkpoint, Event

__all__ = ["NO_KWARGS", "Cell", "CellStatus"]

T = TypeVar("T")

NO_KWARGS: Final[Mapping[str, Any]] = MappingProxyType({})
NO_HANDLERS: Final[Mapping[type, Handler]] = MappingProxyType({})

_STAYS_PENDING = "the message stays pending, for the next start of the actor"

TURN_SECONDS = 0.0005
"""A turn ends after the message that passes this, looked at every eighth message."""


class CellStatus(StrEnum):
    """Where a cell is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    """Ready, but nothing is taken from the mailbox until it is resumed."""
    STOPPING = "stopping"
    FAILING = "failing"
    DOWN = "down"
    PASSIVE = "passive"
    """Of a virtual actor alone (`VirtualCell`): down until the next message."""
    ENDED = "ended"


# A member's name costs a dictionary lookup; `CellStatus.NEW` costs a quarter of a microsecond in Python 3.11.
_NEW = CellStatus.NEW
_STARTING = CellStatus.STARTING
_RUNNING = CellStatus.RUNNING
_PAUSED = CellStatus.PAUSED
_STOPPING = CellStatus.STOPPING
_FAILING = CellStatus.FAILING
_DOWN = CellStatus.DOWN
_ENDED = CellStatus.ENDED
_START = SignalKind.START
_STOP = SignalKind.STOP
_DRAIN = SignalKind.DRAIN
_KILL = SignalKind.KILL
_PAUSE = SignalKind.PAUSE
_RESUME = SignalKind.RESUME
_FAIL = SignalKind.FAIL
_SAVE = SignalKind.SAVE
_PASSIVATE = SignalKind.PASSIVATE
_DELIVER = SignalKind.DELIVER
_LOOK = SignalKind.LOOK
_CATCH_UP = SignalKind.CATCH_UP
_FAMILY_READY = SignalKind.FAMILY_READY
_FAMILY_GONE = SignalKind.FAMILY_GONE
_WAS_STOPPED = DeadLetterReason.STOPPED
_HAS_FAILED = DeadLetterReason.FAILED
_AS_IT_IS = Isolation.NONE
_GOES_ON = (Directive.RESUME, Directive.QUARANTINE)
_IS_PAUSED = Directive.PAUSE
_PAUSES = (SignalKind.PAUSE, SignalKind.RESUME)
_NO_GOING_ON = (SUPERVISION, BESIDE)
_LAST_HOOKS = frozenset({"on_failure", "on_stop"})
_UP = (CellStatus.STARTING, CellStatus.RUNNING, CellStatus.PAUSED)
_NOT_YET = (CellStatus.NEW, CellStatus.STARTING, CellStatus.DOWN, CellStatus.PASSIVE)


class Cell:
    """One actor, over all its incarnations."""

    __slots__ = (
        "_actor",
        "_cause",
        "_end_waiters",
        "_is_ready",
        "_is_unwanted",
        "_killed",
        "_start_waiter",
        "above",
        "args",
        "blueprint",
        "draining",
        "family",
        "generation",
        "handled",
        "in_hand",
        "inbox",
        "incarnation",
        "is_nobody",
        "kwargs",
        "ledger",
        "life",
        "mailbox",
        "path",
        "ref",
        "runtime",
        "scheduled",
        "scope",
        "sent",
        "signals",
        "status",
        "vars",
    )

    def __init__(
        self,
        runtime: Runtime,
        above: Family,
        path: str,
        cls: type[Actor],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> None:
        self.runtime: Runtime = runtime
        self.above: Family = above
        """The family that this cell is a child of: it decides what becomes of it."""
        self.path: str = path
        self.blueprint: Blueprint = cls.__blueprint__
        self.args: tuple[Any, ...] = args
        self.kwargs: Mapping[str, Any] = kwargs
        self.vars: Context | None = None
        """The context variables of this actor; made for the first of its code that runs."""
        self.mailbox: Mailbox = Mailbox(
            self.blueprint.mailbox,
            runtime.dispatcher.warmth,
            is_mirrored=self.blueprint.is_mirrored,
            isolation=self.blueprint.isolation or runtime.isolation,
        )
        self.ref: ActorRef[Any] = new_ref(self, self.mailbox)
        self.signals: deque[Signal] | None = None
        self.status: CellStatus = _NEW
        last = runtime.registry.last_incarnation(path)
        self.incarnation: int = last
        self.ledger: Ledger | None = None
        """What the store knows of it; None for an actor that leaves nothing there."""
        if last:
            self.ledger = Ledger(last, runtime.registry.last_restarts(path))
        elif self.blueprint.is_stored:
            self.ledger = Ledger(0)
        self.inbox: Inbox | None = None
        """Of a durable actor alone (`DurableCell`)."""
        self.family: Family | None = None
        self.life: Incarnation | None = None
        """What the incarnation of now has of its own, if anything."""
        self.in_hand: Entry | None = None
        self.handled: int = 0
        """Messages whose handler has returned, over all incarnations of this cell."""
        self.sent: int = 0
        """Messages to a mirrored actor whose events were handed over or left out: see `counting`."""
        self.draining: bool = False
        self.is_nobody: bool = False
        """There has been no actor: it stands for a path that a stored ref had."""
        self.scheduled: bool = False
        self.scope: Lease | None = None
        self.generation: int = 0
        """Counts the turns that were abandoned: one that goes on after that finds another number here."""
        self._actor: Actor | None = None
        self._cause: BaseException | None = None
        self._killed: BaseException | None = None
        self._is_ready = False
        self._is_unwanted = False
        self._start_waiter: Slot[None] | None = None
        self._end_waiters: list[tuple[Slot[None], bool]] | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Cell | None:
        """The actor that supervises this one; None for the root."""
        return self.above.owner

    @property
    def cause(self) -> BaseException | None:
        """Why it is down or has ended; None: in order, or it is neither."""
        return UnknownActor(self.path) if self.is_nobody else self._cause

    @property
    def killed_by(self) -> BaseException | None:
        """Why the incarnation of now is to end without hooks, if it is."""
        return self._killed

    @property
    def is_down(self) -> bool:
        """There is no incarnation now."""
        return self.status in (_DOWN, CellStatus.PASSIVE, _ENDED)

    @property
    def is_starting(self) -> bool:
        """The incarnation of now is not ready yet: its `on_start` runs."""
        return self.status is _STARTING

    @property
    def is_passive(self) -> bool:
        """It has no instance, and the next message makes one (of a virtual actor alone)."""
        return self.status is CellStatus.PASSIVE

    @property
    def will_start(self) -> bool:
        """A START is in the control lane."""
        return any(signal.kind is _START for signal in self.signals or ())

    @property
    def is_start_awaited(self) -> bool:
        """Somebody waits for its first start, and is told what keeps it from that."""
        return self._start_waiter is not None

    @property
    def behaviour(self) -> Behaviour:
        """What takes which message, as things stand."""
        return self.blueprint.behaviour if self.life is None else self.life.behaviour

    def handler_of(self, message_type: type) -> Handler | None:
        """What handles messages of a type, as things stand."""
        return self.behaviour.find(message_type) or self.blueprint.on_receive

    def incarnation_of(self, actor: Actor) -> int:
        """The number of an instance; 0: it has ended."""
        is_being_made = self._actor is None and self.status is _STARTING
        return self.incarnation if self._actor is actor or is_being_made else 0

    def enter(self, incarnation: int, what: str) -> Incarnation:
        """`incarnation.enter`: for code in the turn of this very incarnation."""
        return enter(self, incarnation, what)

    def belongings(self) -> Incarnation:
        """What the incarnation of now has of its own, made if need be."""
        if self.life is None:
            self.life = Incarnation(self)
        return self.life

    @property
    def waits_for_turn(self) -> bool:
        """It is ready, and others are before it: nothing of its own keeps it."""
        return self.scheduled and self.scope is None and self.runtime.dispatcher.running is not self

    @property
    def is_in_turn(self) -> bool:
        """The code that asks runs in this cell's turn: not in a task that a handler has started."""
        return self.runtime.dispatcher.running is self

    def new_vars(self) -> Context:
        """Context variables of its own, as the system was entered with."""
        self.vars = context = self.runtime.new_context()
        context.run(current_cell.set, self)
        return context

    @property
    def is_alive(self) -> bool:
        """It has not ended for good."""
        return self.status is not _ENDED

    @property
    def is_paused(self) -> bool:
        """Nothing is taken from the mailbox for now: a turn is suspended, or there is none to come."""
        return self.scope is not None or self.status is not _RUNNING

    @property
    def last_cause(self) -> BaseException | None:
        """Why the last incarnation is down; None after an orderly end, or before the first."""
        return self._cause if self.status is _DOWN else None

    def go_on_from(self, incarnation: int) -> None:
        """Before the first start: whoever has lived at this path meanwhile has come to `incarnation`."""
        if incarnation > self.incarnation:
            self.incarnation = incarnation
            self.ledger = Ledger(incarnation)

    def at_home(self) -> Cell:
        """Itself while it lives, then who lives at its path by now: a ref is an address."""
        return (self.runtime.registry.find(self.path) or self) if self.status is _ENDED else self

    @property
    def state_now(self) -> object | None:
        """The state of the instance of now; None: there is none of either."""
        return None if self._actor is None or not self.blueprint.has_state else self._actor.state

    def become_nobody(self) -> None:
        """Stand for a path where nobody lives, or where a durable actor is to be spawned (`lay_by`)."""
        self.is_nobody = True
        self.status = _ENDED
        self.sent = COUNTED
        self.mailbox.close()
        if self.runtime.registry.is_dormant(self.path):
            self.mailbox.is_mirrored = True
            self.inbox = Inbox(self)

    def is_at_work(self, actor: Actor) -> bool:
        """`actor` is the instance of now."""
        return self._actor is actor

    def envelope(self) -> Envelope | None:
        """The message in hand, readable."""
        if self.in_hand is None:
            return None
        message, sender, reply, trace = self.in_hand
        mirror = self.runtime.mirror
        return Envelope(
            message=message,
            sender=delivery.source_of(self, sender),
            is_ask=reply.is_awaited if isinstance(reply, UnderWay) else reply is not None,
            message_id=None if trace is None else mirror.message_id(trace),
            correlation_id=mirror.conversation(trace),
            attempt=tries_of(self.in_hand) + 1,
        )

    def log(self) -> RuntimeLog:
        """A logger that says who and in which conversation."""
        trace = None if self.in_hand is None else self.in_hand[3]
        if current_cell.get() is self and not self.is_in_turn:
            trace = current_event.get()  # of a task beside the turn
        return self.runtime.log.bind(
            path=self.path,
            incarnation=self.incarnation,
            correlation_id=self.runtime.mirror.conversation(trace),
        )

    def stop(self) -> Ending:
        """`ActorRef.stop`."""
        self.runtime.dispatcher.check_thread()
        return self._end(_STOP)

    def drain(self) -> Ending:
        """`ActorRef.drain`."""
        self.runtime.dispatcher.check_thread()
        if self.is_alive:
            self.draining = True
            self.mailbox.shut()
        return self._end(_DRAIN)

    def pause(self) -> None:
        """`ActorRef.pause`."""
        self.runtime.dispatcher.check_thread("call(ref.pause)")
        if self.is_alive:
            self.signal(Signal(_PAUSE))

    def resume(self) -> None:
        """`ActorRef.resume`."""
        self.runtime.dispatcher.check_thread("call(ref.resume)")
        if self.is_alive:
            self.signal(Signal(_RESUME))

    def ending(self) -> Ending:
        """The end of the incarnation of now, which somebody else brings about. Raises as awaiting it."""
        self._check_may_wait()
        return Ending(self, self.incarnation)

    def kill(self, cause: Exception | None = None) -> Ending:
        """`ActorRef.kill`; `cause`: why it is down then, ActorKilled if nothing is said."""
        self.runtime.dispatcher.check_thread()
        ending = Ending(self, self.incarnation)
        # One that is down has failed already, and will be started again or not as it would be without this.
        if self.is_alive and self.status is not _DOWN and self._killed is None:
            self._killed = cause or ActorKilled(self.path)
            if self.signals:  # a pause that has not begun is of no use to the next incarnation
                self.signals = deque(signal for signal in self.signals if signal.kind not in _PAUSES)
            self._signal_first(Signal(_KILL))
            self.interrupt()
        return ending

    def interrupt(self, cause: Exception | None = None) -> bool:
        """Cancel the turn at its await. False: it is not suspended, or has been cancelled already.

        With a `cause`, the message in hand then fails the actor with it, as if its handler had raised it.
        What does not end within `kill_grace` is abandoned.
        """
        lease = self.scope
        if lease is None or lease.cancel_called:
            return False
        lease.cancel(cause)
        grace = self.blueprint.kill_grace
        if grace is not None:
            lease.alarm = self.runtime.timekeeper.after(grace, lambda: abandon(self, lease, self._actor))
        return True

    def leave_to_itself(self, error: HandlerAbandoned, lease: Lease) -> None:
        """The turn of now does not end: go on without it, down, without hooks. For `abandon`."""
        is_kill = self._killed is not None
        self._drop_turn()
        entry, life = self.in_hand, self.life
        self.handled += handled_so_far(self, lease.frames())
        is_taken = entry is not None and life is not None and entry is life.taken
        if entry is not None and life is not None and is_taken:
            entry = life.recall()
        if entry is not None:
            settle_abandoned(self, entry, error)
        elif is_taken:  # it was forwarded, and is another's
            self.handled += 1
        self.generation += 1
        self.scope = self.in_hand = self.vars = self._actor = None
        self.mailbox.renew()
        if self.ledger is not None:
            self.ledger = self.ledger.renewed()
        self.runtime.waits.pop(self, None)
        self.runtime.crowds.pop(self, None)
        if self.signals is not None:  # what it waited for happens here
            self.signals = deque(signal for signal in self.signals if signal.kind is not _KILL)
        self.scheduled = False
        self.status = _FAILING
        self._cause = error
        if self.family is None or not self.family.stop_all(kill=is_kill):
            self._down(error)
        if self.signals and not self.scheduled:
            self.runtime.dispatcher.schedule(self)

    def _end(self, kind: SignalKind) -> Ending:
        ending = Ending(self, self.incarnation, is_drain=kind is _DRAIN)
        if self._will_drain(is_drain=kind is _DRAIN):
            pass  # what is queued is for the next incarnation
        elif self.status is _DOWN and not self.will_start:
            self.above.child_unwanted(self)
        elif self.is_alive:
            self.signal(Signal(kind))
        return ending

    def _will_drain(self, *, is_drain: bool) -> bool:
        """It is down after a failure, and its next incarnation goes on with a drain."""
        is_left = self.status is _DOWN and self._cause is not None and self.has_work
        return is_left and is_drain and self.draining

    async def wait_for_end(self, incarnation: int, *, is_drain: bool) -> None:
        """Return when that incarnation is down and its supervisor has decided.

        For a drain: when the incarnation that has handled the last message is down.
        """
        self._check_may_wait()
        is_over = self.status is _ENDED or (self.status is _DOWN and not self.will_start)
        is_over = is_over and not self._will_drain(is_drain=is_drain)
        if not is_over and (self.incarnation <= incarnation or (is_drain and self.draining)):
            slot: Slot[None] = self.runtime.backend.slot()
            if self._end_waiters is None:
                self._end_waiters = []
            self._end_waiters.append((slot, is_drain))
            await slot
        await self.runtime.burials.finish()

    def _check_may_wait(self) -> None:
        asker = current_cell.get()
        while asker is not None and asker is not self:
            asker = asker.parent
        if asker is self and self.is_alive:
            raise SentientError(
                f"waiting here for the end of '{self.path}' would wait for ever, since it ends only when the "
                "handler that waits has returned. Call stop(), drain() or kill() without awaiting it."
            )

    async def start(self) -> None:
        """Start the first incarnation and return when it is ready; raise what kept it from it."""
        self._start_waiter = waiter = self.runtime.backend.slot()
        self.signal(Signal(_START))
        await waiter

    def start_at_once(self) -> bool:
        """As `start`, without a turn and without a word to the family above, where nothing in it waits.

        False: it has not been tried.
        """
        if not self.blueprint.starts_at_once or self.runtime.faults is not None:
            return False
        if self.ledger is not None and self.ledger.is_known:
            return False
        self.runtime.dispatcher.check_thread()
        self.status = _STARTING
        self.incarnation += 1
        try:
            if self.blueprint.has_init:
                self._actor = self.run(self._new_actor)
            else:
                self._actor = new_actor(self.blueprint, self, self.args, self.kwargs)
        except Exception as error:
            self._start_raised(error)
            raise
        self.status = _RUNNING
        self._is_ready = True
        if self.runtime.given_up:
            self.runtime.given_up.pop(self.path, None)
        if self.ledger is not None:
            report_start(self, self.ledger)
        return True

    def _new_actor(self) -> Actor:
        return new_actor(self.blueprint, self, self.args, self.kwargs)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run code of the actor that does not wait, now, within whatever this thread is doing."""
        dispatcher = self.runtime.dispatcher
        before, dispatcher.running = dispatcher.running, self
        try:
            return (self.vars or self.new_vars()).run(function, *args)
        finally:
            dispatcher.running = before

    def forget_start(self) -> None:
        """Stay down: a START that is still in the control lane is not to be obeyed."""
        if self.status in (_NEW, _DOWN):
            # What brings a message stays, as it settles it; so does what ends a pause that is kept already.
            kept = (one for one in self.signals or () if one.entry is not None or one.kind in _PAUSES)
            self.signals = deque(kept) or None
        if self.status is _DOWN:
            self._tell_end_waiters()  # of a STOP behind that START

    def signal(self, signal: Signal) -> None:
        """Put a signal at the end of the control lane."""
        if self.signals is None:
            self.signals = deque()
        self.signals.append(signal)
        if not self.scheduled:
            self.runtime.dispatcher.schedule(self)

    def signal_before(self, signals: Sequence[Signal]) -> None:
        """Put signals before those of the control lane: they came before them, and had to wait."""
        if signals:
            self.signals = deque((*signals, *(self.signals or ())))
            if not self.scheduled:
                self.runtime.dispatcher.schedule(self)

    def _signal_first(self, signal: Signal) -> None:
        if self.signals is None:
            self.signals = deque()
        self.signals.appendleft(signal)
        if not self.scheduled:
            self.runtime.dispatcher.schedule(self)

    def turn_suspends(self) -> None:
        """For the dispatcher: the turn has just suspended."""
        self.mailbox.pause(self.runtime.backend.now())
        if self._killed is not None:
            self.interrupt()

    def __deepcopy__(self, memo: object) -> NoReturn:
        # What a copied value leads to, through an actor or its context: see `handover`.
        raise TypeError("an actor and its context are not copied; a ref can be handed on: self.context.ref")

    def catch_up(self) -> None:
        """For the dispatcher: there is a crowd in the mailbox, the next turn may take more than others."""
        if not self.signals:
            self.signal(Signal(_CATCH_UP))

    def give_way(self) -> None:
        """For the dispatcher: end the turn of now after the message in hand."""
        if not self.signals:
            self.signal(Signal(_LOOK))

    @property
    def has_work(self) -> bool:
        """There are messages for it to handle."""
        return bool(self.mailbox.queue)

    def leave_turn(self) -> bool:
        """For the dispatcher: a turn is over. False: there is nothing to do for now."""
        if self.signals or (self.status is _RUNNING and self.mailbox.queue):
            return True
        self.signals = None
        self.scheduled = False
        return False

    def turn(self) -> Coroutine[Any, Any, bool]:
        """The control lane, then at most BUDGET user messages."""
        return self._turn() if self.signals else self._handle(self.mailbox.queue)

    async def _turn(self) -> bool:
        while self.signals and not self._is_spent():
            await self._obey(self.signals.popleft())
        if self._is_spent():
            return self.leave_turn()
        return await self._handle(self.mailbox.queue)

    def _is_spent(self) -> bool:
        """A kill has cancelled the scope this turn runs in: whatever is next needs another one."""
        return self.scope is not None and self.scope.cancel_called

    async def _obey(self, signal: Signal) -> None:
        kind = signal.kind
        if kind is _START:
            await self._on_start(signal.cause)
        elif kind is _FAMILY_GONE:
            await self._on_family_gone()
        elif kind is _FAMILY_READY:
            self._on_family_ready()
        elif kind is _STOP:
            await self._on_stop(is_decided=signal.where == SUPERVISOR)
        elif kind is _DELIVER:
            await self._on_deliver(signal)
        elif kind is _DRAIN:
            await self._on_drain()
        elif kind is _KILL:
            self._on_kill()
        elif kind is _FAIL:
            await self._on_fail(signal.cause, signal.where)
        elif kind is _SAVE:
            await self._on_save()
        elif kind is _CATCH_UP:
            await self._on_catch_up()
        elif kind is _PASSIVATE:
            await self._on_passivate()
        elif kind is _PAUSE:
            self._on_pause(signal)
        elif kind is _RESUME:
            self._on_resume(signal)

    async def _on_catch_up(self) -> None:
        ends = time.perf_counter() + TURN_SECONDS
        for _ in range(CROWDED // BUDGET):
            if self.signals:  # a STOP, say, passes the crowd
                return
            goes_on = await self._handle(self.mailbox.queue)
            if not goes_on or time.perf_counter() > ends:
                return

    async def _handle(self, queue: Queue | None) -> bool:
        """Handle messages of `queue`, which is the mailbox's or holds one of the control lane."""
        actor = self._actor
        if not queue or actor is None or self.status is not _RUNNING:
            return self.leave_turn()
        mailbox, take = self.mailbox, queue.popleft
        handler_of = (self.blueprint if self.life is None else self.life).handlers.get
        now = time.perf_counter
        mailbox.high_water = max(mailbox.high_water, len(queue))
        if self.runtime.faults is not None:
            handler_of = NO_HANDLERS.get  # each message is looked into
        ledger = self.ledger if self.blueprint.saves else None
        left = budget = BUDGET if ledger is None else self._budget(ledger)
        due_bytes = self.blueprint.checkpoint_bytes
        missed = 0
        is_mirrored = mailbox.is_mirrored
        generation = self.generation
        turn_ends = now() + TURN_SECONDS
        try:
            while True:
                self.in_hand = entry = take()
                left -= 1
                message = entry[0]
                handler = handler_of(type(message))
                if handler is None:
                    found = self._other_handler(entry)
                    if found is None:
                        missed += 1
                        if not queue or not left or self.signals:
                            break
                        continue
                    entry, handler = found
                    message = entry[0]
                if is_mirrored:
                    current_event.set(entry[3])
                try:
                    if handler[1]:
                        if mailbox.line is not None:
                            self._admit()
                        outcome = await handler[0](actor, message)
                        # What came in while it was suspended:
                        if len(queue) > mailbox.high_water:  # noqa: PLR1730 - a call costs twice as much
                            mailbox.high_water = len(queue)
                    else:
                        outcome = handler[0](actor, message)
                        if outcome is not None and hasattr(outcome, "__await__"):
                            outcome = await outcome
                    if entry[2] is not None and self.in_hand is entry:
                        self._reply(entry, outcome)
                except Exception as error:
                    # The supervision boundary: whatever a handler raises is its actor's failure.
                    if self.generation != generation:
                        raise TurnAbandoned(error) from error
                    if not isinstance(error, self.blueprint.reply_errors):
                        missed += 1
                        await self._handler_failed(entry, error)
                        break
                    if not self._answer_with(entry, error):
                        missed += 1
                except BaseException as error:
                    if self.generation != generation:
                        raise
                    missed += 1
                    if self._is_stray(error):
                        await self._handler_failed(entry, stray(error))
                        break
                    self._interrupted(entry, error)
                    raise self._passes_on(error, "handler", entry) from None
                if ledger is not None:
                    ledger.unsaved += 1
                    if due_bytes is not None and ledger.weigh(entry) >= due_bytes:
                        break
                if not queue or not left or self.signals:
                    break
                if not left & 7 and now() > turn_ends:
                    break
        finally:
            is_own = self.generation == generation
            if is_own:
                self.in_hand = None
                if is_mirrored:
                    current_event.set(None)
                self.handled += budget - left - missed
                if self.life is not None:
                    self.life.note_batch()
        if not is_own:
            raise TurnAbandoned
        if mailbox.line is not None:
            self._admit()
        if mailbox.queue or mailbox.tally is not None:
            self._look_at_mailbox(budget - left if queue is mailbox.queue else 0)
        if ledger is not None and ledger.unsaved and self.status is _RUNNING:
            await self._save_by_policy(actor)
        if self.draining and not mailbox.queue and self.status is _RUNNING:
            self.signal(Signal(_STOP))
        return self.leave_turn()

    def handler_at_once(self, message: object) -> Handler | None:
        """The plain function that answers an ask here and now; None: the ask is to go through the mailbox."""
        if self.scheduled or self.in_hand is not None or not self.mailbox.plain_capacity:
            return None
        handlers = self.blueprint.handlers if self.life is None else self.life.handlers_at_once
        handler = handlers.get(type(message))
        if handler is None or handler[1] or self.status is not _RUNNING:
            return None
        self.runtime.dispatcher.check_thread()
        return handler

    def answer_at_once(self, message: object, handler: Handler, reply: Slot[Any], asker: Cell | None) -> Any:
        """Handle a message of an idle actor by a plain function, within the ask that brings it.

        Returns the answer, or NOT_YET when it will come to `reply`. Raises one of `reply_errors`.
        """
        self.in_hand = entry = in_hand = (message, asker, reply, None)
        try:
            outcome = self.run(handler[0], self._actor, message)
            if outcome is None or not hasattr(outcome, "__await__"):
                self.handled += 1
                if self.in_hand is entry:
                    return outcome
                self.belongings().note_batch()
                return NOT_YET
            in_hand = self.in_hand  # something else, if it was stashed or forwarded
        except Exception as error:
            if not self._is_in_hand(entry):
                self.handled += 1
                self.belongings().fail(error, "handler")
                return NOT_YET
            if isinstance(error, self.blueprint.reply_errors):
                self.handled += 1
                raise
            outcome = raising(error)
        except BaseException as error:  # noqa: BLE001 - what is not the actor's goes on
            self._interrupted(entry, error)
            raise self._passes_on(error, "handler", entry) from None
        finally:
            self.in_hand = None
        # What there is to do now may wait: it is done in a turn, before anything else.
        begun = Begun(entry, in_hand, outcome)
        self._signal_first(Signal(_DELIVER, entry=(begun, asker, None, None)))
        return NOT_YET

    async def _on_deliver(self, signal: Signal) -> None:
        if signal.entry is None:
            return
        begun = signal.entry[0]
        if self.status is _STARTING or self.status is _PAUSED:
            self.belongings().undelivered.append(signal)
        elif self.status is _RUNNING:
            await self._handle(deque((signal.entry,)))
        elif isinstance(begun, Begun):
            begun.give_up()
            self.in_hand = begun.in_hand
            if begun.is_taken:  # it went on without this handler
                self.handled += 1
            else:
                self._interrupted(begun.entry)
            self.in_hand = None

    def _look_at_mailbox(self, taken: int) -> None:
        """A turn ends that leaves something in the mailbox, or something is written down of it."""
        mailbox = self.mailbox
        tally = mailbox.tally or mailbox.tallied()
        if tally.is_high and mailbox.is_falling:
            report_low_water(self)
        queue = mailbox.queue
        if queue:
            tally.turn_over(taken, len(queue), self.runtime.backend.now())
        else:
            mailbox.settle()

    def _budget(self, ledger: Ledger) -> int:
        due = self.blueprint.checkpoint_messages
        return BUDGET if due is None else max(1, min(BUDGET, due - ledger.unsaved))

    def _admit(self) -> None:
        for entry in self.mailbox.admit(self.runtime.backend.now):
            delivery.record(self, entry)

    def _other_handler(self, entry: Entry) -> tuple[Entry, Handler] | None:
        """The handler of a message that is not in the table by its type, and what it is to get.

        None: there is nothing to handle, and what there was is settled.
        """
        faults = self.runtime.faults
        if faults is None:
            return self._look_inside(entry)
        return injecting.look_inside(self, faults, entry, self._look_inside)

    def _look_inside(self, entry: Entry) -> tuple[Entry, Handler] | None:
        message = entry[0]
        if isinstance(message, Begun):
            self.in_hand = message.in_hand
            return message.entry, message.handler
        handler: Handler | None = None
        while isinstance(message, Special):
            if not message.opens(self, entry):
                return None
            handler = handler or message.handler
            self.in_hand = entry = inside(entry)
            message = entry[0]
        handler = handler or self.handler_of(type(message))
        if handler is None:
            self._unhandled(entry)
            return None
        return entry, handler

    def _reply(self, entry: Entry, value: object) -> None:
        _, sender, reply, event = entry
        answer: Event | None = None
        if self.mailbox.isolation is not _AS_IT_IS:
            value = isolated_reply(self, value, delivery.source_of(self, sender))
        if event is not None:
            target = delivery.source_of(self, sender)
            answer = self.runtime.mirror.reply(value, self.path, target, self.incarnation, event)
            self.runtime.mirror.record(answer)
        if reply is not None and not reply.set(value):
            delivery.late_reply(self, value, entry, answer)

    def _answer_with(self, entry: Entry, error: Exception) -> bool:
        """An exception that is part of the protocol is a reply. False: nobody asked."""
        if not self._is_in_hand(entry):
            return True
        _, sender, reply, event = entry
        if reply is None:
            delivery.dead(self, entry, _HAS_FAILED, in_a_line(error))
            return False
        answer: Event | None = None
        if event is not None:
            target = delivery.source_of(self, sender)
            words = {"error": in_a_line(error)}
            answer = self.runtime.mirror.reply(words, self.path, target, self.incarnation, event)
            self.runtime.mirror.record(answer)
        if not reply.fail(error):
            delivery.late_reply(self, error, entry, answer)
        return True

    def _unhandled(self, entry: Entry) -> None:
        state = "" if self.behaviour.name is None else f" when {str(self.behaviour.name)!r}"
        why = f"{self.blueprint.cls.__qualname__} has no handler for it{state} and no on_receive"
        if isinstance(entry[0], type):
            why = f"{why}; {class_sent(entry[0])}"
        delivery.dead(self, entry, DeadLetterReason.UNHANDLED, why)
        handled = [kind for kind in self.behaviour.handlers if kind not in CALL_HANDLERS]
        known = ", ".join(sorted(kind.__qualname__ for kind in handled)) or "nothing"
        delivery.fail_asker(entry, UnhandledMessage(entry[0], self.ref, f"{why}; it handles {known}"))

    def _interrupted(self, entry: Entry, error: BaseException | None = None) -> None:
        """The handler was cancelled, by `kill` or the program's end: settled before the turn unwinds.

        One that was interrupted for a cause fails with it in the next turn.
        """
        # A KeyboardInterrupt or SystemExit out of a handler is nobody's kill: the program ends.
        is_kill = not isinstance(error, KeyboardInterrupt | SystemExit)
        cause = None if self.scope is None else self.scope.cause
        self._drop_turn()
        if cause is not None and is_kill and self._killed is None:
            self._fail_next(entry, cause)
            return
        if not self._is_in_hand(entry):
            self.handled += 1
            return
        what = "the actor was killed" if is_kill else f"{type(error).__name__} ended the program"
        if self.keeps_pending:
            delivery.fail_asker(entry, ActorStopped(entry[0], self.ref, f"{what}; {_STAYS_PENDING}"))
            return
        delivery.dead(self, entry, _WAS_STOPPED, f"{what} while handling it")
        delivery.fail_asker(entry, ActorStopped(entry[0], self.ref, f"{what} while handling it"))

    def _is_in_hand(self, entry: Entry) -> bool:
        """The message of a handler that has raised is this cell's to settle. False: it was forwarded."""
        return self.in_hand is entry or self.life is None or self.life.take_back(entry)

    def _is_stray(self, error: BaseException) -> bool:
        """A cancellation that the runtime did not ask for: the actor's failure, not the worker's end."""
        if self._killed is not None or self._is_spent():
            return False
        return self.runtime.backend.absorb_cancellation(error)

    def _passes_on(self, error: BaseException, where: str, entry: Entry | None = None) -> BaseException:
        """What of an exception is not the actor's own: it goes on through the worker."""
        failures, others = parted(error)
        if failures is not None:
            report_failure(self, failures, entry, where)
        return others

    def _fail_next(self, entry: Entry, error: Exception) -> None:
        """The handler has failed in a turn that is cancelled: hooks and all need another one."""
        in_hand = entry if self._is_in_hand(entry) else self.in_hand
        begun = Begun(entry, in_hand, raising(error))
        self._signal_first(Signal(_DELIVER, entry=(begun, entry[1], None, None)))

    async def _handler_failed(self, entry: Entry, error: Exception) -> None:
        self._drop_turn()
        if self._is_spent() and self._killed is None:
            self._fail_next(entry, error)
            return
        words = in_a_line(error)
        decision = self.above.decide(self, error)
        report_failure(self, error, entry, words=words)
        if not self._is_in_hand(entry):
            self.handled += 1
        else:
            settle_failed(self, entry, error, decision, words)
        self._roll_back()
        self.in_hand = None
        if self._killed is not None:  # it is KILL that ends this incarnation, without hooks
            return
        if decision is RESTARTED:
            await self._fail(error)
        else:
            await self._obey_directive(decision.directive, error)

    async def _obey_directive(self, directive: Directive, error: Exception) -> None:
        """Go on, pause or fail, as it was decided of a failure of the incarnation at work."""
        if directive is _IS_PAUSED:
            self._pause(error)
        elif directive not in _GOES_ON:
            await self._fail(error)

    def _pause(self, cause: Exception | None) -> None:
        if self.status is _RUNNING:
            self.status = _PAUSED
            self.mailbox.pause(self.runtime.backend.now())
            report_pause(self, cause)

    def _on_pause(self, signal: Signal) -> None:
        if self.status in _NOT_YET:
            self.belongings().undelivered.append(signal)  # for the incarnation to come
        else:
            self._pause(None)

    def _on_resume(self, signal: Signal) -> None:
        if self.status in _NOT_YET and self.life is not None:
            self.life.undelivered.append(signal)
        elif self.status is _PAUSED:
            self.status = _RUNNING
            report_resume(self)
            if self.life is not None:
                self.life.deliver_all()
            if self.draining:
                self.signal(Signal(_DRAIN))

    async def _on_start(self, cause: BaseException | None) -> None:
        if self.status not in (_NEW, _DOWN):
            return
        is_restart = self.status is _DOWN
        is_unwanted, self._is_unwanted = self._is_unwanted, False
        if is_restart and is_unwanted and self.above.child_unwanted(self):
            self._tell_end_waiters()
            return
        # A drain goes on in the incarnation that follows a failure.
        self.draining = self.draining and not (is_restart and self._cause is None)
        self.status = _STARTING
        self._cause = None
        self._killed, self._is_ready = None, False
        if self.ledger is not None:
            self.ledger.begin()
        if is_restart and not self.draining:
            self.mailbox.reopen()
        try:
            checkpoints = await self._finished(self._stored_states())
        except StoreUnavailable as error:
            # Nothing has begun yet, so nothing is counted; a restart is held with its own cause.
            self._down(error, first_cause=cause if is_restart else None)
            return
        except Exception as error:  # noqa: BLE001 - Fenced, or whatever a damaged row makes of reading
            self._start_raised(error)
            return
        self.incarnation += 1
        if is_restart:
            self.runtime.restarts += 1
            if self.ledger is not None:
                self.ledger.restarts += 1
        try:
            self._open_turn()
            self._actor = actor = self._new_actor()
            if self.family is None:
                self.family = self.runtime.new_family(self, actor)
            restored = load_state(self, actor, checkpoints) if checkpoints else None
            self._begin_life(actor)
            hooks = self.blueprint.hooks
            if self.runtime.faults is not None:
                await self._finished(injecting.start(self, self.runtime.faults))
            if is_restart and "on_restart" in hooks:
                await self._finished(actor.on_restart(cause))
            if "on_start" in hooks and await self._finished(actor.on_start()) is IGNORE:
                self._start_over(StartIgnored(self.path))
                return
            self._close_turn(actor)
        except Exception as error:  # noqa: BLE001 - the supervision boundary
            self._start_raised(error)
            return
        except BaseException as error:  # noqa: BLE001 - as in a handler
            if self._is_stray(error):
                self._start_raised(stray(error))
                return
            self._drop_turn()
            raise self._passes_on(error, "start") from None
        if self.killed_by is not None:
            return  # it has swallowed its cancellation; KILL comes next
        if self.ledger is not None:
            self.ledger.started_with = (cause, restored)
        if self.family is None or not self.family.start_static():
            self._ready()

    async def _stored_states(self) -> Sequence[Checkpoint]:
        """What a new incarnation can be restored from, newest first."""
        return () if self.ledger is None else await find_checkpoints(self)

    def _open_turn(self) -> None:
        """For `DurableCell`: what a hook does is a turn."""

    def _begin_life(self, actor: Actor) -> None:
        """For `DurableCell`: the state is there that an incarnation begins with. Raises UnencodableState."""

    def _close_turn(self, actor: Actor) -> None:
        """For `DurableCell`: that hook has returned. Raises UnencodableState, StoreUnavailable."""

    def _drop_turn(self) -> None:
        """For `DurableCell`: a turn has failed, nothing that it has sent leaves."""

    def _roll_back(self) -> None:
        """For `DurableCell`: as `_drop_turn`, and the state is again what it was before the turn."""

    def look_for_room(self) -> None:
        """For `DurableCell`: the store has room again."""

    @property
    def keeps_pending(self) -> bool:
        """For `DurableCell`: what is not settled now is for another start of the actor."""
        return False

    def _start_raised(self, error: Exception) -> None:
        report_failure(self, error, None, "start")
        self._start_over(error)

    def _start_over(self, error: Exception) -> None:
        """It does not come to life; no further hook of this instance runs."""
        self._drop_turn()
        self._actor = None
        self.status = _FAILING
        self._cause = error
        if self.family is None or not self.family.stop_all(kill=False):
            self._down(error)

    def _on_family_ready(self) -> None:
        if self.status is _STARTING:
            self._ready()

    def _ready(self) -> None:
        self.status = _RUNNING
        self._is_ready = True
        if self.runtime.failing or self.runtime.given_up:
            self.runtime.failing.pop(self.path, None)
            self.runtime.given_up.pop(self.path, None)
        if self.ledger is not None:
            report_start(self, self.ledger)
        self.above.child_started(self)
        if self._start_waiter is not None:
            self._start_waiter.set(None)
            self._start_waiter = None
        if self.life is not None:
            self.life.deliver_all()
        if self.blueprint.at_ready is not None:
            self.blueprint.at_ready(self._actor)
        if self.draining:
            self.signal(Signal(_DRAIN))

    async def _on_save(self) -> None:
        ledger, actor = self.ledger, self._actor
        is_up = self.status is _RUNNING or self.status is _PAUSED
        if is_up and actor is not None and ledger is not None and ledger.unsaved:
            await self._save(lambda actor: save_in_time(self, actor), actor)

    async def _save_by_policy(self, actor: Actor) -> None:
        if not self._is_spent():  # a failure needs another turn, which saves as well
            await self._save(lambda actor: save_by_policy(self, actor), actor)

    async def _save(self, save: Callable[[Actor], object], actor: Actor) -> None:
        """A state that cannot be stored is its actor's failure."""
        try:
            save(actor)
        except (UnencodableState, FaultInjected) as error:
            report_failure(self, error, None, "checkpoint")
            await self._obey_directive(self.above.decide(self, error).directive, error)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the actor can do: as the instance at work says, else its class."""
        own = None if self._actor is None else vars(self._actor).get("capabilities")
        return self.blueprint.capabilities if own is None else tuple(sorted(own))

    @property
    def starts(self) -> int:
        """Incarnations of this cell."""
        return self.incarnation if self.ledger is None else self.incarnation - self.ledger.first_incarnation

    @property
    def restarts(self) -> int:
        """How often it was started again; in earlier starts of the process too, if the store knows it."""
        return max(0, self.incarnation - 1) if self.ledger is None else self.ledger.restarts

    async def _on_stop(self, *, is_decided: bool = False) -> None:
        """`is_decided`: its supervisor wants it, which knows what is to come after it."""
        if self.status in _UP:
            self.status = _STOPPING
            await self._after_family()
        elif self.status in (_DOWN, _FAILING) and not is_decided:
            self._is_unwanted = True  # asked for while it failed; the START behind this one sees it

    async def _on_drain(self) -> None:
        # Before it is ready, `_ready` sees the drain; with something queued, the turn that ends it.
        if self.status is _RUNNING and not self.has_work:
            await self._on_stop()

    async def _on_passivate(self) -> None:
        """For `VirtualCell`; no other is asked to."""

    def _on_kill(self) -> None:
        if self.status not in (_DOWN, _ENDED):
            # One that fails already, and whose hooks are cut short, is down for what it has failed of.
            is_failing = self.status is _FAILING and self._cause is not None
            self.status = _FAILING
            if not is_failing:
                self._cause = cause = self._killed or ActorKilled(self.path)
                if not isinstance(cause, ActorKilled):
                    report_failure(self, cause, None, "start")
            if self.family is None or not self.family.stop_all(kill=True):
                self._down(self._cause)

    async def _on_fail(self, cause: BaseException | None, where: str) -> None:
        if self.status in _UP and isinstance(cause, Exception):
            report_failure(self, cause, None, where)
            # There is no going on without the children, nor beside code that was abandoned.
            if where in _NO_GOING_ON or self.status is _STARTING:
                await self._fail(cause)
            else:
                await self._obey_directive(self.above.decide(self, cause).directive, cause)

    async def _fail(self, error: Exception) -> None:
        self.status = _FAILING
        self._cause = error
        if self.family is None and not self._winds_up:
            self._down(error)
        else:
            await self._after_family()

    async def _after_family(self) -> None:
        """Go on with the end of this incarnation: now, or when the children are down."""
        if self.family is not None and self.family.stop_all(kill=False):
            return
        if self._winds_up:
            await self._wind_up()
        else:
            self._down(self._cause)

    @property
    def _winds_up(self) -> bool:
        return self.blueprint.winds_up or self.runtime.faults is not None

    async def _on_family_gone(self) -> None:
        if self.status not in (_STOPPING, _FAILING):
            return
        if self._killed is not None:
            self._down(self._cause)
        else:
            await self._wind_up()

    async def _wind_up(self) -> None:
        """The hooks at the end of an incarnation, and its last checkpoint if it ends in order."""
        actor, hooks, cause = self._actor, self.blueprint.hooks, self._cause
        if actor is not None:
            if cause is not None and hooks & _LAST_HOOKS:
                self.above.child_failing(self)
            if isinstance(cause, Exception) and "on_failure" in hooks:
                failure = cause
                await self._call_hook(actor, "on_failure", lambda: actor.on_failure(failure))
            faults = self.runtime.faults
            if "on_stop" in hooks or faults is not None:
                hook: Callable[[], Any] = actor.on_stop
                if faults is not None:
                    hook = partial(injecting.stop, self, faults, hook)
                error = await self._call_hook(actor, "on_stop", hook)
                cause = cause or error
            # A path that the runtime made means nothing to the next start.
            if cause is None and self._saves_at_end:
                cause = self._save_last(actor)
        self._down(cause)

    @property
    def _saves_at_end(self) -> bool:
        saves = self.blueprint.has_state and self.blueprint.is_mirrored and self.inbox is None
        return saves and not is_anonymous(self.path)

    def _save_last(self, actor: Actor) -> Exception | None:
        try:
            if not save_state(self, actor, "orderly end", if_changed=True, is_last=True):
                self.log().error(
                    "the last checkpoint was not taken: the store has another owner, or is closed"
                )
        except (UnencodableState, FaultInjected) as error:
            report_failure(self, error, None, "checkpoint")
            return error
        return None

    async def _finished(self, outcome: Any) -> Any:
        """What a hook returns, awaited if it can be."""
        if not hasattr(outcome, "__await__"):
            return outcome
        generation = self.generation
        try:
            outcome = await outcome
        except (Exception, anyio.get_cancelled_exc_class()) as error:
            if self.generation != generation:
                raise TurnAbandoned(error) from error
            raise
        if self.generation != generation:
            raise TurnAbandoned
        return outcome

    async def _call_hook(self, actor: Actor, name: str, call: Callable[[], Any]) -> Exception | None:
        self._open_turn()
        try:
            await self._finished(call())
            self._close_turn(actor)
        except Exception as error:  # noqa: BLE001 - the supervision boundary
            self._roll_back()
            report_failure(self, error, None, name)
            return error
        except BaseException as error:  # noqa: BLE001 - as in a handler
            self._roll_back()
            if not self._is_stray(error):
                raise self._passes_on(error, name) from None
            failure = stray(error)
            report_failure(self, failure, None, name)
            return failure
        return None

    def _down(self, cause: BaseException | None, *, first_cause: BaseException | None = None) -> None:
        """This incarnation is over; the parent's family has the word.

        `first_cause` is what the next start is told instead of `cause`.
        """
        was_ready, self._is_ready = self._is_ready, False
        self.status = _DOWN
        self._actor = None
        self._cause = first_cause or cause
        forget_alarm(self.ledger)
        if self.life is not None:
            self._end_life(self.life, cause)
        if self.runtime.paused:
            self.runtime.paused.pop(self.path, None)
        self.mailbox.pause(self.runtime.backend.now())
        if cause is not None and not isinstance(cause, StartIgnored):
            self.runtime.failing[self.path] = self._cause or cause
            if self.blueprint.is_mirrored and self.starts:
                write_status(self, "failed")
        self.above.child_down(self, cause, was_ready=was_ready)
        self._tell_end_waiters()

    def _end_life(self, life: Incarnation, cause: BaseException | None) -> None:
        self.life = None
        life.end(cause)

    def _tell_end_waiters(self) -> None:
        is_draining_on = self.draining and self.is_alive and self._cause is not None
        waiters, self._end_waiters = self._end_waiters or [], None
        for slot, is_drain in waiters:
            if is_drain and is_draining_on:
                self._end_waiters = [*(self._end_waiters or []), (slot, is_drain)]
            else:
                slot.set(None)

    def bury(self) -> None:
        """End for good, with all that is kept for it below: nothing will be started again here.

        What is queued becomes dead letters (`stopped`), whoever asked gets ActorStopped. Of very many below,
        most do so a little later (`Burials`).
        """
        self.end_for_good()
        self.runtime.burials.below(self)

    @property
    def is_left_behind(self) -> bool:
        """It is still to end for good, as its parent has done."""
        above = self.above.owner
        return above is not None and not above.is_alive

    def end_for_good(self) -> None:
        """`bury`, for this cell alone; nothing happens if it has ended so already."""
        if self.status is _ENDED:
            return
        was_started = self.starts > 0
        self.status = _ENDED
        self.runtime.failing.pop(self.path, None)
        self.runtime.registry.remove(self)
        if self.life is not None:  # others are linked to it, and it has never started
            self._end_life(self.life, None)
        if self._start_waiter is not None:
            # Of `_down`, which comes here by way of the family, or of a parent that ends before the START.
            self._start_waiter.fail(
                self._cause or StartFailed(self.path, "it was stopped before it was ready")
            )
            self._start_waiter = None
        self._tell_end_waiters()
        queued, line = self.mailbox.close()
        how = how_ended(self) if queued or line else ""
        for entry in map(plain, filterfalse(is_discarded_at_end, queued)):
            if self.keeps_pending:
                stays = f"the actor ended before it was handled{how}; {_STAYS_PENDING}"
                delivery.fail_asker(entry, ActorStopped(entry[0], self.ref, stays))
                continue
            if settle_unfinished(self, entry):
                continue
            delivery.dead(self, entry, _WAS_STOPPED, f"its actor ended before it was handled{how}")
            ended = ActorStopped(entry[0], self.ref, f"the actor ended before it was handled{how}")
            delivery.fail_asker(entry, ended)
        for entry, slot in line:
            why = f"the actor ended while this waited for room{how}"
            slot.fail(ActorStopped(plain(entry)[0], self.ref, why))
        if self.blueprint.is_mirrored and was_started:
            report_end(self, None if isinstance(self._cause, StartIgnored) else self._cause)
        self.runtime.counts.take_over(self)
        if self.runtime.watchers:
            announce_end(self)
