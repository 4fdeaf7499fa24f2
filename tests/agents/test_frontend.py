"""The frontend developer makes a page and deploys it, through its phases, whatever kills it meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, InvalidArgument, InvalidPage, MemoryStore, SandboxMissing, TaskFailed
from sentient_core.agents import (
    AgentHandle,
    AsyncFrontendDeveloperAgent,
    FrontendDeveloperAgent,
    LocalSandbox,
    Task,
    TaskExecutionMode,
    page_of,
)
from sentient_core.agents.frontend import Reached
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from tests.agents.browser import opened
from tests.agents.developers import URL, Box, Break, Hold, StoppedDeveloper
from tests.agents.http import get

TASK = Task(task_id="t1", description="A page about tea.", input_data={"sections": {"Green": "Mild."}})
ITEMS: list[dict[str, Any]] = [
    {"status": "analyzing_requirements", "progress": 10},
    {"status": "generating_components", "progress": 30},
    {"status": "building_ui", "progress": 60},
    {"status": "deploying", "progress": 90},
    {
        "status": "completed",
        "progress": 100,
        "result": "Frontend deployed",
        "message": f"Frontend deployed at {URL}",
        "artifacts": [URL],
    },
]
SAVED: list[dict[str, Any]] = [
    {"phase": "pre_generation", "task": TASK.to_dict()},
    {"phase": "post_generation", "html_generated": True},
    {"phase": "deployed", "url": URL},
]
STORY = (
    *("analyzing_requirements", "pre_generation", "generating_components", "building_ui", "post_generation"),
    *("deploying", "deployed", "completed"),
)
"""Items and checkpoints, in their order."""
PLACES = [f"{side} {name}" for name in STORY for side in ("before", "after")]
"""Everywhere that a developer can stop at."""


def items_if_killed(place: str) -> list[dict[str, Any]]:
    """Those committed until then, and those that come from the last checkpoint on."""
    side, name = place.split()
    until = STORY.index(name) + (side == "after")
    saved_at = max((n for n in range(until) if STORY[n] in _PHASES), default=-1)
    statuses = [name for name in STORY[:until] + STORY[saved_at + 1 :] if name not in _PHASES]
    by_status = {item["status"]: item for item in ITEMS}
    return [by_status[status] for status in statuses]


_PHASES = [said["phase"] for said in SAVED]


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    with anyio.fail_after(60):
        async with ActorSystem("shop", store=MemoryStore()) as system:
            yield system


async def items_of(agent: AgentHandle[Any], task: Task | str = TASK) -> list[dict[str, Any]]:
    """All items of a task, whose positions must be 1, 2, 3 ..., without these."""
    items = [item async for item in agent.stream_execution(task)]
    assert [item.pop("position") for item in items] == list(range(1, len(items) + 1))
    return items


async def saved(system: ActorSystem) -> list[dict[str, Any]]:
    """What stands in the named checkpoints, oldest first."""
    await system.flush()
    rows = await system.store.rows("shop", RowQuery(table=RowTable.STATE_CHECKPOINT))
    rows.sort(key=lambda row: row.fields["timestamp"])
    return [row.fields["progress_data"] for row in rows if row.fields["kind"] == "named"]


async def test_a_page_is_made_deployed_and_shown_by_a_browser(system: ActorSystem, tmp_path: Path) -> None:
    async with LocalSandbox(tmp_path / "site") as sandbox:
        agent = await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool=sandbox)

        result = await agent.execute_task(TASK)

        (url,) = result["artifacts"]
        assert result["status"] == "completed"
        assert result["message"] == f"Frontend deployed at {url}"
        assert (await get(url, "/")).body.decode() == page_of(TASK)
        seen = await opened(url)
        assert "<h1>A page about tea</h1>" in seen
        assert "<h2>Green</h2>" in seen


async def test_it_goes_through_its_phases_and_saves_what_it_has_reached(system: ActorSystem) -> None:
    box = Box()
    agent = await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool=box)

    assert await items_of(agent) == ITEMS
    assert await saved(system) == SAVED
    assert box.pages == [page_of(TASK)]


async def test_the_modes_return_what_they_should(system: ActorSystem) -> None:
    agent = await AsyncFrontendDeveloperAgent.start(system, name="dev", sandbox_tool=Box())
    blocking, streaming, background = (Task(description="a") for _ in range(3))

    assert {"status", "message", "artifacts"} <= (await agent.execute_task(blocking)).keys()
    last = await agent.execute_task(streaming, TaskExecutionMode.STREAMING)
    assert (last["status"], last["progress"], last["result"]) == ("completed", 100, "Frontend deployed")
    started = await agent.execute_task(background, TaskExecutionMode.BACKGROUND)
    assert started == {"status": "started", "task_id": background.task_id}
    assert await items_of(agent, background.task_id) == ITEMS


@pytest.mark.parametrize("place", ["after building_ui", "before post_generation", "before deploying"])
async def test_cancelled_before_deploying_it_ends_cancelled_at_60(system: ActorSystem, place: str) -> None:
    hold, box = Hold(place), Box()
    agent = await StoppedDeveloper.start(system, hold, name="dev", sandbox_tool=box)
    await agent.execute_task(TASK, "background")
    await hold.gate.reached.wait()

    assert await agent.cancel_execution()

    assert (await items_of(agent, "t1"))[-2:] == [ITEMS[2], {"status": "cancelled", "progress": 60}]
    assert await agent.execute_task(TASK) == {"status": "cancelled", "progress": 60}
    assert box.pages == []
    assert (await agent.describe()).status == "idle"


async def test_without_a_sandbox_a_task_is_refused_before_anything_is_done(system: ActorSystem) -> None:
    agent = await FrontendDeveloperAgent.start(system, name="dev")

    for mode in TaskExecutionMode:
        with pytest.raises(SandboxMissing, match="'dev'") as caught:
            await agent.execute_task(TASK, mode)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(SandboxMissing):
        await items_of(agent)

    assert await agent.get_task("t1") is None
    assert (await agent.describe()).status == "idle"


async def test_a_sandbox_tool_that_is_none_is_refused_at_the_start(system: ActorSystem) -> None:
    with pytest.raises(InvalidArgument, match="run_async"):
        await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool="here")


async def test_a_task_that_no_page_can_be_made_of_is_refused(system: ActorSystem) -> None:
    agent = await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool=Box())

    with pytest.raises(InvalidPage, match="ocean"):
        await agent.execute_task(Task(description="a", input_data={"theme": "ocean"}))


@pytest.mark.parametrize("place", PLACES)
async def test_killed_anywhere_it_continues_and_saves_each_checkpoint_once(
    system: ActorSystem, place: str
) -> None:
    hold, box = Hold(place), Box()
    agent = await StoppedDeveloper.start(system, hold, name="dev", sandbox_tool=box)
    await agent.execute_task(TASK, "background")
    await hold.gate.reached.wait()

    agent.ref.tell(Break())

    assert await items_of(agent, "t1") == items_if_killed(place)
    assert await saved(system) == SAVED
    assert (await agent.execute_task(TASK))["artifacts"] == [URL]
    assert set(box.pages) == {page_of(TASK)}
    assert agent.ref.incarnation == 2


async def test_paused_it_stands_still_and_goes_on_where_it_was(system: ActorSystem) -> None:
    hold, box = Hold("after building_ui"), Box()
    agent = await StoppedDeveloper.start(system, hold, name="dev", sandbox_tool=box)
    await agent.execute_task(TASK, "background")
    await hold.gate.reached.wait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent.pause_execution)
        await anyio.wait_all_tasks_blocked()
        hold.gate.open.set()

    assert (await agent.describe()).status == "paused"
    assert box.pages == []
    await agent.resume_execution()

    assert await items_of(agent, "t1") == ITEMS


class Poet:
    """A model that says something else each time."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    async def complete(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return f"Verse {len(self.prompts)}.\n\n<b>Not bold</b>."


