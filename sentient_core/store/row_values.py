"""What may stand in the fields of a row: held against the table's declaration before it is stored.

Who writes a row is told at the call what cannot be stored. What comes out of the journal is committed and
must be written whatever it is, since a window is written as a whole: what does not fit is left out of its
field, and the row carries the bytes and the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from sentient_core.errors import InvalidArgument, UnstorableRow, UnstorableValue
from sentient_core.store.payload import MAX_DEPTH
from sentient_core.store.plain_values import check_storable
from sentient_core.store.records import RowChange
from sentient_core.store.row_models import RowQuery, RowWrite, known_shape
from sentient_core.store.row_tables import Kind, RowKey, Shape, shape_of

__all__ = [
    "LARGEST_ROW",
    "checked_key",
    "checked_writes",
    "fitting",
    "row_change",
    "wanted",
    "without_objects",
]

LARGEST_ROW = 32 * 1024 * 1024
"""Most bytes of a row's fields, where the store does not take less."""

_MOST_PLACES = 5
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

Fields = dict[str, Any]


def row_change(
    table: str, key: Sequence[str], fields: Mapping[str, object], *, owner: str, at: int
) -> RowChange:
    """The record that writes these fields of a row of a running actor, whose path is `owner`.

    `at`: nanoseconds since the Unix epoch. Raises UnstorableRow for what could not be stored as it is.
    """
    whole = checked_key(table, key)
    return RowChange(str(table), whole, _encode(_checked(table, whole, fields)), at, owner)


def checked_writes(
    writes: Sequence[RowWrite], largest: int = LARGEST_ROW
) -> list[tuple[tuple[str, ...], dict[str, Any] | None]]:
    """Keys and fields as they are stored. InvalidArgument for a row that is written twice, UnstorableRow."""
    checked = [_checked_write(write, largest) for write in writes]
    size = sum(len(_encode(fields)) for _, fields in checked if fields is not None)
    if size > largest:
        raise InvalidArgument(f"these rows have {size:,} bytes, and the store takes {largest:,} at once")
    seen: set[RowKey] = set()
    for write, (key, _) in zip(writes, checked, strict=True):
        if (write.table, key) in seen:
            raise InvalidArgument(
                f"{write.table} {key!r:.200} is written twice at once: make one write of it"
            )
        seen.add((write.table, key))
    return checked


def without_objects(fields: Mapping[str, Any], why: str) -> Fields:
    """What stands for fields that a database did not take, although they fit: objects and lists as bytes."""
    left = {name: value for name, value in fields.items() if not isinstance(value, dict | list)}
    return left | _refused(_encode(fields), why)


def wanted(shape: Shape, query: RowQuery) -> dict[str, object]:
    """What the fields of a row have to be, as they are stored. InvalidArgument for what none can be."""
    found: dict[str, object] = {}
    for name, value in query.where.items():
        if shape.edge is not None and name in ("in", "out"):
            end = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
            if len(end) != shape.edge.parts or not all(isinstance(part, str) for part in end):
                raise InvalidArgument(f"{name} is {value!r:.100}; it must be a key of {shape.edge.table}")
            found[name] = tuple(end)
            continue
        try:
            found[name] = None if value is None else _field(shape, name, value)
        except ValueError as error:
            raise InvalidArgument(f"where={{{name!r}: {value!r:.100}}} meets no row: {error}") from None
    return found


def checked_key(table: str, key: Sequence[str]) -> tuple[str, ...]:
    """A whole key. Raises UnstorableRow; InvalidArgument for a table that is none."""
    shape = known_shape(table)
    why = _wrong_with_key(shape, key)
    if why:
        raise UnstorableRow(table, tuple(key), why)
    return tuple(map(str, key))


def fitting(table: str, key: Sequence[str], encoded: bytes) -> Fields | None:
    """The fields of a `RowChange` as far as they can be stored. Never raises.

    None: there is no such row, whatever its fields.
    """
    shape = shape_of(table)
    if shape is None or _wrong_with_key(shape, key):
        return None
    try:
        found = _decode(encoded)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return _named(shape, key) | _refused(encoded, f"it cannot be decoded: {error}")
    if not isinstance(found, dict):
        return _named(shape, key) | _refused(encoded, "it is no map")
    fitting = _named(shape, key)
    whys: list[str] = []
    for name, value in cast("dict[object, object]", found).items():
        try:
            if not _is_said(shape, name, value, key):
                fitting[cast("str", name)] = _field(shape, name, value)
        except ValueError as error:
            whys.append(f"{name!s:.100}: {error}")
    return fitting | (_refused(encoded, "; ".join(whys)) if whys else {})


