"""A StateManager in detail: bad input, who may change what, waiting in line, beside a running system."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorSystem, MemoryStore, handles
from sentient_core.agents.models import AgentState, StateCheckpoint, TaskExecution, WorkflowState
from sentient_core.agents.state_manager import StateManager
from sentient_core.errors import (
    DependencyCycle,
    IdTaken,
    IllegalTransition,
    InvalidArgument,
    InvalidField,
    InvalidName,
    OwnedByActor,
    RowConflict,
    StoreUnavailable,
    UnstorableValue,
)
from sentient_core.store.row_models import RowWrite
from sentient_core.store.row_tables import RowTable
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def manager(store: MemoryStore) -> StateManager:
    return StateManager(store)


Call = Callable[[StateManager, Any], Awaitable[object]]

BY_ID: dict[str, Call] = {
    "get_workflow": lambda m, id_: m.get_workflow(id_),
    "update_workflow": lambda m, id_: m.update_workflow(id_, {}),
    "add_workflow_history_entry": lambda m, id_: m.add_workflow_history_entry(id_, {}),
    "get_workflow_history": lambda m, id_: m.get_workflow_history(id_),
    "delete_workflow": lambda m, id_: m.delete_workflow(id_),
    "get_agent_state": lambda m, id_: m.get_agent_state(id_),
    "update_agent_state": lambda m, id_: m.update_agent_state(id_, {}),
    "delete_agent_state": lambda m, id_: m.delete_agent_state(id_),
    "get_checkpoint": lambda m, id_: m.get_checkpoint(id_),
    "restore_from_checkpoint": lambda m, id_: m.restore_from_checkpoint(id_),
    "list_checkpoints": lambda m, id_: m.list_checkpoints(id_),
    "delete_checkpoint": lambda m, id_: m.delete_checkpoint(id_),
    "get_task": lambda m, id_: m.get_task(id_),
    "update_task": lambda m, id_: m.update_task(id_, {}),
    "delete_task": lambda m, id_: m.delete_task(id_),
    "list_tasks of an agent": lambda m, id_: m.list_tasks(agent_id=id_),
    "list_tasks of a workflow": lambda m, id_: m.list_tasks(workflow_id=id_),
    "get_status_history": lambda m, id_: m.get_status_history(task_id=id_),
    "create_workflow_step": lambda m, id_: m.create_workflow_step(id_, {"name": "a"}),
    "get_workflow_step": lambda m, id_: m.get_workflow_step("w", id_),
    "add_dependency": lambda m, id_: m.add_dependency("w", "a", id_),
    "remove_dependency": lambda m, id_: m.remove_dependency("w", id_, "a"),
    "waits_for": lambda m, id_: m.waits_for("w", id_),
    "relate": lambda m, id_: m.relate("spawned", "a", id_),
    "unrelate": lambda m, id_: m.unrelate("spawned", id_, "a"),
    "ancestors": lambda m, id_: m.ancestors(id_),
}


@pytest.mark.parametrize("id_", ["", 7, b"x", "\ud800", "x" * 1001], ids=repr)
@pytest.mark.parametrize("call", BY_ID.values(), ids=BY_ID)
async def test_an_id_that_can_be_none_is_refused(manager: StateManager, call: Call, id_: object) -> None:
    with pytest.raises(InvalidArgument):
        await call(manager, id_)


BAD: dict[str, tuple[Callable[[StateManager], Awaitable[object]], str]] = {
    "unknown field": (lambda m: m.create_workflow({"colour": 1}), "WorkflowState.colour is no field"),
    "unknown status": (lambda m: m.create_workflow({"status": "bogus"}), "status is 'bogus'; it can be"),
    "no dict": (lambda m: m.create_workflow(7), "is made of a dict"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "missing field": (lambda m: m.create_agent_state({"agent_id": "a"}), "AgentState.name is missing"),
    "payload": (
        lambda m: m.create_workflow({"metadata": {"x": [{1}]}}),
        "WorkflowState.metadata['x'][0] is a set",
    ),
    "entry": (lambda m: m.add_workflow_history_entry("w", {"x": float("nan")}), "entry['x'] is nan"),
    "no entry": (lambda m: m.add_workflow_history_entry("w", 1), "is a dict, not 1"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "checkpoints": (
        lambda m: m.create_agent_state({"agent_id": "a", "name": "A", "checkpoints": ["c"]}),
        "checkpoints is filled in when it is read",
    ),
    "listed status": (lambda m: m.list_workflows(status="bogus"), "'bogus' is no status of a workflow"),
    "of agents": (lambda m: m.list_agent_states(status="cancelled"), "'cancelled' is no status of an agent"),
    "of tasks": (lambda m: m.list_tasks(status="idle"), "'idle' is no status of a task"),
    "limit": (lambda m: m.list_tasks(limit=-1), "limit is -1"),
    "limit of agents": (lambda m: m.list_agent_states(limit=True), "limit is True"),
    "relation": (lambda m: m.relate("loves", "a", "b"), "relation is 'loves'; it can be 'spawned'"),
    "itself": (lambda m: m.relate("spawned", "a", "a"), "cannot stand in a relation to itself"),
    "nobody's history": (lambda m: m.get_status_history(), "name one of agent_id, workflow_id and task_id"),
    "two histories": (lambda m: m.get_status_history("a", task_id="t"), "name one of"),
    "naive time": (lambda m: m.list_status_changes(since=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
    "revision": (lambda m: m.update_workflow("w", {}, expects="a"), "expects is 'a'"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "revision 0": (lambda m: m.update_agent_state("a", {}, expects=0), "expects is 0; it is the `revision`"),
    "revision True": (lambda m: m.update_task("t", {}, expects=True), "expects is True"),
    "no time": (lambda m: m.list_status_changes(since="2026"), "give an aware datetime"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "other workflow": (
        lambda m: m.create_workflow_step("w", {"name": "a", "workflow_id": "v"}),
        "WorkflowStep.workflow_id is 'v', not 'w'",
    ),
}


@pytest.mark.parametrize(("call", "says"), BAD.values(), ids=BAD)
async def test_bad_input_is_refused_and_nothing_is_written(
    manager: StateManager, call: Callable[[StateManager], Awaitable[object]], says: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await call(manager)

    assert says in str(caught.value)
    assert await manager.list_status_changes() == []


def test_printed_it_says_of_which_system_and_where() -> None:
    store = MemoryStore()
    assert repr(StateManager(store, system="shop")) == f"<StateManager of 'shop' at {store.url}>"


@pytest.mark.parametrize("where", [None, 7, "surrealkv://x"])
def test_it_needs_a_store(where: Any) -> None:
    with pytest.raises(InvalidArgument):
        StateManager(where)


def test_its_store_may_be_named_as_the_original_design_does(store: MemoryStore) -> None:
    assert StateManager(db_config=store).store is store


@pytest.mark.parametrize("system", ["", "a/b"])
def test_it_needs_the_name_of_a_system(store: MemoryStore, system: str) -> None:
    with pytest.raises(InvalidName, match="cannot be a name"):
        StateManager(store, system=system)


async def test_what_names_a_row_or_is_the_rows_own_is_not_changed(manager: StateManager) -> None:
    workflow = await manager.create_workflow({"workflow_id": "w"})
    agent = await manager.create_agent_state({"agent_id": "a", "name": "A"})
    later = datetime.now(UTC) + timedelta(days=1)

    for field, value in (("workflow_id", "v"), ("owner", "me"), ("revision", 9), ("created_at", later)):
        with pytest.raises(InvalidField, match=f"WorkflowState.{field} cannot be changed"):
            await manager.update_workflow("w", {field: value})
    for field, value in (("agent_id", "b"), ("incarnation", 1), ("restarts", 1), ("owner", "a")):
        with pytest.raises(InvalidField, match=f"AgentState.{field} cannot be changed"):
            await manager.update_agent_state("a", [{"op": "replace", "path": f"/{field}", "value": value}])
    with pytest.raises(InvalidField, match="checkpoints is filled in when it is read"):
        await manager.update_agent_state("a", {"checkpoints": ["c"]})

    assert await manager.get_workflow("w") == workflow
    assert await manager.get_agent_state("a") == agent
    same = await manager.update_workflow("w", workflow.to_dict())  # what it is already may be said
    assert same is not None
    assert same.revision == 2


async def test_an_owner_is_nothing_that_a_caller_gives(manager: StateManager) -> None:
    workflow = await manager.create_workflow({"owner": "me"})
    task = await manager.create_task({"agent_id": "a", "owner": "me"})
    agent = await manager.create_agent_state({"agent_id": "a", "name": "A", "owner": "me", "incarnation": 4})
    checkpoint = await manager.create_checkpoint({"agent_id": "a", "owner": "me"})

    assert [workflow.owner, task.owner, agent.owner, checkpoint.owner] == [None] * 4
    assert await manager.update_agent_state("a", {"status": "running"}) is not None


async def test_a_model_may_be_given_in_place_of_a_dict(manager: StateManager) -> None:
    workflow = await manager.create_workflow(WorkflowState(workflow_id="w", metadata={"a": 1}))
    task = await manager.create_task(TaskExecution(task_id="t", agent_id="a", status="running"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    agent = await manager.create_agent_state(AgentState(agent_id="a", name="A"))
    checkpoint = await manager.create_checkpoint(StateCheckpoint(checkpoint_id="c", agent_id="a"))

    assert (workflow.metadata, task.status, agent.name) == ({"a": 1}, "running", "A")
    assert checkpoint.checkpoint_id == "c"
    again = await manager.create_agent_state(msgspec.structs.replace(agent, name="B"))
    assert (again.name, again.checkpoints, again.revision) == ("B", ["c"], 2)


async def test_a_history_can_only_be_added_to(manager: StateManager) -> None:
    made = await manager.create_workflow(
        {"workflow_id": "w", "execution_history": [{"n": 1}, {"n": 2, "timestamp": "long ago"}]}
    )
    assert [entry["n"] for entry in made.execution_history] == [1, 2]
    assert made.execution_history[1]["timestamp"] == "long ago"
    begun = datetime.fromisoformat(made.execution_history[0]["timestamp"])
    assert abs(begun - datetime.now(UTC)) < timedelta(minutes=1)

    await manager.add_workflow_history_entry("w", {"n": 3, "timestamp": "never"})
    await manager.update_workflow("w", [{"op": "add", "path": "/execution_history/-", "value": {"n": 4}}])
    history = await manager.get_workflow_history("w")
    more = await manager.update_workflow("w", {"execution_history": [*history, {"n": 5}]})

    assert more is not None
    assert [entry["n"] for entry in more.execution_history] == [1, 2, 3, 4, 5]
    assert datetime.fromisoformat(more.execution_history[2]["timestamp"]) > begun
    assert [entry["n"] for entry in await manager.get_workflow_history("w", limit=2)] == [4, 5]
    for other in ([], [{"n": 0}], history[1:]):
        with pytest.raises(InvalidField, match="can only be added to"):
            await manager.update_workflow("w", {"execution_history": other})
    assert await manager.get_workflow_history("w") == more.execution_history


async def test_agents_of_a_workflow_are_those_of_its_tasks_and_those_that_were_told(
    manager: StateManager,
) -> None:
    await manager.create_workflow({"workflow_id": "w", "agent_states": {"outside": {"status": "running"}}})
    await manager.create_agent_state({"agent_id": "a", "name": "A", "status": "running"})
    await manager.create_task({"agent_id": "a", "workflow_id": "w"})
    await manager.create_task({"agent_id": "unknown", "workflow_id": "w"})
    await manager.create_agent_state({"agent_id": "b", "name": "B"})

    found = await manager.get_workflow("w")

    assert found is not None
    assert found.agent_states == {
        "outside": {"status": "running"},
        "a": {"name": "A", "status": "running", "current_task": None},
    }
    await manager.update_workflow("w", {"agent_states": {}})
    found = await manager.get_workflow("w")
    assert found is not None
    assert list(found.agent_states) == ["a"]


async def test_an_id_is_taken_once(manager: StateManager) -> None:
    await manager.create_task({"task_id": "t", "agent_id": "a"})
    await manager.create_checkpoint({"checkpoint_id": "c", "agent_id": "a"})
    await manager.create_workflow({"workflow_id": "w"})
    await manager.create_workflow_step("w", {"name": "s"})

    for again, says in (
        (manager.create_task({"task_id": "t", "agent_id": "b"}), "a task 't' already"),
        (manager.create_checkpoint({"checkpoint_id": "c", "agent_id": "b"}), "a checkpoint 'c' already"),
        (manager.create_workflow({"workflow_id": "w"}), "a workflow 'w' already"),
        (manager.create_workflow_step("w", {"name": "s"}), "a step 's' already"),
    ):
        with pytest.raises(IdTaken, match=says):
            await again


async def test_restoring_brings_an_agent_back_from_wherever_it_stands(manager: StateManager) -> None:
    for status in ("pending", "idle", "running", "paused", "completed", "failed"):
        await manager.create_agent_state({"agent_id": status, "name": "A", "status": status})
        made = await manager.create_checkpoint({"agent_id": status, "execution_context": {"step": 1}})

        assert await manager.restore_from_checkpoint(made.checkpoint_id) == made

        agent = await manager.get_agent_state(status)
        assert agent is not None
        assert (agent.status, agent.execution_context) == ("running", {"step": 1})
        history = await manager.get_status_history(status)
        expected = [status] if status == "running" else [status, "running"]
        assert [change.new for change in history] == expected

    orphan = await manager.create_checkpoint({"agent_id": "gone"})
    assert await manager.restore_from_checkpoint(orphan.checkpoint_id) == orphan
    assert await manager.get_agent_state("gone") is None


async def test_steps_depend_on_steps_there_are_and_not_on_themselves(manager: StateManager) -> None:
    await manager.create_workflow({"workflow_id": "w"})
    with pytest.raises(InvalidField, match="has 'nobody', which is no step yet"):
        await manager.create_workflow_step("w", {"name": "a", "depends_on": ["nobody"]})
    with pytest.raises(DependencyCycle, match="a -> a"):
        await manager.create_workflow_step("w", {"name": "a", "depends_on": ["a"]})
    await manager.create_workflow_step("w", {"name": "a"})

    assert await manager.add_dependency("w", "a", "nobody") is False
    with pytest.raises(DependencyCycle, match="a -> a"):
        await manager.add_dependency("w", "a", "a")
    with pytest.raises(InvalidField, match="is changed by add_dependency"):
        await manager.update_workflow_step("w", "a", {"depends_on": ["a"]})
    with pytest.raises(IllegalTransition):
        await manager.update_workflow_step("w", "a", {"status": "completed"})
    await manager.create_workflow_step("w", {"name": "b", "depends_on": ["a"]})
    assert await manager.add_dependency("w", "b", "a") is True  # as it is already


async def test_the_trail_is_in_order_also_when_the_clock_is_set_back(
    manager: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    await manager.create_agent_state({"agent_id": "a", "name": "A"})
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    for status in ("running", "paused", "running", "completed"):
        await manager.update_agent_state("a", {"status": status})

    history = await manager.get_status_history("a")

    assert [change.new for change in history] == ["idle", "running", "paused", "running", "completed"]
    times = [change.timestamp for change in history]
    assert times == sorted(set(times))


class Busy(MemoryStore):
    """Somebody else is always faster."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.is_busy = False

    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        self.tries += 1
        if self.is_busy:
            raise RowConflict(writes[0].table, writes[0].key, 1, 2)
        await super().write_rows(system, writes)


