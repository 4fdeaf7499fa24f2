"""Random programs whose handlers fail now and then: each message is tried as often as it may be, and counted.

Each job fails as often as it says. Whatever else happens (kills, restarts of the whole group, stashes,
forwards, priorities, mailboxes that drop), it has one fate, it is tried exactly as often as it may be, and
the numbers of every mailbox add up: sent = handled + dead + pending. hypothesis prints the seed that fails.
"""

from __future__ import annotations

import random
from collections import Counter as Count
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import anyio
import msgspec
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    ChildSpec,
    DeadLetter,
    DeliveryError,
    MailboxOptions,
    Overflow,
    Poison,
    SentientError,
    StoreUnavailable,
    Supervisor,
    Transient,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import running


class Job(msgspec.Struct, frozen=True):
    number: int
    failures: int
    """How often its handler is to fail."""
    error: str
    steps: tuple[str, ...]
    notes: list[int] = []
    """What handlers that have a copy of their own write into it."""


ERRORS: dict[str, Callable[[], Exception]] = {
    "plain": ValueError,
    "transient": lambda: Transient(attempts=2),
    "poison": Poison,
    "store": lambda: StoreUnavailable("away"),
}
STEPS = ["sleep", "sleep", "unstash", "tick", "kill", "stash", "forward"]


class World:
    """What the workers write down."""

    def __init__(self) -> None:
        self.failed: Count[tuple[int, str]] = Count()
        """How often which job failed with whom."""
        self.done: Count[int] = Count()
        self.taken: set[int] = set()
        """Jobs that were stashed or forwarded."""
        self.sent: Count[str] = Count()
        """Messages to each worker: by the test, forwarded, or ticks."""
        self.refs: list[ActorRef[Any]] = []
        self.faults: list[str] = []


