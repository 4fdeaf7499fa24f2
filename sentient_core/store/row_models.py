"""What is asked of tables of rows, what is found there, and what is to be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.store.row_tables import Shape, shape_of

__all__ = ["Plan", "Row", "RowQuery", "RowWrite", "known_shape", "order_of", "plan_of", "with_fields"]


class RowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a table.

        RowQuery(table=RowTable.TASK_ITEM, key=(task_id,), after=(task_id, place_of(7)))
        RowQuery(table=RowTable.TASK_EXECUTION, where={"agent_id": path, "status": "running"})

    They come in the order of their keys; asked for by an index that ends with the table's time, or all of a
    table that has an index on its time, in that order, and of one time by their keys.
    """

    table: str
    """A `RowTable`."""
    key: tuple[str, ...] = ()
    """A whole key, or what it begins with."""
    where: Mapping[str, object] = {}
    """Fields and what they have to be: all, or the first ones, of an index of the table."""
    after: tuple[str, ...] | None = None
    """A whole key: only those behind it. Only in the order of keys, and not with `newest_first`."""
    since: datetime | None = None
    """By the time of the table's rows. In; needs a time zone."""
    until: datetime | None = None
    """Out."""
    newest_first: bool = False
    """The other way round."""
    limit: int | None = None
    fields: tuple[str, ...] | None = None
    """Those to read, by their names; (): the keys alone. None: all. The others are missing then."""


class Row(msgspec.Struct, frozen=True):
    """One row."""

    key: tuple[str, ...]
    fields: dict[str, Any]
    """Without those that hold nothing. Times are aware UTC datetimes."""
    revision: int
    """Grows with each change."""


class RowWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one row."""

    table: str
    """A `RowTable`."""
    key: tuple[str, ...]
    fields: Mapping[str, object] | None
    """Written over those the row has, each as a whole, and the others stay; a row that is not there is made.
    None in a field: it is to hold nothing. None for all: the row goes."""
    expects: int | None = None
    """The revision it must have; 0: it must not be there yet; None: whatever there is."""


class Plan(msgspec.Struct, frozen=True):
    """How a question is answered."""

    shape: Shape
    index: str | None
    """None: by a range of keys."""
    is_by_time: bool
    """In the order of time, not of keys."""


def known_shape(table: str) -> Shape:
    """The declaration of a table. InvalidArgument where there is none."""
    shape = shape_of(table)
    if shape is None:
        raise InvalidArgument(f"{table!r} is no table of rows: choose one of RowTable")
    return shape


def plan_of(query: RowQuery) -> Plan:
    """How a question is answered. InvalidArgument for one that no index answers, or that makes no sense."""
    shape = known_shape(query.table)
    if query.limit is not None and not (_is_number(query.limit) and query.limit >= 0):
        raise InvalidArgument(f"limit is {query.limit!r}; it must be a number from 0 on, or None for all")
    if len(query.key) > shape.parts:
        raise InvalidArgument(f"a key of {shape.table} has {shape.parts} parts, not {len(query.key)}")
    unknown = [] if query.fields is None else [name for name in query.fields if name not in shape.fields]
    if unknown:
        raise InvalidArgument(f"{shape.table} has no field {unknown[0]!r} to be read")
    for name, bound in (("since", query.since), ("until", query.until)):
        if bound is not None and not (_is_time(bound) and bound.utcoffset() is not None):
            raise InvalidArgument(f"{name} is {bound!r}, without a time zone: give an aware datetime")
    if not query.where:
        is_by_time = not query.key and query.after is None and shape.time_index is not None
        plan = Plan(shape, shape.time_index if is_by_time else None, is_by_time)
        if not query.key and not is_by_time and (query.since or query.until):
            raise InvalidArgument(f"no index of {shape.table} is on time alone: give a key or where=, too")
    else:
        plan = _by_index(shape, query)
    if query.after is not None and (plan.index is not None or query.newest_first):
        raise InvalidArgument("after goes with the order of keys alone: without where and newest_first")
    if query.after is not None and len(query.after) != shape.parts:
        raise InvalidArgument(f"after is {query.after!r}; it must be a whole key of {shape.table}")
    return plan


def order_of(plan: Plan) -> Callable[[Row], tuple[Any, ...]]:
    """What rows are sorted by. One that has no time comes first."""
    field = plan.shape.time or ""

    def by_time(row: Row) -> tuple[Any, ...]:
        time = row.fields.get(field)
        return ((False,) if time is None else (True, time), row.key)

    return by_time if plan.is_by_time else lambda row: row.key


def with_fields(row: Row, fields: tuple[str, ...] | None) -> Row:
    """A row with what of it is asked for."""
    if fields is None:
        return row
    kept = {name: value for name, value in row.fields.items() if name in fields}
    return Row(row.key, kept, row.revision)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    return isinstance(value, datetime)


def _by_index(shape: Shape, query: RowQuery) -> Plan:
    wanted = set(query.where)
    # With all of its fields first: it leads to the fewest rows.
    for name, fields in sorted(shape.indexes.items(), key=lambda item: len(item[1])):
        if set(fields[: len(wanted)]) == wanted:
            return Plan(shape, name, is_by_time=fields[len(wanted) : len(wanted) + 1] == (shape.time,))
    known = "; ".join(f"{', '.join(fields)}" for fields in shape.indexes.values()) or "nothing but its key"
    raise InvalidArgument(
        f"no index of {shape.table} answers where={dict(query.where)!r}: it can be asked for by {known}"
    )
