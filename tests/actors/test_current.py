"""Whose conversation a message belongs to: that of the message which its sending task was started for."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from anyio.abc import TaskGroup

from sentient_core import Actor, ActorRef, MemoryStore, handles
from sentient_core.store.protocols import EventRow
from tests.probes import Gate, Say, running


class Work(msgspec.Struct, frozen=True):
    name: str


class Worker(Actor):
    def __init__(
        self, tasks: TaskGroup, gate: Gate, other: ActorRef[Target], begin: str | None = None
    ) -> None:
        self.tasks = tasks
        self.gate = gate
        self.other = other
        self.begin = begin
        self.other_gate = Gate()

    def on_start(self) -> None:
        if self.begin is not None:
            self.tasks.start_soon(self.say_later, self.begin)

    @handles
    async def work(self, message: Work) -> None:
        if message.name == "child":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.say_later, "child")
                self.gate.open.set()
        elif message.name == "left":
            self.tasks.start_soon(self.say_later, "left")
        elif message.name == "piped":
            self.context.pipe_to_self(self.say_later, "piped")
        else:
            self.gate.open.set()
            await self.other_gate()

    async def say_later(self, text: str) -> None:
        await self.gate()
        self.other.tell(Say(text))
        self.other_gate.open.set()


class Target(Actor):
    @handles
    def say(self, message: Say) -> None: ...


async def causes(how: str, *, at_start: bool = False) -> dict[str, str | None]:
    """What was said, and the name of the message that it was said for."""
    store, events, said = MemoryStore(), dict[str, EventRow](), list[EventRow]()
    async with running(store=store) as system, anyio.create_task_group() as tasks:
        other = await system.spawn(Target, name="other")
        gate = Gate()
        ref = await system.spawn(Worker, tasks, gate, other, how if at_start else None)
        if not at_start:
            ref.tell(Work(how))
        ref.tell(Work("next"))
        await anyio.sleep(1)
        await ref.stop()
        await system.flush()
        sent = await store.events("test", event_type="message_sent")
        events = {event.event_id: event for event in sent}
        said = [event for event in events.values() if event.target_agent == "other"]
        for event in said:
            cause = events.get(event.causation_id or "")
            assert event.correlation_id == (event if cause is None else cause).correlation_id
        tasks.cancel_scope.cancel()
    why = {event_id: event.payload.get("name") for event_id, event in events.items()}
    return {event.payload["text"]: why.get(event.causation_id or "") for event in said}


@pytest.mark.parametrize("how", ["child", "left", "piped"])
async def test_a_task_sends_for_the_message_that_it_was_started_for(how: str) -> None:
    assert await causes(how) == {how: how}


async def test_a_task_that_no_message_has_started_begins_a_conversation() -> None:
    assert await causes("own", at_start=True) == {"own": None}
