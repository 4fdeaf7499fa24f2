"""Random programs of several agents: tasks given, cancelled, paused, restored, under kills and crashes.

Whatever happens, each task that was taken on ends once, by changes of status that are allowed; each change
has its event; whoever reads items reads each once and in order; no agent has two tasks at work; and in the
end all places are free.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import msgspec

from sentient_core import (
    ActorSystem,
    ChildSpec,
    Fenced,
    JournalOptions,
    MemoryStore,
    SentientError,
    Settings,
    Supervisor,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.agents import Agent, AgentHandle, Task, TaskExecutionMode
from sentient_core.agents.crew import crew_of
from sentient_core.agents.statuses import check_transition, is_final
from sentient_core.errors import TaskFailed
from sentient_core.store.protocols import Store
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable
from sentient_core.system import runtime_of

__all__ = ["Program"]

AGENTS = ("a", "b", "c")
PLACES = 2
STEPS = ("item", "item", "item", "save", "progress", "sleep", "sleep", "point", "tidy up")
ENDS = {
    "fail": "failed",
    "unstorable item": "failed",
    "unstorable result": "failed",
    "bad state": "failed",
    "own cancellation": "failed",
    "give up": "cancelled",
}
"""What a task may end in, and what comes of it; else it succeeds."""


class World:
    """What is known outside of the systems."""

    def __init__(self, seed: int, pace: float) -> None:
        self.chance = random.Random(seed)
        self.pace = pace
        self.given: dict[str, tuple[str, Task]] = {}
        self.accepted = set[str]()
        self.cancelled = set[str]()
        self.checkpoints: list[tuple[str, str]] = []
        self.at_work: dict[str, str] = {}
        self.wrongs: list[str] = []

    def begin(self, agent: str, task_id: str) -> None:
        if agent in self.at_work:
            self.wrongs.append(f"{agent} has begun {task_id} while {self.at_work[agent]} was at work")
        self.at_work[agent] = task_id

    def next_task(self) -> tuple[str, Task]:
        chance = self.chance
        steps = [chance.choice(STEPS) for _ in range(chance.randrange(7))]
        if chance.random() < 0.3:
            steps.append(chance.choice([*ENDS]))
        task = Task(task_id=f"t{len(self.given)}", description="do it", input_data={"steps": steps})
        self.given[task.task_id] = chance.choice(AGENTS), task
        return self.given[task.task_id]

    def outcomes(self, task_id: str) -> set[str]:
        """What may have become of a task."""
        steps = self.given[task_id][1].input_data["steps"]
        ends = {ENDS.get(steps[-1], "completed") if steps else "completed"}
        if "bad state" in steps:  # which a message that fails meanwhile takes back
            ends.add("completed")
        return ends | {"cancelled"} if task_id in self.cancelled else ends


class Doer(Agent):
    """Does the steps of a task."""

    world: ClassVar[World]

    class State(msgspec.Struct):
        done: int = 0
        junk: Any = None

    state: State

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        world = self.world
        world.begin(self.name, task.task_id)
        try:
            steps: list[str] = task.input_data["steps"]
            point = self.resume_point
            first = 0 if point is None else point["next"]
            for number, step in enumerate(steps[first:], first + 1):
                self.state.done += 1
                async with aclosing(self.do(step, number, len(steps))) as items:
                    async for item in items:
                        yield item
            if steps[-1:] != ["give up"]:
                yield {"status": "completed", "progress": 100, "result": task.task_id}
        finally:
            if world.at_work.pop(self.name, None) != task.task_id:
                world.wrongs.append(f"{self.name} has ended {task.task_id}, which was not at work")

    async def do(self, step: str, number: int, count: int) -> AsyncGenerator[dict[str, Any], None]:
        if step == "item":
            yield {"status": "item", "progress": min(99, 100 * number / count)}
        elif step == "save":
            await self.create_checkpoint({"next": number})
        elif step == "progress":
            await self.report_progress(min(99, 100 * number / count))
        elif step == "sleep":
            await anyio.sleep(self.world.pace * self.world.chance.choice([0.1, 1, 3]))
        elif step == "point":
            await self.context.pausable()
        elif step == "tidy up":
            try:
                await anyio.sleep(self.world.pace)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
        elif step == "fail":
            raise ValueError("no way")
        elif step == "unstorable item":
            yield {"status": "item", "what": {1, 2}}
        elif step == "unstorable result":
            yield {"status": "completed", "result": object()}
        elif step == "bad state":
            self.state.junk = object()
            yield {"status": "item"}
        elif step == "own cancellation":
            raise asyncio.CancelledError if self.is_on_asyncio() else ValueError("no way")
        elif step == "give up":
            yield {"status": "cancelled"}

    def is_on_asyncio(self) -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True


class Team(Supervisor):
    durability: ClassVar[DurabilityName] = "volatile"
    strategy = Supervisor.one_for_one(max_restarts=10_000, within=1.0)
    children = tuple(ChildSpec(Doer, name=name) for name in AGENTS)


class Reader:
    """Whoever follows a task: what it has read has to be what is stored, once and in order."""

    def __init__(self, task_id: str, after: int) -> None:
        self.task_id = task_id
        self.after = after
        self.items: list[dict[str, Any]] = []
        self.has_read_all = False

    async def read(self, world: World, agent: AgentHandle[Any], given: Task | str) -> None:
        pace = world.chance.choice([0, 0, 0.5, 2]) * world.pace
        try:
            async with aclosing(agent.stream_execution(given, after=self.after)) as items:
                async for item in items:
                    self.items.append(item)
                    await anyio.sleep(pace)
                    if world.chance.random() < 0.05:
                        return
        except SentientError as error:
            self.has_read_all = type(error).__name__ == "TaskFailed"
        else:
            self.has_read_all = True


class Program:
    """One random program over several starts of a system."""

    def __init__(self, seed: int, store: Callable[[], Store | str], pace: float) -> None:
        self.world = Doer.world = World(seed, pace)
        self.new_store = store
        self.readers: list[Reader] = []
        self.is_crashing = False

    async def live(self, moves: int, *, last: bool) -> None:
        world, store = self.world, self.new_store()
        settings = Settings(max_concurrent_agents=PLACES)
        crashes = not last and isinstance(store, MemoryStore) and world.chance.random() < 0.5
        try:
            async with ActorSystem(
                "test", store=store, settings=settings, watchdog=None, journal=JournalOptions()
            ) as system:
                await system.spawn(Team, name="top")
                agents = {name: AgentHandle(system.get(f"top/{name}"), timeout=100_000) for name in AGENTS}
                async with anyio.create_task_group() as tasks:
                    for _ in range(moves):
                        move = self.next_move(agents, store)
                        tasks.start_soon(self.tried, move)
                        await anyio.sleep(world.pace * world.chance.choice([0, 0, 0, 0.1, 0.3, 1, 2]))
                    if crashes and isinstance(store, MemoryStore):
                        for _ in range(world.chance.randrange(20)):
                            await anyio.lowlevel.checkpoint()
                        self.is_crashing = True  # a move that is under way pauses the store no more
                        store.is_paused = False  # and nothing that it has not committed ever is
                        await store.open_journal(system.name)
                        await anyio.sleep_forever()
                    await anyio.sleep(world.pace)
                    if isinstance(store, MemoryStore):
                        store.resume()
                    if last:
                        await self.finish(agents)
                    tasks.cancel_scope.cancel()
                if last:
                    await self.compare(system)
        except* Fenced:
            assert crashes
        self.is_crashing = False
        world.at_work.clear()

    async def tried(self, move: Callable[[], Awaitable[object]]) -> None:
        with suppress(SentientError):
            await move()

    def next_move(
        self, agents: dict[str, AgentHandle[Any]], store: Store | str
    ) -> Callable[[], Awaitable[object]]:
        world, chance, what = self.world, self.world.chance, self.world.chance.random()
        if what < 0.3 or not world.given:
            name, task = world.next_task()
            return lambda: self.give(agents[name], task)
        task_id, (name, task) = chance.choice([*world.given.items()])
        agent = agents[name]
        if what < 0.35:
            return lambda: self.give(agent, task)
        if what < 0.5:
            return lambda: self.follow(agent, task_id)
        if what < 0.57:
            return lambda: self.cancel(agent, task_id)
        if what < 0.65:
            some = chance.choice([None, task_id])
            return lambda: agent.pause_execution(some)
        if what < 0.73:
            return agent.resume_execution
        if what < 0.77:
            return lambda: self.save(agent, name)
        if what < 0.83 and world.checkpoints:
            by, checkpoint_id = chance.choice(world.checkpoints)
            return lambda: agents[by].restore_from_checkpoint(checkpoint_id)
        if what < 0.9:
            return lambda: self.kill(agent)
        if what < 0.95 and isinstance(store, MemoryStore):
            return lambda: self.turn(store)
        return agent.describe

    async def kill(self, agent: AgentHandle[Any]) -> None:
        agent.ref.kill()

    async def turn(self, store: MemoryStore) -> None:
        if not self.is_crashing:
            store.resume() if store.is_paused else store.pause()

    async def save(self, agent: AgentHandle[Any], name: str) -> None:
        self.world.checkpoints.append((name, await agent.create_checkpoint({"next": 0})))

    async def give(self, agent: AgentHandle[Any], task: Task) -> None:
        mode = self.world.chance.choice([*TaskExecutionMode])
        if mode is not TaskExecutionMode.STREAMING:
            await agent.execute_task(task, TaskExecutionMode.BACKGROUND)
            self.world.accepted.add(task.task_id)
            if mode is TaskExecutionMode.BLOCKING:
                await agent.execute_task(task)
            return
        reader = Reader(task.task_id, 0)
        self.readers.append(reader)
        await reader.read(self.world, agent, task)
        if reader.items:
            self.world.accepted.add(task.task_id)

    async def follow(self, agent: AgentHandle[Any], task_id: str) -> None:
        reader = Reader(task_id, self.world.chance.randrange(3))
        self.readers.append(reader)
        await reader.read(self.world, agent, task_id)

    async def cancel(self, agent: AgentHandle[Any], task_id: str) -> None:
        self.world.cancelled.add(task_id)
        await agent.cancel_execution(task_id)

    async def finish(self, agents: dict[str, AgentHandle[Any]]) -> None:
        """Let all that was ever given come to its end."""

        async def go_on() -> None:
            while True:
                for agent in agents.values():
                    await self.tried(agent.resume_execution)
                await anyio.sleep(5 * self.world.pace)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_on)
            for task_id, (name, task) in self.world.given.items():
                with suppress(TaskFailed):
                    await agents[name].execute_task(task)
                self.world.accepted.add(task_id)
                reader = Reader(task_id, 0)
                self.readers.append(reader)
                await reader.read(self.world, agents[name], task_id)
            tasks.cancel_scope.cancel()

    async def compare(self, system: ActorSystem) -> None:
        await system.flush()
        world = self.world
        assert world.wrongs == []
        crew = crew_of(runtime_of(system, "test"))
        assert crew.places.borrowed_tokens == 0
        assert crew.unfinished == set()
        assert [desk.run for desk in crew.desks()] == [None] * len(AGENTS)
        assert not [id_ for id_ in world.given if crew.followed(id_)]

        counts = Counter[tuple[str, str]]()
        changes = Counter[str]()
        for event in await self.events(system):
            payload = event[1]
            counts[event[0], payload.get("task_id", "")] += 1
            if event[0] == "agent_status_changed":
                changes[event[2]] += 1
        for task_id in world.accepted:
            (row,) = await self.rows(system, RowTable.TASK_EXECUTION, task_id)
            status = row.fields["status"]
            trail = await self.trail(system, "task", task_id)
            assert trail[0][0] is None, task_id
            assert trail[-1][1] == status, task_id
            assert [new for _, new in trail if is_final("task", new)] == [status], task_id
            assert status in world.outcomes(task_id), (task_id, row.fields)
            has_begun = any(new == "running" for _, new in trail)
            told = {
                kind: counts[kind, task_id]
                for kind in ("agent_started", "agent_completed", "agent_failed", "task_cancelled")
            }
            assert told == {
                "agent_started": int(has_begun),
                "agent_completed": int(status == "completed"),
                "agent_failed": int(status == "failed"),
                "task_cancelled": int(status == "cancelled"),
            }, (task_id, trail)
            await self.compare_items(system, task_id, row)
        for name in AGENTS:
            trail = await self.trail(system, "agent", f"top/{name}")
            assert not trail or trail[-1][1] in ("idle", "failed")
            assert changes[f"top/{name}"] == len(trail)

    async def compare_items(self, system: ActorSystem, task_id: str, row: Row) -> None:
        items = [found.fields for found in await self.rows(system, RowTable.TASK_ITEM, task_id)]
        positions = [item["position"] for item in items]
        assert positions == [*range(1, row.fields.get("items", 0) + 1)], task_id
        stored = [{**item["item"], "position": item["position"]} for item in items]
        for reader in self.readers:
            if reader.task_id == task_id:
                expected = stored[reader.after :]
                assert reader.items == expected[: len(reader.items)], task_id
                assert not reader.has_read_all or reader.items == expected, task_id
        if row.fields["status"] != "failed":
            assert items[-1]["item"]["status"] == row.fields["status"], task_id

    async def rows(self, system: ActorSystem, table: RowTable, *key: str) -> list[Row]:
        return await system.store.rows(system.name, RowQuery(table=table, key=key))

    async def trail(self, system: ActorSystem, kind: str, id_: str) -> list[tuple[str | None, str]]:
        rows = await self.rows(system, RowTable.STATUS_CHANGE, kind, id_)
        trail = [(row.fields.get("old"), row.fields["new"]) for row in rows]
        for (_, before), (old, new) in pairwise(trail):
            assert old == before, (id_, trail)
            assert old is not None
            check_transition(kind, old, new)
        return trail

    async def events(self, system: ActorSystem) -> list[tuple[str, dict[str, Any], str]]:
        found = await system.store.events(system.name, limit=100_000)
        return [(event.event_type, event.payload, event.source_agent) for event in found]
