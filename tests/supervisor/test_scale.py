"""Deep trees and wide families: they start, restart and end without recursion, and others run meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    Backoff,
    ChildSpec,
    MemoryStore,
    Request,
    Supervisor,
    Terminated,
    handles,
)
from tests.long import IS_LONG
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, letters, running

DEPTH = 2_048
WIDTH = 20_000 if IS_LONG else 10_000


class Tally:
    """How many started and ended."""

    def __init__(self) -> None:
        self.started = self.stopped = 0


class Leaf(Actor):
    durability = "volatile"

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        tally.started += 1

    def on_stop(self) -> Any:
        self.tally.stopped += 1

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


class Hire(Request[int], frozen=True):
    count: int


class Crowd(Supervisor):
    """Starts as many as it is told to, none of them declared."""

    durability = "volatile"

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    @handles
    async def hire(self, message: Hire) -> int:
        for _ in range(message.count):
            await self.context.spawn(Leaf, self.tally)
        return message.count


def tower(depth: int, leaf: type[Actor], *args: Any, **attributes: Any) -> type[Actor]:
    """A supervisor of a supervisor of a … of one leaf."""
    cls, spec = leaf, ChildSpec(leaf, name="c", args=args)
    for number in range(depth):
        members = {"__module__": __name__, "durability": "volatile", **attributes, "children": (spec,)}
        cls = type(f"Floor{number}", (Supervisor,), members)
        spec = ChildSpec(cls, name="c")
    return cls


def wide(children: Sequence[ChildSpec], **attributes: Any) -> type[Supervisor]:
    members = {"__module__": __name__, "durability": "volatile", **attributes, "children": children}
    return type("Wide", (Supervisor,), members)


class Passes:
    """How often the event loop came round."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await checkpoint()


@asynccontextmanager
async def counting_passes() -> AsyncGenerator[Passes]:
    passes = Passes()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(passes.run)
        yield passes
        tasks.cancel_scope.cancel()


async def test_a_deep_tree_starts_restarts_from_its_top_and_stops() -> None:
    tally = Tally()

    class Top(Supervisor):
        durability = "volatile"
        children: ClassVar = (ChildSpec(tower(DEPTH, Leaf, tally), name="c"),)

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError(message.why)

    async with running() as system:
        top = await system.spawn(Top, name="top")
        deepest = system.get("top" + "/c" * (DEPTH + 1))

        top.tell(Fail())
        while tally.started < 2:
            await checkpoint()
        await anyio.wait_all_tasks_blocked()

        assert deepest.is_alive
        assert (deepest.incarnation, top.incarnation) == (2, 2)
        await top.stop()
        assert (tally.started, tally.stopped) == (2, 2)
        assert system.actors(Actor) == []


async def test_a_deep_tree_of_actors_that_spawned_each_other_stops_the_deepest_first() -> None:
    stopped: list[int] = []

    class Nested(Actor):
        durability = "volatile"

        def __init__(self, left: int) -> None:
            self.left = left

        async def on_start(self) -> None:
            if self.left:
                await self.context.spawn(Nested, self.left - 1, name="c")

        async def on_stop(self) -> None:
            await checkpoint()
            stopped.append(self.left)

    async with running() as system:
        await system.spawn(Nested, DEPTH, name="top")

    assert stopped == list(range(DEPTH + 1))


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
async def test_a_failure_climbs_a_deep_tree_whose_supervisors_all_give_up(durability: str) -> None:
    """Each failure has all those below as causes: what is told of it does not grow with them."""
    strategy = Supervisor.one_for_one(max_restarts=0)
    cls = tower(DEPTH, Leaf, Tally(), strategy=strategy, durability=durability)
    async with running() as system:
        top = await system.spawn(cls, name="top", restart="temporary")

        system.get("top" + "/c" * DEPTH).tell(Fail())
        while top.is_alive:
            await checkpoint()
        await top.stop()

        assert system.actors(Actor) == []


