"""AGENT_EXECUTION_TIMEOUT and MAX_CONCURRENT_AGENTS, as the environment says them."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.agents import Agent, Task
from sentient_core.errors import TaskFailed


class Sleeper(Agent):
    """Never done."""

    async def perform(self, task: Task) -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")


class Counted(Agent):
    """Counts how many are at work at once."""

    at_work: ClassVar[list[str]] = []
    most: ClassVar[int] = 0

    async def perform(self, task: Task) -> dict[str, Any]:
        self.at_work.append(task.task_id)
        type(self).most = max(self.most, len(self.at_work))
        await anyio.wait_all_tasks_blocked()
        self.at_work.remove(task.task_id)
        return {"message": "done"}


async def test_a_task_takes_no_longer_than_the_environment_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_EXECUTION_TIMEOUT", "0.05")
    async with ActorSystem("shop", store=MemoryStore()) as system:
        agent = await Sleeper.start(system, name="sleeper")
        with anyio.fail_after(60), pytest.raises(TaskFailed):
            await agent.execute_task(Task(task_id="t1", description="sleep"))

        found = await agent.get_task("t1")
        assert found is not None
        assert found.error_type == "TaskTimedOut"


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_agents_are_at_work_than_the_environment_allows(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_AGENTS", str(most))
    monkeypatch.setattr(Counted, "most", 0)
    async with ActorSystem("shop", store=MemoryStore()) as system:
        agents = [await Counted.start(system, name=f"a{n}") for n in range(5)]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for n, agent in enumerate(agents):
                    tasks.start_soon(agent.execute_task, Task(task_id=f"t{n}", description="count"))

    assert Counted.most == most
