"""`python -m benchmarks`: measure what the runtime costs, each figure beside a plain baseline."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.actors import of_actors, of_supervision
from benchmarks.burst import burst
from benchmarks.checkpoint import checkpoint
from benchmarks.durable import of_durable
from benchmarks.events import of_events
from benchmarks.faults import main as faults
from benchmarks.measure import Figure, Measurement, Settings
from benchmarks.memory import memory
from benchmarks.mirror import mirror
from benchmarks.page import as_markdown, picture
from benchmarks.peer_process import ALL_PEERS, DURABLE_PEERS, Peers
from benchmarks.report import Run, as_json, print_table
from benchmarks.tasks import tasks_of
from sentient_core.bench.machine import file_system, load, this_machine

__all__ = ["main"]

_STORE = [
    Measurement(
        "mirror",
        "Mirrored messages as fast as their rows are written, beside a bulk insert of the same rows.",
        mirror,
    ),
    Measurement("burst", "A burst that the mirror's buffer takes whole, beside a volatile one.", burst),
    Measurement("memory", "How far a flood makes the mirror grow, beside the bound of its buffer.", memory),
    checkpoint,
]
_AGENTS = [tasks_of(1), tasks_of(10)]
_PEERS = (*(peer.name for peer in ALL_PEERS + DURABLE_PEERS), "langgraph-checkpoint-sqlite")
_QUICK_ROUNDS = 1
_ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; 0 when it could be measured, whatever came out."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["faults"]:
        faults(given[1:])
    options = _parser().parse_args(given)
    # Crashes are part of the work here; what they write would be measured, and hide the progress.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    figures: list[Figure] = []
    load_before, started = load(), time.perf_counter()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with (
        tempfile.TemporaryDirectory(prefix="sentient-bench-", dir=options.dir or _disk()) as folder,
        Peers(() if options.no_peers else ALL_PEERS) as peers,
        Peers(() if options.no_peers else DURABLE_PEERS, Path(folder)) as durable_peers,
    ):
        suites = {
            "actors": of_actors(peers),
            "supervision": of_supervision(peers),
            "store": _STORE,
            "durable": of_durable(durable_peers),
            "agents": _AGENTS,
            "events": of_events(),
        }
        chosen, subject, unknown = _chosen(options.names, suites)
        if unknown:
            known = dict.fromkeys([*suites, *(one.name for suite in suites.values() for one in suite)])
            print(f"no workload '{unknown}'; there are: {', '.join(known)}", file=sys.stderr)
            return 2
        settings = Settings(
            is_quick=options.quick,
            rounds=options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS),
            seed=options.seed,
            folder=Path(folder),
        )
        for measurement in chosen:
            figures += measurement.run(settings)
        machine = this_machine(settings.folder, load_before, _PEERS)

    run = Run(
        subject=subject,
        command=shlex.join(["python", "-m", "benchmarks", *given]),
        seed=options.seed,
        is_quick=options.quick,
        started=began,
        seconds=time.perf_counter() - started,
        machine=machine,
        figures=figures,
        about={measurement.name: measurement.about for measurement in chosen},
        skipped=_skipped(subject, peers, durable_peers),
    )
    _write(run, options.json, options.markdown)
    print_table(run, Console(width=None if sys.stdout.isatty() else 160))
    return 0


def _chosen(
    names: Sequence[str], suites: dict[str, list[Measurement]]
) -> tuple[list[Measurement], str, str | None]:
    """What the names stand for, in the order of the suites, what all of it is about, and a name unknown."""
    known = {one.name: one for suite in suites.values() for one in suite}
    unknown = next((name for name in names if name not in known and name not in suites), None)
    touched = [
        suite
        for suite, measurements in suites.items()
        if not names or suite in names or any(one.name in names for one in measurements)
    ]
    chosen = {
        one.name: one  # the same one may be of several suites
        for suite, measurements in suites.items()
        for one in measurements
        if not names or suite in names or one.name in names
    }
    return list(chosen.values()), " and ".join(touched), unknown


def _skipped(subject: str, peers: Peers, durable_peers: Peers) -> dict[str, str]:
    """What was left out of that which was measured."""
    suites = subject.split(" and ")
    skipped = peers.skipped if {"actors", "supervision"} & set(suites) else {}
    return skipped | (durable_peers.skipped if "durable" in suites else {})


def _write(run: Run, json: Path | None, markdown: Path | None) -> None:
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(as_json(run))
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        plot = picture(run)
        beside = markdown.with_suffix(".svg")
        if plot is not None:
            beside.write_text(plot, "utf-8")
        markdown.write_text(as_markdown(run, beside.name if plot is not None else None), "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="`actors`, `supervision`, `store`, `durable`, `agents`, `events`, or one of their workloads; "
        "else all. `faults` as the first is `sentient bench faults`, with that one's options",
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two, rough figures")
    parser.add_argument("--rounds", type=_positive, help=f"by default {_ROUNDS}, {_QUICK_ROUNDS} if quick")
    parser.add_argument("--no-peers", action="store_true", help="leave other actor libraries out")
    parser.add_argument("--seed", type=int, default=1, help="of the messages' contents")
    parser.add_argument("--dir", type=Path, help="where databases go: a folder on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and circumstances there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the page there, and its picture beside it"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _disk() -> str | None:
    """A folder for databases that is not in memory: the default one, or the present one."""
    for folder in (tempfile.gettempdir(), "."):
        if not file_system(Path(folder)).endswith("(in memory!)"):
            return folder
    return None


if __name__ == "__main__":
    sys.exit(main())
