"""`self.signal(name)` in the code of a task: waiting for a person, however long, over restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from sentient_core.actors.notices import check_seconds
from sentient_core.agents.fields import check_id
from sentient_core.agents.workflows.board import board_of
from sentient_core.agents.workflows.messages import AwaitSignal
from sentient_core.agents.workflows.runner import WorkflowRunner
from sentient_core.errors import DeliveryError, InvalidArgument, SignalTimeout, StoreError, UnknownWorkflow
from sentient_core.system import runtime_of

if TYPE_CHECKING:
    from sentient_core.agents.run import Run
    from sentient_core.system import ActorSystem

__all__ = ["signal_for"]

_PATIENCE = 30.0
"""Seconds in which the workflow has to answer how it stands with a signal."""
_AGAIN_SECONDS = 1.0


async def signal_for(system: ActorSystem, run: Run, name: str, timeout: float | None) -> dict[str, Any]:
    """See `Agent.signal`."""
    check_id(name, "name")
    if timeout is not None:
        check_seconds("timeout", timeout)
    task = run.work.task
    if task.workflow_id is None:
        raise InvalidArgument(
            f"task '{task.task_id}' belongs to no workflow, so nobody could send it {name!r}"
        )
    await run.pausable()
    ref = await system.get_or_spawn(WorkflowRunner, task.workflow_id)
    key, is_late, data = run.place(name), False, None
    async with run.aside():
        with board_of(runtime_of(system, "wait for a signal")).watching(task.workflow_id) as watched:
            while data is None:
                news = watched.news
                question = AwaitSignal(key, name, task.task_id, timeout, is_late)
                try:
                    answer = await ref.ask(question, timeout=_PATIENCE)
                except (DeliveryError, StoreError):  # the store is away, say
                    await anyio.sleep(_AGAIN_SECONDS)
                    continue
                if not answer.is_known:
                    raise UnknownWorkflow(task.workflow_id)
                if answer.has_expired:
                    raise SignalTimeout(task.workflow_id, name, timeout or 0.0)
                data = answer.data
                if data is None:
                    with anyio.move_on_after(answer.seconds_left) as patience:
                        await news.wait()
                    is_late = patience.cancelled_caught
    await run.pausable()
    return data
