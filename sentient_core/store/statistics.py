"""What a store holds, counted: rows and bytes by system and table, the tail, what was written and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from sentient_core.store.engine import Engine
from sentient_core.store.migrations import look
from sentient_core.store.pruning import SIZE
from sentient_core.store.schema import TABLES
from sentient_core.store.wire import read_plain

__all__ = ["StoreStatistics", "SystemRows", "TableRows", "Written", "store_statistics"]

_PAGE = 1_000
_TIMEOUT = 600.0
_LONG_TAIL = 0.1


class TableRows(msgspec.Struct):
    """Of one table."""

    rows: int = 0
    bytes: int = 0
    """Of the rows' contents as CBOR."""
    pruned_rows: int = 0
    pruned_bytes: int = 0


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What one actor system has ever written, as far as it is projected; pruned rows included.

    Bytes are those of rows as they were handed to the database, each once. What that adds on its disk
    (indexes, its own log), and what was sent a second time after a lost answer, is not in them.
    """

    since: datetime
    """When counting began: with its first window, or with the first release that counts."""
    records: int
    journal_bytes: int
    """Of journal entries; they are deleted when they are projected."""
    row_bytes: int
    """Of all other rows, each version of a row that changes."""
    messages: int
    """Messages and replies."""
    message_bytes: int
    """Of their payloads, as they were encoded."""

    @property
    def amplification(self) -> float | None:
        """Bytes written for each byte of a message; None without any."""
        return (self.journal_bytes + self.row_bytes) / self.message_bytes if self.message_bytes else None


class SystemRows(msgspec.Struct):
    """Of one actor system."""

    epoch: int = 0
    """How often it was started."""
    projected: int = 0
    """The last journal entry whose rows are written."""
    is_clean: bool = False
    """Its last start ended in order, as far as is projected."""
    tail_entries: int = 0
    """Commits that are not projected yet; the next start projects them."""
    tail_records: int = 0
    tail_bytes: int = 0
    broken_entries: int = 0
    """Journal entries that could not be read; they are left as they are."""
    tables: dict[str, TableRows] = {}
    written: Written | None = None
    """None: nothing is projected since counting began."""

    @property
    def write_amplification(self) -> float | None:
        """As of what is written. None also while the tail is long: what is projected is then the beginning.

        Long is more than a tenth of all records that were projected.
        """
        written = self.written
        if written is None or self.tail_records > written.records * _LONG_TAIL:
            return None
        return written.amplification


class StoreStatistics(msgspec.Struct):
    """Of a whole store."""

    systems: dict[str, SystemRows]

    @property
    def bytes(self) -> int:
        """Of all rows' contents."""
        return sum(table.bytes for system in self.systems.values() for table in system.tables.values())

    @property
    def broken_entries(self) -> int:
        """Of all systems."""
        return sum(system.broken_entries for system in self.systems.values())


async def store_statistics(engine: Engine, progress: Callable[[str, int], object]) -> StoreStatistics:
    """Read through all tables, in pages. On the engine's thread.

    Raises StoreSchemaTooNew, RestoreUnfinished.
    """
    systems: dict[str, SystemRows] = {}
    known = (await look(engine)).tables

    def of(system: str) -> SystemRows:
        return systems.setdefault(system, SystemRows(tables={}))

    for table, fields in _FIELDS.items():
        if table not in known:  # of an older release
            continue
        start = 0
        while True:
            (rows,) = await engine.query(
                f"SELECT id, {fields} {SIZE} AS size FROM {table} START $start LIMIT $page",  # noqa: S608 - ours
                {"start": start, "page": _PAGE},
                timeout=_TIMEOUT,
                read=read_plain,
            )
            for row in rows:
                key = row["id"].key
                system = of(str(key[0]))
                count = system.tables.setdefault(table, TableRows())
                count.rows += 1
                count.bytes += row["size"]
                if table == "ownership" and len(key) == 1:
                    system.epoch = row["epoch"] or 0
                    system.is_clean = bool(row["is_clean"])
                    system.projected = row["projected"] or 0
                elif table == "journal":
                    _count_entry(system, row, is_tail=key[1] > system.projected)
                elif table == "written":
                    system.written = msgspec.convert(row, Written)
                elif table == "pruned":
                    pruned = system.tables.setdefault(str(key[1]), TableRows())
                    pruned.pruned_rows, pruned.pruned_bytes = row["rows"], row["bytes"]
            if not rows:
                break
            start += len(rows)
            progress(table, start)
    return StoreStatistics(dict(sorted(systems.items())))


def _count_entry(system: SystemRows, row: dict[str, Any], *, is_tail: bool) -> None:
    if row.get("is_broken"):
        system.broken_entries += 1
    if is_tail:
        system.tail_entries += 1
        system.tail_records += row["records"]
        system.tail_bytes += row["weight"]


_OWN_FIELDS = {
    # First, since what is behind `projected` is the tail.
    "ownership": "epoch, is_clean, projected,",
    "journal": "records, weight, is_broken,",
    "pruned": "rows, bytes,",
    "written": "since, records, journal_bytes, row_bytes, messages, message_bytes,",
}
_FIELDS = _OWN_FIELDS | {
    table.name: "" for table in TABLES if table.name not in ("store_schema", *_OWN_FIELDS)
}
