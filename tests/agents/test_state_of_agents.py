"""What a StateManager shows of living agents, and that it leaves them what is theirs."""

from __future__ import annotations

import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.agents import StateManager, Task
from sentient_core.errors import OwnedByActor
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable
from tests.agents.crew import Doer, World


async def test_tasks_states_checkpoints_and_trail_of_an_agent_are_read_as_all_others() -> None:
    async with ActorSystem("team", store=MemoryStore()) as system:
        manager = StateManager(system)
        world = World()
        await manager.create_workflow({"workflow_id": "w"})
        agent = await Doer.start(system, world, name="dev")

        task = Task(
            task_id="t", description="Do it", input_data={"steps": ["save one", "go"]}, workflow_id="w"
        )
        result = await agent.execute_task(task)
        state = await manager.get_agent_state("dev")
        found = await manager.get_task("t")
        workflow = await manager.get_workflow("w")

        assert result["status"] == "completed"
        assert state is not None
        assert found is not None
        assert workflow is not None
        assert (state.name, state.current_task) == ("dev", None)
        assert (found.status, found.progress, found.description) == ("completed", 100, "Do it")
        assert found.owner == "dev"
        assert list(workflow.agent_states) == ["dev"]
        assert [task.task_id for task in await manager.list_tasks(agent_id="dev")] == ["t"]
        (checkpoint_id,) = state.checkpoints
        checkpoint = await manager.get_checkpoint(checkpoint_id)
        assert checkpoint is not None
        assert checkpoint.progress_data["name"] == "one"
        changes = await manager.get_status_history(task_id="t")
        assert [(change.old, change.new) for change in changes] == [
            (None, "pending"),
            ("pending", "running"),
            ("running", "completed"),
        ]
        assert {(change.actor, change.workflow_id) for change in changes} == {("dev", "w")}
        of_agent = [change.workflow_id for change in await manager.get_status_history("dev")]
        assert set(of_agent) == {"w"}
        assert "running" in [change.new for change in await manager.get_status_history("dev")]

        for call in (
            manager.update_task("t", {"progress": 1}),
            manager.update_agent_state("dev", {"status": "paused"}),
            manager.delete_checkpoint(checkpoint_id),
            manager.restore_from_checkpoint(checkpoint_id),
        ):
            with pytest.raises(OwnedByActor, match="belongs to the actor 'dev'"):
                await call


async def test_of_checkpoints_only_what_is_shown_is_read_to_list_them() -> None:
    store, asked = MemoryStore(), list[tuple[str, ...] | None]()
    reads = store.rows

    async def rows(system: str, query: RowQuery) -> list[Row]:
        if query.table == RowTable.STATE_CHECKPOINT:
            asked.append(query.fields)
        return await reads(system, query)

    store.rows = rows  # type: ignore[method-assign]
    manager = StateManager(store)
    await manager.create_agent_state({"agent_id": "dev", "name": "dev"})
    await manager.create_checkpoint({"agent_id": "dev", "progress_data": {"x": "x" * 100_000}})
    asked.clear()

    (state,) = await manager.list_agent_states()
    assert len(state.checkpoints) == 1
    assert await manager.get_agent_state("dev") == state
    assert await manager.delete_agent_state("dev")
    assert asked == [("timestamp",), ("timestamp",), ()]
