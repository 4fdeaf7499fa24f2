"""Payloads as objects that a query can look into: from exact msgpack bytes to plain values.

What a row shows of a payload never decides whether the row is written: whatever the bytes hold, an
object comes out, and where it cannot show all, it carries the bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec

__all__ = ["MAX_DEPTH", "as_plain", "queryable", "refused"]

MAX_DEPTH = 80
"""Deepest nesting that is shown; the engine refuses a request nested deeper than about 95."""

# What needs no second look: str keys, ints that fit 64 bits, at most four levels. msgspec checks
# it in C while it decodes; nearly every message passes.
_Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Leaf = _Int | float | str | bool | None
_Level1 = _Leaf | list[_Leaf] | dict[str, _Leaf]
_Level2 = _Leaf | list[_Level1] | dict[str, _Level1]
_Level3 = _Leaf | list[_Level2] | dict[str, _Level2]

_decode_plain = msgspec.msgpack.Decoder(dict[str, _Level3]).decode
_decode_any = msgspec.msgpack.Decoder().decode


def as_plain(payload: bytes) -> dict[str, Any] | None:
    """The object in `payload` if every store can take it as it stands, else None."""
    try:
        return _decode_plain(payload)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def queryable(payload: bytes) -> dict[str, Any]:
    """The object that stands for `payload` in a row. Never raises.

    Keys become strings; what is no object is wrapped as `{"value": ...}`; what cannot be decoded,
    or nests deeper than `MAX_DEPTH`, is kept as `{"undecoded": bytes}`. Integers keep their value,
    also beyond 64 bits.
    """
    plain = as_plain(payload)
    if plain is not None:
        return plain
    try:
        value = _with_text_keys(_decode_any(payload), MAX_DEPTH)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {"undecoded": payload}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"value": value}


def refused(payload: bytes, why: str) -> dict[str, Any]:
    """What stands for a payload that the database did not take, with its exact bytes."""
    return {"undecoded": payload, "refused": why[:1000]}


def _with_text_keys(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        shown = {_text(key): _with_text_keys(item, depth - 1) for key, item in items.items()}
        if len(shown) != len(items):
            raise ValueError("keys that differ only in their type")
        return shown
    if isinstance(value, list):
        return [_with_text_keys(item, depth - 1) for item in cast("list[object]", value)]
    if isinstance(value, msgspec.msgpack.Ext):
        return {"extension": value.code, "undecoded": bytes(value.data)}
    return value


def _text(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)
