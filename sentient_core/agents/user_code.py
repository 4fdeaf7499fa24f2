"""What a class says that is done for a task, in whichever of the three ways it says so."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from sentient_core.agents.models import Task, TaskExecutionMode
from sentient_core.errors import InvalidItem

if TYPE_CHECKING:
    from sentient_core.agents.agent import Agent

__all__ = ["carry_out", "returns_result"]


def returns_result(agent: Agent, mode: TaskExecutionMode) -> bool:
    """Its code returns the result of a task; else the last item that it yields is that."""
    executes = agent.__executes__ and mode is not TaskExecutionMode.STREAMING
    return executes or not agent.__streams__


async def carry_out(
    agent: Agent, task: Task, mode: TaskExecutionMode, bring: Callable[[object], Awaitable[None]]
) -> object:
    """Do the task, have each item brought, and return what was returned, or yielded last.

    Raises what the code raises, and InvalidItem where it is none.
    """
    if agent.__executes__ and returns_result(agent, mode):
        return await agent.execute_task(task, TaskExecutionMode.BLOCKING)
    if not agent.__streams__:
        return await agent.perform(task)
    stream: Any = agent.stream_execution(task)
    if not inspect.isasyncgen(stream):
        if inspect.iscoroutine(stream):
            stream.close()
        raise InvalidItem(
            f"{type(agent).__qualname__}.stream_execution is no async generator: let it yield items, "
            "or write perform(self, task) instead"
        )
    return await _last_of(stream, bring)


async def _last_of(stream: AsyncGenerator[Any, Any], bring: Callable[[object], Awaitable[None]]) -> object:
    last: object = None
    async with aclosing(stream):
        async for given in stream:
            await bring(given)
            last = given
    return last
