"""Deposits in durable actors: asked under an id, so that one asked again is not applied again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.config import Settings
from sentient_core.logs import LogLevel
from sentient_core.store import SurrealStore
from sentient_core.system import ActorSystem

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child

__all__ = ["Deposit", "Numbers", "run"]

_TIMEOUT = 60.0


class Deposit(Request[None], frozen=True):
    """One deposit; the reply comes when its turn is committed."""

    number: int


class Numbers(Request[list[int]], frozen=True):
    """What is recorded."""


class _Till(Actor):
    """Writes down each deposit."""

    durability = "durable"

    class State(msgspec.Struct):
        numbers: list[int] = msgspec.field(default_factory=list[int])

    state: State

    def __init__(self, child: Child) -> None:
        self._child = child

    @handles
    def deposit(self, message: Deposit) -> None:
        self._child.executed(message.number)
        self.state.numbers.append(message.number)

    @handles
    def numbers(self, message: Numbers) -> list[int]:
        return self.state.numbers


def run(child: Child) -> list[int]:
    """Deposit until killed; in the last process, return what is recorded."""
    return anyio.run(partial(_run, child), backend=child.plan.backend)


async def _run(child: Child) -> list[int]:
    plan = child.plan
    settings = Settings(log_level=LogLevel.CRITICAL)
    store = SurrealStore(f"surrealkv://{Path(plan.folder) / 'database'}")
    async with store, ActorSystem("bench", store=store, settings=settings) as system:
        tills = [
            await system.spawn(_Till, child, name=f"till-{number}", restart="permanent")
            for number in range(plan.tills)
        ]

        async def deposit(number: int) -> None:
            till = tills[number % plan.tills]
            await till.ask(Deposit(number), timeout=_TIMEOUT, message_id=f"deposit-{number}")

        async with anyio.create_task_group() as tasks:
            for number in plan.nexts:
                tasks.start_soon(child.as_client, number, deposit)
        return [number for till in tills for number in await till.ask(Numbers(), timeout=_TIMEOUT)]
