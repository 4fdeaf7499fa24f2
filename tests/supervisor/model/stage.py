"""Plays a program on a real system and on the reference at once, and compares them whenever all is quiet."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup
from trio._core import _run as trio_run  # pyright: ignore[reportPrivateUsage] - to seed its scheduler
from trio.testing import MockClock

from sentient_core import (
    IGNORE,
    Actor,
    ActorRef,
    ActorSystem,
    Backoff,
    BudgetExceeded,
    ChildSpec,
    DeadLetter,
    MemoryStore,
    Poison,
    RateLimited,
    RestartBudget,
    SentientError,
    Strategy,
    Supervisor,
    Terminated,
    UnknownActor,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from tests.supervisor.model.program import (
    Administer,
    Child,
    Do,
    Hooks,
    Program,
    Rules,
    Step,
    Team,
    Wait,
    phase,
)
from tests.supervisor.model.reference import Family, Life, Message, Reference
from tests.virtual_time import VirtualLoop

__all__ = ["Difference", "play"]

BEGIN, BEFORE = 0.25, 1.0
"""When the tree is started, and seconds before the first step."""


class Difference(AssertionError):
    """The runtime did not do what the reference did."""


class Plain(Exception):
    pass


class Odd(Exception):
    pass


class Bad(Exception):
    pass


ERRORS: dict[str, Callable[[], Exception]] = {
    "plain": Plain,
    "odd": Odd,
    "bad": Bad,
    "limited": lambda: RateLimited(2.0, attempts=1),
    "poison": Poison,
    "budget": BudgetExceeded,
}
CLASSES: dict[str, type[Exception]] = {"odd": Odd, "bad": Bad}


class Watch(msgspec.Struct, frozen=True):
    path: str


class World:
    """What the actors write down, and what their hooks are told to do."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self.handled: dict[str, list[int]] = {}
        self.terminated: list[str] = []
        self.answers: dict[int, tuple[float, str]] = {}
        self.faults: list[str] = []
        self.starts: dict[str, deque[str]] = {}
        self.stops: dict[str, deque[float | str]] = {}
        self.current: dict[str, Actor] = {}
        self.at_work: Counter[str] = Counter()

    def note(self, line: str) -> None:
        self.log.append((anyio.current_time(), line))


class Member(Actor):
    """What workers and supervisors of the test have in common."""

    durability: ClassVar[DurabilityName] = "volatile"
    world: ClassVar[World]
    stopping: ClassVar[float] = 0.0

    def on_restart(self, cause: BaseException | None) -> None:
        self.world.note(f"{self.context.ref.path} restart")

    def on_start(self) -> Any:
        world, path = self.world, self.context.ref.path
        if world.at_work[path]:
            world.faults.append(f"{path}: two incarnations at a time")
        world.current[path] = self
        world.note(f"{path} start {self.context.incarnation}")
        planned = world.starts.get(path)
        outcome = planned.popleft() if planned else "ok"
        if outcome == "ignore":
            return IGNORE
        if outcome != "ok":
            raise Plain if outcome == "raise" else Odd
        return None

    def on_failure(self, cause: Exception) -> None:
        self._check()
        self.world.note(f"{self.context.ref.path} failure")

    async def on_stop(self) -> None:
        world, path = self.world, self.context.ref.path
        self._check()
        world.note(f"{path} stop")
        planned = world.stops.get(path)
        outcome = planned.popleft() if planned else self.stopping
        if isinstance(outcome, str):
            raise Plain
        if outcome:
            world.at_work[path] += 1
            try:
                await anyio.sleep(outcome)
            finally:
                world.at_work[path] -= 1

    @handles
    async def do(self, message: Message) -> None:
        world, path = self.world, self.context.ref.path
        self._check()
        if message.does.what == "slow":
            world.at_work[path] += 1
            try:
                await anyio.sleep(message.does.seconds)
            finally:
                world.at_work[path] -= 1
        elif message.does.what != "note":
            error = ERRORS[message.does.what]()
            raise error
        world.handled.setdefault(path, []).append(message.number)

    def _check(self) -> None:
        if self.world.current[self.context.ref.path] is not self:
            self.world.faults.append(f"{self.context.ref.path}: an old incarnation is at work")


