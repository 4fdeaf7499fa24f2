"""Items and results of tasks in the shape that the original documents give them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentient_core.errors import InvalidItem

__all__ = ["cancelled_item", "checked_item", "checked_progress", "result_of"]


def checked_progress(progress: object, where: str) -> float:
    """How far a task is, from 0 to 100. Raises InvalidItem."""
    is_number = isinstance(progress, int | float) and not isinstance(progress, bool)
    if not is_number or not 0 <= progress <= 100:  # type: ignore[operator]
        raise InvalidItem(f"{where}: progress is a number from 0 to 100, not {progress!r}")
    return progress  # type: ignore[return-value]


def checked_item(item: object, before: float) -> dict[str, Any]:
    """What a task has yielded, as it is stored: `status`, `progress` (that of before, where it says none)."""
    if not isinstance(item, Mapping):
        raise InvalidItem(
            f'a task yields items such as {{"status": "building", "progress": 60}}, not {item!r}'
        )
    made: dict[str, Any] = dict(item)  # pyright: ignore[reportUnknownArgumentType] - its keys are checked with its values
    status = made.setdefault("status", "running")
    if not isinstance(status, str) or not status:
        raise InvalidItem(f"an item's status is a word such as 'building', not {status!r}")
    made["progress"] = checked_progress(made.get("progress", before), f"the item '{status}'")
    return made


def result_of(returned: object) -> dict[str, Any]:
    """What `execute_task` answers for a task that has ended well: `status`, `message`, `artifacts`, and what else
    its last item, or what it returned, says."""
    given: dict[str, Any] = dict(returned) if isinstance(returned, Mapping) else {"result": returned}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if given.get("result") is None:
        given.pop("result", None)
    message = given.get("message")
    if message is None:
        result = given.get("result")
        message = result if isinstance(result, str) else ""
    artifacts = given.get("artifacts")
    rest = {name: value for name, value in given.items() if name not in ("status", "message", "artifacts")}
    return {
        "status": "completed",
        "message": message,
        "artifacts": [] if artifacts is None else artifacts,
        **rest,
    }


def cancelled_item(progress: float) -> dict[str, Any]:
    """The last item of a task that was cancelled."""
    return {"status": "cancelled", "progress": progress}
