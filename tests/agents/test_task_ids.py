"""An id is one task's, of one agent, for as long as its row stands."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore, handles
from sentient_core.agents import Agent, StateManager, Task, TaskExecutionMode, task_ids
from sentient_core.agents.messages import AcceptTask
from sentient_core.errors import IdTaken, StoreUnavailable, TaskIdConflict
from sentient_core.store.row_models import Row, RowQuery
from tests.agents.crew import Doer, World
from tests.probes import Pass
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


def task(*steps: str, id_: str = "t1", description: str = "") -> Task:
    return Task(task_id=id_, description=description, input_data={"steps": list(steps)})


def accept(given: Task, mode: TaskExecutionMode = TaskExecutionMode.BACKGROUND) -> AcceptTask:
    return AcceptTask(
        given.task_id, description=given.description, input_data=given.input_data, workflow_id=None, mode=mode
    )


async def test_a_task_that_is_over_is_no_other_agents_any_more() -> None:
    world, store = World(), MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        one = await Doer.start(system, world, name="one")
        two = await Doer.start(system, world, name="two")
        done = await one.execute_task(task("a"))
        with pytest.raises(IdTaken, match="the agent 'one' that has it"):
            await two.execute_task(task("a"))
    async with ActorSystem("shop", store=store) as system:
        two = await Doer.start(system, world, name="two")
        with pytest.raises(IdTaken, match="the agent 'one' that has it") as caught:
            await two.execute_task(task("a"))
        assert caught.value.owner == "one"
        with pytest.raises(IdTaken):  # also where nobody has looked before
            await two.ref.ask(accept(task("a")), timeout=5)
        one = await Doer.start(system, world, name="one")
        assert await one.execute_task(task("a")) == done
    assert list(world.log) == ["t1 from 0", "t1 a"]


async def test_a_task_that_is_over_is_not_done_again_however_long_ago_that_was() -> None:
    world, store = World(), MemoryStore()
    for _ in range(3):
        async with ActorSystem("shop", store=store) as system:
            agent = await Doer.start(system, world, name="doer")
            assert (await agent.execute_task(task("a")))["status"] == "completed"
            assert await agent.ref.ask(accept(task("a")), timeout=5) == "t1"
            with pytest.raises(TaskIdConflict):
                await agent.execute_task(task("b"))
            with pytest.raises(TaskIdConflict):
                await agent.ref.ask(accept(task("b")), timeout=5)
            await system.flush()
    assert list(world.log) == ["t1 from 0", "t1 a"]


async def test_of_agents_that_are_given_a_task_at_once_one_does_it() -> None:
    world, refused = World(), list[str]()
    async with ActorSystem("shop", store=MemoryStore()) as system:
        agents = [await Doer.start(system, world, name=f"a{number}") for number in range(10)]

        async def give(number: int) -> None:
            agent = agents[number]
            try:
                if number % 2:
                    await agent.ref.ask(accept(task("a")), timeout=5)
                    await agent.execute_task(task("a"))
                else:
                    await agent.execute_task(task("a"))
            except IdTaken:
                refused.append(agent.name)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(give, number)
    assert len(refused) == 9
    assert list(world.log) == ["t1 from 0", "t1 a"]


async def test_ids_are_forgotten_here_when_the_rows_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_ids, "_MOST_OVER", 3)
    world = World()
    async with ActorSystem("shop", store=MemoryStore()) as system:
        one = await Doer.start(system, world, name="one")
        two = await Doer.start(system, world, name="two")
        for _ in range(2):
            for number in range(10):
                await one.execute_task(task("a", id_=f"t{number}"))
        for number in range(10):
            with pytest.raises(IdTaken):
                await two.execute_task(task("a", id_=f"t{number}"))
    assert len(list(world.log)) == 20


async def test_a_task_that_somebody_has_written_down_is_done_by_whom_it_is_given_to() -> None:
    world = World()
    async with ActorSystem("shop", store=MemoryStore()) as system:
        await StateManager(system).create_task({"task_id": "t1", "agent_id": "doer", "description": "later"})
        agent = await Doer.start(system, world, name="doer")
        assert (await agent.execute_task(task("a")))["status"] == "completed"
        known = await agent.get_task("t1")
        assert known is not None
        assert (known.status, known.owner) == ("completed", "doer")


class Twofold(Agent):
    """Does a task in one of two ways, as its mode says."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def execute_task(
        self, task: Task, mode: TaskExecutionMode = TaskExecutionMode.BLOCKING
    ) -> dict[str, Any]:
        return {"message": "returned"}

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        yield {"status": "completed", "message": "streamed"}

    @handles
    async def wait(self, message: Pass) -> str:
        await self.world.gate("busy")()
        return ""


async def test_the_mode_of_a_task_outlives_a_crash_before_it_is_taken_on() -> None:
    world, store = World(), MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        agent = await Twofold.start(system, world, name="twofold")
        agent.ref.tell(Pass())
        await world.gate("busy").reached.wait()
        await agent.ref.send(accept(task("a"), TaskExecutionMode.STREAMING))
    world.gate("busy").open.set()
    async with ActorSystem("shop", store=store) as system:
        agent = await Twofold.start(system, world, name="twofold")
        assert (await agent.execute_task(task("a")))["message"] == "streamed"
        known = await agent.get_task("t1")
        assert known is not None
        assert known.mode == "streaming"


async def test_a_task_that_is_given_while_the_store_is_away_is_taken_on_when_it_is_back() -> None:
    world, store, outages = World(), MemoryStore(), 3
    reads = store.rows

    async def rows(system: str, query: RowQuery) -> list[Row]:
        nonlocal outages
        if outages:
            outages -= 1
            raise StoreUnavailable("away")
        return await reads(system, query)

    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, world, name="doer")
        store.rows = rows  # type: ignore[method-assign]
        assert (await agent.execute_task(task("a")))["status"] == "completed"
        assert outages == 0
