"""The virtual actors of one class: `Account` at the path `Account` supervises `Account/alice` and its like.

What ends an activation decides what comes next. Idleness or a stop: the actor is passive, and its next
message starts it. A failure: it is started again at once, its mailbox kept; beyond the window's restarts it
waits until the window allows one more, but is never given up. A start that fails gives up what is queued, so
that nobody waits for what does not come; the next message tries again, as often as the window allows.

There may be very many of them, and most are passive: what one of them needs beyond its cell (a window, an
alarm, an error) is in here only while it does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.attempts import is_tried_again
from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.decision import Decision, decide
from sentient_core.actors.durable_virtual import DurableVirtualCell
from sentient_core.actors.life_events import report_alert, report_restart
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.timekeeper import Alarm
from sentient_core.actors.virtual import VirtualCell
from sentient_core.codec import tag_of
from sentient_core.errors import InvalidCall, InvalidChildSpec, NameTaken, StoreUnavailable
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.paths import check_name, join
from sentient_core.store.records import Origin
from sentient_core.supervisor.children import HOLD_SECONDS, LEAST_GRACE, OVERDUE, STEPS_AT_ONCE, Children
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import ChildSpec
from sentient_core.supervisor.strategy import Strategy
from sentient_core.supervisor.supervisor import Supervisor

__all__ = ["VirtualFamily", "VirtualSupervisor", "check_arguments", "virtual_ref"]

A = TypeVar("A", bound=Actor)


def virtual_ref(
    root: Children, cls: type[A], key: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ActorRef[A]:
    """The virtual actor of a class under a key. See `ActorSystem.get_or_spawn`."""
    plain = ChildSpec(cls).cls
    tag = tag_of(plain)
    found = root.owner.runtime.registry.find(join(tag, check_name(key)))
    if found is None or found.is_left_behind:
        _check_class(plain)
        check_arguments(plain, args, kwargs)
        found = _family_of(root, check_name(tag)).add(plain, key, args, kwargs)
    elif not isinstance(found, VirtualCell) or found.blueprint.cls is not plain:
        raise NameTaken(found.path, found.ref)
    return found.ref


class VirtualSupervisor(Supervisor):
    """Keeps the virtual actors of one class. Stopping it passivates all of them; it is started again."""

    durability: ClassVar[DurabilityName] = "volatile"
    strategy: ClassVar[Strategy] = Strategy(
        max_restarts=3, within=5.0, is_per_child=True, stops_in_parallel=True
    )


class VirtualFamily:
    """The virtual actors below `owner`, active or passive."""

    def __init__(self, owner: Cell) -> None:
        self.owner = owner
        self._runtime = owner.runtime
        self._cells: dict[str, VirtualCell] = {}
        self._windows: dict[Cell, RestartWindow] = {}
        """Of those that have failed."""
        self._start_errors: dict[Cell, BaseException] = {}
        """Of those whose last start has failed."""
        self._alarms: dict[Cell, Alarm] = {}
        """Of those that wait for a start, or that are to end within their grace."""
        self._ending: dict[VirtualCell, None] = {}
        """Those that are still to go down with the owner."""
        self._is_awake = True
        """False while the owner is down: what comes in waits."""

    def add(self, cls: type[Actor], key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> VirtualCell:
        """A new one, passive."""
        runtime = self._runtime
        kind = DurableVirtualCell if cls.__blueprint__.is_durable else VirtualCell
        cell = kind(runtime, self, join(self.owner.path, key), cls, args, kwargs)
        runtime.registry.add(cell)
        self._cells[key] = cell
        if not self._is_awake:
            cell.fall_asleep()
        elif cell.has_work:  # what an earlier start has left
            runtime.dispatcher.schedule(cell)
        return cell

    def discard(self, cell: VirtualCell) -> None:
        """End a passive one for good: nothing is to be left of it."""
        del self._cells[cell.name]
        self._windows.pop(cell, None)
        self._start_errors.pop(cell, None)
        cell.bury()

    def refs(self) -> tuple[ActorRef[Any], ...]:
        return tuple(cell.ref for cell in self._cells.values())

    def cells(self) -> Sequence[Cell]:
        return tuple(self._cells.values())

    @property
    def strategy(self) -> Strategy:
        return VirtualSupervisor.strategy

    def listed(self) -> Sequence[Cell]:
        return self.cells()

    def restarts_in_window(self, child: Cell | None) -> int:
        window = None if child is None else self._windows.get(child)
        return 0 if window is None else window.count(self._runtime.backend.now())

    def seconds_until_start(self, child: Cell) -> float | None:
        alarm = self._alarms.get(child)
        due = None if alarm is None else alarm.due
        return None if due is None else max(0.0, due - self._runtime.backend.now())

    def start_static(self) -> bool:
        self._is_awake = True
        for cell in self._cells.values():
            if cell.status is CellStatus.DOWN:
                cell.passivate()
        return False

    def stop_all(self, *, kill: bool) -> bool:
        if self._is_awake:
            self._is_awake = False
            for alarm in self._alarms.values():
                alarm.cancel()
            self._alarms.clear()
            for cell in self._cells.values():
                cell.fall_asleep()
                if cell.status is CellStatus.DOWN:
                    cell.forget_start()
                else:
                    self._ending[cell] = None
            if not kill:
                self._for_each(list(self._ending), self._ask_to_end)
        if kill:
            self._for_each(list(self._ending), VirtualCell.kill)
        return bool(self._ending)

    def _for_each(self, left: list[VirtualCell], do: Callable[[VirtualCell], object]) -> None:
        """Do it with those that are still to go down; of very many, a part before each pass of the loop."""
        for child in left[-STEPS_AT_ONCE:]:
            if child in self._ending:
                do(child)
        del left[-STEPS_AT_ONCE:]
        if left:
            self._runtime.timekeeper.after(0, lambda: self._for_each(left, do))

    def decide(self, child: Cell, error: BaseException) -> Decision:
        return decide(error)

    def origin_of(self, child: Cell) -> Origin:
        return Origin.VIRTUAL

    def child_started(self, child: Cell) -> None:
        self._start_errors.pop(child, None)

    def child_failing(self, child: Cell) -> None:
        grace = child.blueprint.cls.default_shutdown
        if grace is not None and child not in self._alarms and isinstance(child, VirtualCell):
            self._give_grace(child, grace)

    def child_unwanted(self, child: Cell) -> bool:
        if self._is_awake and isinstance(child, VirtualCell):
            self._silence(child)
            child.passivate()
        return self._is_awake

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        assert isinstance(child, VirtualCell)  # noqa: S101 - there are no others in here
        self._silence(child)
        if cause is None:
            self._windows.pop(child, None)
        if not self._is_awake:
            if child in self._ending:
                del self._ending[child]
                if not self._ending:
                    self.owner.signal(Signal(SignalKind.FAMILY_GONE))
        elif cause is None:
            child.announce_passive()
            child.passivate()
        elif isinstance(cause, StoreUnavailable):
            if not was_ready:
                child.wait_for_start()
            self._hold(child, HOLD_SECONDS, lambda: self._try_again(child))
        elif was_ready:
            decision = decide(cause)
            if is_tried_again(child, cause, decision):
                self._hold(child, decision.not_before, lambda: self._start_again(child, cause))
            else:
                self._alert_if_spent(child, "fails too often: its restart waits", cause)
                self._restart(child, cause, decision.not_before)
        else:
            self._not_started(child, cause)

    def why_not(self, child: Cell) -> BaseException | None:
        error = self._start_errors.get(child)
        if error is None or self._window(child).seconds_left(self._runtime.backend.now()) == 0:
            return None
        return error

    def _restart(self, child: VirtualCell, cause: BaseException, not_before: float = 0.0) -> None:
        now = self._runtime.backend.now()
        window = self._window(child)
        wait = max(not_before, window.seconds_left(now))
        if wait > 0:
            self._hold(child, wait, lambda: self._restart(child, cause))
            return
        window.spend(now)
        self._start_again(child, cause)

    def _start_again(self, child: VirtualCell, cause: BaseException) -> None:
        report_restart(child, cause, 0.0)
        child.signal(Signal(SignalKind.START, cause))

    def _try_again(self, child: VirtualCell) -> None:
        """Start what the store's absence has brought down, if it is back."""
        if self._runtime.mirror.journal.backlog().is_down:
            self._hold(child, HOLD_SECONDS, lambda: self._try_again(child))
        else:
            child.signal(Signal(SignalKind.START, child.last_cause))

    def _not_started(self, child: VirtualCell, cause: BaseException) -> None:
        self._window(child).spend(self._runtime.backend.now())
        self._start_errors[child] = cause
        self._alert_if_spent(child, "does not start: its messages are refused for a while", cause)
        child.refuse_queued(cause)
        child.passivate()

    def _hold(self, child: VirtualCell, seconds: float, then: Callable[[], None]) -> None:
        def go_on() -> None:
            del self._alarms[child]
            then()

        self._alarms[child] = self._runtime.timekeeper.after(seconds, go_on)

    def _ask_to_end(self, child: VirtualCell) -> None:
        grace = child.blueprint.cls.default_shutdown
        child.signal(Signal(SignalKind.STOP))
        if grace is not None:
            self._give_grace(child, grace)

    def _give_grace(self, child: VirtualCell, seconds: float) -> None:
        self._alarms[child] = self._runtime.timekeeper.after(seconds, lambda: self._end_of_grace(child))

    def _end_of_grace(self, child: VirtualCell) -> None:
        if child.waits_for_turn:  # as in `Children`
            grace = max(child.blueprint.cls.default_shutdown or 0.0, LEAST_GRACE)
            self._give_grace(child, grace)
            return
        self._runtime.overdue += 1
        if self._runtime.limited_logs.admits(OVERDUE):
            child.log().warning(OVERDUE)
        child.kill()

    def _silence(self, child: Cell) -> None:
        alarm = self._alarms.pop(child, None)
        if alarm is not None:
            alarm.cancel()

    def _window(self, child: Cell) -> RestartWindow:
        window = self._windows.get(child)
        if window is None:
            window = self._windows[child] = VirtualSupervisor.strategy.window()
        return window

    def _alert_if_spent(self, child: Cell, what: str, cause: BaseException) -> None:
        if self._window(child).seconds_left(self._runtime.backend.now()):
            report_alert(child, f"virtual actor {what}", cause)


