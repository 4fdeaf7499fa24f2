"""A whole store in one file: every row exactly, in a form that each release from this one on can read.

On a server it has to be read in one snapshot (`snapshot.SnapshotClient`), so that what is in the file is what
a death of every process at one moment would have left. An embedded database has nobody else who writes.

The file: `MAGIC`, then frames of four bytes of length and that much zlib-compressed CBOR, a length of 0,
and the SHA-256 of all before it. The first frame is the header (format, schema version, release, time),
then each one `[table, rows]`, the last one `{table: count}`. Rows are what the database answered, with
its tags: times to the nanosecond, exact bytes, ids that are arrays.

Both ways hold one page of rows in memory. A file is read to its end and its digest compared before
anything of it is written anywhere.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import cbor2
import msgspec

from sentient_core.errors import BackupUnusable
from sentient_core.store.engine import Engine
from sentient_core.store.migrations import look
from sentient_core.store.schema import TABLES, VERSION
from sentient_core.store.wire import read_raw

__all__ = ["FORMAT", "MAGIC", "BackupInfo", "Progress", "Put", "check_backup", "read_backup", "write_backup"]

MAGIC = b"sentient-core backup\n"
FORMAT = 1
"""Of the file; raised when an older release could not read it any more."""

Progress = Callable[[str, int], object]
"""Told the table in hand and how many rows of it are done."""

Put = Callable[[str, Sequence[bytes]], Awaitable[object]]
"""Takes rows of a table, each as CBOR."""

_SCHEMA = "store_schema"  # the version stands in the header
_NAMES = tuple(table.name for table in TABLES if table.name != _SCHEMA)
_PAGE_BYTES = (512 * 1024, 4 * 1024 * 1024)  # below: the next page doubles; above: it halves
_MOST_ROWS = 1_000
_BATCH_BYTES, _BATCH_ROWS = 1024 * 1024, 500
_DIGEST_BYTES = 32
_TIMEOUT = 600.0


class BackupInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    schema_version: int
    made_at: int
    """Nanoseconds since 1970."""
    rows: dict[str, int]
    """By table."""


async def write_backup(engine: Engine, file: BinaryIO, progress: Progress) -> BackupInfo:
    """Write all rows of the runtime's tables. On the engine's thread, which waits for the disk.

    The schema may be of an older release: the file says of which. Changes nothing in the database. Raises
    StoreSchemaTooNew, RestoreUnfinished.
    """
    found = await look(engine)
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    def put_frame(content: object) -> None:
        packed = zlib.compress(cbor2.dumps(content), 1)
        put(len(packed).to_bytes(4, "big") + packed)

    made_at = time.time_ns()
    put(MAGIC)
    put_frame({"format": FORMAT, "schema": found.version, "made_at": made_at})
    counts: dict[str, int] = {}
    for table in (name for name in _NAMES if name in found.tables):
        counts[table], page = 0, 1  # one row may have many megabytes
        while True:
            (rows,) = await engine.query(
                f"SELECT * FROM {table} START $start LIMIT $page",  # noqa: S608 - a name of ours
                {"start": counts[table], "page": page},
                timeout=_TIMEOUT,
                read=read_raw,
            )
            if not rows:
                break
            start = file.tell()
            put_frame([table, rows])
            counts[table] += len(rows)
            progress(table, counts[table])
            # Compressed to a third or less: bounded by what is seen, a page too late at most.
            size = 4 * (file.tell() - start)
            if size < _PAGE_BYTES[0]:
                page = min(page * 2, _MOST_ROWS)
            elif size > _PAGE_BYTES[1]:
                page = max(page // 2, 1)
    put_frame(counts)
    put(bytes(4))
    file.write(digest.digest())
    return BackupInfo(schema_version=found.version, made_at=made_at, rows=counts)


def check_backup(path: Path) -> BackupInfo:
    """Read a file to its end. Raises BackupUnusable, with why; OSError."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        frames = _frames(path, file, digest.update)
        header = _header(path, next(frames, None))
        last: Any = None
        seen: dict[str, int] = {}
        for content in frames:
            last = content
            if isinstance(content, list):
                table, rows = _rows(path, content)
                seen[table] = seen.get(table, 0) + len(rows)
        if file.read(_DIGEST_BYTES) != digest.digest() or file.read(1):
            raise BackupUnusable(str(path), "its digest does not match: it was changed or damaged")
        counts = cast("dict[str, int]", last) if isinstance(last, dict) else None
        if counts is None or {table: count for table, count in counts.items() if count} != seen:
            raise BackupUnusable(str(path), "it does not hold the rows that it says it does")
        return BackupInfo(schema_version=header["schema"], made_at=header["made_at"], rows=seen)


async def read_backup(path: Path, put: Put, progress: Progress) -> int:
    """Hand the rows of a file that `check_backup` has read to `put`; returns the version of their schema.

    A batch is of one table, of at most 500 rows and a megabyte, or of one larger row.
    """
    done: dict[str, int] = {}
    with path.open("rb") as file:
        frames = _frames(path, file, len)
        header = _header(path, next(frames, None))
        for content in frames:
            if not isinstance(content, list):
                continue
            table, rows = _rows(path, content)
            for batch in _batches([cbor2.dumps(row) for row in rows]):
                await put(table, batch)
                done[table] = done.get(table, 0) + len(batch)
                progress(table, done[table])
    return header["schema"]


def _batches(rows: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for position, row in enumerate(rows):
        if position > start and (position - start >= _BATCH_ROWS or size + len(row) > _BATCH_BYTES):
            yield rows[start:position]
            start, size = position, 0
        size += len(row)
    yield rows[start:]


def _frames(path: Path, file: BinaryIO, take: Callable[[bytes], object]) -> Iterator[Any]:
    def get(size: int) -> bytes:
        data = file.read(size)
        if len(data) != size:
            raise BackupUnusable(str(path), "it ends in the middle: copy it again")
        take(data)
        return data

    if file.read(len(MAGIC)) != MAGIC:
        raise BackupUnusable(str(path), "it is no backup made by `sentient backup`")
    take(MAGIC)
    while length := int.from_bytes(get(4), "big"):
        data = get(length)
        try:
            content = cbor2.loads(zlib.decompress(data))
        except (zlib.error, cbor2.CBORDecodeError) as error:
            raise BackupUnusable(str(path), "it is damaged: a part of it cannot be read") from error
        yield content


def _header(path: Path, content: object) -> dict[str, int]:
    try:
        header = cast("dict[str, int]", content)
        format_, schema, _ = header["format"], header["schema"], header["made_at"]
        is_newer = format_ > FORMAT or schema > VERSION
    except (KeyError, TypeError) as error:
        raise BackupUnusable(str(path), "it is damaged: its header cannot be read") from error
    if is_newer:
        raise BackupUnusable(
            str(path),
            f"a newer release made it (format {format_}, schema version {schema}; this one reads up to "
            f"{FORMAT} and {VERSION}): upgrade sentient-core",
        )
    return header


def _rows(path: Path, content: Any) -> tuple[str, list[Any]]:
    if len(content) != 2 or content[0] not in _NAMES or not isinstance(content[1], list):
        raise BackupUnusable(str(path), "it holds something that is no table of ours")
    return content[0], content[1]
