"""Durable actors over deaths and ends of the process: what was acknowledged is there, as it was sent."""

from __future__ import annotations

import math
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    ChildSpec,
    DeadLetterFilter,
    MailboxOptions,
    MemoryStore,
    Overflow,
    Request,
    Supervisor,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.crashes import crashing
from tests.probes import Gate, Log, Say, letters, running


class Read(Request[list[str]], frozen=True):
    """What was said."""


class Task(Request[str], frozen=True):
    text: str
    how: str = ""


class Account(Actor):
    durability = "durable"
    max_attempts = 3

    class State(msgspec.Struct):
        said: list[str] = []

    state: State

    def __init__(self, log: Log | None = None, gate: Gate | None = None) -> None:
        self.log = log or Log()
        self.gate = gate or Gate()

    @handles
    def say(self, message: Say) -> None:
        self.log(message.text)
        self.state.said.append(message.text)

    @handles
    def read(self, message: Read) -> list[str]:
        return self.state.said

    @handles
    async def task(self, message: Task) -> str:
        envelope = self.context.message
        assert envelope is not None
        how = message.how
        self.log(f"{message.text} {envelope.attempt}")
        if how == "wait":
            await self.gate()
        elif how == "stash" and not self.gate.open.is_set():
            self.context.stash()
            return ""
        elif how == "fail":
            raise ValueError(how)
        elif how.startswith("tell "):
            self.context.system.get(how.removeprefix("tell ")).tell(Say(message.text))
        self.state.said.append(message.text)
        return message.text


class Patient(Supervisor):
    durability = "volatile"
    strategy = Supervisor.one_for_one(max_restarts=1_000)


async def account(system: ActorSystem, log: Log | None = None, gate: Gate | None = None) -> ActorRef[Account]:
    """A permanent one."""
    team = type("Team", (Patient,), {"children": (ChildSpec(Account, name="a", args=(log, gate)),)})
    await system.spawn(team, name="top")
    ref: ActorRef[Account] = system.get("top/a")
    return ref


async def said(ref: ActorRef[Any]) -> list[str]:
    texts: list[str] = await ref.ask(Read(), timeout=60)
    return texts


async def test_what_was_acknowledged_survives_in_order_and_what_was_handled_is_not_handled_again() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()
    async with crashing(store) as system:
        ref = await account(system, log, gate)
        await ref.send(Say("1"))
        ref.tell(Task("in hand", "wait"))
        await gate.reached.wait()
        for number in range(2, 6):
            await ref.send(Say(str(number)))

    gate.open.set()
    async with crashing(store) as system:
        assert await said(await account(system, log, gate)) == ["1", "in hand", "2", "3", "4", "5"]
    async with running(store=store) as system:
        assert await said(await account(system)) == ["1", "in hand", "2", "3", "4", "5"]
        assert not letters(system)


async def test_what_is_told_comes_behind_what_was_pending_and_no_number_of_crashes_changes_that() -> None:
    store = MemoryStore()
    for start in range(3):
        gate = Gate()
        async with crashing(store) as system:
            ref = await account(system, None, gate)
            ref.tell(Task(f"{start} waits", "wait"))
            await ref.send(Say(f"{start} said"))
            await gate.reached.wait()
    gate = Gate()
    gate.open.set()
    async with running(store=store) as system:
        ref = await account(system, None, gate)
        assert await said(ref) == [f"{start} {what}" for start in range(3) for what in ("waits", "said")]


async def test_a_turn_and_what_it_has_sent_are_lost_or_kept_together() -> None:
    store = MemoryStore()
    async with crashing(store) as system:
        ref = await account(system)
        target = await system.spawn(Account, name="target")
        await ref.send(Task("kept", "tell target"))
        await said(ref)
        store.pause()
        ref.tell(Task("lost", "tell target"))
        await anyio.sleep(10)
        store.is_paused = False  # nothing of it has been committed
    async with running(store=store) as system:
        target = await system.spawn(Account, name="target")
        assert await said(await account(system)) == await said(target) == ["kept"]


async def test_a_message_in_hand_at_the_end_of_the_system_stays_pending_and_who_asked_is_told() -> None:
    store, log = MemoryStore(), Log()
    errors: list[ActorStopped] = []

    async def ask(ref: ActorRef[Account], task: Task) -> None:
        try:
            await ref.ask(task, timeout=100)
        except ActorStopped as error:
            errors.append(error)

    with structlog.testing.capture_logs():
        async with anyio.create_task_group() as tasks, running(store=store) as system:
            gate = Gate()
            ref = await account(system, log, gate)
            tasks.start_soon(ask, ref, Task("in hand", "wait"))
            await gate.reached.wait()
            tasks.start_soon(ask, ref, Task("queued"))
            await anyio.sleep(1)
        assert len(errors) == 2
        assert all("pending" in str(error) for error in errors)
        assert not letters(system)

        gate = Gate()
        gate.open.set()
        async with running(store=store) as system:
            assert await said(await account(system, log, gate)) == ["in hand", "queued"]
    assert log.lines == ["in hand 1", "in hand 1", "queued 1"]


