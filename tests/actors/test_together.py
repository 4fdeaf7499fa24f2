"""Features used together: what one promises holds beside the other."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    InvalidArgument,
    Request,
    StaleIncarnation,
    Supervisor,
    UncopyableMessage,
    handles,
)
from tests.probes import Gate, Log, Say, running
from tests.puppet import Do, Puppet, in_turn


class Item(msgspec.Struct, frozen=True):
    name: str


class Open(Request[int], frozen=True):
    """Return what was stashed."""


class Door(Actor):
    """Stashes items until it is open; all its handlers are plain functions."""

    durability = "volatile"

    def __init__(self, log: Log) -> None:
        self.log = log
        self.is_open = False

    @handles
    def item(self, message: Item) -> None:
        if self.is_open:
            self.log(message.name)
        else:
            self.context.stash()

    @handles
    def open(self, message: Open) -> int:
        self.is_open = True
        return self.context.unstash_all()


async def test_what_an_ask_answered_at_once_returns_from_the_stash_is_handled() -> None:
    log = Log()
    async with running() as system:
        door = await system.spawn(Door, log)
        door.tell(Item("a"))
        door.tell(Item("b"))
        await anyio.sleep(0.1)

        assert await door.ask(Open(), timeout=1.0) == 2

        await anyio.sleep(1)
        assert log.lines == ["a", "b"]


async def test_a_handler_that_stashes_unstashes_and_raises_among_priorities() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Puppet, log, name="p")

        async def act(actor: Puppet) -> None:
            actor.context.stash()
            actor.context.unstash_all()
            ref.with_options(priority=1).tell("high")
            raise ValueError

        ref.tell(Do(act))
        await log.until("high")
        assert [letter.reason.value for letter in system.dead_letters] == ["failed"]


async def test_a_deadline_holds_also_in_the_stash() -> None:
    log = Log()
    async with running() as system:
        door = await system.spawn(Door, log)
        door.with_options(expires=1.0).tell(Item("late"))
        door.tell(Item("in time"))
        await anyio.sleep(2)
        await door.ask(Open(), timeout=1.0)
        await anyio.sleep(1)
        assert log.lines == ["in time"]
        assert [letter.reason.value for letter in system.dead_letters] == ["expired"]


async def test_a_deadline_and_a_priority_go_on_with_a_forwarded_message() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        back = await system.spawn(Puppet, log, name="back")
        front = await system.spawn(Front, back)

        async def wait(_: Any) -> None:
            await gate()

        back.tell(Do(wait))
        await gate.reached.wait()
        back.tell("plain")
        front.with_options(priority=1).tell("urgent")
        front.with_options(expires=1.0).tell("late")
        await anyio.sleep(2)
        gate.open.set()
        await log.until("plain")
        assert log.lines == ["urgent", "plain"]
        assert [letter.reason.value for letter in system.dead_letters] == ["expired"]


class Front(Actor):
    durability = "volatile"

    def __init__(self, back: ActorRef[Any]) -> None:
        self.back = back

    @handles
    def do(self, message: Do) -> None:
        self.context.forward(self.back)

    def on_receive(self, message: Any) -> None:
        self.context.forward(self.back)


class Copying(Puppet):
    isolation: ClassVar[Any] = "copy"


async def test_a_message_that_one_cannot_copy_reaches_nobody() -> None:
    log = Log()
    async with running() as system:
        plain = await system.spawn(Puppet, log)
        copying = await system.spawn(Copying, log)
        with pytest.raises(UncopyableMessage):
            system.broadcast([plain, copying], [(n for n in "abc")])
        with pytest.raises(InvalidArgument):
            system.broadcast([], None)
        await anyio.sleep(1)
        assert log.lines == []


async def test_options_of_a_ref_hold_for_a_forward() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        back = await system.spawn(Puppet, log, name="back")
        front = await system.spawn(Front, back.with_options(priority=1))

        async def wait(_: Any) -> None:
            await gate()

        back.tell(Do(wait))
        await gate.reached.wait()
        back.tell("plain")
        front.tell("urgent")
        await anyio.sleep(1)
        gate.open.set()
        await log.until("plain")
        assert log.lines == ["urgent", "plain"]


async def test_an_ended_instance_spawns_nothing() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, name="p")
        context = await in_turn(ref, lambda actor: actor.context)
        await ref.stop()
        with pytest.raises(StaleIncarnation):
            await context.spawn(Puppet, name="child")
        assert system.actors(Puppet) == []


async def test_an_instance_before_this_one_spawns_nothing() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, name="p", restart="permanent")
        context = await in_turn(ref, lambda actor: actor.context)
        await ref.stop()
        await in_turn(ref, lambda _: None)
        with pytest.raises(StaleIncarnation):
            await context.spawn(Puppet, name="child")


async def test_a_dead_target_that_checks_gives_the_message_back_as_it_was() -> None:
    class Checking(Puppet):
        isolation = "check"

    async with running() as system:
        back = await system.spawn(Checking)
        front = await system.spawn(Front, back)
        await back.stop()
        with pytest.raises(ActorStopped) as caught:
            await front.ask(Item("x"), timeout=1.0)
        assert caught.value.message == Item("x")


@pytest.mark.parametrize("what", ["once", "every", "receive"])
async def test_none_is_no_message_of_a_timer(what: str) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def act(actor: Puppet) -> None:
            if what == "once":
                actor.context.timers.once("k", 1, None)
            elif what == "every":
                actor.context.timers.every("k", 1, None)
            else:
                actor.context.set_receive_timeout(1, None)

        def check(actor: Puppet) -> None:
            with pytest.raises(InvalidArgument):
                act(actor)

        await in_turn(ref, check)


async def test_a_passivated_actor_can_be_linked_to() -> None:
    class Virtual(Actor):
        class State(msgspec.Struct):
            n: int = 0

        @handles
        def say(self, message: Say) -> str:
            return message.text

    async with running() as system:
        ref = await system.spawn(Puppet, name="p")
        virtual = await system.get_or_spawn(Virtual, "v")
        await in_turn(ref, lambda actor: actor.context.link(virtual))
        await anyio.sleep(1)
        assert ref.incarnation == 1
        await virtual.ask(Say("x"), timeout=1)


async def test_a_link_within_a_group_costs_one_restart() -> None:
    log = Log()

    class Sup(Supervisor):
        durability = "volatile"
        strategy = Supervisor.one_for_all(max_restarts=1, within=5.0)

        @handles
        async def do(self, message: Do) -> Any:
            return await message.act(self)  # type: ignore[misc]

    async with running() as system:
        sup = await system.spawn(Sup, name="sup")
        a = await sup.ask(
            Do(lambda s: s.context.spawn(Puppet, log, name="a", restart="permanent")), timeout=1
        )
        b = await sup.ask(
            Do(lambda s: s.context.spawn(Puppet, log, name="b", restart="permanent")), timeout=1
        )
        await in_turn(a, lambda actor: actor.context.link(b))

        def fail(_: Any) -> None:
            raise ValueError

        a.tell(Do(fail))
        await anyio.sleep(1)
        assert (sup.incarnation, a.incarnation, b.incarnation) == (1, 2, 2)


async def test_what_an_actor_sends_itself_is_copied_too() -> None:
    class Growing(Copying):
        def on_receive(self, message: list[int]) -> None:
            message.append(1)
            self.log(str(len(message)))

    log, mine = Log(), [0]
    async with running() as system:
        ref = await system.spawn(Growing, log)

        async def make() -> list[int]:
            return mine

        def act(actor: Puppet) -> None:
            actor.context.timers.every("key", 1, mine)
            actor.context.timers.once("once", 0, mine)
            actor.context.pipe_to_self(make)
            actor.context.set_receive_timeout(0.4, mine)

        await in_turn(ref, act)
        await anyio.sleep(3.5)
        assert set(log.lines) == {"2"}
        assert mine == [0]

        def uncopyable(actor: Puppet) -> None:
            with pytest.raises(UncopyableMessage):
                actor.context.timers.once("key", 1, (n for n in "abc"))

        await in_turn(ref, uncopyable)
