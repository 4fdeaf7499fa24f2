"""Virtual actors and what belongs to an incarnation: what keeps one, and what ends with it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import Actor, Terminated, handles
from tests.probes import Add, Fail, Log, Pass, Say, Total, letters, running
from tests.supervisor.test_virtual import Account, begin, until


class Busy(Account):
    """Does to itself what it is told."""

    @handles
    async def say(self, message: Say) -> Any:
        context = self.context
        match message.text.split():
            case ["once", seconds]:
                context.timers.once("t", float(seconds), Add(1))
            case ["every", seconds]:
                context.timers.every("t", float(seconds), Add(1))
            case ["cancel"]:
                context.timers.cancel("t")
            case ["stash"]:
                context.stash()
            case ["unstash"]:
                context.unstash_all()
            case ["pipe", seconds]:
                context.pipe_to_self(_slow, float(seconds))
            case ["quiet", seconds]:
                context.set_receive_timeout(float(seconds), Add(1))
            case _:
                pass


async def _slow(seconds: float) -> Add:
    await anyio.sleep(seconds)
    return Add(10)


@pytest.mark.parametrize(
    ("told", "stops_at"),
    [
        (["once 200"], 260),
        (["every 30"], None),
        (["once 0"], 60),
        (["pipe 200"], 260),
        (["quiet 100"], None),
        (["stash"], None),
    ],
    ids=str,
)
async def test_what_is_to_come_keeps_it(told: list[str], stops_at: float | None) -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Busy, "a", log)
        for text in told:
            ref.tell(Say(text))
        await until(550)

        stop = [] if stops_at is None else [f"a stop at {stops_at:g}"]
        assert log.lines == ["a start at 0", *stop]


async def test_it_goes_an_idle_time_after_its_last_timer_was_cancelled() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Busy, "a", log)
        ref.tell(Say("every 50"))
        await until(110)
        ref.tell(Say("cancel"))
        await until(550)

        assert log.lines == ["a start at 0", "a stop at 170"]


async def test_what_is_stashed_at_a_stop_brings_it_back() -> None:
    class Shy(Account):
        @handles
        def say(self, message: Say) -> str | None:
            if self.context.incarnation == 1:
                self.context.stash()
                return None
            return message.text

    async with running() as system:
        ref = await system.get_or_spawn(Shy, "a")
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await ref.ask(Say("hello"), timeout=60))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await ref.ask(Total(), timeout=1)
            await anyio.sleep(1)
            await ref.stop()

        assert answers == ["hello"]
        assert ref.incarnation == 2


async def test_ticks_that_are_queued_at_a_stop_do_not_bring_it_back() -> None:
    class Ticking(Busy):
        @handles
        async def wait_at_the_gate(self, message: Pass) -> str:
            self.context.timers.every("t", 1, Add(1))
            self.context.ref.stop()
            await anyio.sleep(5)
            return "passed"

    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Ticking, "a", log)
        ref.tell(Pass())
        await until(100)

        assert log.lines == ["a start at 0", "a stop at 5"]
        assert letters(system) == []


async def test_who_watches_it_hears_of_no_passivation() -> None:
    class Watcher(Actor):
        durability = "volatile"

        def __init__(self, log: Log) -> None:
            self.log = log

        @handles
        async def add(self, message: Add) -> None:
            self.context.watch(await self.context.get_or_spawn(Account, "a"))

        @handles
        def terminated(self, message: Terminated) -> None:
            self.log(f"{message.ref.path} ended")

    log = Log()
    async with running() as system:
        begin()
        watcher = await system.spawn(Watcher, log)
        await watcher.ask(Add(), timeout=1)
        ref = await system.get_or_spawn(Account, "a")
        for when in (10, 100, 200):
            await until(when)
            await ref.ask(Total(), timeout=1)
        await ref.kill()
        await until(300)

        assert (log.lines, watcher.is_alive) == ([], True)
        assert ref.incarnation == 4


async def test_a_link_made_while_it_is_passive_holds_for_its_next_instance() -> None:
    class Linked(Actor):
        durability = "volatile"

        @handles
        async def add(self, message: Add) -> int:
            self.context.link(await self.context.get_or_spawn(Account, "a"))
            return self.context.incarnation

        @handles
        def total(self, message: Total) -> int:
            return self.context.incarnation

    async with running() as system:
        linked = await system.spawn(Linked)
        assert await linked.ask(Add(), timeout=1) == 1
        assert await linked.ask(Total(), timeout=1) == 1
        ref = await system.get_or_spawn(Account, "a")
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)

        assert await linked.ask(Total(), timeout=1) == 2
