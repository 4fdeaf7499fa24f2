"""The states of agents, tasks and workflows as rows that people read and change: `StateManager`."""

from __future__ import annotations

from sentient_core.agents.agent_states import AgentStates
from sentient_core.agents.relations import Relations
from sentient_core.agents.task_states import TaskStates
from sentient_core.agents.workflow_states import WorkflowStates
from sentient_core.paths import EXTERNAL
from sentient_core.store.protocols import Store, StoreHolder

__all__ = ["StateManager", "SurrealDBStateManager"]


class StateManager(AgentStates, WorkflowStates, TaskStates, Relations):
    """Reads the states of all agents, tasks and workflows of a system; changes those no living actor owns.

        manager = StateManager(SurrealStore("surrealkv://agents.db"))
        workflow = await manager.create_workflow({"total_steps": 5})
        await manager.update_workflow(workflow.workflow_id, {"status": "running", "current_step": 2})
        await manager.add_workflow_history_entry(workflow.workflow_id, {"note": "begun"})

    It needs no ActorSystem, and any number of managers, in any processes, may work on the same rows. Each
    call is one transaction: it is done as a whole or not at all, and on what the others have left; a call
    whose row others change meanwhile decides anew. In the turn of an actor it is no part of that turn.

    Ids that are unknown are answered by None, False or []; those that can be none raise InvalidArgument. What
    a living actor writes, with `owner` or as the state of the actor itself, is read as everything else, and
    changed by its handle alone (OwnedByActor). Every call raises StoreError where the store fails: then what
    was to be written may have been.
    """

    def __init__(
        self, db_config: Store | StoreHolder, *, system: str | None = None, actor: str = EXTERNAL
    ) -> None:
        """Work on the rows of `system` in a store, or in that of a SurrealDBConfig or an ActorSystem.

        `system` is by default the ActorSystem's name, else `sentient_core`. Of a running one, everything that
        its actors have committed before a call is seen by it. `actor` is who the trail names as having made a
        change, where a call says nothing and no actor's turn makes it. InvalidArgument for what has no store.
        """
        super().__init__(db_config, system=system, actor=actor)
        self.db_config: Store | StoreHolder = db_config
        """What it was given; the name is the original design's."""

    def __repr__(self) -> str:
        return f"<StateManager of '{self.system}' at {self.store.url}>"


SurrealDBStateManager = StateManager
"""`StateManager`, under the name of the original design."""
