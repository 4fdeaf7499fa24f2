"""Significant children, whose end ends their supervisor: by the rules of OTP."""

from __future__ import annotations

from collections import Counter as Count
from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, ChildSpec, Supervisor, handles
from sentient_core.supervisor.child import Child
from tests.probes import Fail, Log, Recorder, Say, running


class Quitting(Recorder):
    """Ends in order when it is told so."""

    @handles
    def say(self, message: Say) -> Any:
        if message.text == "quit":
            self.context.ref.stop()
        return message.text


def team(log: Log, auto_shutdown: Any, *specs: ChildSpec, kind: Any = None) -> type[Supervisor]:
    strategy = (kind or Supervisor.one_for_one)(auto_shutdown=auto_shutdown, max_restarts=10)

    class Team(Supervisor):
        durability = "volatile"

        def on_stop(self) -> None:
            log("top stop")

        def on_failure(self, cause: Exception) -> None:
            log("top failure")

    return type("Team", (Team,), {"children": specs, "strategy": strategy})


def child(log: Log, name: str, restart: str = "transient", **options: Any) -> ChildSpec:
    return ChildSpec(Quitting, name=name, args=(log,), restart=restart, **options)


def significant(log: Log, name: str, restart: str = "transient") -> ChildSpec:
    return child(log, name, restart, significant=True)


async def quits(ref: ActorRef[Any]) -> None:
    ref.tell(Say("quit"))
    await anyio.wait_all_tasks_blocked()


async def test_any_of_them_ends_it_in_order_as_do_auto_shutdown_of_supervisor_erl() -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), significant(log, "b"), significant(log, "c")]
        top = await system.spawn(team(log, "any", *specs), name="top")
        await quits(system.get("top/a"))  # not significant
        assert system.get("top").is_alive

        await quits(system.get("top/c"))

        assert not top.is_alive  # transient, and it has ended in order
        assert [line for line in log if "stop" in line] == ["a stop", "c stop", "b stop", "top stop"]
        assert "top failure" not in log.lines


async def test_all_means_the_last_of_them_as_do_auto_shutdown_of_supervisor_erl() -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), significant(log, "b"), significant(log, "c", "temporary")]
        top = await system.spawn(team(log, "all", *specs), name="top")

        await quits(system.get("top/b"))
        assert top.is_alive
        await quits(system.get("top/a"))
        assert top.is_alive
        await quits(system.get("top/c"))

        assert not top.is_alive


async def test_without_auto_shutdown_there_is_no_such_child_but_ends_end_nothing() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(log, "never", child(log, "a")), name="top")

        await quits(system.get("top/a"))

        assert top.is_alive


@pytest.mark.parametrize(
    ("restart", "how", "ends"),
    [
        ("transient", "quit", True),
        ("transient", "stop", True),
        ("transient", "fail", False),  # it is started again
        ("transient", "kill", False),
        ("temporary", "quit", True),
        ("temporary", "fail", True),
        ("temporary", "kill", True),
        ("transient", "terminate", False),  # not of itself
        ("temporary", "terminate", False),
    ],
)
async def test_only_an_end_of_its_own_after_which_it_is_not_started_counts_as_do_restart_of_supervisor_erl(
    restart: str, how: str, ends: bool
) -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(
            team(log, "any", significant(log, "a", restart), child(log, "b")), name="top"
        )
        ref = system.get("top/a")

        if how == "terminate":
            await top.terminate_child("a")
        elif how in ("stop", "kill"):
            await getattr(ref, how)()
        else:
            ref.tell(Fail() if how == "fail" else Say("quit"))
        await anyio.wait_all_tasks_blocked()

        assert top.is_alive is not ends


async def test_one_that_its_supervisor_takes_down_with_its_group_ends_nothing() -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), significant(log, "b", "temporary"), significant(log, "c")]
        cls = team(log, "any", *specs, kind=Supervisor.one_for_all)
        top = await system.spawn(cls, name="top")

        system.get("top/a").tell(Fail())
        await log.until("c start", 2)
        await anyio.wait_all_tasks_blocked()

        assert (top.is_alive, top.incarnation) == (True, 1)
        assert [info.name for info in top.which_children()] == ["a", "c"]