async def test_a_row_that_others_change_all_the_time_is_given_up_some_time() -> None:
    store = Busy()
    manager = StateManager(store)
    await manager.create_workflow({"workflow_id": "w"})
    store.is_busy = True

    with pytest.raises(StoreUnavailable, match="others change it all the time"):
        await manager.update_workflow("w", {"current_step": 1})

    assert store.tries == 101
    store.is_busy = False
    assert await manager.update_workflow("w", {"current_step": 1}) is not None


async def test_what_the_caller_expects_is_not_tried_again() -> None:
    store = Busy()
    manager = StateManager(store)
    made = await manager.create_workflow({"workflow_id": "w"})

    with pytest.raises(RowConflict) as caught:
        await manager.update_workflow("w", {"current_step": 1}, expects=made.revision + 1)

    assert (caught.value.expected, caught.value.found, store.tries) == (2, 1, 1)
    assert await manager.update_workflow("w", {"current_step": 1}, expects=made.revision) is not None


async def test_who_is_cancelled_in_line_leaves_it_to_the_others(
    manager: StateManager, store: MemoryStore
) -> None:
    await manager.create_workflow({"workflow_id": "w", "metadata": {"log": []}})
    scopes = [anyio.CancelScope() for _ in range(6)]

    async def add(n: int) -> None:
        with scopes[n]:
            await manager.update_workflow("w", [{"op": "add", "path": "/metadata/log/-", "value": n}])

    async with anyio.create_task_group() as tasks:
        for n in range(6):
            tasks.start_soon(add, n)
        await anyio.lowlevel.checkpoint()
        scopes[2].cancel()
        scopes[3].cancel()

    found = await manager.get_workflow("w")
    assert found is not None
    assert {0, 1, 4, 5} <= set(found.metadata["log"])
    assert len(found.metadata["log"]) == len(set(found.metadata["log"]))


