"""Payloads of published events: checked before anything happens, so that what is read is what was published.

Objects with texts as keys, lists, texts, bytes, 64-bit integers, floats (NaN and infinities too), booleans
and None come back as they were, at most 80 levels deep; tuples come back as lists. Times come back as aware
ones, to the microsecond. Structs, dataclasses, enumerations, UUIDs and Decimals are written as msgspec does:
as objects, values and texts. Everything else is refused.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec

from sentient_core.errors import EventTooLarge, InvalidPayload
from sentient_core.store.payload import MAX_DEPTH

__all__ = ["packed"]

_encode = msgspec.msgpack.Encoder().encode
_BUILT = (str, bytes, float, bool)


def packed(payload: object, most: int) -> bytes:
    """The exact bytes of a payload. Raises InvalidPayload, EventTooLarge (more than `most` bytes)."""
    if not isinstance(payload, Mapping):
        raise InvalidPayload("payload", f"it must be a mapping with texts as keys, not {_kind(payload)}")
    plain = _plain(cast("Mapping[object, object]", payload), "payload", MAX_DEPTH)
    try:
        data = _encode(plain)
    except Exception as error:  # whatever msgspec raises for it
        raise InvalidPayload("payload", f"it cannot be encoded ({error})") from error
    if len(data) > most:
        raise EventTooLarge(len(data), most)
    return data


def _plain(value: Any, where: str, depth: int) -> object:
    """As it is stored. Short of `depth` levels."""
    if depth == 0:
        raise InvalidPayload(where[:200], f"it is nested deeper than {MAX_DEPTH} levels")
    if value is None or type(value) in _BUILT:
        if isinstance(value, str):
            _check_text(value, where)
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, where, depth)
    if isinstance(value, bool | float | bytes | bytearray):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidPayload(where, "an integer of more than 64 bits; give it as a text")
        return value
    if isinstance(value, str):
        _check_text(value, where)
        return value
    if isinstance(value, Mapping):
        items: dict[str, object] = {}
        for key, item in cast("Mapping[object, object]", value).items():
            if not isinstance(key, str):
                raise InvalidPayload(where, f"{key!r:.100} cannot be a key: only texts can")
            _check_text(key, where)
            items[key] = _plain(item, f"{where}[{key!r}]", depth - 1)
        return items
    if isinstance(value, list | tuple):
        return [
            _plain(item, f"{where}[{position}]", depth - 1)
            for position, item in enumerate(cast("list[object]", value))
        ]
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidPayload(where, "a time without a time zone; give an aware datetime")
        return value
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, msgspec.Struct) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        try:
            built: object = msgspec.to_builtins(value, builtin_types=(bytes, bytearray, datetime))
        except Exception as error:  # whatever msgspec raises for it
            raise InvalidPayload(where, f"it cannot be encoded ({error})") from error
        return _plain(built, where, depth)
    hint = "; give a sorted list" if isinstance(value, set | frozenset) else ""
    kind = _kind(cast("object", value))
    raise InvalidPayload(where, f"a {kind} would not come back as it was{hint}")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidPayload(where, "a text with a lone surrogate, which no store can hold") from None


def _kind(value: object) -> str:
    return type(value).__qualname__
