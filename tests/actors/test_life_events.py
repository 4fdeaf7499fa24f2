"""What is told of an actor's life: restarts, escalations, give-ups, with how they came about."""

from __future__ import annotations

from typing import Any

from sentient_core import MemoryStore, Supervisor
from sentient_core.actors.life_events import report_escalation, report_give_up, report_restart
from sentient_core.actors.ref import cell_of
from tests.probes import Counter, VolatileCounter, running

CAUSES = [{"type": "RuntimeError", "message": "no balance"}, {"type": "KeyError", "message": "'alice'"}]


def failure() -> RuntimeError:
    error = RuntimeError("no balance")
    error.__cause__ = KeyError("alice")
    return error


async def told(store: MemoryStore, event_type: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Source, incarnation and payload of each event of a type, oldest first."""
    rows = await store.events("test", event_type=event_type)
    return [(row.source_agent, row.incarnation, row.payload) for row in reversed(rows)]


async def test_a_restart_is_told_with_what_comes_next_and_its_chain_of_causes() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        report_restart(cell_of(ref), failure(), 1.5)
        report_restart(cell_of(ref), None, 0.0)

    failed, ended = await told(store, "actor_restarted")
    assert failed == (
        "a",
        1,
        {"next_incarnation": 2, "restarts": 1, "restarts_in_window": 0, "delay": 1.5, "causes": CAUSES},
    )
    assert ended[2]["causes"] == []


async def test_a_restart_of_a_volatile_actor_is_not_written() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(VolatileCounter, name="a")
        report_restart(cell_of(ref), failure(), 0.0)

    assert await store.events("test") == []


async def test_an_escalation_is_told_with_whose_failure_it_becomes() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        bank = await system.spawn(Supervisor, name="bank")
        child = await system.spawn_child(
            cell_of(bank), VolatileCounter, (), {}, name="a", restart="permanent", shutdown=None
        )
        report_escalation(cell_of(child), failure())

    ((source, incarnation, payload),) = await told(store, "actor_escalated")
    assert (source, incarnation) == ("bank/a", 1)
    assert payload == {"supervisor": "bank", "causes": CAUSES}


async def test_an_escalation_between_volatile_actors_is_not_written() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(VolatileCounter, name="a")
        report_escalation(cell_of(ref), failure())

    assert await store.events("test") == []


async def test_a_supervisor_that_gives_up_is_told_and_is_an_alert() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        bank = await system.spawn(Supervisor, name="bank")
        child = await system.spawn_child(
            cell_of(bank), VolatileCounter, (), {}, name="a", restart="permanent", shutdown=None
        )
        report_give_up(cell_of(bank), cell_of(child), failure())

    (gave_up,) = await told(store, "supervisor_gave_up")
    (alert,) = await told(store, "system_alert")
    assert gave_up == ("bank", 1, {"child": "bank/a", "restarts": 0, "causes": CAUSES})
    assert alert[:2] == ("bank", 1)
    assert alert[2]["alert"] == "supervisor gave up"
    assert alert[2]["cause"] == "RuntimeError: no balance"
