"""Supervision: what becomes of children, and of those who keep them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorKilled,
    ActorRef,
    ActorStopped,
    AskError,
    ChildSpec,
    HandlerFailed,
    MemoryStore,
    NameTaken,
    RestartLimitExceeded,
    StartFailed,
    Strategy,
    Supervisor,
    handles,
)
from tests.probes import Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


def team(
    *specs: ChildSpec, strategy: Strategy | None = None, name: str = "Team", log: Log | None = None
) -> type[Supervisor]:
    """A supervisor class of these children; its hooks write into `log`."""

    class Team(Supervisor):
        durability = "volatile"

        def on_start(self) -> None:
            _note(log, self, "start")

        def on_stop(self) -> None:
            _note(log, self, "stop")

        def on_failure(self, cause: Exception) -> None:
            _note(log, self, f"failure {type(cause).__name__}")

    return type(name, (Team,), {"children": specs, "strategy": strategy or Supervisor.one_for_one()})


def _note(log: Log | None, actor: Actor, what: str) -> None:
    if log is not None:
        log(f"{actor.context.ref.name} {what}")


def recorder(log: Log, name: str, gate: Gate | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(Recorder, name=name, args=(log, gate), **options)


class Unwilling(Recorder):
    def on_start(self) -> None:
        raise OSError("no database")


async def test_children_start_in_order_after_their_supervisor_and_stop_in_reverse_before_it() -> None:
    log = Log()
    async with running() as system:
        inner = team(recorder(log, "c"), recorder(log, "d"), log=log)
        outer = team(recorder(log, "a"), ChildSpec(inner, name="b"), recorder(log, "e"), log=log)
        await system.spawn(outer, name="top")
        started = ["top start", "a start", "b start", "c start", "d start", "e start"]
        assert log.lines == started

    assert log.lines[6:] == ["e stop", "d stop", "c stop", "b stop", "a stop", "top stop"]


async def test_a_spawned_supervisor_is_ready_when_its_children_are() -> None:
    class Slow(Recorder):
        async def on_start(self) -> None:
            await anyio.sleep(3)
            self.log("ready")

    async with running() as system:
        log = Log()
        await system.spawn(team(ChildSpec(Slow, name="a", args=(log,)), ChildSpec(Slow, args=(log,))))

        assert log.lines == ["ready", "ready"]


async def test_only_the_child_that_failed_is_started_again() -> None:
    async with running() as system:
        await system.spawn(team(ChildSpec(Counter, name="a"), ChildSpec(Counter, name="b")), name="team")
        a, b = system.get("team/a"), system.get("team/b")

        a.tell(Fail())
        await a.ask(Total(), timeout=1)

        assert (a.incarnation, b.incarnation, system.get("team").incarnation) == (2, 1, 1)


async def test_a_child_that_does_not_start_keeps_its_supervisor_from_starting() -> None:
    log = Log()
    async with running() as system:
        cls = team(
            recorder(log, "a"),
            recorder(log, "b"),
            ChildSpec(Unwilling, name="c", args=(log,)),
            recorder(log, "d"),
            log=log,
        )

        with pytest.raises(StartFailed, match="team/c") as caught:
            await system.spawn(cls, name="team")

        assert caught.value.path == "team/c"
        assert isinstance(caught.value.__cause__, OSError)
        assert [line for line in log if not line.startswith("team")] == [
            "a start",
            "b start",
            "b stop",
            "a stop",
        ]
        assert system.actors(Actor) == []
        await system.spawn(Counter, name="team")  # the name is free again


async def test_a_child_deep_below_that_does_not_start_is_named_at_the_top() -> None:
    async with running() as system:
        inner = team(ChildSpec(Unwilling, name="c", args=(Log(),)))
        outer = team(ChildSpec(Counter, name="a"), ChildSpec(inner, name="b"))

        with pytest.raises(StartFailed) as caught:
            await system.spawn(outer, name="top")

        causes: list[BaseException] = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(error)
            error = error.__cause__
        assert isinstance(causes[-1], OSError)
        assert "top/b/c" in " ".join(map(str, causes))
        assert system.actors(Actor) == []


async def test_more_restarts_than_the_window_allows_end_the_supervisor() -> None:
    log = Log()
    async with running() as system:
        cls = team(
            ChildSpec(Counter, name="a"),
            recorder(log, "b"),
            strategy=Supervisor.one_for_one(max_restarts=2, within=5.0),
            log=log,
        )
        ref = await system.spawn(cls, name="team", restart="temporary")
        child = system.get("team/a")

        for _ in range(2):
            with pytest.raises(HandlerFailed):
                await child.ask(Fail(), timeout=1)
        assert "team stop" not in log.lines
        with pytest.raises(HandlerFailed):
            await child.ask(Fail(), timeout=1)
        await log.until("team stop")
        await anyio.wait_all_tasks_blocked()

        assert log.lines == [
            "team start",
            "b start",
            "b stop",
            "team failure RestartLimitExceeded",
            "team stop",
        ]
        assert not ref.is_alive
        assert not child.is_alive
        assert child.incarnation == 3


async def test_restarts_outside_of_the_window_do_not_count() -> None:
    async with running() as system:
        cls = team(ChildSpec(Counter, name="a"), strategy=Supervisor.one_for_one(max_restarts=1, within=5.0))
        ref = await system.spawn(cls, name="team", restart="temporary")
        child = system.get("team/a")

        for n in range(5):
            with pytest.raises(HandlerFailed):
                await child.ask(Fail(), timeout=1)
            assert await child.ask(Total(), timeout=1) == 0
            assert child.incarnation == n + 2
            await anyio.sleep(5.1)

        assert ref.is_alive


async def test_the_window_is_over_all_children() -> None:
    async with running() as system:
        cls = team(
            *(ChildSpec(Counter, name=name) for name in "abc"),
            strategy=Supervisor.one_for_one(max_restarts=2, within=5.0),
        )
        ref = await system.spawn(cls, name="team", restart="temporary")

        for name in "abc":
            system.get(f"team/{name}").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert not ref.is_alive


async def test_escalation_restarts_the_supervisor_with_its_children_under_the_same_refs() -> None:
    async with running() as system:
        inner = team(
            ChildSpec(Counter, name="a"),
            ChildSpec(Counter, name="b"),
            strategy=Supervisor.one_for_one(max_restarts=0),
        )
        await system.spawn(team(ChildSpec(inner, name="inner")), name="outer")
        a, b = system.get("outer/inner/a"), system.get("outer/inner/b")

        a.tell(Fail())
        a.tell(Say("unhandled"))
        assert await a.ask(Total(), timeout=1) == 0
        assert await b.ask(Total(), timeout=1) == 0

        assert (a.incarnation, b.incarnation) == (2, 2)
        assert system.get("outer/inner").incarnation == 2
        assert system.get("outer").incarnation == 1
        assert system.get("outer/inner/a") is a
        assert letters(system) == [(Fail(), "failed"), (Say("unhandled"), "unhandled")]


async def test_an_escalation_that_nobody_stops_ends_below_the_root_with_an_alert() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        other = await system.spawn(Counter, name="other")
        inner = team(ChildSpec(Counter, name="a"), strategy=Supervisor.one_for_one(max_restarts=0))
        outer = team(ChildSpec(inner, name="inner"), strategy=Supervisor.one_for_one(max_restarts=0))
        top = await system.spawn(outer, name="top")
        child = system.get("top/inner/a")

        with structlog.testing.capture_logs() as lines:
            for _ in range(4):  # the root allows three
                with pytest.raises(HandlerFailed):
                    await child.ask(Fail(), timeout=1)
            await anyio.wait_all_tasks_blocked()

        assert not top.is_alive
        assert not child.is_alive
        assert (top.incarnation, child.incarnation) == (4, 4)
        assert await other.ask(Total(), timeout=1) == 0
        alerts = [line for line in lines if line["event"] == "actor given up"]
        assert [line["path"] for line in alerts] == ["top"]
        events = await store.events("test", event_type="system_alert")
        assert [e.source_agent for e in events if e.payload["alert"] == "actor given up"] == ["top"]
        await system.spawn(Counter, name="top")


async def test_the_root_has_a_budget_per_child() -> None:
    async with running() as system:
        children = [await system.spawn(Counter, name=f"a{n}") for n in range(10)]

        for child in children:
            for _ in range(3):
                with pytest.raises(HandlerFailed):
                    await child.ask(Fail(), timeout=1)
        await anyio.wait_all_tasks_blocked()

        assert all(child.is_alive for child in children)


async def test_who_asked_and_who_is_queued_hears_of_being_given_up() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        for _ in range(4):
            ref.tell(Fail())
        ref.tell(Say("queued"))

        with pytest.raises(ActorStopped):
            await ref.ask(Total(), timeout=10)

        assert letters(system)[-2:] == [(Say("queued"), "stopped"), (Total(), "stopped")]


async def test_a_supervisor_that_spawns_in_on_start_has_its_declared_children_too() -> None:
    class Both(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=0)
        children = (ChildSpec(Counter, name="declared"),)

        async def on_start(self) -> None:
            await self.context.spawn(Counter, name="dynamic")

    async with running() as system:
        ref = await system.spawn(Both, name="both", restart="temporary")

        assert {child.path for child in system.actors(Counter)} == {"both/declared", "both/dynamic"}

        system.get("both/dynamic").tell(Fail())
        await anyio.wait_all_tasks_blocked()
        assert not ref.is_alive  # its own strategy holds for both


async def test_a_declared_child_whose_name_is_taken_keeps_its_supervisor_from_starting() -> None:
    log = Log()

    class Both(Supervisor):
        children = (ChildSpec(Counter, name="child"),)

        async def on_start(self) -> None:
            await self.context.spawn(Recorder, log, name="child")

    async with running() as system:
        with pytest.raises(Exception, match="both/child") as caught:
            await system.spawn(Both, name="both")

        assert isinstance(caught.value, NameTaken | StartFailed)
        await anyio.wait_all_tasks_blocked()
        assert log.lines == ["child start", "child stop"]
        assert system.actors(Actor) == []


async def test_spawned_children_are_stopped_before_their_parent() -> None:
    class Parent(Recorder):
        async def on_start(self) -> None:
            super().on_start()
            for name in "xyz":
                await self.context.spawn(Recorder, self.log, name=name)

    async with running() as system:
        log = Log()
        ref = await system.spawn(Parent, log, name="parent")
        assert [child.path for child in system.actors(Recorder)][1:] == ["parent/x", "parent/y", "parent/z"]

        await ref.stop()

        assert log.lines[4:] == ["z stop", "y stop", "x stop", "parent stop"]
        assert system.actors(Actor) == []


async def test_spawned_children_are_stopped_before_their_parent_restarts() -> None:
    class Parent(Recorder):
        @handles
        async def say(self, message: Say) -> str:
            ref = await self.context.spawn(Recorder, self.log, name=message.text)
            return ref.path

    async with running() as system:
        log = Log()
        ref = await system.spawn(Parent, log, name="parent")
        await ref.ask(Say("x"), timeout=1)

        ref.tell(Fail("boom"))

        assert await ref.ask(Say("x"), timeout=1) == "parent/x"
        assert log.lines == [
            "parent start",
            "x start",
            "x stop",
            "parent failure boom",
            "parent stop",
            "parent restart boom",
            "parent start",
            "x start",
        ]


async def test_spawned_children_are_killed_with_their_parent() -> None:
    class Parent(Recorder):
        async def on_start(self) -> None:
            await self.context.spawn(Recorder, self.log, self.gate, name="x")

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Parent, log, gate, name="parent", restart="temporary")
        child = system.get("parent/x")
        child.tell(Pass())
        await gate.reached.wait()

        await ref.kill()

        assert log.lines == ["x start", "waiting", "interrupted"]
        assert system.actors(Actor) == []


async def test_a_child_that_exceeds_its_parents_window_fails_the_parent() -> None:
    class Parent(Recorder):
        async def on_start(self) -> None:
            super().on_start()
            await self.context.spawn(Counter, name="x")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Parent, log, name="parent", restart="transient")

        for _ in range(4):
            system.get("parent/x").tell(Fail())
            await anyio.wait_all_tasks_blocked()

        assert ref.incarnation == 2
        assert any(line.startswith("parent failure 'parent' gave up on 'parent/x'") for line in log)


async def test_a_parent_learns_its_children_and_a_child_its_parent() -> None:
    seen: dict[str, Any] = {}

    class Child(Actor):
        def on_start(self) -> None:
            seen["parent"] = self.context.parent

    class Parent(Actor):
        async def on_start(self) -> None:
            first = await self.context.spawn(Child, name="first")
            second = await self.context.spawn(Child)
            seen["children"] = (self.context.children, (first, second))
            seen["top"] = self.context.parent

    async with running() as system:
        ref = await system.spawn(Parent, name="p")

        assert seen["parent"] is ref
        assert seen["top"] is None
        assert seen["children"][0] == seen["children"][1]


async def test_each_child_gets_its_grace_then_is_killed() -> None:
    class Slow(Recorder):
        async def on_stop(self) -> None:
            self.log(f"{self.context.ref.name} stopping")
            await anyio.sleep(60)
            self.log("never")

    async with running() as system:
        log = Log()
        ref = await system.spawn(
            team(
                ChildSpec(Slow, name="a", args=(log,), shutdown=3),
                ChildSpec(Slow, name="b", args=(log,), shutdown=2.5),
                ChildSpec(Slow, name="c", args=(log,), shutdown="brutal_kill"),
            )
        )
        begin = anyio.current_time()

        await ref.stop()

        assert anyio.current_time() - begin == pytest.approx(5.5)
        assert log.lines[3:] == ["b stopping", "a stopping"]


async def test_no_limit_means_no_limit() -> None:
    class Slow(Recorder):
        async def on_stop(self) -> None:
            await anyio.sleep(400)
            self.log("stopped")

    async with running() as system:
        log = Log()
        ref = await system.spawn(team(ChildSpec(Slow, name="a", args=(log,), shutdown=None)), shutdown=None)

        await ref.stop()

        assert log.lines[-1] == "stopped"


async def test_the_grace_covers_a_handler_that_does_not_come_back() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        ref = await system.spawn(Recorder, log, gate, name="a", shutdown=2)
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await gate.reached.wait()
        begin = anyio.current_time()

    assert anyio.current_time() - begin == pytest.approx(2)
    assert log.lines == ["a start", "waiting", "interrupted"]
    assert letters(system) == [(Pass(), "stopped"), (Say("queued"), "stopped")]


async def test_grace_of_a_child_in_its_on_start() -> None:
    class Slow(Recorder):
        async def on_start(self) -> None:
            if self.context.incarnation == 2:
                self.log("starting")
                await anyio.sleep_forever()

    async with running() as system:
        log = Log()
        ref = await system.spawn(team(ChildSpec(Slow, name="a", args=(log,), shutdown=3)), name="team")
        system.get("team/a").tell(Fail())
        await log.until("starting")
        begin = anyio.current_time()

        await ref.stop()

        assert anyio.current_time() - begin == pytest.approx(3)


async def test_a_child_that_ends_well_within_its_grace_is_not_killed_later() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(team(recorder(log, "a", gate, shutdown=2)), name="team", restart="permanent")
        await ref.stop()
        child = system.get("team/a")
        await child.ask(Say("hello"), timeout=1)

        await anyio.sleep(10)

        assert child.incarnation == 2
        assert system.get("team").incarnation == 2


async def test_a_supervisor_restarted_starts_its_static_children_and_not_the_spawned() -> None:
    class Team(Supervisor):
        children = (ChildSpec(Counter, name="static"),)

        @handles
        async def hire(self, message: Say) -> None:
            await self.context.spawn(Counter, name=message.text)

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with running() as system:
        ref = await system.spawn(Team, name="team")
        await ref.ask(Say("hired"), timeout=1)
        hired, static = system.get("team/hired"), system.get("team/static")

        ref.tell(Fail())
        assert await ref.ask(Say("again"), timeout=1) is None

        assert not hired.is_alive
        assert static.incarnation == 2
        assert {r.name for r in system.actors(Counter)} == {"static", "again"}


async def test_messages_to_a_static_child_wait_for_its_supervisors_restart() -> None:
    gate = Gate()

    class Slow(Supervisor):
        children = (ChildSpec(Counter, name="a"),)

        async def on_start(self) -> None:
            if self.context.incarnation == 2:
                await gate()

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with running() as system:
        ref = await system.spawn(Slow, name="team")
        child: ActorRef[Counter] = system.get("team/a")
        ref.tell(Fail())
        await gate.reached.wait()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert await child.ask(Total(), timeout=5) == 0

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()

        assert child.incarnation == 2


async def test_killing_a_supervisor_restarts_its_children_too() -> None:
    async with running() as system:
        ref = await system.spawn(team(ChildSpec(Counter, name="a")), name="team")
        child = system.get("team/a")

        await ref.kill()

        assert await child.ask(Total(), timeout=1) == 0
        assert (ref.incarnation, child.incarnation) == (2, 2)


async def test_a_child_that_fails_while_its_siblings_start_is_restarted() -> None:
    gate = Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            await gate()

    async with running() as system:
        log = Log()
        cls = team(ChildSpec(Counter, name="a"), ChildSpec(Slow, name="b", args=(log,)))
        async with anyio.create_task_group() as tasks:

            async def spawn() -> None:
                await system.spawn(cls, name="team")

            tasks.start_soon(spawn)
            await gate.reached.wait()
            child = system.get("team/a")
            with pytest.raises(HandlerFailed):
                await child.ask(Fail(), timeout=1)
            assert await child.ask(Total(), timeout=1) == 0
            gate.open.set()

        assert system.get("team/a").incarnation == 2
        assert system.get("team").is_alive


async def test_a_child_that_exceeds_the_window_while_its_siblings_start_ends_the_start() -> None:
    gate = Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            await gate()

    async with running() as system:
        cls = team(
            ChildSpec(Counter, name="a"),
            ChildSpec(Slow, name="b", args=(Log(),)),
            strategy=Supervisor.one_for_one(max_restarts=0),
        )
        async with anyio.create_task_group() as tasks:

            async def spawn() -> None:
                with pytest.raises(RestartLimitExceeded):
                    await system.spawn(cls, name="team")

            tasks.start_soon(spawn)
            await gate.reached.wait()
            system.get("team/a").tell(Fail())
            await anyio.wait_all_tasks_blocked()
            gate.open.set()

        assert system.actors(Actor) == []


async def test_a_stop_of_a_supervisor_while_its_children_start() -> None:
    gate = Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            await gate()

    async with running() as system:
        log = Log()
        cls = team(recorder(log, "a"), ChildSpec(Slow, name="b", args=(log,)), recorder(log, "c"), log=log)
        async with anyio.create_task_group() as tasks:

            async def spawn() -> None:
                with pytest.raises(StartFailed):
                    await system.spawn(cls, name="team")

            tasks.start_soon(spawn)
            await gate.reached.wait()
            gate.open.set()
            await system.get("team").stop()

        started = [line for line in log if line.endswith("start") and line != "team start"]
        stopped = [line for line in log if line.endswith("stop") and line != "team stop"]
        assert stopped == ["b stop", *(line.replace("start", "stop") for line in reversed(started))]
        assert log.lines[-1] == "team stop"
        assert system.actors(Actor) == []


async def test_a_child_about_to_be_started_again_when_its_supervisor_stops_stays_down() -> None:
    gate = Gate()

    class Slow(Supervisor):
        async def on_stop(self) -> None:
            await gate()

    async with running() as system:
        log = Log()
        cls: type[Supervisor] = type("Team", (Slow,), {"children": (recorder(log, "a"), recorder(log, "b"))})
        ref = await system.spawn(cls, name="team", shutdown=None)
        system.get("team/a").tell(Fail())
        system.get("team/b").tell(Fail())

        ending = ref.stop()
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()
        gate.open.set()
        await ending

        assert log.lines.count("a start") == log.lines.count("a stop")
        assert log.lines.count("b start") == log.lines.count("b stop")


@pytest.mark.parametrize("how", ["kill", "fail"])
async def test_a_child_about_to_be_started_again_when_its_supervisor_is_too(how: str) -> None:
    class Slow(Supervisor):
        async def on_start(self) -> None:
            await anyio.sleep(1)

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with running() as system:
        log = Log()
        cls: type[Supervisor] = type("Team", (Slow,), {"children": (recorder(log, "a"), recorder(log, "b"))})
        ref = await system.spawn(cls, name="team")
        a, b = system.get("team/a"), system.get("team/b")
        a.tell(Fail())
        b.tell(Fail())

        if how == "kill":
            ref.kill()
        else:
            ref.tell(Fail())
        await anyio.sleep(5)

        assert await a.ask(Say("hello"), timeout=1) == "hello"
        assert await b.ask(Say("hello"), timeout=1) == "hello"
        assert ref.incarnation == 2


async def test_a_failing_child_while_its_supervisor_stops_does_not_come_back() -> None:
    async with running() as system:
        log, gate = Log(), Gate()

        class Stuck(Recorder):
            async def on_stop(self) -> None:
                await gate()

        ref = await system.spawn(
            team(recorder(log, "a"), ChildSpec(Stuck, name="b", args=(log,), shutdown=None)),
            name="team",
            shutdown=None,
        )
        first = system.get("team/a")
        ending = ref.stop()
        await gate.reached.wait()
        first.tell(Fail())
        await anyio.wait_all_tasks_blocked()
        gate.open.set()
        await ending

        assert first.incarnation == 1
        assert not first.is_alive
        assert log.lines == ["a start", "b start", "a failure asked to", "a stop"]


async def test_spawning_under_a_supervisor_that_stops_is_refused_or_undone() -> None:
    class Late(Supervisor):
        async def on_stop(self) -> None:
            try:
                await self.context.spawn(Recorder, log, name="late")
            except Exception as error:  # noqa: BLE001
                log(type(error).__name__)

    log = Log()
    async with running() as system:
        ref = await system.spawn(Late, name="team")
        await ref.stop()
        await anyio.wait_all_tasks_blocked()

        assert log.lines.count("late start") == log.lines.count("late stop")
        assert system.actors(Actor) == []


async def test_a_deep_tree_starts_fails_and_stops_without_recursion() -> None:
    depth = 500

    class Nested(Actor):
        durability = "volatile"

        def __init__(self, left: int, log: Log) -> None:
            self.left = left
            self.log = log

        async def on_start(self) -> None:
            if self.left:
                await self.context.spawn(Nested, self.left - 1, self.log, name="n")
            else:
                self.log("bottom")

        def on_stop(self) -> None:
            self.log("stop")

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    log = Log()
    async with running() as system:
        top = await system.spawn(Nested, depth - 1, log, name="n", shutdown=None)
        assert len(system.actors(Nested)) == depth

        top.tell(Fail())
        await log.until("bottom", times=2)
        assert log.lines.count("stop") == depth

    assert log.lines.count("stop") == 2 * depth


async def test_a_deep_tree_is_killed_and_escalates_without_recursion() -> None:
    cls: type[Supervisor] = team(
        ChildSpec(Counter, name="n"), strategy=Supervisor.one_for_one(max_restarts=0)
    )
    for _ in range(400):
        cls = team(ChildSpec(cls, name="n"), strategy=Supervisor.one_for_one(max_restarts=0))
    async with running() as system:
        top = await system.spawn(cls, name="n")
        await top.kill()
        bottom = max(system.actors(Counter), key=lambda ref: len(ref.path))
        assert await bottom.ask(Total(), timeout=5) == 0
        assert bottom.incarnation == 2

        bottom.tell(Fail())
        assert await bottom.ask(Total(), timeout=5) == 0

        assert (bottom.incarnation, top.incarnation) == (3, 3)


async def test_a_wide_tree_of_ten_thousand_starts_and_stops() -> None:
    class Wide(Supervisor):
        durability = "volatile"
        children = tuple(ChildSpec(Leaf, name=str(n)) for n in range(10_000))

    async with running() as system:
        Leaf.stopped = 0
        ref = await system.spawn(Wide, name="wide")
        assert len(system.actors(Leaf)) == 10_000

        await ref.stop()

        assert Leaf.stopped == 10_000
        assert system.actors(Actor) == []


class Leaf(Actor):
    durability = "volatile"
    stopped = 0

    def on_stop(self) -> None:
        Leaf.stopped += 1


async def test_asks_between_actors_that_fail_in_a_chain() -> None:
    class Middle(Actor):
        def __init__(self, target: ActorRef[Any]) -> None:
            self.target = target

        @handles
        async def fail(self, message: Fail) -> None:
            await self.target.ask(message, timeout=10)

    async with running() as system:
        last = await system.spawn(Counter, name="last")
        middle = await system.spawn(Middle, last, name="middle")
        first = await system.spawn(Middle, middle, name="first")

        with pytest.raises(AskError) as caught:
            await first.ask(Fail("deep"), timeout=10)

        causes: list[str] = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(type(error).__name__)
            error = error.__cause__
        assert causes == ["HandlerFailed", "HandlerFailed", "HandlerFailed", "ValueError"]
        await anyio.wait_all_tasks_blocked()
        assert [ref.incarnation for ref in (first, middle, last)] == [2, 2, 2]


async def test_a_restarted_supervisor_starts_all_of_its_declared_children() -> None:
    class Team(Supervisor):
        children = (
            ChildSpec(Counter, name="permanent"),
            ChildSpec(Counter, name="transient", restart="transient"),
            ChildSpec(Counter, name="temporary", restart="temporary"),
        )

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with running() as system:
        ref = await system.spawn(Team, name="team")
        await system.get("team/transient").stop()
        system.get("team/temporary").tell(Fail())
        await anyio.wait_all_tasks_blocked()
        assert [child.name for child in system.actors(Counter)] == ["permanent"]

        ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert {child.name for child in system.actors(Counter)} == {"permanent", "transient", "temporary"}


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_a_kill_between_two_incarnations_does_not_end_the_actor_for_good(restart: str) -> None:
    class Killer(Actor):
        def __init__(self, victim: ActorRef[Any]) -> None:
            self.victim = victim

        @handles
        def say(self, message: Say) -> None:
            self.victim.kill()

    async with running() as system:
        victim = await system.spawn(Counter, name="victim", restart=restart)
        killer = await system.spawn(Killer, victim)
        for _ in range(2):
            victim.tell(Fail())
            killer.tell(Say("now"))
            await anyio.wait_all_tasks_blocked()

            assert victim.is_alive


async def test_a_spawn_under_way_when_the_system_ends_ends_too() -> None:
    class Slow(Recorder):
        async def on_start(self) -> None:
            self.log("starting")
            await anyio.sleep_forever()

    log = Log()

    async def spawn(system: Any) -> None:
        with pytest.raises((ActorKilled, StartFailed)):
            await system.spawn(Slow, log, name="slow")
        log("refused")

    with anyio.fail_after(100):
        async with anyio.create_task_group() as tasks, running() as system:
            tasks.start_soon(spawn, system)
            await log.until("starting")

    assert log.lines == ["starting", "refused"]


async def test_a_drain_of_a_supervisor_while_its_children_start_is_not_lost() -> None:
    gate = Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            await gate()

    async with running() as system:
        log = Log()
        cls = team(ChildSpec(Slow, name="a", args=(log,)), log=log)

        async def spawn() -> None:
            await system.spawn(cls, name="team")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spawn)
            await gate.reached.wait()
            ending = system.get("team").drain()
            await anyio.wait_all_tasks_blocked()  # the supervisor has seen it, and is not ready yet
            gate.open.set()
            with anyio.fail_after(10):
                await ending

        assert log.lines == ["team start", "a stop", "team stop"]
        assert system.actors(Actor) == []
