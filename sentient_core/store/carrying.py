"""Carries the books forward: old accounts go, and one row with what they have led to takes their place.

Each transaction does so for a bounded number of rows and is complete in itself: whichever one the process
dies behind, the books begin with one row that stands for all before it, and go on with those behind it.
`pruned` says where they begin, so that nobody looks for it. A row that cannot be read stays, as do all
behind it: it is evidence, and what it says is missing in what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import msgspec

from sentient_core.errors import Fenced
from sentient_core.logs import RuntimeLog
from sentient_core.store.accounts import Books
from sentient_core.store.auditing import ACCOUNTS, CARRIED_TO
from sentient_core.store.engine import Engine
from sentient_core.store.retention import Removed
from sentient_core.store.rows import carried_row, enter_account
from sentient_core.store.wire import Refusal, array, record_id, value

__all__ = ["Carrier"]

_SIZE = "bytes::len(encoding::cbor::encode($this))"
_FACTS = f"SELECT id[1] AS number, at, {_SIZE} AS size FROM {ACCOUNTS}"  # noqa: S608 - constants
_CARRY = f"""BEGIN;
IF (SELECT VALUE epoch FROM ONLY $owner) != $epoch {{ THROW 'not the owner' }};
LET $gone = (SELECT {_SIZE} AS size FROM $ids WHERE carried = NONE);
LET $rows = array::len($gone);
LET $bytes = math::sum($gone.size);
DELETE array::filter($ids, |$id| $id != $into) RETURN NONE;
UPSERT $into CONTENT $carried RETURN NONE;
UPSERT $totals SET rows += $rows, bytes += $bytes, carried_to = $last RETURN NONE;
RETURN {{ rows: $rows, bytes: $bytes }};
COMMIT;"""  # noqa: S608 - constants
_NUMBERS_AT_ONCE = 2_000
_BYTES_AT_ONCE = 1024 * 1024

Query = Callable[..., Awaitable[list[Any]]]


class Carrier:
    """Carries the books of one system. Lives on the store thread."""

    def __init__(self, engine: Engine, system: str, epoch: int, call_timeout: float, log: RuntimeLog) -> None:
        self._engine = engine
        self._system = system
        self._epoch = epoch
        self._call_timeout = call_timeout
        self._owner = record_id("ownership", system)
        self._totals = record_id("pruned", system, "account")
        self._log = log

    async def carry(
        self, query: Query, projected: int, before: int, most_rows: int, is_over: Callable[[], bool]
    ) -> Removed:
        """Carry what was settled before that time, of what is projected. Raises StoreError, Fenced.

        `query` asks as the pruner does, which rests in between; at most about `most_rows` go at once.
        """
        removed = Removed()
        books, first = Books(), 1
        (found,) = await query(CARRIED_TO, totals=self._totals)
        begins = [int(found[0])] if found and found[0] else []
        """The row that the books begin with, once there is one."""
        if begins:
            first = begins[0] + 1
            (rows,) = await query(f"SELECT * FROM {ACCOUNTS}", first=begins[0], last=begins[0])  # noqa: S608
            if not await self._enter(books, rows):
                return removed
        while first <= projected and not is_over():
            last = min(first + _NUMBERS_AT_ONCE - 1, projected)
            (facts,) = await query(_FACTS, first=first, last=last)
            due = _at_once(facts, before, most_rows)
            if facts and not due:
                break
            if due:
                last = due[-1]
                (rows,) = await query(f"SELECT * FROM {ACCOUNTS}", first=first, last=last)  # noqa: S608
                entered = await self._enter(books, rows)
                if entered:
                    at = int(rows[len(entered) - 1]["at"])
                    removed += await self._write(books, [*begins, *entered], at)
                    begins = entered[-1:]
                if len(entered) < len(rows):
                    break
            first = last + 1
        return removed

    async def _enter(self, books: Books, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Enter these rows up to one that cannot be read; the numbers of those that are entered."""
        entered: list[int] = []
        for row in rows:
            try:
                enter_account(books, row)
            except msgspec.DecodeError as error:
                self._log.error("the books cannot be carried beyond a row that is damaged", error=str(error))
                break
            entered.append(int(row["id"].key[1]))
            await asyncio.sleep(0)
        return entered

    async def _write(self, books: Books, numbers: Sequence[int], at: int) -> Removed:
        ids = array([value(record_id("account", self._system, number)) for number in numbers])
        parameters = {
            "owner": self._owner,
            "epoch": self._epoch,
            "ids": ids,
            "into": record_id("account", self._system, numbers[-1]),
            "carried": carried_row(books.carry(), at),
            "totals": self._totals,
            "last": numbers[-1],
        }
        try:
            results = await self._engine.query(
                _CARRY, parameters, rows=len(numbers), timeout=self._call_timeout
            )
        except Refusal as error:
            if error.kind == "Thrown":
                raise Fenced(self._system) from error
            raise
        (answer,) = (cast("dict[str, Any]", result) for result in results if isinstance(result, dict))
        return Removed(int(answer["rows"]), int(answer["bytes"]))


def _at_once(facts: Sequence[dict[str, Any]], before: int, most_rows: int) -> list[int]:
    """The numbers of the rows that go next: from the oldest on, as far as they are due, not too many."""
    due: list[int] = []
    size = 0
    for row in facts[:most_rows]:
        size += int(row["size"])
        if int(row["at"]) >= before or (due and size > _BYTES_AT_ONCE):
            break
        due.append(int(row["number"]))
    return due
