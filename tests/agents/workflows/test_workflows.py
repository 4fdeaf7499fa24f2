"""Workflows run by agents: in order, beside each other, tried again, undone, paused, cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Retry, Step, Workflow
from sentient_core.agents.workflows.workflows import Workflows
from tests.agents.crew import World
from tests.agents.workflows.staff import Worker, does


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    async with ActorSystem("shop", store=MemoryStore()) as system:
        yield system


async def test_steps_are_done_in_order_and_their_results_come_back(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await Workflows(system).start(Workflow("w", steps=[does("a", "x"), does("b", "y", "z")]), workflow_id="w1")
    results = await run.result()
    assert (results["a"]["artifacts"], results["b"]["artifacts"]) == (["x"], ["y", "z"])
    assert [line for line in world.log] == ["w1:a:1 from 0", "w1:a:1 x", "w1:b:1 from 0", "w1:b:1 y", "w1:b:1 z"]
