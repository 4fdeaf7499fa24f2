"""Each point in a running system: what its actions do, and that every message is accounted for."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorSystem, AgentEvent, ChildSpec, MemoryStore, Request, Supervisor, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.errors import (
    ActorStopped,
    AskTimeout,
    FaultInjected,
    HandlerFailed,
    InvalidArgument,
    MessageDropped,
    StartTimeout,
)
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Injected, Rule
from tests.probes import (
    Add,
    Counter,
    DurableCounter,
    Log,
    Recorder,
    Save,
    Say,
    Total,
    VolatileCounter,
    letters,
)

P, A = FaultPoint, FaultAction


class Note(msgspec.Struct, frozen=True):
    text: str


class Notes(Request[list[str]], frozen=True):
    """Ask for what was noted."""


class Notebook(Actor):
    """Notes what it gets, in order."""

    class State(msgspec.Struct):
        lines: list[str] = msgspec.field(default_factory=list[str])

    state: State

    @handles
    def note(self, message: Note) -> None:
        self.state.lines.append(message.text)

    @handles
    def notes(self, message: Notes) -> list[str]:
        return self.state.lines


class VolatileNotebook(Notebook):
    durability: ClassVar[DurabilityName] = "volatile"


class DurableNotebook(Notebook):
    durability: ClassVar[DurabilityName] = "durable"


RUNGS: list[type[Counter]] = [VolatileCounter, Counter, DurableCounter]
NOTEBOOKS: list[type[Notebook]] = [VolatileNotebook, Notebook, DurableNotebook]
of_each_rung = pytest.mark.parametrize("cls", RUNGS)


def faulty(*rules: Rule, seed: int = 1, store: MemoryStore | None = None) -> ActorSystem:
    return ActorSystem("test", store=store or MemoryStore(), faults=FaultPlan(seed, rules))


def of(point: FaultPoint, action: FaultAction, **more: Any) -> Rule:
    return Rule(point=point, action=action, **more)


def injected(system: ActorSystem) -> tuple[Injected, ...]:
    assert system.faults is not None
    return system.faults.injected


async def check_books(system: ActorSystem) -> None:
    audit = await system.audit()
    assert audit.is_balanced, audit


@of_each_rung
async def test_a_message_dropped_when_it_is_sent_is_a_dead_letter(cls: type[Counter]) -> None:
    async with faulty(of(P.MAILBOX_PUT, A.DROP, message_type="Add", nth=2)) as system:
        counter = await system.spawn(cls, name="counter")
        for amount in (1, 10, 100):
            await counter.send(Add(amount))

        assert await counter.ask(Total(), timeout=5) == 101
        assert letters(system) == [(Add(10), "dropped")]
        await check_books(system)


@of_each_rung
async def test_who_asks_with_a_message_that_is_dropped_is_told_so(cls: type[Counter]) -> None:
    async with faulty(of(P.MAILBOX_GET, A.DROP, message_type="Total", nth=1)) as system:
        counter = await system.spawn(cls, name="counter")

        with pytest.raises(MessageDropped, match="dropped by the fault plan"):
            await counter.ask(Total(), timeout=5)
        assert await counter.ask(Total(), timeout=5) == 0
        await check_books(system)


@of_each_rung
async def test_a_send_that_fails_leaves_nothing(cls: type[Counter]) -> None:
    rule = of(P.MAILBOX_PUT, A.RAISE, message_type="Add", nth=1, reason="no line")
    async with faulty(rule) as system:
        counter = await system.spawn(cls, name="counter")

        with pytest.raises(FaultInjected, match="no line"):
            counter.tell(Add(1))
        await counter.send(Add(10))

        assert await counter.ask(Total(), timeout=5) == 10
        assert letters(system) == []
        await check_books(system)


@of_each_rung
@pytest.mark.parametrize("point", [P.MAILBOX_PUT, P.MAILBOX_GET])
async def test_a_duplicate_is_handled_as_another_message(cls: type[Counter], point: FaultPoint) -> None:
    async with faulty(of(point, A.DUPLICATE, message_type="Add", nth=1)) as system:
        counter = await system.spawn(cls, name="counter")
        await counter.send(Add(1))
        await counter.send(Add(10))
        await anyio.sleep(1)

        assert await counter.ask(Total(), timeout=5) == 12
        await check_books(system)


@of_each_rung
@pytest.mark.parametrize("point", [P.MAILBOX_PUT, P.MAILBOX_GET])
async def test_who_asks_gets_one_answer_when_the_message_is_doubled(
    cls: type[Counter], point: FaultPoint
) -> None:
    async with faulty(of(point, A.DUPLICATE, message_type="Total", nth=1)) as system:
        counter = await system.spawn(cls, name="counter")
        await counter.send(Add(7))

        assert await counter.ask(Total(), timeout=5) == 7
        await anyio.sleep(1)

        assert letters(system) == []  # the other one's answer is nobody's: not even late
        assert (counter.statistics().handled, len(injected(system))) == (3, 1)
        await check_books(system)


async def test_a_message_that_is_tried_again_is_not_doubled_again() -> None:
    class Trying(DurableCounter, tag="Trying"):
        max_attempts = 3

    rules = (of(P.MAILBOX_PUT, A.DUPLICATE, nth=1), of(P.RECEIVE, A.RAISE, times=2))
    async with faulty(*rules) as system:
        counter = await system.spawn(Trying, name="counter")
        await counter.send(Add(1))
        await anyio.sleep(60)

        assert await counter.ask(Total(), timeout=5) == 2
        await check_books(system)


@pytest.mark.parametrize("cls", NOTEBOOKS)
@pytest.mark.parametrize("point", [P.MAILBOX_PUT, P.MAILBOX_GET])
async def test_a_message_lets_the_next_one_pass(cls: type[Notebook], point: FaultPoint) -> None:
    async with faulty(of(point, A.REORDER, message_type="Note", nth=1)) as system:
        notebook = await system.spawn(cls, name="notebook")
        for text in "abc":
            notebook.tell(Note(text))

        assert await notebook.ask(Notes(), timeout=5) == ["b", "a", "c"]
        await check_books(system)


async def test_a_message_alone_in_its_mailbox_lets_nothing_pass() -> None:
    async with faulty(of(P.MAILBOX_GET, A.REORDER)) as system:
        notebook = await system.spawn(Notebook, name="notebook")
        for text in "abcd":
            await notebook.send(Note(text))

        assert len(await notebook.ask(Notes(), timeout=5)) == 4


@of_each_rung
async def test_a_handler_that_fails_is_its_actors_failure(cls: type[Counter]) -> None:
    async with faulty(of(P.RECEIVE, A.RAISE, message_type="Add", nth=2)) as system:
        counter = await system.spawn(cls, name="counter")
        await counter.send(Add(1))
        with pytest.raises(HandlerFailed) as caught:
            await counter.ask(Add(10), timeout=5)

        assert isinstance(caught.value.__cause__, FaultInjected)
        assert (caught.value.__cause__.point, caught.value.__cause__.nth) == ("receive", 2)
        await counter.ask(Total(), timeout=5)
        assert counter.incarnation == 2
        assert letters(system) == [(Add(10), "failed")]
        await check_books(system)


@of_each_rung
async def test_a_handler_waits_before_it_begins(cls: type[Counter]) -> None:
    async with faulty(of(P.RECEIVE, A.DELAY, seconds=5.0, message_type="Add", nth=1)) as system:
        counter = await system.spawn(cls, name="counter")
        began = anyio.current_time()
        counter.tell(Add(1))

        assert await counter.ask(Total(), timeout=60) == 1
        assert anyio.current_time() - began == pytest.approx(5.0)


@of_each_rung
async def test_a_handler_that_hangs_ends_with_a_kill(cls: type[Counter]) -> None:
    async with faulty(of(P.RECEIVE, A.HANG, message_type="Add")) as system:
        counter = await system.spawn(cls, name="counter")
        with pytest.raises(AskTimeout):
            await counter.ask(Add(1), timeout=60)
        await counter.kill()

        assert await counter.ask(Total(), timeout=5) == 0
        await check_books(system)


@of_each_rung
async def test_an_actor_is_killed_in_its_handler(cls: type[Counter]) -> None:
    async with faulty(of(P.RECEIVE, A.CANCEL, message_type="Add", nth=1)) as system:
        counter = await system.spawn(cls, name="counter")
        with pytest.raises(ActorStopped, match="killed"):
            await counter.ask(Add(1), timeout=5)

        assert await counter.ask(Total(), timeout=5) == 0
        assert counter.incarnation == 2
        await check_books(system)


@of_each_rung
async def test_a_reply_can_be_late_and_fail(cls: type[Counter]) -> None:
    rules = (
        of(P.REPLY, A.DELAY, seconds=5.0, nth=1),
        of(P.REPLY, A.RAISE, nth=2),
    )
    async with faulty(*rules) as system:
        counter = await system.spawn(cls, name="counter")
        with pytest.raises(AskTimeout):
            await counter.ask(Total(), timeout=1)
        with pytest.raises(HandlerFailed):
            await counter.ask(Total(), timeout=60)
        assert await counter.ask(Total(), timeout=5) == 0
        assert [reason for _, reason in letters(system)] == ["late_reply", "failed"]


async def test_a_reply_fails_behind_its_handler_and_one_that_nobody_asked_for_does_not() -> None:
    log = Log()
    async with faulty(of(P.REPLY, A.RAISE)) as system:
        recorder = await system.spawn(Recorder, log, name="recorder")
        with pytest.raises(HandlerFailed):
            await recorder.ask(Say("asked"), timeout=5)
        recorder.tell(Say("told"))
        await log.until("told")
        await recorder.stop()

        assert "asked" in log.lines
        assert len(injected(system)) == 1


class Slow(Actor):
    """Its handlers and hooks wait before they say anything."""

    durability: ClassVar[DurabilityName] = "volatile"
    handler_timeout = 10.0

    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    async def say(self, message: Say) -> None:
        await anyio.sleep(20 if message.text == "too slow" else 1)
        self.log(message.text)

    async def on_stop(self) -> None:
        await anyio.sleep(1)
        self.log("stopped")


async def test_what_is_struck_waits_for_its_handler_and_its_hook_as_ever() -> None:
    log = Log()
    rules = (of(P.RECEIVE, A.DELAY, seconds=2.0), of(P.STOP, A.DELAY, seconds=3.0))
    with anyio.fail_after(60):
        async with faulty(*rules) as system:
            slow = await system.spawn(Slow, log, name="slow", restart="temporary")
            slow.tell(Say("hi"))
            await log.until("hi")
            began = anyio.current_time()
            await slow.stop()

            assert log.lines == ["hi", "stopped"]
            assert anyio.current_time() - began == pytest.approx(4.0)


async def test_a_handler_that_is_overdue_comes_by_once() -> None:
    async with faulty(of(P.RECEIVE, A.RAISE, nth=2), of(P.MAILBOX_GET, A.DROP, nth=2)) as system:
        slow = await system.spawn(Slow, Log(), name="slow")
        slow.tell(Say("too slow"))
        await anyio.sleep(60)

        assert [reason for _, reason in letters(system)] == ["failed"]
        assert injected(system) == ()


async def test_a_turn_that_fails_before_its_reply_leaves_no_state() -> None:
    async with faulty(of(P.REPLY, A.RAISE, message_type="Add")) as system:
        counter = await system.spawn(DurableCounter, name="counter")
        with pytest.raises(HandlerFailed):
            await counter.ask(Add(7), timeout=5)

        assert await counter.ask(Total(), timeout=5) == 0


@of_each_rung
async def test_a_start_that_fails_is_told_to_who_spawns(cls: type[Counter]) -> None:
    async with faulty(of(P.START, A.RAISE, nth=1)) as system:
        with pytest.raises(FaultInjected):
            await system.spawn(cls, name="counter")

        assert (await system.spawn(cls, name="counter")).is_alive


async def test_a_restart_that_fails_counts_as_another_failure() -> None:
    rules = (of(P.RECEIVE, A.RAISE, nth=1), of(P.START, A.RAISE, nth=2), of(P.START, A.CANCEL, nth=3))
    async with faulty(*rules) as system:
        counter = await system.spawn(Counter, name="counter")
        with pytest.raises(HandlerFailed):
            await counter.ask(Add(1), timeout=5)

        assert await counter.ask(Total(), timeout=5) == 0
        assert [fault.point for fault in injected(system)] == [P.RECEIVE, P.START, P.START]
        assert counter.incarnation == 4


class Patient(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=3, within=5.0)


async def test_a_start_that_hangs_is_found_by_its_deadline() -> None:
    async with faulty(of(P.START, A.HANG, actor="pool/slow")) as system:
        pool = await system.spawn(Patient, name="pool")
        with pytest.raises(StartTimeout):
            await pool.start_child(ChildSpec(Counter, name="slow", start_timeout=1.0))


@of_each_rung
async def test_an_end_waits_and_fails(cls: type[Counter]) -> None:
    async with faulty(of(P.STOP, A.DELAY, seconds=3.0, nth=1), of(P.STOP, A.RAISE, nth=2)) as system:
        counter = await system.spawn(cls, name="counter", restart="temporary")
        began = anyio.current_time()
        await counter.stop()
        assert anyio.current_time() - began == pytest.approx(3.0)
        again = await system.spawn(cls, name="counter", restart="temporary")
        await again.stop()

        assert not again.is_alive
        assert len(injected(system)) == 2


async def test_a_checkpoint_that_fails_is_told_to_who_asked_for_it() -> None:
    async with faulty(of(P.CHECKPOINT, A.RAISE, nth=1)) as system:
        counter = await system.spawn(Counter, name="counter")
        with pytest.raises(HandlerFailed):
            await counter.ask(Save(), timeout=5)

        assert await counter.ask(Save(), timeout=5)


async def test_a_durable_turn_whose_state_cannot_be_encoded_leaves_nothing() -> None:
    async with faulty(of(P.CHECKPOINT, A.RAISE, nth=1)) as system:
        counter = await system.spawn(DurableCounter, name="counter")
        with pytest.raises(HandlerFailed):
            await counter.ask(Add(5), timeout=5)

        assert await counter.ask(Total(), timeout=5) == 0
        await check_books(system)


class Clock(Notebook):
    durability: ClassVar[DurabilityName] = "volatile"

    def on_start(self) -> None:
        self.context.timers.every("tick", 1.0, Note("tick"))
        self.context.timers.once("once", 1.5, Note("once"))


class MirroredClock(Clock):
    durability: ClassVar[DurabilityName] = "mirrored"


class DurableClock(Notebook):
    durability: ClassVar[DurabilityName] = "durable"

    def on_start(self) -> None:
        self.context.timers.once("once", 1.5, Note("once"), durable=True)


async def test_ticks_are_dropped_and_late() -> None:
    rules = (of(P.TIMER, A.DROP, nth=1), of(P.TIMER, A.DELAY, seconds=0.7, nth=2))
    async with faulty(*rules) as system:
        clock = await system.spawn(Clock, name="clock")
        seen: list[list[str]] = []
        for _ in range(5):
            await anyio.sleep(0.55)
            seen.append(list(await clock.ask(Notes(), timeout=5)))

    assert seen == [[], [], [], ["tick", "once"], ["tick", "once"]]


@pytest.mark.parametrize("action", [A.DROP, A.DELAY])
async def test_a_durable_timer_is_late_or_gone(action: FaultAction) -> None:
    rule = of(P.TIMER, action, nth=1, seconds=2.0 if action is A.DELAY else None)
    async with faulty(rule) as system:
        clock = await system.spawn(DurableClock, name="clock")
        await anyio.sleep(3.0)
        assert await clock.ask(Notes(), timeout=5) == []
        await anyio.sleep(1.0)
        assert await clock.ask(Notes(), timeout=5) == ([] if action is A.DROP else ["once"])
        await check_books(system)


@pytest.mark.parametrize("cls", [Clock, MirroredClock])
async def test_a_tick_that_is_dropped_is_accounted_for(cls: type[Notebook]) -> None:
    async with faulty(of(P.MAILBOX_GET, A.DROP, message_type="Note", nth=1)) as system:
        clock = await system.spawn(cls, name="clock")
        await anyio.sleep(1.2)

        assert await clock.ask(Notes(), timeout=5) == []
        assert letters(system) == [(Note("tick"), "dropped")]
        await check_books(system)


async def test_a_spawn_fails_before_anything_is_made() -> None:
    async with faulty(of(P.SPAWN, A.RAISE, nth=1, message_type="Counter")) as system:
        with pytest.raises(FaultInjected):
            await system.spawn(Counter, name="counter")

        assert (await system.spawn(Counter, name="counter")).incarnation == 1


async def test_a_publication_fails_before_anything_is_written() -> None:
    event = AgentEvent(event_type="shop.opened", source_agent="shop")
    async with faulty(of(P.PUBLISH, A.RAISE, nth=1, message_type="shop.*")) as system:
        with pytest.raises(FaultInjected):
            await system.events.publish_event(event)
        await system.events.publish_event(event)

        history = await system.events.get_event_history(event_type="shop.opened")
        assert len(history) == 1


async def test_the_same_seed_gives_the_same_faults() -> None:
    async def run() -> tuple[Any, ...]:
        rules = (
            of(P.RECEIVE, A.RAISE, probability=0.2, message_type="Add"),
            of(P.MAILBOX_GET, A.DUPLICATE, probability=0.1),
            of(P.STORE_APPEND, A.DELAY, seconds=0.1, probability=0.2),
        )
        async with faulty(*rules, seed=42) as system:
            refs = [await system.spawn(DurableCounter, name=f"c{n}", restart="permanent") for n in range(3)]
            for n in range(30):
                await refs[n % 3].send(Add(n))
                await anyio.sleep(5)
            return injected(system)

    first, second = await run(), await run()
    assert first == second
    assert len(first) > 5


KILLED = """
import os, signal, anyio
from sentient_core import ActorSystem, AgentEvent
from sentient_core.faults import ACTIONS, FaultAction, FaultPlan, FaultPoint, Rule
from tests.faults.test_points import Clock
from tests.probes import Add, DurableCounter

