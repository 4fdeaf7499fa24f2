"""Children administered while their group is restarted, and failures that meet one another."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, Backoff, ChildRestarting, ChildSpec, Supervisor, handles
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, running


class Held(Recorder):
    """With a gate, waits at it in its second `on_start`."""

    async def on_start(self) -> None:
        if self.gate is not None and self.context.incarnation > 1:
            self.log(f"{self.context.ref.name} held")
            await self.gate()
        super().on_start()


class Lingering(Recorder):
    """Waits at its gate in `on_failure`."""

    async def on_failure(self, cause: Exception) -> None:
        assert self.gate is not None
        await self.gate()


def group(*specs: ChildSpec, **options: Any) -> type[Supervisor]:
    strategy = Supervisor.one_for_all(max_restarts=9, within=1_000.0, **options)
    body = {"children": specs, "strategy": strategy, "durability": "volatile"}
    return type("Group", (Supervisor,), body)


def member(log: Log, name: str, gate: Gate | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(Held, name=name, args=(log, gate), **options)


def statuses(top: ActorRef[Any]) -> dict[str, str]:
    return {child.name: child.status.value for child in top.which_children()}


def starts(log: Log) -> list[str]:
    return [line.split()[0] for line in log if line.endswith(" start")]


async def test_a_group_restart_brings_up_who_was_terminated_or_ended_as_restart_2_of_supervisor_erl() -> None:
    """Start_children of a one_for_all restart starts all that are in the list and have no process."""
    log = Log()
    async with running() as system:
        specs = [member(log, "a"), member(log, "b", restart="transient"), member(log, "c"), member(log, "d")]
        top = await system.spawn(group(*specs), name="top")
        await top.terminate_child("a")
        await system.get("top/b").stop()
        await top.terminate_child("d")
        top.delete_child("d")
        log.lines.clear()

        system.get("top/c").tell(Fail())
        await log.until("c start")
        await anyio.wait_all_tasks_blocked()

        assert starts(log) == ["a", "b", "c"]
        assert statuses(top) == {"a": "running", "b": "running", "c": "running"}
        assert [system.get(f"top/{name}").incarnation for name in "abc"] == [2, 2, 2]


async def test_rest_for_one_brings_up_who_was_terminated_behind_who_failed_alone() -> None:
    log = Log()
    async with running() as system:
        cls = type(
            "Rest",
            (Supervisor,),
            {"children": [member(log, n) for n in "abc"], "strategy": Supervisor.rest_for_one()},
        )
        top: ActorRef[Any] = await system.spawn(cls, name="top")
        await top.terminate_child("a")
        await top.terminate_child("c")

        system.get("top/b").tell(Fail())
        await log.until("c start", 2)

        assert statuses(top) == {"a": "ended", "b": "running", "c": "running"}


async def test_who_is_terminated_while_its_group_comes_up_stays_down() -> None:
    """It is in the list then, ended: before its turn, at its turn, and while it was stopped for it."""
    log, gate = Log(), Gate()
    async with running() as system:
        specs = [member(log, "a"), member(log, "b", gate, shutdown="brutal_kill"), member(log, "c")]
        top = await system.spawn(group(*specs, member(log, "d")), name="top")
        await top.terminate_child("d")
        log.lines.clear()
        system.get("top/a").tell(Fail())
        await gate.reached.wait()
        assert statuses(top) == {"a": "running", "b": "starting", "c": "restarting", "d": "restarting"}
        with pytest.raises(ChildRestarting):
            await top.restart_child("d")
        with pytest.raises(ChildRestarting):
            top.delete_child("d")

        for name in "cdb":
            await top.terminate_child(name)
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "running", "b": "ended", "c": "ended", "d": "ended"}
        assert starts(log) == ["a"]
        assert (await top.restart_child("c")).is_alive


async def test_who_is_terminated_while_its_group_goes_down_stays_down() -> None:
    class Slow(Recorder):
        async def on_stop(self) -> None:
            assert self.gate is not None
            await self.gate()
            super().on_stop()

    log, gate = Log(), Gate()
    async with running() as system:
        slow = ChildSpec(Slow, name="c", args=(log, gate))
        top = await system.spawn(group(member(log, "a"), member(log, "b"), slow), name="top")
        log.lines.clear()
        system.get("top/a").tell(Fail())
        await gate.reached.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(top.terminate_child, "c")
            tasks.start_soon(top.terminate_child, "b")
            tasks.start_soon(top.terminate_child, "a")
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "ended", "b": "ended", "c": "ended"}
        assert starts(log) == []


async def test_what_is_started_while_a_group_restart_waits_is_no_part_of_it() -> None:
    log = Log()
    async with running() as system:
        cls = group(member(log, "a"), backoff=Backoff(first=10.0, jitter=0.0))
        top = await system.spawn(cls, name="top")
        system.get("top/a").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        await top.start_child(member(log, "b"))
        await top.start_child(member(log, "c"))
        await top.terminate_child("c")
        assert (await top.restart_child("c")).is_alive
        await anyio.sleep(20)

        assert starts(log) == ["a", "b", "c", "c", "a"]
        assert set(statuses(top).values()) == {"running"}


class Breaking(Recorder):
    """Fails behind its gate."""

    async def wait_at_the_gate(self, message: Pass) -> str:
        assert self.gate is not None
        await self.gate()
        raise ValueError("broken")


class Unable(Recorder):
    def on_start(self) -> None:
        raise OSError("no database")


async def test_a_start_that_a_group_restart_overtakes_is_part_of_it_and_its_starters_to_hear_of() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        cls = group(ChildSpec(Breaking, name="a", args=(log, gate)), backoff=Backoff(first=10.0, jitter=0.0))
        top = await system.spawn(cls, name="top")
        system.get("top/a").tell(Pass())
        await gate.reached.wait()
        outcomes: dict[str, str] = {}

        async def start(spec: ChildSpec) -> None:
            try:
                outcomes[str(spec.name)] = (await top.start_child(spec)).path
            except OSError as error:
                outcomes[str(spec.name)] = str(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start, member(log, "b"))
            tasks.start_soon(start, ChildSpec(Unable, name="c", args=(log,)))
            tasks.start_soon(start, member(log, "d"))
            gate.open.set()  # it fails while they are about to start
        await anyio.sleep(100)

        assert outcomes == {"b": "top/b", "c": "no database", "d": "top/d"}
        assert statuses(top) == {"a": "running", "b": "running", "d": "running"}
        assert (top.incarnation, system.get("top/a").incarnation) == (1, 2)


async def test_a_start_that_a_group_restart_overtakes_can_be_cancelled() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        cls = group(ChildSpec(Breaking, name="a", args=(log, gate)), backoff=Backoff(first=10.0, jitter=0.0))
        top = await system.spawn(cls, name="top")
        system.get("top/a").tell(Pass())
        await gate.reached.wait()

        with anyio.move_on_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(top.start_child, member(log, "b"))
                gate.open.set()
                await anyio.sleep(6)
        await anyio.sleep(100)

        # On trio the start may have been over before the restart, or may have come behind it.
        assert (starts(log).count("b") > 0) is ("b" in statuses(top))
        assert set(statuses(top).values()) == {"running"}


async def test_a_start_that_is_cancelled_during_a_group_restart_leaves_nothing() -> None:
    log, gate = Log(), Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            assert self.gate is not None
            await self.gate()
            super().on_start()

    async with running() as system:
        top = await system.spawn(group(member(log, "a"), member(log, "b")), name="top")
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(top.start_child, ChildSpec(Slow, name="c", args=(log, gate), shutdown=100.0))
                await gate.reached.wait()
                system.get("top/a").tell(Fail())
                await anyio.sleep(1)
                assert statuses(top)["c"] == "starting"  # asked to stop for the group, when it has started
        assert scope.cancelled_caught
        await log.until("b start", 2)
        await anyio.wait_all_tasks_blocked()

        assert statuses(top) == {"a": "running", "b": "running"}


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_who_fails_while_its_group_stops_it_comes_up_with_the_group(restart: str) -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        b = ChildSpec(Lingering, name="b", args=(log, gate), restart=restart)
        top = await system.spawn(group(member(log, "a"), b), name="top")
        system.get("top/b").tell(Fail("first"))
        await gate.reached.wait()  # it fails, and the STOP of the group comes behind that
        system.get("top/a").tell(Fail("second"))
        system.get("top/b").tell(Say("kept"))
        await anyio.wait_all_tasks_blocked()

        gate.open.set()
        await log.until("kept")

        assert statuses(top) == {"a": "running", "b": "running"}
        assert system.get("top/b").incarnation == 2


async def test_who_fails_in_the_handler_that_its_group_waits_for_comes_up_with_the_group() -> None:
    log, gate = Log(), Gate()

    class Failing(Recorder):
        async def wait_at_the_gate(self, message: Pass) -> str:
            assert self.gate is not None
            await self.gate()
            raise ValueError("in hand")

    async with running() as system:
        b = ChildSpec(Failing, name="b", args=(log, gate), restart="transient")
        top = await system.spawn(group(member(log, "a"), b), name="top")
        system.get("top/b").tell(Pass())
        await gate.reached.wait()
        system.get("top/a").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        gate.open.set()
        await log.until("b start", 2)

        assert statuses(top) == {"a": "running", "b": "running"}
        assert log.lines.count("a start") == 2


async def test_a_failure_outside_the_group_under_way_is_mended_behind_it() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        specs = [member(log, "a"), member(log, "b"), member(log, "c", gate)]
        body = {"children": specs, "strategy": Supervisor.rest_for_one(), "durability": "volatile"}
        top: ActorRef[Any] = await system.spawn(type("Rest", (Supervisor,), body), name="top")
        log.lines.clear()
        system.get("top/b").tell(Fail("b"))
        await gate.reached.wait()
        system.get("top/a").tell(Fail("a"))
        await anyio.wait_all_tasks_blocked()
        assert statuses(top) == {"a": "restarting", "b": "running", "c": "starting"}

        gate.open.set()
        await log.until("c start", 2)

        assert starts(log) == ["b", "c", "a", "b", "c"]
        assert (set(statuses(top).values()), top.incarnation) == ({"running"}, 1)


class Assassin(Recorder):
    """Kills the next one of its group as soon as that one has been told to start."""

    def on_start(self) -> None:
        super().on_start()
        if self.context.incarnation == 2:
            self.context.ref.tell(Pass())

    @handles
    async def wait_at_the_gate(self, message: Pass) -> str:
        self.context.system.get("top/b").kill()
        return "done"


async def test_a_child_that_is_killed_when_it_is_told_to_start_holds_up_nobody() -> None:
    log = Log()
    async with running() as system:
        specs = [ChildSpec(Assassin, name="a", args=(log,)), member(log, "b"), member(log, "c")]
        top = await system.spawn(group(*specs), name="top")
        await top.terminate_child("b")  # the group's restart gives it a new cell, which a kill ends at once

        system.get("top/c").tell(Fail())

        assert await system.get("top/c").ask(Say("still there"), timeout=5.0) == "still there"
        assert set(statuses(top).values()) == {"running"}