async def test_a_start_that_fails_at_the_bottom_of_a_deep_tree_leaves_nothing() -> None:
    class Broken(Actor):
        durability = "volatile"

        def on_start(self) -> None:
            raise OSError("no ground")

    async with running() as system:
        with pytest.raises(Exception, match="did not start"):
            await system.spawn(tower(DEPTH, Broken), name="top")
        await anyio.wait_all_tasks_blocked()

        assert system.actors(Actor) == []


async def test_very_many_children_that_nobody_declared_stop_while_others_run() -> None:
    tally = Tally()
    async with running() as system, counting_passes() as passes:
        crowd = await system.spawn(Crowd, tally, name="crowd")
        await crowd.ask(Hire(WIDTH), timeout=600)

        before = passes.count
        await crowd.stop()

        assert tally.stopped == WIDTH
        assert passes.count - before > 20
        assert system.actors(Actor) == []


async def test_very_many_declared_children_end_with_their_supervisor_while_others_run() -> None:
    tally = Tally()
    specs = tuple(ChildSpec(Leaf, name=str(number), args=(tally,)) for number in range(WIDTH))
    async with running() as system, counting_passes() as passes:
        office = await system.spawn(wide(specs), name="office")

        before = passes.count
        await office.stop()

        assert tally.stopped == WIDTH
        assert passes.count - before > 20
        assert system.actors(Actor) == []


async def test_the_system_ends_with_very_many_actors_of_its_own() -> None:
    tally = Tally()
    async with counting_passes() as passes:
        async with running() as system:
            for _ in range(WIDTH):
                await system.spawn(Leaf, tally)
            before = passes.count

        assert tally.stopped == WIDTH
        assert passes.count - before > 20


async def test_a_kill_in_the_middle_ends_very_many_that_stop_one_by_one() -> None:
    log, tally = Log(), Tally()

    class Stuck(Recorder):
        async def on_stop(self) -> None:
            self.log("stuck")
            await anyio.sleep_forever()

    specs = [ChildSpec(Leaf, name=str(number), args=(tally,)) for number in range(3_000)]
    specs.append(ChildSpec(Stuck, name="stuck", args=(log,), shutdown=None))
    specs.extend(ChildSpec(Leaf, name=f"later {number}", args=(tally,)) for number in range(1_000))
    async with running() as system:
        office = await system.spawn(wide(specs), name="office", restart="temporary")
        office.stop()
        await log.until("stuck")
        assert tally.stopped == 1_000

        await office.kill()

        assert system.actors(Actor) == []
        assert tally.stopped == 1_000


async def test_a_very_large_pool_stops_at_the_same_time_and_within_one_grace() -> None:
    class Slow(Leaf):
        async def on_stop(self) -> None:
            await anyio.sleep(3)
            self.tally.stopped += 1

    tally = Tally()
    pool = wide([ChildSpec(Slow, args=(tally,))], strategy=Supervisor.dynamic())
    async with running() as system:
        ref = await system.spawn(pool, name="pool")
        for number in range(3_000):
            await ref.start_child(str(number))
        begin = anyio.current_time()

        await ref.stop()

        assert anyio.current_time() - begin == pytest.approx(3, abs=0.1)
        assert tally.stopped == 3_000
        assert system.actors(Actor) == []


async def test_a_very_large_pool_is_killed_while_it_stops() -> None:
    class Stuck(Leaf):
        async def on_stop(self) -> None:
            self.tally.stopped += 1
            await anyio.sleep_forever()

    tally = Tally()
    pool = wide([ChildSpec(Stuck, args=(tally,), shutdown=None)], strategy=Supervisor.dynamic())
    async with running() as system:
        ref = await system.spawn(pool, name="pool", restart="temporary")
        for number in range(2_000):
            await ref.start_child(str(number))
        ref.stop()
        while tally.stopped < 2_000:
            await checkpoint()

        await ref.kill()

        assert system.actors(Actor) == []


