"""Mistakes of those who use agents: a typed error at the call or a failed task, and the agent lives on."""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore, SurrealStore
from sentient_core.agents import Agent, AgentHandle, Task
from sentient_core.errors import (
    CheckpointOfAnother,
    IdTaken,
    IllegalTransition,
    InvalidArgument,
    MessageIdConflict,
    TaskFailed,
    UnknownTask,
    UnstorableValue,
)
from tests.agents.crew import Doer, World
from tests.bad_payloads import BAD, nested


class Colour(enum.Enum):
    RED = "red"


UNSTORABLE: dict[str, dict[Any, Any]] = {what: bad.value for what, bad in BAD.items()} | {
    "17 MB": {"text": "x" * 17_000_000}
}
"""Payloads of which nothing may come back as something else."""
A_SET: dict[str, Any] = {"tags": {"a"}}
"""One of them, for the entrances that are shown to go by the same rule."""


def same(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """It comes back as it was."""
    return payload, payload


STORABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "10 MB": same({"text": "x" * 10_000_000}),
    "60 levels": same(nested(60)),
    "bytes": same({"b": b"\xff\x00"}),
    "the largest integers": same({"n": [2**63 - 1, -(2**63)]}),
    "NUL, quotes and emoji": same({"a.b": "\0 ' \" ` ⟩ 🎭", "": 1, "id": 2, "\0": 3}),
    "a tuple": ({"t": (1, 2)}, {"t": [1, 2]}),
    "a UUID": ({"u": UUID(int=1)}, {"u": str(UUID(int=1))}),
    "an enum": ({"c": Colour.RED}, {"c": "red"}),
    "a Decimal": ({"price": Decimal("1.10")}, {"price": "1.10"}),
    "a time elsewhere": (
        {"at": datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))},
        {"at": datetime(2026, 1, 1, tzinfo=UTC)},
    ),
}
"""Payloads, and what of them comes back, as is declared."""

NO_IDS: list[Any] = [5, "", b"t", ["t"], {}, True, "\ud800", "x" * 10_000]
NASTY = [
    "a'; REMOVE TABLE task_execution; --",
    'quo"ted ` ⟩ \\',
    "$param",
    "two\nlines",
    "a\0b",
    "🎭",
    "x" * 1_000,
]


class Odd(Agent):
    """Does with a task what a test put into `acts` under its id."""

    def __init__(self, acts: dict[str, Callable[[Odd], Awaitable[object]]]) -> None:
        super().__init__()
        self.acts = acts

    async def perform(self, task: Task) -> object:
        return await self.acts[task.task_id](self) if task.task_id in self.acts else "fine"


class Plain(Agent):
    """Does nothing, and is given whatever an agent is given."""

    async def perform(self, task: Task) -> None:
        """Nothing."""


