"""Watching: to be told, once, that another actor has ended for good.

A watch is known on both sides: under the watched cell in `Runtime.watchers`, to tell when it ends, and among
the `watches` of the watching incarnation, to take it back. What tells is a `Notice` in the control lane,
so it passes a full mailbox, and one that has been taken back meanwhile is discarded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.actors.notices import Notice, check_message, notice_entry
from sentient_core.actors.ref import ActorRef, cell_of
from sentient_core.causes import in_a_line
from sentient_core.errors import (
    DeathPactError,
    ForeignRef,
    InvalidArgument,
)
from sentient_core.mailbox.signals import Signal, SignalKind

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation

__all__ = ["Terminated", "Watch", "announce_end", "cell_for", "other_cell", "unwatch", "watch"]


class Terminated(msgspec.Struct, frozen=True):
    """A watched actor has ended for good: it is not restarted any more."""

    ref: ActorRef[Any]
    """The actor that has ended."""
    cause: str | None = None
    """Why, in a line; None for an orderly end. Where nobody ever lived at the path, UnknownActor."""

    @property
    def is_failure(self) -> bool:
        """It did not end in order: it failed or was killed, and was given up; or there never was one."""
        return self.cause is not None


class Watch:
    """One watch of one incarnation."""

    __slots__ = ("is_over", "life", "message", "target")

    def __init__(self, life: Incarnation, target: Cell, message: object | None) -> None:
        self.life: Incarnation = life
        self.target: Cell = target
        self.message: object | None = message
        """What the watcher wants to be told with; None: Terminated."""
        self.is_over: bool = False

    def begin(self) -> None:
        """Wait for the end, or tell of it at once."""
        target = self.target
        if not target.is_alive:
            self.tell()
            return
        target.runtime.watchers.setdefault(target, {})[self] = None

    def cancel(self) -> None:
        """Do not tell any more, also if that is under way."""
        self.is_over = True
        watchers = self.target.runtime.watchers
        others = watchers.get(self.target, {})
        others.pop(self, None)
        if not others:
            watchers.pop(self.target, None)

    def tell(self) -> None:
        """The target has ended."""
        cell, target = self.life.cell, self.target
        cause = target.cause
        message = self.message
        if message is None:
            message = Terminated(target.ref, None if cause is None else in_a_line(cause))
        entry = notice_entry(self.life, _End(self, message), target, "watch")
        if entry is not None:
            cell.signal(Signal(SignalKind.DELIVER, entry=entry))


class _End(Notice):
    __slots__ = ("_watch",)

    def __init__(self, watch: Watch, message: object) -> None:
        super().__init__(message)
        self._watch = watch

    def accept(self) -> bool:
        watch = self._watch
        if watch.is_over:
            return False
        life, target = watch.life, watch.target
        watch.is_over = True
        del life.watches[target]
        if watch.message is not None or life.cell.handler_of(Terminated) is not None:
            return True
        cause = target.cause
        error = DeathPactError(life.cell.path, target.ref, cause)
        error.__cause__ = cause
        life.fail(error, "watch")
        return False


def watch(life: Incarnation, ref: ActorRef[Any], message: object | None) -> None:
    """`Context.watch`."""
    target = other_cell(life.cell, ref, "watch")
    if message is not None:
        check_message(life.cell, message)
    unwatch(life, ref)
    life.watches[target] = new = Watch(life, target, message)
    new.begin()


def unwatch(life: Incarnation, ref: ActorRef[Any]) -> None:
    """`Context.unwatch`."""
    other_cell(life.cell, ref, "unwatch")
    # A ref that a path was stored as may have been watched while nobody lived there.
    for target in (cell_of(ref), cell_of(ref).at_home()):
        old = life.watches.pop(target, None)
        if old is not None:
            old.cancel()


def announce_end(target: Cell) -> None:
    """Tell all who watch a cell that has just ended."""
    for each in target.runtime.watchers.pop(target, {}):
        each.tell()


def other_cell(cell: Cell, ref: ActorRef[Any], what: str) -> Cell:
    """As `cell_for`, and not that of the actor itself."""
    target = cell_for(cell, ref, what)
    if target is cell:
        raise InvalidArgument(f"'{cell.path}' cannot {what} itself")
    return target


def cell_for(cell: Cell, ref: ActorRef[Any], what: str) -> Cell:
    """The cell of a ref that `cell` was given. Raises InvalidArgument, ForeignRef."""
    if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
        raise InvalidArgument(f"{what}() takes the ref of an actor, not {ref!r}")
    target = cell_of(ref)
    if target.runtime is not cell.runtime:
        raise ForeignRef(ref, cell.runtime.system.name, target.runtime.system.name)
    return target.at_home()
