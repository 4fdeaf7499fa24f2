"""Rows in the words of a database: how they are written, asked for and read.

Field names stand in the statements as they are declared, never as they were given; values are bound. Rows
that change the same fields share a statement.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any, cast

import cbor2

from sentient_core.store.row_models import Plan, Row, RowQuery
from sentient_core.store.row_tables import Kind, Shape
from sentient_core.store.row_values import wanted
from sentient_core.store.time_bounds import times_between
from sentient_core.store.wire import bindable, record_id

__all__ = ["Change", "read_row", "row_id", "rows_query", "writing"]

Change = tuple[Shape, tuple[str, ...], Mapping[str, Any], int, int]
"""A row's table and key, the fields to write, how many changes that is, and when the first was."""

_MOST_ROWS = 2**62  # an integer to every database
_NONE = cbor2.CBORTag(6, None)
_INSERT = "INSERT INTO {table} ${name} ON DUPLICATE KEY UPDATE {fields} RETURN NONE;\n"
# An edge cannot be made by UPSERT, and ON DUPLICATE KEY UPDATE of one knows nothing of what is there.
_RELATE = """FOR $one IN ${name} {{
    INSERT RELATION IGNORE INTO {table} $one.edge RETURN NONE;
    UPDATE $one.id SET {fields} RETURN NONE;
}};
"""


def row_id(system: str, shape: Shape, key: tuple[str, ...]) -> cbor2.CBORTag:
    """The id of a row as a parameter."""
    return record_id(shape.table.value, system, *shape.id_of(key))


def writing(system: str, changes: Iterable[Change]) -> list[tuple[str, str, list[bytes]]]:
    """Statements, for each the name of what is bound in it, and that: encoded rows."""
    groups: dict[tuple[str, tuple[str, ...]], list[bytes]] = {}
    shapes: dict[str, Shape] = {}
    for shape, key, fields, count, at in changes:
        shapes[shape.table] = shape
        encode = _row if shape.edge is None else _edge
        row = encode(system, shape, key, fields, count, cbor2.CBORTag(12, list(divmod(at, 1_000_000_000))))
        groups.setdefault((shape.table, tuple(sorted(fields))), []).append(cbor2.dumps(bindable(row)))
    found: list[tuple[str, str, list[bytes]]] = []
    for (table, names), rows in groups.items():
        shape, name = shapes[table], f"rows{len(found)}"
        if shape.edge is None:
            statement = _INSERT.format(name=name, table=table, fields=_updates(names))
        else:
            statement = _RELATE.format(name=name, table=table, fields=_settings(shape, names))
        found.append((statement, name, rows))
    return found


def rows_query(system: str, query: RowQuery, plan: Plan) -> tuple[str, dict[str, object]]:
    """The statement that answers a question, and what is bound in it."""
    shape = plan.shape
    parameters: dict[str, object] = {"system": system}
    conditions: list[str] = []
    begin = shape.id_of(query.key)
    parameters |= {f"k{n}": part for n, part in enumerate(begin)}
    if plan.index is not None and shape.edge is not None:
        source = f"$end{plan.index}{shape.table}"
        (end,) = cast("list[tuple[str, ...]]", list(wanted(shape, query).values()))
        parameters["end"] = record_id(shape.edge.table.value, system, *end)
        conditions += [f"id[{n + 1}] = $k{n}" for n in range(len(begin))]
    elif plan.index is not None:
        source = f"{shape.table} WITH INDEX {plan.index}"
        for name, value in wanted(shape, query).items():
            conditions.append(f"{name} = ${name}_is")
            parameters[f"{name}_is"] = _NONE if value is None else bindable(value)
        conditions.append("id[0] = $system")
        conditions += [f"id[{n + 1}] = $k{n}" for n in range(len(begin))]
    else:
        source = _range(shape, len(begin), is_behind=query.after is not None)
        parameters |= {f"a{n}": part for n, part in enumerate(shape.id_of(query.after or ()))}
        if shape.mark is not None and not begin:
            conditions.append("id[2] = $mark")
            parameters["mark"] = shape.mark
    if shape.time is not None:
        for name, (condition, bound) in times_between(query.since, query.until, shape.time).items():
            conditions.append(condition)
            parameters[name] = bound
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f" ORDER BY {shape.time if plan.is_by_time else 'id'}{' DESC' if query.newest_first else ''}"
    limit = ""
    if query.limit is not None:
        limit, parameters["limit"] = " LIMIT $limit", min(query.limit, _MOST_ROWS)
    what = "*"
    if query.fields is not None:
        also = {shape.time} if plan.is_by_time else set[str]()  # the database sorts by what it reads
        also |= {"in", "out"} if shape.edge is not None else set()
        what = ", ".join(["id", "revision", *sorted({*query.fields, *filter(None, also)})])
    return f"SELECT {what} FROM {source}{where}{order}{limit}", parameters  # noqa: S608 - declared names


