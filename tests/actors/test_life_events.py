"""What is told of an actor's life: restarts, escalations, give-ups, with how they came about."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, Backoff, ChildSpec, MemoryStore, Supervisor, handles
from sentient_core.actors.life_events import report_escalation, report_give_up, report_restart
from sentient_core.actors.ref import cell_of
from tests.probes import Counter, Fail, Total, VolatileCounter, running

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


async def restarts(store: MemoryStore, path: str = "a") -> int:
    (row,) = [row for row in await store.agents("test") if row.agent_id == path]
    return row.restarts


async def fail(ref: ActorRef[Any], times: int) -> None:
    for _ in range(times):
        ref.tell(Fail())
    await ref.ask(Total(), timeout=1)


async def test_restarts_are_counted_over_lives_and_starts_of_the_process() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        await fail(ref, 2)
        assert await restarts(store) == 2
        await ref.stop()
        ref = await system.spawn(Counter, name="a")  # another actor's start, of the same path
        assert (ref.incarnation, await restarts(store)) == (4, 2)
        await fail(ref, 1)
        assert system.statistics().restarts == 3

    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        assert (ref.incarnation, await restarts(store)) == (6, 3)
        await fail(ref, 1)

        assert await restarts(store) == 4
        assert system.statistics().restarts == 1


async def test_an_activation_of_a_virtual_actor_is_no_restart() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.get_or_spawn(Counter, "a")
        await fail(ref, 1)
        for _ in range(3):
            await ref.stop()
            await ref.ask(Total(), timeout=1)
        await fail(ref, 1)

        assert ref.incarnation == 6
        assert await restarts(store, "Counter/a") == 2


async def test_an_orderly_end_that_a_permanent_child_comes_back_from_is_a_restart() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a", restart="permanent")
        await ref.stop()
        await ref.ask(Total(), timeout=1)

        assert await restarts(store) == 1


class Bank(Supervisor):
    strategy = Supervisor.one_for_one(
        max_restarts=2, within=60.0, backoff=Backoff(first=2.0, jitter=0.0), decide=[(KeyError, "escalate")]
    )
    children = (ChildSpec(Counter, name="a"),)


class Teller(Counter):
    """Fails of something that failed."""

    @handles
    def fail(self, message: Fail) -> None:
        raise RuntimeError("no balance") from ConnectionError(message.why)


async def test_a_restart_by_a_supervisor_is_told_between_the_failure_and_the_start() -> None:
    class Waiting(Supervisor):
        strategy = Supervisor.one_for_one(backoff=Backoff(first=2.0, jitter=0.0))
        children = (ChildSpec(Teller, name="a"),)

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Waiting, name="bank")
        system.get("bank/a").tell(Fail("line is dead"))
        await anyio.sleep(1)
        ((source, incarnation, payload),) = await told(store, "actor_restarted")
        assert len(await told(store, "actor_started")) == 2  # of the bank and, once, its child
        await anyio.sleep(2)
        life = [row.event_type for row in reversed(await store.events("test", agent="bank/a"))]

    assert (source, incarnation) == ("bank/a", 1)
    assert payload == {
        "next_incarnation": 2,
        "restarts": 1,
        "restarts_in_window": 1,
        "delay": 2.0,
        "causes": [
            {"type": "RuntimeError", "message": "no balance"},
            {"type": "ConnectionError", "message": "line is dead"},
        ],
    }
    assert [kind for kind in life if kind.startswith("actor")] == [
        "actor_started",
        "actor_failed",
        "actor_restarted",
        "actor_started",
    ]


async def test_each_child_of_a_group_that_is_restarted_is_told() -> None:
    class Group(Supervisor):
        strategy = Supervisor.one_for_all()
        children = tuple(ChildSpec(Counter, name=name) for name in "abc")

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Group, name="g")
        system.get("g/b").tell(Fail())
        await anyio.wait_all_tasks_blocked()

    restarted = await told(store, "actor_restarted")
    assert [source for source, _, _ in restarted] == ["g/a", "g/b", "g/c"]
    assert {payload["restarts_in_window"] for _, _, payload in restarted} == {1}
    assert {payload["causes"][0]["type"] for _, _, payload in restarted} == {"ValueError"}


@pytest.mark.parametrize("kind", [Counter, VolatileCounter])
async def test_a_start_that_somebody_asks_a_supervisor_for_is_no_restart(kind: type[Counter]) -> None:
    async with running() as system:
        bank = await system.spawn(Supervisor, name="bank")
        ref = await bank.start_child(ChildSpec(kind, name="a"))
        await fail(ref, 1)
        for _ in range(2):
            await bank.terminate_child("a")
            ref = await bank.restart_child("a")
        assert (ref.incarnation, system.tree("bank/a").restarts) == (4, 1)

        await fail(ref, 1)

        assert (system.tree("bank/a").restarts, system.statistics().restarts) == (2, 2)


async def test_what_is_told_of_a_restart_and_what_is_counted_agree() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")
        child, virtual = system.get("bank/a"), await system.get_or_spawn(Counter, "v")
        for _ in range(2):
            child.tell(Fail())
            virtual.tell(Fail())
        await anyio.sleep(60)

        nodes = [node for _, node in system.tree().walk()]
        counts = {node.path: node.restarts for node in nodes if node.restarts}
        assert counts == {"bank/a": 2, "Counter/v": 2}
        assert system.statistics().restarts == 4
    told_of = [(source, payload["restarts"]) for source, _, payload in await told(store, "actor_restarted")]
    assert sorted(told_of) == [("Counter/v", 1), ("Counter/v", 2), ("bank/a", 1), ("bank/a", 2)]


async def test_a_supervisor_that_has_no_restart_left_gives_up_and_is_restarted_itself() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")
        for _ in range(3):
            system.get("bank/a").tell(Fail())
            await anyio.sleep(10)

        assert system.tree("bank").restarts == 1

    (gave_up,) = await told(store, "supervisor_gave_up")
    assert gave_up[:2] == ("bank", 1)
    assert gave_up[2]["child"] == "bank/a"
    assert gave_up[2]["restarts"] == 2
    assert [link["type"] for link in gave_up[2]["causes"]] == ["RestartLimitExceeded", "ValueError"]
    (alert,) = await told(store, "system_alert")
    assert (alert[0], alert[2]["alert"], alert[2]["causes"]) == (
        "bank",
        "supervisor gave up",
        gave_up[2]["causes"],
    )
    restarted = [source for source, _, _ in await told(store, "actor_restarted")]
    assert restarted == ["bank/a", "bank/a", "bank"]


async def test_a_failure_that_a_rule_escalates_is_told_with_whose_it_becomes() -> None:
    class Thief(Counter):
        @handles
        def fail(self, message: Fail) -> None:
            raise KeyError(message.why)

    class House(Bank):
        children = (ChildSpec(Thief, name="a"),)

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(House, name="bank")
        system.get("bank/a").tell(Fail("gold"))
        await anyio.sleep(10)

    (escalated,) = await told(store, "actor_escalated")
    assert escalated == (
        "bank/a",
        1,
        {"supervisor": "bank", "causes": [{"type": "KeyError", "message": "'gold'"}]},
    )
    bank = next(payload for source, _, payload in await told(store, "actor_restarted") if source == "bank")
    assert [link["type"] for link in bank["causes"]] == ["Escalated", "KeyError"]
