"""Asks that are answered within the call, and asks that would wait for themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, AskCycle, HandlerFailed, Request
from tests.probes import Add, Fail, Gate, Log, Pass, Recorder, Say, Total, VolatileCounter, running
from tests.puppet import Do, Puppet, in_turn


async def test_an_idle_actor_answers_by_a_plain_function_within_the_call() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter)
        others: list[str] = []

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, others)
            assert await ref.ask(Total(), timeout=1) == 0
            assert others == []  # the event loop has made no pass

        assert others == ["ran"]


async def test_what_the_same_sender_told_it_before_is_handled_before() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter)
        ref.tell(Add(3))
        ref.tell(Add(4))

        assert await ref.ask(Total(), timeout=1) == 7


async def test_an_ask_waits_for_the_message_in_hand() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="busy")
        ref.tell(Pass())
        await gate.reached.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_ask, ref, Say("asked"))
            await anyio.wait_all_tasks_blocked()
            assert "asked" not in log.lines
            gate.open.set()

        assert log.lines[-2:] == ["passed", "asked"]


async def test_a_stream_of_asks_lets_others_run_all_the_same() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter)
        others: list[str] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_write, others)
            with anyio.fail_after(60):
                while not others:
                    await ref.ask(Total(), timeout=1)


async def test_within_the_call_a_failure_is_the_actors_as_ever() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="plain")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Fail("broken"), timeout=1)
        await log.until("plain start", 2)

        assert isinstance(caught.value.__cause__, ValueError)
        assert ref.incarnation == 2


async def test_asking_oneself_is_an_error_at_once() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, name="a")

        async def ask_itself(actor: Puppet) -> str:
            with pytest.raises(AskCycle) as caught:
                await actor.context.ref.ask(Total(), timeout=1_000)
            return " ".join(caught.value.cycle)

        assert await in_turn(ref, ask_itself) == "a a"


async def test_a_circle_of_asks_is_an_error_at_the_one_that_closes_it() -> None:
    async with running() as system:
        a, b, c = [await system.spawn(Puppet, name=name) for name in "abc"]

        async def close(_: Puppet) -> str:
            with pytest.raises(AskCycle) as caught:
                await a.ask(Do(lambda _: None), timeout=1_000)
            return " ".join(caught.value.cycle)

        def ask(ref: ActorRef[Any], act: Callable[[Any], object]) -> Callable[[Any], Awaitable[Any]]:
            return lambda _: ref.ask(Do(act), timeout=1_000)

        assert await in_turn(a, ask(b, ask(c, close))) == "c a b c"


async def test_actors_that_ask_each_other_one_after_the_other_are_no_circle() -> None:
    async with running() as system:
        a, b = [await system.spawn(Puppet, name=name) for name in "ab"]

        assert await in_turn(a, lambda _: b.ask(Do(lambda _: "b"), timeout=1)) == "b"
        assert await in_turn(b, lambda _: a.ask(Do(lambda _: "a"), timeout=1)) == "a"


async def _write(lines: list[str]) -> None:
    lines.append("ran")


async def _ask(ref: ActorRef[Any], message: Request[Any] | Say) -> None:
    await ref.ask(message, timeout=1_000)