def _checked_write(write: RowWrite, largest: int) -> tuple[tuple[str, ...], Fields | None]:
    key = checked_key(write.table, write.key)
    if write.expects is not None and not (_is_whole(write.expects) and 0 <= write.expects < 2**63):
        why = f"it expects revision {write.expects!r:.100}; a revision is a number from 0 on"
        raise UnstorableRow(write.table, key, why)
    if write.fields is None:
        return key, None
    fields = _checked(write.table, key, write.fields)
    if (size := len(_encode(fields))) > largest:
        raise UnstorableRow(write.table, key, f"it has {size:,} bytes, and the store takes {largest:,}")
    return key, fields


def _refused(encoded: bytes, why: str) -> Fields:
    return {"undecoded": encoded, "refused": why[:1000].encode("utf-8", "backslashreplace").decode()}


def _checked(table: str, key: tuple[str, ...], fields: Mapping[str, object]) -> Fields:
    shape = known_shape(table)
    checked = _named(shape, key)
    for name, value in fields.items():
        try:
            if not _is_said(shape, name, value, key):
                checked[name] = _field(shape, name, value)
        except UnstorableValue as error:  # names the place
            raise UnstorableRow(table, key, str(error)) from error
        except ValueError as error:
            raise UnstorableRow(table, key, f"{name!r:.100}: {error}") from None
    return checked


def _wrong_with_key(shape: Shape, key: Sequence[str]) -> str:
    if isinstance(key, str) or len(key) != shape.parts:
        return f"a key of {shape.table} is {shape.parts} texts"
    for part in key:
        if not _is_some_text(part):
            return f"{part!r} cannot be in a key: only texts can that are not empty"
        if not _is_text(part):
            return f"{part!r} cannot be in a key: it holds a lone surrogate"
    return ""


def _named(shape: Shape, key: Sequence[str]) -> Fields:
    return {name: str(key[part]) for name, part in shape.names.items()}


def _is_said(shape: Shape, name: object, value: object, key: Sequence[str]) -> bool:
    """It says what the key says already."""
    said: object
    if shape.edge is not None and name in ("in", "out"):
        said = shape.ends(tuple(key))[name == "out"]
        value = tuple(cast("Sequence[object]", value)) if isinstance(value, list | tuple) else value
    elif isinstance(name, str) and name in shape.names:
        said = key[shape.names[name]]
    else:
        return False
    if value != said:
        raise ValueError(f"{value!r:.200} is not what the key says, {said!r:.200}")
    return True


def _field(shape: Shape, name: object, value: object) -> object:
    field = shape.fields.get(name) if isinstance(name, str) else None
    if field is None:
        raise ValueError(f"{shape.table} has no such field; it has {', '.join(sorted(shape.fields))}")
    if value is None:
        if not field.is_optional:
            raise ValueError("it cannot hold nothing")
        return None
    # Deeper than a payload may be: what was checked as one stands in something here.
    plain = check_storable(value, cast("str", name), most_bytes=None, most_nested=MAX_DEPTH)
    if not _IS_OF[field.kind](plain):
        raise ValueError(f"it holds a {field.kind}, not {type(plain).__name__} {plain!r:.100}")
    return plain


def _is_some_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_each(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in cast("list[object]", value))


_IS_OF: Mapping[Kind, Callable[[object], bool]] = {
    Kind.TEXT: lambda value: isinstance(value, str),
    Kind.WHOLE: _is_whole,
    Kind.NUMBER: lambda value: isinstance(value, float) or _is_whole(value),
    Kind.FLAG: lambda value: isinstance(value, bool),
    Kind.TIME: lambda value: isinstance(value, datetime),
    Kind.BYTES: lambda value: isinstance(value, bytes),
    Kind.OBJECT: lambda value: isinstance(value, dict),
    Kind.TEXTS: lambda value: _is_each(value, str),
    Kind.OBJECTS: lambda value: _is_each(value, dict),
}
