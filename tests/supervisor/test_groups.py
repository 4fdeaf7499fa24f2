"""Group strategies: who is restarted with whom, in which order, and what comes in between."""

from __future__ import annotations

from typing import Any

from sentient_core import ActorSystem, ChildSpec, Strategy, Supervisor
from tests.probes import Fail, Gate, Log, Recorder, Say, running


def group(strategy: Strategy, *specs: ChildSpec) -> type[Supervisor]:
    return type("Group", (Supervisor,), {"strategy": strategy, "children": specs, "durability": "volatile"})


def member(log: Log, name: str, cls: type[Recorder] = Recorder, **options: Any) -> ChildSpec:
    return ChildSpec(cls, name=name, args=(log,), **options)


def incarnations(system: ActorSystem, *names: str) -> list[int]:
    return [system.get(f"g/{name}").incarnation for name in names]


async def test_one_for_all_restarts_every_child_and_keeps_their_mailboxes() -> None:
    log = Log()
    async with running() as system:
        specs = [member(log, name) for name in "abc"]
        await system.spawn(group(Supervisor.one_for_all(), *specs), name="g")
        a, b = system.get("g/a"), system.get("g/b")
        log.lines.clear()

        b.tell(Fail("x"))
        a.tell(Say("kept"))
        await log.until("c start")
        await a.ask(Say("done"), timeout=1)

        assert incarnations(system, "a", "b", "c") == [2, 2, 2]
        ends = [line for line in log if line.endswith(("stop", "failure x"))]
        assert ends == ["b failure x", "b stop", "c stop", "a stop"]
        assert [line for line in log if line.endswith(" start")] == ["a start", "b start", "c start"]
        assert [line for line in log if "restart" in line] == ["a restart x", "b restart x", "c restart x"]
        assert log.lines[-1] == "done"
        assert "kept" in log.lines


async def test_rest_for_one_restarts_the_failed_child_and_those_after_it() -> None:
    log = Log()
    async with running() as system:
        specs = [member(log, name) for name in "abcd"]
        await system.spawn(group(Supervisor.rest_for_one(), *specs), name="g")

        system.get("g/b").tell(Fail("x"))
        await log.until("d start", 2)

        assert incarnations(system, "a", "b", "c", "d") == [1, 2, 2, 2]
        assert [line for line in log if line.endswith("stop")] == ["b stop", "d stop", "c stop"]


async def test_a_temporary_sibling_goes_down_with_the_group_and_stays_down() -> None:
    log = Log()
    async with running() as system:
        specs = [member(log, "a"), member(log, "t", restart="temporary"), member(log, "c")]
        await system.spawn(group(Supervisor.one_for_all(), *specs), name="g")
        temporary = system.get("g/t")

        system.get("g/c").tell(Fail())
        await log.until("c start", 2)

        assert not temporary.is_alive
        assert [ref.name for ref in (system.get("g/a"), system.get("g/c"))] == ["a", "c"]


async def test_a_group_restart_costs_one_restart_of_the_window() -> None:
    log = Log()
    async with running() as system:
        specs = [member(log, name) for name in "abc"]
        strategy = Supervisor.one_for_all(max_restarts=2, within=60.0)
        supervisor = await system.spawn(group(strategy, *specs), name="g")

        for turn in (2, 3):
            system.get("g/a").tell(Fail())
            await log.until("c start", turn)
        assert supervisor.incarnation == 1

        system.get("g/a").tell(Fail())
        await log.until("c start", 4)

        assert supervisor.incarnation == 2  # its own supervisor started it again, with a new window


async def test_what_is_queued_at_a_sibling_is_handled_by_its_next_incarnation() -> None:
    log = Log()
    async with running() as system:
        specs = [member(log, name) for name in "abc"]
        await system.spawn(group(Supervisor.one_for_all(), *specs), name="g")

        system.get("g/a").tell(Fail("first"))
        system.get("g/c").tell(Fail("second"))
        await log.until("c start", 3)

        assert incarnations(system, "a", "b", "c") == [3, 3, 3]
        assert [line for line in log if "c restart" in line] == ["c restart first", "c restart second"]


class Reluctant(Recorder):
    """Starts the first time, then fails to start as often as it was told to."""

    failures = 0

    def on_start(self) -> None:
        if self.context.incarnation > 1 and Reluctant.failures:
            Reluctant.failures -= 1
            self.log(f"{self.context.ref.name} cannot")
            raise OSError("not yet")
        super().on_start()


async def test_a_start_that_fails_in_a_group_restart_is_tried_again() -> None:
    log = Log()
    Reluctant.failures = 2
    async with running() as system:
        specs = [member(log, "a"), member(log, "b", Reluctant), member(log, "c")]
        await system.spawn(group(Supervisor.one_for_all(), *specs), name="g")
        log.lines.clear()

        system.get("g/a").tell(Fail("x"))
        await log.until("c start")

        # As in OTP: each try is a restart of the whole group, who had come up goes down once more.
        assert [line for line in log if line.endswith((" start", "cannot", "a stop"))] == [
            "a stop",
            *("a start", "b cannot", "a stop") * 2,
            "a start",
            "b start",
            "c start",
        ]
        assert incarnations(system, "a", "b", "c") == [4, 4, 2]


async def test_a_group_that_cannot_come_up_again_ends_its_supervisor_and_stops_who_had() -> None:
    log = Log()
    Reluctant.failures = 100
    async with running() as system:
        specs = [member(log, "a"), member(log, "b", Reluctant), member(log, "c")]
        strategy = Supervisor.one_for_all(max_restarts=3, within=60.0)
        supervisor = await system.spawn(group(strategy, *specs), name="g", restart="temporary")
        log.lines.clear()

        system.get("g/a").tell(Fail("x"))
        await log.until("a stop", 4)
        await supervisor.stop()

        assert log.lines.count("b cannot") == 3  # one restart for the first, two for more tries
        assert not supervisor.is_alive
        assert "c start" not in log.lines


async def test_a_shutdown_does_not_wait_for_a_group_restart() -> None:
    log, gate = Log(), Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            if self.context.incarnation > 1:
                self.log("held")
                await gate()
            super().on_start()

    async with running() as system:
        specs = [member(log, "a"), member(log, "b", Slow, shutdown="brutal_kill"), member(log, "c")]
        await system.spawn(group(Supervisor.one_for_all(), *specs), name="g")
        system.get("g/c").tell(Fail())
        await gate.reached.wait()

    assert log.lines[-1] == "a stop"
    assert log.lines.count("c start") == 1
