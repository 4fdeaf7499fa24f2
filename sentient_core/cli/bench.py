"""`sentient bench`: what the runtime does when something goes wrong, measured here."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import click

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.options import as_json
from sentient_core.errors import SentientError

__all__ = ["bench"]


def _list_rows(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted:
        return
    from sentient_core.bench.rows import ROWS  # noqa: PLC0415 - as in `faults`

    width = max(len(row.id) for row in ROWS)
    for row in ROWS:
        click.echo(f"{row.id:{width}}  {row.injects}")
    context.exit()


@click.group()
def bench() -> None:
    """Measure on this machine."""


@bench.command()
@click.option("--quick", is_flag=True, help="Under three minutes: shows that it works, with rough figures.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write faults.json, README.md and pictures there. For pictures, install sentient-core[bench].",
)
@click.option(
    "--row", "names", metavar="ID", multiple=True, help="This row alone. Can be given several times."
)
@click.option(
    "--rows",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_rows,
    help="List the rows, and end.",
)
@click.option(
    "--store",
    "stores",
    type=click.Choice(["memory", "embedded", "server"]),
    multiple=True,
    help="On this store alone; else on all. The server is started here: `surreal` on PATH, or what "
    "SENTIENT_TEST_SURREAL names; without one it is left out.",
)
@click.option(
    "--backend",
    "backends",
    type=click.Choice(["asyncio", "trio"]),
    multiple=True,
    help="[default: asyncio, and trio beside it in memory for the rows that are about the loop]",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of everything random.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where databases go: a folder on a real disk.  [default: a temporary one]",
)
@as_json
def faults(
    *,
    quick: bool,
    out: Path | None,
    names: tuple[str, ...],
    stores: tuple[str, ...],
    backends: tuple[str, ...],
    seed: int,
    folder: Path | None,
    is_json: bool,
) -> None:
    """Faults, injected into a loaded system: what is lost, and how long it takes.

    Exit codes: 0 every promise held, 1 one was broken or a row failed, 2 it could not run, or not to its
    end: Ctrl-C prints and writes what was measured until then.
    """
    # Here, since no other verb should wait for all that this one imports.
    import structlog  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    from sentient_core.bench.report import prepare, print_report, write_report  # noqa: PLC0415
    from sentient_core.bench.result import as_json as in_json  # noqa: PLC0415
    from sentient_core.bench.rows import ROWS  # noqa: PLC0415
    from sentient_core.bench.run import Choice, run_rows  # noqa: PLC0415
    from sentient_core.bench.stores import StoreKind  # noqa: PLC0415

    known = {row.id: row for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CannotRun(f"no row '{unknown[0]}'; there are: {', '.join(known)}")
    # Failures are what is measured here; what they log would be measured too, and hide the progress.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    choice = Choice(
        rows=[row for name, row in known.items() if not names or name in names],
        stores=[kind for kind in StoreKind if not stores or kind.value in stores],
        backends=backends or None,
        seed=seed,
        is_quick=quick,
        folder=folder,
        command=shlex.join(["sentient", *_given()]),
    )
    try:
        if out is not None:
            prepare(out)
        report = run_rows(choice)
        complaint = None if out is None else write_report(report, out)
    except (SentientError, OSError) as error:
        raise CannotRun(str(error)) from error
    if complaint is not None:
        click.echo(complaint, err=True)
    if is_json:
        click.echo(in_json(report), nl=False)
    else:
        print_report(report, Console(width=None if sys.stdout.isatty() else 160))
    if report.is_interrupted:
        raise CannotRun("interrupted: what was measured until then is in the report")
    raise SystemExit(0 if report.is_sound else 1)


def _given() -> list[str]:
    """What follows the program's name on the command line, by whichever entry it was started."""
    words = sys.argv[1:]
    return words[words.index("bench") :] if "bench" in words else ["bench", *words]
