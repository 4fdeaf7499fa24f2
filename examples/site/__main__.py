"""The command: options, checks before the work, and what is said at the end."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import click
from rich.console import Console

from examples.site.display import LineDisplay, LiveDisplay, PipeDisplay
from examples.site.errors import CannotRun, OutputUnusable, SourceUnusable, StoreUnusable
from examples.site.faults import FaultPlan
from examples.site.files import claim
from examples.site.fresh import remove_output, remove_store, store_folder
from examples.site.interrupt import interruptible
from examples.site.kill import run_and_kill
from examples.site.log import log_to
from examples.site.plan import Source
from examples.site.run import Job, run
from examples.site.serve import SiteServer
from examples.site.table import print_report
from sentient_core import SentientError
from sentient_core.store import SurrealStore

PROJECT = Path(__file__).parents[2]
OWN_DOCUMENTS = ("README.md", "CHANGELOG.md", "docs")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--source", metavar="DIR", help="Folder of Markdown.  [default: this project's README and docs]"
)
@click.option("--out", metavar="DIR", default="build/site", help="Where the site goes.")
@click.option("--store", metavar="URL", help="surrealkv://DIR, or mem://.  [default: surrealkv://OUT.db]")
@click.option(
    "--seed", type=int, metavar="N", help="Of the crashes and the kill.  [default: a random one, printed]"
)
@click.option("--backend", type=click.Choice(["asyncio", "trio"]), default="asyncio", help="Event loop.")
@click.option(
    "--faults",
    type=click.FloatRange(0, 50),
    metavar="PERCENT",
    default=15.0,
    help="Share of handlers that raise.",
)
@click.option("--kill", is_flag=True, help="Kill the whole process midway and start it again.")
@click.option(
    "--fresh", is_flag=True, help="Remove what an earlier run has left, database included, and begin anew."
)
@click.option(
    "--serve/--no-serve",
    default=None,
    help="Serve the site on loopback at the end, until Ctrl-C.  [default: on a terminal]",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port to serve on; 0: any that is free."
)
@click.option("--progress-fd", type=int, hidden=True)
@click.option("--anew-if-finished", is_flag=True, hidden=True)
def main(
    source: str | None,
    out: str,
    store: str | None,
    seed: int | None,
    backend: str,
    faults: float,
    kill: bool,
    fresh: bool,
    serve: bool | None,
    port: int,
    progress_fd: int | None,
    anew_if_finished: bool,
) -> None:
    """Turn a folder of Markdown into a site, by a team of agents that crash.

    Given again, the command goes on where it was interrupted; when the site is finished, it renders what
    has changed. Exit code 0: every page is there, published once, and as if nothing had crashed; 1: not
    so; 2: it could not run.
    """
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    store = store or f"surrealkv://{out}.db"
    if kill:
        sys.exit(_kill(sys.argv[1:], store, seed))
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        job = _job(source, Path(out), store, FaultPlan(seed, faults / 100))
        with ExitStack() as stack:
            is_watched = sys.stdout.isatty() if serve is None else serve
            server = SiteServer(job.out, port) if is_watched else None
            if server is not None:
                stack.callback(server.close)
            code = _work(console, job, backend, progress_fd, fresh=fresh, anew_if_finished=anew_if_finished)
            if server is not None:
                console.print(f"\nThe site is at {server.url} – Ctrl-C ends.", highlight=False)
                server.serve_until_interrupted()
            elif serve is None:
                console.print(
                    f"\nThe site is in {job.out}; on a terminal, or with --serve, it is also served.",
                    highlight=False,
                )
    except (CannotRun, SentientError) as error:
        sys.exit(_complain(error))
    sys.exit(code)


def _job(source: str | None, out: Path, store: str, faults: FaultPlan) -> Job:
    """The options as a job, checked as far as that goes without beginning. Raises CannotRun."""
    SurrealStore(store)  # raises InvalidStoreUrl
    root = PROJECT if source is None else Path(source).absolute()
    if not root.is_dir():
        raise SourceUnusable(
            str(source), "there is no such folder" if not root.exists() else "it is not a folder"
        )
    for folder_of, unusable in ((root, SourceUnusable), (out.absolute(), OutputUnusable)):
        try:
            str(folder_of).encode()  # both go into messages
        except UnicodeEncodeError:
            raise unusable(ascii(str(folder_of))[1:-1], "its name is not UTF-8") from None
    own = [str(out.absolute())]
    folder = store_folder(store)
    if folder is not None:
        own.append(str(folder.absolute()))
    only = tuple(name for name in OWN_DOCUMENTS if (root / name).exists()) if source is None else ()
    return Job(Source(str(root), only, tuple(own)), out, store, faults)


def _work(
    console: Console, job: Job, backend: str, progress_fd: int | None, *, fresh: bool, anew_if_finished: bool
) -> int:
    """Make the site and print the report. Raises CannotRun, SentientError."""
    if fresh:
        _clear(job)
    claim(job.out)
    log = job.out.with_name(f"{job.out.name}.log")
    facts = f"seed {job.faults.seed}, {job.faults.share:.0%} of the handlers raise, {backend}"
    for line in (f"Site of {job.source.root}, in {job.out}", f"{facts}, {job.store}, {log}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    pipes = [] if progress_fd is None else [PipeDisplay(progress_fd)]
    with log_to(log), LiveDisplay(console) if sys.stdout.isatty() else LineDisplay(console) as display:
        commission, report = anyio.run(interruptible, partial(run, job, display, *pipes), backend=backend)
    if anew_if_finished and not commission.unfinished:
        console.print("To have something to kill, it is made anew.", highlight=False)
        return _work(console, job, backend, progress_fd, fresh=True, anew_if_finished=False)
    print_report(console, report)
    if store_folder(job.store) is not None:
        query = 'await store.query("SELECT * FROM agent_event")'
        look = f'Look inside: async with SurrealStore("{job.store}") as store: {query}'
        console.print(f"\n{look}", markup=False, highlight=False, soft_wrap=True)
    return 0 if report.is_perfect else 1


def _clear(job: Job) -> None:
    remove_output(job.out)
    anyio.run(remove_store, job.store)


def _kill(arguments: Sequence[str], store: str, seed: int) -> int:
    if store_folder(store) is None:
        return _complain(
            StoreUnusable(f"--kill needs a database on disk: '{store}' does not survive its process")
        )
    kept = [argument for argument in arguments if argument not in ("--kill", "--fresh")]
    first_only = ["--fresh"] if "--fresh" in arguments else []
    return run_and_kill([*kept, f"--seed={seed}"], first_only, seed)


def _complain(error: Exception) -> int:
    click.echo(f"error: {error}", err=True)
    return error.exit_code if isinstance(error, CannotRun) else 2


if __name__ == "__main__":
    main()
