"""Items and results of tasks in the shape that the original documents give them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sentient_core.errors import InvalidItem
from sentient_core.store.plain_values import check_storable

__all__ = ["cancelled_item", "checked_item", "checked_progress", "checked_status", "fields_of", "result_of"]

_MOST_OF_STATUS = 1_000
"""Characters: it is told in every list of tasks, and is no place for results."""


def checked_progress(progress: object, where: str) -> float:
    """How far a task is, from 0 to 100. Raises InvalidItem."""
    if isinstance(progress, int | float) and not isinstance(progress, bool) and 0 <= progress <= 100:
        return progress
    raise InvalidItem(f"{where}: progress is a number from 0 to 100, not {progress!r}")


def checked_status(status: object, where: str) -> str:
    """What a task is at, in a word or some. Raises InvalidItem."""
    if not isinstance(status, str) or not status:
        raise InvalidItem(f"{where}'s status is a word such as 'building', not {status!r:.100}")
    if len(status) > _MOST_OF_STATUS:
        raise InvalidItem(
            f"{where}'s status has {len(status):,} characters, and may have {_MOST_OF_STATUS:,}: "
            "what there is to say stands better in another field"
        )
    return status


def checked_item(item: object, before: float) -> dict[str, Any]:
    """What a task has yielded, as it is stored: `status`, `progress` (that of before, where it says none).

    Raises InvalidItem, UnstorableValue.
    """
    if not isinstance(item, Mapping):
        raise InvalidItem(
            f'a task yields items such as {{"status": "building", "progress": 60}}, not {item!r}'
        )
    made: dict[str, Any] = check_storable(cast("object", item), "item")
    status = checked_status(made.setdefault("status", "running"), "an item")
    made["progress"] = checked_progress(made.get("progress", before), f"the item '{status:.100}'")
    return made


def fields_of(returned: object) -> dict[str, Any]:
    """What a task's code has returned, as it is stored: a mapping as it is, anything else as its `result`.

    Raises UnstorableValue.
    """
    if isinstance(returned, Mapping):
        fields: dict[str, Any] = check_storable(cast("object", returned), "the task's result")
        return fields
    return {} if returned is None else {"result": check_storable(returned, "the task's result")}


def result_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What `execute_task` answers for a task that has ended well, of its last item, or of what it returned.

    `status`, `message`, `artifacts`, and what else that says.
    """
    given = dict(said)
    message = given.pop("message", None)
    artifacts = given.pop("artifacts", None)
    given.pop("status", None)
    if message is None:
        result = given.get("result")
        message = result if isinstance(result, str) else ""
    return {"status": "completed", "message": message, "artifacts": artifacts or [], **given}


def cancelled_item(progress: float) -> dict[str, Any]:
    """The last item of a task that was cancelled."""
    return {"status": "cancelled", "progress": progress}
