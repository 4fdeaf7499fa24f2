"""A process with a frontend developer: `... developer_process URL DATABASE BACKEND SITE [PLACE [goes-on]]`.

With a place it takes on its task, says `held` when it is there, and waits to be killed; or, if it `goes-on`,
for a line, goes on with the task then, and says `fenced` if that is not its own any more. Without a place it
sees the task through, and prints what came of it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import anyio
import msgspec
import structlog

from sentient_core import ActorSystem, Fenced, SurrealStore
from sentient_core.agents import LocalSandbox, Task
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable
from tests.agents.developers import Hold, StoppedDeveloper
from tests.agents.http import get

__all__ = ["TASK", "Outcome"]

TASK = Task(task_id="t1", description="A page about tea.", input_data={"sections": {"Green": "Mild."}})


class Outcome(msgspec.Struct):
    """What a task has come to."""

    result: dict[str, Any]
    items: list[str]
    """The status of each."""
    saved: list[str]
    """The phase of each checkpoint."""
    page: str
    """What is served at the result's address."""


async def live(url: str, database: str, site: str, place: str, goes_on: bool) -> None:
    """A life of the process."""
    store = SurrealStore(url, database=database)
    async with store, LocalSandbox(site) as sandbox, ActorSystem("shop", store=store) as system:
        hold = Hold(place)
        agent = await StoppedDeveloper.start(system, hold, name="dev", sandbox_tool=sandbox)
        if place:
            await agent.execute_task(TASK, "background")
            await hold.gate.reached.wait()
            print("held", flush=True)  # noqa: T201 - its parent waits for it
            if not goes_on:
                await anyio.sleep_forever()
            await anyio.to_thread.run_sync(sys.stdin.readline)
            hold.gate.open.set()
        result = await agent.execute_task(TASK)
        items = [item["status"] async for item in agent.stream_execution(TASK.task_id)]
        await system.flush()
        rows = await store.rows("shop", RowQuery(table=RowTable.STATE_CHECKPOINT))
        named = sorted(
            (row.fields for row in rows if row.fields["kind"] == "named"), key=lambda row: row["timestamp"]
        )
        page = (await get(result["artifacts"][0], "/")).body.decode()
        outcome = Outcome(result, items, [row["progress_data"]["phase"] for row in named], page)
        print(msgspec.json.encode(outcome).decode(), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    address, name, backend, folder, *places = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        anyio.run(live, address, name, folder, places[0] if places else "", len(places) > 1, backend=backend)
    except Fenced:
        print("fenced", flush=True)  # noqa: T201 - as above
