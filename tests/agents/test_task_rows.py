"""What tasks leave for people: rows, the trail of changes, events, each once; and their limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore, Settings
from sentient_core.agents import Agent, AgentHandle, Task, TaskExecutionMode
from sentient_core.errors import CheckpointOfAnother, NotInTask, TaskFailed
from sentient_core.store.protocols import Store
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from tests.agents.crew import Doer, World
from tests.probes import Gate

OF_AGENTS = (
    "agent_started", "agent_completed", "agent_failed", "agent_status_changed", "task_progress",
    "task_cancelled",
)  # fmt: skip


@pytest.fixture(params=["memory", "mem"])
async def system(request: pytest.FixtureRequest) -> AsyncGenerator[ActorSystem, None]:
    store: Store | str = MemoryStore() if request.param == "memory" else "mem://"
    async with ActorSystem("shop", store=store) as system:
        yield system


def task(*steps: str, id_: str = "t1", **more: Any) -> Task:
    return Task(task_id=id_, description="do it", input_data={"steps": list(steps)}, **more)


async def trail_of(system: ActorSystem, kind: str, id_: str) -> list[tuple[str | None, str]]:
    await system.flush()
    rows = await system.store.rows(system.name, RowQuery(table=RowTable.STATUS_CHANGE, key=(kind, id_)))
    return [(row.fields.get("old"), row.fields["new"]) for row in rows]


async def events_of(system: ActorSystem) -> list[tuple[str, dict[str, Any]]]:
    await system.flush()
    rows = await system.store.events(system.name, limit=1_000)
    return [(row.event_type, row.payload) for row in reversed(rows) if row.event_type in OF_AGENTS]


async def test_a_task_that_is_done_leaves_its_row_its_trail_and_each_event_once(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    await agent.execute_task(task("a", workflow_id="w1"))
    await system.flush()
    (row,) = await system.store.rows("shop", RowQuery(table=RowTable.TASK_EXECUTION, key=("t1",)))
    assert {
        name: row.fields[name]
        for name in ("agent_id", "workflow_id", "status", "input_data", "progress", "items", "owner")
    } == {
        "agent_id": "doer",
        "workflow_id": "w1",
        "status": "completed",
        "input_data": {"steps": ["a"]},
        "progress": 100,
        "items": 2,
        "owner": "doer",
    }
    assert row.fields["output_data"]["message"] == "did 1"
    assert row.fields["started_at"] <= row.fields["completed_at"]
    assert await trail_of(system, "task", "t1") == [
        (None, "pending"), ("pending", "running"), ("running", "completed"),
    ]  # fmt: skip
    assert await trail_of(system, "agent", "doer") == [
        ("idle", "running"), ("running", "completed"), ("completed", "idle"),
    ]  # fmt: skip
    events = await events_of(system)
    assert [kind for kind, _ in events] == [
        "agent_status_changed", "agent_started", "task_progress", "task_progress", "agent_completed",
        "agent_status_changed", "agent_status_changed",
    ]  # fmt: skip
    assert events[1][1] == {"task_id": "t1", "task_description": "do it"}
    assert events[2][1] == {"task_id": "t1", "progress": 50.0, "status": "a"}


async def test_the_row_of_an_agent_says_what_it_is_at_and_forgets_it_at_the_end(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(
        system,
        world,
        name="doer",
    )
    await agent.execute_task(task("wait here", workflow_id="w1"), "background")
    await world.gate("here").reached.wait()
    await system.flush()
    (row,) = await system.store.rows("shop", RowQuery(table=RowTable.AGENT_STATE, key=("doer",)))
    assert (row.fields["status"], row.fields["current_task"]) == ("running", "t1")
    context = row.fields["execution_context"]
    assert (context["task_id"], context["workflow_id"], context["status"]) == ("t1", "w1", "running")
    assert "start_time" in context
    world.gate("here").open.set()
    await agent.execute_task(task("wait here", workflow_id="w1"))
    await system.flush()
    (row,) = await system.store.rows("shop", RowQuery(table=RowTable.AGENT_STATE, key=("doer",)))
    assert (row.fields["status"], row.fields.get("current_task"), row.fields["execution_context"]) == (
        "idle",
        None,
        {},
    )


async def test_a_cancelled_task_says_so_once_and_is_no_completion(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await world.gate("here").reached.wait()
    assert await agent.cancel_execution()
    kinds = [kind for kind, _ in await events_of(system)]
    assert kinds.count("task_cancelled") == 1
    assert "agent_completed" not in kinds
    assert (await trail_of(system, "task", "t1"))[-1] == ("running", "cancelled")
    assert (await trail_of(system, "agent", "doer"))[-1] == ("running", "idle")


async def test_a_checkpoint_brings_back_the_state_and_not_what_waits(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    await agent.execute_task(task("a"))
    checkpoint_id = await agent.create_checkpoint({"note": "one done"})
    await agent.execute_task(task("b", id_="t2"))
    assert await agent.restore_from_checkpoint(checkpoint_id)
    second = await agent.create_checkpoint()
    await system.flush()
    rows = await system.store.rows("shop", RowQuery(table=RowTable.STATE_CHECKPOINT, key=("doer",)))
    assert {row.fields["checkpoint_id"] for row in rows} == {checkpoint_id, second}
    states = {row.fields["checkpoint_id"]: row.fields["state"] for row in rows}
    assert states[checkpoint_id] == states[second]
    assert (await agent.get_task("t2")) is not None
    assert not await agent.restore_from_checkpoint("99.99")


async def test_a_checkpoint_of_another_agent_is_refused(system: ActorSystem) -> None:
    one = await Doer.start(system, World(), name="one")
    two = await Doer.start(system, World(), name="two")
    checkpoint_id = await one.create_checkpoint()
    with pytest.raises(CheckpointOfAnother, match="is of 'one', and cannot be restored in 'two'"):
        await two.restore_from_checkpoint(checkpoint_id)


async def test_a_task_at_work_runs_again_from_the_checkpoint_that_is_restored(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    given = task("save one", "b", "save two", "wait here")
    await agent.execute_task(given, "background")
    await world.gate("here").reached.wait()
    await system.flush()
    rows = await system.store.rows("shop", RowQuery(table=RowTable.STATE_CHECKPOINT, key=("doer",)))
    (first,) = [row.key[-1] for row in rows if row.fields["progress_data"]["name"] == "one"]
    assert await agent.restore_from_checkpoint(first)
    await world.log.until("t1 from 1")
    world.gate("here").open.set()
    assert (await agent.execute_task(given))["status"] == "completed"
    assert list(world.log).count("t1 b") == 2


async def test_a_checkpoint_that_somebody_else_takes_is_none_of_the_task_at_work(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    given = task("save one", "wait here", "c")
    await agent.execute_task(given, "background")
    await world.gate("here").reached.wait()
    checkpoint_id = await agent.create_checkpoint({"note": "not yours"})
    await agent.ref.kill()
    world.gate("here").open.set()
    assert (await agent.execute_task(given))["status"] == "completed"
    assert list(world.log).count("t1 from 1") == 1
    assert await agent.restore_from_checkpoint(checkpoint_id)


async def test_a_task_that_takes_too_long_fails_and_says_what_its_limit_is(system: ActorSystem) -> None:
    class Slow(Agent):
        task_timeout_seconds: ClassVar[float | None] = 0.01

        async def perform(self, task: Task) -> None:
            await anyio.sleep_forever()

    agent = await Slow.start(system, name="slow")
    with pytest.raises(TaskFailed, match=r"^task 'x' of 'slow' was at work for 0\.01 s.*TIMEOUT") as caught:
        await agent.execute_task(Task(task_id="x"))
    assert caught.value.error_type == "TaskTimedOut"
    with pytest.raises(TaskFailed) as later:
        await agent.execute_task(Task(task_id="x"))
    assert later.value.error_type == "TaskTimedOut"
    known = await agent.get_task("x")
    assert known is not None
    assert known.error_type == "TaskTimedOut"


async def test_no_more_tasks_are_at_work_than_the_settings_allow() -> None:
    world = World()
    settings = Settings(max_concurrent_agents=2)
    async with ActorSystem("shop", store=MemoryStore(), settings=settings) as system:
        agents: list[AgentHandle[Doer]] = []
        for number in range(3):
            agent = await Doer.start(system, world, name=f"a{number}")
            agents.append(agent)
            await agent.execute_task(task(f"wait {number}", id_=f"t{number}"), "background")
        await world.gate("0").reached.wait()
        await world.gate("1").reached.wait()
        assert (await agents[2].describe()).waiting == ["t2"]
        world.gate("1").open.set()
        await world.gate("2").reached.wait()
        for name in ("0", "2"):
            world.gate(name).open.set()
        for number, agent in enumerate(agents):
            assert (await agent.execute_task(task(f"wait {number}", id_=f"t{number}")))[
                "status"
            ] == "completed"


async def test_what_belongs_to_a_task_is_refused_elsewhere(system: ActorSystem) -> None:
    errors: list[NotInTask] = []

    class Nosy(Agent):
        async def on_start(self) -> None:
            try:
                await self.report_progress(1)
            except NotInTask as error:
                errors.append(error)

        async def perform(self, task: Task) -> None:
            """Nothing."""

    await Nosy.start(system, name="nosy")
    assert "'nosy': report_progress is for the code of a task" in str(errors[0])


async def test_a_task_goes_on_in_the_next_start_of_the_system(tmp_path: Any) -> None:
    world = World()
    given = task("a", "save here", "wait there", "d")
    address = f"surrealkv://{tmp_path}/db"
    async with ActorSystem("shop", store=address) as system:
        agent = await Doer.start(system, world, name="doer")
        await agent.execute_task(given, "background")
        await agent.execute_task(task("e", id_="t2"), "background")
        await world.gate("there").reached.wait()
    world.gate("there").open.set()
    async with ActorSystem("shop", store=address) as system:
        agent = await Doer.start(system, world, name="doer")
        assert (await agent.execute_task(given))["status"] == "completed"
        assert (await agent.execute_task(task("e", id_="t2")))["status"] == "completed"
        assert list(world.log)[-5:] == ["t1 from 2", "t1 wait there", "t1 d", "t2 from 0", "t2 e"]
        positions = [item["position"] async for item in agent.stream_execution("t1")]
        assert positions == [1, 2, 3, 4, 5]


class Joining(Agent):
    """In the manner of the original design: its context says which workflow its task belongs to."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate

    async def execute_task(
        self, task: Task, mode: TaskExecutionMode = TaskExecutionMode.BLOCKING
    ) -> dict[str, Any]:
        async with self.execution_context(task, workflow_id="w7") as context:
            assert self.current_task is not None
            assert (context["workflow_id"], self.current_task.workflow_id) == ("w7", "w7")
            await self.create_checkpoint({"phase": "pre"})
            if self.gate is not None:
                await self.gate()
            await self.report_progress(50)
        return {"status": "completed", "message": "done"}


