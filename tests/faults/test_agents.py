"""Agents under a plan of faults: tasks end, and what the runtime tells itself is not lost."""

from __future__ import annotations

import anyio

from sentient_core import ActorSystem, MemoryStore
from sentient_core.agents import Task
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from tests.agents.crew import Doer, World


async def test_what_an_agent_waits_for_itself_is_not_lost_by_a_rule_for_all_messages() -> None:
    plan = FaultPlan(3, (Rule(point=FaultPoint.MAILBOX_GET, action=FaultAction.DROP, nth=2),))
    async with ActorSystem("test", store=MemoryStore(), faults=plan) as system:
        agent = await Doer.start(system, World(), name="doer")
        task = Task(task_id="t", description="do it", input_data={"steps": ["a", "b"]})

        with anyio.fail_after(60):
            done = await agent.execute_task(task)

        assert done["artifacts"] == ["a", "b"]
        assert (await system.audit()).is_balanced
