"""What tests expect a message to be: of a type, equal to a value, or what a predicate is true of."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any

__all__ = ["is_met", "listed", "words"]

_SHOWN = 5


def is_met(what: Any, message: object) -> bool:
    """The message is what was expected."""
    if isinstance(what, type):
        return isinstance(message, what)
    if _is_predicate(what):
        return bool(what(message))
    return bool(message == what)


def words(what: Any) -> str:
    """What is expected, for people."""
    if isinstance(what, type):
        article = "an" if what.__qualname__[0] in "AEIOUaeiou" else "a"
        return f"{article} {what.__qualname__}"
    if _is_predicate(what):
        return f"what {getattr(what, '__qualname__', what)} is true of"
    return repr(what)


def listed(messages: Iterable[object]) -> str:
    """The first few of them."""
    texts = [repr(message) for message in messages]
    left = len(texts) - _SHOWN
    return "[" + ", ".join(texts[:_SHOWN]) + (f", and {left} more" if left > 0 else "") + "]"


def _is_predicate(what: Any) -> bool:
    return inspect.isroutine(what) or isinstance(what, functools.partial)
