"""A worker that raises now and then, under a supervisor that starts it again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.config import Settings
from sentient_core.logs import LogLevel
from sentient_core.store import MemoryStore
from sentient_core.supervisor import ChildSpec, Supervisor
from sentient_core.system import ActorSystem

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child, Jobs

__all__ = ["Job", "Settled", "run"]

_TIMEOUT = 60.0


class Job(msgspec.Struct, frozen=True):
    """One message."""

    number: int


class Settled(Request[None], frozen=True):
    """Answered behind all that was sent before."""


class _Worker(Actor):
    """Does jobs, and raises at some."""

    durability = "volatile"

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @handles
    def job(self, message: Job) -> None:
        self._jobs.handle(message.number)

    @handles
    def settled(self, message: Settled) -> None:
        self._jobs.resumed()


class _Boss(Supervisor):
    """Starts the worker again, however often."""

    strategy = Supervisor.one_for_one(max_restarts=1_000_000, within=3600.0)


def run(child: Child) -> dict[str, Any]:
    """Do all jobs, and return what became of them."""
    return anyio.run(partial(_run, child.jobs()), backend=child.plan.backend)


async def _run(jobs: Jobs) -> dict[str, Any]:
    settings = Settings(log_level=LogLevel.CRITICAL)
    async with ActorSystem("bench", store=MemoryStore(), settings=settings) as system:
        boss = await system.spawn(_Boss, name="boss")
        worker = await boss.start_child(ChildSpec(_Worker, name="worker", args=(jobs,)))
        for batch in jobs.batches():
            for number in batch:
                worker.tell(Job(number))
            await worker.ask(Settled(), timeout=_TIMEOUT)
            await anyio.sleep(jobs.pause)
    return jobs.result()
