"""The audit of a system in a database: its books, from where they begin, compared with the inbox.

Accounts are read by ranges of journal numbers, each from the moment in which it is read. Meanwhile more may
be written behind them, and carrying may put one row in place of several: as that one stands for all before
it, it does not matter which of them were read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from sentient_core.store.accounts import Books
from sentient_core.store.audit import Audit, counted_on
from sentient_core.store.engine import Engine
from sentient_core.store.fold import NOTHING, fold, merge
from sentient_core.store.records import Key
from sentient_core.store.rows import enter_account, read_counted
from sentient_core.store.tail import decode_entry
from sentient_core.store.wire import RecordId, record_id

__all__ = ["ACCOUNTS", "CARRIED_TO", "audit_of"]

ACCOUNTS = "account:[$system, $first]..=[$system, $last]"
CARRIED_TO = "SELECT VALUE carried_to FROM $totals"
"""Where the books begin: the number of the row that stands for those before it."""

_PROJECTED = "SELECT VALUE projected FROM $owner"
# In one transaction, so that it is one moment.
_REST = """BEGIN;
SELECT * FROM account:[$system, $first]..=[$system, []];
SELECT VALUE id FROM inbox:[$system, '']..=[$system, []];
SELECT * FROM counted:[$system, '']..=[$system, []];
SELECT VALUE id FROM ownership:[$system, '']..=[$system, []] WHERE is_forgotten;
LET $projected = (SELECT VALUE projected FROM ONLY $owner);
SELECT id, body FROM journal:[$system, $projected + 1]..=[$system, []];
COMMIT;"""
_NUMBERS_AT_ONCE = 2_000


async def audit_of(
    engine: Engine, system: str, on_progress: Callable[[str, int], None] = lambda _, __: None
) -> Audit:
    """See `Store.audit`. On the engine's thread. `on_progress` is told the table and how many rows are read.

    What is open is held in memory, and the ids of the inbox at the end. Rows that cannot be read are named
    in the audit, and left out.
    """
    books, damaged, count = Books(), list[str](), 0

    async def enter(rows: list[dict[str, Any]]) -> None:
        nonlocal count
        for row in rows:
            try:
                enter_account(books, row)
            except msgspec.DecodeError:
                damaged.append(_named(row["id"]))
            await asyncio.sleep(0)  # it is the store's thread: commits have their turn
        count += len(rows)
        on_progress("account", count)

    owner, totals = record_id("ownership", system), record_id("pruned", system, "account")
    (found,) = await engine.query(CARRIED_TO, {"totals": totals})
    first = int((found and found[0]) or 1)
    (found,) = await engine.query(_PROJECTED, {"owner": owner})
    projected = int((found and found[0]) or 0)
    while first <= projected:
        last = min(first + _NUMBERS_AT_ONCE - 1, projected)
        bounds = {"system": system, "first": first, "last": last}
        (rows,) = await engine.query(f"SELECT * FROM {ACCOUNTS}", bounds)  # noqa: S608 - a constant
        await enter(rows)
        first = last + 1
    results = await engine.query(_REST, {"system": system, "first": first, "owner": owner})
    rows, ids, counts, marks, entries = filter(_is_list, results)
    await enter(rows)

    # What is committed and not projected counts as well.
    tail = NOTHING
    for entry in entries:
        try:
            decoded = decode_entry(entry["body"])
        except msgspec.DecodeError:
            damaged.append(_named(entry["id"]))
            continue
        tail = merge(tail, fold([(int(entry["id"].key[1]), decoded)], 1), 1)
    books.enter(tail.accounts)
    forgotten = {str(id_.key[1]) for id_ in marks} | tail.forgotten  # their rows are being deleted
    inbox = {key for key in map(_key, ids) if key[0] not in forgotten}
    counted = {path: known for path, known in map(read_counted, counts) if path not in forgotten}
    for path, placed in tail.counted.items():
        counted[path] = counted_on(counted.get(path), placed.epoch, placed.record.numbers)
    return books.close((inbox - tail.settled) | tail.pending.keys(), counted, damaged)


def _key(id_: RecordId) -> Key:
    _, path, epoch, seq = id_.key
    return str(path), int(epoch), int(seq)


def _named(id_: RecordId) -> str:
    return f"{id_.table}:{list(id_.key)}"


def _is_list(result: object) -> bool:
    """Of a SELECT: the other statements of a transaction answer with nothing."""
    return isinstance(result, list)