async def test_an_outage_is_an_error(manager: StateManager, store: MemoryStore) -> None:
    await manager.create_workflow({"workflow_id": "w"})
    store.pause()

    for change in (manager.create_workflow({}), manager.update_workflow("w", {"current_step": 1})):
        with pytest.raises(StoreUnavailable):
            await change
    store.resume()

    found = await manager.get_workflow("w")
    assert found is not None
    assert (found.current_step, len(await manager.list_workflows())) == (0, 1)


async def test_very_much_is_deleted_in_parts_and_its_workflow_with_the_last(
    store: MemoryStore, manager: StateManager
) -> None:
    history = [{"n": n} for n in range(1_200)]
    await manager.create_workflow({"workflow_id": "w", "execution_history": history})

    assert await manager.delete_workflow("w")

    assert await manager.get_workflow_history("w") == []
    assert await manager.list_status_changes() == []


async def test_agents_are_listed_in_pages(manager: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentient_core.agents.agent_states._PAGE", 3)
    for n in range(7):
        await manager.create_agent_state({"agent_id": f"a{n}", "name": "A", "capabilities": [f"c{n % 2}"]})

    listed = await manager.list_agent_states(capability="c0", limit=None)

    assert [agent.agent_id for agent in listed] == ["a0", "a2", "a4", "a6"]
    assert [agent.agent_id for agent in await manager.list_agent_states(limit=4)] == ["a0", "a1", "a2", "a3"]


class Note(msgspec.Struct, frozen=True):
    text: str


class Clerk(Actor):
    """Keeps a workflow's states in its turns."""

    def __init__(self, manager: StateManager) -> None:
        self.manager = manager

    @handles
    async def note(self, message: Note) -> None:
        await self.manager.update_workflow("w", {"status": message.text}, cause="a note")


async def test_beside_a_running_system_it_sees_what_is_committed_and_leaves_actors_their_rows() -> None:
    async with ActorSystem("team", store=MemoryStore()) as system:
        manager = StateManager(system)
        await manager.create_workflow({"workflow_id": "w"})
        clerk = await system.spawn(Clerk, manager, name="clerk")

        await clerk.ask(Note("running"), timeout=5)
        agent = await manager.get_agent_state("clerk")

        assert manager.system == "team"
        assert agent is not None
        assert (agent.name, agent.status, agent.incarnation) == ("clerk", "idle", 1)
        with pytest.raises(OwnedByActor, match="the agent 'clerk' belongs to the actor 'clerk'"):
            await manager.update_agent_state("clerk", {"status": "running"})
        changes = await manager.get_status_history(workflow_id="w")
        assert [(change.new, change.cause, change.actor) for change in changes] == [
            ("pending", "create_workflow", "external"),
            ("running", "a note", "clerk"),
        ]

    ended = await manager.get_agent_state("clerk")  # the store outlives the system
    assert ended is not None
    assert ended.status == "completed"
    assert await StateManager(system.store, system="team").get_agent_state("clerk") == ended


class Quiet(Actor):
    """Does nothing."""


class Desk(Actor):
    """Has a clerk."""

    async def on_start(self) -> None:
        await self.context.spawn(Quiet, name="clerk")


async def test_lineage_of_actors_is_where_they_stand_and_goes_on_over_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sentient_core.agents.relations._PAGE", 2)
    async with ActorSystem("team", store=MemoryStore()) as system:
        manager = StateManager(system)
        for name in ("a", "a-b", "b", "a b"):
            await system.spawn(Desk, name=name)
        await manager.relate("spawned", "a/clerk", "outside")
        await manager.relate("spawned", "outside", "b")

        assert await manager.descendants("a") == ["a/clerk", "outside", "b", "b/clerk"]
        assert await manager.descendants("a", "supervises") == ["a/clerk"]
        assert await manager.descendants("a-b") == ["a-b/clerk"]
        assert await manager.ancestors("b/clerk") == ["b", "outside", "a/clerk", "a"]
        assert await manager.ancestors("a b/clerk", "supervises") == ["a b"]


async def test_who_does_it_is_as_the_manager_or_the_call_says(store: MemoryStore) -> None:
    manager = StateManager(store, actor="planner")
    await manager.create_workflow({"workflow_id": "w"})
    await manager.update_workflow("w", {"status": "running"}, actor="alice")

    changes = await manager.get_status_history(workflow_id="w")

    assert [change.actor for change in changes] == ["planner", "alice"]


async def test_an_outage_of_a_running_system_does_not_hold_its_readers_for_ever() -> None:
    store = MemoryStore()
    async with ActorSystem("team", store=store) as system:
        manager = StateManager(system)
        clerk = await system.spawn(Clerk, manager, name="clerk")
        store.pause()
        clerk.tell(Note("running"))

        with pytest.raises(StoreUnavailable):
            await manager.get_agent_state("clerk")

        store.resume()


async def test_a_payload_is_the_callers_no_more(manager: StateManager) -> None:
    metadata: dict[str, Any] = {"log": []}
    made = await manager.create_workflow({"workflow_id": "w", "metadata": metadata})
    metadata["log"].append(1)
    made.metadata["log"].append(2)

    found = await manager.get_workflow("w")

    assert found is not None
    assert found.metadata == {"log": []}


async def test_too_much_is_refused_by_the_name_of_its_place(manager: StateManager) -> None:
    with pytest.raises(UnstorableValue, match=r"AgentState\.execution_context\['page'\] is beyond"):
        await manager.create_agent_state(
            {"agent_id": "a", "name": "A", "execution_context": {"page": "x" * 20_000_000}}
        )


class Meeting(MemoryStore):
    """What is written into one table waits until all who are to write there have come."""

    def __init__(self, table: RowTable, guests: int) -> None:
        super().__init__()
        self.table = table
        self.left = guests
        self.may_write = anyio.Event()

    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        if any(write.table == self.table for write in writes) and self.left > 0:
            self.left -= 1
            if not self.left:
                self.may_write.set()
            await self.may_write.wait()
        await super().write_rows(system, writes)


async def test_an_entry_that_comes_while_its_workflow_is_deleted_leaves_nothing() -> None:
    store = Meeting(RowTable.WORKFLOW_HISTORY, 2)
    manager, other = StateManager(store), StateManager(store)
    await manager.create_workflow({"workflow_id": "w"})
    answers: list[bool] = []

    async def add() -> None:
        answers.append(await manager.add_workflow_history_entry("w", {"note": "late"}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(add)
        await anyio.sleep(1)  # it has seen that the workflow is there
        assert await other.delete_workflow("w")
        store.may_write.set()

    assert answers == [False]
    assert await manager.get_workflow_history("w") == []


async def test_an_id_that_two_give_to_checkpoints_of_different_agents_at_once_is_not_there_twice() -> None:
    store = Meeting(RowTable.STATE_CHECKPOINT, 2)
    refused: list[str] = []

    async def make(agent: str) -> None:
        try:
            await StateManager(store).create_checkpoint({"agent_id": agent, "checkpoint_id": "c"})
        except IdTaken:
            refused.append(agent)

    async with anyio.create_task_group() as tasks:
        for agent in "ab":
            tasks.start_soon(make, agent)

    manager = StateManager(store)
    left = [*await manager.list_checkpoints("a"), *await manager.list_checkpoints("b")]
    assert len(left) == 2 - len(refused) < 2
