"""Start deadlines: a start that takes too long is cancelled, has failed, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, ChildSpec, StartFailed, StartTimeout, Supervisor
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, running


class Hanging(Recorder):
    """Hangs in `on_start` from its `first` incarnation on."""

    first = 1
    last = 1_000

    async def on_start(self) -> None:
        if self.first <= self.context.incarnation <= self.last:
            self.log(f"{self.context.ref.name} hangs")
            try:
                await anyio.sleep_forever()
            finally:
                self.log(f"{self.context.ref.name} cancelled")
        super().on_start()


class HangsLater(Hanging):
    first = 2


class HangsOnce(Hanging):
    first = last = 2


def team(*specs: ChildSpec, kind: Any = Supervisor.one_for_one, **options: Any) -> type[Supervisor]:
    body = {"children": specs, "strategy": kind(**options), "durability": "volatile"}
    return type("Team", (Supervisor,), body)


def child(log: Log, name: str, cls: type[Recorder] = Recorder, **options: Any) -> ChildSpec:
    return ChildSpec(cls, name=name, args=(log,), **options)


def statuses(top: ActorRef[Any]) -> dict[str, str]:
    return {info.name: info.status.value for info in top.which_children()}


async def starts_late(start: Any) -> StartTimeout:
    begin = anyio.current_time()
    with pytest.raises(StartTimeout) as caught:
        await start()
    assert anyio.current_time() - begin == 2.0
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, StartFailed)
    assert "start_timeout of 2 s" in str(caught.value)
    return caught.value


async def test_start_child_raises_it_and_leaves_nothing() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(child(log, "a")), name="top")
        spec = child(log, "b", Hanging, start_timeout=2.0)

        await starts_late(lambda: top.start_child(spec))
        error = await starts_late(lambda: top.start_child(spec))

        assert error.path == "top/b"
        assert log.lines == ["a start", *["b hangs", "b cancelled"] * 2]  # no further hook
        assert (statuses(top), system.actors(Hanging)) == ({"a": "running"}, [])


async def test_a_pool_has_it_for_each_of_its_children() -> None:
    log = Log()
    async with running() as system:
        spec = ChildSpec(Hanging, args=(log,), start_timeout=2.0)
        pool = await system.spawn(team(spec, kind=Supervisor.dynamic), name="pool")

        await starts_late(lambda: pool.start_child("a"))

        assert statuses(pool) == {}


async def test_restart_child_raises_it_and_leaves_the_spec() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(child(log, "a", HangsLater, start_timeout=2.0)), name="top")
        await top.terminate_child("a")

        await starts_late(lambda: top.restart_child("a"))

        assert statuses(top) == {"a": "ended"}


async def test_a_declared_child_that_is_late_keeps_its_supervisor_from_starting() -> None:
    log = Log()
    async with running() as system:
        cls = team(child(log, "a"), child(log, "b", Hanging, start_timeout=2.0), child(log, "c"))

        with pytest.raises(StartFailed, match="top/b") as caught:
            await system.spawn(cls, name="top")

        assert isinstance(caught.value.__cause__, StartTimeout)
        assert log.lines == ["a start", "b hangs", "b cancelled", "a stop"]
        assert system.actors(Recorder) == []


async def test_the_start_of_its_children_is_part_of_a_supervisors_start() -> None:
    log = Log()
    async with running() as system:
        inner = team(child(log, "x"), child(log, "y", Hanging))
        top = await system.spawn(team(), name="top")

        error = await starts_late(lambda: top.start_child(ChildSpec(inner, name="inner", start_timeout=2.0)))

        assert error.path == "top/inner"
        assert system.actors(Recorder) == []
        assert "y cancelled" in log.lines


async def test_a_restart_that_is_late_is_a_failure_and_tried_again() -> None:
    log = Log()
    async with running() as system:
        top = await system.spawn(team(child(log, "a", HangsOnce, start_timeout=2.0)), name="top")
        ref = system.get("top/a")
        ref.tell(Fail())

        assert await ref.ask(Say("up"), timeout=10) == "up"

        assert (ref.incarnation, top.incarnation) == (3, 1)
        assert log.lines[-3:] == [
            "a restart 'top/a' did not start: it took longer than its start_timeout of 2 s",
            "a start",
            "up",
        ]


@pytest.mark.parametrize("kind", [Supervisor.one_for_one, Supervisor.one_for_all, Supervisor.rest_for_one])
async def test_restarts_that_are_late_spend_the_window(kind: Any) -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), child(log, "b", HangsLater, start_timeout=2.0), child(log, "c")]
        cls = team(*specs, kind=kind, max_restarts=3, within=100.0)
        top = await system.spawn(cls, name="top", restart="temporary")

        system.get("top/b").tell(Fail())
        await anyio.sleep(5.9)
        assert (top.is_alive, statuses(top)["b"]) == (True, "starting")
        await anyio.sleep(0.2)

        assert not top.is_alive
        assert log.lines.count("b cancelled") == 3
        assert system.actors(Recorder) == []


async def test_queries_and_requests_get_through_to_a_group_that_hangs() -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), child(log, "b", HangsLater, start_timeout=50.0), child(log, "c")]
        top = await system.spawn(team(*specs, kind=Supervisor.one_for_all), name="top")
        system.get("top/a").tell(Fail())
        await log.until("b hangs")

        assert statuses(top) == {"a": "running", "b": "starting", "c": "restarting"}
        await top.start_child(child(log, "d"))
        await top.terminate_child("c")
        begin = anyio.current_time()
        await top.terminate_child("b")  # within its grace, which is shorter

        assert anyio.current_time() - begin == 5.0
        assert statuses(top) == {"a": "running", "b": "ended", "c": "ended", "d": "running"}


async def test_the_deadline_holds_for_one_that_is_asked_to_stop_and_has_no_limit_for_it() -> None:
    log = Log()
    async with running() as system:
        specs = [child(log, "a"), child(log, "b", HangsLater, start_timeout=20.0, shutdown=None)]
        top = await system.spawn(team(*specs), name="top")
        system.get("top/b").tell(Fail())
        await log.until("b hangs")
        begin = anyio.current_time()

        await top.stop()

        assert anyio.current_time() - begin <= 20.0
        assert log.lines[-2:] == ["b cancelled", "a stop"]


async def test_a_grace_holds_for_one_that_starts_and_then_does_not_stop() -> None:
    class Stubborn(Recorder):
        async def on_start(self) -> None:
            assert self.gate is not None
            await self.gate()

        async def on_stop(self) -> None:
            await anyio.sleep_forever()

    log, gate = Log(), Gate()
    async with running() as system:
        top = await system.spawn(team(), name="top")
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                top.start_child,
                ChildSpec(Stubborn, name="a", args=(log, gate), start_timeout=9.0, shutdown=3.0),
            )
            await gate.reached.wait()
            tasks.start_soon(top.terminate_child, "a")
            await anyio.sleep(1)
            gate.open.set()

        assert anyio.current_time() - begin == 3.0
        assert statuses(top) == {"a": "ended"}


async def test_who_is_ready_in_time_may_take_its_time_later() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        spec = ChildSpec(Recorder, name="a", args=(log, gate), start_timeout=1.0)
        await system.spawn(team(spec), name="top")
        ref = system.get("top/a")
        ref.tell(Pass())
        await anyio.sleep(100)

        gate.open.set()

        assert await ref.ask(Say("up"), timeout=1) == "up"
        assert ref.incarnation == 1


async def test_a_start_that_does_not_let_itself_be_cancelled_is_late_when_it_is_over() -> None:
    class Deaf(Recorder):
        async def on_start(self) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    log = Log()
    async with running() as system:
        top = await system.spawn(team(), name="top")
        begin = anyio.current_time()

        with pytest.raises(StartTimeout):
            await top.start_child(child(log, "a", Deaf, start_timeout=2.0))

        assert anyio.current_time() - begin <= 5.0
        await anyio.sleep(10)
        assert statuses(top) == {}


async def test_it_is_over_for_one_that_came_up_in_time_and_was_asked_to_stop_meanwhile() -> None:
    log = Log()

    class Slow(Recorder):
        async def on_start(self) -> None:
            await anyio.sleep(1)
            super().on_start()

        async def on_stop(self) -> None:
            await anyio.sleep(5)
            super().on_stop()

    async with running() as system, anyio.create_task_group() as tasks:
        top = await system.spawn(team(), name="top")
        tasks.start_soon(top.start_child, child(log, "a", Slow, start_timeout=2.0, shutdown=None))
        await anyio.sleep(0.5)
        await top.terminate_child("a")

    assert log.lines == ["a start", "a stop"]
