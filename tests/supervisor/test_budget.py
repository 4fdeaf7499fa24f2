"""A budget of restarts for a whole tree, which ends a storm that no single supervisor sees."""

from __future__ import annotations

from typing import Any

import anyio
import structlog

from sentient_core import (
    ActorRef,
    ActorSystem,
    Backoff,
    ChildSpec,
    MemoryStore,
    RestartBudget,
    RestartLimitExceeded,
    Strategy,
    Supervisor,
)
from tests.probes import Counter, Fail, Log, Total, VolatileCounter, running

PATIENT = Supervisor.one_for_one(max_restarts=1_000, within=1_000.0)


def tree(
    *children: type[Supervisor] | ChildSpec, strategy: Strategy = PATIENT, seen: list[Any] | None = None
) -> type[Supervisor]:
    """A supervisor of `a`, `b`, … that writes down what it fails of."""

    class Tree(Supervisor):
        durability = "volatile"

        def on_failure(self, cause: Exception) -> None:
            if seen is not None:
                seen.append((self.context.ref.path, cause))

    specs = [
        child if isinstance(child, ChildSpec) else ChildSpec(child, name=name)
        for name, child in zip("abcdef", children, strict=False)
    ]
    return type("Tree", (Tree,), {"children": specs, "strategy": strategy})


def leaf(name: str) -> ChildSpec:
    return ChildSpec(VolatileCounter, name=name)


def budgeted(restarts: int, **options: Any) -> Strategy:
    budget = RestartBudget(restarts, within=60.0)
    return Supervisor.one_for_one(max_restarts=1_000, within=1_000.0, budget=budget, **options)


async def fail(system: ActorSystem, *paths: str) -> None:
    for path in paths:
        system.get(path).tell(Fail())
        await anyio.wait_all_tasks_blocked()


def alive(ref: ActorRef[Any]) -> tuple[bool, int]:
    return ref.is_alive, ref.incarnation


async def test_restarts_anywhere_below_are_taken_from_it() -> None:
    seen: list[Any] = []
    async with running() as system:
        cls = tree(tree(leaf("x")), tree(leaf("y")), leaf("z"), strategy=budgeted(3), seen=seen)
        top = await system.spawn(cls, name="top", restart="temporary")

        await fail(system, "top/a/x", "top/b/y", "top/z")
        assert alive(top) == (True, 1)
        await fail(system, "top/b/y")

        assert not top.is_alive
        ((path, cause),) = seen
        assert (path, type(cause)) == ("top", RestartLimitExceeded)
        assert (cause.supervisor, cause.child, cause.max_restarts, cause.within) == ("top", "top/b/y", 3, 60)


async def test_it_forgets_restarts_that_are_long_ago() -> None:
    async with running() as system:
        top = await system.spawn(tree(tree(leaf("x")), strategy=budgeted(1)), name="top", restart="temporary")

        for _ in range(5):
            await fail(system, "top/a/x")
            await anyio.sleep(60.1)

        assert alive(top) == (True, 1)


async def test_budgets_are_nested_and_the_innermost_that_is_spent_gives_up() -> None:
    seen: list[Any] = []
    inner = tree(leaf("x"), strategy=budgeted(1), seen=seen)
    async with running() as system:
        top = await system.spawn(
            tree(inner, leaf("z"), strategy=budgeted(3), seen=seen), name="top", restart="temporary"
        )

        await fail(system, "top/a/x", "top/a/x")
        # One restart of x in both budgets; the second was taken from neither, but that of the inner tree was.
        assert [path for path, _ in seen] == ["top/a"]
        assert (system.get("top/a").incarnation, alive(top)) == (2, (True, 1))

        await fail(system, "top/a/x", "top/z")
        assert [path for path, _ in seen] == ["top/a", "top"]


async def test_a_storm_that_no_single_supervisor_sees_is_stopped() -> None:
    class Broken(VolatileCounter):
        def on_start(self) -> None:
            if self.context.incarnation > 1:
                raise OSError("no database")

    async with running() as system:
        team = tree(*(ChildSpec(Broken, name=name) for name in "abcdef"))
        top = await system.spawn(
            tree(team, team, team, strategy=budgeted(20)), name="top", restart="temporary"
        )

        for team_name in "abc":
            for name in "abcdef":
                system.get(f"top/{team_name}/{name}").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert not top.is_alive
        assert system.statistics().restarts <= 20


async def test_its_supervisor_has_all_of_it_again_when_it_was_restarted() -> None:
    async with running() as system:
        top = await system.spawn(tree(tree(leaf("x")), strategy=budgeted(2)), name="top")
        await fail(system, "top/a/x", "top/a/x", "top/a/x")
        assert alive(top) == (True, 2)

        await fail(system, "top/a/x", "top/a/x")
        assert alive(top) == (True, 2)
        await fail(system, "top/a/x")
        assert alive(top) == (True, 3)