class Worker(Actor):
    """Tries everything once."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def name(self) -> str:
        return self.context.ref.name

    @handles
    async def work(self, job: Job) -> int:
        world, envelope, here = self.world, self.context.message, (job.number, self.name)
        assert envelope is not None
        counted = 0 if job.error == "store" else world.failed[here]
        if envelope.attempt != counted + 1:
            world.faults.append(f"job {here}: attempt {envelope.attempt} after {counted} failures")
        if self.isolation == "copy":
            if envelope.attempt > 1 and job.notes:
                world.faults.append(f"job {here}: attempt {envelope.attempt} sees {job.notes}")
            job.notes.append(envelope.attempt)
        for step in job.steps:
            await self.step(step)
        if sum(world.failed[job.number, ref.name] for ref in world.refs) < job.failures:
            world.failed[here] += 1
            error = ERRORS[job.error]()
            raise error
        if not self.take(job):
            world.done[job.number] += 1
        return job.number

    async def step(self, step: str) -> None:
        context = self.context
        if step == "sleep":
            await anyio.sleep(0.1)
        elif step == "unstash":
            context.unstash_all()
        elif step == "tick":
            context.timers.once("tick", 0.05, "tick")
        elif step == "kill":
            context.ref.kill()
            await anyio.sleep(0.1)

    def take(self, job: Job) -> bool:
        """Put the job in hand away, or pass it on, once."""
        if job.number in self.world.taken:
            return False
        self.world.taken.add(job.number)
        with suppress(SentientError):
            if "stash" in job.steps:
                self.context.stash()
                return True
            if "forward" in job.steps:
                target = self.world.refs[job.number % 3]
                self.context.forward(target)
                self.world.sent[target.name] += 1
                return True
        return False

    @handles
    def tick(self, message: str) -> None:
        envelope = self.context.message
        if envelope is not None and envelope.attempt == 1:
            self.world.sent[self.name] += 1
        if self.world.sent[self.name] % 3 == 0:
            raise ValueError(message)


class Stubborn(Worker):
    max_attempts = 3


class Volatile(Stubborn):
    durability = "volatile"
    max_attempts = 4


class Forgetful(Stubborn):
    isolation: ClassVar[Any] = "copy"
    mailbox = MailboxOptions(capacity=4, overflow=Overflow.DROP_OLD)


KINDS: list[type[Worker]] = [Worker, Stubborn, Volatile, Forgetful]


def most_tries(cls: type[Actor], job: Job) -> int:
    """How often an actor of a class may try a job."""
    if job.error == "poison":
        return 1
    return max(cls.max_attempts, 2 if job.error == "transient" else 1)


async def _play(seed: int) -> None:
    choose, world = random.Random(seed), World()
    rules: list[Any] = [None, {ValueError: "resume"}]
    specs = [
        ChildSpec(choose.choice(KINDS), name=f"w{n}", args=(world,), decide=choose.choice(rules))
        for n in range(3)
    ]
    strategy = choose.choice([Supervisor.one_for_one, Supervisor.one_for_all])(max_restarts=100_000)
    jobs: dict[int, Job] = {}
    async with running() as system:
        await system.spawn(
            type("Team", (Supervisor,), {"strategy": strategy, "children": specs}), name="team"
        )
        world.refs += system.actors(Worker)
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                steps = tuple(choose.choices(STEPS, k=choose.choice([0, 0, 1, 2])))
                job = Job(number, choose.choice([0, 0, 1, 2, 9]), choose.choice([*ERRORS]), steps)
                jobs[number] = job
                ref = choose.choice(world.refs)
                world.sent[ref.name] += 1
                if choose.random() < 0.3:
                    ref = ref.with_options(priority=choose.randint(-1, 1))
                if choose.random() < 0.7:
                    ref.tell(job)
                else:
                    tasks.start_soon(_ask, ref, job)
                await anyio.sleep(choose.choice([0, 0, 0.05, 0.5]))
                _check_numbers(world, system, is_over=False)
        await anyio.sleep(100)

        assert world.faults == []
        _check_numbers(world, system, is_over=True)
        _check_fates(system, world, jobs)


async def _ask(ref: ActorRef[Any], job: Job) -> None:
    with suppress(DeliveryError):
        assert await ref.ask(job, timeout=3) == job.number


def _check_numbers(world: World, system: ActorSystem, *, is_over: bool) -> None:
    """What every mailbox says of itself; what is in hand, and what its turn has handled, counts later."""
    unbegun = Count(
        letter.recipient for letter in system.dead_letters if letter.message == "tick" and not letter.tries
    )
    for ref in world.refs:
        numbers = ref.statistics()
        settled, sent = numbers.handled + numbers.dead, world.sent[ref.name] + unbegun[ref.path]
        assert settled <= sent, ref
        if is_over:
            assert settled + numbers.depth + len(_stashed(ref)) == sent, ref


def _stashed(ref: ActorRef[Any]) -> list[Job]:
    life = cell_of(ref).life
    stash = None if life is None else life.stash
    return [] if stash is None else [entry[0] for entry in stash._entries]  # type: ignore[misc] # pyright: ignore[reportPrivateUsage]


def _check_fates(system: ActorSystem, world: World, jobs: dict[int, Job]) -> None:
    dead: dict[int, list[DeadLetter]] = {number: [] for number in jobs}
    for letter in system.dead_letters:
        if isinstance(letter.message, Job):
            dead[letter.message.number].append(letter)
    put_away = sum(len(_stashed(ref)) for ref in world.refs)
    fates = {number: world.done[number] + len(dead[number]) for number in jobs}
    assert all(fate <= 1 for fate in fates.values()), fates
    assert sum(fates.values()) + put_away == len(jobs), fates
    for number, letters in dead.items():
        for letter in letters:
            cls = cell_of(system.get(letter.recipient)).blueprint.cls
            most = most_tries(cls, jobs[number])
            assert letter.tries <= most, letter
            if letter.reason in ("quarantined", "failed"):
                is_quarantined = most > 1 or jobs[number].error == "poison"
                assert (letter.reason == "quarantined") == is_quarantined, letter
                assert letter.tries == most, letter


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
async def test_every_message_is_tried_as_often_as_it_may_be_and_the_counts_add_up(seed: int) -> None:
    with structlog.testing.capture_logs():
        await _play(seed)
