"""Code that swallows its cancellation is left to itself: what becomes of it, and of its actor."""

from __future__ import annotations

import random
from collections import Counter as Count
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, ClassVar, Literal

import anyio
import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import (
    Actor,
    ActorKilled,
    ActorRef,
    ActorStopped,
    ActorSystem,
    AskTimeout,
    ChildSpec,
    HandlerAbandoned,
    HandlerFailed,
    LinkBroken,
    MemoryStore,
    StaleIncarnation,
    StartFailed,
    StartTimeout,
    Supervisor,
    SystemStatus,
    Terminated,
    handles,
)
from sentient_core.actors.decision import DirectiveName
from sentient_core.actors.lease import MOST_RESUMED
from sentient_core.actors.ref import cell_of
from tests import probes
from tests.probes import Log, Say, letters
from tests.puppet import Do, MirroredPuppet, Puppet, alarms, in_turn

GATES: list[Gate] = []


class Gate(probes.Gate):
    """One that is open at the latest when the test is over: the system's end waits for what hangs at it."""

    def __init__(self) -> None:
        super().__init__()
        GATES.append(self)


@asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[ActorSystem]:
    async with probes.running(**options) as system:
        try:
            yield system
        finally:
            while GATES:
                GATES.pop().open.set()


Swallow = Callable[[probes.Gate], Awaitable[None]]


async def in_a_loop(gate: probes.Gate) -> None:
    """Tries again, whatever happens."""
    while not gate.open.is_set():
        with suppress(BaseException):
            await gate()


async def in_a_shield(gate: probes.Gate) -> None:
    with anyio.CancelScope(shield=True):
        await gate()


async def in_a_shield_then_once_more(gate: probes.Gate) -> None:
    try:
        with anyio.CancelScope(shield=True):
            await gate()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)


async def in_a_scope_of_its_own(gate: probes.Gate) -> None:
    with anyio.move_on_after(1e6):
        await in_a_loop(gate)


async def in_a_generator(gate: probes.Gate) -> None:
    async def steps() -> AsyncGenerator[int]:
        await in_a_loop(gate)
        yield 1

    async for _ in steps():
        pass


WAYS: list[Swallow] = [
    in_a_loop,
    in_a_shield,
    in_a_shield_then_once_more,
    in_a_scope_of_its_own,
    in_a_generator,
]


class Stubborn(Puppet):
    """Puts `Terminated` on the record."""

    @handles
    def ended(self, message: Terminated) -> None:
        self.log(f"{message.ref.name} ended: {message.cause}")


def hang(gate: Gate, swallow: Swallow = in_a_shield) -> Do:
    async def act(_: Any) -> str:
        await swallow(gate)
        return "too late"

    return Do(act)


async def hung(ref: ActorRef[Any], gate: Gate, swallow: Swallow = in_a_shield) -> None:
    """Have an actor hang."""
    ref.tell(hang(gate, swallow))
    await gate.reached.wait()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("swallow", WAYS)
async def test_a_killed_handler_is_waited_for_its_grace_then_the_next_incarnation_starts(
    swallow: Swallow,
) -> None:
    async with running() as system:
        ref, gate = await system.spawn(Stubborn), Gate()
        await hung(ref, gate, swallow)
        begin = anyio.current_time()

        await ref.kill()

        assert anyio.current_time() - begin == pytest.approx(5)
        assert await in_turn(ref, lambda actor: actor.context.incarnation) == 2
        assert system.health().status is SystemStatus.DEGRADED
        gate.open.set()
        await anyio.sleep(2)
        assert system.health().status is SystemStatus.RUNNING


async def test_one_that_swallows_it_once_has_ended_at_its_next_await() -> None:
    async with running() as system:
        ref, gate, log = await system.spawn(Stubborn), Gate(), Log()

        async def act(_: Any) -> None:
            try:
                await gate()
            except BaseException:  # noqa: BLE001 - the very thing that is tested
                log("swallowed")
            await anyio.sleep(60)
            log("went on")

        ref.tell(Do(act))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await ref.kill()

        assert anyio.current_time() == begin
        assert log.lines == ["swallowed"]
        assert system.health().abandoned == ()


