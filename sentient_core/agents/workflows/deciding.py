"""What comes next in a workflow: pure.

Each function takes how far it is, and what has happened, and says how far it is then; who runs it brings that
about (`runner`).

A step is begun when all that it waits for is completed, and no sooner. An attempt that fails is tried again
as its `retry` says. When a step has failed for good, or somebody cancels the workflow, nothing more is begun,
what is at work is cancelled and waited for, and then what was completed is undone, the last one first, one by
one: a compensation that fails is told of, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sentient_core.agents.models import Task
from sentient_core.agents.statuses import TaskStatus, WorkflowStatus, check_transition
from sentient_core.agents.workflows.definition import Approval, Delay, Part, Step, Workflow
from sentient_core.agents.workflows.inputs import gathered
from sentient_core.agents.workflows.progress import (
    UNDO,
    Cut,
    Goal,
    Outcome,
    Progress,
    StepProgress,
    errand_of,
    undoing,
)
from sentient_core.agents.workflows.signals import answered, for_approval, withdrawn
from sentient_core.agents.workflows.sizes import bytes_of_result, check_input
from sentient_core.errors import InvalidArgument, MissingInput

__all__ = [
    "assigned",
    "begun",
    "cancelled",
    "ended",
    "next_moment",
    "next_steps",
    "paused",
    "rang",
    "resumed",
    "signalled",
    "task_of",
    "unawaited",
]

_SECOND = 1_000_000_000


def begun(definition: Workflow, workflow_id: str, input_data: Mapping[str, Any], now: int) -> Progress:
    """It is started."""
    new = Progress(
        workflow_id=workflow_id,
        status=WorkflowStatus.RUNNING,
        input_data=dict(input_data),
        steps={part.name: StepProgress() for part in definition.steps},
        began_at=now,
    )
    return _advanced(definition, new, now)


def next_steps(definition: Workflow, progress: Progress, now: int) -> list[str]:
    """What is to be given to an agent now, in the order of the definition."""
    if progress.status is not WorkflowStatus.RUNNING:
        return []
    return [
        name
        for name, step in progress.steps.items()
        if step.is_due
        and not step.is_over
        and not step.is_at_work
        and step.wakes_at <= now
        and errand_of(definition, name) is not None
    ]


def assigned(definition: Workflow, progress: Progress, name: str, agent: str, now: int) -> Progress:
    """An agent is given a step that is among the next ones."""
    errand, step = errand_of(definition, name), progress.steps[name]
    timeout = None if errand is None else errand.timeout
    attempt = step.attempts + 1
    return _with(
        progress,
        name,
        status=TaskStatus.RUNNING,
        attempts=attempt,
        agent=agent,
        task_id=_task_id(progress.workflow_id, name, attempt),
        is_at_work=True,
        wakes_at=0,
        expires_at=0 if timeout is None else now + round(timeout * _SECOND),
        began_at=step.began_at or now,
    )


def task_of(definition: Workflow, progress: Progress, name: str) -> Task:
    """The task of a step that an agent was given: the same one whenever it is asked for."""
    errand, step = errand_of(definition, name), progress.steps[name]
    if errand is None or step.task_id is None:
        raise AssertionError(f"{name} is no task")
    return Task(
        task_id=step.task_id,
        description=errand.description or name.replace(UNDO, ": undo"),
        input_data=gathered(name, errand.input_data, errand.inputs, progress.input_data, progress.results),
        workflow_id=progress.workflow_id,
    )


def ended(
    definition: Workflow, progress: Progress, name: str, task_id: str, outcome: Outcome, now: int
) -> Progress:
    """A task has ended. What is told of an earlier attempt changes nothing."""
    step, errand = progress.steps.get(name), errand_of(definition, name)
    if step is None or errand is None or not step.is_at_work or step.task_id != task_id:
        return progress
    new = msgspec.structs.replace(
        progress, waits={key: wait for key, wait in progress.waits.items() if wait.task_id != task_id}
    )
    if outcome.is_lost and step.cut is None:
        new = _with(new, name, is_at_work=False, expires_at=0, left=0, wakes_at=now, lost=step.lost + 1)
        return _advanced(definition, new, now)
    if outcome.status is TaskStatus.COMPLETED:
        return _advanced(definition, _completed(new, name, outcome.result or {}, now), now)
    is_timeout = step.cut is Cut.TIMEOUT and outcome.status is TaskStatus.CANCELLED
    error = f"it took longer than {errand.timeout or 0:g} seconds" if is_timeout else outcome.error
    is_wanted = name.endswith(UNDO) or progress.goal is Goal.COMPLETE
    may_retry = outcome.may_retry and (is_timeout or outcome.status is TaskStatus.FAILED)
    may_retry = may_retry and outcome.error_type not in errand.retry.unless
    if not is_wanted:
        new = _over(new, name, outcome.status, error or None, now)
    elif may_retry and step.attempts - step.lost < errand.retry.attempts:
        wait = round(errand.retry.wait_after(step.attempts - step.lost) * _SECOND)
        new = _with(
            new, name, is_at_work=False, cut=None, expires_at=0, left=0, wakes_at=now + wait, error=error
        )
    else:
        new = _over(new, name, TaskStatus.FAILED, error or "somebody cancelled its task", now)
    return _advanced(definition, new, now)


def rang(definition: Workflow, progress: Progress, now: int) -> Progress:
    """Time has passed: delays are over, attempts may be made again, others have taken too long."""
    if progress.status is not WorkflowStatus.RUNNING:
        return progress
    new = progress
    for name, step in progress.steps.items():
        if step.is_over:
            continue
        if 0 < step.expires_at <= now:
            if step.is_at_work:
                new = _with(new, name, cut=step.cut or Cut.TIMEOUT, expires_at=0)
            else:
                new = _over(new, name, TaskStatus.FAILED, "nobody has sent its signal in time", now)
        elif 0 < step.wakes_at <= now and errand_of(definition, name) is not None:
            new = _with(new, name, wakes_at=0)
    return _advanced(definition, new, now)


def next_moment(progress: Progress) -> int | None:
    """When `rang` is to be called next; None: only if something else happens."""
    if progress.status is not WorkflowStatus.RUNNING:
        return None
    moments = [
        moment
        for step in progress.steps.values()
        if not step.is_over
        for moment in (step.expires_at, step.wakes_at)
        if moment
    ]
    return min(moments, default=None)


def signalled(
    definition: Workflow, progress: Progress, name: str, data: Mapping[str, Any], now: int
) -> Progress:
    """A signal has come."""
    return _advanced(definition, answered(progress, name, dict(data)), now)


def unawaited(definition: Workflow, progress: Progress, key: str, now: int) -> Progress:
    """The code of a task waits no longer at the place that `key` names."""
    return _advanced(definition, withdrawn(progress, key), now)


def paused(progress: Progress, now: int) -> Progress:
    """Nothing is begun any more until it is resumed; time limits stand still. Raises IllegalTransition."""
    check_transition("workflow", progress.status, WorkflowStatus.PAUSED)
    if progress.status is WorkflowStatus.PAUSED:
        return progress
    steps = {
        name: msgspec.structs.replace(step, expires_at=0, left=max(1, step.expires_at - now))
        if step.expires_at and not step.is_over
        else step
        for name, step in progress.steps.items()
    }
    return msgspec.structs.replace(progress, status=WorkflowStatus.PAUSED, steps=steps)


def resumed(definition: Workflow, progress: Progress, now: int) -> Progress:
    """It goes on. Raises IllegalTransition."""
    check_transition("workflow", progress.status, WorkflowStatus.RUNNING)
    if progress.status is not WorkflowStatus.PAUSED:
        return progress
    return rang(definition, _unpaused(progress, now), now)


def cancelled(definition: Workflow, progress: Progress, compensate: bool, cause: str, now: int) -> Progress:
    """Somebody cancels it, paused or not. One that fails already, or is over, stays as it is."""
    if progress.is_over or progress.goal is not Goal.COMPLETE:
        return progress
    new = _unpaused(progress, now) if progress.status is WorkflowStatus.PAUSED else progress
    new = msgspec.structs.replace(new, goal=Goal.CANCEL, is_compensating=compensate, cause=cause)
    return _advanced(definition, new, now)


def _task_id(workflow_id: str, name: str, attempt: int) -> str:
    # Ids of workflows may hold colons, and neither they nor names of steps a slash: no two are the same.
    return f"{workflow_id}:{name.replace(UNDO, '/undo')}:{attempt}"


def _unpaused(progress: Progress, now: int) -> Progress:
    steps = {
        name: msgspec.structs.replace(step, expires_at=now + step.left, left=0) if step.left else step
        for name, step in progress.steps.items()
    }
    return msgspec.structs.replace(progress, status=WorkflowStatus.RUNNING, steps=steps)


def _advanced(definition: Workflow, progress: Progress, now: int) -> Progress:
    """All that follows at once from how far it is."""
    while progress.status is WorkflowStatus.RUNNING:
        new = (
            _onwards(definition, progress, now)
            if progress.goal is Goal.COMPLETE
            else _back(definition, progress, now)
        )
        if new is progress:
            break
        progress = new
    return progress


def _onwards(definition: Workflow, progress: Progress, now: int) -> Progress:
    after, new = definition.after, progress
    for part in definition.steps:
        step = new.steps[part.name]
        if step.status is TaskStatus.FAILED:
            return msgspec.structs.replace(
                new, goal=Goal.FAIL, failed_step=part.name, cause=step.error or "it has failed"
            )
        if not step.is_due and all(
            new.steps[other].status is TaskStatus.COMPLETED for other in after[part.name]
        ):
            new = _due(new, part, now)
            step = new.steps[part.name]
        if step.status is TaskStatus.RUNNING and isinstance(part, Approval):
            new = _approved(new, part, now)
        if step.status is TaskStatus.RUNNING and isinstance(part, Delay) and step.wakes_at <= now:
            new = _completed(new, part.name, {}, now)
    if new is progress and all(step.status is TaskStatus.COMPLETED for step in new.steps.values()):
        return msgspec.structs.replace(new, status=WorkflowStatus.COMPLETED, ended_at=now)
    return new


def _due(progress: Progress, part: Part, now: int) -> Progress:
    """All that it waits for is completed."""
    if isinstance(part, Step):
        new = _with(progress, part.name, is_due=True)
        try:
            check_input(
                gathered(part.name, part.input_data, part.inputs, progress.input_data, progress.results)
            )
        except (MissingInput, InvalidArgument) as error:
            new = _over(new, part.name, TaskStatus.FAILED, str(error), now)
        return new
    if isinstance(part, Delay):
        wakes_at = now + round(part.seconds * _SECOND)
        return _with(
            progress, part.name, is_due=True, status=TaskStatus.RUNNING, wakes_at=wakes_at, began_at=now
        )
    expires_at = 0 if part.timeout is None else now + round(part.timeout * _SECOND)
    return _with(
        progress, part.name, is_due=True, status=TaskStatus.RUNNING, expires_at=expires_at, began_at=now
    )


def _approved(progress: Progress, part: Approval, now: int) -> Progress:
    """The step of an approval, if its signal is there."""
    new, data = for_approval(progress, part.awaited)
    if data is None:
        return progress
    if data.get("approved") is False:
        return _over(new, part.name, TaskStatus.FAILED, str(data.get("reason") or "it was not approved"), now)
    return _completed(new, part.name, data, now)


def _back(definition: Workflow, progress: Progress, now: int) -> Progress:
    """It is not to be completed any more."""
    new = progress
    for part in definition.steps:
        step = new.steps[part.name]
        if step.is_at_work:
            if step.cut is None:
                new = _with(new, part.name, cut=Cut.END, expires_at=0)
        elif not step.is_over:
            new = _over(new, part.name, TaskStatus.CANCELLED, step.error, now)
    if any(not step.is_over for step in new.steps.values()):
        return new
    left = [
        (new.steps[part.name].place, part.name)
        for part in definition.steps
        if new.is_compensating
        and isinstance(part, Step)
        and part.compensate is not None
        and new.steps[part.name].status is TaskStatus.COMPLETED
        and undoing(part.name) not in new.steps
    ]
    if left:
        return _undone(definition, new, max(left)[1], now)
    status = WorkflowStatus.FAILED if new.goal is Goal.FAIL else WorkflowStatus.CANCELLED
    return msgspec.structs.replace(new, status=status, ended_at=now)


def _undone(definition: Workflow, progress: Progress, name: str, now: int) -> Progress:
    """A step is to be compensated."""
    undo = undoing(name)
    errand = errand_of(definition, undo)
    new = msgspec.structs.replace(progress, steps={**progress.steps, undo: StepProgress(is_due=True)})
    try:
        if errand is not None:
            check_input(gathered(undo, errand.input_data, errand.inputs, new.input_data, new.results))
    except (MissingInput, InvalidArgument) as error:
        new = _over(new, undo, TaskStatus.FAILED, str(error), now)
    return new


def _completed(progress: Progress, name: str, result: dict[str, Any], now: int) -> Progress:
    """A step is done; one whose result cannot be kept has failed. Of a compensation no result is kept."""
    if name.endswith(UNDO):
        return _over(progress, name, TaskStatus.COMPLETED, None, now)
    try:
        bytes_of_all = progress.bytes_of_results + bytes_of_result(result, progress.bytes_of_results)
    except InvalidArgument as error:
        return _over(progress, name, TaskStatus.FAILED, str(error), now)
    place = progress.places + 1
    new = _over(progress, name, TaskStatus.COMPLETED, None, now, result=result, place=place)
    return msgspec.structs.replace(new, places=place, bytes_of_results=bytes_of_all)


def _over(
    progress: Progress, name: str, status: TaskStatus, error: str | None, now: int, **more: Any
) -> Progress:
    return _with(
        progress,
        name,
        status=status,
        error=error,
        is_at_work=False,
        cut=None,
        wakes_at=0,
        expires_at=0,
        left=0,
        ended_at=now,
        **more,
    )


def _with(progress: Progress, name: str, **fields: Any) -> Progress:
    step = msgspec.structs.replace(progress.steps[name], **fields)
    return msgspec.structs.replace(progress, steps={**progress.steps, name: step})
