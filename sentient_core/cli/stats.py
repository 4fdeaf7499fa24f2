"""`sentient store stats`: rows and bytes per system and table, the tail, what was written, the disk."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from sentient_core.cli.opening import to_read
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, amount, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.store.statistics import StoreStatistics, SystemRows, Written, store_statistics

__all__ = ["stats"]


@click.command()
@at_store
@as_json
@runs
async def stats(place: Place, is_json: bool) -> int:
    """Rows and bytes per system and table, the tail of the journal, what was ever written and deleted.

    Bytes are those of rows' contents. `write_amplification` is how many of them were ever written for each
    byte of a message: its journal entry, its row, checkpoints and all else. It is of what is projected, so it
    is left out while the tail is longer than a tenth of that. `space_amplification`, of a
    directory, is how many bytes on disk there are for each in rows: indexes, the journal, and deleted rows
    whose space has not come back yet. A server's disk is not seen from here. Exit code 1 if a journal
    entry could not be read.
    """
    reporter = Reporter()
    async with to_read(place, reporter, one_moment=True) as engine:
        disk = _on_disk(place.address.path)
        with reporter.step("counting"):
            found = await engine.thread.run(lambda: store_statistics(engine, reporter.rows))
    space = round(disk / found.bytes, 2) if disk is not None and found.bytes else None
    if is_json:
        shown = msgspec.to_builtins(found)
        for name, system in found.systems.items():
            shown["systems"][name]["write_amplification"] = _rounded(system.write_amplification)
        print_json(shown | {"bytes": found.bytes, "disk_bytes": disk, "space_amplification": space})
    else:
        _print(found, disk, space)
    if found.broken_entries:
        reporter.say(f"{found.broken_entries} journal entries could not be read; they were left as they are")
    return 1 if found.broken_entries else 0


def _on_disk(path: Path | None) -> int | None:
    return None if path is None else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _rounded(times: float | None) -> float | None:
    return None if times is None else round(times, 2)


def _print(found: StoreStatistics, disk: int | None, space: float | None) -> None:
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
        click.echo(_tail(system))
        if system.written is not None:
            click.echo(_ever_written(system, system.written))
        click.echo()
    times = "" if space is None else f", {space:g} on disk for each"
    on_disk = "" if disk is None else f"{amount(disk)} on disk, "
    click.echo(f"{on_disk}{amount(found.bytes)} in rows{times}")


def _life(system: SystemRows) -> str:
    starts = "1 start" if system.epoch == 1 else f"{system.epoch} starts"
    if system.tail_entries:
        return starts  # how the last one ended stands in the tail
    return (
        f"{starts}, the last one {'ended in order' if system.is_clean else 'did not end in order, or runs'}"
    )


def _tail(system: SystemRows) -> str:
    if not system.tail_entries:
        return f"tail: empty, projected up to {system.projected:,}"
    return (
        f"tail: {system.tail_entries:,} commits with {system.tail_records:,} records "
        f"({amount(system.tail_bytes)}) are not projected yet; projected up to {system.projected:,}"
    )


def _ever_written(system: SystemRows, written: Written) -> str:
    total = written.journal_bytes + written.row_bytes
    line = (
        f"written since {written.since:%Y-%m-%d %H:%M}: {amount(total)} (journal "
        f"{amount(written.journal_bytes)}, rows {amount(written.row_bytes)})"
    )
    times = _rounded(system.write_amplification)
    if times is None:
        if written.amplification is None:
            return line
        return f"{line}, without the tail: how many times that is of its messages can be told behind it"
    return (
        f"{line} for {amount(written.message_bytes)} in {written.messages:,} messages: {times:g} times, "
        f"{amount(total / written.messages)} per message"
    )