async def test_one_that_a_rule_stops_has_ended_of_itself() -> None:
    log = Log()
    async with running() as system:
        spec = ChildSpec(
            Quitting,
            name="a",
            args=(log,),
            restart="transient",
            significant=True,
            decide=[(ValueError, "stop")],
        )
        top = await system.spawn(team(log, "any", spec), name="top")

        system.get("top/a").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert not top.is_alive


async def test_one_that_has_ended_and_was_started_again_counts_as_there() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(log, "all", significant(log, "a"), significant(log, "b")), name="top")
        await quits(system.get("top/a"))
        await top.restart_child("a")

        await quits(system.get("top/b"))
        assert top.is_alive
        await quits(system.get("top/a"))

        assert not top.is_alive


async def test_a_permanent_supervisor_that_ended_so_is_started_again_as_otp_warns() -> None:
    log = Log()
    async with running() as system:
        inner = team(log, "any", significant(log, "a"))
        top = type(
            "Top", (Supervisor,), {"children": (ChildSpec(inner, name="inner"),), "durability": "volatile"}
        )
        await system.spawn(top, name="top")

        await quits(system.get("top/inner/a"))
        await log.until("a start", 2)

        assert (system.get("top/inner").incarnation, system.get("top").incarnation) == (2, 1)


async def test_one_that_ends_while_its_supervisor_starts_ends_it_behind_that() -> None:
    class Brief(Quitting):
        def on_start(self) -> None:
            super().on_start()
            self.context.ref.stop()

    class Slow(Quitting):
        async def on_start(self) -> None:
            await anyio.sleep(5)
            super().on_start()

    log = Log()
    async with running() as system:
        brief = ChildSpec(Brief, name="a", args=(log,), restart="temporary", significant=True)
        top = await system.spawn(team(log, "any", brief, ChildSpec(Slow, name="b", args=(log,))), name="top")
        await anyio.wait_all_tasks_blocked()

        assert not top.is_alive
        assert log.lines == ["a start", "a stop", "b start", "b stop", "top stop"]


async def test_a_pool_can_end_with_its_last_session() -> None:
    log = Log()
    async with running() as system:
        spec = ChildSpec(Quitting, args=(log,), restart="temporary", significant=True)
        body = {"children": (spec,), "strategy": Supervisor.dynamic(auto_shutdown="all")}
        pool: ActorRef[Any] = await system.spawn(
            type("Pool", (Supervisor,), {**body, "durability": "volatile"}), name="pool"
        )
        a, b = [await pool.start_child(key) for key in "ab"]

        await quits(a)
        assert pool.is_alive
        await quits(b)

        assert not pool.is_alive


async def test_a_child_that_is_added_may_be_significant_too() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(log, "any", child(log, "a")), name="top")

        await quits(await top.start_child(significant(log, "b")))

        assert not top.is_alive


async def test_in_a_pool_of_very_many_the_end_of_one_does_not_look_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, looks = Log(), Count[str]()

    def is_significant(child: Child) -> bool:
        looks["at a child"] += 1
        return child.spec is not None and child.spec.significant

    monkeypatch.setattr(Child, "is_significant", property(is_significant))

    class Pool(Supervisor):
        durability = "volatile"
        strategy = Supervisor.dynamic(auto_shutdown="all")
        children = (ChildSpec(Quitting, args=(log,), restart="temporary", significant=True),)

    async with running() as system:
        pool = await system.spawn(Pool, name="pool", restart="temporary")
        refs = [await pool.start_child(f"{number}") for number in range(300)]
        for ref in refs[:-1]:
            ref.tell(Say("quit"))
        await anyio.wait_all_tasks_blocked()
        assert pool.is_alive
        assert looks["at a child"] <= 3 * 300

        await quits(refs[-1])

        assert not pool.is_alive
