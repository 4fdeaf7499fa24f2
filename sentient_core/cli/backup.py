"""`sentient backup FILE`: a whole store in one file."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import click

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.opening import to_read
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, amount, print_json
from sentient_core.cli.place import Place
from sentient_core.store.backup import BackupInfo, write_backup
from sentient_core.store.engine import Engine
from sentient_core.store.schema import TABLES

__all__ = ["backup"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@at_store
@as_json
@runs
async def backup(file: Path, overwrite: bool, place: Place, is_json: bool) -> int:
    """Write all systems of a store to FILE, for `sentient restore`.

    The process that runs on a store in a directory has to have ended. On a server systems may go on: FILE
    holds one moment of the database, all that was committed by then, as a death of all processes at that
    moment would have left it. FILE appears when it is complete. Tables of your own in the same database are
    not in it; they are named.
    """
    if not overwrite and await anyio.Path(file).exists():
        raise CannotRun(f"'{file}' is there already: choose another name, or give --overwrite")
    reporter = Reporter()
    async with to_read(place, reporter, one_moment=True, any_version=True) as engine:
        with reporter.step("writing"):
            info = await engine.thread.run(lambda: _write(engine, file, reporter))
        others = await engine.thread.run(lambda: _other_tables(engine))
    if others:
        reporter.say(f"not in the backup, since they are not of sentient-core: {', '.join(others)}")
    rows = sum(info.rows.values())
    size = (await anyio.Path(file).stat()).st_size
    if is_json:
        print_json({"file": str(file), "rows": info.rows, "bytes": size, "left_out": others})
    else:
        click.echo(f"{file}: {rows:,} rows, {amount(size)}")
    return 0


async def _write(engine: Engine, file: Path, reporter: Reporter) -> BackupInfo:
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as target:
            info = await write_backup(engine, target, reporter.rows)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return info


async def _other_tables(engine: Engine) -> list[str]:
    (info,) = await engine.query("INFO FOR DB")
    return sorted(set(info["tables"]) - {table.name for table in TABLES})
