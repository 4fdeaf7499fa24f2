"""How a value leaves an actor through a proxy, or comes in: itself if nobody can change it, else a copy.

So nothing that a proxy returns is the actor's own mutable state, and no argument stays in the hands of
both. Refs are addresses and pass as they are; an actor, its context and the like are refused.
"""

from __future__ import annotations

import copy
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import FunctionType
from typing import Any, cast
from uuid import UUID

import msgspec

__all__ = ["Handover", "handed_over"]

_FIXED: frozenset[type] = frozenset(
    {
        bool,
        bytes,
        complex,
        date,
        datetime,
        Decimal,
        float,
        Fraction,
        int,
        range,
        str,
        time,
        timedelta,
        timezone,
    }
    | {type(None), UUID}
)


class Handover(dict[int, Any]):
    """The memo of such a copy, by which a ref's `__deepcopy__` knows that it is meant to pass."""


def handed_over(value: Any) -> Any:
    """`value`, or a deep copy of it. Raises whatever copying raises for what cannot be copied."""
    if _is_fixed(value):
        return value
    if isinstance(value, FunctionType) and value.__closure__:
        raise TypeError("a function that holds on to variables around it is not copied")
    return copy.deepcopy(value, Handover())


def _is_fixed(value: object) -> bool:
    """Nothing in it can be changed."""
    kind = type(value)
    if kind in _FIXED or isinstance(value, Enum):
        return True
    if kind is tuple or kind is frozenset:
        return all(_is_fixed(item) for item in cast("tuple[object, ...]", value))
    if isinstance(value, msgspec.Struct) and value.__struct_config__.frozen:
        return all(_is_fixed(getattr(value, name)) for name in value.__struct_fields__)
    return False
