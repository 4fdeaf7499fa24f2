"""Signals of a workflow, and who waits for them: pure. One signal is for one who waits, the first to do so.

A signal that comes before somebody waits for it is kept. Approvals come first; then the code of tasks, in the
order in which it has asked.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sentient_core.agents.workflows.progress import KeptSignal, Progress, SignalWait

__all__ = ["answered", "awaited", "for_approval", "withdrawn"]

_SECOND = 1_000_000_000


def answered(progress: Progress, name: str, data: dict[str, Any]) -> Progress:
    """A signal has come: kept for whoever waits for it, or will."""
    return msgspec.structs.replace(progress, signals=(*progress.signals, KeptSignal(name, data)))


def for_approval(progress: Progress, name: str) -> tuple[Progress, dict[str, Any] | None]:
    """The oldest signal of a name, taken; None: there is none."""
    for index, signal in enumerate(progress.signals):
        if signal.name == name:
            rest = progress.signals[:index] + progress.signals[index + 1 :]
            return msgspec.structs.replace(progress, signals=rest), signal.data
    return progress, None


def withdrawn(progress: Progress, key: str) -> Progress:
    """Nobody waits at this place any more; a signal that was meant for it is for the next who waits."""
    wait = progress.waits.get(key)
    if wait is None or wait.has_expired:
        return progress
    signals = progress.signals
    if wait.data is not None:
        signals = (KeptSignal(wait.name, wait.data), *signals)
    waits = {other: its for other, its in progress.waits.items() if other != key}
    return msgspec.structs.replace(progress, waits=waits, signals=signals)


def awaited(
    progress: Progress,
    key: str,
    name: str,
    task_id: str,
    timeout: float | None,
    now: int,
    *,
    is_late: bool = False,
) -> tuple[Progress, SignalWait]:
    """The code of a task waits for a signal, at the place that `key` names, or asks how that stands.

    `timeout` counts from when it asks for the first time; `is_late`: it is over by the clock of who waits.
    """
    wait = progress.waits.get(key)
    if wait is not None and wait.is_over:
        return progress, wait
    if wait is None:
        wait = SignalWait(
            name=name, task_id=task_id, expires_at=0 if timeout is None else now + round(timeout * _SECOND)
        )
    first = next(
        (other for other, its in progress.waits.items() if its.name == name and not its.is_over), key
    )
    new, data = for_approval(progress, name) if first == key else (progress, None)
    if data is not None:
        wait = msgspec.structs.replace(wait, data=data)
    elif is_late or 0 < wait.expires_at <= now:
        wait = msgspec.structs.replace(wait, has_expired=True)
    if new.waits.get(key) == wait:
        return new, wait
    return msgspec.structs.replace(new, waits={**new.waits, key: wait}), wait
