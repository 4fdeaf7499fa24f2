"""The children of one cell, and what is done about them: starts and stops in order, restarts.

Everything here is synchronous. A child reports by calling `child_started` and `child_down` from its own
turn; what is to happen goes into the control lane of the cell it concerns. So a restart in place costs
one signal, nothing waits on a worker, and nothing recurses over the depth of a tree.

What takes several steps is a `Job`: bringing the declared children up, restarting a group, taking all
down. There is one at a time; each report of a child that the job waits for takes the next step. A
failure that comes in meanwhile from a child outside the job waits until it is done. Taking all down
replaces whatever job there is, so a shutdown is never kept waiting by restarts.

What is decided is decided elsewhere, by pure functions: what a failure means (`decide`), what becomes of
the child (`verdict`), who goes down and comes up with it (`plan`), whether a restart is left
(`RestartWindow`), how long it waits (`Backoff.delay`). What people ask for is in administration.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentient_core.actors.attempts import is_tried_again
from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.decision import RESTARTED, Decision, Directive, Rule, decide, speaks
from sentient_core.actors.durable import DurableCell
from sentient_core.actors.life_events import (
    report_alert,
    report_escalation,
    report_give_up,
    report_restart,
)
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.saving import Ledger
from sentient_core.causes import in_a_line
from sentient_core.errors import (
    ChildPresent,
    Escalated,
    NameTaken,
    RestartLimitExceeded,
    StartFailed,
    StartIgnored,
    StartTimeout,
)
from sentient_core.faults.points import FaultPoint
from sentient_core.mailbox.signals import SUPERVISOR, Signal, SignalKind
from sentient_core.paths import join
from sentient_core.store.records import Origin
from sentient_core.supervisor.backoff import Backoff
from sentient_core.supervisor.child import Child, Trouble
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.job import Job, Purpose
from sentient_core.supervisor.spec import BRUTAL_KILL, ChildSpec, Restart
from sentient_core.supervisor.strategy import (
    RestartKind,
    Sibling,
    Strategy,
    Verdict,
    ends_supervisor,
    plan,
    verdict,
)

__all__ = ["Children"]

HOLD_SECONDS = 0.5
"""Pause before a start that the store's absence has prevented is tried again."""

LEAST_GRACE = 0.01
"""Seconds before it is looked again whether a child without any grace has had its turn."""

STEPS_AT_ONCE = 500
"""Children that are looked at, or asked to end, before the event loop makes a pass."""

OVERDUE = "killed, since it did not end within its shutdown"

MOST_GIVEN_UP = 100
"""Actors given up that the health of a system remembers."""

_UP = (CellStatus.STARTING, CellStatus.RUNNING, CellStatus.PAUSED)
_RUNNING = CellStatus.RUNNING
_START = SignalKind.START
_ONE_FOR_ONE = RestartKind.ONE_FOR_ONE
_RESTART = Verdict.RESTART
_ONCE_MORE = Directive.RESTART
_STOPPED = Decision(Directive.STOP)
_NOTHING_DECIDED = (None, None, RESTARTED)
_TEMPORARY = Restart.TEMPORARY
_PERMANENT = Restart.PERMANENT
_AGAIN = Purpose.AGAIN
_DOWN = Purpose.DOWN


