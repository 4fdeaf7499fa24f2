"""Who does a step: the agent at a path, or of those that have a capability the one with the fewest tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sentient_core.agents.crew import Crew
from sentient_core.agents.workflows.deciding import assigned, next_steps
from sentient_core.agents.workflows.definition import Compensation, Step, Workflow
from sentient_core.agents.workflows.progress import UNDO, Progress, errand_of

if TYPE_CHECKING:
    from sentient_core.agents.desk import Desk

__all__ = ["demand_of", "staffed"]


def staffed(definition: Workflow, progress: Progress, crew: Crew, now: int) -> tuple[Progress, list[str]]:
    """Its next steps given to agents, as far as they are there, and the names of those for whom nobody is."""
    unmet: list[str] = []
    taken: Counter[str] = Counter()
    for name in next_steps(definition, progress, now):
        errand = errand_of(definition, name)
        if errand is None:
            continue
        path, capability = demand_of(errand, progress, name)
        able = [desk for desk in crew.desks() if _can(desk, path, capability)]
        if not able:
            unmet.append(name)
            continue
        chosen = min(
            able, key=lambda desk: (crew.load(desk) + taken[desk.cell.path], desk.cell.path)
        ).cell.path
        taken[chosen] += 1
        progress = assigned(definition, progress, name, chosen, now)
    return progress, unmet


def demand_of(errand: Step | Compensation, progress: Progress, name: str) -> tuple[str | None, str | None]:
    """The path, or the capability, that a step asks for; neither: who did the step that it undoes."""
    if errand.agent is None and errand.capability is None:
        return progress.steps[name.removesuffix(UNDO)].agent, None
    return errand.agent, errand.capability


def _can(desk: Desk, path: str | None, capability: str | None) -> bool:
    return desk.cell.path == path if path is not None else capability in desk.agent.capabilities
