"""Workflows on real databases and real clocks: embedded, in memory and on disk, and on a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from sentient_core import ActorSystem
from sentient_core.agents import Approval, Compensation, Delay, Retry, StateManager, Workflow, Workflows
from sentient_core.errors import WorkflowFailed
from tests.agents.crew import World
from tests.agents.workflows.staff import Worker, does
from tests.store.server import Server

FLOW = Workflow(
    "w",
    steps=[
        does("a", "x", compensate=Compensation(input_data={"steps": ["undo"]})),
        does("b", "save one", "wait b", after=["a"]),
        does("c", "signal ok", after=["a"]),
        Approval("go", after=["b", "c"]),
        Delay("rest", 0.05),
        does("d", "fail it", retry=Retry(2, backoff=0.01)),
    ],
)


@pytest.fixture(params=["mem", "disk", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "server":
        with Server(tmp_path, "--unauthenticated") as server:
            yield server.url()
    else:
        yield "mem://" if request.param == "mem" else f"surrealkv://{tmp_path}/db"


async def test_a_whole_workflow(url: str) -> None:
    world = World()
    with anyio.fail_after(60):
        async with ActorSystem("shop", store=url) as system:
            for name in ("ann", "bob"):
                await Worker.start(system, world, name=name)
            run = await Workflows(system).start(FLOW, workflow_id="w")
            await world.gate("b").reached.wait()
            world.gate("b").open.set()
            await run.signal("go", signal_id="1")
            await run.signal("ok", {"by": "ann"})
            with pytest.raises(WorkflowFailed, match="at its step 'd'"):
                await run.result()
            found = await StateManager(system).get_workflow("w")
            assert found is not None
            assert (found.status, found.current_step, found.total_steps) == ("failed", 5, 6)
            assert [step.name for step in await run.steps()] == ["a", "a:undo", "b", "c", "go", "rest", "d"]
    assert world.log.lines[-1] == "w:a/undo:1 undo"


async def test_an_end_of_the_system_in_the_middle(tmp_path: Path) -> None:
    world, url = World(), f"surrealkv://{tmp_path}/db"
    with anyio.fail_after(60):
        async with ActorSystem("shop", store=url) as system:
            for name in ("ann", "bob"):
                await Worker.start(system, world, name=name)
            run = await Workflows(system).start(FLOW, workflow_id="w")
            await world.gate("b").reached.wait()
            await world.log.until("w:c:1 from 0")
            await run.pause()
        world.gate("b").open.set()
        async with ActorSystem("shop", store=url) as system:
            run = Workflows(system).get("w")
            for name in ("ann", "bob"):
                await Worker.start(system, world, name=name)
            assert await run.status() == "paused"
            await run.resume()
            await run.signal("ok")
            await run.signal("go")
            with pytest.raises(WorkflowFailed):
                await run.result()
            assert [step.attempts for step in await run.steps()] == [1, 1, 1, 1, 0, 0, 2]
    assert [line for line in world.log if line.startswith("w:a:1")] == ["w:a:1 from 0", "w:a:1 x"]
