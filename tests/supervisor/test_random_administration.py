"""A supervisor that is administered at random while its children fail, hang and are paused.

Whatever is asked and however it meets a restart: it is answered or refused by an error of its own, the list
says how each child is, and when all is quiet nobody is half started or half stopped. hypothesis prints the
seed that fails.
"""

from __future__ import annotations

import random
from collections import Counter as Count
from typing import Any

import anyio
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import (
    IGNORE,
    Actor,
    ActorKilled,
    ActorRef,
    Backoff,
    ChildError,
    ChildSpec,
    NameTaken,
    StartFailed,
    Supervisor,
    handles,
)
from tests.probes import Fail, Say, running

KINDS: list[Any] = [Supervisor.one_for_one, Supervisor.one_for_all, Supervisor.rest_for_one]
NAMES = "abcde"
SETTLED = ("running", "paused", "ended")
ASKED = ("start", "start", "terminate", "restart", "delete", "fail", "fail", "say", "stop", "pause", "resume")
"""What is asked of a child, by name, or of its supervisor about it."""
OWNER = ("kill", "kill owner", "stop owner")


class World:
    """What chance decides, and whose code runs."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.is_calm = False
        self.busy: Count[str] = Count()
        self.faults: list[str] = []

    def happens(self, share: float) -> bool:
        return not self.is_calm and self.chance.random() < share


class Erratic(Actor):
    """Takes its time, and fails, hangs or does not want to, by chance."""

    durability = "volatile"

    def __init__(self, world: World) -> None:
        self.world = world

    async def on_start(self) -> Any:
        await self.pass_time()
        if self.world.happens(0.1):
            raise OSError("cannot start")
        if self.world.happens(0.1):
            return IGNORE
        return None

    async def on_stop(self) -> None:
        await self.pass_time()
        if self.world.happens(0.1):
            raise OSError("cannot stop")

    @handles
    async def say(self, message: Say) -> None:
        await self.pass_time()

    @handles
    async def fail(self, message: Fail) -> None:
        await self.pass_time()
        raise ValueError("failed")

    async def pass_time(self) -> None:
        path = self.context.ref.path
        self.world.busy[path] += 1
        if self.world.busy[path] > 1:
            self.world.faults.append(f"two incarnations of {path} at work")
        try:
            if self.world.happens(0.5):
                await anyio.sleep(self.world.chance.choice([0.0, 0.1, 1.0, 10.0]))
        finally:
            self.world.busy[path] -= 1


def spec(world: World, name: str) -> ChildSpec:
    return ChildSpec(
        Erratic,
        name=name,
        args=(world,),
        restart=world.chance.choice(["permanent", "permanent", "transient", "temporary"]),
        shutdown=world.chance.choice([None, 0.5, 5.0]),
        start_timeout=world.chance.choice([None, None, 3.0]),
        backoff=world.chance.choice([None, None, Backoff(first=0.5, most=2.0)]),
    )


async def step(world: World, top: ActorRef[Any], asked: tuple[str, ...]) -> None:
    """Ask for one thing; what it may be refused with is no fault."""
    name = world.chance.choice(NAMES)
    what = world.chance.choice(asked)
    child = next((info.ref for info in top.which_children() if info.name == name), None)
    try:
        with anyio.move_on_after(world.chance.choice([0.1, 2.0, 100.0])):
            if what == "start":
                await top.start_child(spec(world, name))
            elif what == "terminate":
                await top.terminate_child(name)
            elif what == "restart":
                await top.restart_child(name)
            elif what == "delete":
                top.delete_child(name)
            elif what == "kill owner":
                await top.kill()
            elif what == "stop owner":
                await top.stop()
            elif child is not None and what in ("fail", "say"):
                child.tell(Fail() if what == "fail" else Say("x"))
            elif child is not None and what == "stop":
                await child.stop()
            elif child is not None:
                getattr(child, what)()
    except (ChildError, NameTaken, StartFailed, ActorKilled, OSError):
        pass


async def play(seed: int, steps: int, *, ends_owner: bool) -> None:
    world = World(seed)
    strategy = world.chance.choice(KINDS)(max_restarts=10_000, within=1.0)
    children = [spec(world, name) for name in NAMES[:3]]
    world.is_calm = True  # it starts whole
    body = {"children": children, "strategy": strategy, "durability": "volatile"}
    async with running() as system:
        inner = ChildSpec(
            type("Team", (Supervisor,), body), name="top", shutdown=world.chance.choice([None, 3.0])
        )
        outer = {"children": [inner], "strategy": strategy, "durability": "volatile"}
        await system.spawn(type("Outer", (Supervisor,), outer), name="outer")
        top: ActorRef[Any] = system.get("outer/top")
        world.is_calm = False
        async with anyio.create_task_group() as tasks:
            for _ in range(steps):
                tasks.start_soon(step, world, top, (*ASKED, *OWNER) if ends_owner else ASKED)
                await anyio.sleep(world.chance.choice([0.0, 0.0, 0.05, 1.0, 10.0 if ends_owner else 1.0]))
        world.is_calm = True
        await anyio.sleep(60)

        assert top.is_alive
        assert ends_owner or top.incarnation == 1
        for info in top.which_children():
            assert info.status in SETTLED, info
            assert (info.ref is None) is (info.status == "ended")
            if info.status == "ended":
                await top.restart_child(info.name)
        listed = {f"outer/top/{info.name}" for info in top.which_children()}
        assert {ref.path for ref in system.actors(Erratic)} == listed
        assert {info.status for info in top.which_children()} <= {"running", "paused"}
        assert [info.name for info in top.which_children() if info.is_static] == sorted(
            info.name for info in top.which_children() if info.is_static
        )
    assert (world.faults, any(world.busy.values())) == ([], False)


@given(seed=st.integers(0, 2**32), ends_owner=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_is_asked_of_a_supervisor_it_comes_to_rest(seed: int, ends_owner: bool) -> None:
    with structlog.testing.capture_logs():
        await play(seed, 40, ends_owner=ends_owner)