async def test_what_the_last_turns_send_to_actors_that_have_ended_with_the_system_stays_pending() -> None:
    store, gate = MemoryStore(), Gate()

    class Late(Account):
        async def on_stop(self) -> None:
            self.context.system.get("late/second").tell(Say("farewell"))

    class Team(Patient):
        children = (ChildSpec(Late, name="first"), ChildSpec(Account, name="second", args=(None, gate)))

    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            await system.spawn(Team, name="late")
        assert not letters(system)
        async with running(store=store) as system:
            await system.spawn(Team, name="late")
            assert await said(system.get("late/second")) == ["farewell"]


async def test_what_a_turn_sends_to_an_actor_that_drains_while_the_system_ends_stays_pending() -> None:
    store, gate, later = MemoryStore(), Gate(), Gate()

    class Sends(Account):
        @handles
        async def task(self, message: Task) -> str:
            await self.gate()
            self.context.system.get("target").tell(Say(message.text))
            return ""

    with structlog.testing.capture_logs():
        async with anyio.create_task_group() as tasks, running(store=store) as system:
            target = await system.spawn(Account, None, gate, name="target")
            target.tell(Task("blocks", "wait"))
            await gate.reached.wait()
            target.drain()
            by = await system.spawn(Sends, None, later, name="by")
            by.tell(Task("x"))
            await later.reached.wait()

            async def open_later() -> None:
                await anyio.sleep(2)
                later.open.set()

            tasks.start_soon(open_later)
        assert not letters(system)
        gate.open.set()
        async with running(store=store) as system:
            assert await said(await system.spawn(Account, None, gate, name="target")) == ["blocks", "x"]


async def test_priorities_and_deadlines_are_kept() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()
    with structlog.testing.capture_logs():
        async with crashing(store) as system:
            ref = await account(system, log, gate)
            await ref.send(Task("first", "wait"))
            await gate.reached.wait()
            await ref.with_options(priority=-1).send(Say("low"))
            await ref.send(Say("plain"))
            await ref.with_options(priority=5).send(Say("high"))
            await ref.with_options(expires=0.000_001).send(Say("expired"))
            await ref.with_options(deadline=3_600, expires=math.inf).send(Say("in time"))
            await ref.with_options(priority=5).send(Say("high too"))

        gate.open.set()
        log.lines.clear()
        async with running(store=store) as system:
            ref = await account(system, log, gate)
            await log.until("low")
            assert log.lines == ["high", "high too", "first 1", "plain", "in time", "low"]
            assert letters(system) == [(Say("expired"), "expired")]


async def test_tries_go_on_counting_and_the_death_of_the_process_costs_none() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()

    class Fails(Account):
        @handles
        async def task(self, message: Task) -> str:
            envelope = self.context.message
            assert envelope is not None
            self.log(f"{message.text} {envelope.attempt}")
            if envelope.attempt > 1 and not self.gate.open.is_set():
                await self.gate()
            raise ValueError(message.text)

    class Team(Patient):
        children = (ChildSpec(Fails, name="a", args=(log, gate)),)

    with structlog.testing.capture_logs():
        for _ in range(2):
            async with crashing(store) as system:
                await system.spawn(Team, name="top")
                if not log.lines:
                    await system.get("top/a").send(Task("x"))
                await gate.reached.wait()
                await system.flush()
        gate.open.set()
        async with running(store=store) as system:
            await system.spawn(Team, name="top")
            await log.until("x 3")
            await said(system.get("top/a"))
            assert letters(system) == [(Task("x"), "quarantined")]
            (letter,) = system.dead_letters
            assert letter.tries == 3
    assert log.lines == ["x 1", "x 2", "x 2", "x 2", "x 3"]


async def test_what_was_stashed_is_pending() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()
    async with crashing(store) as system:
        ref = await account(system, log, gate)
        await ref.send(Task("stashed", "stash"))
        await ref.send(Say("said"))
        await said(ref)
    gate.open.set()
    async with running(store=store) as system:
        texts = await said(await account(system, log, gate))
        assert texts == ["said", "stashed"]


async def test_a_redriven_letter_is_pending_under_its_id_and_counts_its_attempts_over_crashes() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()

    class Once(Account):
        max_attempts = 1

        @handles
        async def task(self, message: Task) -> str:
            self.log(message.text)
            if message.how == "wait":
                await self.gate()
            raise ValueError(message.text)

    class Team(Patient):
        children = (ChildSpec(Once, name="a", args=(log, gate)),)

    with structlog.testing.capture_logs():
        async with crashing(store) as system:
            await system.spawn(Team, name="top")
            ref = system.get("top/a")
            await ref.send(Task("x"))
            await said(ref)
            (letter,) = await system.dead_letters.list()
            ref.tell(Task("blocks", "wait"))
            await gate.reached.wait()
            await system.dead_letters.redrive(letter.message_id)
            (row,) = await system.dead_letters.list()
            assert row.status == "redriven"

        gate.open.set()
        async with running(store=store) as system:
            await system.spawn(Team, name="top")
            await said(system.get("top/a"))
            await log.until("x", 2)
            await said(system.get("top/a"))
            rows = {row.payload["text"]: row for row in await system.dead_letters.list()}
            assert rows["x"].message_id == letter.message_id
            assert (rows["x"].status, rows["x"].attempts) == ("open", 2)
            await system.dead_letters.discard(DeadLetterFilter(), reason="done")
        async with running(store=store) as system:
            await system.spawn(Team, name="top")
            await said(system.get("top/a"))
            assert log.lines.count("x") == 2


