"""How a system ends: every hook runs, none keeps the end waiting for longer than its grace, giving up."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, ClassVar

import anyio
import pytest
import structlog
from anyio.lowlevel import checkpoint

from sentient_core import (
    Actor,
    ActorSystem,
    ChildSpec,
    InvalidArgument,
    MemoryStore,
    RestartLimitExceeded,
    Supervisor,
    Terminated,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Total, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Stopping(Recorder):
    """Needs three seconds for its end, and says when it begins and when it is through."""

    async def on_stop(self) -> None:
        self.log(f"{self.context.ref.name} stops")
        for _ in range(3):
            await anyio.sleep(1)
        self.log(f"{self.context.ref.name} stopped")


class Hanging(Recorder):
    """Does not come to its end by itself."""

    async def on_stop(self) -> None:
        self.log(f"{self.context.ref.name} hangs")
        await anyio.sleep_forever()


class Failing(Recorder):
    def on_stop(self) -> Any:
        self.log(f"{self.context.ref.name} fails")
        raise OSError("on the way down")


def office(log: Log, *specs: ChildSpec) -> type[Supervisor]:
    """A supervisor of these children that writes down its own end."""

    class Office(Supervisor):
        durability = "volatile"
        children: ClassVar = specs

        def on_stop(self) -> None:
            log(f"{self.context.ref.name} stopped")

    return Office


def child(cls: type[Actor], log: Log, name: str, *, shutdown: float | str | None = 5.0) -> ChildSpec:
    return ChildSpec(cls, name=name, args=(log,), shutdown=shutdown)


async def test_a_cancelled_program_lets_every_hook_run_children_before_parents() -> None:
    log = Log()
    inner = office(log, child(Stopping, log, "c"), child(Stopping, log, "d"))
    outer = office(log, child(Stopping, log, "b"), ChildSpec(inner, name="inner"))

    with anyio.move_on_after(1) as scope:
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.spawn(Stopping, log, name="a")
            await system.spawn(outer, name="outer")
            log.lines.clear()
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert log.lines == [
        "d stops",
        "d stopped",
        "c stops",
        "c stopped",
        "inner stopped",
        "b stops",
        "b stopped",
        "outer stopped",
        "a stops",
        "a stopped",
    ]


async def test_a_cancelled_program_saves_the_states_that_were_not_saved() -> None:
    store = MemoryStore()
    with anyio.move_on_after(1):
        async with ActorSystem("test", store=store) as system:
            ref = await system.spawn(Counter, name="a")
            ref.tell(Add(3))
            await anyio.sleep_forever()

    async with ActorSystem("test", store=store) as system:
        assert await (await system.spawn(Counter, name="a")).ask(Total(), timeout=1) == 3


async def test_a_cancellation_that_comes_again_and_again_cuts_no_hook_short() -> None:
    log = Log()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(_cancel_each_second, scope, 4)
            async with running() as system:
                await system.spawn(Stopping, log, name="a")
                await anyio.sleep_forever()

    assert log.lines == ["a start", "a stops", "a stopped"]


async def _cancel_each_second(scope: anyio.CancelScope, times: int) -> None:
    for _ in range(times):
        await anyio.sleep(1)
        scope.cancel()


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_hook_that_hangs_is_killed_by_its_grace_and_the_others_end_as_ever(
    is_cancelled: bool,
) -> None:
    log, begin = Log(), 0.0
    with anyio.CancelScope() as scope, structlog.testing.capture_logs() as lines:
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.spawn(Stopping, log, name="a")
            await system.spawn(Hanging, log, name="b", shutdown=7)
            await system.spawn(Stopping, log, name="c")
            log.lines.clear()
            begin = anyio.current_time()
            if is_cancelled:
                scope.cancel()
                await checkpoint()

    assert log.lines == ["c stops", "c stopped", "b hangs", "a stops", "a stopped"]
    assert anyio.current_time() - begin == pytest.approx(3 + 7 + 3)
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert (line["path"], line["shutdown"]) == ("b", 7)


async def test_a_failing_on_stop_is_reported_and_a_failure_and_the_stopping_goes_on() -> None:
    told: list[Terminated] = []

    class Watching(Recorder):
        def on_start(self) -> None:
            self.context.watch(self.context.system.get("c"))

        @handles
        def ended(self, message: Terminated) -> None:
            told.append(message)

    log = Log()
    with structlog.testing.capture_logs() as lines:
        async with running() as system:
            await system.spawn(Stopping, log, name="a")
            await system.spawn(office(log, child(Stopping, log, "x"), child(Failing, log, "y")), name="b")
            await system.spawn(Failing, log, name="c", restart="temporary")
            await system.spawn(Watching, log, name="d")
            log.lines.clear()

            await system.get("c").stop()
            await anyio.wait_all_tasks_blocked()
            assert [(end.is_failure, end.cause) for end in told] == [(True, "OSError: on the way down")]

    assert log.lines == [
        "c fails",
        "d stop",
        "y fails",
        "x stops",
        "x stopped",
        "b stopped",
        "a stops",
        "a stopped",
    ]
    failures: list[MutableMapping[str, Any]] = [line for line in lines if line["event"] == "actor failed"]
    assert [(line["path"], line["where"]) for line in failures] == [("c", "on_stop"), ("b/y", "on_stop")]


async def test_a_child_without_a_limit_is_waited_for_as_long_as_it_takes() -> None:
    log, gate = Log(), Gate()

    class Patient(Recorder):
        async def on_stop(self) -> None:
            await gate()
            self.log("stopped")

    async with anyio.create_task_group() as tasks, running() as system:
        await system.spawn(Patient, log, name="a", shutdown=None)
        tasks.start_soon(_open_after, gate, 300.0)

    assert log.lines == ["a start", "stopped"]


async def _open_after(gate: Gate, seconds: float) -> None:
    await anyio.sleep(seconds)
    gate.open.set()


async def test_a_supervisor_has_no_limit_of_its_own_each_child_below_has() -> None:
    """Three that hang for five seconds each take fifteen, and the supervisors' own hooks run."""
    log = Log()
    inner = office(log, child(Hanging, log, "c"), child(Hanging, log, "d"))
    outer = office(log, child(Hanging, log, "b"), ChildSpec(inner, name="inner"))
    async with running() as system:
        await system.spawn(outer, name="outer")
        log.lines.clear()
        begin = anyio.current_time()

    assert log.lines == ["d hangs", "c hangs", "inner stopped", "b hangs", "outer stopped"]
    assert anyio.current_time() - begin == pytest.approx(15)


