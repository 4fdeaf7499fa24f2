"""Children whose `on_start` returns IGNORE: they are not to live now, and nothing has failed."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import IGNORE, ActorRef, ChildSpec, StartIgnored, Supervisor
from tests.probes import Fail, Log, Recorder, Say, letters, running


class Optional(Recorder):
    """Lives while it is wanted."""

    wanted = False

    def on_start(self) -> Any:
        super().on_start()
        return None if type(self).wanted else IGNORE


def optional(log: Log, name: str = "b", **options: Any) -> tuple[type[Optional], ChildSpec]:
    cls = type("Optional", (Optional,), {})
    return cls, ChildSpec(cls, name=name, args=(log,), **options)


def team(*specs: ChildSpec, kind: Any = Supervisor.one_for_one, **options: Any) -> type[Supervisor]:
    body = {"children": specs, "strategy": kind(**options), "durability": "volatile"}
    return type("Team", (Supervisor,), body)


def plain(log: Log, name: str) -> ChildSpec:
    return ChildSpec(Recorder, name=name, args=(log,))


def statuses(top: ActorRef[Any]) -> dict[str, str]:
    return {child.name: child.status.value for child in top.which_children()}


async def test_its_supervisor_starts_without_it_and_keeps_its_spec_as_start_children_of_supervisor_erl() -> (
    None
):
    log = Log()
    async with running() as system:
        cls, spec = optional(log)
        top = await system.spawn(team(plain(log, "a"), spec, plain(log, "c")), name="top")

        assert statuses(top) == {"a": "running", "b": "ended", "c": "running"}
        assert log.lines == ["a start", "b start", "c start"]  # no hook of it after that
        assert system.statistics().failures == 0
        assert system.health().failing == ()

        cls.wanted = True
        ref = await top.restart_child("b")
        assert await ref.ask(Say("here"), timeout=1) == "here"


async def test_a_temporary_one_is_not_kept() -> None:
    log = Log()
    async with running() as system:
        _, spec = optional(log, restart="temporary")

        top = await system.spawn(team(spec), name="top")

        assert statuses(top) == {}


async def test_spawn_says_so_and_leaves_nothing() -> None:
    log = Log()
    async with running() as system:
        cls, _ = optional(log)

        with pytest.raises(StartIgnored) as caught:
            await system.spawn(cls, log, name="x")

        assert caught.value.path == "x"
        assert system.statistics().actors == 0
        cls.wanted = True
        await system.spawn(cls, log, name="x")


async def test_start_child_says_so_and_its_spec_is_kept_but_in_a_pool() -> None:
    log = Log()
    async with running() as system:
        cls, spec = optional(log)
        top = await system.spawn(team(), name="top")
        pool = await system.spawn(team(ChildSpec(cls, args=(log,)), kind=Supervisor.dynamic), name="pool")

        with pytest.raises(StartIgnored):
            await top.start_child(spec)
        with pytest.raises(StartIgnored):
            await pool.start_child("b")

        assert (statuses(top), statuses(pool)) == ({"b": "ended"}, {})
        with pytest.raises(StartIgnored):
            await top.restart_child("b")
        assert statuses(top) == {"b": "ended"}
        cls.wanted = True
        assert (await top.restart_child("b")).is_alive


@pytest.mark.parametrize("kind", [Supervisor.one_for_one, Supervisor.one_for_all])
async def test_one_that_does_not_want_to_come_back_ends_and_costs_no_more(kind: Any) -> None:
    log = Log()
    async with running() as system:
        cls, spec = optional(log)
        cls.wanted = True
        top = await system.spawn(team(plain(log, "a"), spec, kind=kind, max_restarts=1), name="top")
        ref = system.get("top/b")
        cls.wanted = False

        ref.tell(Fail())
        ref.tell(Say("queued"))
        await anyio.wait_all_tasks_blocked()

        assert (statuses(top), top.incarnation) == ({"a": "running", "b": "ended"}, 1)
        assert letters(system)[-1] == (Say("queued"), "stopped")


async def test_a_group_restart_asks_it_again_as_restart_2_of_supervisor_erl() -> None:
    log = Log()
    async with running() as system:
        cls, spec = optional(log)
        top = await system.spawn(team(plain(log, "a"), spec, kind=Supervisor.one_for_all), name="top")
        cls.wanted = True

        system.get("top/a").tell(Fail())
        await log.until("b start", 2)
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "running", "b": "running"}


async def test_a_significant_one_that_is_ignored_ends_nothing() -> None:
    log = Log()
    async with running() as system:
        _, spec = optional(log, restart="transient", significant=True)

        top = await system.spawn(team(spec, auto_shutdown="any"), name="top")
        await anyio.wait_all_tasks_blocked()

        assert top.is_alive


async def test_a_supervisor_may_be_ignored_itself_with_what_it_had_spawned() -> None:
    log = Log()

    class Inner(Supervisor):
        durability = "volatile"
        children = (plain(log, "x"),)

        async def on_start(self) -> Any:
            await self.context.spawn(Recorder, log, name="y")
            return IGNORE

    async with running() as system:
        top = await system.spawn(team(ChildSpec(Inner, name="inner")), name="top")

        assert statuses(top) == {"inner": "ended"}
        assert log.lines == ["y start", "y stop"]
        assert system.actors(Recorder) == []


async def test_what_else_on_start_returns_is_no_matter() -> None:
    class Chatty(Recorder):
        def on_start(self) -> Any:
            return "IGNORE"

    async with running() as system:
        assert (await system.spawn(Chatty, Log())).is_alive
