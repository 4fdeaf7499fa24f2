"""Heartbeats of long handlers: who is silent for too long is overdue, and progress can be seen."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import Actor, HandlerFailed, HandlerOverdue, InvalidArgument, Request, handles
from tests.probes import Gate, running
from tests.puppet import Do, Puppet, alarms, in_turn


class Work(Request[str], frozen=True):
    beats: int
    pause: float = 1.0
    silence: float = 0.0


class Worker(Actor):
    durability = "volatile"
    handler_heartbeat: ClassVar[float | None] = 2.0

    @handles
    async def work(self, message: Work) -> str:
        for n in range(message.beats):
            self.heartbeat((n + 1) / message.beats)
            await anyio.sleep(message.pause)
        await anyio.sleep(message.silence)
        return "done"


class Beating(Puppet):
    handler_heartbeat = 2.0


async def test_one_that_gives_signs_of_life_may_take_as_long_as_it_likes() -> None:
    async with running() as system:
        ref = await system.spawn(Worker)
        begin = anyio.current_time()

        assert await ref.ask(Work(50), timeout=200) == "done"

        assert anyio.current_time() - begin == 50
        assert alarms(system) == 0


@pytest.mark.parametrize(("message", "seconds"), [(Work(0, silence=9), 2), (Work(5, silence=9), 6)])
async def test_one_that_falls_silent_is_overdue(message: Work, seconds: float) -> None:
    async with running() as system:
        ref = await system.spawn(Worker, name="worker")
        begin = anyio.current_time()

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(message, timeout=200)

        error = caught.value.__cause__
        assert isinstance(error, HandlerOverdue)
        assert (error.limit, error.seconds) == ("heartbeat", 2)
        assert anyio.current_time() - begin == seconds
        assert await ref.ask(Work(1), timeout=10) == "done"


async def test_each_message_begins_anew() -> None:
    async with running() as system:
        ref = await system.spawn(Worker)
        ref.tell(Work(3))
        ref.tell(Work(0, silence=1.9))

        assert await ref.ask(Work(1), timeout=10) == "done"
        assert ref.incarnation == 1


async def test_progress_and_its_age_can_be_seen_while_it_is_at_work() -> None:
    async with running() as system:
        ref, gate = await system.spawn(Puppet), Gate()
        assert str(ref.progress) == "None"

        async def act(actor: Any) -> None:
            actor.heartbeat()
            await anyio.sleep(1)
            actor.heartbeat(0.25)
            await anyio.sleep(1)
            actor.heartbeat()
            await gate()

        ref.tell(Do(act))
        await anyio.wait_all_tasks_blocked()
        assert ref.progress is not None
        assert (ref.progress.value, ref.progress.age, ref.progress.message_type) == (None, 0, "Do")
        await gate.reached.wait()
        await anyio.sleep(3)
        assert (ref.progress.value, ref.progress.age) == (0.25, 3)

        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        assert ref.progress is None


async def test_progress_is_of_the_message_in_hand_alone() -> None:
    async with running() as system:
        ref, gate = await system.spawn(Puppet), Gate()
        ref.tell(Do(lambda actor: actor.heartbeat(0.5)))
        ref.tell(Do(lambda _: gate()))
        await gate.reached.wait()

        assert ref.progress is None
        gate.open.set()


async def test_a_task_of_the_handler_may_give_the_signs() -> None:
    async with running() as system:
        ref = await system.spawn(Beating)

        async def act(actor: Any) -> str:
            async def beat() -> None:
                while True:
                    actor.heartbeat()
                    await anyio.sleep(1)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat)
                await anyio.sleep(30)
                tasks.cancel_scope.cancel()
            return "done"

        assert await in_turn(ref, act) == "done"


async def test_after_a_heartbeat_a_stashed_message_is_still_the_one_at_work() -> None:
    async with running() as system:
        ref = await system.spawn(Beating)

        async def act(actor: Any) -> None:
            if not actor.log.lines:
                actor.log("stashed")
                actor.context.stash()
                for _ in range(5):
                    await anyio.sleep(1.5)
                    actor.heartbeat()
                actor.context.unstash_all()

        assert await in_turn(ref, act) is None
        assert ref.incarnation == 1


async def test_in_a_hook_it_does_nothing() -> None:
    class Beginner(Puppet):
        async def on_start(self) -> None:
            self.heartbeat(0.5)

    async with running() as system:
        ref = await system.spawn(Beginner)

        assert ref.progress is None


@pytest.mark.parametrize("progress", [-0.1, 1.1, math.nan, True, "half"])
async def test_what_is_no_share_of_a_whole_is_refused(progress: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def act(actor: Any) -> None:
            with pytest.raises(InvalidArgument, match="progress"):
                actor.heartbeat(progress)

        await in_turn(ref, act)


def test_no_class_may_take_the_name() -> None:
    with pytest.raises(InvalidArgument, match="heartbeat"):
        type("Bad", (Actor,), {"heartbeat": 1})
