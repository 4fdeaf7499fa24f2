"""What stands between a sender and who gets its message: nothing, a copy, or a fingerprint.

Messages are handed over as they are, since copying costs more than everything else a `tell` does, and
frozen messages need none. For the others, a class or a system can ask for copies, or, in tests, for a
fingerprint that finds a message which was changed after it was sent.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import pathlib
import types
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, cast

__all__ = ["Isolation", "fingerprint"]


class Isolation(enum.StrEnum):
    """What is handed over."""

    NONE = "none"
    """The message itself: make it frozen."""
    COPY = "copy"
    """A deep copy made in the call that sends, of what can be changed; of the reply as well."""
    CHECK = "check"
    """The message itself; one that was changed before its turn is not handled, and fails its receiver."""


_ATOMS: frozenset[Any] = frozenset(
    {
        *(bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType, type, range, slice),
        *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.MethodType),
        *(dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone),
        *(decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePosixPath, pathlib.PureWindowsPath),
        *(pathlib.PosixPath, pathlib.WindowsPath, None),
    }
)
"""Types whose values never change (a function or module is not message content, but what it names)."""


def fingerprint(value: object) -> object:
    """What a message looks like now, all the way down; two that are equal have seen no change between.

    Refs, functions, modules and whatever else shows neither attributes, items nor bytes count by identity.
    """
    return _look(value, {})


class _Leaf:
    """A value that has no parts. Held, so that no other object gets its identity."""

    __slots__ = ("_by_value", "_value")

    def __init__(self, value: object, *, by_value: bool) -> None:
        self._value = value
        self._by_value = by_value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Leaf):
            return False
        return self._value is other._value or (self._by_value and bool(self._value == other._value))

    __hash__ = None  # type: ignore[assignment] # nobody hashes one, and its value may not be hashable


def _look(value: object, seen: dict[int, int]) -> object:
    kind = type(value)
    if kind in _ATOMS or isinstance(value, enum.Enum | type):
        return kind, _Leaf(value, by_value=True)
    if hasattr(kind, "__sentient_path__"):
        return kind, _Leaf(value, by_value=False)
    if id(value) in seen:
        return "seen before", seen[id(value)]
    seen[id(value)] = len(seen)
    items = _items(value)
    attributes = [(name, _look(item, seen)) for name, item in _attributes(value)]
    if items is None and not attributes:
        return kind, _Leaf(value, by_value=False) if (content := _bytes(value)) is None else content
    return kind, None if items is None else [_look(item, seen) for item in items], attributes


def _items(value: object) -> Iterable[object] | None:
    """The items of a container; a mapping's keys and values in turn."""
    if isinstance(value, Mapping):
        return chain.from_iterable(cast("Mapping[object, object]", value).items())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return cast("Iterable[object]", value)
    return None


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    """What an object holds in its `__dict__` and in slots; a Struct's fields are slots."""
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, types.MemberDescriptorType):
                with suppress(AttributeError):  # a slot that is not filled
                    yield name, member.__get__(value)


def _bytes(value: object) -> bytes | None:
    """The content of a buffer: bytearray, array, a numpy array."""
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type] # the TypeError is the answer
    except (TypeError, ValueError):
        return None