class Idle(Account):
    passivate_after = 5.0

    def __init__(self, log: Log | None = None) -> None:
        super().__init__(log)


async def test_a_virtual_actor_goes_on_from_its_last_turn_and_has_what_came_while_it_was_passive() -> None:
    store = MemoryStore()
    async with crashing(store) as system:
        ref = await system.get_or_spawn(Idle, "alice")
        await ref.send(Say("1"))
        await anyio.sleep(60)
        await ref.send(Say("2"))
        assert await said(ref) == ["1", "2"]
        await anyio.sleep(60)
        await ref.send(Say("3"))
    async with running(store=store) as system:
        ref = await system.get_or_spawn(Idle, "alice")
        await ref.send(Say("4"))
        assert await said(ref) == ["1", "2", "3", "4"]
        assert not letters(system)


async def test_a_virtual_actor_may_go_while_its_last_turns_are_on_their_way_to_the_store() -> None:
    class Leaves(Idle):
        @handles
        def say(self, message: Say) -> None:
            super().say(message)
            self.context.ref.stop()

    async with running() as system:
        ref = await system.get_or_spawn(Leaves, "alice")
        for number in range(50):
            ref.tell(Say(str(number)))
            if number % 7 == 0:
                await anyio.lowlevel.checkpoint()
        assert await said(ref) == [str(number) for number in range(50)]


async def test_what_is_dropped_before_the_first_start_does_not_come_back_with_it() -> None:
    class Small(Idle):
        mailbox = MailboxOptions(capacity=2, overflow=Overflow.DROP_OLD)

    store = MemoryStore()
    with structlog.testing.capture_logs():
        async with crashing(store) as system:
            ref = await system.get_or_spawn(Small, "a")
            await ref.send(Say("1"))
            await said(ref)
        async with running(store=store) as system:
            ref = await system.get_or_spawn(Small, "a")
            for number in range(2, 6):
                ref.tell(Say(str(number)))
            await anyio.sleep(10)
            assert await said(ref) == ["1", "4", "5"]


async def test_what_is_dropped_while_the_store_tells_what_was_left_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Small(Idle):
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_OLD)

    with structlog.testing.capture_logs():
        async with running() as system:
            log = Log()
            ref = await system.get_or_spawn(Small, "a", log)
            await ref.send(Say("1"))
            await anyio.sleep(60)
            journal, gate = cell_of(ref).runtime.mirror.journal, Gate()
            read = journal.estates

            async def read_slowly(*args: Any, **options: Any) -> Any:
                estates = await read(*args, **options)
                await gate()
                return estates

            monkeypatch.setattr(journal, "estates", read_slowly)
            ref.tell(Say("2"))
            await gate.reached.wait()
            ref.tell(Say("3"))
            gate.open.set()
            await log.until("3")

            assert await said(ref) == ["1", "3"]
            assert letters(system) == [(Say("2"), "dropped")]


async def test_an_actor_that_ended_for_good_leaves_its_state_and_nothing_pending() -> None:
    store = MemoryStore()
    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            ref = await system.spawn(Account, name="a")
            await ref.send(Say("1"))
            assert await said(ref) == ["1"]
            await ref.stop()
            ref.tell(Say("too late"))
            again = await system.spawn(Account, name="a")
            await again.send(Say("2"))
            assert await said(again) == ["1", "2"]
        async with running(store=store) as system:
            assert await said(await system.spawn(Account, name="a")) == ["1", "2"]


@pytest.mark.parametrize("ending", ["crash", "end"])
async def test_forwarded_messages_are_the_next_ones(ending: str) -> None:
    class Forwards(Account):
        @handles
        async def task(self, message: Task) -> str:
            self.state.said.append(message.text)
            self.context.forward(self.context.system.get("target"))
            return ""

    store, gate = MemoryStore(), Gate()
    with structlog.testing.capture_logs():
        async with (crashing if ending == "crash" else running)(store=store) as system:
            target = await system.spawn(Account, None, gate, name="target")
            target.tell(Task("blocks", "wait"))
            by = await system.spawn(Forwards, name="by")
            await by.send(Task("x"))
            assert await said(by) == ["x"]
        gate.open.set()
        async with running(store=store) as system:
            assert await said(await system.spawn(Account, None, gate, name="target")) == ["blocks", "x"]
            assert await said(await system.spawn(Forwards, name="by")) == ["x"]
