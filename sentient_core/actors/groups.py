"""Groups and topics: actors that are reached together, under a name, without knowing one another.

Both are a list of actors under a name and differ in what one does with it: whoever uses a *group* is
after its members (tell all, ask all, take the next one); whoever publishes to a *topic* has a message to
get rid of and does not look who hears it. So the list is one thing (`Memberships`), and the two are thin.

All of it is local to one system and in memory. A membership is an actor's, not an incarnation's: it stays
over restarts and ends with the actor. After a restart of the process there is none: an actor that belongs
to a group joins it in its `on_start`, where joining again changes nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from sentient_core.actors.many import Answer, ask_many, broadcast, check_ref
from sentient_core.errors import EmptyGroup, InvalidArgument

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor, Request
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.ref import ActorRef
    from sentient_core.actors.runtime import Runtime

__all__ = ["Group", "Memberships", "Topic"]

R = TypeVar("R")
M = TypeVar("M")

Key = tuple[str, str]
"""What it is (`group`, `topic`) and its name."""


class Memberships:
    """Who belongs to what, in one system. An actor that belongs to nothing is not in here."""

    def __init__(self) -> None:
        self._cells: dict[Key, dict[Cell, None]] = {}
        self._keys: dict[Cell, set[Key]] = {}
        self._turns: dict[Key, int] = {}
        self._types: dict[str, type] = {}

    def cells(self, key: Key) -> list[Cell]:
        """Those that belong to it, in the order they came."""
        return list(self._cells.get(key, ()))

    def count(self, key: Key) -> int:
        """How many belong to it."""
        return len(self._cells.get(key, ()))

    def add(self, key: Key, cell: Cell) -> None:
        """Let a living actor belong to it; one that does already keeps its place."""
        self._cells.setdefault(key, {})[cell] = None
        self._keys.setdefault(cell, set()).add(key)

    def discard(self, key: Key, cell: Cell) -> None:
        """Let an actor not belong to it any more."""
        keys = self._keys.get(cell)
        if keys is None or key not in keys:
            return
        keys.remove(key)
        if not keys:
            del self._keys[cell]
        cells = self._cells[key]
        del cells[cell]
        if not cells:
            del self._cells[key]
            self._turns.pop(key, None)

    def forget(self, cell: Cell) -> None:
        """Its actor has ended for good."""
        if self._keys:
            for key in tuple(self._keys.get(cell, ())):
                self.discard(key, cell)

    def type_of(self, topic: str) -> type | None:
        """The type of message that a topic was taken with; None: it never was with any."""
        return self._types.get(topic)

    def settle_type(self, topic: str, of: type) -> None:
        """Let a topic be of this type for as long as the system is there. Raises InvalidArgument.

        Kept also while nobody has subscribed: a publisher may be there before any subscriber.
        """
        settled = self._types.setdefault(topic, of)
        if settled is not of:
            raise InvalidArgument(
                f"the topic '{topic}' is of {settled.__qualname__}, not of {of.__qualname__}: it was taken "
                "as such before. Take it with the same type, or give one of them another name."
            )

    def next(self, key: Key) -> Cell | None:
        """Another one at each call, around and around."""
        cells = self._cells.get(key)
        if cells is None:
            return None
        turn = self._turns.get(key, 0) % len(cells)
        self._turns[key] = turn + 1
        return next(islice(cells, turn, None))


class Group:
    """Actors under a common name: `system.group("workers")`.

    ::

        workers = system.group("workers")
        workers.join(ref)                       # in an actor's own on_start: self.context.join("workers")
        workers.broadcast(Reload())
        answers = await workers.ask_many(Load(), timeout=1.0)
        workers.next().tell(job)                # one after the other

    A group is there as long as somebody is in it, and needs no other making. A member leaves when it is
    told to or when it ends for good; a restart or a passivation keeps it.
    """

    __slots__ = ("_key", "_memberships", "_runtime", "name")

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.name: str = _name("group", name)
        self._key: Key = ("group", name)
        self._runtime = runtime
        self._memberships = runtime.registry.memberships

    def __len__(self) -> int:
        return self._memberships.count(self._key)

    @property
    def members(self) -> tuple[ActorRef[Any], ...]:
        """Those in it at this moment, in the order they joined."""
        return tuple(cell.ref for cell in self._memberships.cells(self._key))

    def join(self, ref: ActorRef[Any]) -> None:
        """Take an actor in. Nothing happens if it is in already, or has ended."""
        _join(self._runtime, self._key, ref, "call(group.join, ref)")

    def leave(self, ref: ActorRef[Any]) -> None:
        """Let an actor out. Nothing happens if it is not in."""
        _leave(self._runtime, self._key, ref, "call(group.leave, ref)")

    def broadcast(self, message: object) -> int:
        """`tell` a message to every member; returns how many there were.

        Among them is the sender, if it is a member. Raises what `tell` raises, UnencodableMessage for
        instance, before any of them has it.
        """
        return broadcast(self._runtime, self.members, message)

    @overload
    async def ask_many(self, message: Request[R], *, timeout: float) -> list[Answer[R]]: ...
    @overload
    async def ask_many(self, message: object, *, timeout: float) -> list[Answer[Any]]: ...
    async def ask_many(self, message: object, *, timeout: float) -> list[Answer[Any]]:
        """`ask` every member at the same time; returns their answers, in the order they joined.

        It returns when the last one has answered, or cannot any more, at the latest after `timeout`
        seconds. What `ask` would raise is the `error` of that member's answer and hides no other's.
        An actor that asks a group which it is in itself gets AskCycle in its own place. Raises what the
        caller is to blame for, as `broadcast`, before any of them has the message. Cancelling it ends all
        the asks.
        """
        return await ask_many(self._runtime, self.members, message, timeout)

    def next(self) -> ActorRef[Any]:
        """Another member at each call, around and around. Raises EmptyGroup.

        For the least busy one: `min(group.members, key=lambda ref: ref.statistics().depth)`.
        """
        cell = self._memberships.next(self._key)
        if cell is None:
            raise EmptyGroup(self.name)
        return cell.ref

    def __repr__(self) -> str:
        return f"<Group {self.name!r} of {len(self)}>"


class Topic(Generic[M]):
    """Messages of one kind for whoever wants them: `system.topic("prices", Price)`.

    ::

        prices = system.topic("prices", Price)
        prices.subscribe(ref)                   # in an actor's own on_start: self.context.subscribe("prices")
        prices.publish(Price("EUR", 1.08))

    A topic is of the type that it was first taken with, in the whole system; with another type it cannot be
    taken any more (InvalidArgument), and without one it is the same topic.

    The publisher needs no subscriber and does not wait for one: a message that is published before an
    actor has subscribed does not reach it. A subscription ends when it is taken back or its actor ends
    for good; a restart or a passivation keeps it.
    """

    __slots__ = ("_key", "_memberships", "_runtime", "name")

    def __init__(self, runtime: Runtime, name: str, of: type[M] | None) -> None:
        self.name: str = _name("topic", name)
        if of is not None and not isinstance(of, type):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"a topic is of one type of message, not {of!r}")
        self._key: Key = ("topic", name)
        self._runtime = runtime
        self._memberships = runtime.registry.memberships
        if of is not None:
            self._memberships.settle_type(name, of)

    @property
    def subscribers(self) -> tuple[ActorRef[Any], ...]:
        """Those that have subscribed, in that order."""
        return tuple(cell.ref for cell in self._memberships.cells(self._key))

    def subscribe(self, ref: ActorRef[Actor[M]]) -> None:
        """Let an actor have every message from now on. Nothing happens if it does already, or has ended."""
        _join(self._runtime, self._key, ref, "call(topic.subscribe, ref)")

    def unsubscribe(self, ref: ActorRef[Any]) -> None:
        """Let an actor have no more of them; what is in its mailbox stays there."""
        _leave(self._runtime, self._key, ref, "call(topic.unsubscribe, ref)")

    def publish(self, message: M) -> int:
        """`tell` a message to every subscriber; returns how many there were.

        The actor that publishes is the sender. A subscriber whose mailbox is full makes a dead letter,
        the others do not notice. Raises InvalidArgument for a message of another type than the topic's,
        and what `tell` raises, all before any of them has it.
        """
        of = self._memberships.type_of(self.name)
        if of is not None and not isinstance(message, of):
            raise InvalidArgument(f"the topic '{self.name}' is of {of.__qualname__}, not {message!r}")
        return broadcast(self._runtime, self.subscribers, message)

    def __repr__(self) -> str:
        return f"<Topic {self.name!r} for {self._memberships.count(self._key)}>"


def _name(what: str, name: object) -> str:
    if isinstance(name, str) and name:
        return name
    raise InvalidArgument(f"a {what} is named by a str that is not empty, not by {name!r}")


def _join(runtime: Runtime, key: Key, ref: ActorRef[Any], from_thread: str) -> None:
    cell = check_ref(runtime, ref)
    runtime.dispatcher.check_thread(from_thread)
    if cell.is_alive:
        runtime.registry.memberships.add(key, cell)


def _leave(runtime: Runtime, key: Key, ref: ActorRef[Any], from_thread: str) -> None:
    cell = check_ref(runtime, ref)
    runtime.dispatcher.check_thread(from_thread)
    runtime.registry.memberships.discard(key, cell)