async def test_a_task_of_no_workflow_is_of_the_one_that_its_context_names_from_then_on(
    system: ActorSystem,
) -> None:
    gate = Gate()
    agent = await Joining.start(system, gate, name="old")
    given = Task(task_id="t1", description="do it")
    await agent.execute_task(given, "background")
    await gate.reached.wait()
    assert (await agent.describe()).execution_context["workflow_id"] == "w7"
    await agent.ref.kill()
    gate.open.set()
    assert (await agent.execute_task(given))["message"] == "done"
    known = await agent.get_task("t1")
    assert known is not None
    assert (known.workflow_id, known.status) == ("w7", "completed")
    events = await system.events.get_event_history(workflow_id="w7")
    assert [str(event.event_type) for event in reversed(events)] == [
        "state_checkpoint", "state_checkpoint", "task_progress", "task_progress", "agent_completed",
    ]  # fmt: skip
    assert (await agent.execute_task(given))["message"] == "done"


async def test_a_context_of_another_workflow_than_the_tasks_is_refused(system: ActorSystem) -> None:
    agent = await Joining.start(system, name="old")
    result = await agent.execute_task(Task(task_id="t1", workflow_id="w7"))
    assert result["message"] == "done"
    with pytest.raises(TaskFailed, match="task 't2' belongs to workflow 'w8'"):
        await agent.execute_task(Task(task_id="t2", workflow_id="w8"))


