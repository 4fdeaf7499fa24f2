"""The children of one cell, and what is done about them: starts and stops in order, restarts.

Everything here is synchronous. A child reports by calling `child_started` and `child_down` from its own
turn; what is to happen goes into the control lane of the cell it concerns. So a restart in place costs
one signal, nothing waits on a worker, and nothing recurses over the depth of a tree.

Two things are done one step at a time: starting the declared children in their order, and stopping all,
the last started first. `_going_down` or `_coming_up` holds what is left; each report takes the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.timekeeper import Alarm
from sentient_core.causes import in_a_line
from sentient_core.errors import NameTaken, RestartLimitExceeded, StartFailed
from sentient_core.events import EventType
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.paths import join
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import BRUTAL_KILL, ChildSpec, Restart
from sentient_core.supervisor.strategy import Strategy, Verdict, verdict

__all__ = ["Children"]

HOLD_SECONDS = 0.5
"""Pause before a start that the store's absence has prevented is tried again."""


class _Child:
    """One child: how it is kept, and its cell."""

    __slots__ = ("alarm", "cell", "has_started", "is_retired", "is_static", "spec", "window")

    def __init__(self, spec: ChildSpec, cell: Cell, window: RestartWindow, *, is_static: bool) -> None:
        self.spec = spec
        self.cell = cell
        self.window = window
        self.is_static = is_static
        self.has_started = False
        self.is_retired = False
        """Whatever its spec says, it is not started again."""
        self.alarm: Alarm | None = None

    @property
    def is_down(self) -> bool:
        return self.cell.status in (CellStatus.NEW, CellStatus.DOWN, CellStatus.ENDED)

    def silence(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


class Children:
    """The family of `owner`, kept by `strategy`; `declared` are started with it."""

    def __init__(self, owner: Cell, strategy: Strategy, declared: Sequence[ChildSpec] = ()) -> None:
        self._owner = owner
        self._runtime = owner.runtime
        self._strategy = strategy
        self._declared = tuple(declared)
        self._children: dict[str, _Child] = {}
        self._window = strategy.window()
        self._coming_up: list[_Child] = []
        """Declared children still to be started, the next one last."""
        self._going_down: list[_Child] | None = None
        """While all are being stopped: those not yet down, the next one last."""
        self._kills = False

    def refs(self) -> tuple[ActorRef[Any], ...]:
        return tuple(child.cell.ref for child in self._children.values())

    def cells(self) -> Sequence[Cell]:
        return [child.cell for child in self._children.values()]

    async def spawn(self, spec: ChildSpec) -> ActorRef[Any]:
        """Start a child beside the declared ones and return its ref when it is ready.

        Raises NameTaken, or what kept it from starting; nothing of it is then left. Cancelling it kills
        the child.
        """
        if self._owner.status not in (CellStatus.STARTING, CellStatus.RUNNING):
            raise StartFailed(join(self._owner.path, spec.name or ""), "its parent is ending")
        child = self._new_child(spec, is_static=False)
        try:
            await child.cell.start()
        except BaseException:
            child.is_retired = True
            child.cell.kill()
            raise
        return child.cell.ref

    def start_static(self) -> bool:
        self._window = self._strategy.window()
        self._going_down = None
        self._kills = False
        kept = {name: child for name, child in self._children.items() if child.is_static}
        if not kept and not self._declared:
            return False
        self._coming_up = list(kept.values())
        if not kept:
            try:
                for spec in self._declared:
                    self._coming_up.append(self._new_child(spec, is_static=True))
            except NameTaken as error:
                for child in self._coming_up:
                    self._forget(child)
                self._coming_up = []
                self._owner.signal(Signal(SignalKind.FAIL, error))
                return True
        self._coming_up.reverse()
        self._start_next()
        return True

    def stop_all(self, *, kill: bool) -> bool:
        self._kills = self._kills or kill
        self._coming_up = []
        if self._going_down is None:
            for child in self._children.values():
                child.silence()
                child.cell.forget_start()
            self._going_down = [child for child in self._children.values() if not child.is_down]
        else:
            for child in self._going_down if kill else ():
                child.cell.kill()
            return True
        if not self._going_down:
            self._all_down()
            return False
        self._stop_next()
        return True

    def child_started(self, child: Cell) -> None:
        entry = self._children[child.name]
        entry.has_started = True
        if self._coming_up and self._coming_up[-1] is entry:
            self._coming_up.pop()
            self._start_next()

    def child_unwanted(self, child: Cell) -> bool:
        entry = self._children[child.name]
        if entry.spec.restart is Restart.PERMANENT or self._going_down is not None:
            return False
        self._forget(entry)
        return True

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        entry = self._children[child.name]
        entry.silence()
        if self._going_down is not None:
            self._one_less(entry)
        elif self._coming_up and self._coming_up[-1] is entry:
            self._declared_not_started(entry, cause)
        else:
            self._decide(entry, cause, was_ready=was_ready)

    def _new_child(self, spec: ChildSpec, *, is_static: bool) -> _Child:
        runtime = self._runtime
        name = spec.name or runtime.registry.new_name()
        cell = Cell(
            runtime,
            self._owner,
            self,
            join(self._owner.path, name),
            name,
            spec.cls,
            spec.args,
            spec.kwargs,
            runtime.new_context(),
        )
        runtime.registry.add(cell)
        child = self._children[name] = _Child(spec, cell, self._strategy.window(), is_static=is_static)
        return child

    def _start_next(self) -> None:
        if self._coming_up:
            self._coming_up[-1].cell.signal(Signal(SignalKind.START, self._coming_up[-1].cell.last_cause))
        else:
            self._owner.signal(Signal(SignalKind.FAMILY_READY))

    def _declared_not_started(self, entry: _Child, cause: BaseException | None) -> None:
        """The supervisor does not start either: those before it are stopped, its starter gets the cause."""
        self._coming_up = []
        error = StartFailed(entry.cell.path, "it was stopped" if cause is None else in_a_line(cause))
        error.__cause__ = cause
        self._owner.signal(Signal(SignalKind.FAIL, error))

    def _decide(self, entry: _Child, cause: BaseException | None, *, was_ready: bool) -> None:
        decision = verdict(entry.spec.restart, cause, was_ready=was_ready, is_restart=entry.has_started)
        if entry.is_retired:
            decision = Verdict.BURY
        if decision is Verdict.RESTART:
            self._restart(entry, cause)
        elif decision is Verdict.HOLD:
            entry.alarm = self._runtime.timekeeper.after(
                HOLD_SECONDS, lambda: entry.cell.signal(Signal(SignalKind.START, cause))
            )
        else:
            if decision is Verdict.QUARANTINE:
                self._alert("actor quarantined", entry, cause)
            self._forget(entry)

    def _restart(self, entry: _Child, cause: BaseException | None) -> None:
        window = entry.window if self._strategy.is_per_child else self._window
        if window.spend(self._runtime.backend.now()):
            entry.cell.signal(Signal(SignalKind.START, cause))
            return
        error = RestartLimitExceeded(
            self._owner.path, entry.cell.path, self._strategy.max_restarts, self._strategy.within
        )
        error.__cause__ = cause
        if self._strategy.is_per_child:
            self._alert("actor given up", entry, error)
            self._forget(entry)
        else:
            self._owner.signal(Signal(SignalKind.FAIL, error))

    def _alert(self, alert: str, entry: _Child, cause: BaseException | None) -> None:
        path = entry.cell.path
        words = None if cause is None else in_a_line(cause)
        entry.cell.log().error(alert, cause=words)
        self._runtime.mirror.happened(
            EventType.SYSTEM_ALERT,
            path,
            {"alert": alert, "cause": words},
            incarnation=entry.cell.incarnation,
        )

    def _forget(self, entry: _Child) -> None:
        entry.silence()
        del self._children[entry.cell.name]
        entry.cell.bury()

    def _stop_next(self) -> None:
        """Ask the last started child that is still up to end, and see to it that it does."""
        while self._going_down:
            child = self._going_down[-1]
            if child.is_down:
                self._going_down.pop()
                continue
            grace = child.spec.shutdown
            if self._kills or grace == BRUTAL_KILL:
                child.cell.kill()
            else:
                child.cell.signal(Signal(SignalKind.STOP))
                if isinstance(grace, float):
                    child.alarm = self._runtime.timekeeper.after(grace, child.cell.kill)
            return
        self._all_down()
        self._owner.signal(Signal(SignalKind.FAMILY_GONE))

    def _one_less(self, entry: _Child) -> None:
        if self._going_down and self._going_down[-1] is entry:
            self._going_down.pop()
            self._stop_next()

    def _all_down(self) -> None:
        """Children that nobody declared are not started again with their parent."""
        self._going_down = None
        for child in [c for c in self._children.values() if not c.is_static]:
            self._forget(child)
