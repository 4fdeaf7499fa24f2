"""Payloads that nothing may be stored of, for every entrance alike: what is wrong, where, in which words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

__all__ = ["BAD", "Bad", "nested"]


class Bad(msgspec.Struct, frozen=True):
    """One of them."""

    value: Any
    place: str
    """How the error names the place, behind the name of the whole."""
    says: str
    is_key: bool = False


class Convertible:
    """Says itself how to make plain data of it."""

    def to_dict(self) -> dict[str, int]:
        return {"x": 1}


class Holder(msgspec.Struct):
    """A struct that holds something."""

    it: Any


@dataclasses.dataclass
class Record:
    """A dataclass that holds something."""

    it: Any


def nested(levels: int) -> dict[str, Any]:
    """A payload that is `levels` objects deep."""
    made: dict[str, Any] = {}
    for _ in range(levels - 1):
        made = {"in": made}
    return made


def _circle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["me"] = made
    return made


BAD: Mapping[str, Bad] = {
    "a key that is no text": Bad({1: "one"}, "", "no text, but 1", is_key=True),
    "a key of bytes": Bad({"a": [{}, {b"x": 1}]}, "['a'][1]", "no text, but b'x'", is_key=True),
    "a lone surrogate in a key": Bad({"\ud800": 1}, "", "lone surrogate", is_key=True),
    "a lone surrogate": Bad({"a": ["x", "\udfff"]}, "['a'][1]", "lone surrogate"),
    "a set": Bad({"tags": {"b"}}, "['tags']", "use a list"),
    "a large integer": Bad({"a": [0, {"price": 2**63}]}, "['a'][1]['price']", "beyond 64 bits"),
    "a small integer": Bad({"a b": -(2**63) - 1}, "['a b']", "beyond 64 bits"),
    "not a number": Bad({"x": math.nan}, "['x']", "is nan"),
    "infinity": Bad({"x": (-math.inf,)}, "['x'][0]", "is -inf"),
    "a naive time": Bad({"at": datetime(2026, 1, 1)}, "['at']", "without a time zone"),  # noqa: DTZ001
    "a date": Bad({"when": date(2026, 1, 1)}, "['when']", "isoformat()"),
    "an object": Bad({"it": object()}, "['it']", "a object"),
    "a class": Bad({"it": int}, "['it']", "a type"),
    "an object that can be converted": Bad({"it": Convertible()}, "['it']", "to_dict()"),
    "a struct of it": Bad({"it": Holder({"x": [math.inf]})}, "['it']['it']['x'][0]", "is inf"),
    "a dataclass of it": Bad({"it": Record(object())}, "['it']", "cannot be taken apart"),
    "200 levels": Bad(nested(200), "['in']" * 10, "nested deeper than"),
    "100,000 levels": Bad(nested(100_000), "['in']" * 10, "nested deeper than"),
    "a circle": Bad(_circle(), "['me']" * 10, "nested deeper than"),
}
"""By what is wrong with them. Too many bytes are not among them: every entrance has a bound of its own."""
