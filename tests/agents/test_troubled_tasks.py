"""Tasks of agents in trouble: what goes wrong with one is its own failure, and nobody else loses anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import ActorSystem, Backoff, ChildSpec, MemoryStore, Settings, Supervisor, handles
from sentient_core.actors.ref import cell_of
from sentient_core.agents import Agent, AgentHandle, Task
from sentient_core.agents.crew import Following, crew_of
from sentient_core.errors import (
    CheckpointNotTaken,
    IllegalTransition,
    StaleIncarnation,
    StoreUnavailable,
    TaskFailed,
    UnknownTask,
)
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable
from sentient_core.system import runtime_of
from tests.agents.crew import Doer, World
from tests.probes import Fail, Gate, Log


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    async with ActorSystem("shop", store=MemoryStore()) as system:
        yield system


def task(*steps: str, id_: str = "t1") -> Task:
    return Task(task_id=id_, description="do it", input_data={"steps": list(steps)})


async def trail_of(system: ActorSystem, kind: str, id_: str) -> list[tuple[str | None, str]]:
    await system.flush()
    rows = await system.store.rows(system.name, RowQuery(table=RowTable.STATUS_CHANGE, key=(kind, id_)))
    return [(row.fields.get("old"), row.fields["new"]) for row in rows]


class Maker(Agent):
    """Returns what a test has made for its task."""

    class State(msgspec.Struct):
        kept: Any = None

    state: State

    def __init__(self, make: Callable[[Maker], Any]) -> None:
        self.make = make

    async def perform(self, task: Task) -> Any:
        if task.description == "well":
            return {"message": "done"}
        made = self.make(self)
        if hasattr(made, "__await__"):
            return await made
        return made


def make(result: object) -> Callable[[Maker], object]:
    """What makes a result, whatever the agent."""

    def made(agent: Maker) -> object:
        del agent
        return result

    return made


async def fails(agent: AgentHandle[Any], match: str) -> None:
    """A task fails, its agent does not, and does the next one."""
    with pytest.raises(TaskFailed, match=match):
        await agent.execute_task(task())
    assert (await agent.execute_task(Task(task_id="t2", description="well")))["message"] == "done"


def restarts(agent: AgentHandle[Any]) -> int:
    return cell_of(agent.ref).restarts


async def test_a_result_that_no_store_can_hold_is_a_failure_of_the_task_alone(system: ActorSystem) -> None:
    agent = await Maker.start(system, make({"what": {1, 2}}), name="maker")
    await fails(agent, "cannot be stored")
    assert restarts(agent) == 0
    assert await trail_of(system, "task", "t1") == [
        (None, "pending"), ("pending", "running"), ("running", "failed"),
    ]  # fmt: skip


async def test_a_state_that_cannot_be_stored_is_a_failure_of_the_task_alone(system: ActorSystem) -> None:
    async def spoil(agent: Maker) -> None:
        agent.state.kept = object()
        await agent.report_progress(10)

    agent = await Maker.start(system, spoil, name="maker")
    await fails(agent, "UnencodableState")
    assert restarts(agent) == 0


async def test_what_others_ask_while_the_state_cannot_be_stored_is_done_all_the_same(
    system: ActorSystem,
) -> None:
    gate = Gate()

    async def spoil(agent: Maker) -> None:
        agent.state.kept = object()
        await gate()

    agent = await Maker.start(system, spoil, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    for id_ in ("t2", "t3"):
        await agent.execute_task(Task(task_id=id_, description="well"), "background")
    assert await agent.cancel_execution("t3")
    with pytest.raises(UnknownTask):
        await agent.cancel_execution("t9")
    with pytest.raises(CheckpointNotTaken, match="no checkpoint of 'maker' was taken"):
        await agent.create_checkpoint({})
    gate.open.set()
    with pytest.raises(TaskFailed, match="UnencodableState"):
        await agent.execute_task(task())
    assert (await agent.execute_task(Task(task_id="t2", description="well")))["message"] == "done"
    assert restarts(agent) == 0
    assert list(system.dead_letters) == []


async def test_what_cannot_be_stored_for_a_while_only_is_in_nobodys_way(system: ActorSystem) -> None:
    gate = Gate()

    async def borrow(agent: Maker) -> str:
        agent.state.kept = object()
        await gate()
        agent.state.kept = "a word"
        return "done"

    agent = await Maker.start(system, borrow, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    await agent.execute_task(Task(task_id="t2", description="well"), "background")
    with pytest.raises(UnknownTask):
        await agent.pause_execution("t9")
    gate.open.set()
    await agent.execute_task(task())
    await agent.execute_task(Task(task_id="t2", description="well"))
    await agent.ref.kill()
    checkpoint = await agent.create_checkpoint()
    query = RowQuery(table=RowTable.STATE_CHECKPOINT, where={"named": checkpoint})
    (row,) = await system.store.rows(system.name, query)
    assert b"a word" in row.fields["state"]


async def test_an_item_that_is_too_large_is_a_failure_of_the_task_alone(system: ActorSystem) -> None:
    agent = await Maker.start(system, make({"what": "x" * 20_000_000}), name="maker")
    await fails(agent, "cannot be stored")
    assert restarts(agent) == 0


async def test_a_cancellation_that_nobody_has_asked_for_is_a_failure_of_the_task_alone(
    system: ActorSystem, anyio_backend_name: str
) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio lets nobody make cancellations")

    async def give_up(_: Maker) -> None:
        raise asyncio.CancelledError

    agent = await Maker.start(system, give_up, name="maker")
    await fails(agent, "HandlerCancelled")
    assert restarts(agent) == 0


async def test_a_task_that_says_it_was_cancelled_tells_its_readers_so(system: ActorSystem) -> None:
    agent = await Maker.start(system, make({"status": "cancelled", "why": "no money"}), name="maker")
    items = [item async for item in agent.stream_execution(task())]
    assert [(item["status"], item["progress"], item["why"]) for item in items] == [
        ("cancelled", 0, "no money")
    ]


async def test_an_error_while_a_task_is_cancelled_does_not_make_it_fail(system: ActorSystem) -> None:
    gate = Gate()

    async def stumble(_: Maker) -> None:
        try:
            await gate()
        finally:
            raise ValueError("while it tidied up")

    agent = await Maker.start(system, stumble, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    assert await agent.cancel_execution()
    assert (await trail_of(system, "task", "t1"))[-1] == ("running", "cancelled")


def test_items_that_were_not_brought_are_read_from_the_store() -> None:
    following = Following()
    following.bring(1, {"n": 1})
    following.bring(3, {"n": 3})
    assert following.items_after(1) is None
    assert following.items_after(2) == [(3, {"n": 3})]


async def test_a_reader_misses_no_item_that_was_on_its_way_when_the_agent_was_killed() -> None:
    world, store = World(), MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, world, name="doer")
        given, read = task("a", "save b", "wait here", "c", "wait there", "d"), Log()

        async def follow() -> None:
            async for item in agent.stream_execution(given):
                read(str(item["position"]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await world.gate("here").reached.wait()
            await read.until("2")
            store.pause()
            world.gate("here").open.set()
            await world.log.until("t1 wait here")
            await anyio.wait_all_tasks_blocked()
            agent.ref.kill()
            store.resume()
            await world.gate("there").reached.wait()
            world.gate("there").open.set()
        assert list(read) == [str(position) for position in range(1, len(list(read)) + 1)]


async def test_an_agent_is_after_a_restart_as_it_was_before(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    with pytest.raises(TaskFailed):
        await agent.execute_task(task("fail no way"))
    await agent.ref.kill()
    assert (await agent.describe()).status == "failed"
    await system.flush()
    (row,) = await system.store.rows("shop", RowQuery(table=RowTable.AGENT_STATE, key=("doer",)))
    assert row.fields["status"] == "failed"
    await agent.execute_task(task("a", id_="t2"))
    assert (await trail_of(system, "agent", "doer"))[1:3] == [("running", "failed"), ("failed", "running")]


async def test_what_is_asked_right_after_a_restart_finds_the_task(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await world.gate("here").reached.wait()
    agent.ref.kill()
    assert await agent.cancel_execution("t1")
    assert (await trail_of(system, "agent", "doer"))[-1][1] == "idle"
    await system.flush()
    (row,) = await system.store.rows("shop", RowQuery(table=RowTable.AGENT_STATE, key=("doer",)))
    assert (row.fields["status"], row.fields.get("current_task")) == ("idle", None)


async def test_a_task_loses_nothing_by_what_somebody_asks_in_vain(system: ActorSystem) -> None:
    gate = Gate()

    async def learn(agent: Maker) -> dict[str, Any]:
        agent.state.kept = "learnt"
        await gate()
        return {"message": agent.state.kept}

    agent = await Maker.start(system, learn, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    with pytest.raises(UnknownTask):
        await agent.cancel_execution("another")
    with pytest.raises(IllegalTransition):
        await agent.resume_execution()
    gate.open.set()
    assert (await agent.execute_task(task()))["message"] == "learnt"


async def test_a_handler_that_fails_takes_back_what_the_task_has_changed_since_the_last_turn(
    system: ActorSystem,
) -> None:
    gate = Gate()

    class Refusing(Maker):
        reply_errors = (ValueError,)

        @handles
        def refuse(self, message: Fail) -> None:
            self.state.kept = "the handler's"
            raise ValueError(message.why)

    async def learn(agent: Maker) -> dict[str, Any]:
        agent.state.kept = "before its point"
        await agent.report_progress(10)
        agent.state.kept = "behind its point"
        await gate()
        return {"message": agent.state.kept}

    agent = await Refusing.start(system, learn, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    with pytest.raises(ValueError, match="asked to"):
        await agent.ref.ask(Fail(), timeout=30)
    gate.open.set()
    assert (await agent.execute_task(task()))["message"] == "before its point"
    assert restarts(agent) == 0


async def test_a_paused_task_that_is_restored_stays_paused_and_has_a_place_again() -> None:
    world = World()
    settings = Settings(max_concurrent_agents=1)
    async with ActorSystem("shop", store=MemoryStore(), settings=settings) as system:
        agent = await Doer.start(system, world, name="doer")
        given = task("save one", "wait here", "b", "wait there")
        await agent.execute_task(given, "background")
        await world.gate("here").reached.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.pause_execution)
            await anyio.wait_all_tasks_blocked()
            world.gate("here").open.set()
        await system.flush()
        rows = await system.store.rows("shop", RowQuery(table=RowTable.STATE_CHECKPOINT, key=("doer",)))
        assert await agent.restore_from_checkpoint(rows[0].key[-1])
        assert (await agent.describe()).status == "paused"
        await agent.resume_execution()
        await world.gate("there").reached.wait()
        assert crew_of(runtime_of(system, "test")).places.borrowed_tokens == 1
        world.gate("there").open.set()
        assert (await agent.execute_task(given))["status"] == "completed"
        assert list(world.log).count("t1 from 1") == 1


async def test_what_a_killed_task_still_does_counts_no_more(system: ActorSystem) -> None:
    gate, errors, is_over = Gate(), list[Exception](), anyio.Event()

    async def tidy_up(agent: Maker) -> None:
        if errors:
            return
        try:
            await gate()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await agent.create_checkpoint({"half": True})
                except StaleIncarnation as error:
                    errors.append(error)
            is_over.set()

    agent = await Maker.start(system, tidy_up, name="maker")
    await agent.execute_task(task(), "background")
    await gate.reached.wait()
    agent.ref.kill()
    with anyio.fail_after(5):
        await is_over.wait()
    assert len(errors) == 1
    gate.open.set()
    assert (await agent.execute_task(task()))["status"] == "completed"


async def test_unfinished_tasks_are_found_although_the_store_is_away_at_first() -> None:
    world, store = World(), MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, world, name="doer")
        await agent.execute_task(task("save it", "wait here"), "background")
        await world.gate("here").reached.wait()
        await system.flush()
        reads = store.rows
        outages = 2

        async def rows(system: str, query: RowQuery) -> list[Row]:
            nonlocal outages
            if outages:
                outages -= 1
                raise StoreUnavailable("away")
            return await reads(system, query)

        store.rows = rows  # type: ignore[method-assign]
        await agent.ref.kill()
        world.gate("here").open.set()
        assert (await agent.execute_task(task("save it", "wait here")))["status"] == "completed"
        assert (outages, restarts(agent)) == (0, 1)


async def test_whoever_waits_for_a_task_sees_its_agent_come_back_later(system: ActorSystem) -> None:
    gate = Gate()

    class Patient(Agent):
        async def perform(self, task: Task) -> None:
            await gate()

    class Team(Supervisor):
        durability: ClassVar[Any] = "volatile"
        strategy = Supervisor.one_for_one(max_restarts=100, within=1.0, backoff=Backoff(first=0.2, most=0.2))
        children = (ChildSpec(Patient, name="patient"),)

    await system.spawn(Team, name="top")
    agent: AgentHandle[Any] = AgentHandle(system.get("top/patient"))
    await agent.execute_task(task(), "background")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.execute_task, task())
        await gate.reached.wait()
        agent.ref.kill()
        gate.open.set()


async def test_a_task_that_is_being_cancelled_is_not_paused_instead(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here", "b"), "background")
    await world.gate("here").reached.wait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.cancel_execution)
        tasks.start_soon(agent.pause_execution)
    assert (await trail_of(system, "task", "t1"))[-1][1] == "cancelled"
