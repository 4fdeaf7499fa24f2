"""The receive timeout, under virtual time: exact, and nothing per message."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from sentient_core import InvalidArgument, ReceiveTimeout
from sentient_core.actors.ref import cell_of
from tests.probes import Add, Fail, Gate, Log, VolatileCounter, letters, running
from tests.puppet import MirroredPuppet, Puppet, alarms, doing, in_turn


class Idle(Puppet):
    """Writes down what it got, with the time since it was made."""

    def __init__(self, log: Log, begin: Any = None) -> None:
        super().__init__(log, begin)
        self.made = anyio.current_time()

    async def on_receive(self, message: Any) -> None:  # type: ignore[override]
        if isinstance(message, float):
            await anyio.sleep(message)
        assert not isinstance(message, Fail)
        name = "timeout" if message == ReceiveTimeout() else message
        self.log(f"{name} at {anyio.current_time() - self.made:g}")


def timeout(seconds: float | None, *message: object) -> Any:
    return doing(lambda actor: actor.context.set_receive_timeout(seconds, *message))


async def test_it_comes_after_each_while_without_a_message() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Idle, log, timeout(10))

        await anyio.sleep(25)
        ref.tell("a message")
        await anyio.sleep(12)

        assert log.lines == ["timeout at 10", "timeout at 20", "a message at 25", "timeout at 35"]


async def test_messages_put_it_off_by_exactly_their_time() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Idle, log, timeout(10))

        for _ in range(5):
            await anyio.sleep(9)
            ref.tell("m")
        await anyio.sleep(10.5)

        assert log.lines[-2:] == ["m at 45", "timeout at 55"]
        assert len(log.lines) == 6


async def test_time_in_a_handler_is_not_quiet() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Idle, log, timeout(10))

        await anyio.sleep(5)
        ref.tell(32.0)
        await anyio.sleep(43)

        assert log.lines == ["32.0 at 37", "timeout at 47"]


async def test_asks_that_are_answered_at_once_put_it_off_too() -> None:
    async with running() as system:
        log = Log()

        class Quick(Idle):
            def on_receive(self, message: Any) -> str:  # type: ignore[override]
                self.log(f"{message} at {anyio.current_time() - self.made:g}")
                return "quick"

        ref = await system.spawn(Quick, log, timeout(10))
        await anyio.sleep(9)
        assert await ref.ask("q", timeout=1) == "quick"
        await anyio.sleep(10.5)

        assert log.lines == ["q at 9", "ReceiveTimeout() at 19"]


async def test_an_ask_of_a_plain_handler_puts_it_off_too() -> None:
    class Counting(VolatileCounter):
        seen: float | None = None

        def on_start(self) -> None:
            self.context.set_receive_timeout(10)

        def on_receive(self, message: ReceiveTimeout) -> None:
            times.append(anyio.current_time() - begin)

    times: list[float] = []
    async with running() as system:
        begin = anyio.current_time()
        ref = await system.spawn(Counting)
        await anyio.sleep(9)
        await ref.ask(Add(), timeout=1)
        await anyio.sleep(10.5)

        assert times == [19]


async def test_none_takes_it_back_and_setting_it_again_begins_anew() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Idle, log, timeout(10))
        await anyio.sleep(5)
        await in_turn(ref, timeout(20, "other"))
        await anyio.sleep(21)
        await in_turn(ref, timeout(None))
        await anyio.sleep(100)

        assert log.lines == ["other at 25"]
        assert alarms(system) == 0


async def test_it_ends_with_the_incarnation() -> None:
    async with running() as system:
        log = Log()

        def begin(actor: Idle) -> None:
            if actor.context.incarnation == 1:
                actor.context.set_receive_timeout(10)

        ref = await system.spawn(Idle, log, begin)
        await anyio.sleep(9)
        ref.tell(Fail())
        await anyio.sleep(100)

        assert [line for line in log if "timeout" in line] == []
        assert alarms(system) == 0


async def test_taken_back_while_it_is_under_way_it_is_discarded() -> None:
    async with running() as system:
        log = Log()

        async def begin(actor: Idle) -> None:
            actor.context.set_receive_timeout(1)
            await anyio.sleep(5)
            actor.context.set_receive_timeout(None)

        await system.spawn(Idle, log, begin)
        await anyio.sleep(10)

        assert log.lines == []


async def test_nobody_handles_it() -> None:
    async with running() as system:

        class Plain(VolatileCounter):
            def on_start(self) -> None:
                self.context.set_receive_timeout(1)

        await system.spawn(Plain)
        await anyio.sleep(1.5)

        assert letters(system) == [(ReceiveTimeout(), "unhandled")]


async def test_of_a_mirrored_actor_it_can_be_a_message_of_its_own() -> None:
    async with running() as system:
        log = Log()
        await system.spawn(MirroredPuppet, log, timeout(1, "quiet"))
        await anyio.sleep(1.5)

        assert log.lines == ["quiet"]


async def test_a_draining_actor_gets_none() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Puppet, log, timeout(1))

        async def wait(actor: Puppet) -> None:
            await gate()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn, ref, wait)
            await gate.reached.wait()
            ending = ref.drain()
            await anyio.sleep(5)
            gate.open.set()
            await ending

        assert log.lines == []
        assert cell_of(ref).life is None


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "1"])
async def test_times_that_are_none_are_refused(seconds: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def try_it(actor: Puppet) -> None:
            with pytest.raises(
                InvalidArgument, match=r"seconds must be a number of seconds of at least 0\.001"
            ):
                actor.context.set_receive_timeout(seconds)

        await in_turn(ref, try_it)