class Children:
    """The family of `owner`, kept by `strategy`; `declared` are started with it."""

    def __init__(self, owner: Cell, strategy: Strategy, declared: Sequence[ChildSpec] = ()) -> None:
        self.owner = owner
        self.strategy: Strategy = strategy
        self.template: ChildSpec | None = declared[0] if strategy.is_dynamic else None
        """Of a pool: what all of its children are started by."""
        self._runtime = owner.runtime
        self._declared: tuple[ChildSpec, ...] = () if strategy.is_dynamic else tuple(declared)
        self._children: dict[Cell, Child] = {}
        """In start order."""
        self._ended: dict[str, Child] = {}
        """Those of them that are in the list only, by name."""
        self._window = strategy.window()
        above = owner.above
        budgets = above.budgets if isinstance(above, Children) else ()
        self._budget: RestartWindow | None = None if strategy.budget is None else strategy.budget.window()
        self.budgets: tuple[tuple[Children, RestartWindow], ...] = (
            budgets if self._budget is None else ((self, self._budget), *budgets)
        )
        """Which a restart in this tree is taken from, the nearest first."""
        self._job: Job | None = None
        self._waiting: list[tuple[Child, BaseException | None, Decision]] = []
        """Children outside the job that went down meanwhile, and why."""
        self._decided: tuple[Cell | None, BaseException | None, Decision] = _NOTHING_DECIDED
        """The last failure that a child's cell has asked about: what it fails of is not decided twice."""
        self._significant: set[Child] = set()
        """Those children whose end may end the owner, and which have not ended."""
        self._lasting: list[Child] = []
        """Those that come up again behind the declared ones."""
        self._has_given_up = False
        """The owner has been told to fail: no child is started again before that."""
        self._ends_owner = False
        """A significant child has ended while others were being started: the owner ends when they are up."""

    @property
    def is_open(self) -> bool:
        """Children can be started: the owner is up."""
        return self.owner.status in _UP

    def refs(self) -> tuple[ActorRef[Any], ...]:
        return tuple(cell.ref for cell in self.cells())

    def cells(self) -> Sequence[Cell]:
        if not self._ended:
            return list(self._children)
        return [cell for cell, child in self._children.items() if not child.has_ended]

    @property
    def size(self) -> int:
        """How many there are, with those that are in the list only."""
        return len(self._children)

    def members(self) -> Sequence[Child]:
        """The children, in start order, with those that are in the list only."""
        return list(self._children.values())

    def find(self, name: str) -> Child | None:
        """The child of a name, also one that is in the list only."""
        cell = self._runtime.registry.find(join(self.owner.path, name))
        child = None if cell is None else self._children.get(cell)
        return child or self._ended.get(name)

    def decide(self, child: Cell, error: BaseException) -> Decision:
        entry = self._children[child]
        rules = self._rules_of(entry)
        decision = RESTARTED if rules is None and not speaks(error) else decide(error, *(rules or ()))
        if entry.restart is _TEMPORARY and decision.directive is _ONCE_MORE:
            decision = _STOPPED  # it is not started again: nor is its message tried again
        self._decided = (child, error, decision)
        return decision

    def start_soon(self, spec: ChildSpec) -> Cell:
        """Start a child without waiting for it. Raises NameTaken, and StartFailed while the owner ends."""
        child = self._new_child(spec, None)
        self._start(child, None)
        return child.cell

    async def spawn(self, spec: ChildSpec, *, is_listed: bool = False) -> ActorRef[Any]:
        """Start a child beside the declared ones and return its ref when it is ready.

        Raises NameTaken, ChildPresent, or what kept it from starting; nothing of it is then left, but for
        one that is listed and has ignored its start. Cancelling it kills the child.
        """
        faults = self._runtime.faults
        if faults is not None:
            path = join(self.owner.path, spec.name or "*")
            await faults.pass_by(FaultPoint.SPAWN, path, spec.cls.__name__)
        child = self._new_child(spec, None, is_listed=is_listed)
        try:
            if not child.cell.start_at_once():
                await self.wait_for_start(child)
                return child.cell.ref
            self._note_ready(child)
            if self._runtime.dispatcher.is_pass_due():
                await self._runtime.backend.checkpoint()
        except BaseException as error:
            if not isinstance(error, StartIgnored):
                child.is_listed = False
            self._kill_for_good(child)
            raise
        return child.cell.ref

    async def wait_for_start(self, child: Child) -> None:
        """Start a child and return when it is ready. Raises what kept it from that; it is not tried again."""
        self._set_start_deadline(child)
        try:
            await child.cell.start()
        except BaseException:
            self._kill_for_good(child)
            raise

    def start_static(self) -> bool:
        self._has_given_up = self._ends_owner = False
        self._window.clear()
        if self._budget is not None:
            self._budget.clear()
        self._waiting = []
        # Kept over a restart of the owner: ref and mailbox of each that had not ended for good.
        kept = {child.place: child for child in self._children.values() if child.place is not None}
        for child in kept.values():
            del self._children[child.cell]
            self._ended.pop(child.cell.name, None)
        self._lasting = [child for child in self._children.values() if child.is_lasting and child.is_down]
        starts: list[Child] = []
        try:
            for place, spec in enumerate(self._declared):
                old = kept.pop(place, None)
                if old is None:
                    child = self._new_child(spec, place)
                else:
                    child = self._again(old, spec) if old.has_ended else old
                child.is_retired = False
                self._children[child.cell] = child
                starts.append(child)
        except (NameTaken, ChildPresent) as error:
            for child in (*starts, *kept.values()):
                self._children[child.cell] = child
                self._drop(child)
            self.owner.signal(Signal(SignalKind.FAIL, error))
            return True
        if not starts:
            self._start_lasting()
            return False
        self._begin(Job(Purpose.UP, (), reversed(starts)))
        return True

    def stop_all(self, *, kill: bool) -> bool:
        job = self._job
        if job is not None and job.purpose is _DOWN:
            if kill and not job.kills:
                job.kills = True
                self._ask_all(job, [*job.later, *job.stops])
            return True
        self._waiting = []
        is_parallel = self.strategy.stops_in_parallel
        job = Job(_DOWN, (), (), kills=kill, is_parallel=is_parallel, later=self._children.values())
        self._look_at_later(job, len(job.later) if is_parallel else STEPS_AT_ONCE)
        if not job.stops:
            self._set_job(None)
            return False
        self._begin(job)
        return True

    def origin_of(self, child: Cell) -> Origin:
        entry = self._children.get(child)
        return Origin.DECLARED if entry is not None and entry.is_static else Origin.SPAWNED

    def child_started(self, child: Cell) -> None:
        entry = self._children[child]
        if not (entry.is_asked and isinstance(entry.shutdown, float)):
            entry.silence()  # the deadline of its start; else it is the end of its grace
        self._note_ready(entry)
        if self._job is not None and self._job.next_start is entry:
            self._job.starts.pop()
            self._go_on()

    def child_failing(self, child: Cell) -> None:
        entry = self._children[child]
        if not entry.is_asked:  # else its grace runs already
            grace = child.blueprint.kill_grace if entry.shutdown == BRUTAL_KILL else entry.shutdown
            if isinstance(grace, float):
                self._give_grace(entry, grace)

    def child_unwanted(self, child: Cell) -> bool:
        entry = self._children[child]
        job = self._job
        if entry.restart is _PERMANENT or (job is not None and job.purpose is _DOWN):
            return False
        self._end_where_it_is(entry, by_itself=True)
        return True

    def child_down(self, child: Cell, cause: BaseException | None, *, was_ready: bool) -> None:
        entry = self._children[child]
        entry.silence()
        entry.is_asked = False
        if entry.trouble is not None:
            self._note_over(entry, entry.trouble)
        decided, self._decided = self._decided, _NOTHING_DECIDED
        decision = RESTARTED
        if cause is not None:
            # Two children may fail of one exception, each with rules of its own.
            is_decided = decided[0] is child and decided[1] is cause
            decision = decided[2] if is_decided else self.decide(child, cause)
        job = self._job
        if job is not None and entry.is_retired and entry.is_static and job.purpose is _DOWN:
            self._end_where_it_is(entry, by_itself=False)  # terminated before its turn
        elif job is not None and entry in job.stops:
            if entry.is_retired and job.purpose is _AGAIN:
                self._end_where_it_is(entry, by_itself=False)
                return
            if job.is_parallel:
                self._note_stopped(job, entry)
            if job.is_parallel or job.next_stop is entry:
                self._go_on()
        elif job is not None and job.next_start is entry:
            self._not_started(job, entry, cause, decision)
        elif job is None or (job.purpose is not _DOWN and entry not in job.starts):
            self._judge(entry, cause, decision, was_ready=was_ready)
        elif entry.is_retired and job.purpose is not _DOWN:
            self._end_where_it_is(entry, by_itself=False)

    def listed(self) -> Sequence[Cell]:
        return list(self._children)

    def seconds_until_start(self, child: Cell) -> float | None:
        entry = self._children.get(child)
        if entry is None or not entry.is_down:
            return None
        alarm = entry.alarm
        if alarm is None and self._job is not None and entry.waits_for_start:
            alarm = self._job.alarm  # it waits with its group
        due = None if alarm is None else alarm.due
        return None if due is None else max(0.0, due - self._runtime.backend.now())

    def restarts_in_window(self, child: Cell | None) -> int:
        entry = None if child is None else self._children.get(child)
        window: RestartWindow | None = self._window
        if self.strategy.is_per_child:
            window = None if entry is None or entry.trouble is None else entry.trouble.window
        return 0 if window is None else window.count(self._runtime.backend.now())

    def retire(self, child: Child) -> None:
        """End a child for good; it stays in the list if it is listed. To be awaited: the end of its cell."""
        child.is_retired = True
        if child.is_down:
            self._end_where_it_is(child, by_itself=False)
        elif self._job is None or self._job.purpose is not _DOWN:  # else its turn will come
            self._ask_to_end(child)

    def will_revive(self, child: Child) -> bool:
        """It has ended, and a restart of its group that is under way starts it again."""
        return child.has_ended and self._job is not None and child in self._job.starts

    def leave_down(self, child: Child) -> None:
        """A child that has ended is not to come up with its group, should that be about to."""
        if self.will_revive(child) and self._job is not None and self._job.drop(child):
            self._go_on()

    def revive(self, child: Child) -> Child:
        """Give a child that has ended a new cell in its old place."""
        spec = child.spec
        assert spec is not None  # noqa: S101 - what is listed keeps it
        again = self._again(child, spec)
        again.is_kept = True
        del self._ended[child.cell.name]
        children = self._children.values()
        self._children = {each.cell: each for each in (again if c is child else c for c in children)}
        return again

    def strike_off(self, child: Child) -> None:
        """Remove a child that has ended from the list."""
        del self._ended[child.cell.name]
        del self._children[child.cell]

    def _new_child(self, spec: ChildSpec, place: int | None, *, is_listed: bool = False) -> Child:
        if self.owner.status not in _UP:
            raise StartFailed(join(self.owner.path, spec.name or ""), "its parent is ending")
        name = spec.name or self._runtime.registry.new_name()
        if self._ended and name in self._ended:
            raise ChildPresent(self.owner.path, name)
        cell = self._new_cell(spec, name)
        child = self._children[cell] = Child(spec, cell, place, is_listed=is_listed or place is not None)
        if spec.significant:
            self._significant.add(child)
        return child

    def _again(self, ended: Child, spec: ChildSpec) -> Child:
        cell = self._new_cell(spec, ended.cell.name)
        # The numbers of a path go on. What the store knows of it, the cell has from there.
        cell.incarnation = max(cell.incarnation, ended.cell.incarnation)
        cell.ledger = ledger = cell.ledger or Ledger(0)  # else restarts are told from the incarnation
        ledger.restarts = max(ledger.restarts, ended.cell.restarts)
        child = Child(spec, cell, ended.place, is_listed=ended.is_listed)
        if spec.significant:
            self._significant.add(child)
        return child

    def _new_cell(self, spec: ChildSpec, name: str) -> Cell:
        above = self.owner.path
        path = f"{above}/{name}" if above else name
        kind = DurableCell if spec.cls.__blueprint__.is_durable else Cell
        cell = kind(self._runtime, self, path, spec.cls, spec.args, spec.kwargs)
        self._runtime.registry.add(cell)
        return cell

    def _judge(
        self, entry: Child, cause: BaseException | None, decision: Decision, *, was_ready: bool
    ) -> None:
        """A child is down that no job has asked to be."""
        found = verdict(
            entry.restart, cause, was_ready=was_ready, is_restart=entry.has_started, decision=decision
        )
        if entry.is_retired or isinstance(cause, StartIgnored):
            found = Verdict.BURY
        elif self._has_given_up:
            return
        if found is Verdict.HOLD and was_ready and self.strategy.kind is not _ONE_FOR_ONE:
            found = _RESTART  # of its group, as free
        if found is _RESTART:
            if self._job is not None and self.strategy.kind is not _ONE_FOR_ONE:
                self._waiting.append((entry, cause, decision))  # one group restart at a time
            else:
                self._restart(entry, cause, decision)
        elif found is Verdict.HOLD:
            self._hold(entry)
        elif found is Verdict.ESCALATE and cause is not None:
            self._escalate(entry, cause)
        else:
            if found is Verdict.QUARANTINE:
                self._alert("actor quarantined", entry, cause)
            is_ignored = isinstance(cause, StartIgnored)
            is_first = not was_ready and not entry.has_started
            by_itself = not (entry.is_retired or is_ignored or is_first)
            self._end(entry, by_itself=by_itself, is_ignored=is_ignored)

    def _restart(self, entry: Child, cause: BaseException | None, decision: Decision) -> None:
        if decision.is_free:
            delay = HOLD_SECONDS
        elif self._spend(entry, cause, decision):
            delay = self._delay(entry, decision)
        else:
            return
        if self.strategy.kind is _ONE_FOR_ONE:
            report_restart(entry.cell, cause, delay)
            self._start(entry, cause, delay)
            return
        by_name = {child.cell.name: child for child in self._children.values()}
        siblings = [Sibling(name, child.restart) for name, child in by_name.items()]
        steps = plan(self.strategy.kind, siblings, entry.cell.name)
        stops = [by_name[name] for name in reversed(steps.stops)]
        starts = [by_name[name] for name in reversed(steps.starts)]
        # The one that has failed as well: killed before its start, it would come up by that one, out of turn.
        for child in (*stops, entry):
            self._keep_down(child)
        for child in reversed(starts):
            if not child.has_ended:
                report_restart(child.cell, cause, delay)
        job = Job(_AGAIN, stops, starts, cause=cause, wait=delay, needs_store=decision.is_free)
        self._begin(job)

    def _spend(self, entry: Child, cause: BaseException | None, decision: Decision) -> bool:
        """Take a restart from the window and from the budgets of the trees it is in; or give up.

        Another attempt at a message costs nothing of the window: attempts have a bound of their own.
        """
        now = self._runtime.backend.now()
        strategy, window = self.strategy, self._window
        if strategy.is_per_child:
            trouble = entry.troubled()
            window = trouble.window = trouble.window or strategy.window()
        if not is_tried_again(entry.cell, cause, decision) and not window.spend(now):
            self._give_up(entry, self._exceeded(entry.cell, window, cause))
            return False
        for family, budget in self.budgets:
            if not budget.spend(now):
                family.exhaust(entry.cell, budget, cause)
                return False
        return True

    def _exceeded(
        self, child: Cell, window: RestartWindow, cause: BaseException | None
    ) -> RestartLimitExceeded:
        error = RestartLimitExceeded(
            self.owner.path,
            child.path,
            window.max_restarts,
            window.within,
            is_budget=window is self._budget,
        )
        error.__cause__ = cause
        return error

    def exhaust(self, below: Cell, budget: RestartWindow, cause: BaseException | None) -> None:
        """The budget of this tree is spent: `below`, somewhere in it, cannot be restarted."""
        cell = below
        while cell.above is not self and cell.parent is not None:
            cell = cell.parent
        self._give_up(self._children[cell], self._exceeded(below, budget, cause))

    def _give_up(self, entry: Child, error: RestartLimitExceeded | Escalated) -> None:
        """No restart is left: the owner fails, or the child ends if it has a window of its own."""
        if self._job is not None and self._job.purpose is _DOWN:
            return  # a failure far below, whose turn to go down has not come
        if not self.strategy.is_per_child:
            if self._has_given_up:
                return
            self._has_given_up = True
            self._set_job(None)
            if isinstance(error, RestartLimitExceeded):
                report_give_up(self.owner, entry.cell, error)
            self.owner.signal(Signal(SignalKind.FAIL, error))
            return
        if entry.is_retired:
            return  # others of the same storm
        self._alert("actor given up", entry, error)
        self._runtime.on_give_up(entry.cell.path, error)
        entry.is_retired = True
        if entry.is_down:
            self._end_where_it_is(entry, by_itself=False)
        else:  # the storm was somewhere below it
            entry.cell.kill()

    def _escalate(self, entry: Child, cause: BaseException) -> None:
        report_escalation(entry.cell, cause)
        self._give_up(entry, Escalated(self.owner.path, entry.cell.path, cause))

    def _delay(self, entry: Child, decision: Decision) -> float:
        """Seconds before the child is started again."""
        if entry.spec is None and self.strategy.backoff is None:
            return decision.not_before
        backoff = self._backoff_of(entry)
        if backoff is None:
            return decision.not_before
        trouble = entry.troubled()
        trouble.failures += 1
        return max(decision.not_before, backoff.delay(trouble.failures, self._runtime.chance.random()))

    def _backoff_of(self, entry: Child) -> Backoff | None:
        spec = entry.spec
        return self.strategy.backoff if spec is None or spec.backoff is None else spec.backoff

    def _rules_of(self, entry: Child) -> tuple[tuple[Rule, ...], ...] | None:
        """Its own, and those of the strategy; None where there are none."""
        spec, rules = entry.spec, self.strategy.rules
        if spec is None or not spec.rules:
            return (rules,) if rules else None
        return spec.rules, rules

    def _note_ready(self, entry: Child) -> None:
        entry.has_started = True
        if (entry.spec is not None or self.strategy.backoff is not None) and self._backoff_of(entry):
            entry.troubled().ready_since = self._runtime.backend.now()

    def _note_over(self, entry: Child, trouble: Trouble) -> None:
        """Begin the backoff of a child that is down anew, if it was up for long enough."""
        backoff = self._backoff_of(entry)
        since, trouble.ready_since = trouble.ready_since, None
        now = self._runtime.backend.now()
        if backoff is not None and since is not None and backoff.is_healthy(now - since):
            trouble.failures = 0

    def _start(self, entry: Child, cause: BaseException | None, delay: float = 0.0) -> None:
        """Let a child start, now or later; not any more, if the family goes down."""
        if self._job is not None and self._job.purpose is _DOWN:
            return
        if delay > 0:
            entry.alarm = self._runtime.timekeeper.after(delay, lambda: self._start(entry, cause))
            return
        entry.alarm = None
        if entry.spec is not None:
            self._set_start_deadline(entry)
        entry.cell.signal(Signal(_START, cause))

    def _set_start_deadline(self, entry: Child) -> None:
        seconds = None if entry.spec is None else entry.spec.start_timeout
        if seconds is not None:
            error = StartTimeout(entry.cell.path, seconds)
            entry.alarm = self._runtime.timekeeper.after(seconds, lambda: entry.cell.kill(error))

    def _hold(self, entry: Child) -> None:
        """Start a child when the store is back."""
        cause = entry.cell.last_cause  # what it failed of, not that the store is away

        def look() -> None:
            if self._is_store_away:
                self._hold(entry)
            else:
                self._start(entry, cause)

        entry.alarm = self._runtime.timekeeper.after(HOLD_SECONDS, look)

    @property
    def _is_store_away(self) -> bool:
        return self._runtime.mirror.journal.backlog().is_down

    def _set_job(self, job: Job | None) -> None:
        if self._job is not None:
            self._job.silence()
        self._job = job

    def _begin(self, job: Job) -> None:
        self._set_job(job)
        if job.is_parallel:
            self._ask_all(job, list(job.stops))
        self._go_on()

    def _look_at_later(self, job: Job, most: int = STEPS_AT_ONCE) -> None:
        """Find those that go down next with the family, or are down and end with it; none starts any more.

        Of very many children that end one by one, a part at a time, not to keep the event loop.
        """
        while job.later and not job.stops:
            for child in job.take_later(most):
                if child.alarm is not None or child.cell.status is not _RUNNING:  # which are few
                    self._keep_down(child)
                    if child.is_down and (child.is_static or child.is_lasting):
                        continue
                job.stops[child] = None

    def _next_stop(self, job: Job) -> Child | None:
        self._look_at_later(job)
        return job.next_stop

    def _ask_all(self, job: Job, left: list[Child]) -> None:
        """Ask children to end at the same time; of very many, a part before each pass of the event loop."""
        for child in reversed(left[-STEPS_AT_ONCE:]):
            if not child.is_down:
                self._ask_to_end(child, kills=job.kills)
        del left[-STEPS_AT_ONCE:]
        if left:
            self._runtime.timekeeper.after(0, lambda: self._ask_all(job, left) if self._job is job else None)

    def _go_on(self) -> None:
        """Take the next step of the job, or end it."""
        job = self._job
        if job is None or job.alarm is not None:
            return
        steps = 0
        while (child := self._next_stop(job)) is not None:
            if not child.is_down:
                if not job.is_parallel:
                    self._ask_to_end(child, kills=job.kills)
                return
            self._note_stopped(job, child)
            steps += 1
            if steps == STEPS_AT_ONCE:
                job.alarm = self._runtime.timekeeper.after(0, lambda: self._pass_is_over(job))
                return
        if job.wait > 0 and job.starts:
            job.alarm = self._runtime.timekeeper.after(job.wait, lambda: self._wait_is_over(job))
            return
        if job.next_start is not None:
            child = job.next_start
            if child.has_ended:
                job.starts[-1] = child = self.revive(child)
            self._start(child, job.cause or child.cell.last_cause)
            return
        self._job = None
        if job.purpose is _DOWN:
            self.owner.signal(Signal(SignalKind.FAMILY_GONE))
            return
        if job.purpose is Purpose.UP:
            self._start_lasting()
            self.owner.signal(Signal(SignalKind.FAMILY_READY))
            if self._ends_owner:
                self.owner.signal(Signal(SignalKind.STOP))
        self._look_at_waiting()

    def _start_lasting(self) -> None:
        """Start those children again that last over a restart of their supervisor, each for itself."""
        lasting, self._lasting = self._lasting, []
        for child in lasting:
            if child.cell in self._children and child.is_down and not child.has_ended:
                self._start(child, child.cell.last_cause)

    def _note_stopped(self, job: Job, child: Child) -> None:
        """A child that the job has waited for is down: it ends for good if nothing is to start it again."""
        del job.stops[child]
        if job.purpose is _DOWN:
            is_over = not (child.is_static or child.is_lasting)
            if is_over and child.cell in self._children:  # it may have been struck off
                self._drop(child)
            return
        is_over = child.is_retired or child.restart is _TEMPORARY
        if is_over and job.purpose is _AGAIN and not child.has_ended:
            job.drop(child)  # one that was terminated meanwhile
            self._end(child, by_itself=False)

    def _pass_is_over(self, job: Job) -> None:
        job.alarm = None
        self._go_on()

    def _wait_is_over(self, job: Job) -> None:
        job.alarm = None
        if not (job.needs_store and self._is_store_away):
            job.wait = 0.0
        self._go_on()

    def _look_at_waiting(self) -> None:
        """Failures that came in during a job: those that it has not mended."""
        while self._waiting and self._job is None:
            entry, cause, decision = self._waiting.pop(0)
            if entry.waits_for_start:
                self._restart(entry, cause, decision)

    def _ask_to_end(self, child: Child, *, kills: bool = False) -> None:
        """Ask a child to end, and see to it that it does."""
        grace = child.shutdown
        if kills or grace == BRUTAL_KILL:
            child.cell.kill()
            return
        if child.is_asked:
            return
        child.is_asked = True
        child.cell.signal(Signal(SignalKind.STOP, where=SUPERVISOR))
        if isinstance(grace, float):  # else the deadline of its start holds, if it has not started yet
            self._give_grace(child, grace)

    def _give_grace(self, child: Child, seconds: float) -> None:
        """Let a child end by itself for so long."""
        child.silence()
        child.alarm = self._runtime.timekeeper.after(seconds, lambda: self._end_of_grace(child))

    def _end_of_grace(self, child: Child) -> None:
        if child.cell.waits_for_turn:  # among very many: its grace begins when it can do something about it
            grace = child.shutdown if isinstance(child.shutdown, float) else 0.0
            self._give_grace(child, max(grace, LEAST_GRACE))
            return
        self._runtime.overdue += 1
        if self._runtime.limited_logs.admits(OVERDUE):
            child.cell.log().warning(OVERDUE, shutdown=child.shutdown)
        child.cell.kill()

    def _kill_for_good(self, child: Child) -> None:
        child.is_retired = True
        child.cell.kill()

    def _keep_down(self, child: Child) -> None:
        """If it waits for a start, it waits for one by the job that is to come."""
        if child.is_down:
            child.silence()
            child.cell.forget_start()

    def _not_started(self, job: Job, entry: Child, cause: BaseException | None, decision: Decision) -> None:
        """The child that the job waits for did not come up."""
        is_restart = not entry.cell.is_start_awaited  # else it is its starter's to report
        found = verdict(entry.restart, cause, was_ready=False, is_restart=is_restart, decision=decision)
        if isinstance(cause, StartIgnored) or entry.is_retired:
            found = Verdict.BURY
        elif job.purpose is Purpose.UP and found is not Verdict.QUARANTINE:
            self._set_job(None)
            error = StartFailed(entry.cell.path, "it was stopped" if cause is None else in_a_line(cause))
            error.__cause__ = cause
            self.owner.signal(Signal(SignalKind.FAIL, error))
            return
        if found is Verdict.HOLD:
            self._hold(entry)
        elif found is Verdict.ESCALATE and cause is not None:
            self._escalate(entry, cause)
        elif found is _RESTART and job.purpose is _AGAIN:
            # As in OTP, one more restart of its group: those of one_for_all that are up go down once more.
            self._restart(entry, cause, decision)
        elif found is _RESTART:
            # Through its control lane, so that whatever else is to do gets through between two tries.
            if self._spend(entry, cause, decision):
                delay = self._delay(entry, decision)
                report_restart(entry.cell, cause, delay)
                self._start(entry, cause, delay)
        else:
            if found is Verdict.QUARANTINE:
                self._alert("actor quarantined", entry, cause)
            job.starts.pop()
            self._end(entry, by_itself=False, is_ignored=isinstance(cause, StartIgnored))
            self._go_on()

    def _alert(self, alert: str, entry: Child, cause: BaseException | None) -> None:
        path = entry.cell.path
        words = None if cause is None else in_a_line(cause)
        report_alert(entry.cell, alert, cause)
        given_up = self._runtime.given_up
        given_up[path] = alert if words is None else f"{alert}: {words}"
        if len(given_up) > MOST_GIVEN_UP:
            del given_up[next(iter(given_up))]

    def _end_where_it_is(self, entry: Child, *, by_itself: bool) -> None:
        """End a child for good that is down, whatever job it is part of."""
        job = self._job
        is_next = job is not None and job.drop(entry)
        self._end(entry, by_itself=by_itself)
        if is_next:
            self._go_on()

    def _end(self, entry: Child, *, by_itself: bool, is_ignored: bool = False) -> None:
        """A child that is down is not started again; a listed one stays in the list, unless it never was."""
        if not (entry.is_listed and (entry.has_started or entry.is_kept or is_ignored)):
            self._drop(entry)
        elif not entry.has_ended:
            entry.silence()
            self._ended[entry.cell.name] = entry
            entry.cell.bury()
        if not entry.is_significant:
            return
        self._significant.discard(entry)
        if by_itself and ends_supervisor(self.strategy.auto_shutdown, has_others=bool(self._significant)):
            self._ends_owner = True
            if self._job is None or self._job.purpose is not Purpose.UP:
                self.owner.signal(Signal(SignalKind.STOP))

    def _drop(self, entry: Child) -> None:
        entry.silence()
        self._significant.discard(entry)
        del self._children[entry.cell]
        self._ended.pop(entry.cell.name, None)
        entry.cell.bury()