async def test_cleaning_up_is_cancelled_too_and_a_shield_gives_it_its_time() -> None:
    async with running() as system:
        ref, gate, log = await system.spawn(Stubborn), Gate(), Log()

        async def act(_: Any) -> None:
            try:
                await gate()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(4)
                log("clean")

        ref.tell(Do(act))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        await ref.kill()

        assert anyio.current_time() - begin == 4
        assert log.lines == ["clean"]
        assert letters(system)[-1][1] == "stopped"
        await anyio.sleep(10)
        assert ref.incarnation == 2


async def test_a_cancellation_is_thrown_in_a_limited_number_of_times() -> None:
    async with running() as system:
        ref, gate, count = await system.spawn(Stubborn), Gate(), Count[str]()

        async def act(_: Any) -> None:
            while not gate.open.is_set():
                try:
                    await gate()
                except BaseException:  # noqa: BLE001 - the very thing that is tested
                    count["swallowed"] += 1

        ref.tell(Do(act))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        await ref.kill()
        await anyio.sleep(100)

        assert count["swallowed"] == MOST_RESUMED
        gate.open.set()


async def test_the_asker_and_the_message_learn_of_it() -> None:
    async with running() as system:
        ref, gate = await system.spawn(Stubborn, name="mule"), Gate()
        message = hang(gate)
        replies: list[BaseException] = []

        async def ask() -> None:
            with pytest.raises(HandlerFailed) as caught:
                await ref.ask(message, timeout=1_000)
            replies.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await gate.reached.wait()
            await anyio.wait_all_tasks_blocked()
            ref.kill()

        error = replies[0].__cause__
        assert isinstance(error, HandlerAbandoned)
        assert (error.path, error.message, error.seconds) == ("mule", message, 5)
        assert error.handler == "Puppet.do"
        assert "in_a_shield" in error.stack
        assert "await self.open.wait()" in error.stack
        assert letters(system) == [(message, "failed")]
        gate.open.set()
        await anyio.sleep(1)
        assert letters(system) == [(message, "failed")], "its return value is no late reply"


async def test_it_is_an_event_and_two_lines_in_the_log() -> None:
    class Mule(Actor):
        def __init__(self, gate: Gate) -> None:
            self.gate = gate

        @handles
        async def say(self, message: Say) -> None:
            await in_a_shield(self.gate)

    store = MemoryStore()
    with structlog.testing.capture_logs() as logs:
        async with running(store=store) as system:
            gate = Gate()
            ref = await system.spawn(Mule, gate, name="mule")
            await anyio.wait_all_tasks_blocked()
            ref.tell(Say("x"))
            await gate.reached.wait()
            await anyio.wait_all_tasks_blocked()
            await ref.kill()
            gate.open.set()
            await anyio.wait_all_tasks_blocked()
            await system.flush()
            events = await store.events("test")

    abandoned, sent = (e for e in events if e.event_type in ("handler_abandoned", "message_sent"))
    assert abandoned.source_agent == "mule"
    assert abandoned.incarnation == 1
    assert abandoned.causation_id == sent.event_id
    assert abandoned.payload["message_type"] == "Say"
    assert abandoned.payload["seconds"] == 5
    assert abandoned.payload["handler"].endswith("Mule.say")
    lines = [line for line in logs if "abandoned" in line["event"]]
    assert [line["event"] for line in lines] == [
        "abandoned what does not end although it was cancelled",
        "what was abandoned has ended",
    ]
    assert lines[0]["path"] == lines[1]["path"] == "mule"


class Hooked(Puppet):
    """Hangs in one hook of its first incarnation."""

    kill_grace: ClassVar[float | None] = 2.0

    def __init__(self, log: Log, gate: Gate, where: str) -> None:
        super().__init__(log)
        self.gate = gate
        self.where = where

    async def _hook(self, name: str) -> None:
        self.log(f"{name} {self.context.incarnation}")
        if name == self.where and self.context.incarnation == 1:
            await in_a_loop(self.gate)
            self.log(f"{name} went on")

    async def on_start(self) -> None:
        await self._hook("on_start")

    async def on_stop(self) -> None:
        await self._hook("on_stop")

    async def on_failure(self, cause: Exception) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] - a Puppet's is sync
        await self._hook("on_failure")


