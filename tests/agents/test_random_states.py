"""Any calls of a StateManager, held against a reference: what is refused changes nothing, all else stays."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import anyio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sentient_core import MemoryStore
from sentient_core.agents.state_manager import StateManager
from sentient_core.agents.statuses import TRANSITIONS, StatusKind, WorkflowStatus
from sentient_core.errors import DependencyCycle, IdTaken, IllegalTransition, InvalidArgument

T = TypeVar("T")

ids = st.sampled_from(["a", "b", "c'; --"])
steps = st.sampled_from(["plan", "build", "test"])
statuses = st.sampled_from(list(WorkflowStatus))
numbers = st.integers(-1, 6)

TABLE = TRANSITIONS[StatusKind.WORKFLOW]


class Workflow:
    """What the reference knows of one."""

    def __init__(self, status: WorkflowStatus, total: int) -> None:
        self.status = status
        self.statuses = [status]
        self.total = total
        self.step = 0
        self.metadata: dict[str, Any] = {}
        self.history: list[int] = []
        self.edges: dict[str, set[str]] = {}

    def can_have(self, status: WorkflowStatus, step: int, total: int) -> bool:
        """Whether these may be its next."""
        is_legal = status is self.status or status in TABLE[self.status]
        return is_legal and step >= 0 and total >= 0 and (total == 0 or step <= total)

    def waits(self, step: str) -> set[str]:
        """All that a step waits for."""
        found: set[str] = set()
        while more := {on for one in found | {step} for on in self.edges.get(one, ())} - found:
            found |= more
        return found


class States(RuleBasedStateMachine):
    """Two managers take turns on one store."""

    def __init__(self) -> None:
        super().__init__()
        store = MemoryStore()
        self.managers = [StateManager(store), StateManager(store)]
        self.known: dict[str, Workflow] = {}

    @property
    def manager(self) -> StateManager:
        self.managers.reverse()
        return self.managers[0]

    @rule(id_=ids, status=statuses, total=numbers)
    def create(self, id_: str, status: WorkflowStatus, total: int) -> None:
        given = {"workflow_id": id_, "status": status.value, "total_steps": total}
        done = called(self.manager.create_workflow(given), IdTaken, InvalidArgument)
        assert (done is not None) == (id_ not in self.known and total >= 0)
        if done is not None:
            self.known[id_] = Workflow(status, total)

    @rule(id_=ids, status=statuses, step=numbers, total=numbers, is_patch=st.booleans())
    def update(self, id_: str, status: WorkflowStatus, step: int, total: int, is_patch: bool) -> None:
        fields = {"status": status.value, "current_step": step, "total_steps": total}
        patch = [{"op": "replace", "path": f"/{name}", "value": value} for name, value in fields.items()]
        call = self.manager.update_workflow(id_, patch if is_patch else fields)
        done = called(call, IllegalTransition, InvalidArgument)
        known = self.known.get(id_)
        assert (done is not None) == (known is not None and known.can_have(status, step, total))
        if done is not None and known is not None:
            known.step, known.total = step, total
            if status is not known.status:
                known.status = status
                known.statuses.append(status)

    @rule(id_=ids, key=st.sampled_from(["x", "y"]), value=numbers)
    def add_metadata(self, id_: str, key: str, value: int) -> None:
        patch = [{"op": "add", "path": f"/metadata/{key}", "value": value}]
        done = called(self.manager.update_workflow(id_, patch))
        assert (done is not None) == (id_ in self.known)
        if id_ in self.known:
            self.known[id_].metadata[key] = value

    @rule(id_=ids, n=numbers)
    def note(self, id_: str, n: int) -> None:
        assert called(self.manager.add_workflow_history_entry(id_, {"n": n})) == (id_ in self.known)
        if id_ in self.known:
            self.known[id_].history.append(n)

    @rule(id_=ids, step=steps)
    def add_step(self, id_: str, step: str) -> None:
        done = called(self.manager.create_workflow_step(id_, {"name": step}), IdTaken)
        known = self.known.get(id_)
        assert (done is not None) == (known is not None and step not in known.edges)
        if known is not None:
            known.edges.setdefault(step, set())

    @rule(id_=ids, step=steps, on=steps)
    def depend(self, id_: str, step: str, on: str) -> None:
        done = called(self.manager.add_dependency(id_, step, on), DependencyCycle)
        known = self.known.get(id_)
        if known is None or not {step, on} <= set(known.edges):
            assert done is False
        elif step == on or step in known.waits(on):
            assert done is None
        else:
            assert done is True
            known.edges[step].add(on)

    @rule(id_=ids)
    def delete(self, id_: str) -> None:
        assert called(self.manager.delete_workflow(id_)) == (self.known.pop(id_, None) is not None)

    @invariant()
    def all_is_as_the_reference_says(self) -> None:
        manager = self.manager
        listed = called(manager.list_workflows()) or []
        assert {workflow.workflow_id for workflow in listed} == set(self.known)
        for id_, known in self.known.items():
            found = called(manager.get_workflow(id_))
            assert found is not None
            assert (found.status, found.metadata) == (known.status, known.metadata)
            assert [entry["n"] for entry in found.execution_history] == known.history
            if known.total or not known.edges:
                assert (found.current_step, found.total_steps) == (known.step, known.total)
            else:
                assert (found.current_step, found.total_steps) == (0, len(known.edges))
            changes = called(manager.get_status_history(workflow_id=id_)) or []
            assert [change.new for change in changes] == known.statuses
            for step in known.edges:
                waiting = called(manager.waits_for(id_, step, transitively=True)) or []
                assert set(waiting) == known.waits(step)


def called(call: Awaitable[T], *refusals: type[Exception]) -> T | None:
    """What a call comes to; None where it was refused."""

    async def run() -> T | None:
        try:
            return await call
        except refusals:
            return None

    return anyio.run(run)


TestStates = States.TestCase
TestStates.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
