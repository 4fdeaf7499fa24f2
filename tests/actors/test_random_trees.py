"""Random trees of actors under random messages, failures, stops and kills, held against what must hold.

Every message has a number. Whatever happens, each one is handled once, or becomes one dead letter, or
its sender was told that it was not accepted; never two of these. hypothesis prints the seed that fails.
"""

from __future__ import annotations

import random
from collections import Counter as Count
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    AskTimeout,
    ChildSpec,
    DeliveryError,
    HandlerFailed,
    MailboxOptions,
    MemoryStore,
    Overflow,
    SentientError,
    Supervisor,
    UnhandledMessage,
    handles,
)
from sentient_core.actors import cell, dispatcher
from sentient_core.actors.ref import cell_of
from tests.long import few


@pytest.fixture(scope="module", autouse=True)
def replayable() -> Iterator[None]:
    """Turns do not end by the wall clock here, so that a seed gives the same schedule again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "TURN_SECONDS", 1e9)
        patch.setattr(dispatcher, "SLICE", 1e9)
        yield


class Work(msgspec.Struct, frozen=True):
    number: int
    how: str
    seconds: float = 0.0


class Odd(msgspec.Struct, frozen=True):
    """Nobody handles it."""

    number: int


class World:
    """What the actors write down while they live."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.begun: dict[str, list[int]] = {}
        """Numbers of the messages whose handler began, in order, by path."""
        self.done: Count[int] = Count()
        """How often the handler of a message returned."""
        self.starts: dict[cell.Cell, list[int]] = {}
        """Incarnations that started, in order, by ref."""
        self.mirrored: set[cell.Cell] = set()
        self.current: dict[str, Actor] = {}
        """The instance that lives at a path."""
        self.busy: Count[str] = Count()
        """Handlers at work, by path."""
        self.faults: list[str] = []


class Unit(Actor):
    def __init__(self, world: World) -> None:
        self.world = world

    async def on_start(self) -> None:
        self.world.starts.setdefault(cell_of(self.context.ref), []).append(self.context.incarnation)
        self.world.current[self.context.ref.path] = self
        if self.durability == "mirrored":
            self.world.mirrored.add(cell_of(self.context.ref))
        await self._perhaps("on_start", 0.03)

    async def on_failure(self, cause: Exception) -> None:
        await self._perhaps("on_failure", 0.05)

    async def on_stop(self) -> None:
        if self.world.current.get(self.context.ref.path) is not self:
            self.world.faults.append(f"{self.context.ref.path}: on_stop of an old instance")
        await self._perhaps("on_stop", 0.05)

    async def _perhaps(self, hook: str, share: float) -> None:
        dice = self.world.random.random()
        if dice < share:
            raise RuntimeError(hook)
        if dice < 0.2:
            await anyio.sleep(self.world.random.choice([0.0, 0.1, 1.0]))

    @handles
    async def work(self, message: Work) -> int:
        world, path = self.world, self.context.ref.path
        world.begun.setdefault(path, []).append(message.number)
        world.busy[path] += 1
        if world.busy[path] > 1:
            world.faults.append(f"{path}: two messages at a time")
        if world.current.get(path) is not self:
            world.faults.append(f"{path}: a message for an old instance")
        try:
            if message.seconds:
                await anyio.sleep(message.seconds)
            if message.how == "fail":
                raise ValueError(message.number)
            if message.how == "stop":
                self.context.ref.stop()
            elif message.how == "kill":
                self.context.ref.kill()
            elif message.how == "child" and len(path) < 30:
                await self.context.spawn(Unit, world, restart=world.random.choice(RESTARTS))
        finally:
            world.busy[path] -= 1
        world.done[message.number] += 1
        return message.number


GRACES: list[float | str] = [0.0, 0.5, 5.0, "brutal_kill"]
RESTARTS = ["permanent", "transient", "temporary"]
STRATEGIES = [Supervisor.one_for_one, Supervisor.one_for_all, Supervisor.rest_for_one]
HOW = ["ok"] * 8 + ["fail"] * 3 + ["stop", "kill", "child"]


def _unit_class(choose: random.Random) -> type[Unit]:
    return type(
        "Unit",
        (Unit,),
        {
            "durability": choose.choice(["volatile", "mirrored"]),
            "mailbox": MailboxOptions(
                capacity=choose.choice([1, 3, 100]), overflow=choose.choice(list(Overflow))
            ),
        },
    )


def _spec(choose: random.Random, world: World, name: str, depth: int) -> ChildSpec:
    restart = choose.choice(RESTARTS)
    shutdown: float | str = choose.choice(GRACES)
    if depth and choose.random() < 0.5:
        cls = type(
            "Team",
            (Supervisor,),
            {
                "strategy": choose.choice(STRATEGIES)(max_restarts=choose.choice([0, 1, 3]), within=5.0),
                "children": tuple(
                    _spec(choose, world, str(n), depth - 1) for n in range(choose.randint(0, 3))
                ),
            },
        )
        return ChildSpec(cls, name=name, restart=restart, shutdown=shutdown)
    return ChildSpec(_unit_class(choose), name=name, args=(world,), restart=restart, shutdown=shutdown)


