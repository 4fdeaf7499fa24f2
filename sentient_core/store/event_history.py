"""The newest events of some streams that meet a filter: by an index, or by place where none knows of it.

The indexes end in the time of the event, so the newest are found from their end on, whatever else there is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.fold import Placed
from sentient_core.store.newest_by_index import NewestByIndex, Row
from sentient_core.store.records import Event
from sentient_core.store.rows import read_placed
from sentient_core.store.streams import END, Mark, Place, Span, in_order, just_before
from sentient_core.store.time_bounds import times_between
from sentient_core.store.views import nanoseconds
from sentient_core.store.wire import read_plain

__all__ = ["newest_events", "searches"]

_NEWEST = """SELECT *, time::nano(timestamp) AS nano
    FROM agent_event:[$stream, $number, $index]..=[$stream, $last, $end]{where}
    ORDER BY id DESC LIMIT $limit"""
_FIRST_SPAN = 1
_SPAN_GROWTH = 4
_QUICK_SECONDS = 0.1
"""A range that was read in less may be followed by a larger one."""

_INDEXES = (  # the one that leaves least first
    ("workflow_id", "event_workflow_idx"),
    ("source_agent", "event_source_idx"),
    ("target_agent", "event_target_idx"),
    ("message_type", "event_message_idx"),
)


def searches(
    spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None, *, of_all: bool
) -> tuple[list[NewestByIndex], dict[str, object]]:
    """Searches that together find the newest events that are meant, and what is bound in all of them.

    None at all: nothing is asked that an index knows. `of_all`: of whichever streams.
    """
    conditions: dict[str, str] = {}
    parameters: dict[str, object] = {}
    for field, _ in _INDEXES:
        value = getattr(wanted, field)
        if value is not None:
            conditions[field] = f"{field} = ${field}"
            parameters[field] = str(value)
    types = wanted.types
    if types is not None:
        conditions["event_type"] = "event_type IN $types"
        parameters["types"] = sorted(types)
    if wanted.agent is not None:
        parameters["agent"] = wanted.agent
    in_streams: list[str] = []
    for position, (stream, span) in enumerate(spans.items()):
        parameters |= {
            f"stream{position}": stream,
            f"after{position}": list(span.after),
            f"upto{position}": list(span.upto),
        }
        in_streams.append(
            f"(id[0] = $stream{position} AND position > $after{position} AND position <= $upto{position})"
        )
    rest = [] if of_all else [f"({' OR '.join(in_streams)})"]

    found: list[tuple[str, list[str]]] = []
    of_agent = None if wanted.agent is None else "(source_agent = $agent OR target_agent = $agent)"
    by_field = next((one for one in _INDEXES if one[0] in conditions), None)
    if by_field is not None:
        field, index = by_field
        others = [condition for name, condition in conditions.items() if name != field]
        found.append((index, [conditions[field], *others, *([of_agent] if of_agent else [])]))
    elif wanted.agent is not None:
        found += [
            ("event_source_idx", ["source_agent = $agent", *conditions.values()]),
            ("event_target_idx", ["target_agent = $agent", *conditions.values()]),
        ]
    elif types is not None:
        for position, type_ in enumerate(sorted(types)):
            parameters[f"type{position}"] = type_
            found.append(("event_type_idx", [f"event_type = $type{position}"]))
    above = None if wanted.since is None else nanoseconds(wanted.since) - 1
    upto = None if wanted.until is None else nanoseconds(wanted.until) - 1
    tied = behind
    if behind is not None:
        if upto is not None and behind.at > upto:
            tied = None
        upto = behind.at - 1 if upto is None else min(upto, behind.at - 1)
    return [
        NewestByIndex(str(number), index, [*mine, *rest], limit, above=above, upto=upto, tied=tied)
        for number, (index, mine) in enumerate(found)
    ], parameters


async def newest_events(
    engine: Engine, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None
) -> list[tuple[str, Placed[Event]]]:
    """See `EventStreams.history`. On the store thread."""
    if wanted.types == frozenset():
        return []
    if not wanted.is_by_time:
        rows = [
            row
            for stream, span in spans.items()
            for row in await _by_place(engine, stream, span, wanted, limit)
        ]
        return _in_order(rows, is_by_time=False, limit=limit)
    # Which stream a row is of costs the database more than all the rest. Mostly there are no others, or
    # few rows that are not to be seen yet: so that is looked at here, and asked only where it matters.
    found = await _find(engine, *searches(spans, wanted, limit, behind, of_all=True))
    if any(one.is_cut and not all(_is_meant(spans, row) for row in one.rows.values()) for one in found):
        found = await _find(engine, *searches(spans, wanted, limit, behind, of_all=False))
    every = {id_: row for one in found for id_, row in one.rows.items() if _is_meant(spans, row)}
    return _in_order(every.values(), is_by_time=True, limit=limit)


async def _find(
    engine: Engine, found: Sequence[NewestByIndex], parameters: Mapping[str, object]
) -> Sequence[NewestByIndex]:
    """Ask until all searches are done: nearly always once."""
    while left := [one for one in found if not one.is_done]:
        questions = [one.questions() for one in left]
        texts = [text for asked, _ in questions for text in asked]
        bound = {name: value for _, values in questions for name, value in values.items()}
        answers = await engine.query(";\n".join(texts), {**parameters, **bound}, read=read_plain)
        for one, (asked, _) in zip(left, questions, strict=True):
            one.take(answers[: len(asked)])
            del answers[: len(asked)]
    return found


def _in_order(rows: Iterable[Row], *, is_by_time: bool, limit: int) -> list[tuple[str, Placed[Event]]]:
    found = [(str(row["id"].key[0]), read_placed(row)) for row in rows]
    return in_order(found, is_by_time=is_by_time, limit=limit)


def _is_meant(spans: Mapping[str, Span], row: Row) -> bool:
    stream, *place = row["id"].key
    span = spans.get(stream)
    return span is not None and span.after < tuple(place) <= span.upto


async def _by_place(
    engine: Engine, stream: str, span: Span, wanted: EventFilter, limit: int
) -> list[dict[str, Any]]:
    """The newest by place. A range is read as a whole, so ranges grow from the end while that is quick."""
    times = times_between(wanted.since, wanted.until)
    where = f" WHERE {' AND '.join(condition for condition, _ in times.values())}" if times else ""
    rows: list[dict[str, Any]] = []
    last, end = span.upto
    first_number, first_index = _behind(span.after)
    width = _FIRST_SPAN
    while last >= first_number and len(rows) < limit:
        number = max(first_number, last - width + 1)
        left = limit - len(rows)
        began = time.monotonic()
        (more,) = await engine.query(
            _NEWEST.format(where=where),
            {
                **{name: bound for name, (_, bound) in times.items()},
                "stream": stream,
                "number": number,
                "index": first_index if number == first_number else 0,
                "last": last,
                "end": end,
                "limit": left,
            },
            read=read_plain,
        )
        rows += more
        if len(more) == left:  # there is more in this range
            last, end = just_before(more[-1]["id"].key[1:])
            continue
        last, end = number - 1, END
        if time.monotonic() - began < _QUICK_SECONDS:
            width *= _SPAN_GROWTH
    return rows


def _behind(place: Place) -> Place:
    number, index = place
    return (number + 1, 0) if index >= END else (number, index + 1)
