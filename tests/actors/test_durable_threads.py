"""What the threads of a durable actor's handler send is part of its turn."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import msgspec
import pytest
import structlog

from sentient_core import Actor, ActorRef, HandlerFailed, Request, handles
from tests.probes import Log, Say, running


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, {}


class Spread(Request[None], frozen=True):
    text: str
    fails: bool = False


class Read(Request[list[str]], frozen=True):
    """What was said."""


class Book(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        said: list[str] = []

    state: State

    @handles
    def say(self, message: Say) -> None:
        self.state.said.append(message.text)

    @handles
    def read(self, message: Read) -> list[str]:
        return self.state.said


class Spreader(Book):
    def __init__(self, target: ActorRef[Book]) -> None:
        self.target = target

    @handles
    async def spread(self, message: Spread) -> None:
        text, threads = message.text, self.context.system.from_thread

        def in_thread() -> None:
            for number in range(3_000):
                threads.tell(self.target, Say(f"{text} {number}"))
            threads.send(self.target, Say(f"{text} sent"))

        self.target.tell(Say(f"{text} first"))
        await self.run_sync(in_thread)
        self.target.tell(Say(f"{text} last"))
        if message.fails:
            raise ValueError(text)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_thread_tells_is_of_the_turn_that_waits_for_it(fails: bool) -> None:
    with structlog.testing.capture_logs(), anyio.fail_after(30):
        async with running() as system:
            target = await system.spawn(Book)
            ref = await system.spawn(Spreader, target)

            if fails:
                with pytest.raises(HandlerFailed):
                    await ref.ask(Spread("bad", fails=True), timeout=20)
            await ref.ask(Spread("good"), timeout=20)

            numbers = [str(number) for number in range(3_000)]
            expected = [f"good {what}" for what in ("first", *numbers, "sent", "last")]
            assert await target.ask(Read(), timeout=20) == expected


async def test_a_thread_that_outlives_its_turn_sends_by_itself() -> None:
    goes_on, log = threading.Event(), Log()

    class Leaves(Spreader):
        @handles
        async def spread(self, message: Spread) -> None:
            threads = self.context.system.from_thread

            def in_thread() -> None:
                threads.tell(self.target, Say("within"))
                threads.call(log, "told")
                goes_on.wait(20)
                threads.tell(self.target, Say("after"))

            outer.start_soon(self.run_sync, in_thread)
            await log.until("told")
            raise ValueError(message.text)

    with structlog.testing.capture_logs(), anyio.fail_after(30):
        async with running() as system, anyio.create_task_group() as outer:
            target = await system.spawn(Book)
            ref = await system.spawn(Leaves, target)
            with pytest.raises(HandlerFailed):
                await ref.ask(Spread("bad"), timeout=20)
            goes_on.set()
            while not (said := await target.ask(Read(), timeout=20)):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            assert said == ["after"]
