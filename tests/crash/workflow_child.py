"""A process with workflows that is killed: `python -m tests.crash.workflow_child URL DIARY LOOP POINT NTH`.

Every life does the same: it starts agents and two workflows, sends the signal that they wait for, and waits
for what they come to. What the agents do they write into DIARY, which no kill takes back; at the NTH time
that the process comes to POINT of the database, counted from when its system is entered, it ends as by `kill
-9`. With a name of `BROKEN_WORKFLOWS` behind, its runner is broken in this way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio

from sentient_core import ActorSystem, SurrealStore
from sentient_core.agents import Agent, Task
from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Retry, Step, Workflow
from sentient_core.agents.workflows.workflows import Workflows
from sentient_core.errors import WorkflowFailed
from sentient_core.store.engine import Client, embedded
from tests.crash.broken_workflows import BROKEN_WORKFLOWS
from tests.crash.points import REQUESTS

__all__ = ["DOOMED", "GOOD", "Diary"]

UNDO = Compensation(input_data={"undo": True})
GOOD = Workflow(
    "good",
    steps=[
        Step("a", "craft"),
        Step("b", "craft", after=["a"], inputs={"of": "a.made"}),
        Step("c", "craft", after=["a"]),
        Approval("go", after=["b", "c"]),
        Delay("rest", 0.02),
        Step("d", "craft", input_data={"signal": "more"}),
        Step("e", agent="bob", inputs={"of": "d"}),
    ],
)
DOOMED = Workflow(
    "doomed",
    steps=[
        Step("a", "craft", compensate=UNDO),
        Step("b", "craft"),
        Step("c", "craft", compensate=UNDO),
        Step("d", "craft", input_data={"fails": True}, retry=Retry(2, backoff=0.01)),
    ],
)


class Diary:
    """What has been done, a line each, which no kill takes back."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def write(self, line: str) -> None:
        """One line, on disk when this returns."""
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[str]:
        """All that was written."""
        return self._path.read_text().splitlines() if self._path.exists() else []


class Crafter(Agent):
    """Does a step, which is one line in the diary, and remembers that it is done."""

    capabilities = frozenset({"craft"})

    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        if self.resume_point is None:
            self.diary.write(f"work {task.task_id}")
            await self.create_checkpoint({"worked": True})
        if task.input_data.get("signal"):
            await self.signal(task.input_data["signal"])
        if task.input_data.get("fails"):
            raise ValueError("as it was told to")
        yield {"status": "completed", "progress": 100, "result": "done", "made": task.task_id}


class Deadly:
    """A client that comes by the points, see `points`."""

    left: int = 0
    point: str = ""
    is_on: bool = False

    def __init__(self, client: Client) -> None:
        self._client = client

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        word = next((word for word, is_it in REQUESTS.items() if is_it(cbor_request)), None)
        await self._pass(f"{word} before")
        answer = await self._client.execute(cbor_request)
        await self._pass(f"{word} after")
        return answer

    async def _pass(self, point: str) -> None:
        if not Deadly.is_on or point != Deadly.point:
            return
        Deadly.left -= 1
        if Deadly.left == 0:
            await asyncio.sleep(0.004)  # whatever is said too early is heard
            os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, diary: Diary) -> None:
    """One life."""
    async with (
        SurrealStore(url, connect=lambda url: Deadly(embedded(url))) as store,
        ActorSystem("crash", store=store) as system,
    ):
        Deadly.is_on = True
        workflows = Workflows(system)
        for name in ("ann", "bob"):
            await Crafter.start(system, diary, name=name)
        good = await workflows.start(GOOD, workflow_id="good")
        doomed = await workflows.start(DOOMED, workflow_id="doomed")
        await good.signal("go", signal_id="go")
        await good.signal("more", signal_id="more")
        results = await good.result()
        assert results["e"]["made"] == "good:e:1"
        try:
            await doomed.result()
        except WorkflowFailed as error:
            diary.write(f"failed {error.step} {error.uncompensated}")
        Deadly.is_on = False


if __name__ == "__main__":
    _url, _diary, _backend, Deadly.point, _nth, *_broken = sys.argv[1:]
    Deadly.left = int(_nth)
    for _name in _broken:
        BROKEN_WORKFLOWS[_name]()
    anyio.run(main, _url, Diary(_diary), backend=_backend)