class HeldPoetDeveloper(StoppedDeveloper):
    def __init__(self, hold: Hold, poet: Poet, box: Box) -> None:
        super().__init__(hold, sandbox_tool=box)
        self.model = poet


async def test_a_model_writes_an_introduction_which_is_text_like_any_other(system: ActorSystem) -> None:
    poet, box = Poet(), Box()
    agent = await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool=box, model=poet)

    await agent.execute_task(TASK)

    assert "A page about tea." in poet.prompts[0]
    (page,) = box.pages
    assert "<p>Verse 1.</p>" in page
    assert "<p>&lt;b&gt;Not bold&lt;/b&gt;.</p>" in page


@pytest.mark.parametrize("said", [None, 5, ["Verse 1."]])
async def test_a_model_or_a_sandbox_that_answers_with_something_else_fails_the_task_in_words(
    system: ActorSystem, said: Any
) -> None:
    class Odd(Box, Poet):
        async def run_async(self, action: Any) -> Any:
            return said

        async def complete(self, prompt: str) -> Any:
            return said

    for name, parts, why in (
        ("a", {"sandbox_tool": Odd()}, r"InvalidArgument: sandbox_tool\.run_async.* is to return"),
        (
            "b",
            {"sandbox_tool": Box(), "model": Odd()},
            r"InvalidArgument: model\.complete.* is to return text",
        ),
    ):
        agent = await FrontendDeveloperAgent.start(system, name=name, **parts)
        with pytest.raises(TaskFailed, match=why):
            await agent.execute_task(Task(description="tea"))


async def test_half_a_surrogate_pair_of_a_model_does_not_fail_the_task(system: ActorSystem) -> None:
    class Torn(Poet):
        async def complete(self, prompt: str) -> str:
            return "Verse \ud83d."

    box = Box()
    agent = await FrontendDeveloperAgent.start(system, name="dev", sandbox_tool=box, model=Torn())
    await agent.execute_task(TASK)
    assert "<p>Verse ?.</p>" in box.pages[0]


async def test_what_a_model_has_said_is_kept_over_a_restart(system: ActorSystem) -> None:
    poet, box, hold = Poet(), Box(), Hold("before deploying")
    agent = await HeldPoetDeveloper.start(system, hold, poet, box, name="dev")
    await agent.execute_task(TASK, "background")
    await hold.gate.reached.wait()

    agent.ref.tell(Break())
    await agent.execute_task(TASK)

    assert len(poet.prompts) == 1
    assert "<p>Verse 1.</p>" in box.pages[0]


@pytest.mark.parametrize(
    ("point", "reached"),
    [
        (None, Reached.NOTHING),
        ({}, Reached.NOTHING),
        ({"phase": "something else"}, Reached.NOTHING),
        ({"phase": "pre_generation"}, Reached.PRE_GENERATION),
        ({"phase": "post_generation", "html_generated": True}, Reached.POST_GENERATION),
        ({"phase": "deployed", "url": URL}, Reached.DEPLOYED),
    ],
)
def test_what_was_reached_is_read_from_the_last_checkpoint(
    point: dict[str, Any] | None, reached: Reached
) -> None:
    assert Reached.by(point) is reached
