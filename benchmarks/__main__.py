"""`python -m benchmarks`: measure what the runtime costs, each figure beside a plain baseline."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.actors import WORKLOADS, measured
from benchmarks.burst import burst
from benchmarks.checkpoint import checkpoint
from benchmarks.machine import file_system, load, this_machine
from benchmarks.measure import Figure, Settings
from benchmarks.memory import memory
from benchmarks.mirror import mirror
from benchmarks.report import Run, as_json, as_markdown, print_table

_WORKLOADS: Mapping[str, Callable[[Settings], list[Figure]]] = {
    **{workload.name: partial(measured, workload) for workload in WORKLOADS},
    "mirror": mirror,
    "burst": burst,
    "memory": memory,
    "checkpoint": checkpoint,
}
_QUICK_ROUNDS = 1
_ROUNDS = 5


def main() -> int:
    """Run what the command line names; 0 when it could be measured, whatever came out."""
    options = _parser().parse_args()
    unknown = [name for name in options.names if name not in _WORKLOADS]
    if unknown:
        print(f"no workload '{unknown[0]}'; there are: {', '.join(_WORKLOADS)}", file=sys.stderr)
        return 2
    # Crashes are part of the work here; what they write would be measured, and hide the progress.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    figures: list[Figure] = []
    load_before, started = load(), time.perf_counter()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="sentient-bench-", dir=options.dir or _disk()) as folder:
        settings = Settings(
            is_quick=options.quick,
            rounds=options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS),
            seed=options.seed,
            folder=Path(folder),
        )
        for name in options.names or _WORKLOADS:
            figures += _WORKLOADS[name](settings)
        machine = this_machine(settings.folder, load_before)

    run = Run(
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        seed=options.seed,
        is_quick=options.quick,
        started=began,
        seconds=time.perf_counter() - started,
        machine=machine,
        figures=figures,
    )
    if options.json:
        options.json.write_bytes(as_json(run))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(as_markdown(run), "utf-8")
    print_table(run, Console(width=None if sys.stdout.isatty() else 160))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(_WORKLOADS)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, rough figures")
    parser.add_argument("--rounds", type=_positive, help=f"by default {_ROUNDS}, {_QUICK_ROUNDS} if quick")
    parser.add_argument("--seed", type=int, default=1, help="of the messages' contents")
    parser.add_argument("--dir", type=Path, help="where databases go: a folder on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and circumstances there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page there")
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
