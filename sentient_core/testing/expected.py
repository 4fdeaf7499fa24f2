"""What tests expect a message to be: of a type, equal to a value, or what a predicate is true of."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from sentient_core.mailbox import DeadLetter

__all__ = ["differences", "in_words", "is_met", "listed", "short", "words"]

_SHOWN = 5
_LONGEST = 200


def is_met(what: Any, message: object) -> bool:
    """The message is what was expected."""
    if isinstance(what, type):
        return isinstance(message, what)
    if not _is_predicate(what):
        return bool(message == what)
    try:
        return bool(what(message))
    except Exception as error:
        error.add_note(f"raised by the predicate when it was given {message!r}")
        raise


def words(what: Any) -> str:
    """What is expected, for people."""
    if isinstance(what, type):
        article = "an" if what.__qualname__[0] in "AEIOUaeiou" else "a"
        return f"{article} {what.__qualname__}"
    if _is_predicate(what):
        return f"what {_predicate(what)} is true of"
    return repr(what)


def differences(what: Any, message: object) -> str:
    """Which fields of a message are others than expected; empty where it is not of the same type."""
    if type(what) is not type(message):
        return ""
    fields: tuple[str, ...] = ()
    if isinstance(what, msgspec.Struct):
        fields = what.__struct_fields__
    elif dataclasses.is_dataclass(what):
        fields = tuple(field.name for field in dataclasses.fields(what) if field.compare)
    pairs = ((name, getattr(what, name), getattr(message, name)) for name in fields)
    return ", ".join(
        f"{name} is {short(is_)}, not {short(meant)}" for name, meant, is_ in pairs if is_ != meant
    )


def listed(messages: Iterable[object]) -> Iterator[str]:
    """The first few of them, a line for each."""
    texts = [short(message) for message in messages]
    yield from texts[:_SHOWN]
    if len(texts) > _SHOWN:
        yield f"and {len(texts) - _SHOWN} more"


def in_words(letter: DeadLetter) -> str:
    """A dead letter in a line."""
    cause = f" ({letter.cause})" if letter.cause else ""
    return (
        f"{letter.reason}: {letter.message!r} from {letter.sender} to {letter.recipient or 'the root'}{cause}"
    )


def short(value: object) -> str:
    """What it looks like, for a line among others."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _predicate(what: Any) -> str:
    name: str = getattr(what, "__qualname__", repr(what))
    code = getattr(what, "__code__", None)
    if not name.endswith("<lambda>") or code is None:
        return name
    return f"the lambda in {Path(code.co_filename).name}:{code.co_firstlineno}"


def _is_predicate(what: Any) -> bool:
    return inspect.isroutine(what) or isinstance(what, functools.partial)
