"""`sentient store stats`: rows and bytes per system and table, the tail, what is on disk."""

from __future__ import annotations

import click
import msgspec

from sentient_core.cli.opening import copy_of, path_of
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, amount, print_json, print_table
from sentient_core.store.statistics import StoreStatistics, SystemRows, store_statistics

__all__ = ["stats"]


@click.command()
@at_store
@as_json
@runs
async def stats(url: str, is_json: bool) -> int:
    """Rows and bytes per system and table, what is not projected yet, what retention deleted.

    Bytes are those of the rows' contents. `amplification` is how many bytes on disk there are for each of
    them: indexes, the journal, and deleted rows whose space has not come back yet. Exit code 1 if a journal
    entry could not be read.
    """
    reporter = Reporter()
    async with copy_of(url, reporter) as engine:
        disk = sum(file.stat().st_size for file in path_of(url).rglob("*") if file.is_file())
        with reporter.step("counting"):
            found = await engine.thread.run(lambda: store_statistics(engine, reporter.rows))
    amplification = round(disk / found.bytes, 2) if found.bytes else None
    if is_json:
        shown = msgspec.to_builtins(found)
        print_json(shown | {"disk_bytes": disk, "bytes": found.bytes, "amplification": amplification})
    else:
        _print(found, disk, amplification)
    if found.broken_entries:
        reporter.say(f"{found.broken_entries} journal entries could not be read; they were left as they are")
    return 1 if found.broken_entries else 0


def _print(found: StoreStatistics, disk: int, amplification: float | None) -> None:
    for name, system in found.systems.items():
        rows = [
            (
                table,
                f"{count.rows:,}",
                amount(count.bytes),
                f"{count.pruned_rows:,}" if count.pruned_rows else "",
                amount(count.pruned_bytes) if count.pruned_rows else "",
            )
            for table, count in sorted(system.tables.items())
        ]
        columns = ("table", "rows", "bytes", "pruned rows", "pruned bytes")
        print_table(f"{name}: {_life(system)}", columns, rows, numbers=4)
        click.echo()
    times = "" if amplification is None else f", {amplification:g} on disk for each"
    click.echo(f"{amount(disk)} on disk, {amount(found.bytes)} in rows{times}")


def _life(system: SystemRows) -> str:
    starts = "1 start" if system.epoch == 1 else f"{system.epoch} starts"
    if not system.tail_entries:
        return f"{starts}, the last one {'ended in order' if system.is_clean else 'did not end in order'}"
    return (
        f"{starts}; {system.tail_records:,} records ({amount(system.tail_bytes)}) in the journal "
        "wait for the next start"
    )