async def test_a_start_that_hangs() -> None:
    async with running() as system:
        gate, log = Gate(), Log()
        causes: list[BaseException] = []

        async def spawn() -> None:
            with pytest.raises(HandlerAbandoned) as caught:
                await system.spawn(Hooked, log, gate, "on_start", name="mule")
            causes.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spawn)
            await gate.reached.wait()
            await anyio.wait_all_tasks_blocked()
            system.get("mule").kill()

        assert isinstance(causes[0].__cause__, ActorKilled)
        assert system.health().actors == 0
        ref = await system.spawn(Puppet, name="mule")
        gate.open.set()
        await anyio.sleep(1)
        assert log.lines == ["on_start 1", "on_start went on"]
        assert await in_turn(ref, lambda actor: actor.context.incarnation) == 1


async def test_a_restart_that_hangs_costs_a_restart_more() -> None:
    async with running() as system:
        gate, log = Gate(), Log()

        class Mule(Puppet):
            async def on_start(self) -> None:
                incarnation = self.context.incarnation
                if incarnation == 2:
                    await in_a_shield(gate)
                self.log(f"up {incarnation}")

        ref = await system.spawn(Mule, log)
        ref.kill()
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()

        await ref.kill()
        assert await in_turn(ref, lambda actor: actor.context.incarnation) == 3
        gate.open.set()
        await anyio.wait_all_tasks_blocked()

        assert log.lines == ["up 1", "up 3", "up 2"]


@pytest.mark.parametrize("where", ["on_start", "on_stop", "handler"])
async def test_what_it_ends_with_is_logged(where: str) -> None:
    async def too_late(_: Any) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(60)
        raise KeyError("late")

    class Late(Stubborn):
        async def on_start(self) -> None:
            if where == "on_start":
                await too_late(self)

        async def on_stop(self) -> None:
            if where == "on_stop":
                await too_late(self)

    with structlog.testing.capture_logs() as logs:
        async with probes.running() as system:
            with suppress(StartFailed, HandlerAbandoned):
                spec = ChildSpec(Late, name="a", restart="temporary", shutdown=1.0, start_timeout=1.0)
                ref = await system.start_child(spec)
                if where == "handler":
                    ref.tell(Do(too_late))
                    await anyio.sleep(1)

    (ended,) = (line for line in logs if line["event"] == "what was abandoned has ended")
    assert ended["error"] == "KeyError: 'late'"


@pytest.mark.parametrize("where", ["on_stop", "on_failure"])
async def test_a_hook_at_the_end_that_hangs(where: str) -> None:
    async with running() as system:
        gate, log = Gate(), Log()
        ref = await system.spawn(Hooked, log, gate, where, restart="permanent")
        ref.tell(Do(lambda _: 1 / 0))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()

        begin = anyio.current_time()
        await ref.kill()

        assert anyio.current_time() - begin == pytest.approx(2)
        assert await in_turn(ref, lambda actor: actor.context.incarnation) == 2
        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        await ref.stop()
        first = ["on_failure 1", "on_stop 1"][: 2 if where == "on_stop" else 1]
        assert log.lines == [
            "on_start 1",
            *first,
            "on_start 2",
            f"{where} went on",
            "on_stop 2",
            "on_start 3",
        ]


async def test_one_whose_grace_in_its_family_is_over_is_abandoned_after_both() -> None:
    gate, log = Gate(), Log()

    class Mule(Hooked):
        kill_grace = 3.0

    class Team(Supervisor):
        children = (ChildSpec(Mule, name="mule", args=(log, gate, "on_stop"), shutdown=2.0),)

    async with running() as system:
        team = await system.spawn(Team, name="team")
        begin = anyio.current_time()

        await team.stop()

        assert anyio.current_time() - begin == pytest.approx(5)
        assert system.health().abandoned[0].endswith("of 'team/mule'")
        gate.open.set()


async def test_a_kill_meanwhile_does_not_wait_for_children_that_take_for_ever() -> None:
    gate = Gate()

    async def with_a_child(self: Any) -> None:
        await self.context.spawn(Puppet, name="child", shutdown=None)

    class Limited(Stubborn):
        kill_grace = 1.0
        handler_timeout = 1.0

    async with running() as system:
        ref = await system.spawn(Limited, Log(), with_a_child, name="a", restart="temporary")
        system.get("a/child").tell(Do(lambda _: anyio.sleep_forever()))
        ref.tell(hang(gate))
        await anyio.sleep(3)
        assert ref.is_alive  # abandoned; its child is asked to end, and has no limit for that

        await ref.kill()

        assert not ref.is_alive


