"""Random programs that stash, become, set timers, watch, link, forward, pipe, fail and stop.

Every message has a number. Whatever happens, each has exactly one fate: handled to the end, a dead letter,
or in the hands of the one it was passed on to. Each watch is told exactly once, and not of a restart.
Nothing is left: no timer, no watch, no task. hypothesis prints the seed that fails.
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
    ChildSpec,
    DeliveryError,
    MailboxOptions,
    MemoryStore,
    SentientError,
    Supervisor,
    handles,
)
from sentient_core.actors import cell, dispatcher
from sentient_core.actors.cell import Cell
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
    steps: tuple[str, ...]


class Ended(msgspec.Struct, frozen=True):
    """What a watch is told with."""

    watch: int


class Tick(msgspec.Struct, frozen=True):
    timer: int


class Piped(msgspec.Struct, frozen=True):
    number: int


STEPS = [
    *("stash",) * 3,
    *("unstash",) * 3,
    *("open", "closed") * 2,
    *("once", "every", "cancel", "quiet"),
    *("watch", "unwatch", "link", "unlink") * 2,
    *("forward", "pipe", "pipe and fail", "sleep", "sleep", "fail", "stop", "kill"),
]


class World:
    """What the actors write down while they live."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.done: Count[int] = Count()
        """How often the handling of a message ended well."""
        self.watches: dict[int, tuple[str, int, Cell]] = {}
        """Who watches whom: path and incarnation of the watcher."""
        self.unwatched: set[int] = set()
        self.told: Count[int] = Count()
        self.timers: dict[int, tuple[str, int]] = {}
        """Whose a timer is; taken out when it is cancelled or replaced."""
        self.refs: list[ActorRef[Any]] = []
        self.takes: Count[int] = Count()
        """How often a message was stashed or forwarded."""
        self.faults: list[str] = []
        self.numbers = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers


class Unit(Actor):
    mailbox = MailboxOptions(capacity=50, stash=5)
    initial_behaviour = "closed"

    def __init__(self, world: World) -> None:
        self.world = world
        self.watches: dict[ActorRef[Any], int] = {}
        self.timers: dict[str, int] = {}

    @property
    def me(self) -> tuple[str, int]:
        return self.context.ref.path, self.context.incarnation

    @handles(when="closed")
    async def work_closed(self, message: Work) -> int:
        return await self.work(message, "closed")

    @handles(when="open")
    async def work_open(self, message: Work) -> int:
        return await self.work(message, "open")

    async def work(self, message: Work, state: str) -> int:
        if self.context.behaviour != state:
            self.world.faults.append(f"{self.me}: handled in {state}, not {self.context.behaviour}")
        is_taken = False
        for step in message.steps:
            if step in ("stash", "forward"):
                is_taken = self.take(step, message.number) or is_taken
            else:
                await self.do(step)
        if not is_taken:
            self.world.done[message.number] += 1
        return message.number

    def take(self, step: str, number: int) -> bool:
        """Put the message in hand away, or pass it on. False: it is not in hand, or there is no room."""
        self.world.takes[number] += 1
        if self.world.takes[number] > 3:  # else it might go round for ever
            return False
        if step == "stash":
            with suppress(SentientError):
                self.context.stash()
                return True
            return False
        with suppress(SentientError):
            self.context.forward(self.world.random.choice(self.world.refs))
            return True
        return False

    async def do(self, step: str) -> None:
        world, context = self.world, self.context
        other = world.random.choice(world.refs)
        if step == "unstash":
            context.unstash_all()
        elif step in ("open", "closed"):
            context.become(step)
        elif step in ("once", "every"):
            key = world.random.choice("xyz")
            self.cancel(key)
            self.timers[key] = number = world.number()
            world.timers[number] = self.me
            getattr(context.timers, step)(key, world.random.choice([0.05, 0.3, 2]), Tick(number))
        elif step == "cancel":
            key = world.random.choice("xyz")
            self.cancel(key)
            context.timers.cancel(key)
        elif step == "quiet":
            context.set_receive_timeout(world.random.choice([None, 0.5, 3.0]), Tick(0))
        elif step == "watch" and other != context.ref:
            self.unwatched(other)
            self.watches[other] = number = world.number()
            world.watches[number] = (*self.me, cell_of(other).at_home())
            context.watch(other, Ended(number))
        elif step == "unwatch" and other != context.ref:
            self.unwatched(other)
            context.unwatch(other)
        elif step == "link" and other != context.ref:
            context.link(other)
        elif step == "unlink" and other != context.ref:
            context.unlink(other)
        elif step.startswith("pipe"):
            context.pipe_to_self(self.beside, step == "pipe and fail", on_error=lambda _: Piped(0))
        elif step == "sleep":
            await anyio.sleep(world.random.choice([0, 0.1, 1]))
        elif step == "fail":
            raise ValueError(step)
        elif step == "stop":
            context.ref.stop()
        elif step == "kill":
            context.ref.kill()
            await anyio.sleep(0.1)

    async def beside(self, fails: bool) -> Piped:
        await anyio.sleep(self.world.random.choice([0, 0.2]))
        if fails:
            raise ValueError("beside")
        return Piped(1)

    def cancel(self, key: str) -> None:
        number = self.timers.pop(key, None)
        if number is not None:
            self.world.timers.pop(number, None)

    def unwatched(self, ref: ActorRef[Any]) -> None:
        number = self.watches.pop(ref, None)
        if number is not None and not self.world.told[number]:
            self.world.unwatched.add(number)

    @handles
    def tick(self, message: Tick) -> None:
        if message.timer and self.world.timers.get(message.timer) != self.me:
            self.world.faults.append(f"{self.me}: a tick of {self.world.timers.get(message.timer)}")

    @handles
    def piped(self, message: Piped) -> None: ...

    @handles
    def ended(self, message: Ended) -> None:
        path, incarnation, target = self.world.watches[message.watch]
        self.world.told[message.watch] += 1
        if (path, incarnation) != self.me:
            self.world.faults.append(f"{self.me}: told of what {path} #{incarnation} watched")
        if message.watch in self.world.unwatched:
            self.world.faults.append(f"{self.me}: told of what it had unwatched")
        if target.is_alive:
            self.world.faults.append(f"{self.me}: told of {target.path}, which lives")


