"""Agents that are virtual: their tasks go on at the next start, though nobody sends them anything."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from sentient_core import ActorSystem, MemoryStore, RecoveryProgress
from sentient_core.agents import Agent, AgentHandle, Task
from sentient_core.store import unfinished
from tests.probes import Gate, Log
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Clerk(Agent):
    """Does a task in two halves, and stops between them for as long as its gate is closed."""

    gates: ClassVar[dict[str, Gate]] = {}
    log: ClassVar[Log]

    class State(msgspec.Struct):
        done: int = 0

    state: State

    async def perform(self, task: Task) -> dict[str, int]:
        if self.resume_point is None:
            await self.create_checkpoint({"half": True})
            self.log(f"{self.name} {task.task_id} first half")
        await self.gates["open"]()
        self.log(f"{self.name} {task.task_id} second half")
        self.state.done += 1
        return {"done": self.state.done}


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clerk, "gates", {"open": Gate()})
    monkeypatch.setattr(Clerk, "log", Log(), raising=False)


async def test_those_with_unfinished_tasks_go_on_with_them_after_recover(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unfinished, "_PAGE", 2)
    store, told = MemoryStore(), list[RecoveryProgress]()
    async with ActorSystem("shop", store=store) as system:
        for number in range(5):
            clerk = AgentHandle(await system.get_or_spawn(Clerk, f"c{number}"))
            await clerk.execute_task(Task(task_id=f"t{number}"), "background")
        idle = AgentHandle(await system.get_or_spawn(Clerk, "idle"))
        await idle.create_checkpoint()
        for number in range(5):
            await Clerk.log.until(f"c{number} t{number} first half")
    Clerk.gates["open"].open.set()
    async with ActorSystem("shop", store=store) as system:
        recovered = await system.recover([Clerk], progress=told.append)

        for number in range(5):
            await Clerk.log.until(f"c{number} t{number} second half")
        assert (recovered.activated, recovered.skipped) == (5, {})
        assert (told[-1].done, told[-1].total) == (5, 5)
        assert [actor.path for actor in system.dormant()] == ["Clerk/idle"]
        clerk = AgentHandle(await system.get_or_spawn(Clerk, "c1"))
        assert (await clerk.execute_task(Task(task_id="t1")))["done"] == 1
        assert list(Clerk.log).count("c1 t1 first half") == 1


async def test_those_whose_tasks_are_over_stay_asleep() -> None:
    store = MemoryStore()
    Clerk.gates["open"].open.set()
    async with ActorSystem("shop", store=store) as system:
        clerk = AgentHandle(await system.get_or_spawn(Clerk, "c"))
        await clerk.execute_task(Task(task_id="t"))
    async with ActorSystem("shop", store=store) as system:
        assert (await system.recover([Clerk])).activated == 0


async def test_one_whose_class_is_not_known_is_told_of() -> None:
    store = MemoryStore()
    async with ActorSystem("shop", store=store) as system:
        clerk = AgentHandle(await system.get_or_spawn(Clerk, "c"))
        await clerk.execute_task(Task(task_id="t"), "background")
        await Clerk.log.until("c t first half")
    async with ActorSystem("shop", store=store) as system:
        recovered = await system.recover([])
        assert "no class with the tag" in recovered.skipped["Clerk/c"]
    Clerk.gates["open"].open.set()
