"""Ctrl-C, on both event loops the same: the work is cancelled, and the actors end in order."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from examples.site.errors import Interrupted

__all__ = ["interruptible"]

T = TypeVar("T")


async def interruptible(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work; SIGINT and SIGTERM cancel it and raise Interrupted.

    Left to itself, Ctrl-C is a KeyboardInterrupt wherever the program happens to be, on trio also in
    the middle of an actor's handler.
    """
    results: list[T] = []
    errors: list[Exception] = []
    signals: list[signal.Signals] = []

    async def cancel_on_signal() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for number in received:
                signals.append(number)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_on_signal)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - raised again outside of the group, which would wrap it
            errors.append(error)
        tasks.cancel_scope.cancel()
    if errors:
        raise errors[0]
    if results:
        return results[0]
    raise Interrupted(signals[0])