async def test_a_limit_for_a_supervisor_is_one_for_all_below_it() -> None:
    """At its end, all below are killed at the same time, whatever they would still have."""
    log = Log()
    inner = office(log, child(Hanging, log, "c", shutdown=60), child(Hanging, log, "d", shutdown=2))
    async with running() as system:
        await system.spawn(Stopping, log, name="a")
        await system.spawn(
            office(log, child(Stopping, log, "b"), ChildSpec(inner, name="inner")), name="outer", shutdown=10
        )
        log.lines.clear()
        begin = anyio.current_time()

    assert log.lines == ["d hangs", "c hangs", "a stops", "a stopped"]
    assert anyio.current_time() - begin == pytest.approx(10 + 3)


async def test_an_inner_limit_is_killed_alone() -> None:
    log = Log()
    inner = office(log, child(Hanging, log, "c", shutdown=None))
    async with running() as system:
        await system.spawn(
            office(log, child(Stopping, log, "b"), ChildSpec(inner, name="inner", shutdown=4)), name="outer"
        )
        log.lines.clear()

    assert log.lines == ["c hangs", "b stops", "b stopped", "outer stopped"]


async def test_a_handler_in_hand_counts_to_the_grace_and_its_hook_runs_if_it_returns_in_time() -> None:
    log = Log()

    class Busy(Stopping):
        @handles
        async def wait_at_the_gate(self, message: Pass) -> str:
            self.log("works")
            await anyio.sleep(3)
            return ""

    async with running() as system:
        for name, grace in (("a", 7.0), ("b", 4.0)):
            ref = await system.spawn(Busy, log, name=name, shutdown=grace)
            ref.tell(Pass())
        await log.until("works", 2)
        begin = anyio.current_time()

    assert log.lines[-3:] == ["b stops", "a stops", "a stopped"]
    assert anyio.current_time() - begin == pytest.approx(4 + 3)


async def test_a_system_with_on_give_up_stop_ends_with_the_cause_when_an_actor_is_given_up() -> None:
    log = Log()
    system = ActorSystem("test", store=MemoryStore(), on_give_up="stop")

    with pytest.raises(RestartLimitExceeded) as caught:  # noqa: PT012
        async with system:
            await system.spawn(Stopping, log, name="a")
            ref = await system.spawn(Recorder, log, name="b", restart="permanent")
            log.lines.clear()
            for _ in range(4):
                ref.tell(Fail("once too often"))
            await anyio.sleep_forever()

    assert caught.value.child == "b"
    assert isinstance(caught.value.__cause__, ValueError)
    assert log.lines[-2:] == ["a stops", "a stopped"]
    assert any("b" in reason for reason in system.health().reasons)


async def test_it_ends_so_too_for_a_supervisor_that_gives_up_below_the_root() -> None:
    class Office(Supervisor):
        durability = "volatile"
        strategy = Supervisor.one_for_one(max_restarts=0)
        children: ClassVar = [ChildSpec(Recorder, name="a", args=(Log(),))]

    with pytest.raises(RestartLimitExceeded) as caught:  # noqa: PT012
        async with ActorSystem("test", store=MemoryStore(), on_give_up="stop") as system:
            await system.spawn(Office, name="office")
            while True:
                system.get("office/a").tell(Fail())
                await anyio.wait_all_tasks_blocked()

    assert caught.value.child == "office"
    assert isinstance(caught.value.__cause__, RestartLimitExceeded)


async def test_by_default_the_others_go_on_when_an_actor_is_given_up() -> None:
    log = Log()
    async with running() as system:
        other = await system.spawn(Recorder, log, name="a")
        ref = await system.spawn(Recorder, log, name="b", restart="permanent")
        for _ in range(4):
            ref.tell(Fail())
        await anyio.sleep(10)

        assert other.is_alive
        assert not ref.is_alive
        assert system.health().given_up == ("b",)


async def test_what_is_given_up_while_the_system_stops_changes_nothing() -> None:
    log = Log()

    class Relapsing(Recorder):
        async def on_stop(self) -> None:
            other = self.context.system.get("a")
            for _ in range(4):
                other.tell(Fail())
            await anyio.sleep(1)
            self.log("stopped")

    async with ActorSystem("test", store=MemoryStore(), on_give_up="stop") as system:
        await system.spawn(Recorder, log, name="a", restart="permanent")
        await system.spawn(Relapsing, log, name="b")

    assert log.lines[-1] == "stopped"


def test_another_word_for_on_give_up_is_refused() -> None:
    word: Any = "explode"
    with pytest.raises(InvalidArgument, match="on_give_up is 'explode'; it can be 'end' or 'stop'"):
        ActorSystem("test", store=MemoryStore(), on_give_up=word)
