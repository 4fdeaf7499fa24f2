"""The load beside a fault: actors that have nothing to do with it, asked all the while."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeAlias

import anyio
import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.scene import Scene
from sentient_core.system import ActorSystem

__all__ = ["Asks", "DurableOther", "MirroredOther", "Visit", "VolatileOther", "loaded", "spawn_others"]

_OTHERS = 8
_QUIET_QUICK, _QUIET = 0.2, 2.0
"""Seconds of load before anything is harmed."""
_TIMEOUT = 30.0
"""Longer than any fault: how late an answer is says the load, not the one who asks."""


class Visit(Request[int], frozen=True):
    """One more visitor; the reply says how many there were."""

    number: int


class _Other(Actor):
    class State(msgspec.Struct):
        visits: int = 0

    state: State

    @handles
    def visit(self, message: Visit) -> int:
        self.state.visits += 1
        return self.state.visits


class VolatileOther(_Other):
    """Remembers nothing, and does not need the store."""

    durability: ClassVar[DurabilityName] = "volatile"


class MirroredOther(_Other):
    """Is written behind."""

    durability: ClassVar[DurabilityName] = "mirrored"


class DurableOther(_Other):
    """Answers when its turn is committed."""

    durability: ClassVar[DurabilityName] = "durable"


KINDS: tuple[type[_Other], ...] = (VolatileOther, DurableOther)
"""Who is asked if a row does not say otherwise."""

Asks: TypeAlias = dict[str, Callable[[int], Awaitable[object]]]


@asynccontextmanager
async def loaded(
    scene: Scene,
    system: ActorSystem,
    *,
    rate: float = 100.0,
    asks: Asks | None = None,
    kinds: tuple[type[_Other], ...] = KINDS,
    patience: float = 5.0,
) -> AsyncGenerator[OpenLoad]:
    """Others in `system`, asked `rate` times a second in all, while the block runs.

    Those of `asks`, if they are there already; else eight new ones of each kind. The block begins when they
    have been asked for a while with nothing else going on: the baseline.
    """
    asks = asks or await spawn_others(system, kinds)
    async with OpenLoad(asks, rate=rate, dice=scene.dice("load"), patience=patience) as load:
        await anyio.sleep(scene.pick(quick=_QUIET_QUICK, full=_QUIET))
        load.quiet_until = load.now()
        yield load


async def spawn_others(system: ActorSystem, kinds: tuple[type[_Other], ...] = KINDS) -> Asks:
    """Eight actors of each kind, and how one of a kind is asked."""
    asks: Asks = {}
    for cls in kinds:
        refs = [await system.spawn(cls, name=f"{cls.durability}-other-{n}") for n in range(_OTHERS)]
        asks[cls.durability] = _asking(refs)
        for ref in refs:  # each has begun, and its first answer is not the load's
            await ref.ask(Visit(-1), timeout=_TIMEOUT)
    return asks


def _asking(refs: list[ActorRef[Any]]) -> Callable[[int], Awaitable[object]]:
    def ask(number: int) -> Awaitable[object]:
        return refs[number % len(refs)].ask(Visit(number), timeout=_TIMEOUT)

    return ask