class Watcher(Actor):
    durability = "volatile"

    def __init__(self, world: World, system: ActorSystem) -> None:
        self.world = world
        self.system = system

    @handles
    def begin(self, message: Watch) -> None:
        self.context.watch(self.system.get(message.path))

    @handles
    def ended(self, message: Terminated) -> None:
        self.world.terminated.append(message.ref.path)


def play(program: Program, backend: str) -> Reference:
    """Play it on both; raises Difference. Returns the reference, to see what has been reached."""
    options: dict[str, Any] = {"loop_factory": VirtualLoop}
    if backend == "trio":
        trio_run._r.seed(program.seed)  # pyright: ignore[reportPrivateUsage]
        options = {"clock": MockClock(autojump_threshold=0)}
    with structlog.testing.capture_logs():
        stage = _Stage(program)
        anyio.run(stage.run, backend=backend, backend_options=options)
    if stage.difference is not None:
        raise stage.difference
    return stage.reference


class _Stage:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.reference = Reference(program.top, BEGIN)
        self.world = World()
        self.watched: set[Life] = set()
        self.messages = 0
        self.difference: Difference | None = None
        self.system: ActorSystem

    async def run(self) -> None:
        with anyio.fail_after(100_000):
            async with (
                ActorSystem("test", store=MemoryStore()) as self.system,
                anyio.create_task_group() as calls,
            ):
                watcher = await self.system.spawn(Watcher, self.world, self.system, name="watcher")
                self.watcher: ActorRef[Watcher] = watcher
                await anyio.sleep(BEGIN)
                before = self._left()
                await self.system.spawn(self._class(self.program.top), name="top", shutdown=None)
                try:
                    await self._play(calls)
                    self._check_nothing_is_left(before)
                except Difference as difference:  # as it is, not in a group
                    self.difference = difference
                    calls.cancel_scope.cancel()

    async def _play(self, calls: TaskGroup) -> None:
        moment = BEFORE
        await self._compare_at(moment, "the start")
        for number, step in enumerate(self.program.steps, 1):
            begin = moment + phase(number)
            await self._compare_at(begin, f"before step {number}")
            if self.reference.top.state == "ended":
                break
            self._do(number, step, calls)
            await self._compare_at(begin + phase(1) / 2, f"step {number}, {step}")
            moment += step.then
        await self._compare_at(moment + 100.0, "the last step")
        self.reference.forget_plans()
        self.world.starts.clear()
        self.world.stops.clear()
        if self.reference.top.state != "ended":
            self.reference.top.ask_to_stop()
            self.system.get("top").stop()
            await self._compare_at(moment + 200.0, "the end")

    def _check_nothing_is_left(self, before: dict[str, object]) -> None:
        after = self._left()
        if after != before:
            raise Difference(f"of a stopped tree is left: {after}, where there was {before}")

    def _left(self) -> dict[str, object]:
        """Tasks, alarms and actors there are now; of workers those that have something to do."""
        runtime = cell_of(self.watcher).runtime
        keeper = runtime.timekeeper
        tasks = [task.name or "" for task in anyio.get_running_tasks()]
        return {
            "tasks": sorted(name for name in tasks if name != "sentient-core worker"),
            "at work": runtime.dispatcher.busy,
            "alarms": [str(when) for when, _, alarm in keeper._heap if alarm.is_set],  # pyright: ignore[reportPrivateUsage]
            "actors": sorted(cell.path for cell in runtime.registry),
        }

    # Steps, resolved by what the reference knows.

    def _do(self, number: int, step: Step, calls: TaskGroup) -> None:
        does = step.does
        if isinstance(does, Administer):
            self._administer(number, does, calls)
            return
        living = self.reference.living()
        life = living[does.whom % len(living)]
        if isinstance(does, Hooks):
            self._plan(life.path, does.starts, does.stops)
        elif does.what in ("stop", "kill", "pause", "resume"):
            self._end(life, does.what)
        else:
            self._tell(life, does)

    def _plan(self, path: str, starts: Iterable[str], stops: Iterable[float | str]) -> None:
        self.reference.plan(path, starts, stops)
        self.world.starts.setdefault(path, deque()).extend(starts)
        self.world.stops.setdefault(path, deque()).extend(stops)

    def _tell(self, life: Life, does: Do) -> None:
        """Only one that would handle it at once is told to fail.

        A failure that waits in a mailbox comes up as its actor is started again, when it is anybody's guess
        whether its siblings' starts come first.
        """
        takes_long = does.what == "slow" and life.family is None
        if not (life.is_idle or takes_long) or (does.what == "slow" and not takes_long):
            does = msgspec.structs.replace(does, what="note")
        self.messages += 1
        message = Message(self.messages, does)
        life.get(message)
        self.system.get(life.path).tell(message)

    def _end(self, life: Life, what: str) -> None:
        ref = self.system.get(life.path)
        if what == "kill" and life.state in ("running", "paused", "stopping"):
            life.kill()
            ref.kill()
        elif not life.is_up:
            return
        elif what == "stop":
            life.ask_to_stop(is_wish=True)
            ref.stop()
        elif what == "pause":
            life.pause()
            ref.pause()
        elif what == "resume":
            life.resume()
            ref.resume()

    def _administer(self, number: int, does: Administer, calls: TaskGroup) -> None:
        families = self.reference.families()
        if not families:
            return
        if does.what == "start":
            pools = [family for family in families if family.is_pool]
            families = pools if pools and does.whom % 3 else families
            family = families[does.whom % len(families)]
            name = does.child.name
        else:
            members = [(family, life) for family in families for life in family.members]
            ended = [(family, life) for family, life in members if life.state == "ended"]
            if does.what != "terminate" and ended and does.whom % 4:
                members = ended
            if not members:
                return
            family, life = members[does.whom % len(members)]
            name = life.child.name if does.whom % 16 else "nobody"
        if family.is_busy and does.what in ("start", "restart"):
            return
        assert family.owner is not None
        path = f"{family.path}/{name}"
        if does.what in ("start", "restart") and does.start != "ok":
            self._plan(path, [does.start], [])
        ref: ActorRef[Any] = self.system.get(family.path)

        def answer(word: str) -> None:
            self.reference.answers[number] = (self.reference.agenda.now, word)

        async def call(made: Callable[[], Awaitable[object]]) -> None:
            try:
                await made()
                word = "ok"
            except SentientError as error:
                word = type(error).__name__
            except (Plain, Odd):
                word = "start failed"
            self.world.answers[number] = (anyio.current_time(), word)

        async def deleting() -> None:
            ref.delete_child(name)

        if does.what == "start":
            family.start_child(does.child, answer)
            child = name if family.is_pool else self._spec(does.child)
            calls.start_soon(call, lambda: ref.start_child(child))
        elif does.what == "terminate":
            family.terminate_child(name, answer)
            calls.start_soon(call, lambda: ref.terminate_child(name))
        elif does.what == "restart":
            family.restart_child(name, answer)
            calls.start_soon(call, lambda: ref.restart_child(name))
        else:
            family.delete_child(name, answer)
            calls.start_soon(call, deleting)

    # The tree, as the runtime takes it.

    def _spec(self, child: Child) -> ChildSpec:
        return ChildSpec(
            self._class(child.team, child.stopping),
            name=child.name or None,
            restart=child.restart,
            shutdown=child.grace,
            significant=child.significant,
            decide=_rules(child.rules),
            backoff=_backoff(child.wait),
        )

    def _class(self, team: Team | None, stopping: float = 0.0) -> type[Member]:
        own = {"world": self.world, "stopping": stopping}
        if team is None:
            return type("Worker", (Member,), own)
        return type(
            "Team",
            (Member, Supervisor),
            {
                **own,
                "strategy": _strategy(team),
                "children": tuple(self._spec(child) for child in team.children),
            },
        )

    # Comparing.

    async def _compare_at(self, moment: float, when: str) -> None:
        await anyio.sleep(moment - anyio.current_time())
        self.reference.agenda.play_until(moment)
        for what, expected, found in self._both():
            if expected != found:
                logs = _lately(self.reference.log, self.world.log)
                ours, theirs = logs if what == "log" else (expected, found)
                raise Difference(
                    f"after {when}, at {moment}: {what}\n  reference: {ours!r}\n  runtime:   {theirs!r}"
                )
        for life in self.reference.living():
            if life not in self.watched:
                self.watched.add(life)
                life.is_watched = True
                self.watcher.tell(Watch(life.path))

    def _find(self, path: str) -> ActorRef[Any] | None:
        try:
            return self.system.get(path)
        except UnknownActor:
            return None

    def _both(self) -> Iterable[tuple[str, object, object]]:
        reference, world, system = self.reference, self.world, self.system
        yield "faults", [], world.faults
        yield (
            "log",
            _sorted_within_pools(reference, reference.log),
            _sorted_within_pools(reference, world.log),
        )
        yield "handled", reference.handled, world.handled
        dead = Counter(_number_and_reason(letter) for letter in system.dead_letters)
        yield "dead letters", Counter(reference.dead.items()), dead
        yield "terminated", Counter(reference.terminated), Counter(world.terminated)
        yield "answers", reference.answers, world.answers
        for path, life in sorted(reference.lives.items()):
            ref = self._find(path)
            is_alive = ref is not None and ref.is_alive
            yield f"{path} lives", life.state != "ended", is_alive
            if ref is not None and is_alive:
                yield f"{path} incarnation", life.incarnation, ref.incarnation
                yield f"{path} depth", len(life.queue), ref.statistics().depth
        for family in reference.families():
            yield f"children of {family.path}", _expected_children(family), _found_children(system, family)