async def test_the_end_of_the_system_waits_for_what_was_abandoned() -> None:
    gate, log = probes.Gate(), Log()

    async def open_later() -> None:
        await anyio.sleep(500)
        gate.open.set()

    with anyio.fail_after(1_000):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_later)
            begin = anyio.current_time()
            async with running() as system:
                ref = await system.spawn(Stubborn)

                async def act(_: Any) -> None:
                    await in_a_loop(gate)
                    with pytest.raises(BaseException, match="not running"):
                        ref.tell(Say("x"))
                    log("ended")

                ref.tell(Do(act))
                await gate.reached.wait()
                await anyio.wait_all_tasks_blocked()

            assert log.lines == ["ended"]
            assert anyio.current_time() - begin == 500
    assert not any("sentient-core" in (task.name or "") for task in anyio.get_running_tasks())


async def test_nothing_it_does_counts_as_its_actors() -> None:
    mood: ContextVar[str] = ContextVar("mood", default="calm")
    async with running() as system:
        ref, gate, log = await system.spawn(Stubborn, name="mule"), Gate(), Log()
        other = await system.spawn(Puppet, log, name="other")
        raised: list[str] = []
        senders: list[str] = []

        async def act(actor: Any) -> str:
            context, timers = actor.context, actor.context.timers
            mood.set("furious")
            await in_a_shield(gate)
            uses: list[Callable[[], object]] = [
                lambda: context.ref,
                lambda: context.message,
                lambda: context.log,
                lambda: context.stash(),  # noqa: PLW0108 - the attribute is what raises
                lambda: context.become(None),
                lambda: context.spawn(Puppet),
                lambda: context.join("group"),
                lambda: timers.once("x", 1, "x"),
                lambda: actor.context.incarnation,
                lambda: actor.heartbeat(0.5),
            ]
            for use in uses:
                with pytest.raises(StaleIncarnation):
                    use()
                raised.append("stale")
            with anyio.CancelScope(shield=True):
                for later in (actor.run_sync(int), actor.run_process(int)):
                    with pytest.raises(StaleIncarnation):
                        await later
                senders.append(await other.ask(Do(lambda actor: actor.context.message.sender), timeout=1))
            return "reply"

        ref.tell(Do(act))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        await ref.kill()
        handled = ref.statistics().handled
        assert await in_turn(ref, lambda _: mood.get()) == "calm"
        gate.open.set()
        await anyio.sleep(2)

        assert len(raised) == 10
        assert senders == ["external"]
        assert ref.statistics().handled == handled + 1
        assert not cell_of(ref).is_in_turn


async def test_it_ends_while_the_next_one_is_at_work_and_disturbs_nothing() -> None:
    async with running() as system:
        ref, old, new = await system.spawn(Stubborn), Gate(), Gate()
        await hung(ref, old)
        await ref.kill()
        replies: list[Any] = []

        async def ask() -> None:
            async def act(actor: Any) -> tuple[int, bool]:
                await new()
                return actor.context.incarnation, cell_of(ref).is_in_turn

            replies.append(await ref.ask(Do(act), timeout=100))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await new.reached.wait()
            await anyio.wait_all_tasks_blocked()
            ref.tell(Say("queued"))
            old.open.set()
            await anyio.sleep(1)
            assert cell_of(ref).in_hand is not None
            assert cell_of(ref).scope is not None
            assert ref.statistics().depth == 1
            new.open.set()

        assert replies == [(2, True)]
        assert ref.statistics().handled == 2


async def test_what_was_handled_before_it_in_the_same_batch_counts() -> None:
    async with running() as system:
        ref, gate = await system.spawn(Stubborn), Gate()
        for n in range(3):
            ref.tell(Say(str(n)))
        ref.tell(hang(gate))
        ref.tell(Say("after"))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()

        await ref.kill()
        await anyio.wait_all_tasks_blocked()

        assert ref.statistics().handled == 4
        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        assert ref.statistics().handled == 4


@pytest.mark.parametrize("priority", [0, 5])
async def test_the_queue_is_the_next_incarnations(priority: int) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Stubborn, log)
        await hung(ref, gate)
        for n in range(3):
            ref.with_options(priority=priority).tell(f"{n}")

        await ref.kill()
        gate.open.set()
        await anyio.wait_all_tasks_blocked()

        assert log.lines == ["0", "1", "2"]


