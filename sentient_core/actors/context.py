"""What an actor sees of its surroundings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import structlog

from sentient_core.actors.current import current_run
from sentient_core.actors.receive_timeout import ReceiveTimeout
from sentient_core.actors.spawning_again import spawn_or_find
from sentient_core.actors.timers import Timers
from sentient_core.errors import StaleIncarnation
from sentient_core.mailbox import Envelope

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.actors.ref import ActorRef
    from sentient_core.supervisor.spec import Restart
    from sentient_core.system import ActorSystem

__all__ = ["Context", "fence"]

A = TypeVar("A", bound="Actor")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_RECEIVE_TIMEOUT = ReceiveTimeout()


class Context:
    """The surroundings of one actor. Use it from the actor's own handlers and hooks.

    What only tells something (`ref`, `parent`, `children`, `system` …) can be used anywhere; `spawn`, `join`
    and `subscribe` by any task for as long as this instance is at work. What changes something for the
    messages to come (`become`, `stash`, `timers`, `watch`, `link` …) belongs to the handler or hook that
    runs: from a task or thread beside it, or from outside, it raises NotInTurn. An instance that has ended
    gets StaleIncarnation. All of it ends with the incarnation; what the next
    one is to have as well, its `on_start` sets up again.
    """

    __slots__ = ("_cell", "_incarnation")

    def __init__(self, cell: Cell, incarnation: int) -> None:
        self._cell = cell
        self._incarnation = incarnation

    @property
    def ref(self) -> ActorRef[Any]:
        """This actor's own ref."""
        return self._cell.ref

    @property
    def parent(self) -> ActorRef[Any] | None:
        """The actor that supervises this one; None below the root."""
        parent = self._cell.parent
        return None if parent is None or not parent.path else parent.ref

    @property
    def children(self) -> tuple[ActorRef[Any], ...]:
        """The actors that this one supervises, in the order of their start."""
        family = self._cell.family
        return () if family is None else family.refs()

    @property
    def system(self) -> ActorSystem:
        """The actor system."""
        return self._cell.runtime.system

    @property
    def incarnation(self) -> int:
        """1 for the first instance ever under this path, then 2, 3 …; never reset."""
        return self._cell.incarnation

    @property
    def message(self) -> Envelope | None:
        """The message in hand, with its sender and ids; None in a hook."""
        return self._cell.envelope()

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """A logger that carries system, path, incarnation and correlation_id."""
        return self._cell.log().to_structlog

    async def get_or_spawn(self, cls: type[A], key: str, *args: Any, **kwargs: Any) -> ActorRef[A]:
        """The virtual actor of a class under a key; no child of this one. See `ActorSystem.get_or_spawn`."""
        return await self.system.get_or_spawn(cls, key, *args, **kwargs)

    def join(self, group: str) -> None:
        """Join a group, for as long as this actor lives: `system.group(group).join(self.context.ref)`."""
        self._check_at_work()
        self.system.group(group).join(self.ref)

    def leave(self, group: str) -> None:
        """Leave a group."""
        self.system.group(group).leave(self.ref)

    def subscribe(self, topic: str) -> None:
        """Have every message of a topic from now on: `system.topic(topic).subscribe(self.context.ref)`."""
        self._check_at_work()
        self.system.topic(topic).subscribe(self.ref)

    def unsubscribe(self, topic: str) -> None:
        """Have no more messages of a topic."""
        self.system.topic(topic).unsubscribe(self.ref)

    def spawn(
        self,
        cls: type[A],
        *args: Any,
        name: str | None = None,
        restart: Restart | str = "transient",
        shutdown: float | str | None = "default",
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ActorRef[A]]:
        """Start a child of this actor; returns its ref once it is ready.

        The child is stopped before this actor stops or restarts. Raises as `ActorSystem.spawn`, and
        StaleIncarnation for an instance that has ended.

        A child is not taken back with a durable turn that fails. When the message is handled again, this
        finds by `name` the child of the same class that its handler has spawned before, instead of
        raising NameTaken; it goes on with the arguments that it has. So does an `on_start` that runs again
        of a durable child, which is started again with its parent.
        """
        self._check_at_work()
        spawn = self._cell.runtime.system.spawn_child(
            self._cell, cls, args, kwargs, name=name, restart=restart, shutdown=shutdown
        )
        return spawn if name is None else spawn_or_find(self._cell, cls, name, spawn)

    @property
    def behaviour(self) -> str | None:
        """The behaviour that the next message is handled by; None: none in particular."""
        return self._enter("the behaviour").behaviour.name

    async def pausable(self) -> None:
        """A point at which a task of an agent may stand still, when somebody has paused it.

        Elsewhere it only lets others run. Cancelling passes through it.
        """
        run = current_run.get()
        if run is None:
            await self._cell.runtime.backend.checkpoint()
        else:
            await run.pausable()

    def become(self, behaviour: str | None) -> None:
        """Handle messages by another behaviour from the next one on: with `@handles(..., when=behaviour)`.

        What its handlers do not take goes to those without `when`, then to `on_receive`; calls of proxies
        go to their methods in every behaviour. None: back to the class's `initial_behaviour`, with which
        every incarnation begins. Raises InvalidArgument, with near misses, for one that no handler is
        marked with and that is not in the class's `behaviours`.
        """
        self._enter("the behaviour").become(behaviour)

    def stash(self) -> None:
        """Put the message in hand away, until `unstash_all`.

        Whoever asked goes on waiting; what the handler returns is no reply. A handler that raises after
        it is as any that raises: the message becomes a dead letter (`failed`). When the actor fails
        later, or is restarted, the stash returns to the head of the mailbox, in order; when it ends for
        good, it becomes dead letters (`stopped`). Raises StashFull (`MailboxOptions(stash=...)`), and
        NotInTurn where there is no message in hand, or not any more.
        """
        self._enter("the stash").put_away()

    def unstash_all(self) -> int:
        """Return what was stashed to the head of the mailbox, in order; says how many messages.

        They are handled next, ahead of what is queued, and are never refused.
        """
        return self._enter("the stash").unstash_all()

    @property
    def timers(self) -> Timers:
        """Messages to itself at later times: `self.context.timers.once("retry", 1.5, Retry())`."""
        return Timers(self._cell, self._incarnation)

    def set_receive_timeout(self, seconds: float | None, message: object = _RECEIVE_TIMEOUT) -> None:
        """Have `message` whenever no message has been handled for `seconds`; None: not any more.

        It comes after each such while, again and again: to have it once, set None when it has come. It is
        a message like any other, so handling it begins a new while; so do ticks of timers. Setting it
        again begins anew. Raises InvalidArgument, also for less than a millisecond.
        """
        self._enter("the receive timeout").set_receive_timeout(seconds, message)

    def watch(self, ref: ActorRef[Any], message: object | None = None) -> None:
        """Be told once when an actor ends for good: by Terminated(ref, cause), or by `message`.

        At once if it has ended already, or never lived; never for a restart. It passes what is queued in
        the mailbox. An actor that has no handler for Terminated and no `on_receive` fails with
        DeathPactError; a `message` of its own that nobody handles is a dead letter like others. Watching
        again replaces the message. Raises InvalidArgument, ForeignRef, UnencodableMessage.
        """
        self._enter("watching").watch(ref, message)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Not be told any more, also if that is under way; without a watch it does nothing."""
        self._enter("watching").unwatch(ref)

    def link(self, ref: ActorRef[Any]) -> None:
        """Fail when another actor fails, with LinkBroken(ref, cause), and the other way round.

        A link ties the two incarnations of now. When one fails (also if it is then restarted), or is
        killed, the other fails; when one ends in order, the link is gone, and the other goes on. So
        it is not a watch, which tells one side of the end for good by a message. If the other is down,
        be it to be restarted, this actor fails at once. Of a virtual actor that is passive, the next
        instance is meant. Linking again changes nothing. Raises InvalidArgument, ForeignRef.
        """
        self._enter("linking").link(ref)

    def unlink(self, ref: ActorRef[Any]) -> None:
        """Take a link back for both sides; also its break, if that is under way to this actor."""
        self._enter("linking").unlink(ref)

    def forward(self, ref: ActorRef[Any]) -> None:
        """Pass the message in hand on to another actor, as from its first sender, who gets its reply.

        What this handler returns is no reply. It never waits; a target that has ended or is full makes a
        dead letter, as with `tell`, and one who asked is told at once (ActorStopped, MailboxFull); so does
        one that waits for who asked (AskCycle). For the mirror it is a new message of the same
        conversation. Raises NotInTurn where there is no message in hand, or not any more;
        InvalidArgument (also for this actor itself: see `stash` and `timers`), ForeignRef,
        UnencodableMessage: it is then still in hand.
        """
        self._enter("forwarding").forward(ref)

    def pipe_to_self(
        self,
        fn: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Run `fn(*args)` beside this actor, and have what it returns as a message from itself.

        The mailbox is served meanwhile. `fn` is cancelled at the end of the incarnation. Of None nothing is
        sent; anything else finds room also in a full mailbox, and is a dead letter (`stopped`) if the actor
        drains by then. When `fn` raises, what `on_error` makes of the exception is the message; without
        `on_error`, or if that raises, the actor fails. Neither `fn` nor `on_error` runs in the actor's
        turn: let them not touch its state.
        """
        self._enter("pipe_to_self").pipe_to_self(fn, args, on_error)

    def _check_at_work(self) -> None:
        if self._cell.incarnation != self._incarnation or self._cell.is_down:
            raise StaleIncarnation(self._cell.path)

    def _enter(self, what: str) -> Incarnation:
        return self._cell.enter(self._incarnation, what)


def fence(context: Context) -> None:
    """Its instance was abandoned, and is to do nothing as its actor any more."""
    context.__class__ = _Fenced


class _Fenced(Context):
    """The context of an abandoned instance."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        cell: Cell = object.__getattribute__(self, "_cell")
        raise StaleIncarnation(cell.path)
