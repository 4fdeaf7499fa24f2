"""Workflows whose system ends, and starts again with what is in the store."""

from __future__ import annotations

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Workflow
from sentient_core.agents.workflows.workflows import Workflows
from sentient_core.errors import StoreUnavailable, WorkflowCancelled
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable
from tests.agents.crew import World
from tests.agents.workflows.staff import Worker, does

FLOW = Workflow(
    "w",
    steps=[
        does("a", "x", compensate=Compensation(input_data={"steps": ["undo"]})),
        does("b", "save one", "wait b"),
        Approval("go"),
        does("c", "y"),
    ],
)


async def until_b(store: MemoryStore, world: World) -> None:
    """A system ends while step b is at work."""
    async with ActorSystem("shop", store=store) as system:
        await Worker.start(system, world, name="ann")
        await Workflows(system).start(FLOW, workflow_id="w")
        await world.gate("b").reached.wait()


@pytest.mark.parametrize("agents_first", [True, False])
async def test_it_goes_on_where_it_was_and_repeats_nothing(agents_first: bool) -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(10_000):
        await until_b(store, world)
        world.gate("b").open.set()
        async with ActorSystem("shop", store=store) as system:
            if agents_first:
                await Worker.start(system, world, name="ann")
            workflows = Workflows(system)
            if not agents_first:
                await system.flush()
                await Worker.start(system, world, name="ann")
            run = workflows.get("w")
            await run.signal("go")
            await run.result()
    assert [line for line in world.log if "from" in line] == [
        "w:a:1 from 0",
        "w:b:1 from 0",
        "w:b:1 from 1",
        "w:c:1 from 0",
    ]


async def test_many_starts_are_one_run() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(10_000):
        await until_b(store, world)
        for _ in range(3):
            async with ActorSystem("shop", store=store) as system:
                await Worker.start(system, world, name="ann")
                Workflows(system)
                Workflows(system)  # looks for nothing again
                await system.flush()
        world.gate("b").open.set()
        async with ActorSystem("shop", store=store) as system:
            await Worker.start(system, world, name="ann")
            run = await Workflows(system).start(FLOW, workflow_id="w")
            await run.signal("go", signal_id="1")
            await run.result()
            changes = [
                entry["step"]
                for entry in await run.history()
                if entry.get("new_status") == "completed" and "step" in entry
            ]
            assert changes == ["a", "b", "go", "c"]
    assert [line for line in world.log if line.startswith("w:a:1 x")] == ["w:a:1 x"]


async def test_a_paused_one_stays_so_until_it_is_resumed() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(10_000):
        await until_b(store, world)
        async with ActorSystem("shop", store=store) as system:
            await Workflows(system).get("w").pause()  # before its agent is there
        world.gate("b").open.set()
        async with ActorSystem("shop", store=store) as system:
            ann = await Worker.start(system, world, name="ann")
            run = Workflows(system).get("w")
            while (await ann.describe()).status != "paused":  # noqa: ASYNC110 - nobody tells of it
                await anyio.sleep(1)
            assert await run.status() == "paused"
            assert "w:b:1 wait b" not in world.log.lines
            await run.resume()
            await run.signal("go")
            await run.result()


async def test_cancelled_while_its_agent_is_away_it_ends_and_so_does_the_task_when_that_is_back() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(10_000):
        await until_b(store, world)
        async with ActorSystem("shop", store=store) as system:
            run = Workflows(system).get("w")
            assert await run.cancel(compensate=False)
            with pytest.raises(WorkflowCancelled):
                await run.result()
        async with ActorSystem("shop", store=store) as system:
            ann = await Worker.start(system, world, name="ann")
            while True:
                task = await ann.get_task("w:b:1")
                assert task is not None
                if task.status == "cancelled":
                    break
                await anyio.sleep(1)
    assert "w:b:1 wait b" not in world.log.lines


async def test_recovery_finds_what_is_unfinished_and_nothing_else() -> None:
    store = MemoryStore()
    with anyio.fail_after(10_000):
        async with ActorSystem("shop", store=store) as system:
            workflows = Workflows(system)
            for number in range(3):
                await workflows.start(Workflow("w", steps=[Approval("go")]), workflow_id=f"w{number}")
            done = await workflows.start(Workflow("w", steps=[Delay("rest", 0)]))
            await done.result()
        async with ActorSystem("shop", store=store) as system:
            workflows = Workflows(system)
            assert await workflows.recover() == 3
            for number in range(3):
                await workflows.get(f"w{number}").signal("go")
                assert await workflows.get(f"w{number}").result() == {"go": {}}
            assert await workflows.recover() == 0


async def test_a_store_that_is_away_at_the_start_delays_recovery_and_somebody_is_told() -> None:
    class Away(MemoryStore):
        """Does not answer what is asked of workflows, so often."""

        times = 0

        async def rows(self, system: str, query: RowQuery) -> list[Row]:
            if query.table == RowTable.WORKFLOW_STATE and self.times:
                self.times -= 1
                raise StoreUnavailable("it is away")
            return await super().rows(system, query)

    store = Away()
    with anyio.fail_after(10_000):
        async with ActorSystem("shop", store=store) as system:
            await Workflows(system).start(Workflow("w", steps=[Delay("rest", 100)]), workflow_id="w")
        store.times = 3
        async with ActorSystem("shop", store=store) as system:
            Workflows(system)
            await anyio.sleep(1_000)
            assert await Workflows(system).get("w").status() == "completed"
            await system.flush()
            alerts = [event.payload for event in await store.events("shop", event_type="system_alert")]
    assert [alert["alert"] for alert in alerts] == ["workflows were not recovered"]


async def test_the_agent_of_a_task_that_is_not_there_is_told_of() -> None:
    store, world = MemoryStore(), World()
    with anyio.fail_after(10_000):
        await until_b(store, world)
        async with ActorSystem("shop", store=store) as system, system.alerts.follow() as alerts:
            Workflows(system)
            alert = await alerts.__anext__()
            assert (alert.alert, alert.path) == ("workflow waits for its agent", "workflow/w")
            assert alert.cause == "task 'w:b:1' is of 'ann', which is not there"
