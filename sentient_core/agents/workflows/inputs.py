"""What a step takes of earlier results, by paths such as `build.pages.0.html`: pure.

The first name of a path is that of a step, or `input` for what the workflow was started with; the others lead
into it, by key, or by number where there is a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sentient_core.errors import MissingInput

__all__ = ["WORKFLOW_INPUT", "check_path", "gathered", "step_of_path"]

WORKFLOW_INPUT = "input"
"""The first name of a path into what the workflow was started with."""


def check_path(path: object) -> str:
    """What is wrong with a path; empty: nothing."""
    if not isinstance(path, str) or not all(path.split(".")):
        return "a path is a step's name, and behind it what leads into its result, as 'build.pages.0'"
    return ""


def step_of_path(path: str) -> str | None:
    """The step whose result it is about; None: it is about the workflow's input."""
    name = path.partition(".")[0]
    return None if name == WORKFLOW_INPUT else name


def gathered(
    step: str,
    given: Mapping[str, Any],
    inputs: Mapping[str, str],
    workflow_input: Mapping[str, Any],
    results: Mapping[str, Any],
) -> dict[str, Any]:
    """What a step's task is given: `given`, and what the paths of `inputs` lead to. Raises MissingInput."""
    made = dict(given)
    sources: dict[str, Any] = {**results, WORKFLOW_INPUT: dict(workflow_input)}
    for name, path in inputs.items():
        made[name] = _led_to(step, name, path, sources)
    return made


def _led_to(step: str, name: str, path: str, sources: Mapping[str, Any]) -> object:
    at: object = sources
    passed: list[str] = []
    for key in path.split("."):
        inside: Mapping[str, object] = {}
        if isinstance(at, Mapping):
            inside = cast("Mapping[str, object]", at)
        elif isinstance(at, list):
            inside = {str(number): item for number, item in enumerate(cast("list[object]", at))}
        if key not in inside:
            raise MissingInput(step, name, path, ".".join(passed), key)
        at = inside[key]
        passed.append(key)
    return at
