"""Agents that do the steps of workflows, as their input says."""

from __future__ import annotations

from typing import Any

from sentient_core.agents.workflows.definition import Step
from tests.agents.crew import Doer, World

__all__ = ["Worker", "does"]


class Worker(Doer):
    """Can do what it is said to be able to; "do", where nothing is said."""

    def __init__(self, world: World, *capabilities: str) -> None:
        super().__init__(world)
        self.capabilities = frozenset(capabilities or ("do",))  # type: ignore[misc]  # of this one


def does(name: str, *steps: str, **more: Any) -> Step:
    """A step whose task does these things, see `Doer`."""
    return Step(name, more.pop("capability", "do"), input_data={"steps": list(steps)}, **more)
