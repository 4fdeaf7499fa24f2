"""The end for good of those kept below an actor that has ended."""

from __future__ import annotations

import pytest
from anyio.lowlevel import checkpoint

from sentient_core import Actor, ActorRef, ActorSystem, ChildSpec, Supervisor
from sentient_core.actors.burying import AT_ONCE
from tests.probes import Counter, running


def office(name: str, *children: ChildSpec) -> type[Supervisor]:
    return type(name, (Supervisor,), {"__module__": __name__, "durability": "volatile", "children": children})


async def killed(system: ActorSystem, cls: type[Supervisor]) -> ActorRef[Actor]:
    """An instance of it that has just ended for good."""
    ref = await system.spawn(cls, name="office", restart="temporary")
    ref.kill()
    while ref.is_alive:
        await checkpoint()
    return ref


async def test_a_few_end_in_the_same_moment_all_through_the_tree() -> None:
    inner = office("Inner", *(ChildSpec(Counter, name=str(number)) for number in range(10)))
    outer = office("Outer", *(ChildSpec(inner, name=str(number)) for number in range(5)))
    async with running() as system:
        await killed(system, outer)

        assert system.actors(Actor) == []


@pytest.mark.parametrize("more", [0, 1, 500])
async def test_beyond_that_many_the_others_follow(more: int) -> None:
    wide = office("Wide", *(ChildSpec(Counter, name=str(number)) for number in range(AT_ONCE + more)))
    async with running() as system:
        ref = await killed(system, wide)
        assert len(system.actors(Counter)) <= more

        await ref.stop()

        assert system.actors(Actor) == []


async def test_they_end_by_themselves_without_anybody_who_waits() -> None:
    wide = office("Wide", *(ChildSpec(Counter, name=str(number)) for number in range(AT_ONCE * 3)))
    async with running() as system:
        await killed(system, wide)

        while system.actors(Actor):
            await checkpoint()
