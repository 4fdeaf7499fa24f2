"""The mirror at full speed on an embedded database: what it carries, and what that costs those who wait.

Senders keep the projector busy without end and hold the tail between bounds, so that nothing goes unmirrored;
the clock stops when every row can be queried. Beside it, in the same rounds and each in a folder of its own,
the engine's bulk insert of the same rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from benchmarks.engine import Bulk, bulk_insert, note_batches
from benchmarks.measure import Figure, Goal, Settings, compared, observed
from benchmarks.mirror_run import MirrorRun, run_mirror
from benchmarks.notes import Note, notes
from benchmarks.rounds import Disk, Leg, calm_rounds
from sentient_core.bench.samples import percentile

__all__ = ["mirror"]

_SHAPES = ((500, 2), (100, 2), (500, 1), (100, 1))
"""Bulk inserts: rows in a batch, batches in flight."""
_BACKENDS = ("asyncio", "trio")

_Shape = tuple[int, int]
_Bulks = dict[_Shape, Leg[Bulk]]


def mirror(settings: Settings) -> list[Figure]:
    """Sustained mirroring beside bulk inserts, with commit latency and the loop's lag meanwhile."""
    seconds = 1.0 if settings.is_quick else 10.0
    shapes = _SHAPES[:2] if settings.is_quick else _SHAPES
    texts = notes(settings.seed)
    ours = [Leg(name, partial(_run_mirror, settings, texts, seconds, name)) for name in _BACKENDS]
    bulks = {
        shape: Leg(_name(shape), partial(_run_bulk, settings, texts, seconds, shape)) for shape in shapes
    }
    legs: list[Leg[Any]] = [*bulks.values()]
    for place, leg in enumerate(ours):  # each has a bulk insert on either side
        legs.insert(2 * place, leg)
    disk = calm_rounds(settings, "mirror", legs)

    figures: list[Figure] = []
    for leg in ours:
        figures += _rates(leg, bulks, disk)
        figures += _delays(leg.runs, leg.name, disk)
    for bulk in bulks.values():
        rates = [run.rate for run in bulk.runs]
        figures.append(observed("mirror", bulk.name, "rows/s", rates, note="the engine's own"))
    return [*figures, disk.figure]


def _run_mirror(settings: Settings, texts: list[Note], seconds: float, backend: str) -> MirrorRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        run = anyio.run(run_mirror, Path(folder) / "db", seconds, texts, backend=backend)
    p50, p99 = (percentile(run.commits, share) * 1e3 for share in (0.5, 0.99))
    lag = percentile(run.lags, 0.99) * 1e3
    settings.say(
        f"mirror  {backend}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)  "
        f"commit p50 {p50:.1f} p99 {p99:.1f} ms, lag p99 {lag:.1f} ms"
    )
    return run


def _run_bulk(settings: Settings, texts: list[Note], seconds: float, shape: _Shape) -> Bulk:
    batch, in_flight = shape
    with TemporaryDirectory(dir=settings.folder) as folder:
        run = anyio.run(
            partial(bulk_insert, Path(folder) / "db", note_batches(texts, batch), in_flight, seconds=seconds)
        )
    settings.say(f"mirror  {_name(shape)}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)")
    return run


def _rates(ours: Leg[MirrorRun], bulks: _Bulks, disk: Disk) -> list[Figure]:
    runs = ours.runs
    in_flight = min(2, max(run.in_flight for run in runs))
    # One shape for all rounds: the better one of each round would be the luckier one.
    alike = _best(bulks, [shape for shape in bulks if shape[1] == in_flight])
    best = _best(bulks, list(bulks))
    return [
        compared(
            "mirror",
            f"{ours.name}, beside as many in flight",
            "rows/s",
            [run.rate for run in runs],
            alike.name,
            [run.rate for run in alike.runs],
            goal=Goal(bound=0.8),
            note=disk.note,
            limit=_RATE_LIMIT,
            is_void=disk.is_void,
        ),
        compared(
            "mirror",
            f"{ours.name}, beside the best",
            "rows/s",
            [run.rate for run in runs],
            best.name,
            [run.rate for run in best.runs],
            goal=Goal(bound=0.5),
            note=disk.note,
            limit=_RATE_LIMIT,
            is_void=disk.is_void,
        ),
        compared(
            "mirror",
            f"{ours.name}, processor time per row",
            "µs",
            [run.cpu / run.rows * 1e6 for run in runs],
            alike.name,
            [run.cpu / run.rows * 1e6 for run in alike.runs],
            note="all threads, the engine's too; other processes move it less than a rate",
        ),
    ]


def _delays(runs: Sequence[MirrorRun], backend: str, disk: Disk) -> list[Figure]:
    commits = ((0.5, Goal(bound=10, is_least=False)), (0.95, None), (0.99, None))
    lags = ((0.5, None), (0.99, Goal(bound=20, is_least=False)))
    return [
        *(
            observed(
                "mirror",
                f"{backend}, tell to commit p{share * 100:.0f}",
                "ms",
                [percentile(run.commits, share) * 1e3 for run in runs],
                goal=goal,
                note=disk.note,
                limit=_COMMIT_LIMIT,
                is_void=disk.is_void,
            )
            for share, goal in commits
        ),
        *(
            observed(
                "mirror",
                f"{backend}, loop lag p{share * 100:.0f}",
                "ms",
                [percentile(run.lags, share) * 1e3 for run in runs],
                goal=goal,
                note=disk.note,
                limit=_LAG_LIMIT,
                is_void=disk.is_void,
            )
            for share, goal in lags
        ),
    ]


def _best(bulks: _Bulks, shapes: Sequence[_Shape]) -> Leg[Bulk]:
    return max(
        (bulks[shape] for shape in shapes),
        key=lambda leg: statistics.median(run.rate for run in leg.runs),
    )


def _name(shape: _Shape) -> str:
    return f"bulk insert {shape[0]} × {shape[1]}"


_RATE_LIMIT = (
    "the database: most of the processor time per row is its own; the journal's commits, the transaction "
    "behind each window and the removal of its entries take their share of it, and between two windows there "
    "are moments with less in flight than the bulk insert has"
)
_COMMIT_LIMIT = "the commit waits inside the engine beside batches of event rows, for processor, log and disk"
_LAG_LIMIT = "the store thread holds Python's global lock while it encodes and decodes"
