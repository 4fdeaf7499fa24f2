"""What becomes of a task that a workflow has given to an agent: waited for beside the workflow's runner.

The task is the agent's: it goes on over restarts of the agent, of the runner and of the process, and ends
once. Whoever asks for it again, by its id, gets the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from sentient_core.actors.life_events import report_alert
from sentient_core.agents.agent import Agent
from sentient_core.agents.crew import crew_of
from sentient_core.agents.handle import AgentHandle
from sentient_core.agents.models import Task
from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.workflows.progress import Outcome
from sentient_core.errors import (
    ActorStopped,
    AgentGone,
    DeliveryError,
    StoreError,
    TaskFailed,
)

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["MOST_BYTES", "PATIENCE", "outcome_of"]

PATIENCE = 30.0
"""Seconds without the agent of a task, or without one for a step, after which a person is told."""

MOST_BYTES = 1024 * 1024
"""Of a result: it is kept in the state of the workflow, which is written with each of its turns."""

_AGAIN_SECONDS = 1.0


async def outcome_of(cell: Cell, path: str, task: Task, is_cut: Callable[[], bool]) -> Outcome:
    """Wait for the end of a task. `cell`: of the workflow; `is_cut`: the task is to be cancelled by now."""
    crew = crew_of(cell.runtime)
    crew.expect(path, task.task_id)
    try:
        while True:
            agent = await _agent_at(cell, path, task, is_cut)
            if isinstance(agent, Outcome):
                return agent
            try:
                return _outcome(await AgentHandle(agent.ref).execute_task(task))
            except TaskFailed as error:
                return Outcome(status=TaskStatus.FAILED, error=error.error)
            except (AgentGone, ActorStopped):
                if not agent.is_alive and not cell.runtime.is_ending:
                    return _gone(path)
            except (DeliveryError, StoreError):
                pass  # the task is written down, or will be: ask again
            await anyio.sleep(_AGAIN_SECONDS)
    finally:
        crew.expect_no_more(path, task.task_id)


async def _agent_at(cell: Cell, path: str, task: Task, is_cut: Callable[[], bool]) -> Cell | Outcome:
    """The agent of a task, when it is there; or what that it is not there means."""
    runtime = cell.runtime
    crew = crew_of(runtime)
    is_told = False
    while True:
        arrivals = crew.arrivals
        found = runtime.registry.find(path)
        if found is not None and found.is_alive and issubclass(found.blueprint.cls, Agent):
            return found
        if crew.has_come(path) and not runtime.is_ending:
            return _gone(path)
        with anyio.move_on_after(PATIENCE) as patience:
            await arrivals.wait()
        if patience.cancelled_caught and is_cut():
            return Outcome(status=TaskStatus.CANCELLED, error=f"its agent '{path}' is not there")
        if patience.cancelled_caught and not is_told:
            is_told = True
            cause = f"task '{task.task_id}' is of '{path}', which nobody has started"
            report_alert(
                cell, "workflow waits for its agent", cause, workflow_id=task.workflow_id, agent=path
            )


def _outcome(result: dict[str, Any]) -> Outcome:
    if result.get("status") == "cancelled":
        return Outcome(status=TaskStatus.CANCELLED)
    size = len(msgspec.msgpack.encode(result))
    if size > MOST_BYTES:
        why = (
            f"its result has {size:,} bytes; a step may have {MOST_BYTES:,}: keep it elsewhere, and say where"
        )
        return Outcome(status=TaskStatus.FAILED, error=why, may_retry=False)
    return Outcome(status=TaskStatus.COMPLETED, result=result)


def _gone(path: str) -> Outcome:
    return Outcome(status=TaskStatus.FAILED, error=f"its agent '{path}' has ended for good")