class VolatileUnit(Unit):
    durability = "volatile"


def _team(choose: random.Random, world: World) -> type[Supervisor]:
    """A supervisor that does not give up on its units."""
    specs = [
        ChildSpec(
            choose.choice([Unit, VolatileUnit]),
            name=f"unit{n}",
            args=(world,),
            restart=choose.choice(["permanent", "permanent", "transient", "temporary"]),
        )
        for n in range(5)
    ]
    strategy = choose.choice([Supervisor.one_for_one, Supervisor.one_for_all, Supervisor.rest_for_one])
    return type("Team", (Supervisor,), {"strategy": strategy(max_restarts=10_000), "children": specs})


async def _play(seed: int, steps: int) -> None:
    world = World(seed)
    choose = random.Random(seed + 1)
    accepted: set[int] = set()
    with anyio.fail_after(10_000):
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.spawn(_team(choose, world), name="team")
            world.refs += system.actors(Unit)
            runtime = cell_of(world.refs[0]).runtime
            async with anyio.create_task_group() as tasks:
                for _ in range(steps):
                    number = world.number()
                    program = tuple(choose.choices(STEPS, k=choose.randint(0, 4)))
                    message, ref = Work(number, program), choose.choice(world.refs)
                    if choose.random() < 0.7:
                        accepted.add(number)
                        ref.tell(message)
                    else:
                        tasks.start_soon(_ask, ref, message, accepted)
                    await anyio.sleep(choose.choice([0, 0, 0.05, 0.5]))
            await anyio.sleep(20)
            _check_watches(world)
            _check_links(world)

    assert world.faults == []
    dead = Count(letter.message.number for letter in system.dead_letters if isinstance(letter.message, Work))
    assert system.dead_letters.total <= 1_000, "the test itself: too many to see them all"
    for number in accepted:
        assert world.done[number] + dead[number] == 1, (
            f"message {number}: handled {world.done[number]}, dead {dead[number]}"
        )
    assert runtime.watchers == {}
    assert runtime.waits == {}
    keeper = runtime.timekeeper
    assert [alarm for _, _, alarm in keeper._heap if alarm.is_set] == []  # pyright: ignore[reportPrivateUsage]
    assert [cell_of(ref).life for ref in world.refs] == [None] * len(world.refs)
    assert not any("sentient-core" in (task.name or "") for task in anyio.get_running_tasks())


async def _ask(ref: ActorRef[Any], message: Work, accepted: set[int]) -> None:
    try:
        assert await ref.ask(message, timeout=15) == message.number
    except DeliveryError:
        pass  # not even accepted, perhaps
    else:
        accepted.add(message.number)


def _check_watches(world: World) -> None:
    """Before the end, when all is quiet: each watch of one who still watches was told of what has ended."""
    for number, (path, incarnation, target) in world.watches.items():
        watcher = next(ref for ref in world.refs if ref.path == path)
        is_in_force = watcher.is_alive and watcher.incarnation == incarnation
        if is_in_force and not target.is_alive and number not in world.unwatched:
            assert world.told[number] == 1, f"watch {number} of {target.path} by {path} #{incarnation}"
        assert world.told[number] <= 1


def _check_links(world: World) -> None:
    """Each link is known on both sides."""
    for ref in world.refs:
        life = cell_of(ref).at_home().life
        for other in {} if life is None else life.links:
            assert not other.is_over
            assert life in other.links


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
async def test_every_message_has_one_fate_and_nothing_is_left(seed: int) -> None:
    with structlog.testing.capture_logs():
        await _play(seed, steps=120)


async def test_the_seeds_that_found_something() -> None:
    with structlog.testing.capture_logs():
        # 301: what was meant for an incarnation stood in the lane of one that was down, like a START.
        for seed, steps in [*((seed, 80) for seed in few(range(30), 10)), (301, 200)]:
            try:
                await _play(seed, steps)
            except BaseException:
                print(f"seed {seed}")  # noqa: T201
                raise
