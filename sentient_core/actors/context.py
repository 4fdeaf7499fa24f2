"""What an actor sees of its surroundings."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from sentient_core.mailbox import Envelope

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.ref import ActorRef
    from sentient_core.system import ActorSystem

__all__ = ["Context"]

A = TypeVar("A", bound="Actor")


class Context:
    """The surroundings of one actor. Use it from the actor's own handlers and hooks."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

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
        self.system.group(group).join(self.ref)

    def leave(self, group: str) -> None:
        """Leave a group."""
        self.system.group(group).leave(self.ref)

    def subscribe(self, topic: str) -> None:
        """Have every message of a topic from now on: `system.topic(topic).subscribe(self.context.ref)`."""
        self.system.topic(topic).subscribe(self.ref)

    def unsubscribe(self, topic: str) -> None:
        """Have no more messages of a topic."""
        self.system.topic(topic).unsubscribe(self.ref)

    def spawn(
        self,
        cls: type[A],
        *args: Any,
        name: str | None = None,
        restart: str = "transient",
        shutdown: float | str | None = "default",
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ActorRef[A]]:
        """Start a child of this actor; returns its ref once it is ready.

        The child is stopped before this actor stops or restarts. Raises as `ActorSystem.spawn`.
        """
        return self._cell.runtime.system.spawn_child(
            self._cell, cls, args, kwargs, name=name, restart=restart, shutdown=shutdown
        )
