"""What becomes of a task that a workflow has given to an agent: waited for beside the workflow's runner.

The task is the agent's: it goes on over restarts of the agent, of the runner and of the process, and ends
once. Whoever asks for it again, by its id, gets the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio

from sentient_core.actors.life_events import report_alert
from sentient_core.agents.agent import Agent
from sentient_core.agents.crew import crew_of
from sentient_core.agents.handle import AgentHandle
from sentient_core.agents.models import Task, TaskExecution
from sentient_core.agents.statuses import TaskStatus, is_final
from sentient_core.agents.workflows.progress import Outcome
from sentient_core.causes import in_a_line
from sentient_core.errors import (
    ActorStopped,
    AgentGone,
    AskTimeout,
    CommitTimeout,
    DeliveryError,
    MailboxFull,
    SendTimeout,
    StoreError,
    TaskFailed,
)

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["PATIENCE", "outcome_of"]

PATIENCE = 30.0
"""Seconds without the agent of a task, or without one for a step, after which a person is told."""

_AGAIN_SECONDS = 1.0
_PASSING = (AskTimeout, SendTimeout, CommitTimeout, MailboxFull, StoreError)


async def outcome_of(
    cell: Cell, path: str, task: Task, is_cut: Callable[[], bool], *, is_again: bool
) -> Outcome:
    """Wait for the end of a task. `cell`: of the workflow; `is_cut`: the task is to be cancelled by now.

    `is_again`: it was given by an earlier incarnation, or start of the process.
    """
    crew = crew_of(cell.runtime)
    crew.expect(path, task.task_id)
    try:
        while True:
            agent = await _agent_at(cell, path, task, is_cut)
            if isinstance(agent, Outcome):
                return agent
            try:
                outcome = await _asked_for(cell, AgentHandle(agent.ref), task, is_again)
            except _PASSING:
                outcome = None
            except Exception as error:  # noqa: BLE001 - whatever the agent has against the task
                if not cell.runtime.is_ending:  # else the next start asks again
                    may_retry = isinstance(error, DeliveryError)
                    return Outcome(
                        status=TaskStatus.FAILED,
                        error=in_a_line(error),
                        error_type=type(error).__name__,
                        may_retry=may_retry,
                    )
                outcome = None
            if outcome is not None:
                return outcome
            is_again = True
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
        with anyio.move_on_after(PATIENCE) as patience:
            await arrivals.wait()
        if patience.cancelled_caught and is_cut():
            return Outcome(status=TaskStatus.CANCELLED, error=f"its agent '{path}' is not there")
        if patience.cancelled_caught and not is_told:
            is_told = True
            cause = f"task '{task.task_id}' is of '{path}', which is not there"
            report_alert(
                cell, "workflow waits for its agent", cause, workflow_id=task.workflow_id, agent=path
            )


async def _asked_for(cell: Cell, agent: AgentHandle, task: Task, is_again: bool) -> Outcome | None:
    """What comes of a task, or came of it long ago: its row says that for longer than ids are kept.

    None: its agent has ended, and keeps the task for its next start.
    """
    known = await agent.get_task(task.task_id) if is_again else None
    if known is not None and known.status is TaskStatus.FAILED:
        return _failed(known, "")
    if known is not None and is_final("task", known.status):
        return _outcome({**(known.output_data or {}), "status": known.status.value})
    try:
        return _outcome(await agent.execute_task(task))
    except TaskFailed as error:
        return _failed(await agent.get_task(task.task_id), error.error)
    except (AgentGone, ActorStopped):
        if cell.runtime.is_ending or await agent.get_task(task.task_id) is not None:
            return None
        return Outcome(status=TaskStatus.CANCELLED, is_lost=True)


def _failed(known: TaskExecution | None, error: str) -> Outcome:
    if known is None:  # somebody has deleted its row meanwhile
        return Outcome(status=TaskStatus.FAILED, error=error)
    return Outcome(
        status=TaskStatus.FAILED, error=known.error_message or error, error_type=known.error_type or ""
    )


def _outcome(result: dict[str, Any]) -> Outcome:
    if result.get("status") == "cancelled":
        return Outcome(status=TaskStatus.CANCELLED)
    return Outcome(status=TaskStatus.COMPLETED, result=result)
