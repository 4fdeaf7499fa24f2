"""The children of one cell, and what is done about them: starts and stops in order, restarts.

Everything here is synchronous. A child reports by calling `child_started` and `child_down` from its own
turn; what is to happen goes into the control lane of the cell it concerns. So a restart in place costs
one signal, nothing waits on a worker, and nothing recurses over the depth of a tree.

What takes several steps is a `_Job`: bringing the declared children up, restarting a group, taking all
down. There is one at a time; each report of a child that the job waits for takes the next step. A
failure that comes in meanwhile from a child outside the job waits until it is done. Taking all down
replaces whatever job there is, so a shutdown is never kept waiting by restarts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.timekeeper import Alarm
from sentient_core.causes import in_a_line
from sentient_core.errors import CheckpointUnusable, NameTaken, RestartLimitExceeded, StartFailed
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.paths import join
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import BRUTAL_KILL, ChildSpec, Restart
from sentient_core.supervisor.strategy import RestartKind, Sibling, Strategy, Verdict, plan, verdict

__all__ = ["Children"]

HOLD_SECONDS = 0.5
"""Pause before a start that the store's absence has prevented is tried again."""

MOST_GIVEN_UP = 100
"""Actors given up that the health of a system remembers."""

_UP = (CellStatus.STARTING, CellStatus.RUNNING)
_IS_DOWN = (CellStatus.NEW, CellStatus.DOWN, CellStatus.ENDED)
_START = SignalKind.START
_ONE_FOR_ONE = RestartKind.ONE_FOR_ONE
_RESTART = Verdict.RESTART


