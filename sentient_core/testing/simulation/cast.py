"""The actors of a simulation: they do with a message what it says, and tell the witness."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import msgspec

from sentient_core.actors import Actor, Request, Terminated, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.errors import FaultInjected, RestartLimitExceeded, SentientError, StoreUnavailable
from sentient_core.events import AgentEvent
from sentient_core.mailbox import MailboxOptions
from sentient_core.supervisor import Backoff, ChildSpec, Strategy, Supervisor
from sentient_core.testing.simulation.determinism import EPOCH_NS
from sentient_core.testing.simulation.messages import Origin
from sentient_core.testing.simulation.program import Kind, Part, Task, Way
from sentient_core.testing.simulation.witness import Process, current_process, shown

if TYPE_CHECKING:
    from sentient_core.system import ActorSystem

__all__ = [
    "NOTED",
    "Durable",
    "Failed",
    "Job",
    "Mirrored",
    "Read",
    "Refused",
    "Team",
    "Volatile",
    "Worker",
    "publish",
    "spec_of",
    "virtual_class",
]

NOTED = "simulated.noted"
"""The type of the events that are published."""

_ASK_SECONDS = 3.0
_FAILING = (Way.FAIL, Way.BAD_START, Way.RELAY_FAIL, Way.PUBLISH_FAIL)


class Failed(Exception):
    """A handler has failed, as it was told to."""


class Refused(Exception):
    """A refusal that is an answer."""


class Job(Request[str], frozen=True):
    """A task on its way."""

    task: Task
    sender: str = ""
    number: int = 0
    """Its place among the messages of its sender; 0: it has none."""
    is_asked: bool = False


class Read(Request[dict[str, int]], frozen=True):
    """Say what is in the state."""


class Worker(Actor):
    """Counts in its state what it has handled."""

    reply_errors: ClassVar[tuple[type[Exception], ...]] = (Refused,)
    handler_timeout: ClassVar[float | None] = 20.0

    class State(msgspec.Struct):
        handled: dict[str, int] = {}

    state: State

    @property
    def _kind(self) -> Kind:
        return Kind(self.durability)

    def on_restart(self, cause: BaseException | None) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.lives.restarts(path, process.witness.now(), _above(self))

    def on_start(self) -> None:
        process, path = current_process.get(), self.context.ref.path
        if process.is_over:
            return
        witness, incarnation = process.witness, self.context.incarnation
        process.refs[path] = self.context.ref
        witness.note(f"{path} #{incarnation} starts {shown(self.state.handled)}")
        witness.lives.starts(path, incarnation, _above(self), witness.now())
        if witness.states.starts(path, self._kind, self.state.handled):
            witness.books.restored(path, self.state.handled)
            witness.events.restored(path, self.state.handled)
        if process.bad_starts.get(path, 0):
            process.bad_starts[path] -= 1
            witness.note(f"{path} #{incarnation} does not start")
            witness.lives.goes_down(path, witness.now())
            raise Failed("a bad start")

    def on_failure(self, cause: Exception) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.note(f"{path} has failed: {type(cause).__name__}")
            if self.max_attempts > 1 and not isinstance(cause, Failed):  # it may be for another attempt
                process.witness.lives.costs_nothing(path, process.witness.now())

    def on_stop(self) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.note(f"{path} #{self.context.incarnation} stops")
            process.witness.lives.goes_down(path, process.witness.now())
            if process.witness.parts[path].restart != "permanent":  # it may be its end for good
                process.witness.books.gone_timers(path)

    @handles
    def read(self, message: Read) -> dict[str, int]:
        process = current_process.get()
        if not process.is_over:
            process.witness.states.shows(self.context.ref.path, self.state.handled)
        return dict(self.state.handled)

    @handles
    def terminated(self, message: Terminated) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.note(f"{path} is told of the end of {message.ref.path}")
            process.witness.lives.is_told(path, self.context.incarnation, message.ref.path)

    @handles
    async def job(self, message: Job) -> str:
        process = current_process.get()
        if process.witness.has_seen_enough:
            await anyio.sleep(1.0)  # else what goes round in circles takes no time, and the run never ends
        envelope = self.context.message
        attempt = 1 if envelope is None else envelope.attempt
        name = message.task.id
        if not process.is_over:
            message_id = None if envelope is None else envelope.message_id
            name = process.witness.copies.begun(self.context.ref.path, name, message_id, attempt)
        with self._told(process, message, name, attempt):
            await self._do(process, message.task, name)
        return message.task.id

    @contextmanager
    def _told(self, process: Process, message: Job, id_: str, attempt: int) -> Generator[None]:
        """Tell the witness of the handler's beginning, and of its end."""
        if process.is_over:
            yield
            return
        witness, path, is_copy = process.witness, self.context.ref.path, id_ != message.task.id
        witness.note(
            f"{path} begins {id_} {message.task.way}{'' if attempt == 1 else f', attempt {attempt}'}"
        )
        witness.books.begins(path, id_, message.sender, 0 if is_copy else message.number, attempt)
        witness.begins(path, id_)
        is_well = False
        try:
            yield
            is_well = True
        except Refused:
            if not process.is_over:
                witness.note(f"{path} refuses {id_}")
                entry = witness.books[id_]
                if (
                    message.is_asked
                    and not is_copy
                    and entry.run == witness.books.run
                    and not entry.is_asker_gone
                ):
                    witness.books.is_answered(id_)
            raise
        except Exception:
            if not process.is_over:
                witness.note(f"{path} fails with {id_}")
                if attempt < self.max_attempts:
                    witness.lives.costs_nothing(path, witness.now())
            raise
        except BaseException:
            if not process.is_over:
                witness.note(f"{path} is cut off at {id_}")
            raise
        finally:
            if not process.is_over:
                witness.lives.lets_go(path)
                witness.states.turn_ends(path, well=is_well)
                if is_well and not witness.books[id_].is_stashed:
                    witness.returns(path, id_)

    async def _do(self, process: Process, task: Task, name: str) -> None:
        path = self.context.ref.path
        if task.way is Way.STASH and name not in process.put_off:
            process.put_off.add(name)
            process.witness.books[name].is_stashed = True
            process.witness.note(f"{path} puts {name} off")
            self.context.stash()
            return
        if task.way is Way.WAIT:
            await anyio.sleep(task.seconds)
        self.state.handled[name] = self.state.handled.get(name, 0) + 1
        if not process.is_over:
            process.witness.states.counts(path, self._kind, name)
        await self._go_on(process, task, name)

    async def _go_on(self, process: Process, task: Task, name: str) -> None:
        way, envelope = task.way, self.context.message
        is_first = envelope is None or envelope.attempt == 1
        if task.to and task.to not in process.refs:  # it has not come to life yet
            process.witness.books.is_not_sent(f"{name}.relayed")
            return
        if way in (Way.RELAY, Way.RELAY_FAIL):
            origin = Origin.TURN if self._kind is Kind.DURABLE else Origin.ACTOR
            job = self._next(process, name, "relayed", origin, task.to)
            try:
                process.refs[task.to].tell(job)
            except FaultInjected:
                if not process.is_over:
                    process.witness.books.is_refused(job.task.id)
                raise
        elif way is Way.ASK:
            job = self._next(process, name, "asked", Origin.ACTOR, task.to)
            if not process.is_over:
                process.witness.books[job.task.id].may_be_gone = "an ask of an actor may be refused"
            try:
                await process.refs[task.to].ask(job, timeout=_ASK_SECONDS)
            except (SentientError, Refused) as error:
                if not process.is_over:
                    process.witness.note(f"{self.context.ref.path} asked in vain: {type(error).__name__}")
        elif way in (Way.TIMER, Way.DURABLE_TIMER):
            self._set_timer(process, task, name)
        elif way is Way.UNSTASH:
            self.context.unstash_all()
        elif way is Way.WATCH:
            if not process.is_over:
                process.witness.lives.watches(self.context.ref.path, self.context.incarnation, task.to)
            self.context.watch(process.refs[task.to])
        elif way is Way.CHECKPOINT and self._kind is not Kind.DURABLE:
            process.witness.states.saves(self.context.ref.path)
            await self.checkpoint()
            if not process.is_over:
                process.witness.states.saved(self.context.ref.path)
        elif way is Way.BAD_START:
            process.bad_starts[self.context.ref.path] = 1
        elif way is Way.STOP:
            self.context.ref.stop()
        elif way in (Way.PUBLISH, Way.PUBLISH_FAIL):
            await self._publish(process, name)
        if way in _FAILING or (way is Way.FAIL_ONCE and is_first):
            if task.seconds:
                await anyio.sleep(task.seconds)
            raise Failed(way)
        if way is Way.REFUSE:
            raise Refused(way)

    async def _publish(self, process: Process, name: str) -> None:
        is_of_turn = self._kind is Kind.DURABLE
        id_ = f"{name}.published"
        if not is_of_turn:  # once more at every try
            id_ += self._try_of(process)
        await publish(
            process, self.context.system, id_, self.context.ref.path, turn=name if is_of_turn else None
        )

    def _try_of(self, process: Process) -> str:
        """What tells the tries of a task apart."""
        envelope = self.context.message
        return f"~{process.witness.books.run}.{1 if envelope is None else envelope.attempt}"

    def _set_timer(self, process: Process, task: Task, name: str) -> None:
        is_durable = task.way is Way.DURABLE_TIMER and self._kind is Kind.DURABLE
        path = self.context.ref.path
        due = process.witness.now() + task.seconds
        job = self._next(process, name, "rung", Origin.TURN if is_durable else Origin.TIMER, path, due)
        self.context.timers.once(name, task.seconds, job, durable=is_durable)

    def _next(self, process: Process, name: str, what: str, origin: Origin, to: str, due: float = 0.0) -> Job:
        """What this one sends because of a task; it has the same id however often that is handled."""
        path, id_, number = self.context.ref.path, f"{name}.{what}", 0
        if not process.is_over:
            number = process.witness.next_number() if what == "relayed" else 0
            kind = process.witness.parts[to].kind
            is_same = kind is Kind.DURABLE if what == "asked" else origin is Origin.TURN
            if not is_same or self._kind is not Kind.DURABLE:
                # What has left at once leaves once more when the task is tried again.
                id_ += self._try_of(process)
            process.witness.books.sent(id_, to, kind, origin, name, due)
            process.witness.note(f"{path} sends {id_} to {to}")
        return Job(Task(id_), path, number)


