"""Exceptions that are more than an actor's failure: cancellations, and groups that hold both."""

from __future__ import annotations

from typing import cast

from sentient_core.errors import HandlerCancelled

__all__ = ["parted", "stray"]


def stray(error: BaseException) -> HandlerCancelled:
    """The failure that a cancellation is which nobody had asked of the actor."""
    failure = HandlerCancelled("a cancellation escaped that nobody had asked of this actor")
    failure.__cause__ = error
    return failure


def parted(error: BaseException) -> tuple[BaseException | None, BaseException]:
    """What of an exception is the actor's own failure, if anything, and what goes on.

    A task group that is cancelled while one of its tasks fails raises both in one group.
    """
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    group = cast("BaseExceptionGroup[BaseException]", error)
    failures, others = group.split(Exception)
    return failures, group if others is None else others
