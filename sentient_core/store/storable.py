"""A record as msgpack can hold it, where it cannot hold what the record has.

Whoever makes a record sees to it that it can be stored. Should one not, a group commit, which is of many
actors, must neither fail for it nor leave out a turn: so the one text or number in it is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec

__all__ = ["storable"]

T = TypeVar("T")

_LARGEST = 2**63 - 1


def storable(value: T) -> T:
    """The same, with lone surrogates spelled out and numbers within 64 bits, at any depth."""
    return cast("T", _storable(value))


def _storable(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {name: _storable(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if type(value) is tuple:
        return tuple(map(_storable, cast("Iterable[Any]", value)))
    if type(value) is str:  # an enumeration's stay what they are
        return value.encode("utf-8", "backslashreplace").decode()
    if type(value) is int:
        return max(-_LARGEST, min(value, _LARGEST))
    return value