async def test_very_many_that_wait_for_their_restart_do_not_start_any_more() -> None:
    tally = Tally()
    strategy = Supervisor.one_for_one(max_restarts=10_000, backoff=Backoff(first=60.0, most=60.0))
    specs = [ChildSpec(Leaf, name=str(number), args=(tally,)) for number in range(2_000)]
    async with running() as system:
        office = await system.spawn(wide(specs, strategy=strategy), name="office")
        for ref in system.actors(Leaf):
            ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()
        assert tally.started == 2_000

        await office.stop()
        await anyio.sleep(300)

        assert (tally.started, tally.stopped) == (2_000, 2_000)
        assert system.actors(Actor) == []


async def test_a_child_that_nobody_declared_ends_for_good_when_it_is_down_not_with_the_last() -> None:
    log, gate = Log(), Gate()

    class Waiting(Recorder):
        async def on_stop(self) -> None:
            await gate()

    class Office(Supervisor):
        durability = "volatile"

        async def on_start(self) -> None:
            await self.context.spawn(Waiting, log, name="first", shutdown=None)
            await self.context.spawn(Recorder, log, Gate(), name="last", shutdown="brutal_kill")

    class Watching(Recorder):
        def on_start(self) -> None:
            self.context.watch(self.context.system.get("office/last"))

        @handles
        def ended(self, message: Terminated) -> None:
            self.log(f"{message.ref.name} has ended")

    async with running() as system:
        office = await system.spawn(Office, name="office")
        await system.spawn(Watching, log, name="watching")
        last: ActorRef[Recorder] = system.get("office/last")
        last.tell(Pass())
        await log.until("waiting")
        office.stop()
        last.tell(Say("given up"))
        await gate.reached.wait()
        await anyio.wait_all_tasks_blocked()

        assert "last has ended" in log.lines
        assert not last.is_alive
        assert office.is_alive
        gate.open.set()

    assert letters(system) == [(Pass(), "stopped"), (Say("given up"), "stopped")]


class Kept(Recorder):
    durability = "mirrored"


async def ended_office(system: ActorSystem, log: Log) -> type[Supervisor]:
    """A supervisor that has just ended, with very many declared children that are still to end with it."""
    specs = tuple(ChildSpec(Kept, name=str(number), args=(log, Gate())) for number in range(3_000))
    office = wide(specs)
    ref = await system.spawn(office, name="office", restart="temporary")
    system.get("office/2999").tell(Pass())
    await log.until("waiting")
    system.get("office/2999").tell(Say("queued"))
    ref.kill()
    while ref.is_alive:
        await checkpoint()
    assert system.get("office/2999").is_alive
    return office


async def test_a_supervisor_comes_back_while_those_of_the_one_before_are_still_to_end() -> None:
    log = Log()
    async with running() as system:
        office = await ended_office(system, log)

        await system.spawn(office, name="office")

        assert system.get("office/0").incarnation == 2
        assert system.get("office/2999").incarnation == 2
        assert len(system.actors(Kept)) == 3_000
        system.get("office/2999").tell(Say("for the new one"))
        await log.until("for the new one")
        assert (Say("queued"), "stopped") in letters(system)


async def test_what_is_sent_to_a_child_that_is_still_to_end_is_a_dead_letter_and_an_ask_ends() -> None:
    log = Log()
    async with running() as system:
        await ended_office(system, log)
        left = system.get("office/2999")

        left.tell(Say("late"))
        with pytest.raises(ActorStopped):
            await left.ask(Pass(), timeout=600)

        assert not left.is_alive
        assert [entry for entry in letters(system) if entry[1] == "stopped"][-3:] == [
            (Say("queued"), "stopped"),
            (Say("late"), "stopped"),
            (Pass(), "stopped"),
        ]


async def test_the_system_ends_while_very_many_are_still_to_end() -> None:
    log, store = Log(), MemoryStore()
    async with running(store=store) as system:
        await ended_office(system, log)

    assert system.statistics().actors == 0