def read_row(shape: Shape, row: Mapping[str, Any]) -> Row:
    """The model of a row, read by `wire.read_plain`."""
    fields = {name: value for name, field in shape.fields.items() if (value := field.default) is not None}
    for name in shape.fields:
        found = row.get(name)
        if found is not None:
            fields[name] = found
    if shape.edge is not None:
        fields["in"], fields["out"] = (tuple(row[end].key[1:]) for end in ("in", "out"))
    # The row of an actor that only releases before have written has no revision.
    return Row(shape.key_of(row["id"].key[1:]), fields, row.get("revision") or 1)


def _row(
    system: str, shape: Shape, key: tuple[str, ...], fields: Mapping[str, Any], count: int, at: object
) -> dict[str, object]:
    """A row as it is if it is new. What is to hold nothing is not in it at all."""
    row: dict[str, object] = dict.fromkeys(_filled(shape, fields), at)
    row |= {name: value for name, value in fields.items() if value is not None}
    return row | {"id": row_id(system, shape, key), "revision": count}


def _updates(names: Iterable[str]) -> str:
    # The row of an actor that only releases before have written has no revision; any other has one.
    return ", ".join(("revision = (revision ?? 1) + $input.revision", *(f"{n} = $input.{n}" for n in names)))


def _edge(
    system: str, shape: Shape, key: tuple[str, ...], fields: Mapping[str, Any], count: int, at: object
) -> dict[str, object]:
    """An edge, and what is to be set in it."""
    id_ = row_id(system, shape, key)
    table = "" if shape.edge is None else shape.edge.table.value
    ends = [record_id(table, system, *end) for end in shape.ends(key)]
    known = {name: value for name, value in fields.items() if value is not None}
    return {"id": id_, "edge": {"id": id_, "in": ends[0], "out": ends[1]}, "f": known, "n": count, "at": at}


def _settings(shape: Shape, names: Collection[str]) -> str:
    parts = ["revision = (revision ?? 0) + $one.n", *(f"{name} = $one.f.{name}" for name in names)]
    parts += [f"{name} = IF revision = $one.n THEN $one.at ELSE {name} END" for name in _filled(shape, names)]
    return ", ".join(parts)


def _filled(shape: Shape, names: Container[str]) -> list[str]:
    """The times that a new row has without being told: when it was made."""
    return [
        name
        for name, field in shape.fields.items()
        if field.kind is Kind.TIME and not field.is_optional and name not in names
    ]


def _range(shape: Shape, parts: int, *, is_behind: bool) -> str:
    # The upper bound must sort above the texts: an array does.
    begin = "".join(f", $k{n}" for n in range(parts))
    if is_behind:
        after = "".join(f", $a{n}" for n in range(len(shape.id_of(("",) * shape.parts))))
        return f"{shape.table}:[$system{after}]>..=[$system{begin}, []]"
    if parts == len(shape.id_of(("",) * shape.parts)):
        return f"{shape.table}:[$system{begin}]"
    lowest = begin or ", ''"
    return f"{shape.table}:[$system{lowest}]..=[$system{begin}, []]"
