"""`self.signal(name)` in the code of a task: waiting for a person, however long, over restarts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from sentient_core.actors.notices import check_seconds
from sentient_core.actors.posting import FOR_EVER
from sentient_core.agents.fields import check_id
from sentient_core.agents.workflows.board import board_of
from sentient_core.agents.workflows.messages import AwaitSignal, StopAwaiting
from sentient_core.agents.workflows.runner import WorkflowRunner
from sentient_core.errors import DeliveryError, InvalidArgument, SignalTimeout, StoreError, UnknownWorkflow
from sentient_core.system import runtime_of

if TYPE_CHECKING:
    from sentient_core.actors.ref import ActorRef
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
        if timeout > FOR_EVER:
            raise InvalidArgument(f"timeout is {timeout:g} seconds; it can be {FOR_EVER:g} at most")
    task = run.work.task
    if task.workflow_id is None:
        raise InvalidArgument(
            f"task '{task.task_id}' belongs to no workflow, so nobody could send it {name!r}"
        )
    await run.pausable()
    ref = await system.get_or_spawn(WorkflowRunner, task.workflow_id)
    key = run.place(name)
    try:
        data = await _answer(system, ref, run, AwaitSignal(key, name, task.task_id, timeout, is_late=False))
        await run.pausable()
    except BaseException:
        if not run.comes_again:  # else it waits at the same place again, for what is left of its time
            with suppress(DeliveryError):
                ref.tell(StopAwaiting(key))
        raise
    return data


async def _answer(
    system: ActorSystem, ref: ActorRef[WorkflowRunner], run: Run, question: AwaitSignal
) -> dict[str, Any]:
    """What comes with the signal."""
    workflow_id, data = ref.name, None
    async with run.aside():
        with board_of(runtime_of(system, "wait for a signal")).watching(workflow_id) as watched:
            while data is None:
                news = watched.news
                try:
                    answer = await ref.ask(question, timeout=_PATIENCE)
                except (DeliveryError, StoreError):  # the store is away, say
                    await anyio.sleep(_AGAIN_SECONDS)
                    continue
                if not answer.is_known:
                    raise UnknownWorkflow(workflow_id)
                if answer.has_expired:
                    raise SignalTimeout(workflow_id, question.name, question.timeout or 0.0)
                data = answer.data
                if data is None:
                    with anyio.move_on_after(answer.seconds_left) as patience:
                        await news.wait()
                    question = msgspec.structs.replace(question, is_late=patience.cancelled_caught)
    return data