def _check_class(cls: type[Actor]) -> None:
    name, blueprint = cls.__qualname__, cls.__blueprint__
    if not blueprint.is_mirrored:
        raise InvalidChildSpec(
            f"{name} cannot be a virtual actor: it is volatile, and what it knows would be gone when it is "
            "passivated. Make it durability = 'mirrored', or spawn it."
        )
    if not blueprint.has_state:
        raise InvalidChildSpec(
            f"{name} cannot be a virtual actor: it declares no State, and what it knows would be gone when "
            "it is passivated. Give it a State, or spawn it."
        )


def check_arguments(cls: type[Actor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise InvalidCall for what `__init__` does not take: here, not at the first message."""
    try:
        signature = inspect.signature(cls.__init__ if cls.__blueprint__.has_init else _no_init)
    except (TypeError, ValueError):  # some callables have none; the first start will show
        return
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise InvalidCall(f"{cls.__qualname__}.__init__{signature}", str(error)) from None


def _no_init(self: object) -> None:
    """What a class takes that has no `__init__`."""


def _family_of(root: Children, tag: str) -> VirtualFamily:
    """The family of a class; its supervisor is started with the first of them."""
    owner = root.owner.runtime.registry.find(tag)
    if owner is None:
        owner = root.start_soon(ChildSpec(VirtualSupervisor, name=tag))
        owner.family = VirtualFamily(owner)
    if not isinstance(owner.family, VirtualFamily):
        raise NameTaken(owner.path, owner.ref)
    return owner.family
