"""Writes rows into a database that no journal orders: all of a call in one transaction, at most once.

A transaction whose answer was lost may have been done, or may be done later. So each makes a row of its own,
under an id that nobody else has: sent again, it fails where it was done before. What it writes need not bear
being written twice. The row of a call that was answered at once is deleted with the next one; that of another
stays, as its request may still be on its way, until retention deletes it.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sentient_core.errors import RowConflict, StoreUnavailable
from sentient_core.store.backoff import Backoff
from sentient_core.store.engine import Engine
from sentient_core.store.row_models import RowWrite, known_shape
from sentient_core.store.row_sql import row_id, writing
from sentient_core.store.wire import Refusal, Taken, array, record_id, value

__all__ = ["Checked", "RowWriter"]

Checked = tuple[tuple[str, ...], Mapping[str, Any] | None]
"""Key and fields as they are stored; None: the row goes."""

_TRIES = 6
_MOST_OLD = 100
_BEGIN = """BEGIN;
CREATE $mark SET at = $now RETURN NONE;
DELETE $old_marks RETURN NONE;
"""
_CHECK = """FOR $one IN $expected {
    LET $found = (SELECT VALUE revision ?? 1 FROM ONLY $one.id) ?? 0;
    IF $found != $one.expects { THROW 'row conflict ' + <string>$one.n + ' ' + <string>$found };
};
"""
_CONFLICT = "row conflict "


class RowWriter:
    """Writes rows of all systems. Lives on the store thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._old: deque[object] = deque(maxlen=_MOST_OLD)
        """Ids of the rows of calls that were answered."""

    async def write(self, system: str, writes: Sequence[RowWrite], checked: Sequence[Checked]) -> None:
        """See `Store.write_rows`."""
        now = time.time_ns()
        mark = record_id("row_write", system, f"{now:020d}.{uuid.uuid4().hex}")
        old = [self._old.popleft() for _ in range(len(self._old))]
        sql, parameters, count = _transaction(system, writes, checked, now)
        parameters |= {"mark": mark, "now": now, "old_marks": array([value(id_) for id_ in old])}
        backoff = Backoff(0.05)
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._engine.query(sql, parameters, indexed_rows=count, rows=1 + len(old))
            except Taken as error:
                if tries_left == _TRIES - 1:
                    raise AssertionError("unreachable: nobody else has this id") from error
                return  # it was done by the try whose answer was lost
            except Refusal as error:
                self._old.extend(old)
                if error.kind == "Thrown" and _CONFLICT in error.text:
                    raise _conflict(error.text, writes, checked) from error
                raise
            except StoreUnavailable:
                if not tries_left:
                    raise
                await backoff.wait()
            else:
                if tries_left == _TRIES - 1:
                    self._old.append(mark)
                return


def _transaction(
    system: str, writes: Sequence[RowWrite], checked: Sequence[Checked], now: int
) -> tuple[str, dict[str, object], int]:
    shapes = [known_shape(write.table) for write in writes]
    expected: list[bytes] = []
    gone: list[bytes] = []
    for n, (write, shape, (key, fields)) in enumerate(zip(writes, shapes, checked, strict=True)):
        id_ = row_id(system, shape, key)
        if write.expects is not None:
            expected.append(value({"id": id_, "expects": write.expects, "n": n}))
        if fields is None:
            gone.append(value(id_))
    statements = [_BEGIN]
    parameters: dict[str, object] = {}
    if expected:
        statements.append(_CHECK)
        parameters["expected"] = array(expected)
    if gone:
        statements.append("DELETE $gone RETURN NONE;\n")
        parameters["gone"] = array(gone)
    changes = (
        (shape, key, fields, 1, now)
        for shape, (key, fields) in zip(shapes, checked, strict=True)
        if fields is not None
    )
    for statement, name, rows in writing(system, changes):
        statements.append(statement)
        parameters[name] = array(rows)
    return "".join((*statements, "COMMIT;")), parameters, len(writes)


def _conflict(text: str, writes: Sequence[RowWrite], checked: Sequence[Checked]) -> RowConflict:
    n, found = map(int, text.partition(_CONFLICT)[2].split()[:2])
    return RowConflict(writes[n].table, checked[n][0], writes[n].expects or 0, found)
