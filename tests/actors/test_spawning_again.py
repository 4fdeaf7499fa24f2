"""A named child that code has spawned before is found by it when it runs again."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    HandlerFailed,
    MemoryStore,
    NameTaken,
    Request,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from tests.probes import Gate, Total


class Hire(Request[str], frozen=True):
    """Spawn a child under that name; the reply is how often it was asked for its number."""

    name: str
    kind: str = "durable"
    times: int = 1
    fails: int = 0


class Worker(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        asked: int = 0

    state: State

    @handles
    def total(self, message: Total) -> int:
        self.state.asked += 1
        return self.state.asked


class Plain(Actor):
    durability: ClassVar[DurabilityName] = "volatile"

    @handles
    def total(self, message: Total) -> int:
        return 0


class Boss(Actor):
    durability: ClassVar[DurabilityName] = "durable"
    max_attempts = 3

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.refs: list[ActorRef[Any]] = []

    @handles
    async def hire(self, message: Hire) -> str:
        cls: type[Actor] = Worker if message.kind == "durable" else Plain
        ref: ActorRef[Any] = await self.context.spawn(cls, name=message.name)
        for _ in range(message.times - 1):
            await self.context.spawn(cls, name=message.name)
        assert self.context.message is not None
        if self.gate is not None:
            await self.gate()
        if self.context.message.attempt <= message.fails:
            raise ValueError("not yet")
        return f"{ref.path} {await ref.ask(Total(), timeout=5)}"


@pytest.mark.parametrize("kind", ["durable", "volatile"])
async def test_a_message_that_is_tried_again_finds_the_child_that_it_has_spawned(kind: str) -> None:
    async with ActorSystem("firm", store=MemoryStore()) as system:
        boss = await system.spawn(Boss, name="boss")

        assert await boss.ask(Hire("kim", kind, fails=2), timeout=5) == f"boss/kim {int(kind == 'durable')}"

        assert system.dead_letters.total == 0


async def test_the_name_stays_taken_for_all_other_messages() -> None:
    async with ActorSystem("firm", store=MemoryStore()) as system:
        boss = await system.spawn(Boss, name="boss")
        await boss.ask(Hire("kim"), timeout=5)

        for taken in (Hire("kim"), Hire("kim", "volatile"), Hire("lee", times=2)):
            with pytest.raises(HandlerFailed) as caught:
                await boss.ask(taken, timeout=5)
            assert isinstance(caught.value.__cause__, NameTaken)


async def test_a_message_of_an_earlier_start_finds_the_child_that_has_come_back() -> None:
    store, gate = MemoryStore(), Gate()
    async with ActorSystem("firm", store=store) as system:
        boss: Any = await system.spawn(Boss, gate, name="boss")
        await boss.send(Hire("kim"))
        await gate.reached.wait()  # the child is there, and the turn is open
        assert await system.get("boss/kim").ask(Total(), timeout=5) == 1
        await system.flush()

    class Waiting(Boss, tag="Boss"):
        """Handles its messages when the system has come back as a whole."""

        @handles
        async def hire(self, message: Hire) -> str:
            await gate.open.wait()
            return await super().hire(message)

    async with ActorSystem("firm", store=store) as system:
        boss = await system.spawn(Waiting, name="boss")
        await system.recover([Worker])
        assert system.get("boss/kim").is_alive
        gate.open.set()
        with pytest.raises(HandlerFailed) as caught:  # it comes behind the one that is pending
            await boss.ask(Hire("kim"), timeout=5)

        assert isinstance(caught.value.__cause__, NameTaken)
        assert system.dead_letters.total == 1
        assert await system.get("boss/kim").ask(Total(), timeout=5) == 3


@pytest.mark.parametrize("kind", ["durable", "mirrored"])
async def test_a_start_again_finds_the_durable_children_of_the_one_before(kind: DurabilityName) -> None:
    starts: list[Any] = []

    class Starting(Actor):
        durability = kind

        async def on_start(self) -> None:
            starts.append(await self.context.spawn(Worker, name="kim"))
            starts.append(await self.context.spawn(Plain, name="lee"))

    async with ActorSystem("firm", store=MemoryStore()) as system:
        boss = await system.spawn(Starting, name="boss")
        assert await starts[0].ask(Total(), timeout=5) == 1
        await boss.kill()
        await anyio.sleep(1)

        assert boss.incarnation == 2
        assert starts[2] == starts[0]
        assert await starts[2].ask(Total(), timeout=5) == 2
        assert await starts[3].ask(Total(), timeout=5) == 0


async def test_a_start_that_spawns_a_name_twice_fails() -> None:
    class Starting(Actor):
        durability = "durable"

        async def on_start(self) -> None:
            await self.context.spawn(Worker, name="kim")
            await self.context.spawn(Worker, name="kim")

    async with ActorSystem("firm", store=MemoryStore()) as system:
        with pytest.raises(NameTaken):
            await system.spawn(Starting, name="boss")


async def test_nothing_is_left_written_down_for_a_message_that_is_settled() -> None:
    async with ActorSystem("firm", store=MemoryStore()) as system:
        boss = await system.spawn(Boss, name="boss")
        await boss.ask(Hire("kim", fails=1), timeout=5)

        journal: Any = cell_of(boss).runtime.mirror.journal
        assert journal._records.memos == {}
