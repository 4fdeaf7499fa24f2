"""`ask_many` within a turn: who waits for several answers is as much in a circle as who waits for one."""

from __future__ import annotations

from typing import Any

import anyio

from sentient_core import ActorRef, Answer, AskCycle
from sentient_core.actors.ref import cell_of
from tests.probes import running
from tests.puppet import Do, Puppet, in_turn


def seven(_: object) -> int:
    return 7


async def test_who_asks_a_group_that_it_is_in_is_told_of_the_circle_at_once() -> None:
    async with running() as system:
        a = await system.spawn(Puppet, name="a")
        b = await system.spawn(Puppet, name="b")

        async def ask_all(_: Puppet) -> Any:
            with anyio.fail_after(30):
                return await system.ask_many([a, b], Do(seven), timeout=60.0)

        itself, other = await in_turn(a, ask_all)

        assert isinstance(itself.error, AskCycle)
        assert other.reply == 7
        assert cell_of(a).runtime.crowds == {}


async def test_an_answer_is_shown_as_its_reply_or_its_error() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, name="a")
        failed = LookupError("no such thing")

        assert repr(Answer(ref, None, 9)) == f"Answer(ref={ref!r}, reply=9)"
        assert repr(Answer[int](ref, failed)) == f"Answer(ref={ref!r}, error={failed!r})"


async def test_a_circle_that_one_of_many_closes_is_found() -> None:
    async with running() as system:
        a = await system.spawn(Puppet, name="a")
        b = await system.spawn(Puppet, name="b")
        c = await system.spawn(Puppet, name="c")

        async def ask_back(actor: Puppet) -> object:
            if actor.context.ref == b:
                return await c.ask(Do(seven), timeout=60)
            try:
                return await a.ask(Do(seven), timeout=60)
            except AskCycle as error:
                return error.cycle

        async def ask_all(_: Puppet) -> Any:
            return await system.ask_many([b, c], Do(ask_back), timeout=60.0)

        with anyio.fail_after(30):
            first, second = await in_turn(a, ask_all)

        assert first.reply == 7
        assert second.reply == ("c", "a", "c")


async def test_a_circle_that_a_forward_of_one_of_many_closes_is_found() -> None:
    async with running() as system:
        a = await system.spawn(Puppet, name="a")
        b = await system.spawn(Puppet, name="b")
        c = await system.spawn(Puppet, name="c")

        async def pass_on(actor: Puppet) -> object:
            to: dict[ActorRef[Any], ActorRef[Any]] = {b: a}
            if actor.context.ref in to:
                actor.context.forward(to[actor.context.ref])
            return "here"

        async def ask_all(_: Puppet) -> Any:
            return await system.ask_many([b, c], Do(pass_on), timeout=60.0)

        with anyio.fail_after(30):
            first, second = await in_turn(a, ask_all)

        assert isinstance(first.error, AskCycle)
        assert second.reply == "here"


async def test_one_of_many_that_has_answered_may_ask_back() -> None:
    async with running() as system:
        a = await system.spawn(Puppet, name="a")
        b = await system.spawn(Puppet, name="b")
        c = await system.spawn(Puppet, name="c")
        replies: list[object] = []

        async def ask_a(_: Puppet) -> None:
            replies.append(await a.ask(Do(seven), timeout=60))

        async def answer(actor: Puppet) -> str:
            if actor.context.ref == b:
                b.tell(Do(ask_a))  # what it does next
            else:
                await anyio.sleep(1)
            return "answer"

        async def ask_all(_: Puppet) -> Any:
            return await system.ask_many([b, c], Do(answer), timeout=60.0)

        first, second = await in_turn(a, ask_all)
        await anyio.sleep(1)

        assert (first.reply, second.reply) == ("answer", "answer")
        assert replies == [7]
