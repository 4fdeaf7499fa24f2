"""The newest rows of an index on (a field, timestamp), exactly, although it sorts times as texts.

The database's index has a time as its text in RFC 3339, with as many digits as it needs: 0, 3, 6 or 9 behind
the point. `…:20Z` stands behind `…:20.999Z`, so within one second rows may come in the wrong order, and a
range of times misses some. It goes wrong for *short* times alone, those of a whole second, millisecond or
microsecond: one stands in the index above all the later ones that begin with its digits. So

- what is up to a time with nine digits is what the index has up to it, and what stands at that time cut to a
  microsecond, a millisecond and a second: three more questions, each for one entry;
- of a page whose last row begins with the digits of a short one before it, later rows may be missing: then it
  is asked anew from the end of that second (or millisecond, or microsecond) on, where the short one is at its
  place.

Each question is of one range and a LIMIT, with nothing else to look at in the rows: any condition more, and
the database reads a thousand rows for the first one that it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sentient_core.store.streams import Mark
from sentient_core.store.views import nanoseconds
from sentient_core.store.wire import Encoded, moment_tag, record_id

__all__ = ["NewestByIndex", "Row", "time_in"]

Row: TypeAlias = Mapping[str, Any]

_SPANS = (1_000_000_000, 1_000_000, 1_000)
"""Nanoseconds of a second, a millisecond, a microsecond: coarsest first."""

_FROM = "SELECT *, time::nano(timestamp) AS nano FROM agent_event WITH INDEX"


class NewestByIndex:
    """One search: `questions`, their answers to `take`, again until it `is_done`; then `rows` has them."""

    def __init__(
        self,
        name: str,
        index: str,
        conditions: Sequence[str],
        limit: int,
        *,
        above: int | None = None,
        upto: int | None = None,
        tied: Mark | None = None,
    ) -> None:
        """Rows between the times `above` (not in it) and `upto` (in it), in nanoseconds; None: unbounded.

        Also those of exactly the time of `tied` that stand behind it in the history. There are as many of
        the newest in `rows` in the end as `limit` says, and maybe others. `name`: a suffix for what is bound
        in the questions, beside what stands in the conditions.
        """
        self.rows: dict[Any, Row] = {}
        self.is_done: bool = False
        self.is_cut: bool = False
        """There are more than were asked for."""
        self._name = name
        self._index = index
        self._where = " AND ".join(conditions)
        self._limit = limit
        self._above = above
        self._upto = upto
        self._tied = tied
        # Given both ends of a range, the database begins at the lower one and reads all that has come since:
        # worth it only where it may have to look at many rows for a few.
        self._is_from_below = above is not None and (upto is None or len(conditions) > 1)

    def questions(self) -> tuple[list[str], dict[str, object]]:
        """What is to be asked next, in one go, and what is bound in it."""
        asked: list[str] = []
        bound: dict[str, object] = {}

        def ask(condition: str, order: str, most: int, **values: object) -> None:
            suffix = f"{self._name}_{len(asked)}"
            bound.update({f"{name}{suffix}": value for name, value in values.items()})
            where = " AND ".join((self._where, condition.replace("#", suffix))) if condition else self._where
            asked.append(f"{_FROM} {self._index} WHERE {where} ORDER BY {order} DESC LIMIT {most:d}")

        upto, above = self._upto, self._above
        conditions: dict[str, str] = {}
        values: dict[str, object] = {}
        beside: list[int] = []
        if upto is not None:
            full = upto if upto % _SPANS[-1] else upto - 1  # with nine digits
            beside = _cut(full) + ([upto] if full < upto else [])
            conditions["upto"] = "timestamp <= $upto#"
            values["upto"] = Encoded(moment_tag(full))
        if above is not None and self._is_from_below:
            conditions["above"] = "timestamp > $above#"
            values["above"] = Encoded(moment_tag(above))
        ask(" AND ".join(conditions.values()), "timestamp", self._limit + 1, **values)
        for time in beside:
            ask("timestamp = $at#", "id", self._limit, at=Encoded(moment_tag(time)))
        if self._tied is not None:
            mark = self._tied
            row = record_id("agent_event", mark.stream, *mark.place)
            at = Encoded(moment_tag(mark.at))
            ask("timestamp = $at# AND id < $row#", "id", self._limit, at=at, row=row)
        return asked, bound

    def take(self, answers: Sequence[Sequence[Row]]) -> None:
        """What was answered."""
        found, *exact = answers
        for rows in exact:
            self._add(rows)
        self.is_cut |= len(found) > self._limit or any(len(rows) >= self._limit for rows in exact)
        self._tied = None
        cover = _cover([time_in(row) for row in found]) if len(found) > self._limit else None
        if cover is None:
            self._add(found)
            self.is_done = True
            return
        self._add([row for row in found if time_in(row) > cover])
        self._upto = cover if self._upto is None else min(cover, self._upto)
        self.is_done = sum(time_in(row) > cover for row in self.rows.values()) >= self._limit
        self._is_from_below = False  # from above: else the short one stands where it stood

    def _add(self, rows: Sequence[Row]) -> None:
        self.rows |= {row["id"]: row for row in rows if self._above is None or time_in(row) > self._above}


def time_in(row: Row) -> int:
    """Of a row that was asked for here, in nanoseconds."""
    # The database has no such number for times outside of the years 1678 to 2262.
    return int(row["nano"]) or nanoseconds(row["timestamp"])


def _cut(time: int) -> list[int]:
    """The shorter times that begin with the digits of this one, itself not among them."""
    return sorted({time - time % span for span in _SPANS} - {time})


def _cover(times: Sequence[int]) -> int | None:
    """The last time that begins like a short one, of which later ones may be missing behind the last row."""
    *before, last = times
    for span in _SPANS:
        if any(time % span == 0 and time // span == last // span for time in before):
            return last - last % span + span - 1
    return None
