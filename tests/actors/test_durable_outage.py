"""Durable actors while the store is away: they hold, who sends waits, and all of it goes on afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    AskTimeout,
    ChildSpec,
    CommitTimeout,
    HandlerFailed,
    JournalOptions,
    MailboxOptions,
    MemoryStore,
    Overflow,
    Request,
    SendTimeout,
    StoreUnavailable,
    Supervisor,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Add, Gate, Log, Say, Total, VolatileCounter, letters, running

SMALL = JournalOptions(tail_bytes=20_000)


class Read(Request[list[str]], frozen=True):
    """What was said."""


class Wait(msgspec.Struct, frozen=True):
    fails: bool = False


class Ball(msgspec.Struct, frozen=True):
    to: Any = None


class Account(Actor):
    durability = "durable"
    handler_timeout = 100.0

    class State(msgspec.Struct):
        said: list[str] = []

    state: State

    def __init__(self, log: Log, gate: Gate) -> None:
        self.log = log
        self.gate = gate

    def on_restart(self, cause: BaseException | None) -> None:
        self.log("restarted")

    @handles
    def say(self, message: Say) -> str:
        self.log(message.text)
        self.state.said.append(message.text)
        return message.text

    @handles
    def read(self, message: Read) -> list[str]:
        return self.state.said

    @handles
    async def wait(self, message: Wait) -> None:
        self.state.said.append("waited")
        await self.gate()
        if message.fails:
            raise ValueError


class Outage:
    """A system with a durable actor, whose store can be away."""

    def __init__(self, system: ActorSystem, store: MemoryStore, log: Log, gate: Gate) -> None:
        self.system = system
        self.store = store
        self.log = log
        self.gate = gate
        self.account: ActorRef[Account] = system.get("top/account")

    @property
    def journal(self) -> Any:
        return cell_of(self.account).runtime.mirror.journal

    def fill(self) -> None:
        """Let the store go away until its tail is full."""
        self.store.pause()
        while self.journal.has_room():
            self.account.tell(Say("filler"))

    async def said(self) -> list[str]:
        said = await self.account.ask(Read(), timeout=60)
        return [text for text in said if text != "filler"]


@asynccontextmanager
async def outage(journal: JournalOptions = SMALL, cls: type[Account] = Account) -> AsyncGenerator[Outage]:
    store, log, gate = MemoryStore(), Log(), Gate()

    class Top(Supervisor):
        durability = "volatile"
        strategy = Supervisor.one_for_one(max_restarts=1_000)
        children = (ChildSpec(cls, name="account", args=(log, gate)),)

    with structlog.testing.capture_logs():
        async with running(store=store, journal=journal) as system:
            await system.spawn(Top, name="top")
            yield Outage(system, store, log, gate)


async def test_a_full_tail_makes_a_dead_letter_of_a_tell_that_names_the_store() -> None:
    async with outage() as world:
        world.fill()

        world.account.tell(Say("x"))

        (letter,) = list(world.system.dead_letters)
        assert (letter.message, letter.reason.value) == (Say("x"), "full")
        assert "store" in letter.cause
        world.store.resume()
        assert await world.said() == []


async def test_a_full_tail_makes_senders_and_askers_wait_in_order_and_all_goes_on_afterwards() -> None:
    async with outage() as world, anyio.create_task_group() as tasks:
        world.fill()
        answers: list[str] = []

        async def ask(text: str) -> None:
            answers.append(await world.account.ask(Say(text), timeout=100))

        for number in range(5):
            tasks.start_soon(world.account.send, Say(f"sent {number}"))
            await anyio.sleep(0.1)
            tasks.start_soon(ask, f"asked {number}")
            await anyio.sleep(0.1)
        await anyio.sleep(10)
        assert not answers
        world.store.resume()

        await world.log.until("asked 4")
        await anyio.sleep(1)
        assert len(answers) == 5
        expected = [f"{how} {number}" for number in range(5) for how in ("sent", "asked")]
        assert await world.said() == expected
        assert not letters(world.system)


async def test_a_timeout_says_that_it_is_the_store_and_leaves_nothing() -> None:
    async with outage() as world:
        world.fill()

        with pytest.raises(SendTimeout, match=r"not accepted .* the store is away") as late:
            await world.account.send(Say("sent"), timeout=2)
        assert isinstance(late.value.__cause__, StoreUnavailable)
        with pytest.raises(AskTimeout, match="the store is away") as unanswered:
            await world.account.ask(Say("asked"), timeout=2)
        assert isinstance(unanswered.value.__cause__, StoreUnavailable)
        with anyio.move_on_after(2):
            await world.account.send(Say("cancelled"))

        world.store.resume()
        assert await world.said() == []


async def test_a_timeout_behind_a_full_mailbox_names_the_store_that_holds_the_actor() -> None:
    class Small(Account):
        mailbox = MailboxOptions(capacity=1)

        @handles
        async def wait(self, message: Wait) -> None:
            await self.once("x", int)  # waits for the commit of the message

    async with outage(JournalOptions(), Small) as world:
        world.store.pause()
        world.account.tell(Wait())
        await anyio.sleep(1)
        world.account.tell(Say("queued"))

        with pytest.raises(SendTimeout, match="the store is away"):
            await world.account.send(Say("sent"), timeout=2)
        with pytest.raises(AskTimeout, match="the store is away"):
            await world.account.ask(Say("asked"), timeout=2)

        world.store.resume()
        assert await world.said() == ["queued"]


async def test_patience_with_a_full_store_ends_and_names_its_setting() -> None:
    async with outage(JournalOptions(tail_bytes=20_000, room_patience=7.0)) as world:
        world.fill()

        with pytest.raises(StoreUnavailable, match="room_patience"):
            await world.account.send(Say("sent"))
        with pytest.raises(StoreUnavailable, match="room_patience"):
            await world.account.ask(Say("asked"), timeout=100)

        world.store.resume()
        assert await world.said() == []


async def test_patience_does_not_end_where_it_is_the_mailbox_that_is_full() -> None:
    class Small(Account):
        mailbox = MailboxOptions(capacity=1)

    async with outage(JournalOptions(room_patience=1.0), Small) as world, anyio.create_task_group() as tasks:
        world.account.tell(Wait())
        await world.gate.reached.wait()
        world.account.tell(Say("1"))
        tasks.start_soon(world.account.send, Say("2"))

        await anyio.sleep(50)
        world.gate.open.set()

        await world.log.until("2")


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_a_sender_waits_for_the_store_whatever_the_mailbox_does_when_it_is_full(
    overflow: Overflow,
) -> None:
    class Picky(Account):
        mailbox = MailboxOptions(overflow=overflow)

    async with outage(cls=Picky) as world, anyio.create_task_group() as tasks:
        world.fill()
        tasks.start_soon(world.account.send, Say("x"))
        await anyio.sleep(10)

        world.store.resume()

        await world.log.until("x")
        assert await world.said() == ["x"]


async def test_a_send_that_is_not_committed_in_time_says_that_it_was_accepted() -> None:
    async with outage() as world:
        world.store.pause()

        with pytest.raises(CommitTimeout, match="message_id") as late:
            await world.account.send(Say("x"), timeout=3)

        assert (late.value.message, late.value.timeout) == (Say("x"), 3)
        world.store.resume()
        assert await world.said() == ["x"]


async def test_a_send_that_is_cancelled_while_it_waits_for_its_commit_stays_accepted() -> None:
    async with outage() as world:
        world.store.pause()

        with anyio.move_on_after(3):
            await world.account.send(Say("x"))

        world.store.resume()
        assert await world.said() == ["x"]


async def test_an_ask_ends_with_its_timeout_also_when_its_answer_waits_for_the_commit() -> None:
    async with outage() as world:
        world.store.pause()

        with pytest.raises(AskTimeout, match="commit"):
            await world.account.ask(Say("x"), timeout=3)

        world.store.resume()
        assert await world.said() == ["x"]
        assert letters(world.system) == [("x", "late_reply")]


async def test_durable_actors_that_send_to_each_other_hold_and_go_on_and_the_tail_stays_bounded() -> None:
    class Player(Account):
        @handles
        def play(self, message: Ball) -> None:
            self.log("hit")
            message.to.tell(Ball(self.context.ref))

    async with outage(cls=Player) as world:
        other = await world.system.spawn(Player, world.log, world.gate)
        world.store.pause()
        world.account.tell(Ball(other))
        await anyio.sleep(10)

        hits = world.log.lines.count("hit")
        assert hits > 5
        assert world.journal.backlog().bytes < 2 * SMALL.tail_bytes
        await anyio.sleep(100)
        assert world.log.lines.count("hit") == hits
        world.store.resume()
        await world.log.until("hit", hits + 100)
        await other.stop()


async def test_what_fails_while_the_tail_is_full_is_settled_and_leaves_the_last_turn() -> None:
    async with outage() as world, anyio.create_task_group() as tasks:
        await world.account.send(Say("before"))
        errors: list[Exception] = []

        async def ask() -> None:
            try:
                await world.account.ask(Wait(), timeout=1_000)
            except HandlerFailed as error:
                errors.append(error)

        tasks.start_soon(ask)
        await world.gate.reached.wait()
        world.fill()
        await anyio.sleep(200)  # beyond its time limit

        await world.log.until("restarted")
        assert not errors  # not before it is committed
        world.store.resume()
        assert await world.said() == ["before"]
        assert len(errors) == 1


async def test_a_restart_needs_no_store() -> None:
    async with outage() as world:
        await world.account.send(Say("before"))
        world.store.pause()
        await world.account.kill()
        await world.log.until("restarted")

        world.account.tell(Say("after"))
        await world.log.until("after")

        world.store.resume()
        assert await world.said() == ["before", "after"]


async def test_who_waits_for_the_store_hears_of_the_end_of_the_actor_at_once() -> None:
    async with outage() as world, anyio.create_task_group() as tasks:
        world.fill()
        errors: list[Exception] = []

        async def send() -> None:
            try:
                await world.account.send(Say("x"))
            except ActorStopped as error:
                errors.append(error)

        tasks.start_soon(send)
        await anyio.sleep(1)
        await world.system.get("top").terminate_child("account")
        await anyio.sleep(1)

        assert len(errors) == 1
        world.store.resume()


async def test_volatile_actors_do_not_notice() -> None:
    async with outage() as world:
        world.fill()
        counter = await world.system.spawn(VolatileCounter)

        counter.tell(Add())
        assert await counter.ask(Total(), timeout=1) == 1
        world.store.resume()


async def test_virtual_actors_stay_while_the_store_is_away() -> None:
    class Idle(Account):
        passivate_after = 5.0

        def __init__(self) -> None:
            super().__init__(Log(), Gate())

    async with outage() as world:
        ref = await world.system.get_or_spawn(Idle, "alice")
        await ref.send(Say("x"))
        world.store.pause()
        await anyio.sleep(50)
        assert not cell_of(ref).is_down

        world.store.resume()
        await anyio.sleep(50)
        assert cell_of(ref).is_down
        assert await ref.ask(Read(), timeout=1) == ["x"]


async def test_every_message_is_counted_once_after_an_outage() -> None:
    async with outage() as world, anyio.create_task_group() as tasks:
        for number in range(200):
            if number == 20:
                world.fill()
            if number % 3:
                world.account.tell(Say(str(number)))
            else:
                tasks.start_soon(world.account.send, Say(str(number)))
            await anyio.sleep(0.1)
        world.store.resume()

        said = await world.said()
        dead = [message.text for message, _ in letters(world.system) if message.text != "filler"]
        assert sorted([*said, *dead], key=int) == [str(number) for number in range(200)]
        assert dead


async def test_an_end_in_an_outage_keeps_what_it_can_for_the_next_start() -> None:
    store, log, gate = MemoryStore(), Log(), Gate()
    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            ref = await system.spawn(Account, log, gate, name="account")
            await ref.send(Say("x"))
            ref.tell(Wait())
            await gate.reached.wait()
            await ref.send(Say("queued"))
            store.pause()
        assert "queued" not in log.lines
        store.resume()
        gate.open.set()
        async with running(store=store) as system:
            ref = await system.spawn(Account, log, gate, name="account")
            assert await ref.ask(Read(), timeout=1) == ["x", "waited", "queued"]
