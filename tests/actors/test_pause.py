"""Pauses: nothing is taken from the mailbox, and everything else goes on as ever."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    Backoff,
    BudgetExceeded,
    ChildSpec,
    MemoryStore,
    Request,
    Supervisor,
    Terminated,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


class Spend(Request[int], frozen=True):
    """Raise BudgetExceeded while there is nothing left."""


class Piped(msgspec.Struct, frozen=True):
    """Pipe something to yourself."""


class Agent(Recorder):
    """Has a budget, and timers, and something beside it."""

    budget = 0

    @handles
    def spend(self, message: Spend) -> int:
        if not Agent.budget:
            raise BudgetExceeded("no tokens left")
        Agent.budget -= 1
        return Agent.budget

    @handles
    async def pipe(self, message: Piped) -> None:
        async def later() -> Say:
            await anyio.sleep(1)
            return Say("piped")

        self.context.pipe_to_self(later)
        self.context.timers.once("tick", 1.0, Say("tick"))
        self.context.set_receive_timeout(1.0, Say("quiet"))


class Watcher(Recorder):
    def __init__(self, log: Log, ref: ActorRef[Any]) -> None:
        super().__init__(log)
        self.ref = ref

    def on_start(self) -> None:
        self.context.watch(self.ref)

    @handles
    def ended(self, message: Terminated) -> None:
        self.log(f"terminated {message.ref.name}")


class Account(Counter):
    """As a virtual actor it goes when it is idle for ten seconds."""

    passivate_after = 10.0


async def settled() -> None:
    await anyio.wait_all_tasks_blocked()


async def test_what_is_sent_to_a_paused_actor_waits_until_it_is_resumed() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Recorder, log, name="a")
        ref.tell(Say("before"))
        ref.pause()
        ref.tell(Say("one"))
        await ref.send(Say("two"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ref.ask(Say("three"), timeout=1_000))
            await anyio.sleep(100)
            assert log.lines == ["a start"]  # a pause passes what is queued
            assert ref.statistics().depth == 4

            ref.resume()

        assert log.lines == ["a start", "before", "one", "two", "three"]


async def test_the_message_in_hand_is_finished_first() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        ref.tell(Say("next"))
        await gate.reached.wait()
        ref.pause()
        gate.open.set()
        await settled()
        assert log.lines == ["a start", "waiting", "passed"]

        ref.resume()
        await log.until("next")


async def test_pauses_and_resumes_do_not_add_up() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        ref.resume()
        ref.pause()
        ref.pause()
        ref.resume()
        ref.resume()

        assert await ref.ask(Total(), timeout=1) == 0
        assert system.health().paused == ()


async def test_who_has_spent_its_budget_goes_on_with_the_same_message() -> None:
    log = Log()
    Agent.budget = 0
    async with running() as system:
        ref = await system.spawn(Agent, log, name="a")
        answers: list[int] = []

        async def ask() -> None:
            answers.append(await ref.ask(Spend(), timeout=1_000))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(10)
            ref.resume()  # nothing has changed: it pauses again
            await anyio.sleep(10)
            assert (answers, ref.incarnation) == ([], 1)

            Agent.budget = 3
            ref.resume()

        assert (answers, letters(system)) == ([2], [])


async def test_stop_gives_up_its_queue_as_ever() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Recorder, log, name="a")
        ref.pause()
        ref.tell(Say("queued"))

        await ref.stop()

        assert log.lines == ["a start", "a stop"]
        assert (letters(system), ref.is_alive) == ([(Say("queued"), "stopped")], False)
        assert system.health().paused == ()


async def test_drain_waits_for_the_resume_and_refuses_what_is_new() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Recorder, log, name="a")
        ref.pause()
        ref.tell(Say("queued"))
        await settled()
        async with anyio.create_task_group() as tasks:
            ending = ref.drain()

            async def wait() -> None:
                await ending
                log("over")

            tasks.start_soon(wait)
            await anyio.sleep(10)
            with pytest.raises(ActorStopped):
                await ref.ask(Say("new"), timeout=1)
            assert log.lines == ["a start"]

            ref.resume()

        assert log.lines == ["a start", "queued", "a stop", "over"]


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
async def test_a_kill_ends_it_and_a_restart_ends_the_pause(restart: Any) -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Recorder, log, name="a", restart=restart)
        ref.pause()
        ref.tell(Say("queued"))
        await settled()

        await ref.kill()
        await settled()

        if restart == "temporary":
            assert letters(system) == [(Say("queued"), "stopped")]
        else:
            assert log.lines[-1] == "queued"
        assert system.health().paused == ()


async def test_a_group_restart_takes_a_paused_sibling_along() -> None:
    log = Log()
    async with running() as system:
        specs = [ChildSpec(Recorder, name=name, args=(log,)) for name in "ab"]
        body = {"children": specs, "strategy": Supervisor.one_for_all(), "durability": "volatile"}
        await system.spawn(type("Team", (Supervisor,), body), name="top")
        b = system.get("top/b")
        b.pause()
        b.tell(Say("kept"))

        system.get("top/a").tell(Fail())
        await log.until("kept")

        assert b.incarnation == 2


async def test_timers_and_what_comes_beside_the_mailbox_wait_too() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Agent, log, name="a")
        await ref.send(Piped())
        await settled()
        ref.pause()
        await anyio.sleep(20)
        assert log.lines == ["a start"]

        ref.resume()
        await settled()
        assert sorted(log.lines[1:]) == ["piped", "tick"]
        await log.until("quiet")  # nothing has come since for a second


async def test_its_end_is_told_to_who_watches_it_and_it_is_told_of_others_when_resumed() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Recorder, log, name="a")
        watcher = await system.spawn(Watcher, log, ref, name="w")
        watcher.pause()
        ref.pause()

        await ref.stop()
        await settled()
        assert "terminated a" not in log.lines
        watcher.resume()

        await log.until("terminated a")


async def test_a_supervisor_that_is_paused_goes_on_supervising() -> None:
    log = Log()
    async with running() as system:
        cls = type("Team", (Supervisor,), {"children": [ChildSpec(Recorder, name="x", args=(log,))]})
        top: Any = await system.spawn(cls, name="top")
        top.pause()
        await settled()
        child = system.get("top/x")

        child.tell(Fail())
        assert await child.ask(Say("again"), timeout=1) == "again"
        await top.start_child(ChildSpec(Recorder, name="y", args=(log,)))
        await top.terminate_child("x")

        assert [info.name for info in top.which_children()] == ["x", "y"]
        for _ in range(4):
            system.get("top/y").tell(Fail())
        await settled()
        assert top.incarnation == 2  # it gave up, and its own supervisor has started it again


async def test_who_starts_can_be_paused_and_resumed_before_it_is_ready() -> None:
    log, gate = Log(), Gate()

    class Slow(Recorder):
        async def on_start(self) -> None:
            assert self.gate is not None
            await self.gate()

    class Team(Supervisor):
        durability = "volatile"
        children = (ChildSpec(Slow, name="x", args=(log, gate)),)

        @handles
        def say(self, message: Say) -> str:
            log(message.text)
            return message.text

    async with running() as system:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: system.spawn(Team, name="top"))
            await gate.reached.wait()
            system.get("top").pause()
            system.get("top").resume()
            system.get("top/x").pause()
            gate.open.set()
        top, child = system.get("top"), system.get("top/x")
        assert await top.ask(Say("resumed"), timeout=1) == "resumed"

        child.tell(Say("x"))
        await anyio.sleep(10)
        assert log.lines == ["resumed"]
        child.resume()
        await log.until("x")


async def test_who_is_down_for_a_while_can_be_paused_for_when_it_is_back() -> None:
    log = Log()
    async with running() as system:
        spec = ChildSpec(Recorder, name="x", args=(log,), backoff=Backoff(first=5.0, jitter=0.0))
        top: Any = await system.spawn(type("Team", (Supervisor,), {"children": [spec]}), name="top")
        ref = system.get("top/x")
        ref.tell(Fail())
        await settled()
        ref.pause()
        ref.tell(Say("kept"))
        await anyio.sleep(100)
        assert [info.status for info in top.which_children()] == ["paused"]
        assert log.lines[-1] == "x start"

        ref.resume()
        await log.until("kept")


async def test_who_is_resumed_as_its_supervisor_goes_down_is_not_paused_for_ever() -> None:
    log = Log()
    async with running() as system:
        spec = ChildSpec(Recorder, name="x", args=(log,), backoff=Backoff(first=5.0, jitter=0.0))
        top = await system.start_child(
            ChildSpec(type("Team", (Supervisor,), {"children": [spec]}), name="top")
        )
        ref = system.get("top/x")
        ref.tell(Fail())
        await settled()
        ref.pause()
        ref.tell(Say("kept"))
        await settled()

        stopped = top.stop()
        ref.resume()
        await stopped

        await log.until("kept")


async def test_who_has_ended_is_not_bothered() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()

        ref.pause()
        ref.resume()

        assert not ref.is_alive


async def test_it_is_in_the_health_in_the_row_and_among_the_events() -> None:
    store = MemoryStore()

    async def row() -> str:
        await system.flush()
        return {row.agent_id: row.status for row in await store.agents("test")}["a"]

    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        ref.pause()
        await settled()

        health = system.health()
        assert (health.paused, health.status, health.is_ready) == (("a",), "degraded", True)
        assert health.reasons == ("paused: 'a' (somebody asked for it)",)
        assert "paused" in repr(ref)
        assert await row() == "paused"

        ref.resume()
        await settled()
        assert (system.health().paused, system.health().status) == ((), "running")
        assert await row() == "idle"

    for event_type in ("actor_paused", "actor_resumed"):
        events = await store.events("test", event_type=event_type)
        assert [(event.source_agent, event.incarnation) for event in events] == [("a", 1)]


async def test_a_virtual_actor_stays_while_it_is_paused_and_goes_when_it_is_idle_behind_that() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.get_or_spawn(Account, "alice")
        ref.tell(Add(3))
        await settled()
        ref.pause()
        ref.tell(Add(4))
        await anyio.sleep(100)
        assert system.health().paused == ("Account/alice",)
        assert "paused" in repr(ref)

        ref.resume()
        assert await ref.ask(Total(), timeout=1) == 7
        await anyio.sleep(25)

        assert "passive" in repr(ref)
        assert await ref.ask(Total(), timeout=1) == 7


async def test_a_passive_virtual_actor_that_is_paused_keeps_what_comes() -> None:
    async with running() as system:
        ref = await system.get_or_spawn(Account, "alice")
        ref.pause()
        await settled()
        ref.tell(Add(3))
        await anyio.sleep(100)
        assert ref.statistics().depth == 1

        ref.resume()

        assert await ref.ask(Total(), timeout=1) == 3


async def test_a_passive_virtual_actor_that_was_paused_is_resumed_also_while_it_starts() -> None:
    async with running() as system:
        for passes in range(8):  # in one of them its start reads its checkpoint
            ref = await system.get_or_spawn(Account, f"a{passes}")
            ref.tell(Add(3))
            await anyio.sleep(25)
            assert "passive" in repr(ref)
            ref.pause()
            await settled()

            ref.tell(Add(4))
            for _ in range(passes):
                await anyio.lowlevel.checkpoint()
            ref.resume()

            assert await ref.ask(Total(), timeout=1) == 7


async def test_an_ask_of_an_idle_actor_is_not_answered_at_once_when_it_is_paused() -> None:
    class Plain(Actor):
        durability = "volatile"

        @handles
        def total(self, message: Total) -> int:
            return 7

    async with running() as system:
        ref = await system.spawn(Plain)
        assert await ref.ask(Total(), timeout=1) == 7
        ref.pause()
        await settled()

        with pytest.raises(TimeoutError):
            await ref.ask(Total(), timeout=1)