class Volatile(Worker):
    durability: ClassVar[DurabilityName] = "volatile"


class Mirrored(Worker):
    durability: ClassVar[DurabilityName] = "mirrored"


class Durable(Worker):
    durability: ClassVar[DurabilityName] = "durable"


class Team(Supervisor):
    """Keeps what its part says."""

    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self, part: Part) -> None:
        backoff = Backoff(first=part.backoff, most=8.0) if part.backoff else None
        make: Any = getattr(Supervisor, part.strategy)
        strategy: Strategy = make(max_restarts=part.max_restarts, within=part.within, backoff=backoff)
        # An instance may have its own; for type checkers they are the class's.
        vars(self).update(strategy=strategy, children=[spec_of(child) for child in part.children])

    def on_restart(self, cause: BaseException | None) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.lives.restarts(path, process.witness.now(), _above(self))

    def on_start(self) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.refs[path] = self.context.ref
            process.witness.note(f"{path} #{self.context.incarnation} starts")
            process.witness.lives.starts(path, self.context.incarnation, _above(self), process.witness.now())

    def on_failure(self, cause: Exception) -> None:
        process = current_process.get()
        if not process.is_over:
            process.witness.note(f"{self.context.ref.path} gives up: {type(cause).__name__}")
            if isinstance(cause, RestartLimitExceeded) and not process.has_hidden_ends:
                process.witness.lives.gives_up(self.context.ref.path)
            root: BaseException | None = cause
            while root is not None and not isinstance(root, StoreUnavailable):
                root = root.__cause__
            if root is not None:  # the restart is held until the store is there again
                process.witness.lives.costs_nothing(self.context.ref.path, process.witness.now())

    def on_stop(self) -> None:
        process, path = current_process.get(), self.context.ref.path
        if not process.is_over:
            process.witness.note(f"{path} #{self.context.incarnation} stops")
            process.witness.lives.goes_down(path, process.witness.now())


