"""`sentient restore FILE`: a store from a backup, where none is yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio.to_thread
import click

from sentient_core.cli.opening import new_database
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, print_json
from sentient_core.cli.place import Place
from sentient_core.cli.served import to_write
from sentient_core.errors import StorePathUnusable
from sentient_core.store.backup import BackupInfo, check_backup
from sentient_core.store.restoring import restore_alone, restore_among_others

__all__ = ["restore"]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--again", is_flag=True, help="Delete what an earlier restore into a server left, which did not end."
)
@at_store
@as_json
@runs
async def restore(file: Path, again: bool, place: Place, is_json: bool) -> int:
    """Make the store that FILE is a backup of.

    The directory of the store must be empty, or not there; on a server the database must hold nothing of
    sentient-core, and is made if it is not there. FILE is read to its end and checked first. The store is
    there when it is complete: a restore that is killed leaves no directory, and on a server a database that
    no system starts on, until `--again` has begun it anew.
    """
    reporter = Reporter()
    path = place.address.path
    if path is not None and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorePathUnusable(str(path), "a store is restored where nothing is, and something is there")
    with reporter.step(f"checking {file}"):
        info = await anyio.to_thread.run_sync(check_backup, file)
    with reporter.step("restoring"):
        if path is None:
            await _into_server(place, file, info, reporter, again=again)
        else:
            await _into_directory(place, path, file, reporter)
    rows = sum(info.rows.values())
    if is_json:
        print_json({"store": place.address.url, "rows": info.rows})
    else:
        click.echo(f"{place.name}: {rows:,} rows")
    return 0


async def _into_server(
    place: Place, file: Path, info: BackupInfo, reporter: Reporter, *, again: bool
) -> None:
    async with to_write(place) as engine:
        await engine.thread.run(
            lambda: restore_among_others(engine, file, info.rows, reporter.rows, again=again)
        )


async def _into_directory(place: Place, path: Path, file: Path, reporter: Reporter) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that it can take its place in one step.
    making = path.with_name(f"{path.name}.{os.getpid()}.restoring")
    try:
        async with new_database(place, making) as engine:
            await engine.thread.run(lambda: restore_alone(engine, file, reporter.rows))
        making.replace(path)
    finally:
        shutil.rmtree(making, ignore_errors=True)
