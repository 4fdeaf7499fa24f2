"""What people ask of a supervisor at run time, and how it answers; `ActorRef` has the methods.

The answers are those of OTP's supervisor (`which_children/1`, `count_children/1`), its refusals are errors
of the tree below `ChildError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from sentient_core.errors import InvalidArgument

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.ref import ActorRef
    from sentient_core.supervisor.spec import ChildSpec

__all__ = ["Administration", "ChildCounts", "ChildInfo", "ChildStatus", "administration_of"]


class ChildStatus(StrEnum):
    """How a child of a supervisor is."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    """It keeps its messages and takes none until `ref.resume()`."""
    RESTARTING = "restarting"
    """It is down and will be started again: it waits for its turn, its backoff, or the store."""
    STOPPING = "stopping"
    """On its way down, be it to be started again."""
    PASSIVE = "passive"
    """A virtual actor that waits for a message."""
    ENDED = "ended"
    """It has ended, and its spec is kept: `restart_child` starts it, and so does a restart of its group."""


class ChildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One child of a supervisor at one moment."""

    name: str
    ref: ActorRef[Any] | None
    """None: it has ended."""
    status: ChildStatus
    kind: str
    """The name of its class."""
    is_supervisor: bool
    restart: str
    """Its restart type."""
    is_significant: bool
    is_static: bool
    """It is declared, and started with its supervisor."""
    restarts: int
    """How often it was started again."""


class ChildCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many children a supervisor has."""

    specs: int
    """All, those that have ended included."""
    active: int
    """With an incarnation at work, or on its way up or down."""
    supervisors: int
    """All that are supervisors, active or not."""
    workers: int
    """All others."""


@runtime_checkable
class Administration(Protocol):
    """A family that can be administered."""

    async def start_child(
        self, child: ChildSpec | str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ActorRef[Any]:
        """`ActorRef.start_child`."""
        ...

    async def terminate_child(self, name: str) -> None:
        """`ActorRef.terminate_child`."""
        ...

    async def restart_child(self, name: str) -> ActorRef[Any]:
        """`ActorRef.restart_child`."""
        ...

    def delete_child(self, name: str) -> None:
        """`ActorRef.delete_child`."""
        ...

    def which_children(self) -> list[ChildInfo]:
        """`ActorRef.which_children`."""
        ...

    def count_children(self) -> ChildCounts:
        """`ActorRef.count_children`."""
        ...


def administration_of(cell: Cell) -> Administration:
    """Who answers for the children of an actor. Raises InvalidArgument where there is nobody, WrongThread."""
    cell.runtime.dispatcher.check_thread("call(function, *args), where the function does it")
    home = cell.at_home()
    family: object = home.family
    if home.is_alive and isinstance(family, Administration):
        return family
    why = "it has not started yet" if home.blueprint.cls.__supervises__ else "it is no supervisor"
    if not home.is_alive:
        why = "nobody lives there"
    raise InvalidArgument(f"the children of '{cell.path}' cannot be administered: {why}")