class _Driver:
    """Does random things to a system and remembers what it was told."""

    def __init__(self, system: ActorSystem, store: MemoryStore, world: World, seed: int) -> None:
        self.system = system
        self.store = store
        self.world = world
        self.choose = random.Random(seed + 1)
        self.count = 0
        self.must: set[int] = set()
        """Accepted: handled once or dead once."""
        self.may: set[int] = set()
        """Perhaps accepted: at most once."""
        self.told: set[int] = set()
        """By `tell` from here: these keep their order."""
        self.replied: set[int] = set()
        self.failed: set[int] = set()
        self.refs: list[ActorRef[Any]] = []

    def _message(self) -> Work | Odd:
        self.count += 1
        if self.choose.random() < 0.05:
            return Odd(self.count)
        return Work(self.count, self.choose.choice(HOW), self.choose.choice([0, 0, 0.1, 2.0]))

    async def run(self, steps: int) -> None:
        async with anyio.create_task_group() as tasks:
            for n in range(self.choose.randint(1, 4)):
                tasks.start_soon(self._spawn, f"top{n}")
            await anyio.sleep(3)
            for _ in range(steps):
                self.refs += [ref for ref in self.system.actors(Unit) if ref not in self.refs]
                action = self.choose.random()
                ref = self.choose.choice(self.refs) if self.refs else None
                if ref is None or action < 0.02:
                    tasks.start_soon(self._spawn, f"top{self.choose.randint(0, 4)}")
                elif action < 0.5:
                    message = self._message()
                    self.must.add(message.number)
                    self.told.add(message.number)
                    ref.tell(message)
                elif action < 0.65:
                    tasks.start_soon(self._send, ref, self._message())
                elif action < 0.85:
                    tasks.start_soon(self._ask, ref, self._message())
                elif action < 0.87:
                    self.choose.choice([ref.stop, ref.drain, ref.kill])()
                elif action < 0.88:
                    above = self.choose.choice(self.system.actors(Actor) or [ref])
                    self.choose.choice([above.stop, above.kill])()
                elif action < 0.89:
                    self.choose.choice([self.store.pause, self.store.resume])()
                else:
                    await anyio.sleep(self.choose.choice([0, 0, 0.05, 1.0]))
            self.store.resume()
            await anyio.sleep(20)

    async def _spawn(self, name: str) -> None:
        spec = _spec(self.choose, self.world, name, 2)
        # The name is taken, the hooks have failed, or it took too long: then it is cancelled.
        with suppress(SentientError, RuntimeError), anyio.move_on_after(self.choose.choice([0.05, 60])):
            await self.system.spawn(
                spec.cls, *spec.args, name=name, restart=spec.restart, shutdown=spec.shutdown
            )

    async def _send(self, ref: ActorRef[Any], message: Work | Odd) -> None:
        self.may.add(message.number)
        try:
            await ref.send(message, timeout=self.choose.choice([0.05, 3.0]))
        except DeliveryError:
            self.failed.add(message.number)
        else:
            self.must.add(message.number)

    async def _ask(self, ref: ActorRef[Any], message: Work | Odd) -> None:
        self.may.add(message.number)
        begin = anyio.current_time()
        timeout = self.choose.choice([0.05, 5.0])
        try:
            reply = await ref.ask(message, timeout=timeout)
        except AskTimeout:
            pass
        except (HandlerFailed, UnhandledMessage):
            self.must.add(message.number)
        except DeliveryError:
            pass
        else:
            self.must.add(message.number)
            self.replied.add(message.number)
            assert reply == message.number
        assert anyio.current_time() - begin <= timeout + 0.001


async def _play(seed: int, steps: int) -> None:
    world = World(seed)
    store = MemoryStore()
    with anyio.fail_after(10_000):
        async with ActorSystem("test", store=store) as system:
            driver = _Driver(system, store, world, seed)
            await driver.run(steps)

    assert world.faults == []
    assert not any(world.busy.values())

    dead = Count(
        letter.message.number for letter in system.dead_letters if isinstance(letter.message, Work | Odd)
    )
    assert system.dead_letters.total <= 1_000, "the test itself: too many to see them all"
    for number in range(1, driver.count + 1):
        outcomes = world.done[number] + dead[number]
        if number in driver.must:
            assert outcomes == 1, f"message {number}: handled {world.done[number]}, dead {dead[number]}"
        else:
            assert number in driver.may
            assert outcomes <= 1, f"message {number}: handled {world.done[number]}, dead {dead[number]}"
        if number in driver.failed:
            assert outcomes == 0, f"message {number} was refused and yet handled or dead-lettered"
        if number in driver.replied:
            assert world.done[number] == 1

    for path, numbers in world.begun.items():
        assert len(numbers) == len(set(numbers)), f"{path} began a message twice"
        told = [number for number in numbers if number in driver.told]
        assert told == sorted(told), f"{path} handled out of order"

    last: dict[str, int] = {}
    for life, incarnations in world.starts.items():
        first = incarnations[0]
        assert incarnations == list(range(first, first + len(incarnations))), f"{life.ref}: {incarnations}"
        assert life.incarnation == incarnations[-1]
        # The store knows the path of a mirrored actor: whoever lives there later goes on counting.
        assert first > last.get(life.path, 0), life.ref
        if life.path in last or life in world.mirrored:
            last[life.path] = incarnations[-1]
    assert not any("sentient-core" in (task.name or "") for task in anyio.get_running_tasks())

    for row in await store.agents("test"):
        assert row.status in ("completed", "failed"), f"{row.agent_id} is '{row.status}' after the end"


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
async def test_every_message_has_one_fate(seed: int) -> None:
    with structlog.testing.capture_logs():
        await _play(seed, steps=150)


async def test_the_seeds_that_found_something() -> None:
    with structlog.testing.capture_logs():
        for seed in few(range(30), 10):
            try:
                await _play(seed, steps=60)
            except BaseException:
                print(f"seed {seed}")  # noqa: T201
                raise