class Streamer(Agent):
    """Yields what a test put into `items`, if its task is called t1 or t2."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__()
        self.items = items

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        for item in (
            self.items if task.task_id in ("t1", "t2") else [{"status": "completed", "result": "fine"}]
        ):
            yield item


@pytest.fixture(params=["memory", "mem"])
async def system(request: pytest.FixtureRequest) -> AsyncGenerator[ActorSystem, None]:
    if request.param == "memory":
        async with ActorSystem("shop", store=MemoryStore()) as system:
            yield system
        return
    async with SurrealStore("mem://") as store, ActorSystem("shop", store=store) as system:
        yield system


async def is_well(agent: AgentHandle[Any]) -> bool:
    """It does another task, and was never started again."""
    done = await agent.execute_task(Task(task_id="after all"))
    return done["status"] == "completed" and agent.ref.incarnation == 1


async def act(system: ActorSystem, does: Callable[[Odd], Awaitable[object]]) -> AgentHandle[Odd]:
    return await Odd.start(system, {"t1": does}, name="odd")


# Payloads.


@pytest.mark.parametrize("what", UNSTORABLE)
def test_a_task_that_cannot_be_stored_cannot_be_made(what: str) -> None:
    with pytest.raises(UnstorableValue, match=r"Task\.input_data"):
        Task(input_data={"in": UNSTORABLE[what]})


async def test_a_result_that_cannot_be_stored_fails_the_task_and_not_the_agent(system: ActorSystem) -> None:
    async def does(_: Odd) -> object:
        return A_SET

    agent = await act(system, does)
    with pytest.raises(TaskFailed, match="UnstorableValue"):
        await agent.execute_task(Task(task_id="t1"))
    assert await is_well(agent)


async def test_an_item_that_cannot_be_stored_fails_the_task_and_not_the_agent(system: ActorSystem) -> None:
    agent = await Streamer.start(system, [{"status": "begun"}, {"status": "x", "value": A_SET}])
    seen: list[str] = []
    stream = agent.stream_execution(Task(task_id="t1"))
    seen = [(await anext(stream))["status"]]
    with pytest.raises(TaskFailed, match=r"UnstorableValue: item\['value'\]\['tags'\]"):
        await anext(stream)
    assert seen == ["begun"]
    assert await is_well(agent)


async def test_a_checkpoint_that_cannot_be_stored_is_refused_within_and_without(system: ActorSystem) -> None:
    async def does(odd: Odd) -> object:
        with pytest.raises(UnstorableValue, match="checkpoint_data"):
            await odd.create_checkpoint(A_SET)
        return "refused"

    agent = await act(system, does)
    assert (await agent.execute_task(Task(task_id="t1")))["result"] == "refused"
    with pytest.raises(UnstorableValue, match="checkpoint_data"):
        await agent.create_checkpoint(A_SET)
    assert await is_well(agent)


@pytest.mark.parametrize("what", STORABLE)
async def test_what_can_be_stored_comes_back_as_is_declared(system: ActorSystem, what: str) -> None:
    given, kept = STORABLE[what]

    async def does(odd: Odd) -> object:
        await odd.create_checkpoint(given)
        assert odd.resume_point == kept
        return {"value": given}

    agent = await act(system, does)
    result = await agent.execute_task(Task(task_id="t1", input_data={"value": given}))
    assert result["value"] == kept
    known = await agent.get_task("t1")
    assert known is not None
    assert known.input_data == {"value": kept}
    assert known.output_data == result
    checkpoint_id = await agent.create_checkpoint(given)
    assert await agent.restore_from_checkpoint(checkpoint_id)
    streamer = await Streamer.start(system, [{"status": "x", "value": given}, {"status": "completed"}])
    followed = [item async for item in streamer.stream_execution(Task(task_id="t2", description="s"))]
    assert followed[0]["value"] == kept
    assert [item async for item in streamer.stream_execution("t2")] == followed


# What a task's code does.


@pytest.mark.parametrize(
    "item",
    [None, [], "done", {"status": 5}, {"status": ""}, {"progress": -1}, {"progress": math.nan},
     {"progress": "50"}, {"progress": True}, {"progress": 101}],
    ids=repr,
)  # fmt: skip
async def test_what_is_no_item_fails_the_task(system: ActorSystem, item: Any) -> None:
    agent = await Streamer.start(system, [item])
    with pytest.raises(TaskFailed, match=r"InvalidItem|UnstorableValue"):
        await agent.execute_task(Task(task_id="t1"))
    assert await is_well(agent)


@pytest.mark.parametrize("status", ["x" * 1_001, 5], ids=["long", "number"])
async def test_what_is_no_word_or_some_is_no_status(system: ActorSystem, status: Any) -> None:
    async def does(odd: Odd) -> object:
        await odd.report_progress(50, status)
        return None

    reporter, streamer = await act(system, does), await Streamer.start(system, [{"status": status}])
    with pytest.raises(TaskFailed, match="InvalidItem: report_progress's status"):
        await reporter.execute_task(Task(task_id="t1"))
    with pytest.raises(TaskFailed, match="InvalidItem: an item's status"):
        await streamer.execute_task(Task(task_id="t2"))


class Speechless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [ValueError("\ud800"), ValueError("x" * 1_000_000), ValueError(nested(5_000)), Speechless(),
     StopIteration(), StopAsyncIteration(), ExceptionGroup("both", [ValueError(), KeyError()])],
    ids=["surrogate", "long", "deep", "speechless", "stop", "stop async", "group"],
)  # fmt: skip
async def test_whatever_a_task_raises_fails_the_task_and_not_the_agent(
    system: ActorSystem, error: Exception
) -> None:
    async def does(_: Odd) -> object:
        raise error

    agent = await act(system, does)
    with pytest.raises(TaskFailed):
        await agent.execute_task(Task(task_id="t1"))
    assert await is_well(agent)


async def test_a_cancellation_that_nobody_asked_for_fails_the_task_and_not_the_agent(
    system: ActorSystem, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("trio's cancellations belong to scopes, which take them")

    async def does(_: Odd) -> object:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
        return None

    agent = await act(system, does)
    with pytest.raises(TaskFailed, match="HandlerCancelled"):
        await agent.execute_task(Task(task_id="t1"))
    assert await is_well(agent)


async def test_a_task_cannot_wait_for_another_one_of_its_own_agent(system: ActorSystem) -> None:
    async def does(odd: Odd) -> object:
        own = AgentHandle(odd.context.ref)
        with pytest.raises(InvalidArgument, match="would wait for itself"):
            await own.execute_task(Task(task_id="t2"))
        return await own.execute_task(Task(task_id="t3"), "background")

    agent = await act(system, does)
    assert (await agent.execute_task(Task(task_id="t1")))["status"] == "completed"
    assert await agent.get_task("t2") is None
    assert (await agent.execute_task(Task(task_id="t3")))["result"] == "fine"


async def test_a_task_may_wait_for_one_of_the_agent_above(system: ActorSystem) -> None:
    boss = await Odd.start(system, {}, name="boss")

    async def asks(_: Odd) -> object:
        return (await boss.execute_task(Task(task_id="for the boss")))["result"]

    async def hires(odd: Odd) -> object:
        worker = AgentHandle(await odd.context.spawn(Odd, {"t2": asks}, name="worker"))
        return await worker.execute_task(Task(task_id="t2"), "background")

    boss = await Odd.start(system, {"t1": hires}, name="chief")
    await boss.execute_task(Task(task_id="t1"))
    worker: AgentHandle[Odd] = AgentHandle(system.get("chief/worker"))
    assert (await worker.execute_task(Task(task_id="t2")))["result"] == "fine"


# What is asked of a handle.


@pytest.mark.parametrize("bad", NO_IDS, ids=lambda bad: repr(bad)[:20])
async def test_what_can_be_no_id_is_refused_at_the_call(system: ActorSystem, bad: Any) -> None:
    agent = await Odd.start(system, {}, name="odd")
    for call in (
        agent.cancel_execution,
        agent.pause_execution,
        agent.resume_execution,
        agent.get_task,
        agent.restore_from_checkpoint,
    ):
        with pytest.raises((InvalidArgument, UnstorableValue), match="_id"):
            await call(bad)
    for field in ("task_id", "workflow_id"):
        with pytest.raises((InvalidArgument, UnstorableValue), match=field):
            Task(**{field: bad})
    with pytest.raises((InvalidArgument, UnstorableValue)):
        await anext(agent.stream_execution(bad))
    assert await is_well(agent)


@pytest.mark.parametrize("id_", NASTY, ids=lambda id_: repr(id_)[:20])
async def test_an_id_is_data_whatever_it_looks_like(system: ActorSystem, id_: str) -> None:
    agent = await Odd.start(system, {}, name="odd")
    other = await agent.execute_task(Task(task_id="other"))
    with pytest.raises(UnknownTask):
        await agent.cancel_execution(id_)
    assert await agent.get_task(id_) is None
    assert not await agent.restore_from_checkpoint(id_)
    with pytest.raises(UnknownTask):
        await anext(agent.stream_execution(id_))

    await agent.execute_task(Task(task_id=id_, workflow_id=id_, description=id_))
    known = await agent.get_task(id_)
    assert known is not None
    assert (known.task_id, known.workflow_id, known.description) == (id_, id_, id_)
    (event,) = await system.events.get_event_history(workflow_id=id_, event_type="agent_completed")
    assert event.payload["task_id"] == id_
    assert await agent.execute_task(Task(task_id="other")) == other


@pytest.mark.parametrize("mode", ["fast", "", None, 5, "BLOCKING", [], "\ud800"], ids=repr)
async def test_a_mode_that_there_is_not_is_refused_before_the_task_is_taken_on(
    system: ActorSystem, mode: Any
) -> None:
    agent = await Odd.start(system, {}, name="odd")
    with pytest.raises(InvalidArgument, match="'blocking', 'streaming', 'background'"):
        await agent.execute_task(Task(task_id="t1"), mode)
    assert await agent.get_task("t1") is None


@pytest.mark.parametrize("what", [None, 5, "t1", {"task_id": "t1"}, Task], ids=repr)
async def test_what_is_no_task_is_refused(system: ActorSystem, what: Any) -> None:
    agent = await Odd.start(system, {}, name="odd")
    with pytest.raises(InvalidArgument, match="Task\\(description="):
        await agent.execute_task(what)


@pytest.mark.parametrize("after", [-1, "1", 1.5, None, math.nan], ids=repr)
async def test_what_can_be_no_position_is_refused_before_the_task_is_taken_on(
    system: ActorSystem, after: Any
) -> None:
    agent = await Odd.start(system, {}, name="odd")
    with pytest.raises(InvalidArgument, match="position"):
        await anext(agent.stream_execution(Task(task_id="t1"), after=after))
    assert await agent.get_task("t1") is None


@pytest.mark.parametrize("data", [[], "text", 5, {1}], ids=repr)
async def test_a_checkpoint_of_what_is_no_object_is_refused(system: ActorSystem, data: Any) -> None:
    agent = await Odd.start(system, {}, name="odd")
    with pytest.raises(InvalidArgument, match="checkpoint_data"):
        await agent.create_checkpoint(data)
    assert await is_well(agent)


@pytest.mark.parametrize(
    "capabilities", ["abc", [1], [b"x"], 5, [""], ["\ud800"], [["a"]], {"a": 1}.items()], ids=repr
)
async def test_capabilities_that_are_no_words_are_refused_at_the_start(
    system: ActorSystem, capabilities: Any
) -> None:
    with pytest.raises(InvalidArgument, match="set of words"):
        await Plain.start(system, name="odd", capabilities=capabilities)
    assert system.actors(Agent) == []


@pytest.mark.parametrize("part", ["db_config", "state_manager", "event_bus"])
async def test_a_part_of_another_store_is_refused_at_the_start(system: ActorSystem, part: str) -> None:
    given: dict[str, Any] = {part: 5}
    with pytest.raises(InvalidArgument, match=part):
        await Plain.start(system, **given)


@pytest.mark.parametrize("what", [None, 5, "odd"], ids=repr)
def test_a_handle_of_what_is_no_ref_is_refused(what: Any) -> None:
    with pytest.raises(InvalidArgument, match="ref of an agent"):
        AgentHandle(what)


async def test_pausing_and_resuming_where_nothing_is_at_work_names_both_states(system: ActorSystem) -> None:
    agent = await Odd.start(system, {}, name="odd")
    with pytest.raises(IllegalTransition, match="'idle' cannot become 'paused'; it has no task at work"):
        await agent.pause_execution()
    with pytest.raises(IllegalTransition, match="'idle' cannot become 'running'; it has no task at work"):
        await agent.resume_execution()
    await agent.execute_task(Task(task_id="t1"))
    for call in (agent.cancel_execution, agent.pause_execution, agent.resume_execution):
        with pytest.raises(UnknownTask):
            await call("t1")  # it is over


async def test_the_checkpoint_of_another_agent_is_refused(system: ActorSystem) -> None:
    agent = await Odd.start(system, {}, name="odd")
    other = await Odd.start(system, {}, name="other")
    checkpoint_id = await other.create_checkpoint({"n": 1})
    with pytest.raises(CheckpointOfAnother, match="'other'"):
        await agent.restore_from_checkpoint(checkpoint_id)
    assert await is_well(agent)


async def test_one_id_is_one_task(system: ActorSystem) -> None:
    world = World()
    agent = await Doer.start(system, world, name="doer")
    other = await Doer.start(system, world, name="other")
    task = Task(task_id="t1", input_data={"steps": ["wait here"]})
    await agent.execute_task(task, "background")
    with pytest.raises(MessageIdConflict):
        await agent.execute_task(Task(task_id="t1", description="another one"))
    with pytest.raises(IdTaken, match="'t1'"):
        await other.execute_task(task)

    with anyio.fail_after(10):
        await world.gate("here").reached.wait()
    world.gate("here").open.set()
    assert (await agent.execute_task(task))["status"] == "completed"
    known = await agent.get_task("t1")
    assert known is not None
    assert known.agent_id == "doer"
