"""What a StateManager promises, over every store, without an actor system."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from sentient_core.agents.database import SurrealDBConfig
from sentient_core.agents.state_manager import StateManager, SurrealDBStateManager
from sentient_core.errors import (
    DependencyCycle,
    IdTaken,
    IllegalTransition,
    InvalidArgument,
    InvalidPatch,
    OwnedByActor,
    RowConflict,
)
from sentient_core.store.row_tables import RowTable
from sentient_core.store.row_values import row_change
from sentient_core.testing.store_conformance.payloads import NASTY
from tests.store.conftest import open_server
from tests.store.places import Database, databases
from tests.store.samples import NOW

__all__ = ["open_server"]


database = databases("memory", "surrealkv", "ws", long=("mem", "http"))


@pytest.fixture
def manager(database: Database) -> StateManager:
    return StateManager(database.store)


@pytest.fixture
def other(database: Database) -> StateManager:
    """Another manager, as of another process: they do not wait in one line."""
    return StateManager(database.store)


async def test_a_workflow_lives_as_the_documents_have_it(manager: StateManager, database: Database) -> None:
    made = await manager.create_workflow({"status": "pending", "total_steps": 5, "metadata": {"test": True}})
    assert (made.status, made.total_steps, made.metadata) == ("pending", 5, {"test": True})

    updated = await manager.update_workflow(made.workflow_id, {"status": "running", "current_step": 2})
    assert updated is not None
    assert (updated.status, updated.current_step, updated.metadata) == ("running", 2, {"test": True})

    read = await StateManager(await database.restart()).get_workflow(made.workflow_id)
    if database.store.url != "mem://":
        assert read == updated


async def test_an_agent_is_created_or_updated_and_its_checkpoints_are_its_own(manager: StateManager) -> None:
    made = await manager.create_agent_state(
        {"agent_id": "test_agent_001", "name": "TestAgent", "capabilities": ["coding", "testing"]}
    )
    assert (made.status, made.checkpoints) == ("idle", [])

    updated = await manager.update_agent_state(
        made.agent_id, {"status": "running", "current_task": "task_123"}
    )
    assert updated is not None
    assert (updated.status, updated.current_task) == ("running", "task_123")

    again = await manager.create_agent_state({"agent_id": "test_agent_001", "name": "New name"})
    assert (again.name, again.status, again.capabilities) == ("New name", "running", ["coding", "testing"])
    assert again.created_at == made.created_at
    assert await manager.get_agent_state("test_agent_001") == again


async def test_a_checkpoint_brings_the_context_back(manager: StateManager) -> None:
    await manager.create_agent_state({"agent_id": "a", "name": "A"})
    context: dict[str, Any] = {
        "step": 3,
        "data": "test",
        "none": None,
        "empty": {},
        "list": [1, None, {"x": b"\x00"}],
    }
    made = await manager.create_checkpoint(
        {"agent_id": "a", "execution_context": context, "progress_data": {"completed": 0.6}}
    )
    await manager.update_agent_state("a", {"execution_context": {"step": 4, "later": True}})

    restored = await manager.restore_from_checkpoint(made.checkpoint_id)

    assert restored == made
    agent = await manager.get_agent_state("a")
    assert agent is not None
    assert (agent.execution_context, agent.status, agent.checkpoints) == (
        context,
        "running",
        [made.checkpoint_id],
    )
    assert await manager.list_checkpoints("a") == [made]


async def test_twenty_at_once_keep_twenty(manager: StateManager, other: StateManager) -> None:
    workflow = await manager.create_workflow({"metadata": {"log": []}})
    await manager.create_agent_state({"agent_id": "a", "name": "A"})

    async with anyio.create_task_group() as tasks:
        for n in range(20):
            by = (manager, other)[n % 2]
            tasks.start_soon(by.add_workflow_history_entry, workflow.workflow_id, {"n": n})
            tasks.start_soon(by.create_checkpoint, {"agent_id": "a", "progress_data": {"n": n}})
            patch = [{"op": "add", "path": "/metadata/log/-", "value": n}]
            tasks.start_soon(by.update_workflow, workflow.workflow_id, patch)

    found = await manager.get_workflow(workflow.workflow_id)
    agent = await manager.get_agent_state("a")
    assert found is not None
    assert agent is not None
    assert sorted(entry["n"] for entry in found.execution_history) == list(range(20))
    assert sorted(found.metadata["log"]) == list(range(20))
    assert len(agent.checkpoints) == 20
    assert found.revision == 41


async def test_who_creates_at_once_leaves_one(manager: StateManager, other: StateManager) -> None:
    async with anyio.create_task_group() as tasks:
        for n in range(6):
            made = {"agent_id": "a", "name": f"A{n}", "capabilities": ["coding"]}
            tasks.start_soon((manager, other)[n % 2].create_agent_state, made)

    (agent,) = await manager.list_agent_states()
    assert agent.capabilities == ["coding"]
    assert [change.new for change in await manager.get_status_history("a")] == ["idle"]


@pytest.mark.parametrize("id_", NASTY, ids=range(len(NASTY)))
async def test_ids_are_values_whatever_is_in_them(manager: StateManager, id_: str) -> None:
    await manager.create_workflow({"workflow_id": id_, "name": id_})
    await manager.create_workflow({"workflow_id": "another"})
    await manager.create_agent_state({"agent_id": id_, "name": id_, "capabilities": [id_]})
    await manager.create_task({"task_id": id_, "agent_id": id_, "workflow_id": id_})
    await manager.add_workflow_history_entry(id_, {id_: id_})
    made = await manager.create_checkpoint({"checkpoint_id": id_, "agent_id": id_})
    await manager.create_workflow_step(id_, {"name": id_})
    await manager.relate("spawned", id_, "child")

    workflow = await manager.get_workflow(id_)
    assert workflow is not None
    assert (workflow.workflow_id, workflow.execution_history[0][id_]) == (id_, id_)
    assert list(workflow.agent_states) == [id_]
    assert [task.task_id for task in await manager.list_tasks(agent_id=id_, workflow_id=id_)] == [id_]
    assert [agent.agent_id for agent in await manager.list_agent_states(capability=id_)] == [id_]
    assert await manager.get_checkpoint(id_) == made
    assert await manager.ancestors("child") == [id_]
    assert await manager.delete_workflow(id_)
    assert await manager.get_workflow("another") is not None


async def test_what_is_unknown_is_answered_and_not_made(manager: StateManager) -> None:
    assert await manager.get_workflow("no") is None
    assert await manager.update_workflow("no", {"status": "running"}) is None
    assert await manager.get_workflow_history("no") == []
    assert await manager.add_workflow_history_entry("no", {"x": 1}) is False
    assert await manager.delete_workflow("no") is False
    assert await manager.get_agent_state("no") is None
    assert await manager.update_agent_state("no", {"status": "running"}) is None
    assert await manager.delete_agent_state("no") is False
    assert await manager.get_checkpoint("no") is None
    assert await manager.restore_from_checkpoint("no") is None
    assert await manager.list_checkpoints("no") == []
    assert await manager.delete_checkpoint("no") is False
    assert await manager.get_task("no") is None
    assert await manager.update_task("no", {"progress": 1}) is None
    assert await manager.delete_task("no") is False
    assert await manager.get_status_history("no") == []
    assert await manager.create_workflow_step("no", {"name": "a"}) is None
    assert await manager.get_workflow_step("no", "a") is None
    assert await manager.update_workflow_step("no", "a", {"status": "running"}) is None
    assert await manager.list_workflow_steps("no") == []
    assert await manager.add_dependency("no", "a", "b") is False
    assert await manager.remove_dependency("no", "a", "b") is False
    assert await manager.waits_for("no", "a") == []
    assert await manager.ready_steps("no") == []
    assert await manager.descendants("no") == await manager.ancestors("no") == []
    assert await manager.list_workflows() == []
    assert await manager.list_tasks() == []
    assert await manager.list_agent_states() == []
    assert await manager.list_status_changes() == []


async def test_every_change_of_a_status_leaves_a_row_and_nothing_else_does(manager: StateManager) -> None:
    begun = datetime.now(UTC)
    task = await manager.create_task({"agent_id": "a", "workflow_id": "w"}, actor="me")
    await manager.update_task(task.task_id, {"status": "running"}, cause="its turn", actor="planner")
    await manager.update_task(task.task_id, {"status": "running", "progress": 50})
    with pytest.raises(IllegalTransition):
        await manager.update_task(task.task_id, {"status": "pending"})
    done = await manager.update_task(task.task_id, {"status": "completed", "output_data": {"url": "x"}})
    assert done is not None
    assert done.started_at is not None
    assert done.completed_at is not None
    assert task.created_at <= done.started_at <= done.completed_at == done.updated_at

    history = await manager.get_status_history(task_id=task.task_id)

    assert [(change.old, change.new, change.cause, change.actor) for change in history] == [
        (None, "pending", "create_task", "me"),
        ("pending", "running", "its turn", "planner"),
        ("running", "completed", "update_task", "external"),
    ]
    assert {change.workflow_id for change in history} == {"w"}
    assert begun <= history[0].timestamp < history[1].timestamp < history[2].timestamp
    assert await manager.get_status_history(task_id=task.task_id, limit=1) == history[-1:]
    assert await manager.list_status_changes(limit=2) == history[:0:-1]
    assert await manager.list_status_changes(since=history[1].timestamp, until=history[2].timestamp) == [
        history[1]
    ]
    assert await manager.get_status_history(workflow_id=task.task_id) == []


async def test_what_is_refused_changes_nothing(manager: StateManager) -> None:
    made = await manager.create_workflow({"total_steps": 3, "metadata": {"a": 1}, "status": "running"})
    patch = [{"op": "replace", "path": "/metadata/a", "value": 2}, {"op": "remove", "path": "/metadata/b"}]

    with pytest.raises(InvalidPatch, match=r"operation 1 of the patch"):
        await manager.update_workflow(made.workflow_id, patch)
    with pytest.raises(IllegalTransition, match="'running' cannot become 'pending'"):
        await manager.update_workflow(made.workflow_id, {"current_step": 1, "status": "pending"})
    with pytest.raises(ValueError, match="current_step is 4"):
        await manager.update_workflow(made.workflow_id, {"current_step": 4, "metadata": {}})
    with pytest.raises(RowConflict):
        await manager.update_workflow(made.workflow_id, {"current_step": 1}, expects=7)
    with pytest.raises(IdTaken, match="there is a workflow"):
        await manager.create_workflow({"workflow_id": made.workflow_id})

    assert await manager.get_workflow(made.workflow_id) == made
    assert len(await manager.get_status_history(workflow_id=made.workflow_id)) == 1


async def test_a_patch_changes_what_it_names_and_a_field_is_changed_as_a_whole(manager: StateManager) -> None:
    made = await manager.create_workflow({"metadata": {"a": 1, "b": {"c": [1, 2]}}})

    patched = await manager.update_workflow(
        made.workflow_id,
        [
            {"op": "test", "path": "/status", "value": "pending"},
            {"op": "replace", "path": "/status", "value": "running"},
            {"op": "add", "path": "/metadata/b/c/0", "value": 0},
            {"op": "move", "from": "/metadata/a", "path": "/metadata/d"},
        ],
    )
    assert patched is not None
    assert (patched.status, patched.metadata) == ("running", {"b": {"c": [0, 1, 2]}, "d": 1})

    whole = await manager.update_workflow(made.workflow_id, {"metadata": {"e": 1}}, expects=patched.revision)
    assert whole is not None
    assert whole.metadata == {"e": 1}
    assert await manager.get_workflow(made.workflow_id) == whole


async def test_rows_of_a_living_actor_are_read_and_left_to_it(
    manager: StateManager, database: Database
) -> None:
    journal = await database.store.open_journal(manager.system)
    for table, key, fields in (
        (RowTable.TASK_EXECUTION, ("t",), {"task_id": "t", "agent_id": "team/a", "status": "running"}),
        (RowTable.WORKFLOW_STATE, ("w",), {"workflow_id": "w", "status": "running"}),
        (
            RowTable.AGENT_STATE,
            ("team/a",),
            {"agent_id": "team/a", "name": "a", "status": "running", "parent": "team"},
        ),
    ):
        assert journal.append(row_change(table, key, fields, owner="team/a", at=NOW))
    await journal.flush()

    task, workflow, agent = (
        await manager.get_task("t"),
        await manager.get_workflow("w"),
        await manager.get_agent_state("team/a"),
    )
    assert task is not None
    assert workflow is not None
    assert agent is not None
    assert [task.owner, workflow.owner, agent.owner] == ["team/a"] * 3
    assert (await manager.descendants("team"), await manager.ancestors("team/a")) == (["team/a"], ["team"])
    for change in (
        manager.update_task("t", {"progress": 1}),
        manager.delete_task("t"),
        manager.update_workflow("w", {"current_step": 1}),
        manager.add_workflow_history_entry("w", {"x": 1}),
        manager.create_workflow_step("w", {"name": "s"}),
        manager.delete_workflow("w"),
        manager.update_agent_state("team/a", {"status": "idle"}),
        manager.create_agent_state({"agent_id": "team/a", "name": "b"}),
        manager.create_checkpoint({"agent_id": "team/a"}),
        manager.delete_agent_state("team/a"),
    ):
        with pytest.raises(OwnedByActor, match="belongs to the actor 'team/a'") as caught:
            await change
        assert caught.value.owner == "team/a"
    assert await manager.get_task("t") == task
    assert await manager.get_workflow("w") == workflow
    assert await manager.get_agent_state("team/a") == agent
    await journal.close(5.0)


async def test_steps_wait_for_steps_and_never_in_a_circle(manager: StateManager, other: StateManager) -> None:
    workflow_id = (await manager.create_workflow()).workflow_id
    steps: dict[str, list[str]] = {"plan": [], "build": ["plan"], "test": ["build", "plan"]}
    for position, (name, on) in enumerate(steps.items()):
        await manager.create_workflow_step(
            workflow_id, {"name": name, "depends_on": on, "position": position}
        )
    assert [step.name for step in await manager.ready_steps(workflow_id)] == ["plan"]
    assert await manager.waits_for(workflow_id, "test", transitively=True) == ["build", "plan"]

    with pytest.raises(DependencyCycle, match=r"plan -> test -> (build -> )?plan") as caught:
        await manager.add_dependency(workflow_id, "plan", "test")
    assert caught.value.cycle[0] == caught.value.cycle[-1] == "plan"

    await manager.update_workflow_step(workflow_id, "plan", {"status": "running"})
    done = await manager.update_workflow_step(workflow_id, "plan", {"status": "completed"})
    assert done is not None
    assert done.completed_at is not None
    assert await manager.waits_for(workflow_id, "test") == ["build"]
    assert [step.name for step in await manager.ready_steps(workflow_id)] == ["build"]
    workflow = await manager.get_workflow(workflow_id)
    assert workflow is not None
    assert (workflow.current_step, workflow.total_steps) == (1, 3)
    assert await manager.remove_dependency(workflow_id, "test", "build")
    assert await manager.waits_for(workflow_id, "test") == []
    names = [(step.name, step.depends_on) for step in await other.list_workflow_steps(workflow_id)]
    assert names == [("plan", []), ("build", ["plan"]), ("test", ["plan"])]


async def test_of_edges_that_close_a_circle_together_one_is_refused(
    manager: StateManager, other: StateManager
) -> None:
    workflow_id = (await manager.create_workflow()).workflow_id
    names = ["a", "b", "c"]
    for name in names:
        await manager.create_workflow_step(workflow_id, {"name": name})
    refused: list[DependencyCycle] = []

    async def add(by: StateManager, step: str, on: str) -> None:
        try:
            await by.add_dependency(workflow_id, step, on)
        except DependencyCycle as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for by, step, on in ((manager, "a", "b"), (other, "b", "c"), (StateManager(manager.store), "c", "a")):
            tasks.start_soon(add, by, step, on)

    assert len(refused) == 1
    assert sorted(refused[0].cycle[:-1]) == names
    assert sum(len(step.depends_on) for step in await manager.list_workflow_steps(workflow_id)) == 2


async def test_lineage_goes_both_ways_the_nearest_first(manager: StateManager) -> None:
    for parent, child in (("a", "b"), ("a", "c"), ("b", "d"), ("d", "e"), ("c", "d"), ("e", "a")):
        assert await manager.relate("spawned", parent, child)
    assert not await manager.relate("spawned", "a", "b")
    await manager.relate("supervises", "root", "a")

    assert await manager.descendants("a") == ["b", "c", "d", "e"]
    assert (await manager.ancestors("d"))[:2] == ["b", "c"]
    assert await manager.descendants("root", "supervises") == ["a"]
    assert await manager.ancestors("a", "supervises") == ["root"]
    assert await manager.unrelate("spawned", "a", "b")
    assert not await manager.unrelate("spawned", "a", "b")
    assert await manager.descendants("a") == ["c", "d", "e"]


async def test_lists_have_what_changed_last_first_and_no_more_than_wanted(manager: StateManager) -> None:
    for n in range(4):
        await manager.create_task({"task_id": f"t{n}", "agent_id": f"a{n % 2}", "workflow_id": "w"})
        await manager.create_workflow({"workflow_id": f"w{n}"})
        await manager.create_agent_state(
            {"agent_id": f"a{n}", "name": "A", "capabilities": ["odd"] * (n % 2)}
        )
    await manager.update_task("t0", {"status": "running"})
    await manager.update_workflow("w1", {"status": "running"})
    await manager.update_agent_state("a2", {"status": "running"})

    async def tasks(**wanted: Any) -> list[str]:
        return [task.task_id for task in await manager.list_tasks(**wanted)]

    async def workflows(**wanted: Any) -> list[str]:
        return [workflow.workflow_id for workflow in await manager.list_workflows(**wanted)]

    async def agents(**wanted: Any) -> list[str]:
        return [agent.agent_id for agent in await manager.list_agent_states(**wanted)]

    assert await tasks() == ["t0", "t3", "t2", "t1"]
    assert await tasks(limit=2) == ["t0", "t3"]
    assert await tasks(limit=0) == []
    assert await tasks(status="pending", limit=2) == ["t3", "t2"]
    assert await tasks(agent_id="a0") == ["t0", "t2"]
    assert await tasks(agent_id="a1", status="pending", limit=1) == ["t3"]
    assert await tasks(workflow_id="w", limit=3) == ["t0", "t3", "t2"]
    assert await tasks(workflow_id="w", agent_id="a1", limit=1) == ["t3"]
    assert await tasks(workflow_id="w", status="running") == ["t0"]
    assert await workflows() == ["w1", "w3", "w2", "w0"]
    assert await workflows(status="pending", limit=1) == ["w3"]
    assert await agents() == ["a0", "a1", "a2", "a3"]
    assert await agents(capability="odd") == ["a1", "a3"]
    assert await agents(status="running") == ["a2"]
    assert await agents(limit=1) == ["a0"]


async def test_what_is_deleted_is_gone_with_all_that_belongs_to_it_and_nothing_else(
    manager: StateManager,
) -> None:
    for w in ("w1", "w2"):
        await manager.create_workflow({"workflow_id": w})
        await manager.add_workflow_history_entry(w, {"x": 1})
        await manager.create_workflow_step(w, {"name": "a"})
        await manager.create_workflow_step(w, {"name": "b", "depends_on": ["a"]})
        await manager.create_agent_state({"agent_id": w, "name": "A"})
        await manager.create_checkpoint({"agent_id": w, "checkpoint_id": f"{w}-1"})
        await manager.create_task({"task_id": w, "agent_id": w})
    left = await manager.get_workflow("w2")

    assert await manager.delete_workflow("w1")
    assert await manager.delete_agent_state("w1")
    assert await manager.delete_task("w1")

    assert await manager.get_workflow("w1") is None
    again = await manager.create_workflow({"workflow_id": "w1"})
    assert (again.execution_history, await manager.list_workflow_steps("w1")) == ([], [])
    assert len(await manager.get_status_history(workflow_id="w1")) == 1
    assert await manager.get_status_history("w1") == []
    assert await manager.get_checkpoint("w1-1") is None
    assert await manager.get_workflow("w2") == left
    assert [step.depends_on for step in await manager.list_workflow_steps("w2")] == [[], ["a"]]
    assert await manager.get_checkpoint("w2-1") is not None


async def test_systems_do_not_see_each_other(manager: StateManager) -> None:
    there = StateManager(manager.store, system="shop")
    await manager.create_workflow({"workflow_id": "w", "name": "here"})
    await there.create_workflow({"workflow_id": "w", "name": "there"})

    assert (await named(manager), await named(there)) == (["here"], ["there"])
    await there.delete_workflow("w")
    assert await named(manager) == ["here"]


async def test_ten_megabytes_are_kept_or_refused_at_the_call(
    manager: StateManager, database: Database
) -> None:
    page = {"workflow_id": "w", "metadata": {"page": "x" * 10_000_000}}

    if database.store.url.startswith("http"):  # over it a server is told to take 4 MiB
        with pytest.raises(InvalidArgument, match="the store takes"):
            await manager.create_workflow(page)
        assert await manager.get_workflow("w") is None
    else:
        await manager.create_workflow(page)
        found = await manager.get_workflow("w")
        assert found is not None
        assert found.metadata == page["metadata"]


async def test_it_works_under_its_first_name_on_what_configures_the_database() -> None:
    async with SurrealDBConfig("mem://") as config:
        manager = SurrealDBStateManager(db_config=config)

        made = await manager.create_workflow({"status": "pending", "total_steps": 5})

        assert manager.system == "sentient_core"
        assert await StateManager(config.store).get_workflow(made.workflow_id) == made


async def named(manager: StateManager) -> list[str]:
    """The names of all workflows."""
    return [workflow.name for workflow in await manager.list_workflows()]