class _Child:
    """One child: how it is kept, and its cell."""

    __slots__ = ("alarm", "cell", "has_started", "is_retired", "place", "restart", "shutdown", "window")

    def __init__(self, spec: ChildSpec, cell: Cell, place: int | None) -> None:
        self.restart = spec.restart
        self.shutdown = spec.shutdown
        self.cell = cell
        self.window: RestartWindow | None = None
        """Of its own, if the strategy gives it one and it has been restarted."""
        self.place = place
        """Among the declared children; None for one that was spawned."""
        self.has_started = False
        self.is_retired = False
        """Whatever its spec says, it is not started again."""
        self.alarm: Alarm | None = None

    @property
    def is_static(self) -> bool:
        return self.place is not None

    @property
    def is_down(self) -> bool:
        return self.cell.status in _IS_DOWN

    def silence(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


class _Purpose(Enum):
    """What a job is for."""

    UP = "up"
    """The owner starts: one child that does not start ends it."""
    AGAIN = "again"
    """A group restart: a child that does not start costs one more restart."""
    DOWN = "down"
    """The owner ends: nothing is started again."""


class _Job:
    """Stops, then starts, one step at a time (of a parallel job: all stops at once)."""

    __slots__ = ("cause", "is_parallel", "kills", "purpose", "starts", "stops")

    def __init__(
        self,
        purpose: _Purpose,
        stops: Iterable[_Child],
        starts: Iterable[_Child],
        *,
        cause: BaseException | None = None,
        kills: bool = False,
        is_parallel: bool = False,
    ) -> None:
        self.purpose = purpose
        self.stops = OrderedDict.fromkeys(stops)  # a plain dict finds its last key slowly after deletions
        """Still to go down, the next one last."""
        self.starts = list(starts)
        """Still to come up, the next one last."""
        self.cause = cause
        """Of the restart."""
        self.kills = kills
        self.is_parallel = is_parallel

    @property
    def next_stop(self) -> _Child | None:
        """Who is to go down next."""
        return next(reversed(self.stops), None)

    @property
    def next_start(self) -> _Child | None:
        """Who is to come up next, once nobody is left to go down."""
        return self.starts[-1] if self.starts and not self.stops else None

    def drop(self, child: _Child) -> None:
        """Leave a child out of what is still to be done."""
        self.stops.pop(child, None)
        if child in self.starts:
            self.starts.remove(child)


class Children:
    """The family of `owner`, kept by `strategy`; `declared` are started with it."""

    def __init__(self, owner: Cell, strategy: Strategy, declared: Sequence[ChildSpec] = ()) -> None:
        self.owner = owner
        self._runtime = owner.runtime
        self._strategy = strategy
        self._declared = tuple(declared)
        self._children: dict[Cell, _Child] = {}
        """In start order."""
        self._window = strategy.window()
        self._job: _Job | None = None
        self._waiting: list[tuple[_Child, BaseException | None]] = []
        """Children outside the job that went down meanwhile, and why."""

    def refs(self) -> tuple[ActorRef[Any], ...]:
        return tuple(cell.ref for cell in self._children)

    def cells(self) -> Sequence[Cell]:
        return list(self._children)

    def start_soon(self, spec: ChildSpec) -> Cell:
        """Start a child without waiting for it. Raises NameTaken, and StartFailed while the owner ends."""
        self._check_open(spec)
        cell = self._new_child(spec, None).cell
        cell.signal(Signal(_START))
        return cell

    async def spawn(self, spec: ChildSpec) -> ActorRef[Any]:
        """Start a child beside the declared ones and return its ref when it is ready.

        Raises NameTaken, or what kept it from starting; nothing of it is then left. Cancelling it kills
        the child.
        """
        self._check_open(spec)
        child = self._new_child(spec, None)
        cell = child.cell
        try:
            if cell.start_at_once():
                child.has_started = True
                if self._runtime.dispatcher.is_pass_due():
                    await self._runtime.backend.checkpoint()
            else:
                await cell.start()
        except BaseException:
            child.is_retired = True
            cell.kill()
            raise
        return cell.ref

    def start_static(self) -> bool:
        self._window = self._strategy.window()
        self._waiting = []
        # Kept over a restart of the owner: ref and mailbox of each that had not ended for good.
        kept = {child.place: child for child in self._children.values() if child.place is not None}
        for child in kept.values():
            del self._children[child.cell]
        starts: list[_Child] = []
        try:
            for place, spec in enumerate(self._declared):
                child = kept.pop(place) if place in kept else self._new_child(spec, place)
                self._children[child.cell] = child
                starts.append(child)
        except NameTaken as error:
            for child in (*starts, *kept.values()):
                self._children[child.cell] = child
                self._forget(child)
            self.owner.signal(Signal(SignalKind.FAIL, error))
            return True
        if not starts:
            return False
        self._begin(_Job(_Purpose.UP, (), reversed(starts)))
        return True

    def stop_all(self, *, kill: bool) -> bool:
        job = self._job
        if job is not None and job.purpose is _Purpose.DOWN:
            if kill and not job.kills:
                job.kills = True
                for child in job.stops:
                    child.cell.kill()
            return True
        for child in self._children.values():
            child.silence()
            child.cell.forget_start()
        self._waiting = []
        stops = [child for child in self._children.values() if not child.is_down]
        if not stops:
            self._job = None
            self._bury_unkept()
            return False
        self._begin(_Job(_Purpose.DOWN, stops, (), kills=kill, is_parallel=self._strategy.stops_in_parallel))
        return True

    def child_started(self, child: Cell) -> None:
        entry = self._children[child]
        entry.has_started = True
        if self._job is not None and self._job.next_start is entry:
            self._job.starts.pop()
            self._go_on()

    def child_unwanted(self, child: Cell) -> bool:
        entry = self._children[child]
        job = self._job
        if entry.restart is Restart.PERMANENT or (job is not None and job.purpose is _Purpose.DOWN):
            return False
        is_next = job is not None and entry in (job.next_stop, job.next_start)
        if job is not None:
            job.drop(entry)
        self._forget(entry)
        if is_next:
            self._go_on()
        return True

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        entry = self._children[child]
        entry.silence()
        job = self._job
        if job is not None and entry in job.stops:
            if job.is_parallel or job.next_stop is entry:
                self._go_on()
        elif job is not None and job.next_start is entry:
            self._not_started(job, entry, cause)
        elif job is None or (job.purpose is not _Purpose.DOWN and entry not in job.starts):
            self._decide(entry, cause, was_ready=was_ready)

    def _check_open(self, spec: ChildSpec) -> None:
        if self.owner.status not in _UP:
            raise StartFailed(join(self.owner.path, spec.name or ""), "its parent is ending")

    def _new_child(self, spec: ChildSpec, place: int | None) -> _Child:
        runtime = self._runtime
        above = self.owner.path
        name = spec.name or runtime.registry.new_name()
        path = f"{above}/{name}" if above else name
        cell = Cell(runtime, self, path, spec.cls, spec.args, spec.kwargs)
        runtime.registry.add(cell)
        child = self._children[cell] = _Child(spec, cell, place)
        return child

    def _decide(self, entry: _Child, cause: BaseException | None, *, was_ready: bool) -> None:
        """A child is down that no job has asked to be."""
        decision = verdict(entry.restart, cause, was_ready=was_ready, is_restart=entry.has_started)
        if entry.is_retired:
            decision = Verdict.BURY
        if decision is _RESTART:
            if self._job is not None and self._strategy.kind is not _ONE_FOR_ONE:
                self._waiting.append((entry, cause))  # one group restart at a time
            else:
                self._restart(entry, cause)
        elif decision is Verdict.HOLD:
            self._hold(entry)
        else:
            if decision is Verdict.QUARANTINE:
                self._alert("actor quarantined", entry, cause)
            self._forget(entry)

    def _restart(self, entry: _Child, cause: BaseException | None) -> None:
        if not self._spend(entry, cause):
            return
        if self._strategy.kind is _ONE_FOR_ONE:
            entry.cell.signal(Signal(_START, cause))
            return
        by_name = {child.cell.name: child for child in self._children.values()}
        siblings = [Sibling(name, child.restart) for name, child in by_name.items()]
        steps = plan(self._strategy.kind, siblings, entry.cell.name)
        stops = [by_name[name] for name in reversed(steps.stops)]
        starts = [by_name[name] for name in reversed(steps.starts)]
        for child in stops:
            child.silence()
            child.cell.forget_start()
        self._begin(_Job(_Purpose.AGAIN, stops, starts, cause=cause))

    def _spend(self, entry: _Child, cause: BaseException | None) -> bool:
        """Take a restart from the window; without one left, give up."""
        window = self._window
        if self._strategy.is_per_child:
            window = entry.window = entry.window or self._strategy.window()
        if window.spend(self._runtime.backend.now()):
            return True
        error = RestartLimitExceeded(
            self.owner.path, entry.cell.path, self._strategy.max_restarts, self._strategy.within
        )
        error.__cause__ = cause
        if self._strategy.is_per_child:
            self._alert("actor given up", entry, error)
            self._forget(entry)
            self._runtime.on_give_up(entry.cell.path, error)
        else:
            self._job = None
            self.owner.signal(Signal(SignalKind.FAIL, error))
        return False

    def _hold(self, entry: _Child) -> None:
        cause = entry.cell.last_cause  # what it failed of, not that the store is away
        entry.alarm = self._runtime.timekeeper.after(
            HOLD_SECONDS, lambda: entry.cell.signal(Signal(_START, cause))
        )

    def _begin(self, job: _Job) -> None:
        self._job = job
        if job.is_parallel:
            for child in reversed(job.stops):
                self._ask_to_end(child, job)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Take the next step of the job, or end it."""
        job = self._job
        if job is None:
            return
        while (child := job.next_stop) is not None:
            if not child.is_down:
                if not job.is_parallel:
                    self._ask_to_end(child, job)
                return
            del job.stops[child]
            if job.purpose is _Purpose.AGAIN and child.restart is Restart.TEMPORARY:
                self._forget(child)
        if job.next_start is not None:
            cell = job.next_start.cell
            cell.signal(Signal(_START, job.cause or cell.last_cause))
            return
        self._job = None
        if job.purpose is _Purpose.DOWN:
            self._bury_unkept()
            self.owner.signal(Signal(SignalKind.FAMILY_GONE))
            return
        if job.purpose is _Purpose.UP:
            self.owner.signal(Signal(SignalKind.FAMILY_READY))
        self._look_at_waiting()

    def _look_at_waiting(self) -> None:
        """Failures that came in during a job: those that it has not mended."""
        while self._waiting and self._job is None:
            entry, cause = self._waiting.pop(0)
            if entry.cell.status is CellStatus.DOWN and not entry.cell.will_start:
                self._restart(entry, cause)

    def _ask_to_end(self, child: _Child, job: _Job) -> None:
        """Ask a child to end, and see to it that it does."""
        grace = child.shutdown
        if job.kills or grace == BRUTAL_KILL:
            child.cell.kill()
            return
        child.cell.signal(Signal(SignalKind.STOP))
        if isinstance(grace, float):
            child.alarm = self._runtime.timekeeper.after(grace, lambda: self._end_of_grace(child))

    def _end_of_grace(self, child: _Child) -> None:
        self._runtime.overdue += 1
        child.cell.log().warning("killed, since it did not end within its shutdown", shutdown=child.shutdown)
        child.cell.kill()

    def _not_started(self, job: _Job, entry: _Child, cause: BaseException | None) -> None:
        """The child that the job waits for did not come up."""
        is_quarantined = isinstance(cause, CheckpointUnusable)
        if job.purpose is _Purpose.UP and not is_quarantined:
            self._job = None
            error = StartFailed(entry.cell.path, "it was stopped" if cause is None else in_a_line(cause))
            error.__cause__ = cause
            self.owner.signal(Signal(SignalKind.FAIL, error))
            return
        decision = verdict(entry.restart, cause, was_ready=False, is_restart=True)
        if decision is Verdict.HOLD:
            self._hold(entry)
        elif decision is _RESTART:
            # Through its control lane, so that whatever else is to do gets through between two tries.
            if self._spend(entry, cause):
                entry.cell.signal(Signal(_START, cause))
        else:
            if decision is Verdict.QUARANTINE:
                self._alert("actor quarantined", entry, cause)
            job.starts.pop()
            self._forget(entry)
            self._go_on()

    def _alert(self, alert: str, entry: _Child, cause: BaseException | None) -> None:
        path = entry.cell.path
        words = None if cause is None else in_a_line(cause)
        report_alert(entry.cell, alert, words)
        given_up = self._runtime.given_up
        given_up[path] = alert if words is None else f"{alert}: {words}"
        if len(given_up) > MOST_GIVEN_UP:
            del given_up[next(iter(given_up))]

    def _forget(self, entry: _Child) -> None:
        entry.silence()
        del self._children[entry.cell]
        entry.cell.bury()

    def _bury_unkept(self) -> None:
        """Children that nobody declared are not started again with their parent."""
        for child in [c for c in self._children.values() if not c.is_static]:
            self._forget(child)

    def restarts_in_window(self, child: Cell) -> int:
        entry = self._children.get(child)
        own = None if entry is None else entry.window
        window = own if self._strategy.is_per_child else self._window
        return 0 if window is None else window.count(self._runtime.backend.now())
