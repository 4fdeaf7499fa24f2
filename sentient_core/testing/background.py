"""What runs beside a block, and ends with it."""

from __future__ import annotations

from types import TracebackType

from anyio.abc import TaskGroup

__all__ = ["leave"]


async def leave(
    tasks: TaskGroup,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> bool | None:
    """The `__aexit__` of a block that has entered this task group: cancels its tasks, and waits for them.

    What the block has raised leaves it as it is, not in a group of exceptions; what a task has raised is in
    one.
    """
    tasks.cancel_scope.cancel()
    if isinstance(error, Exception):  # the task group sees cancellations alone
        await tasks.__aexit__(None, None, None)
        return False
    return await tasks.__aexit__(kind, error, trace)
