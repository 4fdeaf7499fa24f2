"""`sentient restore FILE`: a store from a backup, where none is yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio.to_thread
import click

from sentient_core.cli.opening import new_database, path_of
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, print_json
from sentient_core.errors import StorePathUnusable
from sentient_core.store.backup import check_backup, read_backup

__all__ = ["restore"]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@at_store
@as_json
@runs
async def restore(file: Path, url: str, is_json: bool) -> int:
    """Make the store that FILE is a backup of.

    The directory of the store must be empty, or not there. FILE is read to its end and checked first; the
    store appears when it is complete, so a restore that is killed leaves none.
    """
    reporter = Reporter()
    path = path_of(url)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorePathUnusable(str(path), "a store is restored where nothing is, and something is there")
    with reporter.step(f"checking {file}"):
        info = await anyio.to_thread.run_sync(check_backup, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that it can take its place in one step.
    making = path.with_name(f"{path.name}.{os.getpid()}.restoring")
    try:
        with reporter.step("restoring"):
            async with new_database(making) as engine:
                await engine.thread.run(lambda: read_backup(engine, file, reporter.rows))
        making.replace(path)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    rows = sum(info.rows.values())
    if is_json:
        print_json({"store": url, "rows": info.rows})
    else:
        click.echo(f"{path}: {rows:,} rows")
    return 0
