"""The handle of an actor: its address, and the ways to send to it and to end it."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, overload

from typing_extensions import TypeVar

from sentient_core.actors import asking, delivery
from sentient_core.actors.actor import Actor, Askable
from sentient_core.actors.administration import administration_of
from sentient_core.actors.current import current_cell
from sentient_core.actors.handover import Handover
from sentient_core.actors.overdue import Progress, progress_of
from sentient_core.actors.posting import Posting
from sentient_core.actors.sending_once import ask_once, check_message_id, send_once
from sentient_core.errors import InvalidArgument
from sentient_core.mailbox import Mailbox, MailboxStatistics

if TYPE_CHECKING:
    from sentient_core.actors.administration import ChildCounts, ChildInfo
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.proxy import UntypedProxy
    from sentient_core.supervisor.spec import ChildSpec
    from sentient_core.supervisor.supervisor import Supervisor

__all__ = ["ActorRef", "Ending", "ProxyClass", "cell_of", "check_timeout", "new_ref", "posting_of"]

A = TypeVar("A", bound=Actor)
A_co = TypeVar("A_co", bound=Actor, default=Any, covariant=True)
A_contra = TypeVar("A_contra", bound=Actor, contravariant=True)
X_co = TypeVar("X_co", covariant=True)
M = TypeVar("M")
R = TypeVar("R")


class Ending:
    """What `stop`, `drain` and `kill` return: they have asked already; await it to wait for the end."""

    __slots__ = ("_cell", "_incarnation", "_is_drain")

    def __init__(self, cell: Cell, incarnation: int, *, is_drain: bool = False) -> None:
        self._cell = cell
        self._incarnation = incarnation
        self._is_drain = is_drain

    def __await__(self) -> Generator[Any, Any, None]:
        return self._cell.wait_for_end(self._incarnation, is_drain=self._is_drain).__await__()


class ProxyClass(Protocol[A_contra, X_co]):
    """A subclass of ActorProxy that is made for refs of actors of type `A`."""

    def __call__(self, ref: ActorRef[A_contra], *, timeout: float) -> X_co: ...


class ActorRef(Generic[A_co]):
    """Address and handle of one actor, good for all its incarnations.

    It stands for a path: when its actor has ended for good and another one is started there, it is that
    one's. Refs are equal if they stand for the same path of the same system. It may be shared freely
    within its system and the thread of its event loop; nothing reachable from it is the actor's object or
    state.
    """

    __slots__ = ("_cell", "_mailbox")

    _cell: Cell
    _mailbox: Mailbox

    def __init__(self) -> None:
        raise TypeError("refs are made by spawning actors: await system.spawn(...), or system.get(path)")

    @property
    def path(self) -> str:
        """Names from below the root to this actor, joined by '/'; stable over restarts."""
        return self._cell.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._cell.name

    @property
    def incarnation(self) -> int:
        """Number of the instance at work, or of the last one."""
        return self._cell.at_home().incarnation

    @property
    def is_alive(self) -> bool:
        """It has not ended for good. True also while it is being started or restarted."""
        return self._cell.at_home().is_alive

    def statistics(self) -> MailboxStatistics:
        """The mailbox at this moment, and what has become of its messages.

        Raises WrongThread on another thread, which calls `system.from_thread.call(ref.statistics)`.
        """
        cell = self._cell.at_home()
        cell.runtime.dispatcher.check_thread("call(ref.statistics)")
        now = cell.runtime.backend.now()
        return cell.mailbox.statistics(cell.handled, now, is_paused=cell.is_paused)

    @property
    def __sentient_path__(self) -> str:
        return self._cell.path

    def tell(self: ActorRef[Actor[M]], message: M) -> None:
        """Put a message into the mailbox and go on. Never waits.

        Messages from one sender arrive in the order sent. A target that has ended or is full makes a
        dead letter (`stopped`, `full`, or `dropped` by its overflow policy), never an error. Raises
        only for the caller's mistake: UnencodableMessage and ForeignRef (a mirrored actor),
        UncopyableMessage (an isolated one), InvalidArgument (None is no message), SystemClosed.
        """
        # What `delivery.tell` comes to for an unmirrored message that finds room, without the calls.
        mailbox = self._mailbox
        queue = mailbox.queue
        if queue is not None and len(queue) < mailbox.plain_capacity and message is not None:
            cell, sender = self._cell, current_cell.get()
            if sender is not None and sender.inbox is not None:  # what it sends belongs to its turn
                delivery.tell(cell, message)
                return
            if not cell.scheduled:
                cell.runtime.dispatcher.schedule(cell)  # first, since it raises off the loop's thread
            queue.append((message, sender, None, None))
        else:
            delivery.tell(self._cell, message)

    def send(
        self: ActorRef[Actor[M]],
        message: M,
        *,
        timeout: float | None = None,
        message_id: str | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Put a message into the mailbox, waiting for room; says nothing about its handling.

        `timeout` is in seconds; None waits as long as it takes. Raises SendTimeout, MailboxFull
        (overflow FAIL), ActorStopped (these are DeliveryErrors), UnencodableMessage, SystemClosed: the
        message was then not accepted. With an overflow policy that drops, it returns at once, and what
        was dropped is a dead letter. Cancelling the wait leaves nothing behind.

        To a durable actor it returns when the store has the message. It raises CommitTimeout when that takes
        too long: the message was accepted then, and is handled; so it is if the wait is cancelled from there
        on. While the store has no room it waits as for room in the mailbox, but not for longer than
        `JournalOptions.room_patience`: then StoreUnavailable. In a durable turn it returns at once: the
        message is part of the turn.

        `message_id`, for durable actors: a name for this message, of your choice. Sent again under it, also
        after a crash and while the first try is under way, it is not applied again, for as long as
        `Retention.dedupe_window` says at least. What came of it is final, a dead letter included. Raises
        MessageIdConflict where the id was used for another message to this actor.
        """
        return _send(self._cell, message, timeout, None, message_id)

    # In this order: a Request, which says the reply's type; a Request for which mypy has taken another type
    # from what the reply is assigned to (an object, so that this is an error); whatever else the actor takes.
    @overload
    def ask(
        self: ActorRef[A], message: Askable[A, R], *, timeout: float, message_id: str | None = None
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def ask(  # pyright: ignore[reportOverlappingOverload] - it is for mypy alone
        self: ActorRef[A], message: Askable[A, object], *, timeout: float, message_id: str | None = None
    ) -> Coroutine[Any, Any, object]: ...
    @overload
    def ask(
        self: ActorRef[Actor[M]], message: M, *, timeout: float, message_id: str | None = None
    ) -> Coroutine[Any, Any, Any]: ...
    def ask(
        self, message: object, *, timeout: float, message_id: str | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Send a message, waiting for room, and return the handler's reply.

        `timeout` is in seconds and covers all of it. Ends at once, not at its timeout, when the target
        has ended or ends (ActorStopped), its handler raises and the message is not tried again
        (HandlerFailed, `__cause__` is what it raised), nothing handles the message (UnhandledMessage), or
        the mailbox refuses (MailboxFull) or drops it (MessageDropped); else AskTimeout. All of these are
        DeliveryErrors. An exception of the actor's `reply_errors` is raised as it is. A reply that comes
        after the ask has ended becomes a dead letter (`late_reply`).

        `message_id` is as of `send`: asked again under it, the message is not handled again, and the answer
        is the first one: the reply, read back as the type that the Request or the handler says (plain
        values, where none does; ReplyUnreadable, if it does not fit), or the failure. While the first try
        is under way, it is waited for.
        """
        return _ask(self._cell, message, timeout, None, message_id)

    @overload
    def proxy(self, *, timeout: float = 30.0) -> UntypedProxy[A_co]: ...
    @overload
    def proxy(self: ActorRef[A], cls: ProxyClass[A, R], *, timeout: float = 30.0) -> R: ...
    def proxy(self, cls: Any = None, *, timeout: float = 30.0) -> Any:
        """Call the actor's public methods and read its attributes as asks: `await ref.proxy().deposit(3)`.

        `cls`, a subclass of ActorProxy, says which there are, so that type checkers know them; its
        docstring says what may be handed over. `timeout` is what each call may take, in seconds. Raises
        NotExposed if the actor's class lacks a member that `cls` declares.
        """
        if cls is None:
            from sentient_core.actors.proxy import UntypedProxy  # noqa: PLC0415 - a proxy is made of a ref

            cls = UntypedProxy
        return cls(self, timeout=timeout)

    @property
    def progress(self) -> Progress | None:
        """What the handler at work has said by its last `self.heartbeat(...)`; None: nothing, or none is."""
        return progress_of(self._cell.at_home())

    def with_options(
        self, *, priority: int = 0, expires: float | None = None, deadline: float | None = None
    ) -> ActorRef[A_co]:
        """A ref of the same actor whose `tell`, `send` and `ask` post messages with these options.

        ::

            ref.with_options(priority=10, expires=2.0).tell(Alarm())

        `priority`: larger first, also in the line of those who wait for room; 0 is what all other messages
        have, below it is for when nothing else is queued. Within a priority the order is that of sending,
        between priorities there is none. `expires`: seconds from the call that sends; a message whose turn
        comes later is not handled: a dead letter (`expired`), and MessageExpired for who asked, or still
        waits for room by then. It is found when its turn comes, not before.

        `deadline`: seconds from the call that sends, by which the handler must have returned. A message whose
        turn comes later has expired; one that is in hand by then is cancelled, and its actor fails with
        HandlerOverdue.

        Keep it for as long as you like; it costs the plain `tell` nothing. Raises InvalidArgument.
        """
        return _PostingRef.of(self._cell, Posting(priority=priority, expires=expires, deadline=deadline))

    def stop(self) -> Ending:
        """Ask the actor to end after the message in hand; await the result to wait for that.

        Its children are stopped first, then `on_stop` runs. A permanent child is started again by its
        supervisor (`terminate_child` ends it for good); of any other, what is still queued becomes dead
        letters (`stopped`).
        """
        return self._cell.at_home().stop()

    def drain(self) -> Ending:
        """As `stop`, but what is queued is handled first; new messages are refused from now on.

        It is the actor's own queue: its children are stopped as ever. A paused actor does it when resumed.
        """
        return self._cell.at_home().drain()

    def kill(self) -> Ending:
        """Cancel the handler in hand now and end without hooks.

        The supervisor sees a failure (ActorKilled): a permanent or transient child is started again, unless a
        rule decides otherwise. A handler that swallows the cancellation is left to itself after the class's
        `kill_grace`.
        """
        return self._cell.at_home().kill()

    def pause(self) -> None:
        """Let the actor take nothing more from its mailbox, from after the message in hand on.

        What is sent is queued; stops, kills and its supervision go on as ever. A restart ends the pause.
        Nothing happens to one that is paused already, or has ended.
        """
        self._cell.at_home().pause()

    def resume(self) -> None:
        """Let a paused actor go on: one that was paused, or has paused by a failure (BudgetExceeded, a rule).

        It begins with the message that it failed of, if there was one. Nothing happens to any other actor.
        """
        self._cell.at_home().resume()

    async def start_child(
        self: ActorRef[Supervisor[Any]], child: ChildSpec | str, /, *args: Any, **kwargs: Any
    ) -> ActorRef[Any]:
        """Start one more child of this supervisor, the last in order; returns its ref when it is ready.

        `child` is a ChildSpec. Of a pool (`Supervisor.dynamic`) it is the key, and `args` and `kwargs` go to
        the class's `__init__` behind those of the pool's spec. It is kept as a declared one, but for one
        thing: it is not started again with its supervisor. Raises NameTaken (with the living ref),
        ChildPresent (there is one that has ended), PoolFull, InvalidChildSpec, StartIgnored (its spec is
        kept, but in a pool), StartTimeout, StartFailed (the supervisor is ending), or whatever its own start
        raised: nothing of it is then left. Cancelling it takes the child back. As all that follow it raises
        InvalidArgument where no supervisor lives at the path, and WrongThread.
        """
        return await administration_of(self._cell).start_child(child, args, kwargs)

    async def terminate_child(self: ActorRef[Supervisor[Any]], name: str) -> None:
        """End a child for good, within its grace, and return when it is down.

        What it had queued becomes dead letters (`stopped`). Its spec is kept, unless it is temporary or of a
        pool: `restart_child` starts it again, and so does a restart of its group or its supervisor. One that
        has ended already is left as it is. Raises UnknownChild.
        """
        await administration_of(self._cell).terminate_child(name)

    async def restart_child(self: ActorRef[Supervisor[Any]], name: str) -> ActorRef[Any]:
        """Start a child that has ended, in its old place; returns its ref when it is ready.

        Raises UnknownChild, ChildRunning, ChildRestarting, or whatever its own start raised: it has then
        ended, as before.
        """
        return await administration_of(self._cell).restart_child(name)

    def delete_child(self: ActorRef[Supervisor[Any]], name: str) -> None:
        """Give up the spec of a child that has ended. Raises UnknownChild, ChildRunning, ChildRestarting."""
        administration_of(self._cell).delete_child(name)

    def which_children(self: ActorRef[Supervisor[Any]]) -> list[ChildInfo]:
        """The children in start order, with those that have ended and whose spec is kept."""
        return administration_of(self._cell).which_children()

    def count_children(self: ActorRef[Supervisor[Any]]) -> ChildCounts:
        """How many children this supervisor has."""
        return administration_of(self._cell).count_children()

    def __repr__(self) -> str:
        cell = self._cell.at_home()
        return (
            f"<ActorRef {cell.path!r} {cell.blueprint.cls.__name__} #{cell.incarnation} {cell.status.value}>"
        )

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, ActorRef):
            return NotImplemented
        # Not one object only where a stored ref found nobody, or its actor ended before another came.
        return self._cell.path == other._cell.path and self._cell.runtime is other._cell.runtime

    def __hash__(self) -> int:
        return hash(self._cell.path)

    def __deepcopy__(self, memo: object) -> ActorRef[A_co]:
        if isinstance(memo, Handover):
            return self  # in a value that is handed over, it is an address
        raise TypeError(_NOT_COPIED)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(_NOT_COPIED)


class _PostingRef(ActorRef[A_co]):
    """What `with_options` returns."""

    __slots__ = ("_posting",)

    _posting: Posting

    @classmethod
    def of(cls, cell: Cell, posting: Posting) -> _PostingRef[A_co]:
        ref = object.__new__(cls)
        ref._cell = cell
        ref._mailbox = cell.mailbox
        ref._posting = posting
        return ref

    def tell(self, message: object) -> None:
        delivery.tell(self._cell, message, self._posting)

    def send(
        self, message: object, *, timeout: float | None = None, message_id: str | None = None
    ) -> Coroutine[Any, Any, None]:
        return _send(self._cell, message, timeout, self._posting, message_id)

    def ask(
        self, message: object, *, timeout: float, message_id: str | None = None
    ) -> Coroutine[Any, Any, Any]:
        return _ask(self._cell, message, timeout, self._posting, message_id)


def _send(
    cell: Cell, message: object, timeout: float | None, posting: Posting | None, message_id: str | None
) -> Coroutine[Any, Any, None]:
    if timeout is not None:
        check_timeout(timeout)
    if message_id is None:
        return delivery.send(cell, message, timeout, posting)
    check_message_id(message_id)
    return send_once(cell, message, timeout, posting, message_id)


def _ask(
    cell: Cell, message: object, timeout: float, posting: Posting | None, message_id: str | None
) -> Coroutine[Any, Any, Any]:
    check_timeout(timeout)
    if message_id is None:
        return asking.ask(cell, message, timeout, posting)
    check_message_id(message_id)
    return ask_once(cell, message, timeout, posting, message_id)


_NOT_COPIED = "refs cannot be pickled or copied; send ref.path and use system.get(path)"


def check_timeout(timeout: object) -> None:
    """Raise InvalidArgument for what is no number of seconds above 0."""
    if not (isinstance(timeout, (int, float)) and timeout > 0):
        raise InvalidArgument(f"timeout must be a number of seconds above 0, not {timeout!r}")


def new_ref(cell: Cell, mailbox: Mailbox) -> ActorRef[Any]:
    """The one ref of a cell."""
    ref: ActorRef[Any] = object.__new__(ActorRef)
    ref._cell = cell  # pyright: ignore[reportPrivateUsage] - this module is the only one that may
    ref._mailbox = mailbox  # pyright: ignore[reportPrivateUsage] - as above
    return ref


def cell_of(ref: ActorRef[Any]) -> Cell:
    """The cell behind a ref, for the runtime."""
    return ref._cell  # pyright: ignore[reportPrivateUsage] - as above


def posting_of(ref: ActorRef[Any]) -> Posting | None:
    """What `with_options` has made of a ref, for the runtime."""
    return ref._posting if isinstance(ref, _PostingRef) else None  # pyright: ignore[reportPrivateUsage] - as above
