"""Frontend developers that stop where the test says, and a sandbox that only writes down its calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio

from sentient_core import Request, handles
from sentient_core.agents import FrontendDeveloperAgent, SandboxTool, Task
from tests.probes import Gate

__all__ = ["URL", "Box", "Break", "Hold", "StoppedDeveloper"]

URL = "http://127.0.0.1:1/"


class Box:
    """A sandbox tool that serves nothing."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    async def run_async(self, action: dict[str, Any]) -> dict[str, Any]:
        assert action.keys() == {"files", "commands"}
        assert action["commands"] == ["serve"]
        await anyio.lowlevel.checkpoint()
        self.pages.append(action["files"]["index.html"])
        return {"url": URL}


class Hold:
    """Where the first developer that comes by stops: `before` or `after` something is committed.

    That is an item of this status, or the checkpoint of this phase.
    """

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.gate = Gate()

    async def __call__(self, place: str) -> None:
        if place == self.place:
            self.place = ""
            await self.gate()


class Break(Request[None], frozen=True):
    """Fail the agent itself."""


class StoppedDeveloper(FrontendDeveloperAgent):
    """A developer that stops at a place."""

    def __init__(self, hold: Hold, *, sandbox_tool: SandboxTool | None = None) -> None:
        super().__init__(sandbox_tool=sandbox_tool)
        self.hold = hold

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        async with aclosing(super().stream_execution(task)) as items:
            async for item in items:
                await self.hold(f"before {item['status']}")
                yield item
                await self.hold(f"after {item['status']}")

    async def create_checkpoint(self, checkpoint_data: Mapping[str, Any]) -> str:
        await self.hold(f"before {checkpoint_data['phase']}")
        made = await super().create_checkpoint(checkpoint_data)
        await self.hold(f"after {checkpoint_data['phase']}")
        return made

    @handles
    def break_down(self, message: Break) -> None:
        raise RuntimeError("broken")
