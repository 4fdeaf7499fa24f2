"""A small supervisor to compare the runtime with, written from OTP's manual and the promises of this project.

It is plain Python with a clock of its own: no event loop, no actors, and none of the runtime's code. A job
of a supervisor (take these down, wait, bring those up) is written as OTP does it, as one procedure that
blocks; failures of other children meanwhile wait in line, an end of the supervisor cuts it off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Literal, TypeAlias

import msgspec

from tests.supervisor.model.clock import Agenda, Happening, Procedure, Steps
from tests.supervisor.model.program import Child, Do, Rules, Team, Wait

__all__ = ["Failure", "Family", "Life", "Message", "Reference", "State"]

State: TypeAlias = Literal["new", "starting", "running", "paused", "stopping", "restarting", "ended"]


class Failure(msgspec.Struct, frozen=True):
    """Why something went down. What was escalated is judged as what it was at first."""

    kind: str


DOWN = ("new", "restarting", "ended")
IGNORED = Failure("ignored")
KILLED = Failure("killed")
KILL_GRACE = 5.0
"""Seconds for the last hooks of one that has failed and has no grace."""
NOT_STARTED = {"ignored": "StartIgnored", "start": "StartFailed", "killed": "ActorKilled"}
"""What the administration answers."""


Trouble: TypeAlias = Generator[Happening, None, Failure | None]
"""Steps that end with what went wrong."""


class Message(msgspec.Struct, frozen=True):
    number: int
    does: Do


class Judgement(msgspec.Struct, frozen=True):
    """What a failure means."""

    directive: str
    not_before: float = 0.0


def judge(kind: str, *rule_sets: Rules) -> Judgement:
    """The first rule that names it, of the child, then of the strategy; else what the failure says itself."""
    named = next((directive for rules in rule_sets for error, directive in rules if error == kind), None)
    itself = {"poison": "quarantine", "budget": "pause"}.get(kind, "restart")
    directive = named or itself
    return Judgement(directive, 2.0 if kind == "limited" and directive == "restart" else 0.0)


class Window:
    """OTP's intensity: so many restarts within the last seconds, the first moment included."""

    def __init__(self, most: int, within: float) -> None:
        self.most = most
        self.within = within
        self.restarts: list[float] = []

    def allows(self, now: float) -> bool:
        recent = [then for then in [*self.restarts, now] if then >= now - self.within]
        if len(recent) > self.most:
            return False
        self.restarts = recent
        return True


