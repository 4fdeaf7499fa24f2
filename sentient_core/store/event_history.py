"""The newest events of some streams that meet a filter: by an index, or by place where nothing is asked.

The indexes end in the time of the event, so the newest are found from their end on, whatever else there is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sentient_core.store.engine import Engine
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event
from sentient_core.store.rows import read_placed
from sentient_core.store.streams import END, Place, Span, just_before
from sentient_core.store.time_bounds import times_between
from sentient_core.store.wire import read_plain

__all__ = ["history_queries", "newest_events"]

_NEWEST = """SELECT * FROM agent_event:[$stream, $number, $index]..=[$stream, $last, $end]{where}
    ORDER BY id DESC LIMIT $limit"""
_FIRST_SPAN = 1
_SPAN_GROWTH = 4
_QUICK_SECONDS = 0.1
"""A range that was read in less may be followed by a larger one."""
_SECOND = timedelta(seconds=1)

_INDEXES = (  # the one that leaves least first
    ("workflow_id", "event_workflow_idx"),
    ("source_agent", "event_source_idx"),
    ("target_agent", "event_target_idx"),
    ("message_type", "event_message_idx"),
)


def history_queries(
    spans: Mapping[str, Span], wanted: EventFilter, limit: int, *, of_all: bool = False
) -> tuple[list[str], dict[str, object]]:
    """Queries whose answers together have the newest events that are meant, and what is bound in them.

    None at all: nothing is asked that an index knows. `of_all`: of whichever streams.
    """
    conditions: dict[str, str] = {}
    parameters: dict[str, object] = {"limit": limit}
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
    times = times_between(wanted.since, wanted.until)
    parameters |= {name: bound for name, (_, bound) in times.items()}
    # Given both ends of a time, the database begins at the earlier one and reads all that has come since, so
    # it is told the later one alone where no more than `limit` rows can come of that: see `newest_events`.
    last = [condition for name, (condition, _) in times.items() if name in ("to", "until")]
    both = [condition for condition, _ in times.values()]

    searches: list[tuple[str, list[str]]] = []
    of_agent = None if wanted.agent is None else "(source_agent = $agent OR target_agent = $agent)"
    by_field = next((one for one in _INDEXES if one[0] in conditions), None)
    if by_field is not None:
        field, index = by_field
        others = [condition for name, condition in conditions.items() if name != field]
        searches.append((index, [conditions[field], *others, *([of_agent] if of_agent else [])]))
    elif wanted.agent is not None:
        searches += [
            ("event_source_idx", ["source_agent = $agent", *conditions.values()]),
            ("event_target_idx", ["target_agent = $agent", *conditions.values()]),
        ]
    elif types is not None:
        for position, type_ in enumerate(sorted(types)):
            parameters[f"type{position}"] = type_
            searches.append(("event_type_idx", [f"event_type = $type{position}"]))
    queries: list[str] = []
    for index, mine in searches:
        within = last if last and of_all and len(mine) == 1 else both
        where = " AND ".join((*mine, *rest, *within))
        queries.append(
            f"SELECT * FROM agent_event WITH INDEX {index} WHERE {where} "  # noqa: S608 - constants
            "ORDER BY timestamp DESC LIMIT $limit"
        )
    return queries, parameters


async def newest_events(
    engine: Engine, spans: Mapping[str, Span], wanted: EventFilter, limit: int
) -> list[tuple[str, Placed[Event]]]:
    """See `EventStreams.history`. On the store thread."""
    if wanted.types == frozenset():
        return []
    queries, parameters = history_queries(spans, wanted, limit, of_all=True)
    rows: dict[Any, dict[str, Any]] = {}
    if queries:
        # Which stream a row is of costs the database more than all the rest. Mostly there are no others, or
        # few rows that are not to be seen yet: so that is looked at here, and asked only where it matters.
        answers = await engine.query(";\n".join(queries), parameters, read=read_plain)
        if any(len(answer) == limit and _is_short(spans, wanted, answer) for answer in answers):
            queries, parameters = history_queries(spans, wanted, limit)
            answers = await engine.query(";\n".join(queries), parameters, read=read_plain)
        rows = {row["id"]: row for answer in answers for row in answer if _is_meant(spans, wanted, row)}
    else:
        for stream, span in spans.items():
            rows |= {row["id"]: row for row in await _by_place(engine, stream, span, wanted, limit)}
    found = [(str(row["id"].key[0]), read_placed(row)) for row in rows.values()]
    found.sort(key=lambda one: (one[1].record.at, one[0], one[1].position), reverse=True)
    return found[:limit]


def _is_short(spans: Mapping[str, Span], wanted: EventFilter, answer: Sequence[Mapping[str, Any]]) -> bool:
    """Some rows of a full answer are not meant, and behind its last one there may be some that are."""
    if wanted.since is not None and answer[-1]["timestamp"] < wanted.since - _SECOND:
        return False  # by more than the index may be wrong: see `times_between`
    return not all(_is_meant(spans, wanted, row) for row in answer)


def _is_meant(spans: Mapping[str, Span], wanted: EventFilter, row: Mapping[str, Any]) -> bool:
    stream, *place = row["id"].key
    span = spans.get(stream)
    return span is not None and span.after < tuple(place) <= span.upto and wanted.is_in_time(row["timestamp"])


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
