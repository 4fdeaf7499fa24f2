"""Starting, terminating, restarting and deleting children at run time, and telling how they are.

As in OTP's supervisor: a child that is terminated stays in the list, unless it is temporary, until it is
deleted; what is restarted comes up in its old place. Nothing here waits for the supervisor's own messages, so
that it is administered while it handles one, and by its own handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentient_core.actors.administration import ChildCounts, ChildInfo, ChildStatus
from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.ref import ActorRef
from sentient_core.errors import (
    ChildRestarting,
    ChildRunning,
    InvalidArgument,
    InvalidChildSpec,
    PoolFull,
    StartFailed,
    UnknownChild,
)
from sentient_core.paths import join
from sentient_core.supervisor.child import Child
from sentient_core.supervisor.children import Children
from sentient_core.supervisor.spec import ChildSpec
from sentient_core.supervisor.supervisor import check_significance

__all__ = ["AdministeredChildren", "status_of"]

_STATUSES = {
    CellStatus.NEW: ChildStatus.STARTING,
    CellStatus.STARTING: ChildStatus.STARTING,
    CellStatus.RUNNING: ChildStatus.RUNNING,
    CellStatus.PAUSED: ChildStatus.PAUSED,
    CellStatus.STOPPING: ChildStatus.STOPPING,
    CellStatus.FAILING: ChildStatus.STOPPING,
    CellStatus.DOWN: ChildStatus.RESTARTING,
    CellStatus.PASSIVE: ChildStatus.PASSIVE,
    CellStatus.ENDED: ChildStatus.ENDED,
}


class AdministeredChildren(Children):
    """The family of a supervisor, as `ActorRef`'s methods see it."""

    async def start_child(
        self, child: ChildSpec | str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ActorRef[Any]:
        """`ActorRef.start_child`."""
        spec = self._spec_of(child, args, kwargs)
        return await self.spawn(spec, is_listed=self.template is None)

    async def terminate_child(self, name: str) -> None:
        """`ActorRef.terminate_child`."""
        child = self._child(name)
        if child.has_ended:
            self.leave_down(child)
        else:
            ending = child.cell.ending()
            self.retire(child)
            await ending

    async def restart_child(self, name: str) -> ActorRef[Any]:
        """`ActorRef.restart_child`."""
        child = self._ended_child(name)
        if not self.is_open:
            raise StartFailed(join(self.owner.path, name), "its supervisor is ending")
        child = self.revive(child)
        await self.wait_for_start(child)
        return child.cell.ref

    def delete_child(self, name: str) -> None:
        """`ActorRef.delete_child`."""
        self.strike_off(self._ended_child(name))

    def which_children(self) -> list[ChildInfo]:
        """`ActorRef.which_children`."""
        return [self._info(child) for child in self.members()]

    def count_children(self) -> ChildCounts:
        """`ActorRef.count_children`."""
        members = self.members()
        supervisors = sum(child.cell.blueprint.cls.__supervises__ for child in members)
        return ChildCounts(
            specs=len(members),
            active=sum(not child.is_down for child in members),
            supervisors=supervisors,
            workers=len(members) - supervisors,
        )

    def _spec_of(self, child: ChildSpec | str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ChildSpec:
        if self.template is None:
            if not isinstance(child, ChildSpec):
                raise InvalidChildSpec(
                    f"'{self.owner.path}' starts children by a ChildSpec(...), not by {child!r}"
                )
            if args or kwargs:
                raise InvalidChildSpec(
                    "a child's arguments are those of its spec: ChildSpec(cls, args=..., kwargs=...)"
                )
            check_significance(f"'{self.owner.path}'", self.strategy, child)
            return child
        if not isinstance(child, str):
            raise InvalidChildSpec(
                f"'{self.owner.path}' is a pool, whose children are started by a key and of one spec: "
                f"start_child('some key', ...), not by {child!r}"
            )
        spec = self.template.of_pool(child, args, kwargs)
        most = self.strategy.max_children
        if most is not None and self.size >= most and self.find(child) is None:
            raise PoolFull(self.owner.path, child, most)
        return spec

    def _child(self, name: str) -> Child:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"a child is named by a text, not by {name!r}")
        child = self.find(name)
        if child is None:
            raise UnknownChild(self.owner.path, name, [member.cell.name for member in self.members()[:1_000]])
        return child

    def _ended_child(self, name: str) -> Child:
        child = self._child(name)
        if child.cell.status is CellStatus.DOWN or self.will_revive(child):
            raise ChildRestarting(self.owner.path, name)
        if not child.has_ended:
            raise ChildRunning(self.owner.path, name)
        return child

    def _info(self, child: Child) -> ChildInfo:
        cell = child.cell
        return ChildInfo(
            name=cell.name,
            ref=None if child.has_ended else cell.ref,
            status=ChildStatus.RESTARTING if self.will_revive(child) else status_of(cell),
            kind=cell.blueprint.cls.__qualname__,
            is_supervisor=cell.blueprint.cls.__supervises__,
            restart=child.restart.value,
            is_significant=child.is_significant,
            is_static=child.is_static,
            restarts=cell.restarts,
        )


def status_of(cell: Cell) -> ChildStatus:
    """How an actor is, for who supervises it and for people."""
    return _STATUSES[cell.status]
