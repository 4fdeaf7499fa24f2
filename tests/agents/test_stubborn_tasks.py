"""Tasks whose code swallows its cancellation: they are over all the same, and all goes on without it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    ActorSystem,
    EventFilter,
    EventType,
    MemoryStore,
    Settings,
    StaleIncarnation,
    handles,
)
from sentient_core.agents import Agent, AgentHandle, Task
from sentient_core.errors import TaskFailed
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from tests.probes import Gate, Log, Say
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class World:
    def __init__(self) -> None:
        self.gate = Gate()
        self.log = Log()
        self.errors: list[BaseException] = []


async def in_a_loop(gate: Gate) -> None:
    while not gate.open.is_set():
        with suppress(BaseException):
            await gate()


async def in_a_shield(gate: Gate) -> None:
    with anyio.CancelScope(shield=True):
        await gate()


class Mule(Agent):
    """Swallows what it is told, and tries to go on afterwards."""

    kill_grace: ClassVar[float | None] = 5.0

    class State(msgspec.Struct):
        said: list[str] = []

    state: State

    def __init__(self, world: World, swallow: Callable[[Gate], Awaitable[None]] = in_a_loop) -> None:
        self.world = world
        self.swallow = swallow

    async def perform(self, task: Task) -> dict[str, Any]:
        if task.description == "well":
            return {"message": ", ".join(self.state.said)}
        self.world.log("begins")
        if task.description == "from its checkpoint" and self.resume_point is not None:
            return {"message": "again"}
        await self.create_checkpoint({})
        await self.swallow(self.world.gate)
        self.state.said.append("too late")
        for attempt in (lambda: self.report_progress(50), lambda: self.create_checkpoint({})):
            try:
                await attempt()
            except Exception as error:  # noqa: BLE001 - what is tested
                self.world.errors.append(error)
        try:
            self.context.timers.once("late", 1, Say("late"))
        except Exception as error:  # noqa: BLE001 - as above
            self.world.errors.append(error)
        self.world.log("ends")
        return {"message": "too late"}

    @handles
    def say(self, message: Say) -> list[str]:
        if message.text:
            self.state.said.append(message.text)
        return self.state.said


@asynccontextmanager
async def running(world: World, **settings: Any) -> AsyncGenerator[ActorSystem]:
    async with ActorSystem("shop", store=MemoryStore(), settings=Settings(**settings)) as system:
        try:
            yield system
        finally:
            world.gate.open.set()


def task(id_: str = "t1", description: str = "badly") -> Task:
    return Task(task_id=id_, description=description)


async def at_work(agent: AgentHandle[Any], world: World, given: Task) -> None:
    await agent.execute_task(given, "background")
    await world.gate.reached.wait()
    await anyio.wait_all_tasks_blocked()


async def trail_of(system: ActorSystem, id_: str) -> list[tuple[str, str]]:
    await system.flush()
    rows = await system.store.rows(system.name, RowQuery(table=RowTable.STATUS_CHANGE, key=("task", id_)))
    return [(row.fields["new"], row.fields.get("cause", "")) for row in rows]


@pytest.mark.parametrize("swallow", [in_a_loop, in_a_shield])
async def test_one_that_is_cancelled_is_over_after_its_grace_and_gives_its_place_back(
    swallow: Callable[[Gate], Awaitable[None]],
) -> None:
    world = World()
    async with running(world, max_concurrent_agents=1) as system:
        agent = await Mule.start(system, world, swallow, name="mule")
        await at_work(agent, world, task())
        begin = anyio.current_time()

        assert await agent.cancel_execution("t1")

        assert anyio.current_time() - begin == pytest.approx(5)
        known = await agent.get_task("t1")
        assert known is not None
        assert known.status == "cancelled"
        assert "did not end within 5 s" in (known.error_message or "")
        assert "did not end within 5 s" in (await trail_of(system, "t1"))[-1][1]
        result = await agent.execute_task(task("t2", "well"))
        assert result["message"] == ""


async def test_one_that_takes_too_long_has_failed_with_both_reasons() -> None:
    world = World()
    async with running(world, agent_execution_timeout=60) as system:
        agent = await Mule.start(system, world, name="mule")
        with pytest.raises(TaskFailed, match=r"at work for 60 seconds.*did not end within 5 s"):
            await agent.execute_task(task())
        known = await agent.get_task("t1")
        assert known is not None
        assert (known.status, known.error_type) == ("failed", "TaskTimedOut")


async def test_it_is_an_event_and_an_alert_and_health_names_it_until_it_ends() -> None:
    world = World()
    async with running(world) as system:
        agent, alerts = await Mule.start(system, world, name="mule"), list[tuple[str, str]]()
        system.alerts.subscribe(lambda alert: alerts.append((alert.alert, alert.path)))
        await at_work(agent, world, task())
        await agent.cancel_execution()
        assert alerts == [("task abandoned", "mule")]
        assert system.health().abandoned == ("Mule.perform of 'mule'",)
        await system.flush()
        wanted = EventFilter(event_types=(EventType.HANDLER_ABANDONED,))
        (event,) = [event async for event in _events(system, wanted)]
        assert (event["task_id"], event["handler"]) == ("t1", "Mule.perform")
        assert "in_a_loop" in event["stack"]
        world.gate.open.set()
        await world.log.until("ends")
        await anyio.wait_all_tasks_blocked()
        assert system.health().abandoned == ()


async def _events(system: ActorSystem, wanted: EventFilter) -> AsyncGenerator[dict[str, Any]]:
    for event in await system.events.get_event_history(event_type=wanted.event_types[0]):
        yield event.payload


async def test_what_it_still_does_is_refused_and_changes_no_state() -> None:
    world = World()
    async with running(world) as system:
        agent = await Mule.start(system, world, name="mule")
        await agent.ref.ask(Say("before"), timeout=5)
        await at_work(agent, world, task())
        await agent.cancel_execution()
        world.gate.open.set()
        await world.log.until("ends")

        assert [type(error) for error in world.errors] == [StaleIncarnation] * 3
        assert await agent.ref.ask(Say(""), timeout=5) == ["before"]
        assert (await agent.execute_task(task("t2", "well")))["message"] == "before"
        assert [new for new, _ in await trail_of(system, "t1")] == ["pending", "running", "cancelled"]


async def test_tasks_that_wait_are_done_by_the_next_incarnation_once() -> None:
    world = World()
    async with running(world) as system:
        agent = await Mule.start(system, world, name="mule")
        await at_work(agent, world, task())
        await agent.execute_task(task("t2", "well"), "background")
        await agent.cancel_execution("t1")
        assert (await agent.execute_task(task("t2", "well")))["status"] == "completed"
        assert agent.ref.incarnation == 2
        assert [new for new, _ in await trail_of(system, "t2")] == ["pending", "running", "completed"]


async def test_one_whose_agent_is_killed_goes_on_in_the_next_incarnation() -> None:
    world = World()
    async with running(world, max_concurrent_agents=1) as system:
        agent = await Mule.start(system, world, name="mule")
        given = task(description="from its checkpoint")
        await at_work(agent, world, given)
        begin = anyio.current_time()
        agent.ref.kill()
        assert (await agent.execute_task(given))["message"] == "again"
        assert anyio.current_time() - begin == pytest.approx(5), "it had the only place until then"
        assert len(system.health().abandoned) == 1


async def test_one_that_is_restored_and_does_not_end_is_run_again_by_another_instance() -> None:
    world = World()
    async with running(world) as system:
        agent = await Mule.start(system, world, name="mule")
        given = task(description="from its checkpoint")
        await at_work(agent, world, given)
        known = await agent.get_task("t1")
        assert known is not None
        assert await agent.restore_from_checkpoint(str(known.checkpoint_id))
        assert (await agent.execute_task(given))["message"] == "again"
        assert agent.ref.incarnation == 2


async def test_the_end_of_the_system_goes_on_without_it_and_leaving_waits_for_it() -> None:
    world, store = World(), MemoryStore()
    async with anyio.create_task_group() as tasks:
        has_ended = anyio.Event()

        async def run() -> None:
            async with ActorSystem("shop", store=store) as system:
                agent = await Mule.start(system, world, name="mule")
                await at_work(agent, world, task())
                world.log("leaves")
            has_ended.set()

        tasks.start_soon(run)
        await world.log.until("leaves")
        await anyio.sleep(100)
        assert not has_ended.is_set()
        async with ActorSystem("shop", store=store) as system:  # the store is free
            assert [new for new, _ in await trail_of(system, "t1")] == ["pending", "running"]
        world.gate.open.set()


async def test_one_that_ends_within_its_grace_is_not_abandoned() -> None:
    world = World()

    async def tidies_up(gate: Gate) -> None:
        try:
            await gate()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(4)

    async with running(world) as system:
        agent, begin = await Mule.start(system, world, tidies_up, name="mule"), anyio.current_time()
        await at_work(agent, world, task())
        assert await agent.cancel_execution()
        assert anyio.current_time() - begin == pytest.approx(4)
        await anyio.sleep(10)
        assert (agent.ref.incarnation, system.health().abandoned) == (1, ())