@pytest.mark.parametrize("way", ["stash", "forward"])
async def test_a_message_that_it_had_put_away_or_passed_on(way: str) -> None:
    async with running() as system:
        gate, log = Gate(), Log()
        other = await system.spawn(Puppet, log)
        ref = await system.spawn(Stubborn)

        async def act(actor: Any) -> str:
            if actor.context.ref == other:
                return "done"
            if way == "stash":
                actor.context.stash()
            else:
                actor.context.forward(other)
            await in_a_shield(gate)
            return "no reply"

        message = Do(act)
        outcomes: list[Any] = []

        async def ask() -> None:
            try:
                outcomes.append(await ref.ask(message, timeout=100))
            except HandlerFailed as error:
                outcomes.append(type(error.__cause__))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await gate.reached.wait()
            await anyio.wait_all_tasks_blocked()
            await ref.kill()

        assert outcomes == ["done" if way == "forward" else HandlerAbandoned]
        assert letters(system) == ([] if way == "forward" else [(message, "failed")])
        assert ref.statistics().handled == (1 if way == "forward" else 0)
        gate.open.set()


async def test_what_its_incarnation_had_ends_with_it() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        watcher = await system.spawn(Stubborn, log, name="watcher")
        friend = await system.spawn(Puppet, log, name="friend")
        ref = await system.spawn(Stubborn, log, name="mule", restart="temporary")
        await in_turn(watcher, lambda actor: actor.context.watch(ref))

        async def act(actor: Any) -> None:
            await actor.context.spawn(Puppet, log, name="child")
            actor.context.timers.every("tick", 1, "tick")
            actor.context.link(friend)
            await in_a_shield(gate)

        ref.tell(Do(act))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        child = system.get("mule/child")
        await ref.kill()
        await anyio.wait_all_tasks_blocked()

        assert not child.is_alive
        assert not ref.is_alive
        assert "friend failed: LinkBroken" in log.lines
        assert [line for line in log.lines if line.startswith("mule ended")] == [
            f"mule ended: HandlerAbandoned: {cell_of(ref).cause}"
        ]
        assert LinkBroken.__name__ in log.lines[-1] or alarms(system) == 0
        gate.open.set()


async def test_the_group_is_restarted_without_waiting_for_it() -> None:
    gate, log = Gate(), Log()

    class Team(Supervisor):
        strategy = Supervisor.one_for_all(max_restarts=3, within=100)
        children = (
            ChildSpec(Puppet, name="a", args=(log,)),
            ChildSpec(Stubborn, name="mule", args=(log,), shutdown=1.0),
            ChildSpec(Puppet, name="c", args=(log,)),
        )

    async with running() as system:
        await system.spawn(Team, name="team")
        await hung(system.get("team/mule"), gate)
        system.get("team/a").tell(Do(lambda _: 1 / 0))
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(6.5)

        assert [system.get(f"team/{name}").incarnation for name in ("a", "mule", "c")] == [2, 2, 2]
        assert system.health().abandoned
        gate.open.set()


async def test_one_that_hangs_in_an_ask_leaves_the_next_ones_ask_alone() -> None:
    async with running() as system:
        first, second = Gate(), Gate()
        a, b = await system.spawn(Puppet, name="a"), await system.spawn(Puppet, name="b")
        ref = await system.spawn(Stubborn, name="mule")

        def asking(target: ActorRef[Any], gate: Gate) -> Do:
            async def act(_: Any) -> Any:
                with anyio.CancelScope(shield=True):
                    return await target.ask(Do(lambda _: gate()), timeout=1_000)

            return Do(act)

        ref.tell(asking(a, first))
        await first.reached.wait()
        await anyio.wait_all_tasks_blocked()
        await ref.kill()
        ref.tell(asking(b, second))
        await second.reached.wait()
        waits = cell_of(ref).runtime.waits
        assert waits[cell_of(ref)][0] is cell_of(b)

        first.open.set()
        await anyio.wait_all_tasks_blocked()
        assert waits[cell_of(ref)][0] is cell_of(b)
        second.open.set()
        await anyio.wait_all_tasks_blocked()

        assert waits == {}
        assert ref.incarnation == 2
        assert await in_turn(ref, lambda _: "well") == "well"


