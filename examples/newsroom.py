"""A newsroom of agents, whose page waits for a person, and which can be killed at any time.

    python -m examples.newsroom news            # works until somebody has to say yes
    python -m examples.newsroom news --approve  # says yes

Everything is in the folder `news`. Give either command again, whatever became of the last one: what was read
is not read again, what was done is not done again, and the events tell all of it from the beginning.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import structlog

from sentient_core import ActorSystem, EventFilter, EventType
from sentient_core.agents import (
    Agent,
    Approval,
    FrontendDeveloperAgent,
    LocalSandbox,
    Retry,
    Step,
    Task,
    Workflow,
    WorkflowHandle,
    Workflows,
)

SOURCES = {
    "The harbour": "Three ships came in, and two went out.",
    "The market": "Apples are cheap; pears are not.",
    "The weather": "Wind from the west, later none.",
}
"""What a real reporter would ask the world for."""

ISSUE = Workflow(
    "issue",
    steps=[
        Step("notes", "report", inputs={"places": "input.places"}, retry=Retry(attempts=3)),
        Step("article", "edit", inputs={"notes": "notes.notes"}),
        Approval("print it"),
        Step("page", "lay out", description="The news of today.", inputs={"sections": "article.sections"}),
    ],
)


OVER = ("completed", "failed", "cancelled")


class Reporter(Agent):
    capabilities = frozenset({"report"})

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        places: list[str] = task.input_data["places"]
        notes: dict[str, str] = {} if self.resume_point is None else self.resume_point["notes"]
        for place in places[len(notes) :]:
            await anyio.sleep(0.1)
            notes[place] = SOURCES[place]
            await self.create_checkpoint({"notes": notes})  # from here on nobody goes there again
            print(f"the reporter was at: {place}", flush=True)
            yield {"status": f"was at {place}", "progress": 90 * len(notes) // len(places)}
        yield {"status": "completed", "progress": 100, "result": f"{len(notes)} notes", "notes": notes}


class Editor(Agent):
    capabilities = frozenset({"edit"})

    async def perform(self, task: Task) -> dict[str, Any]:
        notes: dict[str, str] = task.input_data["notes"]
        return {"sections": {place: f"{note} So it goes." for place, note in notes.items()}}


async def follow(system: ActorSystem, run: WorkflowHandle) -> None:
    """Say what has happened and what happens, until the workflow is over, or waits for a person."""
    wanted = EventFilter(
        workflow_id=run.workflow_id,
        event_types=(EventType.WORKFLOW_STEP_CHANGED, EventType.WORKFLOW_STATUS_CHANGED),
    )
    async with system.events.subscription(wanted, after="0-0") as events:
        async for event in events:
            step, status = event.payload.get("step"), event.payload["new_status"]
            print(f"{step or 'the issue'} is {status}", flush=True)
            if step is None and status in OVER:
                return
            at_work = [known.name for known in await run.steps() if known.status == "running"]
            if step == "print it" and step in at_work:
                return


async def main(folder: Path, is_approved: bool) -> None:
    store = f"surrealkv://{folder / 'newsroom.db'}"
    async with LocalSandbox(folder / "page") as sandbox, ActorSystem("newsroom", store=store) as system:
        await Reporter.start(system, name="rita")
        await Editor.start(system, name="ed")
        await FrontendDeveloperAgent.start(system, name="dev", capabilities={"lay out"}, sandbox_tool=sandbox)
        run = await Workflows(system).start(ISSUE, workflow_id="today", input_data={"places": [*SOURCES]})
        if is_approved and await run.status() not in OVER:
            await run.signal("print it", {"approved": True, "by": "you"}, signal_id="yes")
        await follow(system, run)
        if await run.status() in OVER:
            await run.result()  # which raises where it is another end than a good one
            print(f"There it is: {folder / 'page' / 'index.html'}")
        else:
            print("It waits for you: give --approve.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=Path("news"))
    parser.add_argument("--approve", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    anyio.run(main, given.folder, given.approve)
