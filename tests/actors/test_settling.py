"""What who sends to an actor that takes nothing is told: that it drains or has ended, and why."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    ActorStopped,
    ChildSpec,
    Supervisor,
)
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, VolatileCounter, running


async def refusal(ref: ActorRef[Any]) -> str:
    with pytest.raises(ActorStopped) as caught:
        await ref.send(Say("x"))
    return str(caught.value)


async def test_of_one_that_drains_it_says_so() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()
        ending = ref.drain()

        assert "'a': the actor is draining" in await refusal(ref)
        ref.tell(Say("x"))
        assert [letter.cause for letter in system.dead_letters][-1].startswith("the actor is draining")

        gate.open.set()
        await ending
        assert (await refusal(ref)).endswith("'a': the actor has ended")


@pytest.mark.parametrize("end", ["stop", "drain"])
async def test_of_one_that_has_ended_in_order_it_says_no_more(end: str) -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a")
        await getattr(ref, end)()

        assert await refusal(ref) == "Say to 'a': the actor has ended"


async def test_of_one_that_has_failed_it_says_how() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a", restart="temporary")
        ref.tell(Fail("no money"))
        await anyio.sleep(1)

        why = "the actor has ended: it failed: ValueError: no money"
        assert await refusal(ref) == f"Say to 'a': {why}"
        ref.tell(Say("x"))
        assert [letter.cause for letter in system.dead_letters][-1] == why


async def test_of_one_that_was_killed_it_says_so() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a", restart="temporary")
        await ref.kill()

        assert await refusal(ref) == "Say to 'a': the actor has ended: it was killed"


async def test_of_one_that_failed_too_often_it_says_that_it_was_given_up() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a")
        for _ in range(10):
            ref.tell(Fail("again"))
        await ref.drain()

        text = await refusal(ref)
        assert "it failed: ValueError: again; actor given up: RestartLimitExceeded" in text


class Strict(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=0)
    children = (ChildSpec(VolatileCounter, name="weak"), ChildSpec(VolatileCounter, name="other"))


async def test_of_one_whose_supervisor_gave_up_it_says_that() -> None:
    async with running() as system:
        strict = await system.spawn(Strict, name="s", restart="temporary")
        weak, other = system.get("s/weak"), system.get("s/other")
        weak.tell(Fail("no"))
        await anyio.sleep(1)
        assert not strict.is_alive

        assert "it failed: ValueError: no; its supervisor gave up: RestartLimitExceeded" in await refusal(
            weak
        )
        assert "the actor has ended; its supervisor gave up: RestartLimitExceeded" in await refusal(other)


async def test_what_was_queued_at_the_end_says_how_it_ended() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a", restart="temporary")
        ref.tell(Fail("no"))
        ref.tell(Say("x"))
        await anyio.sleep(1)

        causes = [letter.cause for letter in system.dead_letters]
        assert causes[-1] == "its actor ended before it was handled: it failed: ValueError: no"