class Life:
    """One child: its incarnations, its mailbox, and its own children if it is a supervisor."""

    def __init__(
        self, reference: Reference, child: Child, above: Family, *, is_static: bool, after: Life | None = None
    ) -> None:
        self.reference = reference
        self.agenda: Agenda = reference.agenda
        self.child = child
        self.above = above
        self.is_static = is_static
        self.path: str = f"{above.path}/{child.name}" if above.path else child.name
        self.state: State = "new"
        self.incarnation: int = 0 if after is None else after.incarnation
        """Counted on from one that had ended in this place of the list."""
        self.restarts: int = 0 if after is None else after.restarts
        self.has_lived: bool = False
        self.queue: deque[Message] = deque()
        self.in_hand: Message | None = None
        """What it takes its time over."""
        self.is_watched: bool = False
        self.cause: Failure | None = None
        self.failures: int = 0
        """In a row, for its backoff."""
        self.ready_at: float | None = None
        self.is_asked: bool = False
        """Its supervisor has asked it down, and its grace runs."""
        self.is_unwanted: bool = False
        self.is_retired: bool = False
        """`terminate_child` wants it down: nothing starts it again."""
        self.window: Window = Window(3, 5.0)
        """Of a child of the root."""
        self.gone: Happening = Happening(self.agenda)
        """It is down: after each start a new one."""
        self.settled: Happening = Happening(self.agenda)
        """It is clear how its start went: `trouble` says."""
        self.trouble: Failure | None = None
        self.take_back: Callable[[], None] | None = None
        """The start it waits for."""
        self.grace: Callable[[], None] | None = None
        self.family: Family | None = None if child.team is None else Family(reference, self, child.team)
        self._procedure: Procedure | None = None
        self._news: Happening = Happening(self.agenda)
        self._is_to_stop: bool = False
        self._wish_is_second: bool = False
        self._is_paused: bool = False
        self._failing: Failure | None = None
        """What it is going down of."""
        reference.lives[self.path] = self

    @property
    def has_ended(self) -> bool:
        return self.state == "ended"

    @property
    def is_up(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def is_idle(self) -> bool:
        """A message that it gets now is handled now."""
        return (
            self.state == "running" and self.in_hand is None and not self._is_to_stop and not self._is_paused
        )

    # What is done to it.

    def get(self, message: Message) -> None:
        if self.state == "ended":
            self.reference.dead[message.number] = "stopped"
            return
        self.queue.append(message)
        self._news.happen()

    def ask_to_stop(self, *, is_wish: bool = False) -> None:
        """`is_wish`: somebody outside wants it; a kill on the way does not change that."""
        self.is_unwanted = self.is_unwanted or is_wish
        self._wish_is_second = is_wish and self.is_asked
        self._is_to_stop = True
        self._news.happen()

    def pause(self) -> None:
        if self.state == "running":
            self._is_paused = True
            if self.in_hand is None:
                self.state = "paused"

    def resume(self) -> None:
        if self.is_up:
            self._is_paused = False
            self.state = "running"
            self._news.happen()

    def fail(self, cause: Failure) -> None:
        """Its children are the reason: what it has in hand is not waited for."""
        if self.state == "stopping":
            return
        self._run(self._end(cause))

    def limit(self, seconds: float) -> None:
        """Kill it unless it is down by then."""
        self._forget_grace()
        self.grace = self.agenda.after(seconds, self.overdue)

    def overdue(self) -> None:
        self.reference.reached.add("a grace runs out")
        self.kill()

    def kill(self) -> None:
        if self.state in DOWN:
            return
        self._cut_off()
        if self.family is not None:
            self.family.kill()
        self._down(self._failing or KILLED)

    def forget(self) -> None:
        """It ends for good: nothing of it is kept, nor of those below it."""
        self.silence()
        if self.family is not None:
            self.family.forget()
        if self.state == "ended":
            return
        self.state = "ended"
        for message in self.queue:
            self.reference.dead[message.number] = "stopped"
        self.queue.clear()
        if self.is_watched:
            self.reference.terminated.append(self.path)

    def silence(self) -> None:
        if self.take_back is not None:
            self.take_back()
            self.take_back = None

    # An incarnation.

    def start(self) -> Trouble:
        """Come up, children included; returns what went wrong, if anything did."""
        self.incarnation += 1
        self.state = "starting"
        self.gone, self.settled = Happening(self.agenda), Happening(self.agenda)
        self.cause = None
        self.ready_at = None
        self._is_to_stop = self._is_paused = self.is_asked = False
        self._failing = None
        if self.has_lived:
            self.restarts += 1
            self.reference.note(f"{self.path} restart")
        self.reference.note(f"{self.path} start {self.incarnation}")
        self.has_lived = True
        # On its own, so that it can be killed meanwhile.
        self._run(self._come_up())
        yield self.settled
        return self.trouble

    def _come_up(self) -> Steps:
        outcome = self.reference.next_start(self.path)
        if outcome != "ok":
            self._has_not_started(IGNORED if outcome == "ignore" else Failure("plain"))
            return
        if self.family is not None:
            trouble = yield from self.family.open()
            if trouble is not None:
                self._failing = None if self.is_asked else Failure("start")
                yield from self._wind_up(self._failing)
                self._has_not_started(Failure("start"))
                return
        self.trouble = None
        self.settled.happen()
        self.state = "running"
        self.ready_at = self.agenda.now
        # What waits in its mailbox it handles before its siblings start. Nobody promises that; the runtime
        # has it so, on either loop, and it keeps the order of things decided.
        yield from self._live()

    def _has_not_started(self, trouble: Failure) -> None:
        self.state = "restarting"
        self.trouble = trouble
        self._forget_grace()
        self.above.is_not_up(self)
        self.settled.happen()
        self.gone.happen()

    def _live(self) -> Steps:
        while not self._is_to_stop:
            if self._is_paused or not self.queue:
                self.state = "paused" if self._is_paused else "running"
                self._news = Happening(self.agenda)
                yield self._news
                continue
            message = self.queue.popleft()
            what = message.does.what
            if what in ("note", "slow"):
                if what == "slow":
                    self.in_hand = message
                    yield self.agenda.sleep(message.does.seconds)
                    self.in_hand = None
                self.reference.handled.setdefault(self.path, []).append(message.number)
                continue
            directive = self.above.judge(self, what).directive
            if directive == "pause":
                self.reference.reached.add("an actor pauses with its message")
                self.queue.appendleft(message)
                self._is_paused = True
                continue
            self.reference.dead[message.number] = (
                "quarantined" if self._is_poisonous(what, directive) else "failed"
            )
            if directive not in ("resume", "quarantine"):
                yield from self._end(Failure(what))
                return
        self.is_unwanted = self.is_unwanted and self._wish_is_second
        yield from self._end(None)

    @staticmethod
    def _is_poisonous(what: str, directive: str) -> bool:
        return directive == "quarantine" or what == "poison"

    def _end(self, cause: Failure | None) -> Steps:
        self.state = "stopping"
        self._failing = cause
        if self.family is not None:
            yield from self.family.close()
        cause = yield from self._wind_up(cause)
        self._down(cause)

    def _wind_up(self, cause: Failure | None) -> Trouble:
        """The last hooks; a failing one makes the end a failure."""
        if cause is not None:
            self._limit_last_hooks()
            self.reference.note(f"{self.path} failure")
        self.reference.note(f"{self.path} stop")
        outcome = self.reference.next_stop(self)
        if isinstance(outcome, str):
            return cause or Failure("plain")
        if outcome:
            yield self.agenda.sleep(outcome)
        return cause

    def _limit_last_hooks(self) -> None:
        """They have the time of a grace, if none runs already."""
        seconds = KILL_GRACE if self.child.grace == "brutal_kill" else self.child.grace
        if seconds is not None and not self.is_asked:
            self.limit(seconds)

    def _down(self, cause: Failure | None) -> None:
        self.state = "restarting"
        self.cause = cause
        self._forget_grace()
        self.gone.happen()
        if self.settled.is_over:
            self.above.is_down(self)
        else:
            self._has_not_started(cause or KILLED)

    def _forget_grace(self) -> None:
        if self.grace is not None:
            self.grace()
            self.grace = None

    def _run(self, steps: Steps) -> None:
        self._cut_off()
        self._procedure = Procedure(steps)
        self._procedure.begin()

    def _cut_off(self) -> None:
        if self.in_hand is not None:
            self.reference.dead[self.in_hand.number] = "stopped"
            self.in_hand = None
        if self._procedure is not None:
            self._procedure.cancel()


Culprit: TypeAlias = Generator[Happening, None, tuple[Life, Failure] | None]
"""Steps that end with who did not come up, and why."""


class Family:
    """The children of one supervisor, and what it does about them."""

    def __init__(self, reference: Reference, owner: Life | None, team: Team) -> None:
        self.reference = reference
        self.agenda: Agenda = reference.agenda
        self.owner = owner
        self.team = team
        self.path: str = owner.path if owner else ""
        self.members: list[Life] = []
        """In the order of their start, those that have ended and are kept included."""
        self.is_open: bool = False
        self._is_opening: bool = False
        self._window: Window = Window(team.max_restarts, team.within)
        self._budget: Window | None = None
        self._line: deque[Callable[[], Steps]] = deque()
        self._job: Procedure | None = None
        self._others: list[Procedure] = []
        self._awaited: set[Life] = set()
        self._coming: set[Life] = set()
        """Those that had ended and come up with the group that is being restarted."""
        self._leaving: set[Life] = set()
        """Those that the group restart is still to take down: one that fails meanwhile is down, no more."""

    @property
    def is_pool(self) -> bool:
        return self.team.kind == "dynamic"

    @property
    def is_busy(self) -> bool:
        """In the middle of a job."""
        return self._job is not None

    def judge(self, life: Life, kind: str) -> Judgement:
        return judge(kind, life.child.rules, self.team.rules)

    def find(self, name: str) -> Life | None:
        return next((life for life in self.members if life.child.name == name), None)

    def keeps(self, life: Life) -> bool:
        """Its spec stays in the list after its end."""
        return self.owner is not None and not self.is_pool and life.child.restart != "temporary"

    def status(self, life: Life) -> State:
        return "restarting" if life in self._coming and life.state == "ended" else life.state

    # The supervisor comes and goes.

    def open(self) -> Trouble:
        """Start the declared children, in order; if one does not start, stop those before it."""
        self._window = Window(self.team.max_restarts, self.team.within)
        self._budget = Window(*self.team.budget) if self.team.budget else None
        before = {life.child.name: life for life in self.members}
        self.members = []
        if not self.is_pool:
            for child in self.team.children:
                life = before.get(child.name)
                life = life if life is not None and life.is_static else None
                if life is None or life.state == "ended":
                    life = Life(self.reference, child, self, is_static=True, after=life)
                life.is_retired = False
                self.members.append(life)
        self.is_open = self._is_opening = True
        for life in list(self.members):
            if self._is_done_with(life):
                continue
            trouble = yield from life.start()
            if trouble is IGNORED:
                self._bury(life)
            elif trouble is not None:
                self.reference.reached.add("a supervisor does not start, for a child")
                if self.owner is not None:
                    self.owner.state = "stopping"
                yield from self.close()
                return trouble
        self._is_opening = False
        self.agenda.soon(self._next)
        return None

    def close(self) -> Steps:
        """Stop all, the last first (a pool: all at once); what is under way is given up."""
        self._give_up_jobs()
        self.is_open = False
        if any(life.state != "ended" for life in self.members) and self.is_pool:
            self.reference.reached.add("a pool is stopped at once")
        leaving = [life for life in reversed(self.members) if life.state != "ended"]
        if self.is_pool:
            for life in leaving:
                self._ask_down(life)
            for life in leaving:
                if life.state not in DOWN:
                    yield life.gone
                self._leave_behind(life)
        else:
            for life in leaving:
                yield from self._take_down(life)
                self._leave_behind(life)

    def kill(self) -> None:
        self._give_up_jobs()
        self.is_open = False
        for life in reversed(self.members):
            life.silence()
            if life.state not in DOWN:
                self._awaited.add(life)
                life.kill()
        for life in list(self.members):
            self._leave_behind(life)

    def forget(self) -> None:
        for life in list(self.members):
            life.forget()

    def _leave_behind(self, life: Life) -> None:
        """Only those that were declared come up again with the supervisor."""
        if not life.is_static and life in self.members:
            life.forget()
            self.members.remove(life)
        elif life.is_retired and life.state != "ended":
            self._bury(life)

    def _give_up_jobs(self) -> None:
        self._line.clear()
        for procedure in self._others:
            procedure.cancel()
        self._others.clear()
        self._coming.clear()
        self._leaving.clear()
        self._is_opening = False
        if self._job is not None:
            if not self._job.is_running:
                self.reference.reached.add("an end cuts a group restart off")
            self._job.cancel()
            self._job = None
        for life in self.members:
            life.silence()

    # A child is down.

    def is_not_up(self, life: Life) -> None:
        self._awaited.discard(life)

    def is_down(self, life: Life) -> None:
        wait = self._wait_of(life)
        if (
            wait is not None
            and life.ready_at is not None
            and self.agenda.now - life.ready_at >= wait.reset_after
        ):
            life.failures = 0
        if life in self._awaited:
            self._awaited.discard(life)
        elif life in self._leaving:
            self.reference.reached.add("a child fails that its group was to take down")
        elif self.is_open:
            if self.is_busy and self.team.kind != "one_for_one":
                self.reference.reached.add("a failure waits for a group restart")
            cause = life.cause
            self._enqueue(
                lambda: self._settle(life, cause), is_restart=self._verdict(life, cause) == "restart"
            )

    def _enqueue(self, job: Callable[[], Steps], *, is_restart: bool = True) -> None:
        """One group is restarted at a time; what needs none, or a restart of its own, does not wait."""
        if is_restart and self.team.kind in ("one_for_all", "rest_for_one"):
            self._line.append(job)
            self.agenda.soon(self._next)
            return
        procedure = Procedure(job())
        self._others.append(procedure)
        self.agenda.soon(procedure.begin)

    def _next(self) -> None:
        if self._job is None and self._line and self.is_open and not self._is_opening:
            self._job = Procedure(self._line.popleft()(), self._done)
            self._job.begin()

    def _done(self) -> None:
        self._job = None
        self._next()

    def _verdict(self, life: Life, cause: Failure | None) -> str:
        judgement = "restart" if cause is None else self.judge(life, cause.kind).directive
        if judgement == "escalate":
            return "escalate"
        restart = life.child.restart
        if judgement == "stop" or restart == "temporary" or (restart == "transient" and cause is None):
            return "bury"
        return "restart"

    def _settle(self, life: Life, cause: Failure | None) -> Steps:
        """Decide about a child that is down, and do it."""
        if life.state != "restarting" or life.take_back is not None:
            self.reference.reached.add("a failure is mended by another's group restart")
            return  # a group restart, or somebody's call, has taken it along
        while True:
            judgement = self.judge(life, cause.kind) if cause else Judgement("restart")
            verdict = self._verdict(life, cause)
            if verdict == "escalate":
                self.reference.reached.add("a failure is escalated")
                self._fail(Failure(cause.kind if cause else ""), life)
                return
            if verdict == "bury":
                self._bury(life)
                self._consider_significance(life)
                return
            if not self._may_restart(life):
                return
            delay = max(judgement.not_before, self._delay(life))
            if self.team.kind in ("one_for_one", "dynamic"):
                if delay:
                    self._start_after(delay, life)
                    return
                culprit = yield from self._up([life])
            else:
                culprit = yield from self._restart_group(life, delay)
            if culprit is None:
                return
            self.reference.reached.add("a restart fails")
            life, cause = culprit

    def _start_after(self, delay: float, life: Life) -> None:
        self.reference.reached.add("a child waits for its restart")
        life.take_back = self.agenda.after(delay, lambda: self._enqueue(lambda: self._start(life)))

    def _start(self, life: Life) -> Steps:
        life.take_back = None
        culprit = yield from self._up([life])
        if culprit is not None:
            yield from self._settle(*culprit)

    def _restart_group(self, life: Life, delay: float) -> Culprit:
        place = self.members.index(life) if self.team.kind == "rest_for_one" else 0
        group = self.members[place:]
        self.reference.reached.add("a group is restarted")
        self._leaving = set(group)
        self._coming = {other for other in group if other.state == "ended"}
        for other in reversed(group):
            if other is not life and other.state != "ended":
                yield from self._take_down(other)
                self._leaving.discard(other)
                if (other.child.restart == "temporary" or other.is_retired) and not other.has_ended:
                    self._bury(other)
        self._leaving.clear()
        if delay:
            self.reference.reached.add("a group waits for its restart")
            yield self.agenda.sleep(delay)
        culprit = yield from self._up([other for other in group if other in self.members])
        self._coming.clear()
        return culprit

    def _up(self, lives: Iterable[Life]) -> Culprit:
        """Start them in order, up to one that does not come up, which is returned."""
        for planned in lives:
            life = planned
            if life not in self._coming and (life.is_retired or life.state == "ended"):
                continue
            if life.state == "ended":
                self.reference.reached.add("a group takes one along that had ended")
                life = self._anew(life)
            if self._is_done_with(life):
                continue
            trouble = yield from life.start()
            if trouble is IGNORED or (trouble is not None and life.is_retired):
                self._bury(life)
            elif trouble is not None:
                return life, trouble
        return None

    def _is_done_with(self, life: Life) -> bool:
        """It was asked to stop before it went down: one that is not permanent does not come up again."""
        is_unwanted, life.is_unwanted = life.is_unwanted, False
        if not is_unwanted or life.child.restart == "permanent":
            return False
        self._bury(life)
        self._consider_significance(life)
        return True

    def _anew(self, life: Life) -> Life:
        """One that has ended is started again, in its old place."""
        again = Life(self.reference, life.child, self, is_static=life.is_static, after=life)
        self.members[self.members.index(life)] = again
        return again

    def _may_restart(self, life: Life) -> bool:
        """Spend one restart, of the window and of the budgets above; or give up."""
        now = self.agenda.now
        if self.owner is None:
            if life.window.allows(now):
                return True
            self.reference.reached.add("the root gives up")
            self._bury(life)
            return False
        if not self._window.allows(now):
            self.reference.reached.add("a supervisor gives up")
            self._fail(Failure("limit"), life)
            return False
        family = self
        while family.owner is not None:
            if family._budget is not None and not family._budget.allows(now):
                self.reference.reached.add("a budget is spent")
                family._fail(Failure("limit"), life)
                return False
            family = family.owner.above
        return True

    def _wait_of(self, life: Life) -> Wait | None:
        return life.child.wait or self.team.wait

    def _delay(self, life: Life) -> float:
        wait = self._wait_of(life)
        if wait is None:
            return 0.0
        life.failures += 1
        return min(wait.most, wait.first * 2.0 ** (life.failures - 1))

    def _fail(self, cause: Failure, life: Life) -> None:
        """The supervisor fails with a child."""
        if self.owner is None:
            self._bury(life)
        else:
            self.owner.fail(cause)

    def _bury(self, life: Life) -> None:
        life.forget()
        if not self.keeps(life):
            self.members.remove(life)

    def _consider_significance(self, life: Life) -> None:
        if not life.child.significant or self.owner is None:
            return
        others = [m for m in self.members if m is not life and m.child.significant and not m.has_ended]
        if self.team.auto_shutdown == "any" or (self.team.auto_shutdown == "all" and not others):
            self.reference.reached.add("a significant child ends its supervisor")
            self.owner.ask_to_stop()

    def _ask_down(self, life: Life) -> None:
        life.silence()
        if life.state in DOWN:
            return
        self._awaited.add(life)
        if life.child.grace == "brutal_kill":
            life.kill()
            return
        life.ask_to_stop()
        if isinstance(life.child.grace, float) and not life.is_asked:
            life.limit(life.child.grace)
        life.is_asked = True

    def _take_down(self, life: Life) -> Steps:
        self._ask_down(life)
        if life.state not in DOWN:
            yield life.gone

    # Administration.

    def start_child(self, child: Child, answer: Callable[[str], None]) -> None:
        there = self.find(child.name)
        if there is not None:
            answer("ChildPresent" if there.state == "ended" else "NameTaken")
            return
        if self.team.max_children is not None and len(self.members) >= self.team.max_children:
            answer("PoolFull")
            return
        if self.is_pool:
            child = msgspec.structs.replace(self.team.children[0], name=child.name)
        life = Life(self.reference, child, self, is_static=False)
        self.members.append(life)
        Procedure(self._first_start(life, answer)).begin()

    def _first_start(self, life: Life, answer: Callable[[str], None]) -> Steps:
        trouble = yield from life.start()
        if trouble is None:
            answer("ok")
            return
        answer(NOT_STARTED.get(trouble.kind, "start failed"))
        self._bury(life)
        if trouble is not IGNORED and life in self.members:
            self.members.remove(life)

    def terminate_child(self, name: str, answer: Callable[[str], None]) -> None:
        life = self.find(name)
        if life is None:
            answer("UnknownChild")
        elif life.state == "ended":
            self._coming.discard(life)
            answer("ok")
        else:
            life.is_retired = True
            self.reference.reached.add(
                "a child is terminated in a group restart" if self.is_busy else "a child is terminated"
            )
            Procedure(self._terminate(life, answer)).begin()

    def _terminate(self, life: Life, answer: Callable[[str], None]) -> Steps:
        yield from self._take_down(life)
        if not life.has_ended:
            self._bury(life)
        answer("ok")

    def restart_child(self, name: str, answer: Callable[[str], None]) -> None:
        life = self.find(name)
        refusal = self._refusal(life)
        if refusal or life is None:
            answer(refusal)
            return
        again = self._anew(life)

        def starting() -> Steps:
            trouble = yield from again.start()
            if trouble is not None:
                answer(NOT_STARTED.get(trouble.kind, "start failed"))
                self._bury(again)
            else:
                answer("ok")

        Procedure(starting()).begin()

    def delete_child(self, name: str, answer: Callable[[str], None]) -> None:
        life = self.find(name)
        refusal = self._refusal(life)
        if not refusal and life is not None:
            self.members.remove(life)
        answer(refusal or "ok")

    def _refusal(self, life: Life | None) -> str:
        if life is None:
            return "UnknownChild"
        status = self.status(life)
        return {"ended": "", "restarting": "ChildRestarting"}.get(status, "ChildRunning")


ROOT = Team(kind="one_for_one", max_restarts=3, within=5.0, children=())


class Reference:
    """A whole system: the root, one supervisor below it, and what can be seen of them."""

    def __init__(self, top: Team, begin: float = 0.0) -> None:
        self.agenda = Agenda()
        self.agenda.now = begin
        self.log: list[tuple[float, str]] = []
        """Every hook that ran, when."""
        self.handled: dict[str, list[int]] = {}
        self.dead: dict[int, str] = {}
        self.terminated: list[str] = []
        self.answers: dict[int, tuple[float, str]] = {}
        """What each administrative call came to, and when."""
        self.lives: dict[str, Life] = {}
        self.reached: set[str] = set()
        """What has come up at all, for the statistics."""
        self._starts: dict[str, deque[str]] = {}
        self._stops: dict[str, deque[float | str]] = {}
        self.root = Family(self, None, ROOT)
        self.root.is_open = True
        self.top = Life(self, Child("top", "transient", None, team=top), self.root, is_static=False)
        self.root.members.append(self.top)
        Procedure(self._start_top()).begin()
        self.agenda.play_until(begin)

    def _start_top(self) -> Steps:
        yield from self.top.start()

    def note(self, line: str) -> None:
        self.log.append((self.agenda.now, line))

    def plan(self, path: str, starts: Iterable[str] = (), stops: Iterable[float | str] = ()) -> None:
        """What the next hooks do."""
        self._starts.setdefault(path, deque()).extend(starts)
        self._stops.setdefault(path, deque()).extend(stops)

    def forget_plans(self) -> None:
        self._starts.clear()
        self._stops.clear()

    def next_start(self, path: str) -> str:
        planned = self._starts.get(path)
        return planned.popleft() if planned else "ok"

    def next_stop(self, life: Life) -> float | str:
        planned = self._stops.get(life.path)
        return planned.popleft() if planned else life.child.stopping

    def living(self) -> list[Life]:
        """All actors of the tree that are there, in the order of their paths."""
        return [life for _, life in sorted(self.lives.items()) if life.state != "ended"]

    def families(self) -> list[Family]:
        """Those of supervisors that are up."""
        return [life.family for life in self.living() if life.family is not None and life.is_up]
