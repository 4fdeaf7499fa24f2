"""An agent that does what its task says, and a world that it shares with the test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import msgspec

from sentient_core.agents import Agent, Task
from tests.probes import Gate, Log

__all__ = ["Doer", "Doing", "World"]


class World:
    """What the agents of a test share with it."""

    def __init__(self) -> None:
        self.log = Log()
        self.gates: dict[str, Gate] = {}

    def gate(self, name: str) -> Gate:
        """A gate of this name."""
        return self.gates.setdefault(name, Gate())


class Doing(msgspec.Struct, frozen=True):
    """Fail the agent itself, with this message."""

    why: str


class Doer(Agent):
    """Does the steps of a task: each may wait at a gate, fail, or be saved, is noted and yields an item."""

    class State(msgspec.Struct):
        done: list[str] = []

    state: State

    def __init__(self, world: World) -> None:
        self.world = world

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        steps: list[str] = task.input_data.get("steps", [])
        first = 0 if self.resume_point is None else self.resume_point["next"]
        self.world.log(f"{task.task_id} from {first}")
        for number, step in enumerate(steps[first:], first + 1):
            what, _, name = step.partition(" ")
            if what == "wait":
                await self.world.gate(name)()
            elif what == "fail":
                raise ValueError(name)
            elif what == "save":
                await self.create_checkpoint({"next": number, "name": name})
            elif what == "signal":
                signal, _, seconds = name.partition(" ")
                self.world.log(
                    f"{task.task_id} got {await self.signal(signal, float(seconds) if seconds else None)}"
                )
            elif what == "sleep":
                await anyio.sleep(float(name))
            self.state.done.append(step)
            self.world.log(f"{task.task_id} {step}")
            yield {"status": what, "progress": 100 * number / (len(steps) + 1)}
        yield {"status": "completed", "progress": 100, "result": f"did {len(steps)}", "artifacts": steps}