def _number_and_reason(letter: DeadLetter) -> tuple[int, str]:
    assert isinstance(letter.message, Message)
    return letter.message.number, letter.reason.value


def _expected_children(family: Family) -> object:
    lines = [
        (m.child.name, family.status(m), m.child.restart, m.child.significant, m.is_static, m.restarts)
        for m in family.members
    ]
    active = sum(m.state not in ("restarting", "ended") for m in family.members)
    teams = sum(m.family is not None for m in family.members)
    return lines, (len(lines), active, teams, len(lines) - teams)


def _found_children(system: ActorSystem, family: Family) -> object:
    ref: ActorRef[Any] = system.get(family.path)
    lines = [
        (info.name, info.status.value, info.restart, info.is_significant, info.is_static, info.restarts)
        for info in ref.which_children()
    ]
    counts = ref.count_children()
    return lines, (counts.specs, counts.active, counts.supervisors, counts.workers)


def _sorted_within_pools(reference: Reference, log: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """A pool stops its children at once, in no promised order."""
    pools = {
        life.path for life in reference.lives.values() if life.family is not None and life.family.is_pool
    }
    lines: list[tuple[float, str]] = []
    run: list[tuple[float, str]] = []
    run_of: tuple[float, str] | None = None
    for moment, line in log:
        above = line.split(" ")[0].rpartition("/")[0]
        key = (moment, above) if above in pools and line.endswith(" stop") else None
        if key is None or key != run_of:
            lines += sorted(run)
            run = []
        run_of = key
        if key is None:
            lines.append((moment, line))
        else:
            run.append((moment, line))
    return lines + sorted(run)


def _lately(
    expected: list[tuple[float, str]], found: list[tuple[float, str]]
) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """Two logs from a little before they part."""
    same = 0
    while same < min(len(expected), len(found)) and expected[same] == found[same]:
        same += 1
    since = max(0, same - 8)
    return expected[since:], found[since:]


def _strategy(team: Team) -> Strategy:
    common: dict[str, Any] = {
        "max_restarts": team.max_restarts,
        "within": team.within,
        "backoff": _backoff(team.wait),
        "decide": _rules(team.rules),
        "budget": RestartBudget(*team.budget) if team.budget else None,
        "auto_shutdown": team.auto_shutdown,
    }
    if team.kind == "dynamic":
        return Supervisor.dynamic(**common, max_children=team.max_children)
    strategies: dict[str, Callable[..., Strategy]] = {
        "one_for_one": Supervisor.one_for_one,
        "one_for_all": Supervisor.one_for_all,
        "rest_for_one": Supervisor.rest_for_one,
    }
    return strategies[team.kind](**common)


def _backoff(wait: Wait | None) -> Backoff | None:
    if wait is None:
        return None
    return Backoff(first=wait.first, most=wait.most, factor=2.0, jitter=0.0, reset_after=wait.reset_after)


def _rules(rules: Rules) -> Any:
    return [(CLASSES[error], directive) for error, directive in rules]
