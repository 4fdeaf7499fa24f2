"""Tasks of agents: taken on, done, followed, paused, cancelled, and gone on with after a restart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, InvalidArgument, MemoryStore, Settings
from sentient_core.agents import Agent, AgentHandle, StateManager, Task, TaskExecutionMode
from sentient_core.agents.crew import KEPT_ITEMS, crew_of
from sentient_core.agents.desk import Desk
from sentient_core.agents.messages import CancelTask, PauseTask
from sentient_core.agents.run import Run
from sentient_core.agents.work import Work
from sentient_core.errors import (
    AgentGone,
    IdTaken,
    IllegalTransition,
    MessageIdConflict,
    NotSpawned,
    TaskFailed,
    TaskIdConflict,
    UnknownTask,
)
from sentient_core.system import runtime_of
from tests.agents.crew import Doer, World


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    async with ActorSystem("shop", store=MemoryStore()) as system:
        yield system


def task(*steps: str, id_: str = "t1", **more: Any) -> Task:
    return Task(task_id=id_, description="do it", input_data={"steps": list(steps)}, **more)


async def items_of(agent: AgentHandle[Any], given: Task | str, after: int = 0) -> list[dict[str, Any]]:
    return [item async for item in agent.stream_execution(given, after=after)]


async def test_a_blocking_task_returns_its_result(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    result = await agent.execute_task(task("a", "b"))
    assert result == {
        "status": "completed",
        "message": "did 2",
        "artifacts": ["a", "b"],
        "result": "did 2",
        "progress": 100,
    }


async def test_a_streaming_task_returns_its_last_item(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    result = await agent.execute_task(task("a"), TaskExecutionMode.STREAMING)
    assert (result["status"], result["progress"], result["result"]) == ("completed", 100, "did 1")


async def test_a_background_task_is_started_and_goes_on(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    assert await agent.execute_task(task("wait here"), "background") == {"status": "started", "task_id": "t1"}
    await world.gate("here").reached.wait()
    described = await agent.describe()
    assert (described.status, described.current_task) == ("running", "t1")
    world.gate("here").open.set()
    assert [item["status"] for item in await items_of(agent, "t1")] == ["wait", "completed"]
    known = await agent.get_task("t1")
    assert known is not None
    assert (known.status, known.progress, known.error_message) == ("completed", 100, None)
    assert (await agent.describe()).status == "idle"


async def test_items_come_with_their_positions_and_can_be_read_again_from_one(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    items = await items_of(agent, task("a", "b", "c"))
    assert [(item["position"], item["status"]) for item in items] == [
        (1, "a"), (2, "b"), (3, "c"), (4, "completed"),
    ]  # fmt: skip
    assert await items_of(agent, "t1", after=2) == items[2:]


async def test_the_mailbox_is_served_while_a_task_is_at_work_and_others_wait(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await agent.execute_task(task("b", id_="t2"), "background")
    await world.gate("here").reached.wait()
    assert (await agent.describe()).waiting == ["t2"]
    world.gate("here").open.set()
    assert (await agent.execute_task(task("b", id_="t2")))["status"] == "completed"
    assert list(world.log) == ["t1 from 0", "t1 wait here", "t2 from 0", "t2 b"]


async def test_a_task_that_raises_fails_and_leaves_its_agent_failed_until_the_next(
    system: ActorSystem,
) -> None:
    agent = await Doer.start(system, World(), name="doer")
    with pytest.raises(TaskFailed, match="ValueError: no way"):
        await agent.execute_task(task("a", "fail no way"))
    assert (await agent.describe()).status == "failed"
    assert (await agent.execute_task(task("b", id_="t2")))["status"] == "completed"
    assert (await agent.describe()).status == "idle"
    known = await agent.get_task("t1")
    assert known is not None
    assert (known.status, known.error_message) == ("failed", "ValueError: no way")


async def test_the_same_task_given_again_is_not_done_again(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    first = await agent.execute_task(task("a"))
    assert await agent.execute_task(task("a")) == first
    assert list(world.log).count("t1 a") == 1


async def test_cancelling_ends_the_task_at_its_next_await_and_the_agent_is_idle(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("a", "wait here", "c"), "background")
    await world.gate("here").reached.wait()
    assert await agent.cancel_execution()
    items = await items_of(agent, "t1")
    assert [item["status"] for item in items] == ["a", "cancelled"]
    assert items[-1]["progress"] == items[0]["progress"]
    assert (await agent.describe()).status == "idle"
    assert await agent.execute_task(task("a", "wait here", "c")) == {
        "status": "cancelled",
        "progress": items[0]["progress"],
    }


async def test_a_task_that_waits_can_be_cancelled(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await agent.execute_task(task("b", id_="t2"), "background")
    assert await agent.cancel_execution("t2")
    world.gate("here").open.set()
    assert (await agent.execute_task(task("wait here")))["status"] == "completed"
    assert "t2 from 0" not in list(world.log)


async def test_nothing_to_cancel_is_false_and_an_unknown_task_an_error(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    assert not await agent.cancel_execution()
    with pytest.raises(UnknownTask, match="'doer' has no unfinished task 'other'"):
        await agent.cancel_execution("other")


async def test_pausing_stops_a_task_at_its_next_point_until_it_is_resumed(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here", "b"), "background")
    await world.gate("here").reached.wait()
    async with anyio.create_task_group() as tasks:

        async def pause() -> None:
            assert await agent.pause_execution()

        tasks.start_soon(pause)
        while not (await agent.describe()).current_task:
            pass
        await anyio.wait_all_tasks_blocked()
        world.gate("here").open.set()
    assert (await agent.describe()).status == "paused"
    assert "t1 b" not in list(world.log)
    await agent.resume_execution()
    assert (await agent.execute_task(task("wait here", "b")))["status"] == "completed"


async def test_pausing_an_idle_agent_names_both_states(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    with pytest.raises(IllegalTransition, match="'idle' cannot become 'paused'"):
        await agent.pause_execution()


async def test_after_a_restart_a_task_goes_on_from_its_last_checkpoint(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    given = task("a", "save here", "wait there", "d")
    await agent.execute_task(given, "background")
    await world.gate("there").reached.wait()
    await agent.ref.kill()
    world.gate("there").open.set()
    result = await agent.execute_task(given)
    assert result["status"] == "completed"
    assert list(world.log) == [
        "t1 from 0", "t1 a", "t1 save here", "t1 from 2", "t1 wait there", "t1 d",
    ]  # fmt: skip
    assert [item["position"] for item in await items_of(agent, "t1")] == [1, 2, 3, 4, 5]


async def test_a_mode_that_there_is_not_is_an_error(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    with pytest.raises(InvalidArgument, match="'blocking', 'streaming', 'background'"):
        await agent.execute_task(task("a"), "sideways")


async def test_an_agent_may_simply_return_its_result(system: ActorSystem) -> None:
    class Simple(Agent):
        async def perform(self, task: Task) -> dict[str, Any]:
            await self.report_progress(50, "half")
            return {"message": task.description, "artifacts": [1]}

    agent = await Simple.start(system, name="simple")
    result = await agent.execute_task(Task(task_id="x", description="hello"))
    assert (result["status"], result["message"], result["artifacts"]) == ("completed", "hello", [1])


async def test_an_agent_in_the_manner_of_the_original_design_works(system: ActorSystem) -> None:
    class Old(Agent):
        async def execute_task(
            self, task: Task, mode: TaskExecutionMode = TaskExecutionMode.BLOCKING
        ) -> dict[str, Any]:
            async with self.execution_context(task) as context:
                assert context["task_id"] == task.task_id
                await self.create_checkpoint({"phase": "pre"})
                await self.check_cancellation_and_pause()
                return {"status": "completed", "message": mode.value, "artifacts": []}

    agent = await Old.start(system, name="old")
    assert (await agent.execute_task(Task(task_id="x")))["message"] == "blocking"


async def test_what_an_agent_works_with_is_the_systems_unless_it_is_given(system: ActorSystem) -> None:
    class Plain(Agent):
        async def perform(self, task: Task) -> dict[str, Any]:
            assert self.state_manager.store is self.context.system.store
            assert self.event_bus is self.context.system.events
            assert (self.name, self.agent_id) == ("plain", "plain")
            return {"message": ", ".join(sorted(self.capabilities))}

    agent = await Plain.start(system, name="plain", capabilities=["coding", "testing"])
    assert (await agent.execute_task(Task(task_id="x")))["message"] == "coding, testing"
    assert agent.capabilities == {"coding", "testing"}
    assert [ref.path for ref in system.actors(capability="coding")] == ["plain"]


async def test_what_an_agent_is_given_has_to_be_of_the_systems_store(system: ActorSystem) -> None:
    class Plain(Agent):
        async def perform(self, task: Task) -> None:
            """Nothing."""

    with pytest.raises(InvalidArgument, match="state_manager is of another store than the system 'shop'"):
        await Plain.start(system, name="plain", state_manager=StateManager(MemoryStore()))


async def test_another_task_under_an_id_that_is_taken_is_refused(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    await agent.execute_task(task("a"))
    with pytest.raises(TaskIdConflict, match="'doer' was given another task 't1' before") as caught:
        await agent.execute_task(task("b"))
    assert isinstance(caught.value, MessageIdConflict)


async def test_a_stream_of_a_task_that_nobody_was_given_says_so(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    with pytest.raises(UnknownTask, match="there is no task 'nope'"):
        await items_of(agent, "nope")


async def test_an_agent_that_was_made_by_calling_its_class_says_how_it_is_made(system: ActorSystem) -> None:
    class Plain(Agent):
        async def perform(self, task: Task) -> None:
            """Nothing."""

    with pytest.raises(NotSpawned, match=r"await Plain\.start\(system"):
        Plain("plain")
    doer = Doer(World())  # its own __init__ asks for nothing of a system
    with pytest.raises(NotSpawned, match="this Doer was made by calling its class"):
        assert doer.agent_id


async def test_a_task_that_is_to_be_cancelled_is_so_also_after_a_restart(
    system: ActorSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(run: Run) -> None:
        del run

    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await world.gate("here").reached.wait()
    with monkeypatch.context() as patched:  # the agent fails between the commit and the task's next await
        patched.setattr(Run, "cancel", not_yet)
        assert await agent.ref.ask(CancelTask("t1"), timeout=30)
    await agent.ref.kill()
    assert (await agent.execute_task(task("wait here")))["status"] == "cancelled"
    assert list(world.log) == ["t1 from 0"]


async def test_a_paused_task_stays_so_over_a_restart(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    given = task("save here", "wait there", "c")
    await agent.execute_task(given, "background")
    await world.gate("there").reached.wait()
    await agent.ref.ask(PauseTask("t1"), timeout=30)
    await agent.ref.kill()
    world.gate("there").open.set()
    while (await agent.describe()).status != "paused":
        pass
    assert "t1 c" not in list(world.log)
    await agent.resume_execution()
    assert (await agent.execute_task(given))["status"] == "completed"


async def test_who_is_far_behind_gets_every_item_from_the_store(system: ActorSystem) -> None:
    agent = await Doer.start(system, World(), name="doer")
    given = task(*("a" for _ in range(2 * KEPT_ITEMS)))
    items = agent.stream_execution(given)
    positions = [(await anext(items))["position"]]
    assert (await agent.execute_task(given))["status"] == "completed"
    positions += [item["position"] async for item in items]
    assert positions == list(range(1, 2 * KEPT_ITEMS + 2))


async def test_who_waits_for_a_task_of_an_agent_that_ends_for_good_is_told(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("wait here"), "background")
    await world.gate("here").reached.wait()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(AgentGone, match="doer"):
                await agent.execute_task(task("wait here"))

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        agent.ref.stop()


async def test_of_two_agents_one_has_a_task_of_an_id(system: ActorSystem) -> None:
    world = World()
    one, other = await Doer.start(system, world, name="one"), await Doer.start(system, world, name="other")
    await one.execute_task(task("wait here"), "background")
    with pytest.raises(IdTaken):
        await other.execute_task(task("wait here"), "background")
    world.gate("here").open.set()
    assert (await one.execute_task(task("wait here")))["status"] == "completed"


async def test_an_init_in_the_manner_of_the_original_design_works(system: ActorSystem) -> None:
    class Old(Agent):
        def __init__(self, name: str, sandbox_tool: object = None) -> None:
            super().__init__(name, ["coding"], sandbox_tool=sandbox_tool)
            self.called = name

        async def perform(self, task: Task) -> dict[str, Any]:
            return {"message": f"{self.called}, {self.name}, {self.sandbox_tool}"}

    agent = await Old.start(system, name="old", sandbox_tool="a tool")
    assert (await agent.execute_task(Task(task_id="x")))["message"] == "old, old, a tool"
    assert agent.capabilities == {"coding"}


async def test_a_class_that_does_nothing_for_a_task_is_not_started(system: ActorSystem) -> None:
    class Nothing(Agent):
        """Says nothing."""

    with pytest.raises(InvalidArgument, match="Nothing does not say what is done for a task"):
        await Nothing.start(system, name="nothing")


async def test_an_idle_agent_has_begun_a_task_when_it_has_taken_it_on(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    await agent.execute_task(task("a"), "background")
    await agent.execute_task(task("wait here", id_="t2"), "background")
    assert (await agent.execute_task(task("a")))["status"] == "completed"
    known = await agent.get_task("t2")
    assert known is not None
    assert known.status == "running", "in the very commit that has ended the one before"
    changes = await StateManager(system).get_status_history("doer")
    assert [change.new for change in changes] == ["running", "completed", "idle", "running"]
    world.gate("here").open.set()


async def test_a_place_that_was_taken_for_a_task_is_given_back_with_the_incarnation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, store, has_accepted = World(), MemoryStore(), anyio.Event()
    accept = Desk.accept

    def accept_and_wait(desk: Desk, work: Work) -> None:
        store.pause()  # the task is begun, and its code waits for the commit of that
        accept(desk, work)
        has_accepted.set()

    async with ActorSystem("shop", store=store, settings=Settings(max_concurrent_agents=1)) as system:
        agent = await Doer.start(system, world, name="doer")
        places = crew_of(runtime_of(system, "test")).places
        async with anyio.create_task_group() as tasks:
            with monkeypatch.context() as patched:
                patched.setattr(Desk, "accept", accept_and_wait)
                tasks.start_soon(agent.execute_task, task("a"))
                await has_accepted.wait()
            await anyio.wait_all_tasks_blocked()
            assert places.borrowed_tokens == 1
            agent.ref.kill()
            await anyio.wait_all_tasks_blocked()
            assert places.borrowed_tokens == 0
            store.resume()
        await anyio.wait_all_tasks_blocked()  # who waits for a task may know of its end before its run does
        assert places.borrowed_tokens == 0
    assert list(world.log) == ["t1 from 0", "t1 a"]
