"""What is decided of a failure is done: to the actor, wherever its failure came from."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    BudgetExceeded,
    ChildSpec,
    Escalated,
    HandlerFailed,
    MemoryStore,
    Poison,
    RateLimited,
    Request,
    StartFailed,
    StoreUnavailable,
    Strategy,
    Supervisor,
    Transient,
    handles,
)
from tests.probes import Log, letters, running


class Raise(Request[None], frozen=True):
    """Raise a failure, so often. An exception has no stored form: the message holds its number."""

    number: int
    times: int = 1


class Beside(msgspec.Struct, frozen=True):
    """Fail beside the handler, by a function that is piped."""

    number: int


FAILURES: dict[int, Exception] = {}


def number_of(error: Exception) -> int:
    FAILURES[len(FAILURES)] = error
    return len(FAILURES) - 1


class Where(Request[int], frozen=True):
    """Which incarnation, and how much it has been told."""


class Mirrored(Actor):
    """Raises what it is told to, so often."""

    raised: ClassVar[dict[int, int]] = {}

    class State(msgspec.Struct):
        count: int = 0

    state: State

    def __init__(self, log: Log | None = None) -> None:
        self.log = log or Log()

    def on_start(self) -> None:
        self.log(f"{self.context.ref.name} start")

    @handles
    def fail(self, message: Raise) -> None:
        self.state.count += 1
        done = self.raised[message.number] = self.raised.get(message.number, 0) + 1
        if done <= message.times:
            raise FAILURES[message.number]

    @handles
    def beside(self, message: Beside) -> None:
        async def fails() -> None:
            raise FAILURES[message.number]

        self.context.pipe_to_self(fails)

    @handles
    def where(self, message: Where) -> int:
        return self.context.incarnation * 100 + self.state.count


class Volatile(Mirrored):
    durability = "volatile"


def failing(error: Exception, *, times: int = 1) -> Raise:
    return Raise(number_of(error), times)


KINDS = [Mirrored, Volatile]
Name = Literal["resume", "quarantine", "pause", "restart", "stop", "escalate"]


def team(*specs: ChildSpec, strategy: Strategy | None = None) -> type[Supervisor]:
    body = {"children": specs, "strategy": strategy or Supervisor.one_for_one(), "durability": "volatile"}
    return type("Team", (Supervisor,), body)


async def start(
    system: ActorSystem, cls: type[Actor], rules: Any, **options: Any
) -> tuple[ActorRef[Any], ActorRef[Any]]:
    """A team of one whose strategy has these rules, and its member."""
    child = ChildSpec(cls, name="a", **options)
    top = await system.spawn(team(child, strategy=Supervisor.one_for_one(decide=rules)), name="team")
    return top, system.get("team/a")


async def outcome(top: ActorRef[Any], ref: ActorRef[Any]) -> Name:
    """What has become of an actor after a failure, seen from outside."""
    await anyio.wait_all_tasks_blocked()
    if top.incarnation > 1 or not top.is_alive:
        return "escalate"
    if not ref.is_alive:
        return "stop"
    if top.which_children()[0].status == "paused":
        return "pause"
    return "restart" if ref.incarnation > 1 else "resume"


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
@pytest.mark.parametrize("name", ["resume", "quarantine", "pause", "restart", "stop", "escalate"])
async def test_what_is_decided_of_a_handlers_failure_is_done(
    cls: type[Mirrored], asked: bool, name: Name
) -> None:
    error = ValueError("x")
    async with running() as system:
        top, ref = await start(system, cls, [(ValueError, name)])

        if asked and name != "pause":
            with pytest.raises(HandlerFailed) as caught:
                await ref.ask(failing(error), timeout=1)
            assert caught.value.__cause__ is error
        else:
            ref.tell(failing(error))

        found = await outcome(top, ref)
        assert found == ("resume" if name == "quarantine" else name)
        reason = "quarantined" if name == "quarantine" else "failed"
        assert [why for _, why in letters(system)] == ([] if name == "pause" else [reason])
        if found == "resume":
            assert await ref.ask(Where(), timeout=1) == 101  # its state as it is


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize("name", ["resume", "quarantine", "pause", "restart", "stop", "escalate"])
async def test_what_is_decided_of_a_failure_beside_its_handlers_is_done(
    cls: type[Mirrored], name: Name
) -> None:
    async with running() as system:
        top, ref = await start(system, cls, [(ValueError, name)])

        ref.tell(Beside(number_of(ValueError("x"))))

        assert await outcome(top, ref) == ("resume" if name == "quarantine" else name)
        assert letters(system) == []


@pytest.mark.parametrize("name", ["resume", "quarantine", "pause", "restart", "stop", "escalate"])
async def test_what_does_not_start_again_cannot_go_on_as_it_is(name: Name) -> None:
    class Reluctant(Volatile):
        def on_start(self) -> None:
            if self.context.incarnation in (2, 3):
                raise OSError("not yet")

    async with running() as system:
        top, ref = await start(system, Reluctant, [(OSError, name)])

        ref.tell(failing(ValueError("x")))

        expected = name if name in ("stop", "escalate") else "restart"
        assert await outcome(top, ref) == expected
        if expected == "restart":
            assert await ref.ask(Where(), timeout=1) == 400


@pytest.mark.parametrize("name", ["resume", "pause", "restart", "stop", "escalate"])
async def test_an_on_stop_that_fails_makes_an_end_a_failure_that_is_decided_too(name: Name) -> None:
    class Clumsy(Volatile):
        def on_stop(self) -> None:
            raise OSError("no")

    async with running() as system:
        top, ref = await start(system, Clumsy, [(OSError, name)], restart="transient")

        await ref.stop()

        expected = name if name in ("stop", "escalate") else "restart"
        assert await outcome(top, ref) == expected


async def test_a_childs_rules_come_before_its_supervisors() -> None:
    async with running() as system:
        rules = [(KeyError, "stop"), (ValueError, "resume")]
        _, ref = await start(system, Volatile, rules, decide=[((KeyError, OSError), "resume")])

        for error in (KeyError("x"), OSError("x"), ValueError("x")):
            ref.tell(failing(error))

        assert await ref.ask(Where(), timeout=1) == 103


async def test_a_rule_may_be_a_function_and_one_that_raises_is_passed_over() -> None:
    def breaks(error: Exception) -> bool:
        raise ZeroDivisionError

    def is_later(error: Exception) -> bool:
        return "later" in str(error)

    async with running() as system:
        rules = [(breaks, "escalate"), (is_later, "resume"), (KeyError, "stop")]
        top, ref = await start(system, Volatile, rules)
        error = KeyError("later")
        ref.tell(failing(error))
        assert await outcome(top, ref) == "resume"
        assert len(error.__notes__) == 1  # decided once

        ref.tell(failing(KeyError("now")))

        assert await outcome(top, ref) == "stop"


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "told"])
async def test_a_group_of_exceptions_is_decided_by_its_leaves(asked: bool) -> None:
    group = ExceptionGroup("g", [Poison("p"), ExceptionGroup("inner", [KeyError("k"), Transient("t")])])
    async with running() as system:
        top, ref = await start(system, Volatile, [(KeyError, "resume")])

        if asked:
            with pytest.raises(HandlerFailed):
                await ref.ask(failing(group), timeout=1)
        else:
            ref.tell(failing(group))

        assert await outcome(top, ref) == "restart"  # for Transient; its message is quarantined, for Poison
        assert [why for _, why in letters(system)] == ["quarantined"]


async def test_a_temporary_child_that_is_not_started_again_loses_its_message() -> None:
    async with running() as system:
        top, ref = await start(system, Volatile, None, restart="temporary")

        with pytest.raises(HandlerFailed):
            await ref.ask(failing(Transient("x")), timeout=1)

        assert await outcome(top, ref) == "stop"
        assert [why for _, why in letters(system)] == ["failed"]


@pytest.mark.parametrize("cls", KINDS)
async def test_who_is_rate_limited_waits_and_then_tries_its_message_again(cls: type[Mirrored]) -> None:
    async with running() as system:
        top, ref = await start(system, cls, None)
        begin = anyio.current_time()

        await ref.ask(failing(RateLimited(30.0), times=1), timeout=60)

        assert anyio.current_time() - begin >= 30.0
        assert (ref.incarnation, letters(system)) == (2, [])
        assert await outcome(top, ref) == "restart"


async def test_what_is_transient_is_tried_again_at_once() -> None:
    async with running() as system:
        _, ref = await start(system, Volatile, None)
        begin = anyio.current_time()

        await ref.ask(failing(Transient("x"), times=3), timeout=60)

        assert (anyio.current_time() - begin, ref.incarnation) == (0, 4)


async def test_poison_costs_the_message_and_nothing_else() -> None:
    async with running() as system:
        top, ref = await start(system, Volatile, None)
        poison = failing(Poison("x"), times=99)
        for _ in range(10):  # more than any window
            ref.tell(poison)

        assert await outcome(top, ref) == "resume"
        assert letters(system) == [(poison, "quarantined")] * 10


@pytest.mark.parametrize("cls", KINDS)
async def test_who_has_spent_its_budget_keeps_its_message_until_it_is_resumed(cls: type[Mirrored]) -> None:
    async with running() as system:
        top, ref = await start(system, cls, None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ref.ask(failing(BudgetExceeded("x")), timeout=100))
            assert await outcome(top, ref) == "pause"
            ref.tell(failing(Poison("behind")))
            assert ref.statistics().depth == 2

            ref.resume()

        assert await outcome(top, ref) == "resume"
        assert [why for _, why in letters(system)] == ["quarantined"]


@pytest.mark.parametrize("cls", KINDS)
async def test_a_store_that_is_away_is_waited_for_at_no_cost(cls: type[Mirrored]) -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        strategy = Supervisor.one_for_one(max_restarts=0)
        await system.spawn(team(ChildSpec(cls, name="a"), strategy=strategy), name="team")
        ref = system.get("team/a")
        store.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ref.ask(failing(StoreUnavailable("x")), timeout=1_000))
            await anyio.sleep(100)
            assert system.get("team").which_children()[0].status == "restarting"

            store.resume()

        assert (ref.incarnation, system.get("team").incarnation) == (2, 1)
        assert letters(system) == []


async def test_a_group_waits_for_the_store_together() -> None:
    store, log = MemoryStore(), Log()
    async with running(store=store) as system:
        specs = [ChildSpec(Volatile, name=name, args=(log,)) for name in "ab"]
        strategy = Supervisor.one_for_all(max_restarts=0)
        top = await system.spawn(team(*specs, strategy=strategy), name="team")
        store.pause()
        system.get("team/a").tell(failing(StoreUnavailable("x")))
        await anyio.sleep(100)
        assert [child.status for child in top.which_children()] == ["restarting", "restarting"]

        store.resume()
        await log.until("b start", 2)

        assert log.lines == ["a start", "b start", "a start", "b start"]
        assert top.incarnation == 1


class Deep(Supervisor):
    """Escalates all failures of its child."""

    durability = "volatile"
    strategy = Supervisor.one_for_one(decide=[(Exception, "escalate")])
    children = (ChildSpec(Volatile, name="child"),)


def nested(levels: int) -> type[Supervisor]:
    cls: type[Supervisor] = Deep
    for _ in range(levels):
        body = {"children": (ChildSpec(cls, name="child"),), "strategy": Deep.strategy}
        cls = type("Deep", (Supervisor,), {**body, "durability": "volatile"})
    return cls


@pytest.mark.parametrize("levels", [0, 1, 5])
async def test_what_is_escalated_over_levels_is_decided_by_its_cause_where_a_rule_is(levels: int) -> None:
    async with running() as system:
        strategy = Supervisor.one_for_one(decide=[(KeyError, "stop")])
        cls = team(ChildSpec(nested(levels), name="a"), ChildSpec(Volatile, name="b"), strategy=strategy)
        top = await system.spawn(cls, name="top")
        child = system.get("top/a" + "/child" * (levels + 1))

        child.tell(failing(KeyError("k")))
        await anyio.wait_all_tasks_blocked()

        assert (top.incarnation, top.which_children()[0].status) == (1, "ended")
        assert not child.is_alive
        assert await system.get("top/b").ask(Where(), timeout=1) == 100


async def test_what_is_escalated_says_of_itself_what_it_said_below() -> None:
    async with running() as system:
        top = await system.spawn(team(ChildSpec(nested(2), name="a")), name="top")
        child = system.get("top/a/child/child/child")
        begin = anyio.current_time()

        await child.ask(failing(RateLimited(20.0)), timeout=100)

        assert anyio.current_time() - begin >= 20.0
        assert (top.incarnation, system.get("top/a").incarnation, child.incarnation) == (1, 2, 2)


async def test_an_escalation_tells_its_supervisor_why_it_fails() -> None:
    causes: list[BaseException] = []

    class Team(Supervisor):
        durability = "volatile"
        strategy = Supervisor.one_for_one(decide=[(KeyError, "escalate")])
        children = (ChildSpec(Volatile, name="a"),)

        def on_failure(self, cause: Exception) -> None:
            causes.append(cause)

    error = KeyError("k")
    async with running() as system:
        top = await system.spawn(Team, name="team")
        system.get("team/a").tell(failing(error))
        await anyio.wait_all_tasks_blocked()
        assert top.incarnation == 2

    (cause,) = causes
    assert isinstance(cause, Escalated)
    assert (cause.supervisor, cause.child, cause.__cause__) == ("team", "team/a", error)


async def test_a_child_that_cannot_start_at_its_supervisors_restart_is_decided_by_its_cause() -> None:
    class Needy(Volatile):
        away = True

        def on_start(self) -> None:
            if system.get("top/a").incarnation > 1 and Needy.away:
                raise StoreUnavailable("away")

    seen: list[Exception] = []

    def note(error: Exception) -> bool:
        seen.append(error)
        return False

    class Inner(Supervisor):
        durability = "volatile"
        children = (ChildSpec(Needy, name="b"),)

        @handles
        def fail(self, message: Raise) -> None:
            raise FAILURES[message.number]

    async with running() as system:
        strategy = Supervisor.one_for_one(max_restarts=1, within=1_000.0, decide=[(note, "stop")])
        top = await system.spawn(team(ChildSpec(Inner, name="a"), strategy=strategy), name="top")

        system.get("top/a").tell(failing(ValueError("x")))
        await anyio.sleep(100)
        assert (top.incarnation, top.which_children()[0].status) == (1, "restarting")
        assert not any(isinstance(error, StartFailed) for error in seen)

        Needy.away = False
        await anyio.sleep(1)

        assert (top.incarnation, top.which_children()[0].status) == (1, "running")


async def test_of_one_exception_that_two_children_fail_of_each_is_decided_by_its_own_rules() -> None:
    class Slow(Volatile):
        """Is long in going down, so that the other fails meanwhile."""

        async def on_failure(self, cause: Exception) -> None:
            await anyio.sleep(1 if self.context.ref.name == "a" else 2)

    error = ValueError("of a connection that both use")
    specs = ChildSpec(Slow, name="a"), ChildSpec(Slow, name="b", decide=[(ValueError, "stop")])
    async with running() as system:
        await system.spawn(team(*specs), name="top")
        a, b = system.get("top/a"), system.get("top/b")

        a.tell(failing(error))
        b.tell(failing(error))
        await anyio.sleep(3)

        assert (a.is_alive, b.is_alive) == (True, False)