async def test_who_looks_how_an_agent_is_leaves_nothing_behind(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await agent.execute_task(task("a", id_="t2"), "background")
    await world.gate("here").reached.wait()
    await system.flush()
    before = await system.store.events(system.name, limit=1000)
    described, *_ = [await agent.describe() for _ in range(10)]
    assert (described.status, described.current_task, described.waiting) == ("running", "t1", ["t2"])
    assert described.execution_context["task_id"] == "t1"
    await system.flush()
    assert await system.store.events(system.name, limit=1000) == before
    assert await agent.cancel_execution("t2")
    await system.flush()
    asked = [
        event.message_type for event in await system.store.events(system.name, event_type="message_sent")
    ]
    assert asked.count("agent.cancel_task") == 1
    assert set(asked) == {"agent.accept_task", "agent.cancel_task"}


async def test_of_an_agent_that_is_not_there_its_row_says_how_it_is() -> None:
    world, store = World(), MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, world, name="doer")
        await agent.execute_task(task("wait here"), "background")
        await agent.execute_task(task("a", id_="t2"), "background")
        await world.gate("here").reached.wait()
        await agent.ref.stop()
        described = await agent.describe()
        assert (described.status, described.current_task, described.waiting) == ("completed", "t1", ["t2"])


async def test_the_end_of_an_agent_is_that_of_an_actor_and_leaves_its_trail_as_it_is() -> None:
    store, seen = MemoryStore(), list[tuple[str, str]]()

    async def look(system: ActorSystem) -> None:
        await system.flush()
        (row,) = await store.rows("shop", RowQuery(table=RowTable.AGENT_STATE, key=("doer",)))
        trail = await store.rows("shop", RowQuery(table=RowTable.STATUS_CHANGE, key=("agent", "doer")))
        seen.append((row.fields["status"], trail[-1].fields["new"]))

    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, World(), name="doer")
        with pytest.raises(TaskFailed):
            await agent.execute_task(task("fail no way"))
        await look(system)
        before = await store.events("shop", event_type="agent_status_changed")
        await agent.ref.stop()
        await look(system)
        assert await store.events("shop", event_type="agent_status_changed") == before
        assert len(await store.events("shop", event_type="actor_stopped")) == 1
    async with ActorSystem("shop", store=store) as system:
        agent = await Doer.start(system, World(), name="doer")
        await agent.create_checkpoint()  # it knows again how it stood
        await look(system)
    assert (seen[0], seen[1], seen[-1]) == (
        ("failed", "failed"),
        ("completed", "failed"),
        ("failed", "failed"),
    )