@pytest.mark.parametrize(
    ("directive", "incarnation", "is_alive"),
    [
        ("resume", 2, True),
        ("quarantine", 2, True),
        ("pause", 2, True),
        ("restart", 2, True),
        ("stop", 1, False),
    ],
)
async def test_whatever_is_decided_that_incarnation_does_not_go_on(
    directive: DirectiveName, incarnation: int, is_alive: bool
) -> None:
    gate = Gate()

    class Team(Supervisor):
        strategy = Supervisor.one_for_one(decide=[(HandlerAbandoned, directive)])
        children = (ChildSpec(Stubborn, name="mule"),)

    async with running() as system:
        await system.spawn(Team, name="team")
        ref = system.get("team/mule")
        await hung(ref, gate)
        ref.tell(Say("next"))
        await ref.kill()
        await anyio.wait_all_tasks_blocked()

        assert (ref.incarnation, ref.is_alive) == (incarnation, is_alive)
        assert letters(system)[0][1] == ("quarantined" if directive == "quarantine" else "failed")
        assert ref.statistics().depth == 0


async def test_its_message_is_tried_again_if_it_has_attempts_left() -> None:
    class Twice(Stubborn):
        max_attempts = 2

    async with running() as system:
        ref, gate = await system.spawn(Twice), Gate()

        async def act(actor: Any) -> int:
            incarnation: int = actor.context.incarnation
            if incarnation == 1:
                await in_a_loop(gate)
            return incarnation

        replies: list[int] = []

        async def ask() -> None:
            replies.append(await ref.ask(Do(act), timeout=100))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await gate.reached.wait()
            await anyio.wait_all_tasks_blocked()
            ref.kill()

        assert replies == [2]
        assert letters(system) == []


async def test_a_start_that_swallows_the_end_of_its_deadline() -> None:
    gate = Gate()

    class Slow(Puppet):
        kill_grace = 3.0

        async def on_start(self) -> None:
            await in_a_loop(gate)

    class Team(Supervisor):
        children = (ChildSpec(Slow, name="slow", start_timeout=2.0),)

    async with running() as system:
        begin = anyio.current_time()
        with pytest.raises(StartFailed) as caught:
            await system.spawn(Team, name="team")

        assert anyio.current_time() - begin == 5
        assert isinstance(caught.value.__cause__, HandlerAbandoned)
        assert isinstance(caught.value.__cause__.__cause__, StartTimeout)


async def test_its_state_is_not_saved_for_the_next_one() -> None:
    class Mule(MirroredPuppet):
        class State(msgspec.Struct):
            word: str = "first"

        state: State

        def __init__(self, gate: Gate) -> None:
            super().__init__()
            self.gate = gate

        @handles
        async def say(self, message: Say) -> None:
            await in_a_shield(self.gate)
            self.state.word = "of the abandoned"

        @handles
        def word(self, message: int) -> str:
            return self.state.word

    store = MemoryStore()
    async with running(store=store) as system:
        gate = Gate()
        ref = await system.spawn(Mule, gate, name="mule")
        ref.tell(Say("x"))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        await ref.kill()
        gate.open.set()
        await anyio.sleep(100)
        assert await ref.ask(1, timeout=1) == "first"
    async with running(store=store) as system:
        ref = await system.spawn(Mule, gate, name="mule")
        assert await ref.ask(1, timeout=1) == "first"


async def test_a_virtual_actor_is_there_again() -> None:
    class Mule(MirroredPuppet):
        class State(msgspec.Struct):
            pass

        def __init__(self, gate: Gate) -> None:
            super().__init__()
            self.gate = gate

        @handles
        async def say(self, message: Say) -> int:
            if self.context.incarnation == 1:
                await in_a_loop(self.gate)
            return self.context.incarnation

    async with running() as system:
        gate = Gate()
        ref = await system.get_or_spawn(Mule, "x", gate)
        ref.tell(Say("x"))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        await ref.kill()

        assert await ref.ask(Say("x"), timeout=1) == 2
        gate.open.set()
        await anyio.sleep(200)
        assert await ref.ask(Say("x"), timeout=1) == 3


