"""What may stand in a payload: one rule for events, rows, tasks, checkpoints and states alike.

A payload is kept as an object that a query can look into, so it is made of what JSON and the database both
have, and of times and bytes. Whatever else is in it is refused at the call that brings it, by the name of
its place: found behind the journal, it would take the rows of others with it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

import msgspec

from sentient_core.errors import UnstorableValue

__all__ = ["MOST_BYTES", "MOST_NESTED", "check_storable"]

MOST_BYTES = 16 * 1024 * 1024
"""Largest payload, about as many bytes as it takes encoded."""

MOST_NESTED = 64
"""Deepest nesting; the engine refuses a request nested deeper than about 95, of which a payload is a part."""

_LONGEST_PLACE = 300
_KEPT_BY_MSGSPEC = (bytes, bytearray, datetime)


def check_storable(
    value: object, where: str, *, most_bytes: int | None = MOST_BYTES, most_nested: int = MOST_NESTED
) -> Any:
    """A copy of `value` exactly as it will come back from the store, or UnstorableValue.

    None, booleans, integers of 64 bits, finite floats, text, bytes, aware datetimes, lists and objects with
    text keys come back equal. Declared changes: a tuple becomes a list, a UUID or a Decimal its text, an enum
    its value, a time its UTC, a bytearray bytes, a Struct or a dataclass the object that msgspec makes of it.
    `where` is what the value is to its caller; the error names the place in it as Python would:
    `payload['items'][3]`. With `most_bytes` None, whoever calls looks at the size himself.
    """
    try:
        return _Copy(most_bytes, most_nested).of(value, 1)
    except _Unfit as unfit:
        why, advice = unfit.why, unfit.advice
        place = _short(f"{where}{''.join(reversed(unfit.steps))}")
        place = f"a key of {place}" if unfit.is_key else place
    raise UnstorableValue(place, why, advice)


class _Unfit(Exception):
    """Something that cannot be stored; the way to it is noted on the way up."""

    def __init__(self, why: str, advice: str, *, is_key: bool = False) -> None:
        self.why = why
        self.advice = advice
        self.is_key = is_key
        self.steps: list[str] = []
        super().__init__(why)


class _Copy:
    """One walk through a value, which counts what it has seen."""

    __slots__ = ("_deepest", "_most", "_room")

    def __init__(self, most_bytes: int | None, most_nested: int) -> None:
        self._most = math.inf if most_bytes is None else most_bytes
        self._room = self._most
        self._deepest = most_nested

    def of(self, value: object, depth: int) -> Any:
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            plain = leaf(value)
            self._take(len(plain) + 5 if isinstance(plain, str | bytes) else 9)
            return plain
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[object, object]", value), depth)
        if isinstance(value, list | tuple):
            return self._array(cast("Sequence[object]", value), depth)
        if isinstance(value, Enum):
            return self.of(value.value, depth)
        for kind, leaf in _LEAVES.items():  # a subclass, such as pandas' Timestamp
            if isinstance(value, kind):
                return self.of(leaf(value), depth)
        if _is_record(value):
            return self.of(_built(value), depth)
        raise _Unfit(f"a {type(value).__qualname__}", _advice(value))

    def _object(self, items: Mapping[object, object], depth: int) -> dict[str, Any]:
        self._enter(depth)
        plain: dict[str, Any] = {}
        for key, item in items.items():
            if not isinstance(key, str):
                raise _Unfit(f"no text, but {_shown(key)}", "keys are text: use str(key)", is_key=True)
            try:
                name = _text(key)
            except _Unfit as unfit:
                unfit.is_key = True
                raise
            self._take(len(name) + 5)
            try:
                plain[name] = self.of(item, depth + 1)
            except _Unfit as unfit:
                unfit.steps.append(f"[{_shown(name)}]")
                raise
        return plain

    def _array(self, items: Sequence[object], depth: int) -> list[Any]:
        self._enter(depth)
        plain: list[Any] = []
        for item in items:
            try:
                plain.append(self.of(item, depth + 1))
            except _Unfit as unfit:
                unfit.steps.append(f"[{len(plain)}]")
                raise
        return plain

    def _enter(self, depth: int) -> None:
        if depth > self._deepest:
            raise _Unfit(f"nested deeper than {self._deepest} levels", "keep less of it, or its JSON as text")
        self._take(5)

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise _Unfit(
                f"beyond the {self._most:,} bytes that a payload may have",
                "keep large content in a file, and its name here",
            )


def _text(value: str) -> str:
    plain = str.__str__(value) if type(value) is not str else value
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise _Unfit(
                "text with a lone surrogate (half of a pair)",
                "decode it with errors='replace', or keep bytes",
            ) from None
    return plain


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise _Unfit("an integer beyond 64 bits", "keep it as text")
    return int(value)


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _Unfit(f"{float(value)}", "use None for what is no number")
    return float(value)


def _moment(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise _Unfit("a time without a time zone", "give an aware one, such as datetime.now(UTC)")
    try:
        there = value.astimezone(UTC)
    except OverflowError:
        raise _Unfit("a time outside of the years 1 to 9999 in UTC", "use None") from None
    return (
        datetime(*there.timetuple()[:6], there.microsecond, tzinfo=UTC)
        if type(there) is not datetime
        else there
    )


_LEAVES: Mapping[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    str: _text,
    int: _integer,
    float: _number,
    datetime: _moment,
    bytes: bytes,
    bytearray: bytes,
    UUID: str,
    Decimal: str,
}


def _is_record(value: object) -> bool:
    return isinstance(value, msgspec.Struct) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    )


def _built(value: object) -> object:
    try:
        return msgspec.to_builtins(value, builtin_types=_KEPT_BY_MSGSPEC)
    except Exception as error:  # whatever msgspec raises for it
        why = f"a {type(value).__qualname__} that cannot be taken apart ({error!s:.200})"
        raise _Unfit(why, "give what it holds as a dict") from error


def _advice(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "use a list"
    if isinstance(value, date):
        return "use a datetime, or its isoformat()"
    if callable(getattr(value, "to_dict", None)):
        return "use its to_dict()"
    return "use what JSON has (None, bool, int, float, str, list, dict), datetimes or bytes"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(place: str) -> str:
    """Of a very deep one, its beginning and its end."""
    half = _LONGEST_PLACE // 2
    return place if len(place) <= _LONGEST_PLACE else f"{place[:half]} ... {place[-half:]}"
