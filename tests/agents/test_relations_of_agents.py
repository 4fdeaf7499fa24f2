"""Edges between living agents: written with their rows, read by anybody, gone when they end for good."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from sentient_core import Actor, ActorSystem, MemoryStore, SurrealStore, handles
from sentient_core.agents import Agent, AgentHandle, StateManager, Task
from sentient_core.errors import OwnedByActor
from sentient_core.store import Store
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from tests.probes import Say


class Helper(Agent):
    class State(msgspec.Struct):
        pass

    state: State

    async def perform(self, task: Task) -> None:
        """Nothing."""


class Plain(Actor[Any]):
    durability = "durable"


class Lead(Agent):
    async def perform(self, task: Task) -> None:
        """Nothing."""

    @handles
    async def hire(self, message: Say) -> None:
        if message.text == "plain":
            await self.context.spawn(Plain, name="plain")
        else:
            await self.context.spawn(Helper, name=message.text)


@pytest.fixture(params=["memory", "mem"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store, None]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with SurrealStore("mem://") as store:
        yield store


async def edges(system: ActorSystem) -> dict[str, list[tuple[str, ...]]]:
    await system.flush()
    found: dict[str, list[tuple[str, ...]]] = {}
    for table in (RowTable.SPAWNED, RowTable.SUPERVISES):
        rows = await system.store.rows(system.name, RowQuery(table=table))
        found[table.value] = [row.key for row in rows]
    return found


async def test_an_agent_is_connected_with_those_above_it_until_it_ends_for_good(store: Store) -> None:
    async with ActorSystem("team", store=store) as system:
        lead = await Lead.start(system, name="lead")
        for name in ("ann", "bob", "plain"):
            await lead.ref.ask(Say(name), timeout=60)
        both = [("lead", "lead/ann"), ("lead", "lead/bob")]
        assert await edges(system) == {"spawned": both, "supervises": both}
        manager = StateManager(system)
        assert await manager.descendants("lead") == ["lead/ann", "lead/bob", "lead/plain"]
        assert await manager.ancestors("lead/bob", "supervises") == ["lead"]
        with pytest.raises(OwnedByActor):
            await manager.unrelate("spawned", "lead", "lead/ann")

        await system.get("lead/ann").kill()  # and is started again
        await system.get("lead/bob").stop()  # transient: for good
        assert await edges(system) == {"spawned": both[:1], "supervises": both[:1]}
    async with ActorSystem("team", store=store) as system:  # it has not ended for good
        assert await edges(system) == {"spawned": both[:1], "supervises": both[:1]}
        lead = await Lead.start(system, name="lead")
        await lead.ref.ask(Say("bob"), timeout=60)
        assert await edges(system) == {"spawned": both, "supervises": both}
        await lead.ref.stop()
        assert (await edges(system))["spawned"] == both[:1], "of one that nobody has spawned again"


async def test_a_virtual_agent_is_supervised_and_was_spawned_by_nobody(store: Store) -> None:
    async with ActorSystem("team", store=store) as system:
        ref = await system.get_or_spawn(Helper, "ann")
        await AgentHandle(ref).create_checkpoint()
        await Helper.start(system, name="top")  # which has nobody above it
        expected = {"spawned": [], "supervises": [("Helper", "Helper/ann")]}
        assert await edges(system) == expected
        await ref.stop()  # it is passive
        assert await edges(system) == expected


async def test_the_database_itself_can_follow_them() -> None:
    async with SurrealStore("mem://") as store, ActorSystem("team", store=store) as system:
        lead = await Lead.start(system, name="lead")
        await lead.ref.ask(Say("ann"), timeout=60)
        await system.flush()
        (found,) = await store.query(
            "SELECT VALUE ->spawned->agent_state.name FROM agent_state WHERE name = 'lead'"
        )
        assert found == [["ann"]]