async def publish(
    process: Process, system: ActorSystem, id_: str, source: str, *, turn: str | None = None, fails: int = 0
) -> None:
    """Publish an event, and tell the witness. `fails`: so often who follows fails with it."""
    witness, is_told = process.witness, not process.is_over
    if is_told:
        witness.note(f"{source} publishes {id_}")
        witness.events.publishes(id_, source, turn)
    at = datetime.fromtimestamp(EPOCH_NS / 1e9 + witness.now(), UTC)
    event = AgentEvent(
        event_type=NOTED, source_agent=source, event_id=id_, timestamp=at, payload={"fails": fails}
    )
    try:
        await system.events.publish_event(event)
    except BaseException as error:
        if is_told and not process.is_over:
            witness.note(f"{id_} is not published: {type(error).__name__}")
            witness.events.fails(id_, is_refused=isinstance(error, FaultInjected))
        raise
    if is_told and not process.is_over:
        witness.events.returns(id_)


def spec_of(part: Part) -> ChildSpec:
    """How a part is kept."""
    if part.kind is Kind.TEAM:
        return ChildSpec(Team, name=part.name, args=(part,))
    return ChildSpec(_class_of(part.kind, part.attempts, part.is_tight), name=part.name, restart=part.restart)


def virtual_class(kind: Kind) -> type[Worker]:
    """The class of the virtual actors of a durability."""
    return _VIRTUAL[kind]


def _above(actor: Actor) -> int:
    parent = actor.context.parent
    return 0 if parent is None else parent.incarnation


_KINDS: dict[Kind, type[Worker]] = {
    Kind.VOLATILE: Volatile,
    Kind.MIRRORED: Mirrored,
    Kind.DURABLE: Durable,
}


def _variant(kind: Kind, attempts: int, is_tight: bool) -> type[Worker]:
    name = f"{kind}-{attempts}{'-tight' if is_tight else ''}"
    capacity = 3 if is_tight else 10_000
    members = {
        "__module__": __name__,
        "__qualname__": name,
        "max_attempts": attempts,
        "mailbox": MailboxOptions(capacity=capacity),
    }
    return type(name, (_KINDS[kind],), members, tag=name)


_VARIANTS = {
    (kind, attempts, is_tight): _variant(kind, attempts, is_tight)
    for kind in _KINDS
    for attempts in (1, 2)
    for is_tight in (False, True)
}


def _class_of(kind: Kind, attempts: int, is_tight: bool) -> type[Worker]:
    return _VARIANTS[kind, attempts, is_tight]


def _virtual(kind: Kind) -> type[Worker]:
    name = f"{kind}-virtual"
    members = {"__module__": __name__, "__qualname__": name, "passivate_after": 1.5}
    return type(name, (_KINDS[kind],), members, tag=name)


_VIRTUAL = {kind: _virtual(kind) for kind in (Kind.MIRRORED, Kind.DURABLE)}
