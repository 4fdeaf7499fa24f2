"""The stash: messages put away until the actor can handle them."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    NotInTurn,
    Request,
    StashFull,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Fail, Gate, letters, running
from tests.puppet import Do, in_turn


class Item(Request[str], frozen=True):
    name: str


class Open(msgspec.Struct, frozen=True):
    pass


class Shop(Actor):
    durability = "volatile"
    mailbox = MailboxOptions(stash=3)
    initial_behaviour = "closed"

    def __init__(self, sold: list[str]) -> None:
        self.sold = sold

    @handles(when="closed")
    def later(self, message: Item) -> str:
        self.context.stash()
        return "not the reply"

    @handles(when="open")
    def sell(self, message: Item) -> str:
        self.sold.append(message.name)
        return f"sold {message.name}"

    @handles
    def open(self, message: Open) -> int:
        self.context.become("open")
        return self.context.unstash_all()

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)

    @handles
    async def do(self, message: Do) -> Any:
        return message.act(self)


async def test_what_was_stashed_is_handled_next_in_order() -> None:
    async with running() as system:
        sold: list[str] = []
        shop = await system.spawn(Shop, sold)

        for name in ("a", "b"):
            shop.tell(Item(name))
        shop.tell(Open())
        for name in ("c", "d"):
            shop.tell(Item(name))
        await shop.drain()

        assert sold == ["a", "b", "c", "d"]


async def test_an_asker_goes_on_waiting_and_gets_the_later_reply() -> None:
    async with running() as system:
        shop = await system.spawn(Shop, [])
        replies: list[str] = []

        async def ask() -> None:
            replies.append(await shop.ask(Item("a"), timeout=100))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert replies == []
            assert await shop.ask(Open(), timeout=1) == 1

        assert replies == ["sold a"]


async def test_a_full_mailbox_takes_the_stash_back() -> None:
    class Small(Shop):
        mailbox = MailboxOptions(capacity=2, stash=3)

    async with running() as system:
        sold: list[str] = []
        shop = await system.spawn(Small, sold)
        for name in ("a", "b", "c"):
            await shop.send(Item(name))
        await anyio.wait_all_tasks_blocked()

        def fill_up_and_open(actor: Small) -> None:
            for name in ("d", "e", "f"):
                shop.tell(Item(name))
            actor.context.become("open")
            actor.context.unstash_all()

        await in_turn(shop, fill_up_and_open)
        await shop.drain()

        assert sold == ["a", "b", "c", "d", "e"]
        assert letters(system) == [(Item("f"), "full")]


async def test_a_stash_without_room_is_the_handlers_failure() -> None:
    async with running() as system:
        sold: list[str] = []
        shop = await system.spawn(Shop, sold)
        for name in ("a", "b", "c"):
            shop.tell(Item(name))

        with pytest.raises(HandlerFailed) as caught:
            await shop.ask(Item("d"), timeout=1)
        await shop.ask(Open(), timeout=1)
        await shop.drain()

        assert isinstance(caught.value.__cause__, StashFull)
        assert caught.value.__cause__.message == Item("d")
        assert caught.value.__cause__.capacity == 3
        assert letters(system) == [(Item("d"), "failed")]
        assert sold == ["a", "b", "c"]


async def test_a_restart_returns_the_stash_to_the_head_of_the_mailbox() -> None:
    async with running() as system:
        sold: list[str] = []
        shop = await system.spawn(Shop, sold)

        shop.tell(Item("a"))
        shop.tell(Item("b"))
        shop.tell(Fail())
        shop.tell(Open())
        shop.tell(Item("c"))
        await shop.drain()

        # The next incarnation is closed and stashes them once more, until it opens.
        assert sold == ["a", "b", "c"]
        assert letters(system) == [(Fail(), "failed")]


async def test_an_end_for_good_makes_dead_letters_of_the_stash_and_fails_who_asked() -> None:
    async with running() as system:
        shop = await system.spawn(Shop, [])
        shop.tell(Item("a"))
        errors: list[Exception] = []

        async def ask() -> None:
            with pytest.raises(ActorStopped) as caught:
                await shop.ask(Item("b"), timeout=100)
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await shop.stop()

        assert letters(system) == [(Item("a"), "stopped"), (Item("b"), "stopped")]
        assert len(errors) == 1


async def test_a_message_that_kills_its_actor_after_it_was_stashed_counts_as_in_hand() -> None:
    async with running() as system:
        sold: list[str] = []
        shop = await system.spawn(Shop, sold)
        shop.tell(Item("a"))

        def stash_and_raise(actor: Shop) -> None:
            actor.context.stash()
            raise ValueError("too late")

        def stash_unstash_and_raise(actor: Shop) -> None:
            actor.context.stash()
            actor.context.unstash_all()
            raise ValueError("too late")

        for act in (stash_and_raise, stash_unstash_and_raise):
            with pytest.raises(HandlerFailed):
                await in_turn(shop, act)
        shop.tell(Open())
        await shop.drain()

        assert sold == ["a"]
        assert [reason for _, reason in letters(system)] == ["failed", "failed"]


async def test_a_message_stashed_by_a_handler_that_is_then_killed_counts_as_in_hand() -> None:
    async with running() as system:
        gate = Gate()

        class Waits(Shop):
            @handles(when="closed")
            async def later(self, message: Item) -> None:  # type: ignore[override]
                self.context.stash()
                await gate()

        shop = await system.spawn(Waits, [])
        shop.tell(Item("a"))
        await gate.reached.wait()

        await shop.kill()

        assert letters(system) == [(Item("a"), "stopped")]


async def test_stashing_twice_in_one_turn_is_an_error() -> None:
    async with running() as system:
        shop = await system.spawn(Shop, [])

        def twice(actor: Shop) -> None:
            actor.context.stash()
            with pytest.raises(NotInTurn, match="stashed or forwarded already"):
                actor.context.stash()
            actor.context.unstash_all()
            actor.context.become("open")

        class Once(msgspec.Struct):
            done: bool = False

        once = Once()

        def only_once(actor: Shop) -> str:
            if not once.done:
                once.done = True
                twice(actor)
            return "again"

        assert await in_turn(shop, only_once) == "again"


async def test_a_stashed_message_is_counted_when_it_is_handled() -> None:
    async with running() as system:
        shop = await system.spawn(Shop, [])
        for name in ("a", "b"):
            shop.tell(Item(name))
        await anyio.wait_all_tasks_blocked()

        assert cell_of(shop).handled == 0
        await shop.ask(Open(), timeout=1)
        await shop.ask(Item("c"), timeout=1)
        assert cell_of(shop).handled == 4


async def test_the_rest_of_the_handler_still_sees_the_message() -> None:
    async with running() as system:
        shop = await system.spawn(Shop, [])
        seen: list[object] = []

        def look(actor: Shop) -> None:
            if seen:
                return
            actor.context.stash()
            envelope = actor.context.message
            assert envelope is not None
            seen.append(type(envelope.message))
            actor.context.unstash_all()

        await in_turn(shop, look)

        assert seen == [Do]


def test_a_stash_below_zero_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 0, not -1"):
        MailboxOptions(stash=-1)


async def test_a_hook_has_nothing_to_stash() -> None:
    class Early(Shop):
        def on_start(self) -> None:
            with pytest.raises(NotInTurn, match=r"the stash of .* needs a message in hand"):
                self.context.stash()
            assert self.context.unstash_all() == 0

    async with running() as system:
        ref: ActorRef[Early] = await system.spawn(Early, [])
        assert ref.is_alive