async def main(point):
    plan = FaultPlan(1, (Rule(point=point, action=FaultAction.KILL),))
    async with ActorSystem("test", store="mem://", faults=plan) as system:
        clock = await system.spawn(Clock, name="clock")
        counter = await system.spawn(DurableCounter, name="counter")
        await counter.ask(Add(), timeout=5)
        await counter.stop()
        await system.events.publish_event(AgentEvent(event_type="shop.opened", source_agent="shop"))
        while True:
            await anyio.sleep(0.1)

for point in FaultPoint:
    if FaultAction.KILL in ACTIONS[point]:
        child = os.fork()  # each from here, where all is imported, and nothing runs
        if not child:
            anyio.run(main, point)
        print(point.value, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_process_ends_at_every_point() -> None:
    told = subprocess.run(
        [sys.executable, "-P", "-c", KILLED], check=True, capture_output=True, text=True, timeout=120
    )

    ends = dict(line.split() for line in told.stdout.splitlines())
    assert ends == dict.fromkeys(map(str, FaultPoint), str(-signal.SIGKILL))


def test_what_is_no_plan_is_refused_at_once() -> None:
    plan: Any = "seed = 1"
    with pytest.raises(InvalidArgument, match="faults must be a FaultPlan"):
        ActorSystem("test", store=MemoryStore(), faults=plan)


class Passing(Counter):
    passivate_after = 10.0


async def test_a_checkpoint_that_fails_as_an_actor_is_passivated_is_the_actors_failure() -> None:
    async with faulty(of(P.CHECKPOINT, A.RAISE, nth=1)) as system:
        counter = await system.get_or_spawn(Passing, "k")
        await counter.ask(Add(1), timeout=5)
        await anyio.sleep(60)

        await counter.ask(Add(10), timeout=5)
        assert counter.incarnation > 1
        assert len(injected(system)) == 1
        await check_books(system)
