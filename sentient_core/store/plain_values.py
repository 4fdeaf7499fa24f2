"""What may stand in a payload: one rule for events, tasks, checkpoints and states alike.

A payload is kept as an object that a query can look into, so it is made of what JSON and the database both
have, and of times and bytes. Whatever else is in it is refused at the call that brings it, by the name of
its place: found behind the journal, it would take the rows of others with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from sentient_core.errors import UnstorableValue

__all__ = ["MOST_BYTES", "MOST_NESTED", "check_storable"]

MOST_BYTES = 16 * 1024 * 1024
"""Largest payload, about as many bytes as it takes encoded."""

MOST_NESTED = 64
"""Deepest nesting; the engine refuses a request nested deeper than about 95, of which a payload is a part."""


def check_storable(value: object, where: str, *, most_bytes: int = MOST_BYTES) -> Any:
    """A copy of `value` exactly as it will come back from the store, or UnstorableValue.

    None, booleans, integers of 64 bits, finite floats, text, bytes, aware datetimes, lists and objects with
    text keys come back equal. Declared changes: a tuple becomes a list, a UUID its text, an enum its value, a
    time its UTC (one without a time zone is taken for that), a bytearray bytes. `where` is what the value is
    to its caller; the error names the place in it: `input_data.items[3].price`.
    """
    return _Copy(most_bytes).of(value, where, 1)


class _Copy:
    """One walk through a value, which counts what it has seen."""

    __slots__ = ("_most", "_room")

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = most

    def of(self, value: object, where: str, depth: int) -> Any:
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            plain = leaf(value, where)
            self._take(len(plain) + 5 if isinstance(plain, str | bytes) else 9, where)
            return plain
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[object, object]", value), where, depth)
        if isinstance(value, list | tuple):
            return self._array(cast("Sequence[object]", value), where, depth)
        if isinstance(value, Enum):
            return self.of(value.value, where, depth)
        for kind, leaf in _LEAVES.items():  # a subclass, such as pandas' Timestamp
            if isinstance(value, kind):
                return self.of(leaf(value, where), where, depth)
        raise UnstorableValue(where, f"a {type(value).__qualname__}", _advice(value))

    def _object(self, items: Mapping[object, object], where: str, depth: int) -> dict[str, Any]:
        self._enter(where, depth)
        plain: dict[str, Any] = {}
        for key, item in items.items():
            if not isinstance(key, str):
                raise UnstorableValue(where, f"the key {_shown(key)}", "keys are text: use str(key)")
            name = _text(key, f"a key of {where}")
            self._take(len(name) + 5, where)
            plain[name] = self.of(item, f"{where}{_step(name)}", depth + 1)
        return plain

    def _array(self, items: Sequence[object], where: str, depth: int) -> list[Any]:
        self._enter(where, depth)
        return [self.of(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(items)]

    def _enter(self, where: str, depth: int) -> None:
        if depth > MOST_NESTED:
            raise UnstorableValue(
                where, f"nested deeper than {MOST_NESTED} levels", "keep less of it, or its JSON as text"
            )
        self._take(5, where)

    def _take(self, size: int, where: str) -> None:
        self._room -= size
        if self._room < 0:
            raise UnstorableValue(
                where,
                f"beyond the {self._most:,} bytes that a payload may have",
                "keep large content in a file, and its name here",
            )


def _text(value: str, where: str) -> str:
    plain = str.__str__(value) if type(value) is not str else value
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise UnstorableValue(
            where, "text with half a surrogate pair", "decode it with errors='replace', or keep bytes"
        ) from None
    return plain


def _integer(value: int, where: str) -> int:
    if not -(2**63) <= value < 2**63:
        raise UnstorableValue(where, "an integer beyond 64 bits", "keep it as text")
    return int(value)


def _number(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise UnstorableValue(where, f"{float(value)}", "use None for what is no number")
    return float(value)


def _moment(value: datetime, where: str) -> datetime:
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    try:
        there = value.astimezone(UTC)
    except OverflowError:
        raise UnstorableValue(where, "a time outside of the years 1 to 9999 in UTC", "use None") from None
    return (
        datetime(*there.timetuple()[:6], there.microsecond, tzinfo=UTC)
        if type(there) is not datetime
        else there
    )


_LEAVES: Mapping[type, Callable[[Any, str], Any]] = {
    type(None): lambda value, _: value,
    bool: lambda value, _: value,
    str: _text,
    int: _integer,
    float: _number,
    datetime: _moment,
    bytes: lambda value, _: bytes(value),
    bytearray: lambda value, _: bytes(value),
    UUID: lambda value, _: str(value),
}


def _advice(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "use a list"
    if isinstance(value, date):
        return "use a datetime, or its isoformat()"
    if isinstance(value, Decimal):
        return "use a float, or its text"
    if callable(getattr(value, "to_dict", None)):
        return "use its to_dict()"
    return "use what JSON has (None, bool, int, float, str, list, dict), datetimes or bytes"


def _step(key: str) -> str:
    return f".{key}" if key.isidentifier() and len(key) <= 100 else f"[{_shown(key)}]"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
