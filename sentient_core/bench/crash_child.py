"""A process of its own that works until it kills itself, and says what was acknowledged until then.

Each number goes to standard output as soon as it is acknowledged: the oracle is whoever reads it. Run as
`python -m sentient_core.bench.crash_child`, with a `CrashPlan` as JSON on standard input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.bench.deposits import Deposits
from sentient_core.config import Settings
from sentient_core.events import AgentEvent
from sentient_core.faults import FaultPlan
from sentient_core.faults.faults import die
from sentient_core.logs import LogLevel
from sentient_core.store import SurrealStore
from sentient_core.system import ActorSystem

__all__ = ["CrashPlan", "main"]

_DEPOSITORS = 8
_TIMEOUT = 30.0


class CrashPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the process does."""

    url: str
    database: str
    username: str | None
    password: str | None
    backend: str
    faults: str = "seed = 0"
    """The plan that kills it, as TOML."""
    first: int = 0
    """The number of the first deposit."""
    backlog: int = 0
    """Deposits that are accepted and not handled when it kills itself; 0: it works until the plan says so."""
    is_drained: bool = False
    """The backlog is in its rows by then, not in the journal alone."""


class _Tick(msgspec.Struct, frozen=True):
    pass


class _Hello(Request[int], frozen=True):
    pass


class _Child(Actor):
    durability = "volatile"

    @handles
    def hello(self, message: _Hello) -> int:
        return 1


class _Clock(Actor):
    """Comes by what deposits do not: timers, children that start and stop, replies, events."""

    durability = "volatile"

    def on_start(self) -> None:
        self.context.timers.every("tick", 0.02, _Tick())

    @handles
    async def tick(self, message: _Tick) -> None:
        child = await self.context.spawn(_Child)
        await child.ask(_Hello(), timeout=_TIMEOUT)
        event = AgentEvent(event_type="bench.tick", source_agent="clock")
        await self.context.system.events.publish_event(event)
        child.stop()


async def _run(plan: CrashPlan) -> None:
    store = SurrealStore(plan.url, database=plan.database, username=plan.username, password=plan.password)
    settings = Settings(log_level=LogLevel.CRITICAL)
    system = ActorSystem("bench", store=store, settings=settings, faults=FaultPlan.from_toml(plan.faults))
    async with store, system:
        deposits = Deposits()
        await deposits.open(system)
        if plan.backlog:
            await deposits.pile_up(range(plan.first, plan.first + plan.backlog))
            if plan.is_drained:
                await system.flush()
            die()
        await system.spawn(_Clock, name="clock", restart="permanent")
        async with anyio.create_task_group() as tasks:
            for depositor in range(_DEPOSITORS):
                tasks.start_soon(_deposit, deposits.deposit, plan.first + depositor)


async def _deposit(deposit: Callable[[int], Awaitable[None]], number: int) -> None:
    while True:
        await deposit(number)
        os.write(1, b"%d\n" % number)
        number += _DEPOSITORS


def main() -> None:
    """Read the plan, and work by it."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=CrashPlan)
    anyio.run(_run, plan, backend=plan.backend)


if __name__ == "__main__":
    main()
