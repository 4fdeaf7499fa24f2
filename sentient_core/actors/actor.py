"""The class that users subclass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeAlias, TypeVarTuple, overload

import msgspec
from anyio import CapacityLimiter
from typing_extensions import TypeVar

from sentient_core.actors.blocking import run_process, run_sync
from sentient_core.actors.blueprint import Blueprint
from sentient_core.actors.checkpoints import CheckpointPolicy
from sentient_core.actors.class_names import check_aliases
from sentient_core.actors.context import Context, fence
from sentient_core.actors.once import once
from sentient_core.actors.overdue import heartbeat
from sentient_core.actors.request import Askable, Request
from sentient_core.actors.saving import check_at_work, save_and_wait
from sentient_core.errors import NotSpawned
from sentient_core.mailbox import MailboxOptions
from sentient_core.paths import check_name

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = [
    "IGNORE",
    "Actor",
    "Askable",
    "Ignore",
    "IsolationName",
    "M_contra",
    "NoState",
    "Request",
    "fence_off",
    "new_actor",
]

M_contra = TypeVar("M_contra", contravariant=True, default=Any)
"""The messages that an actor class takes; Any, where it does not say: senders are then not checked."""
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
DurabilityName: TypeAlias = Literal["volatile", "mirrored", "durable"]
IsolationName: TypeAlias = Literal["none", "copy", "check"]


class Ignore(Enum):
    """What `on_start` may return."""

    IGNORE = "ignore"


IGNORE: Final = Ignore.IGNORE
"""Returned by `on_start`: the actor is not to live now. No failure: a supervisor goes on without it."""


class NoState(msgspec.Struct):
    """The State of an actor class that declares none: nothing to save."""


class Actor(Generic[M_contra]):
    """An isolated object that handles one message at a time.

    The life of an actor: an instance is made (`__init__` with the arguments of `spawn`; `self.state`
    is `State()`, `self.context` works), its latest checkpoint is loaded into `self.state`, in an
    incarnation after the first `on_restart(cause)` runs, then `on_start()`; then messages are
    handled, one at a time, also across a handler's awaits. When a handler raises, its supervisor's rules say
    what that means. Usually the message in hand becomes a dead letter (`failed`) and whoever asked gets
    HandlerFailed, unless `max_attempts` leaves it another try; `on_failure(cause)` and then `on_stop()` run;
    and the next incarnation begins, a new instance under the same ref with the same mailbox. `stop()` runs
    `on_stop()`; `kill()` runs nothing.

    Hooks and handlers may be sync or async. `__init__` needs no `super().__init__()`.

    A class that names its messages, `class Account(Actor[Deposit | Balance])`, must handle each of them, else
    it raises InvalidHandler when it is made, and a type checker refuses any other message to its refs. Only
    the checker does: at run time such a message is handled or not as in any other actor.

    The store knows the class, and its State, by the class's name, or by a tag of its own: `class
    Account(Actor, tag="account")`. When either changes, the class names the earlier ones, `class
    Account(Actor, aliases=("Konto",))`, and is taken for what it was. The paths of virtual actors begin with
    it: keep that one, by `tag`.
    """

    durability: ClassVar[DurabilityName] = "mirrored"
    """`mirrored`: every message is an `agent_event` and the state is checkpointed. `volatile`: nothing
    is written, unless the actor asks for a checkpoint; only for what may be lost. `durable`: a message is
    committed before its `send` returns, and each turn commits as a whole: the message handled, the state,
    what it sends and what it answers. Nothing that was acknowledged is lost or applied twice, whatever
    crashes; a handler that fails leaves nothing."""

    mailbox: ClassVar[MailboxOptions] = MailboxOptions()
    """How many messages may wait, and what happens to one that finds no room."""
    isolation: ClassVar[IsolationName | None] = None
    """`none`: messages are handed over as they are; make them frozen. `copy`: this actor gets deep copies,
    and so does who asks it. `check` (for tests): a message that was changed between the call that sent it
    and its turn is a dead letter, MessageChanged for who asked, and fails this actor. None: as the system."""
    checkpoint_policy: ClassVar[CheckpointPolicy] = CheckpointPolicy()
    """When the state is saved, besides `checkpoint()` and an orderly end. Of a durable actor, which saves it
    in every turn: when it is kept as an earlier one for `system.state_at`; without a policy of its own never.
    """
    schema_version: ClassVar[int] = 1
    """Of `State`, from 1 on: raise it when what is stored under the one before does not fit any more. A
    checkpoint of an earlier version is loaded by way of `@upcast`, one of a later version refused."""
    state_bytes: ClassVar[int | None] = 32 * 1024 * 1024
    """The most bytes that the state may have as it is stored. One that is larger fails the actor when it
    would be saved (StateTooLarge); the previous checkpoint stands. None: as large as it likes."""
    default_shutdown: ClassVar[float | None] = 5.0
    """Grace in seconds where neither `ChildSpec` nor `spawn` says one; None: no limit (supervisors)."""
    handler_timeout: ClassVar[float | None] = None
    """Seconds that one message may be in hand; a handler that takes longer is cancelled at its await and
    fails with HandlerOverdue. For every handler, `on_receive` and calls of proxies; `@handles(timeout=...)`
    says it for one, `math.inf` there that it may take for ever. What never awaits cannot be cancelled: the
    watchdog names it."""
    handler_heartbeat: ClassVar[float | None] = None
    """Seconds that a handler may go without a call of `self.heartbeat()`, likewise."""
    kill_grace: ClassVar[float | None] = 5.0
    """Seconds in which a handler or hook has to end when it is cancelled: by a `kill`, a time limit, the end
    of its `shutdown`. One that swallows it for longer is abandoned: named in the log and a
    `handler_abandoned` event, fenced off, and the actor fails without it (HandlerAbandoned). None: it is
    waited for."""
    reply_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Exceptions that are answers: the asker gets one as it is, and the actor does not fail."""
    max_attempts: ClassVar[int] = 1
    """How often a message is tried whose handler raises. 1: it becomes a dead letter (`failed`) at once.
    More: it goes back to the head of the mailbox and is handled first by the next incarnation, while whoever
    asked goes on waiting; after its last attempt it is quarantined (a dead letter with the traceback), and
    the actor goes on with the next message. A restart for another attempt costs nothing of the supervisor's
    window (that after the last one does), but of the budgets of its trees.
    Handlers must bear being run again; `self.context.message.attempt` says which attempt it is. Ticks,
    Terminated and receive timeouts are not tried again by another incarnation."""
    capabilities: ClassVar[Collection[str]] = frozenset()
    """What actors of this class can do, in words of your choice, for `system.actors(capability=…)` and the
    `agent_state` rows. A subclass that declares its own replaces those of its bases."""

    initial_behaviour: ClassVar[str | None] = None
    """The behaviour that every incarnation begins with, for classes with `@handles(when=...)`."""

    behaviours: ClassVar[Collection[str]] = ()
    """Behaviours that no handler is for, so that only the handlers without `when` are at work in them:
    `behaviours = ("shipped", "cancelled")`. Those of `@handles(when=...)` and of the bases count as well."""

    State: ClassVar[type[msgspec.Struct]] = NoState
    """What a checkpoint holds: a nested msgspec.Struct class with a default for every field."""
    state: Any
    """An instance of `State`. Write `state: State` in your class for your type checker."""

    passivate_after: ClassVar[float | None] = 60.0
    """Of a virtual actor (`get_or_spawn`): seconds without a message after which its instance goes, until the
    next message; None: it stays."""

    __blueprint__: ClassVar[Blueprint]
    __supervises__: ClassVar[bool] = False
    """Its class declares children, which start with it."""
    __sentient_tag__: ClassVar[str]
    __sentient_aliases__: ClassVar[tuple[str, ...]]
    __cell: Cell
    __context: Context | None = None

    def __init_subclass__(cls, *, tag: str | None = None, aliases: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if tag is not None:
            cls.__sentient_tag__ = check_name(tag)
        cls.__sentient_aliases__ = check_aliases(cls, aliases)
        cls.__blueprint__ = Blueprint(cls, Actor)
        cls.capabilities = frozenset(cls.__blueprint__.capabilities)

    @property
    def context(self) -> Context:
        """Where this actor stands: its ref, parent, children, system, the message in hand."""
        context = self.__context
        if context is None:
            try:
                cell = self.__cell
            except AttributeError:
                raise NotSpawned(type(self).__name__) from None
            context = self.__context = Context(cell, cell.incarnation_of(self))
        return context

    async def checkpoint(self) -> str:
        """Save the state as it is now; returns the checkpoint's id once it is committed.

        What was sent to mirrored actors of the system before it is then committed as well.
        The message in hand is not consumed by it. Of a durable actor, whose turns are committed anyway, it is
        the state before the turn at hand, kept for `system.state_at`. Raises UnencodableState (the previous
        checkpoint stands) and StoreUnavailable. Cancelling it does not take the checkpoint back.
        """
        return await save_and_wait(self.__cell, self)

    # `returns` may be any type that msgspec can read, also one that no type checker has a name for.
    @overload
    async def once(self, key: str, fn: Callable[[], Awaitable[T]], *, returns: object = None) -> T: ...
    @overload
    async def once(self, key: str, fn: Callable[[], T], *, returns: object = None) -> T: ...
    async def once(self, key: str, fn: Callable[[], Any], *, returns: object = None) -> Any:
        """Do something to the outside once for the message in hand, and return what it returned.

        ::

            paid = await self.once("pay", lambda: gateway.pay(3, token=self.context.message.message_id))

        For handlers of durable actors. It waits until the message is committed, calls `fn` (a function
        without arguments, sync or async), and commits the result by itself. When the message is handled
        again, after a crash or a failure, the recorded result is returned and `fn` is not called; when it
        is settled, the result is forgotten. A process that dies between the two calls `fn` again: give the
        outside a token, the id of the message and the key. If `fn` raises, nothing is recorded.

        The result must be one that can be stored. A recorded one is read as the type `returns`, else as
        what `fn` is annotated with, else as plain values: whatever would not be the same then raises
        UnencodableResult the first time already, when `fn` has run. Raises NotInTurn in hooks, for ticks and
        beside a turn, InvalidArgument in actors that are not durable and for a key that is under way,
        StoreUnavailable, Fenced.
        """
        return await once(self.__cell, self, key, fn, returns)

    def heartbeat(self, progress: float | None = None) -> None:
        """Say that the handler at work is alive, and how much it has done, from 0 to 1.

        Keeps to `handler_heartbeat`, and `ref.progress` shows it. A handler may call it, tasks and threads
        that it has started (`run_sync`) as well; where no message is in hand it does nothing. Raises
        InvalidArgument, and StaleIncarnation for an instance that has ended.
        """
        check_at_work(self.__cell, self)
        heartbeat(self.__cell, progress)

    async def run_sync(self, fn: Callable[[*Ts], T], *args: *Ts, limiter: CapacityLimiter | None = None) -> T:
        """Run blocking work in a thread and return what it returns; the event loop goes on meanwhile.

        The actor waits for it, with one message at a time as ever. A system runs `ActorSystem(threads=...)`
        of them at once, the others wait; `limiter` takes the place of that limit. Raises what `fn` raises.
        Cancelling (a `kill`, a timeout around it) returns at once and abandons the thread: it runs on, and
        what it returns is dropped. In the thread, refs are used through the system, with this actor as the
        sender: `system.from_thread.tell(ref, message)`.
        """
        check_at_work(self.__cell, self)
        return await run_sync(self.__cell.runtime.limits, limiter, fn, *args)

    async def run_process(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run work for the processor in another process and return what it returns.

        As `run_sync`, beyond Python's lock; a system runs as many at once as there are processors. `fn`, its
        arguments and its result are pickled: a function on the top level of a module, plain data. The first
        call starts a process, which takes a moment, and later ones use it again. Cancelling ends the process.
        The process imports your main module: start your program there under `if __name__ == "__main__":`,
        or it runs once more in each of them.
        """
        check_at_work(self.__cell, self)
        return await run_process(self.__cell.runtime.limits, fn, *args)

    def on_receive(self, message: Any, /) -> Any:
        """The catch-all, for messages that no `@handles` method takes. Return value: the reply.

        A class that does not override it makes dead letters (`unhandled`) of them.
        """
        raise NotImplementedError

    def on_start(self) -> Any:
        """Runs in every incarnation, after the state is loaded, before the first message.

        Raising means that the actor does not start; no further hook of this instance runs. Returning
        IGNORE means that it is not to live now, which is no failure: a supervisor goes on without it,
        `spawn` raises StartIgnored.
        """

    def on_stop(self) -> Any:
        """Runs at the end of an incarnation, orderly or failed; not when killed.

        Raising is reported, makes the end a failure, and does not stop the stopping.
        """

    def on_failure(self, cause: Exception, /) -> Any:
        """Runs when an incarnation ends by a failure, when its children are down, before `on_stop`.

        Not when the failure is resumed or pauses the actor, and not when it was killed. Raising is reported.
        """

    def on_restart(self, cause: BaseException | None, /) -> Any:
        """Runs in a restarted incarnation, after the state is loaded, before `on_start`.

        `cause` is None for a permanent actor that had ended in order.
        """

    @staticmethod
    def _attach(actor: Actor, cell: Cell) -> None:
        actor.__cell = cell

    @staticmethod
    def _fence(actor: Actor) -> None:
        fence(actor.context)


Actor.__blueprint__ = Blueprint(Actor, None)


def new_actor(blueprint: Blueprint, cell: Cell, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Actor:
    """A new instance that belongs to `cell`, so that state and context work in its `__init__`."""
    cls = blueprint.cls
    actor = cls.__new__(cls)
    Actor._attach(actor, cell)  # pyright: ignore[reportPrivateUsage] - for this function alone
    actor.state = blueprint.state_type() if blueprint.has_state else _NO_STATE
    if blueprint.has_init or args or kwargs:
        cls.__init__(actor, *args, **kwargs)
    return actor


def fence_off(actor: Actor) -> None:
    """An instance was abandoned: its context raises StaleIncarnation from now on."""
    Actor._fence(actor)  # pyright: ignore[reportPrivateUsage] - for this function alone


_NO_STATE = NoState()