async def test_failed_starts_spend_it_and_so_does_a_group_once() -> None:
    class Reluctant(VolatileCounter):
        def on_start(self) -> None:
            if self.context.incarnation in (2, 3):
                raise OSError("not yet")

    group = tree(
        ChildSpec(Reluctant, name="x"),
        leaf("y"),
        leaf("z"),
        strategy=Supervisor.one_for_all(max_restarts=1_000, within=1_000.0),
    )
    async with running() as system:
        top = await system.spawn(tree(group, strategy=budgeted(4)), name="top", restart="temporary")

        await fail(system, "top/a/y")  # one for the group, two for starts of x
        assert system.get("top/a/x").incarnation == 4
        await fail(system, "top/a/y")
        assert alive(top) == (True, 1)
        await fail(system, "top/a/y")

        assert not top.is_alive


async def test_budget_zero_allows_no_restart_at_all() -> None:
    async with running() as system:
        top = await system.spawn(tree(leaf("x"), strategy=budgeted(0)), name="top", restart="temporary")

        await fail(system, "top/x")

        assert not top.is_alive


async def test_it_counts_through_actors_that_are_no_supervisors_and_with_waits() -> None:
    class Parent(VolatileCounter):
        async def on_start(self) -> None:
            await self.context.spawn(VolatileCounter, name="x")

    async with running() as system:
        backoff = Backoff(first=1.0, most=1.0, jitter=0.0)
        cls = tree(ChildSpec(Parent, name="p"), strategy=budgeted(2, backoff=backoff))
        top = await system.spawn(cls, name="top", restart="temporary")

        await fail(system, "top/p/x", "top/p")
        await anyio.sleep(1.5)
        assert alive(top) == (True, 1)
        await fail(system, "top/p/x")

        assert not top.is_alive


async def test_who_gives_up_says_so_once_however_many_fail_with_it() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        cls = tree(*(leaf(name) for name in "abcdef"), strategy=budgeted(1))
        await system.spawn(cls, name="top", restart="temporary")

        with structlog.testing.capture_logs() as lines:
            for name in "abcdef":
                system.get(f"top/{name}").tell(Fail())
            await anyio.wait_all_tasks_blocked()

        assert [line["event"] for line in lines].count("supervisor gave up") == 1
    assert len(await store.events("test", event_type="supervisor_gave_up")) == 1


async def test_below_the_root_one_tree_ends_and_the_others_go_on() -> None:
    async with running() as system:
        other = await system.spawn(VolatileCounter, name="other")
        top = await system.spawn(tree(tree(leaf("x")), strategy=budgeted(0)), name="top")

        await fail(system, *["top/a/x"] * 4)  # the root starts it again three times

        assert alive(top) == (False, 4)
        assert alive(other) == (True, 1)


class TakesItsTime(VolatileCounter):
    async def on_stop(self) -> None:
        await anyio.sleep(2)


async def test_spent_while_its_supervisor_stops_it_changes_nothing_of_the_stopping() -> None:
    seen: list[Any] = []
    slow = ChildSpec(TakesItsTime, name="b")
    async with running() as system:
        cls = tree(tree(leaf("x")), slow, strategy=budgeted(0), seen=seen)
        top = await system.spawn(cls, name="top", restart="temporary")
        x = system.get("top/a/x")

        ending = top.stop()
        await anyio.sleep(1)
        x.tell(Fail())  # its turn to be stopped comes behind that of b
        await ending

        assert (top.is_alive, seen) == (False, [])


async def test_that_of_the_system_kills_nobody_who_is_about_to_stop_in_order() -> None:
    log = Log()

    class Top(Supervisor):
        durability = "volatile"
        children = (leaf("x"),)

        def on_stop(self) -> None:
            log("top stop")

    async def fail_in_a_second(ref: ActorRef[Any]) -> None:
        await anyio.sleep(1)
        ref.tell(Fail())

    system = ActorSystem("test", store=MemoryStore(), restart_budget=RestartBudget(0, within=60.0))
    async with anyio.create_task_group() as tasks, system:
        await system.spawn(Top, name="top")
        await system.spawn(TakesItsTime, name="slow")
        tasks.start_soon(fail_in_a_second, system.get("top/x"))

    assert log.lines == ["top stop"]


async def test_a_storm_that_spends_it_at_once_gives_up_on_an_actor_once() -> None:
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem(
            "test", store=MemoryStore(), restart_budget=RestartBudget(1, within=60.0)
        ) as system:
            top = await system.spawn(tree(*map(leaf, "abcdef")), name="top")
            for name in "abcdef":
                system.get(f"top/{name}").tell(Fail())
            await anyio.wait_all_tasks_blocked()
            assert not top.is_alive

    assert [line["path"] for line in lines if line["event"] == "actor given up"] == ["top"]


async def test_virtual_actors_and_what_they_spawn_do_not_count_in_that_of_the_system() -> None:
    class Account(Counter):
        async def on_start(self) -> None:
            await self.context.spawn(VolatileCounter, name="x", restart="permanent")

    system = ActorSystem("test", store=MemoryStore(), restart_budget=RestartBudget(0, within=60.0))
    async with system:
        account = await system.get_or_spawn(Account, "a")
        assert await account.ask(Total(), timeout=1) == 0

        await fail(system, "Account/a/x", "Account/a")

        assert alive(account) == (True, 2)
        assert system.statistics().restarts == 2
