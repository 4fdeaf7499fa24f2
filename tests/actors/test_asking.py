"""Asking: answers here and now, circles of waiting, asks that are cancelled or have had their time."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    AskCycle,
    AskTimeout,
    HandlerFailed,
    MailboxOptions,
    Request,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Say, letters, running
from tests.puppet import Act, Do, Puppet, doing, in_turn


class Now(Request[Any], frozen=True):
    """Call this with the actor, in a plain function; the reply is what it returns."""

    act: Callable[[Any], Any]


class Plain(Actor):
    """Answers at once, if it is idle."""

    durability = "volatile"

    def __init__(self) -> None:
        self.is_open = False

    @handles
    def now(self, message: Now) -> Any:
        return message.act(self)


class OneByOne(Puppet):
    mailbox: ClassVar[MailboxOptions] = MailboxOptions(capacity=1)


async def test_what_a_message_answered_at_once_unstashes_is_handled() -> None:
    async with running() as system, anyio.create_task_group() as tasks:
        shop = await system.spawn(Plain)
        served: list[object] = []

        def enter(actor: Plain) -> str:
            if not actor.is_open:
                actor.context.stash()
            return "served"

        def open_up(actor: Plain) -> int:
            actor.is_open = True
            return actor.context.unstash_all()

        async def customer() -> None:
            served.append(await shop.ask(Now(enter), timeout=5))

        tasks.start_soon(customer)
        await anyio.sleep(1)
        assert await shop.ask(Now(open_up), timeout=5) == 1
        await anyio.sleep(1)
        assert served == ["served"]


@pytest.mark.parametrize("end", ["raises", "is killed"])
async def test_a_stashed_message_whose_handler_fails_later_has_one_fate(end: str) -> None:
    async with running() as system, anyio.create_task_group() as tasks:
        actor = await system.spawn(Plain)
        calls: list[str] = []
        outcomes: list[type] = []

        async def later() -> None:
            await anyio.sleep(1)
            if end == "raises":
                raise ValueError
            await anyio.sleep_forever()

        def stash(plain: Plain) -> object:
            calls.append("handled")
            plain.context.stash()
            return later()

        async def ask() -> None:
            with pytest.raises((HandlerFailed, ActorStopped)) as caught:
                await actor.ask(Now(stash), timeout=60)
            outcomes.append(caught.type)

        tasks.start_soon(ask)
        await anyio.sleep(0.5)
        if end == "is killed":
            await actor.kill()
        await anyio.sleep(5)
        assert (calls, len(outcomes), len(letters(system))) == (["handled"], 1, 1)
        assert actor.statistics().handled == 0


async def test_who_asked_is_told_where_the_handler_killed_its_actor_before_it_raised() -> None:
    async with running() as system:
        actor = await system.spawn(Puppet)
        plain: ActorRef[Any] = await in_turn(actor, lambda a: a.context.spawn(Parent))

        def end(parent: Parent) -> None:
            parent.context.ref.kill()
            raise ValueError

        await plain.ask(Now(lambda a: a.context.timers.once("tick", 60, Say("tick"))), timeout=5)
        with anyio.fail_after(1), pytest.raises((HandlerFailed, ActorStopped)):
            await plain.ask(Now(end), timeout=60)


class Parent(Plain):
    async def on_start(self) -> None:
        await self.context.spawn(Plain)


async def test_a_circle_through_a_handler_that_was_begun_at_once_is_found() -> None:
    async with running() as system:
        first, second = await system.spawn(Puppet, name="first"), await system.spawn(Plain, name="second")

        async def back() -> object:
            return await first.ask(Do(lambda _: 1), timeout=60)

        with anyio.fail_after(1), pytest.raises(HandlerFailed) as caught:
            await in_turn(first, lambda _: second.ask(Now(lambda _: back()), timeout=60))
        assert "second -> first -> second" in str(caught.value)
        assert cell_of(first).runtime.waits == {}


@pytest.mark.parametrize("front", [Puppet, Plain])
async def test_a_forward_that_closes_a_circle_ends_the_ask(front: type[Actor]) -> None:
    async with running() as system, anyio.create_task_group() as tasks:
        asker = await system.spawn(Puppet, name="asker")
        between = await system.spawn(front, name="between")
        last = await system.spawn(Puppet, name="last")
        go = anyio.Event()
        answers: list[object] = []
        question = (Now if front is Plain else Do)(lambda a: a.context.forward(last))

        async def wait_and_ask(_: Puppet) -> str:
            await go.wait()
            with pytest.raises(AskCycle) as caught:
                await between.ask(question, timeout=60)
            return " ".join(caught.value.cycle)

        async def ask(ref: ActorRef[Any], act: Act) -> None:
            answers.append(await in_turn(ref, act))

        tasks.start_soon(ask, asker, wait_and_ask)
        await anyio.sleep(1)
        tasks.start_soon(ask, last, doing(lambda _: asker.ask(Do(lambda _: "answered"), timeout=60)))
        await anyio.sleep(1)
        go.set()
        await anyio.sleep(1)
        assert set(answers) == {"asker last asker", "answered"}
        assert letters(system) == [(question, "failed")]
        assert cell_of(asker).runtime.waits == {}


async def test_what_a_task_beside_the_turn_asks_does_not_move_what_the_turn_waits_for() -> None:
    async with running() as system, anyio.create_task_group() as tasks:
        asker = await system.spawn(Puppet, name="asker")
        between = await system.spawn(Puppet, name="between")
        last = await system.spawn(Puppet, name="last")
        go = anyio.Event()

        def pass_on(actor: Puppet) -> None:
            if actor.context.ref == between:
                actor.context.forward(last)

        async def ask_twice(_: Puppet) -> None:
            async with anyio.create_task_group() as beside:
                beside.start_soon(functools.partial(between.ask, Do(pass_on), timeout=60))
                await between.ask(Do(lambda _: go.wait()), timeout=60)

        tasks.start_soon(in_turn, asker, ask_twice)
        await anyio.sleep(1)
        waits = cell_of(asker).runtime.waits
        assert waits[cell_of(asker)][0] is cell_of(between)
        go.set()


async def test_a_reply_that_comes_with_the_cancellation_of_its_ask_is_a_late_one(
    anyio_backend_name: str,
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio delivers what has come before a cancellation")
    async with running() as system:
        actor = await system.spawn(Puppet)

        async def answer(_: Puppet) -> str:
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(task.cancel)
            return "the reply"

        task = asyncio.create_task(actor.ask(Do(answer), timeout=10))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert letters(system) == [("the reply", "late_reply")]


@pytest.mark.parametrize("way", ["send", "ask"])
async def test_a_message_that_finds_room_with_the_cancellation_of_its_sender_is_not_handled(
    anyio_backend_name: str, way: str
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio delivers what has come before a cancellation")
    async with running() as system:
        actor = await system.spawn(OneByOne)
        first, second = anyio.Event(), anyio.Event()
        handled: list[str] = []
        actor.tell(Do(lambda _: first.wait()))
        await anyio.sleep(1)

        async def cancel_and_wait(_: Puppet) -> None:
            await second.wait()

        actor.tell(Do(cancel_and_wait))
        message = Do(lambda _: handled.append("handled"))
        task = asyncio.ensure_future(
            actor.send(message) if way == "send" else actor.ask(message, timeout=100)
        )
        await anyio.sleep(1)
        first.set()
        while cell_of(actor).mailbox.line is not None:  # noqa: ASYNC110 - until the pass in which it gets room
            await asyncio.sleep(0)
        task.cancel()  # it has room: the one before it waits in its handler
        with pytest.raises(asyncio.CancelledError):
            await task
        second.set()
        await anyio.sleep(1)
        assert (handled, letters(system), actor.statistics().depth) == ([], [], 0)


async def test_cancelling_an_ask_that_is_answered_at_once_costs_no_reply() -> None:
    async with running() as system:
        actor = await system.spawn(Plain)
        handled = answered = 0

        def work(_: Plain) -> None:
            nonlocal handled
            handled += 1
            time.sleep(0.0001)

        with anyio.CancelScope() as scope:
            scope.cancel()
            while True:
                await actor.ask(Now(work), timeout=10)
                answered += 1
        assert handled == answered > 0


async def test_a_timeout_does_not_stumble_over_a_handler_without_a_name() -> None:
    async def wait(_seconds: float, _actor: Actor, _message: Say) -> None:
        await anyio.sleep(_seconds)

    class Partial(Actor):
        durability = "volatile"
        wait_long: Any = handles(Say)(functools.partial(wait, 100.0))  # type: ignore[arg-type]

    async with running() as system:
        actor = await system.spawn(Partial)
        with pytest.raises(AskTimeout, match="in partial"):
            await actor.ask(Say("hello"), timeout=1)


async def test_a_timeout_says_where_its_message_stands_and_does_not_search_for_long() -> None:
    async with running() as system, anyio.create_task_group() as tasks:
        actor = await system.spawn(Puppet)
        actor.tell(Do(lambda _: anyio.sleep(100)))
        places: list[str] = []

        async def ask(number: int) -> None:
            with pytest.raises(AskTimeout) as caught:
                await actor.ask(Say(str(number)), timeout=1)
            places.append(str(caught.value))

        for number in range(150):
            tasks.start_soon(ask, number)
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(2)
        assert any("number 1 of 150" in text for text in places)
        assert any("behind the first 100 of 150" in text for text in places)
        await actor.kill()


async def test_an_answered_ask_keeps_neither_message_nor_reply() -> None:
    class Reply:
        pass

    async with running() as system:
        actor = await system.spawn(Puppet)
        replies = [weakref.ref(await actor.ask(Do(lambda _: Reply()), timeout=60)) for _ in range(10)]
        gc.collect()
        assert [reply for reply in replies[:-1] if reply() is not None] == []


@pytest.mark.parametrize("is_idle", [True, False])
async def test_an_answer_that_is_a_stop_iteration_is_raised_as_in_any_coroutine(*, is_idle: bool) -> None:
    class Lenient(Plain):
        reply_errors = (Exception,)

    async with running() as system:
        actor = await system.spawn(Lenient)
        if not is_idle:
            actor.tell(Now(lambda _: None))
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await actor.ask(Now(lambda _: next(iter(()))), timeout=10)
        assert isinstance(caught.value.__cause__, StopIteration)
        assert await actor.ask(Now(lambda _: "goes on"), timeout=10) == "goes on"


async def test_a_start_that_raises_stop_iteration_fails_like_any_other() -> None:
    class Empty(Plain):
        def on_start(self) -> None:
            next(iter(()))

    async with running() as system:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await system.spawn(Empty)
        assert (await system.spawn(Puppet)).is_alive


async def test_a_message_that_is_returned_and_then_kills_its_actor_is_found_among_priorities() -> None:
    async with running() as system:
        actor = await system.spawn(Puppet)
        calls: list[str] = []

        def fail(puppet: Puppet) -> None:
            calls.append("handled")
            puppet.context.stash()
            puppet.context.unstash_all()
            actor.with_options(priority=3).tell("urgent")
            raise ValueError

        with pytest.raises(HandlerFailed):
            await actor.ask(Do(fail), timeout=5)
        await anyio.sleep(1)
        assert (calls, [reason for _, reason in letters(system)]) == (["handled"], ["failed"])
