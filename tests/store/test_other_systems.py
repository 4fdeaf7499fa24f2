"""Who names no system, and means another one than there is, is told which there are: once."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import structlog

from sentient_core import ActorSystem, EventBus, MemoryStore, SurrealStore
from sentient_core.agents import StateManager
from sentient_core.store.protocols import Store
from tests.probes import Counter


@pytest.fixture(params=["memory", "mem"])
async def store(request: pytest.FixtureRequest) -> AsyncGenerator[Store, None]:
    store: Store = MemoryStore() if request.param == "memory" else SurrealStore("mem://")
    yield store
    await store.close()


def hints(lines: list[structlog.typing.EventDict]) -> list[tuple[str, str, str]]:
    return [(line["system"], line["who"], line["there"]) for line in lines if line["log_level"] == "warning"]


async def test_a_manager_or_bus_that_finds_nothing_names_the_systems_there_are_once(store: Store) -> None:
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("shop", store=store) as system:
            await system.spawn(Counter, name="a")
            manager, bus = StateManager(store), EventBus(store)
            for _ in range(2):
                assert await manager.get_agent_state("a") is None
                assert await bus.get_event_history() == []
    assert hints(lines) == [("sentient_core", who, "shop") for who in ("StateManager", "EventBus")]


async def test_who_follows_from_now_on_is_told_as_well(store: Store) -> None:
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("shop", store=store), EventBus(store) as bus:
            subscription = bus.subscribe("agent_started", print)
            await subscription.begun()
    assert hints(lines) == [("sentient_core", "EventBus", "shop")]


async def test_nobody_is_told_who_has_named_it_or_means_what_there_is(store: Store) -> None:
    with structlog.testing.capture_logs() as lines:
        assert await StateManager(store).list_agent_states() == []  # there is nothing yet
        async with ActorSystem("shop", store=store) as system, ActorSystem(store=store) as default:
            for where in (system, default, store):
                assert await StateManager(where).list_agent_states() == []
                assert await EventBus(where).get_event_history(workflow_id="w") == []
            assert await StateManager(store, system="bank").list_agent_states() == []
            assert await EventBus(store, system="bank").get_event_history() == []
    assert hints(lines) == []
