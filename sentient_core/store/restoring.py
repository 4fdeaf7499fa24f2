"""A backup written into a database: whole, or so that nothing can be started on it.

A new embedded database has nobody but the restore, and takes its place when it is complete. On a server
others may come at any moment. So the restore first notes itself where the schema's version stands; every
start, of this release and of older ones, looks there and is refused. Each batch of rows changes that note
in its own transaction and fails when it is not there, so of two restores only the later one goes on. At
the end the rows are counted; then the note makes room for the version, in one step.

A start that has looked just before the note was there is found out: it makes its first row and looks
again, the restore notes itself and looks for rows again, so one of them at least sees the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentient_core.errors import RestoreUnfinished, StoreRefused
from sentient_core.store.backup import Progress, read_backup
from sentient_core.store.engine import Engine
from sentient_core.store.migrations import SCHEMA, look
from sentient_core.store.schema import RESTORING, TABLES, VERSION, definitions
from sentient_core.store.wire import Refusal, array

__all__ = ["restore_alone", "restore_among_others"]

_TIMEOUT = 600.0
_NAMES = tuple(table.name for table in TABLES if table.name != "store_schema")
_WIPED_AT_ONCE = 500

_INSERT = {
    table.name: f"INSERT {'RELATION ' if table.kind else ''}INTO {table.name} $rows RETURN NONE;"
    for table in TABLES
}
_NOTE = """BEGIN;
IF ((SELECT VALUE restore FROM ONLY $record) ?? '') != $before { THROW 'another restore' };
UPSERT $record SET version = $restoring, restore = $id, restore_began = time::now(), restore_rows = 0
    RETURN NONE;
COMMIT;"""
# It has to change something: what a transaction only reads is not protected.
_GUARDED = """BEGIN;
LET $noted = (UPDATE $record SET restore_rows += $count WHERE restore = $id RETURN VALUE restore);
IF array::len($noted) != 1 {{ THROW 'another restore' }};
{statement}
COMMIT;"""
_SOME = "LET $some = (SELECT VALUE id FROM {table} LIMIT $most); DELETE $some RETURN NONE;"
_END = """BEGIN;
LET $noted = (UPDATE $record SET version = $version, restore = NONE, restore_began = NONE, restore_rows = NONE
    WHERE restore = $id RETURN VALUE version);
IF array::len($noted) != 1 { THROW 'another restore' };
COMMIT;"""


async def restore_alone(engine: Engine, path: Path, progress: Progress) -> None:
    """Write a checked file into an empty database that nobody else can open."""

    async def put(table: str, rows: Sequence[bytes]) -> None:
        await engine.query(_INSERT[table], {"rows": array(rows)}, indexed_rows=len(rows), timeout=_TIMEOUT)

    version = await read_backup(path, put, progress)
    # Of an older release: the next opening brings the rows up to date.
    await engine.query("UPSERT $record SET version = $version", {"record": SCHEMA, "version": version})


async def restore_among_others(
    engine: Engine, path: Path, rows: dict[str, int], progress: Progress, *, again: bool
) -> None:
    """Write a checked file, of so many rows by table, into a server's database that holds nothing of ours.

    With `again` it may hold a part of a backup, which is deleted first; a restore that is still writing it
    is refused from then on. Raises StoreRefused, with nothing written, where there are rows; and when
    somebody else came in between. After that, or when it is stopped, the database keeps its note, and
    nothing can be started on it.
    """
    id_, before, version = uuid.uuid4().hex, "", VERSION
    try:
        version = (await look(engine)).version or VERSION
    except RestoreUnfinished:
        if not again:
            raise
        ((before,),) = await engine.query("SELECT VALUE restore FROM $record", {"record": SCHEMA})
    await engine.query(definitions(), timeout=_TIMEOUT)
    if not before:
        await _refuse_rows(engine)
    await _guarded(engine, _NOTE, {"id": id_, "before": before, "restoring": RESTORING})
    if not before:
        try:
            await _refuse_rows(engine)
        except StoreRefused:
            await _guarded(engine, _END, {"id": id_, "version": version})
            raise
    else:
        await _wipe(engine, id_, progress)

    async def put(table: str, batch: Sequence[bytes]) -> None:
        statement = _GUARDED.format(statement=_INSERT[table])
        await _guarded(engine, statement, {"id": id_, "count": len(batch), "rows": array(batch)})

    version = await read_backup(path, put, progress)
    written = await _counts(engine)
    if {table: count for table, count in written.items() if count} != rows:
        raise StoreRefused(_MEANWHILE)
    await _guarded(engine, _END, {"id": id_, "version": version})


async def _refuse_rows(engine: Engine) -> None:
    sql = "".join(f"SELECT VALUE id FROM {name} LIMIT 1;" for name in _NAMES)  # noqa: S608 - names of ours
    results = await engine.query(sql)
    if any(results):
        raise StoreRefused(
            "a backup is restored where nothing is, and the database holds rows of sentient-core: restore "
            "into another one, such as one that is not there yet"
        )


async def _wipe(engine: Engine, id_: str, progress: Progress) -> None:
    for table in _NAMES:
        count = (await _counts(engine, table))[table]
        statement = _GUARDED.format(statement=_SOME.format(table=table))
        while count > 0:
            # Down to nothing, so that each of them changes the note.
            await _guarded(engine, statement, {"id": id_, "count": -1, "most": _WIPED_AT_ONCE})
            count -= _WIPED_AT_ONCE
            progress(f"deleting {table}", max(count, 0))


async def _counts(engine: Engine, *tables: str) -> dict[str, int]:
    names = tables or _NAMES
    sql = "".join(f"SELECT count() FROM {name} GROUP ALL;" for name in names)  # noqa: S608 - as above
    results = await engine.query(sql, timeout=_TIMEOUT)
    return {name: found[0]["count"] if found else 0 for name, found in zip(names, results, strict=True)}


async def _guarded(engine: Engine, sql: str, parameters: dict[str, Any]) -> None:
    try:
        await engine.query(sql, {"record": SCHEMA} | parameters, timeout=_TIMEOUT)
    except Refusal as error:
        if error.kind == "Thrown":
            raise StoreRefused(
                "another restore into this store has begun meanwhile: nothing more is written by this one"
            ) from error
        if error.kind == "AlreadyExists":
            raise StoreRefused(_MEANWHILE) from error
        raise


_MEANWHILE = (
    "somebody else wrote to the store while it was being restored. Nothing can be started on it; "
    "end whatever that was and run `sentient restore FILE --again`"
)
