"""Whatever meets what: each message is handled once or is one dead letter, and every ask ends."""

from __future__ import annotations

import random
from collections import Counter as Count
from typing import Any

import anyio
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    BudgetExceeded,
    ChildSpec,
    DeliveryError,
    MemoryStore,
    RateLimited,
    Request,
    Supervisor,
    handles,
)
from tests.long import few
from tests.probes import letters


class Job(Request[str], frozen=True):
    number: int
    way: str


class Record:
    """What became of messages, by their numbers."""

    def __init__(self) -> None:
        self.handled = Count[int]()
        self._put_off = set[int]()

    def is_first(self, number: int) -> bool:
        """Once for each message."""
        is_first = number not in self._put_off
        self._put_off.add(number)
        return is_first


class Other(Actor):
    """Handles whatever is forwarded to it."""

    durability = "volatile"

    def __init__(self, record: Record) -> None:
        self.record = record

    @handles
    def job(self, message: Job) -> str:
        self.record.handled[message.number] += 1
        return "by the other"


class Worker(Actor):
    """Does each message in its way: slowly, badly, later, elsewhere, or not to be stopped."""

    durability = "volatile"
    handler_timeout = 2.0
    kill_grace = 1.0
    max_attempts = 2

    def __init__(self, record: Record) -> None:
        self.record = record

    @handles
    async def job(self, message: Job) -> str:
        envelope = self.context.message
        assert envelope is not None
        is_first_try = envelope.attempt == 1
        way, number = message.way, message.number
        if way == "slow":
            await anyio.sleep(1.5)
        elif way == "overdue" and is_first_try:
            await anyio.sleep(5)
        elif way == "fail" or (way == "fail once" and is_first_try):
            await anyio.sleep(0.1)
            raise ValueError(way)
        elif way == "rate limited":
            raise RateLimited(2.0)
        elif way == "over budget" and self.record.is_first(number):
            raise BudgetExceeded(way)
        elif way.startswith("hang") and is_first_try:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(7)
            if way == "hang, then fail":
                raise ValueError(way)
            return "too late"
        elif way == "stash" and self.record.is_first(number):
            self.context.stash()
            return ""
        elif way == "stash, then fail" and is_first_try:
            self.context.stash()
            raise ValueError(way)
        elif way == "unstash":
            self.context.unstash_all()
        elif way.startswith("forward"):
            self.context.forward(self.context.system.get("top/other"))
            if way == "forward, then hang":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(7)
            return ""
        self.record.handled[number] += 1
        return "done"


WAYS = (
    "at once",
    "slow",
    "overdue",
    "fail",
    "fail once",
    "rate limited",
    "over budget",
    "hang",
    "hang, then fail",
    "stash",
    "stash, then fail",
    "unstash",
    "forward",
    "forward, then hang",
)
KINDS: list[Any] = [Supervisor.one_for_one, Supervisor.one_for_all, Supervisor.rest_for_one]


def interfere(chance: random.Random, worker: ActorRef[Any], top: ActorRef[Any]) -> None:
    """Do something to the actor, or nothing."""
    acts = [worker.pause, worker.resume, worker.kill, worker.drain, worker.stop, top.kill]
    weights = [7, 8, 6, 3, 3, 2]
    if chance.random() < 0.3:
        chance.choices(acts, weights)[0]()


@pytest.mark.parametrize("seed", few(range(40), 12))
async def test_retries_stashes_forwards_pauses_drains_kills_and_hangs_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    record, refused = Record(), set[int]()

    class Team(Supervisor):
        durability = "volatile"
        strategy = chance.choice(KINDS)(max_restarts=1_000, within=1.0)
        children = (
            ChildSpec(Worker, name="worker", args=(record,)),
            ChildSpec(Other, name="other", args=(record,)),
        )

    async def ask(ref: ActorRef[Worker], job: Job) -> None:
        try:
            await ref.ask(job, timeout=10_000)
        except ActorStopped as error:
            if "takes nothing more" in str(error):
                refused.add(job.number)
        except DeliveryError:
            pass

    with structlog.testing.capture_logs():
        async with ActorSystem("test", store=MemoryStore(), watchdog=None) as system:
            top = await system.spawn(Team, name="top")
            worker: ActorRef[Worker] = system.get("top/worker")
            with anyio.fail_after(5_000):  # sooner than an ask gives up: nobody is left waiting
                async with anyio.create_task_group() as tasks:
                    for number in range(40):
                        ref = worker.with_options(priority=chance.choice([-1, 0, 0, 0, 1]))
                        job = Job(number, chance.choice(WAYS))
                        if chance.random() < 0.5:
                            tasks.start_soon(ask, ref, job)
                        else:
                            ref.tell(job)
                        interfere(chance, worker, top)
                        await anyio.sleep(chance.choice([0, 0, 0, 0.2, 1, 3, 8]))
                    for _ in range(60):
                        await anyio.sleep(10)
                        worker.resume()
                    worker.tell(Job(-1, "unstash"))
                    await anyio.sleep(600)
                    worker.resume()

        dead = Count(message.number for message, _ in letters(system))
    assert {number: record.handled[number] + dead[number] for number in range(40)} == {
        number: number not in refused for number in range(40)
    }
