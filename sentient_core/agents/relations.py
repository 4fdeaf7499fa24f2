"""Who made whom, who looks after whom, and which step of a workflow waits for which: edges between rows.

spawned, supervises    agent -> agent
depends_on             step -> the step that has to be completed before it, of one workflow
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from sentient_core.agents.fields import check_id, now
from sentient_core.agents.graph import cycle_through, reachable
from sentient_core.agents.models import WorkflowStep
from sentient_core.agents.patching import Updates
from sentient_core.agents.state_rows import StateRows, touched
from sentient_core.agents.subjects import STEP, from_row, refuse_owned
from sentient_core.errors import DependencyCycle, IdTaken, InvalidArgument, InvalidField, RowConflict
from sentient_core.paths import join
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable

__all__ = ["Relation", "Relations"]

_PAGE = 1_000


class Relation(StrEnum):
    """What an edge between agents says of the first."""

    SPAWNED = "spawned"
    """It made the other."""
    SUPERVISES = "supervises"
    """It looks after the other."""


class Relations(StateRows):
    """The steps of workflows, and what leads from row to row."""

    async def relate(self, relation: Relation | str, agent_id: str, other_id: str) -> bool:
        """Note that an agent has spawned, or supervises, another one; False where it was noted already.

        Neither need have a state. Raises InvalidArgument for an agent and itself.
        """
        key = _ends(agent_id, other_id)
        if key[0] == key[1]:
            raise InvalidArgument(f"the agent {agent_id!r} cannot stand in a relation to itself")
        write = RowWrite(table=_table(relation), key=key, fields={"timestamp": now()}, expects=0)
        try:
            await self._write([write])
        except RowConflict:
            return False
        return True

    async def unrelate(self, relation: Relation | str, agent_id: str, other_id: str) -> bool:
        """Delete such an edge; whether there was one. OwnedByActor for one that a living actor has made."""
        table, key = _table(relation), _ends(agent_id, other_id)
        row = await self._row(table, key)
        if row is None:
            return False
        refuse_owned("edge", table, row)
        await self._write([RowWrite(table=table, key=key, fields=None)])
        return True

    async def descendants(self, agent_id: str, relation: Relation | str = Relation.SPAWNED) -> list[str]:
        """All that an agent has spawned (or supervises), and those they have, the nearest first.

        Of actors with those below them, which is both in one: their edges need not be noted.
        """
        start = check_id(agent_id, "agent_id")
        table = _table(relation)
        below: dict[str, list[str]] = {}

        async def ahead(here: str) -> list[str]:
            edges = await self._rows(RowQuery(table=table, key=(here,)))
            if here not in below:  # what is below those below it has come with them
                below.update(await self._actors_below(here))
            return [row.key[1] for row in edges] + below[here]

        return await _nearest_first(start, ahead)

    async def ancestors(self, agent_id: str, relation: Relation | str = Relation.SPAWNED) -> list[str]:
        """Who has spawned (or supervises) an agent, and who has them, the nearest first.

        Of an actor with those above it, as for `descendants`.
        """
        start = check_id(agent_id, "agent_id")
        table = _table(relation)

        async def ahead(here: str) -> list[str]:
            edges = await self._rows(RowQuery(table=table, where={"out": (here,)}))
            actor = await self._row(RowTable.AGENT_STATE, (here,))
            parent = "" if actor is None else str(actor.fields.get("parent", ""))
            return [row.key[0] for row in edges] + ([parent] if parent else [])

        return await _nearest_first(start, ahead)

    async def create_workflow_step(
        self, workflow_id: str, step_data: Mapping[str, Any] | WorkflowStep
    ) -> WorkflowStep | None:
        """Add a step to a workflow, with the steps it depends on; None where there is no such workflow.

        Raises IdTaken where it has a step of this name; InvalidField, also for a step to depend on that is
        not there; DependencyCycle; OwnedByActor where a living actor runs the workflow.
        """
        key = (check_id(workflow_id, "workflow_id"),)
        given = {"workflow_id": workflow_id, **_step_fields(step_data)}
        step = msgspec.structs.replace(WorkflowStep.from_dict(given), owner=None)
        if step.workflow_id != workflow_id:
            raise InvalidField("WorkflowStep", "workflow_id", f"is {step.workflow_id!r}, not {workflow_id!r}")

        async def attempt() -> WorkflowStep | None:
            workflow = await self._workflow(key)
            if workflow is None:
                return None
            steps = await self._keys(RowTable.WORKFLOW_STEP, key)
            names = {name for _, (_, name) in steps}
            if step.name in names:
                raise IdTaken("step", step.name)
            for name in step.depends_on:
                if name == step.name:
                    raise DependencyCycle(workflow_id, (name, name))
                if name not in names:
                    raise InvalidField(
                        "WorkflowStep", "depends_on", f"has {name!r}, which is no step yet: create that first"
                    )
            writes = [
                RowWrite(
                    table=RowTable.WORKFLOW_STEP, key=STEP.key(step), fields=STEP.fields(step), expects=0
                )
            ]
            writes += [_edge(workflow_id, step.name, on) for on in dict.fromkeys(step.depends_on)]
            await self._write([*writes, touched(workflow)])
            return msgspec.structs.replace(step, revision=1)

        return await self._one_at_a_time((RowTable.WORKFLOW_STATE, key), attempt)

    async def get_workflow_step(self, workflow_id: str, name: str) -> WorkflowStep | None:
        """A step of a workflow; None where there is none."""
        key = (check_id(workflow_id, "workflow_id"), check_id(name, "name"))
        row = await self._row(RowTable.WORKFLOW_STEP, key)
        if row is None:
            return None
        edges = await self._rows(RowQuery(table=RowTable.DEPENDS_ON, key=key))
        return from_row(WorkflowStep, row, {"depends_on": [edge.key[3] for edge in edges]})

    async def update_workflow_step(
        self, workflow_id: str, name: str, updates: Updates, *, expects: int | None = None
    ) -> WorkflowStep | None:
        """Change some fields of a step, as `update_workflow` does; None where there is none.

        Its statuses are those of a task. What it depends on is changed by `add_dependency`.
        """
        key = (check_id(workflow_id, "workflow_id"), check_id(name, "name"))

        async def filled(step: WorkflowStep) -> WorkflowStep:
            found = await self.get_workflow_step(workflow_id, name)
            return step if found is None else msgspec.structs.replace(step, depends_on=found.depends_on)

        after = await self._update(
            STEP,
            key,
            updates,
            cause="",
            actor=None,
            expects=expects,
            filled=filled,
            more=_same_dependencies,
        )
        return None if after is None else await filled(after)

    async def list_workflow_steps(self, workflow_id: str) -> list[WorkflowStep]:
        """The steps of a workflow, by position and name; [] where there is none."""
        key = (check_id(workflow_id, "workflow_id"),)
        edges = await self._dependencies(key)
        rows = await self._rows(RowQuery(table=RowTable.WORKFLOW_STEP, key=key))
        steps = [from_row(WorkflowStep, row, {"depends_on": edges.get(row.key[1], [])}) for row in rows]
        return sorted(steps, key=lambda step: (step.position, step.name))

    async def add_dependency(self, workflow_id: str, step: str, depends_on: str) -> bool:
        """Have a step wait until another one is completed; False where workflow or steps are unknown.

        Raises DependencyCycle, which names the circle it would close, also with what others add at the same
        time; OwnedByActor where a living actor runs the workflow.
        """
        key = (check_id(workflow_id, "workflow_id"),)
        check_id(step, "step")
        check_id(depends_on, "depends_on")

        async def attempt() -> bool:
            workflow = await self._workflow(key)
            names = {name for _, (_, name) in await self._keys(RowTable.WORKFLOW_STEP, key)}
            if workflow is None or not {step, depends_on} <= names:
                return False
            edges = await self._dependencies(key)
            if depends_on in edges.get(step, ()):
                return True
            cycle = cycle_through(edges, step, depends_on)
            if cycle:
                raise DependencyCycle(workflow_id, cycle)
            # The workflow is written too: of two edges added at once, one is decided on after the other.
            await self._write([_edge(workflow_id, step, depends_on), touched(workflow)])
            return True

        return await self._one_at_a_time((RowTable.WORKFLOW_STATE, key), attempt)

    async def remove_dependency(self, workflow_id: str, step: str, depends_on: str) -> bool:
        """Have a step no longer wait for another one; whether it did."""
        key = (check_id(workflow_id, "workflow_id"), check_id(step, "step"))
        whole = (*key, key[0], check_id(depends_on, "depends_on"))
        row = await self._row(RowTable.DEPENDS_ON, whole)
        if row is None:
            return False
        refuse_owned("dependency", RowTable.DEPENDS_ON, row)
        await self._write([RowWrite(table=RowTable.DEPENDS_ON, key=whole, fields=None)])
        return True

    async def waits_for(self, workflow_id: str, step: str, *, transitively: bool = False) -> list[str]:
        """The steps that have to be completed before this one can begin, and are not; the nearest first.

        With `transitively` also those that these wait for. [] where workflow or step are unknown.
        """
        key = (check_id(workflow_id, "workflow_id"),)
        edges = await self._dependencies(key)
        rows = await self._rows(RowQuery(table=RowTable.WORKFLOW_STEP, key=key))
        done = {row.key[1] for row in rows if row.fields.get("status") == "completed"}
        open_edges = {here: [there for there in ahead if there not in done] for here, ahead in edges.items()}
        name = check_id(step, "step")
        return reachable(open_edges, [name]) if transitively else list(open_edges.get(name, ()))

    async def ready_steps(self, workflow_id: str) -> list[WorkflowStep]:
        """The pending steps of a workflow that wait for none; in the order of `list_workflow_steps`."""
        steps = await self.list_workflow_steps(workflow_id)
        done = {step.name for step in steps if step.status == "completed"}
        return [step for step in steps if step.status == "pending" and set(step.depends_on) <= done]

    async def _actors_below(self, path: str) -> dict[str, list[str]]:
        """Each actor of a subtree, its top included, with those right below it."""
        below: dict[str, list[str]] = {path: []}
        prefix = join(path, "")
        after: tuple[str, ...] = (prefix,)  # the paths below this one are the next behind it
        while True:
            page = await self._rows(RowQuery(table=RowTable.AGENT_STATE, after=after, limit=_PAGE))
            for row in page:
                here = row.key[0]
                if not here.startswith(prefix):
                    return below
                below.setdefault(here, [])
                below.setdefault(str(row.fields.get("parent", "")), []).append(here)
            if len(page) < _PAGE:
                return below
            after = page[-1].key

    async def _workflow(self, key: tuple[str, ...]) -> Row | None:
        row = await self._row(RowTable.WORKFLOW_STATE, key)
        if row is not None:
            refuse_owned("workflow", RowTable.WORKFLOW_STATE, row)
        return row

    async def _dependencies(self, key: tuple[str, ...]) -> dict[str, list[str]]:
        edges: dict[str, list[str]] = {}
        for row in await self._rows(RowQuery(table=RowTable.DEPENDS_ON, key=key)):
            edges.setdefault(row.key[1], []).append(row.key[3])
        return edges


async def _nearest_first(start: str, ahead: Callable[[str], Awaitable[list[str]]]) -> list[str]:
    """All that can be reached, without the start; `ahead` says where one leads."""
    known = {start}
    found: list[str] = []
    layer = [start]
    while layer:
        there = [name for here in layer for name in await ahead(here)]
        layer = [name for name in dict.fromkeys(there) if name not in known]
        known.update(layer)
        found += layer
    return found


def _table(relation: Relation | str) -> RowTable:
    try:
        return RowTable(Relation(relation).value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in Relation)
        raise InvalidArgument(f"relation is {relation!r}; it can be {known}") from None


def _ends(agent_id: str, other_id: str) -> tuple[str, str]:
    return check_id(agent_id, "agent_id"), check_id(other_id, "other_id")


def _edge(workflow_id: str, step: str, depends_on: str) -> RowWrite:
    key = (workflow_id, step, workflow_id, depends_on)
    return RowWrite(table=RowTable.DEPENDS_ON, key=key, fields={"timestamp": now()})


def _step_fields(step: Mapping[str, Any] | WorkflowStep) -> Mapping[str, Any]:
    return msgspec.structs.asdict(step) if isinstance(step, WorkflowStep) else step


def _same_dependencies(before: WorkflowStep, after: WorkflowStep) -> Sequence[RowWrite]:
    if after.depends_on != before.depends_on:
        raise InvalidField("WorkflowStep", "depends_on", "is changed by add_dependency and remove_dependency")
    return []