async def test_without_a_grace_it_is_waited_for() -> None:
    class Patient(Stubborn):
        kill_grace = None

    async with running() as system:
        ref, gate = await system.spawn(Patient), Gate()
        await hung(ref, gate)
        ref.kill()
        await anyio.sleep(500)

        assert ref.incarnation == 1
        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        assert ref.incarnation == 2
        assert system.health().abandoned == ()


async def test_killing_an_idle_actor_sets_no_alarm() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)
        gate = Gate()
        await ref.kill()
        assert alarms(system) == 0

        ref.tell(hang(gate, lambda gate: gate()))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        ref.kill()
        assert alarms(system) == 1
        await anyio.wait_all_tasks_blocked()
        assert alarms(system) == 0


class Tick(msgspec.Struct, frozen=True):
    number: int
    how: str
    seconds: float


HOW: list[Literal["ok", "await", "fail", "shield", "loop"]] = [
    "ok",
    "await",
    "await",
    "fail",
    "shield",
    "loop",
]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_random_hangs_and_kills(seed: int) -> None:
    """Whatever hangs and is killed, every message has one fate, and no two turns are one incarnation's."""
    choose = random.Random(seed)
    begun, returned = Count[int](), Count[int]()
    at_work = Count[tuple[str, int]]()
    faults: list[str] = []

    class Mule(Actor):
        durability = choose.choice(["volatile", "mirrored"])
        kill_grace = choose.choice([0.5, 1.0, 5.0])

        @handles
        async def tick(self, message: Tick) -> int:
            key = self.context.ref.path, self.context.incarnation
            begun[message.number] += 1
            at_work[key] += 1
            if at_work[key] > 1:
                faults.append(f"two at a time: {key}")
            try:
                if message.how == "shield":
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(message.seconds)
                elif message.how == "loop":
                    end = anyio.current_time() + message.seconds
                    while anyio.current_time() < end:
                        with suppress(BaseException):
                            await anyio.sleep(message.seconds)
                elif message.how != "ok":
                    await anyio.sleep(message.seconds)
                if message.how == "fail":
                    raise ValueError
            finally:
                at_work[key] -= 1
            returned[message.number] += 1
            return message.number

    class Team(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=1_000, within=1)
        children = tuple(ChildSpec(Mule, name=f"m{n}") for n in range(2))

    with structlog.testing.capture_logs():
        async with running() as system:
            await system.spawn(Team, name="team")
            refs = [system.get(f"team/m{n}") for n in range(2)]
            runtime = cell_of(refs[0]).runtime
            replied = Count[int]()

            async def ask(ref: ActorRef[Mule], message: Tick) -> None:
                try:
                    assert await ref.ask(message, timeout=1_000) == message.number
                except (HandlerFailed, ActorStopped):
                    return
                except AskTimeout:
                    faults.append(f"nobody answers {message}")
                replied[message.number] += 1

            count = 0
            async with anyio.create_task_group() as tasks:
                for _ in range(60):
                    ref = choose.choice(refs)
                    action = choose.random()
                    if action < 0.6:
                        count += 1
                        message = Tick(count, choose.choice(HOW), choose.choice([0.1, 2.0, 10.0]))
                        if choose.random() < 0.5:
                            ref.tell(message)
                        else:
                            tasks.start_soon(ask, ref, message)
                    elif action < 0.8:
                        ref.kill()
                    await anyio.sleep(choose.choice([0, 0, 0.1, 3.0]))
            await anyio.sleep(250)
            dead = Count(message.number for message, _ in letters(system))
            assert runtime.abandoned == {}
            handled = sum(cell_of(ref).handled for ref in refs)

    assert faults == []
    assert all(times == 1 for times in begun.values())
    assert set(replied) <= set(returned)
    for number in range(1, count + 1):
        assert dead[number] <= 1
        assert dead[number] or returned[number], f"message {number} is lost"
    assert handled == count - sum(dead.values())


async def test_the_cause_of_the_cancellation_is_the_cause_of_the_cause() -> None:
    async with running() as system:
        ref, gate = await system.spawn(Stubborn, restart="temporary"), Gate()
        await hung(ref, gate)
        await ref.kill()

        cause = cell_of(ref).cause
        assert isinstance(cause, HandlerAbandoned)
        assert isinstance(cause.__cause__, ActorKilled)
        gate.open.set()
