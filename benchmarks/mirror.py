"""The mirror at full speed on an embedded database: what it carries, and what that costs those who wait.

Senders keep the projector busy without end and hold the tail between bounds, so that nothing goes unmirrored;
the clock stops when every row can be queried. Beside it, in the same rounds and each in a folder of its own,
the engine's bulk insert of the same rows. A round before or behind which the disk needed more than a
millisecond for the slowest of a hundred fdatasyncs is void; it is repeated a few times, and if the disk never
calms down the void rounds are reported as such.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec

from benchmarks.machine import fdatasync_p99
from benchmarks.measure import VOID_ABOVE, Figure, Goal, Settings, compared, observed, percentile, rotated
from benchmarks.mirror_run import MirrorRun, run_mirror
from benchmarks.notes import Note, notes
from benchmarks.store import Bulk, bulk_insert

__all__ = ["mirror"]

_SHAPES = ((500, 2), (100, 2), (500, 1), (100, 1))
"""Bulk inserts: rows in a batch, batches in flight."""
_BACKENDS = ("asyncio", "trio")
_MOST_VOID = 3
"""Void rounds after which they count, marked as such: the disk does not calm down."""

_Shape = tuple[int, int]


class _Round(msgspec.Struct, frozen=True):
    """The runs of one round."""

    mirror: dict[str, MirrorRun]
    """By event loop."""
    bulk: dict[_Shape, Bulk]
    sync: float
    """fdatasync's p99 in milliseconds, the worse one of before and behind."""

    @property
    def is_void(self) -> bool:
        return self.sync > VOID_ABOVE


def mirror(settings: Settings) -> list[Figure]:
    """Sustained mirroring beside bulk inserts, with commit latency and the loop's lag meanwhile."""
    calm: list[_Round] = []
    void: list[_Round] = []
    most_void = 0 if settings.is_quick else _MOST_VOID
    while len(calm) < settings.rounds and (len(void) <= most_void or len(calm) + len(void) < settings.rounds):
        round_ = _run_round(settings, len(calm) + len(void))
        (void if round_.is_void else calm).append(round_)
        word = ": the round is void" if round_.is_void else ""
        settings.say(f"mirror  fdatasync p99 {round_.sync:.2f} ms{word}")
    return _figures([*calm, *void[: settings.rounds - len(calm)]])


def _run_round(settings: Settings, number: int) -> _Round:
    seconds = 1.0 if settings.is_quick else 10.0
    shapes = _SHAPES[:2] if settings.is_quick else _SHAPES
    texts = notes(settings.seed)
    round_ = _Round({}, {}, fdatasync_p99(settings.folder))
    legs: list[Callable[[], None]] = [
        partial(_run_bulk, settings, number, round_, texts, seconds, shape) for shape in shapes
    ]
    for place, backend in enumerate(_BACKENDS):  # each has a bulk insert on either side
        legs.insert(2 * place, partial(_run_mirror, settings, number, round_, texts, seconds, backend))
    for leg in rotated(legs, number):
        leg()
    return msgspec.structs.replace(round_, sync=max(round_.sync, fdatasync_p99(settings.folder)))


def _run_mirror(
    settings: Settings, number: int, round_: _Round, texts: list[Note], seconds: float, backend: str
) -> None:
    with TemporaryDirectory(dir=settings.folder) as folder:
        run = anyio.run(run_mirror, Path(folder) / "db", seconds, texts, backend=backend)
    round_.mirror[backend] = run
    p50, p99 = (percentile(run.commits, share) * 1e3 for share in (0.5, 0.99))
    lag = percentile(run.lags, 0.99) * 1e3
    settings.say(
        f"mirror  round {number + 1}  {backend}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)  "
        f"commit p50 {p50:.1f} p99 {p99:.1f} ms, lag p99 {lag:.1f} ms"
    )


def _run_bulk(
    settings: Settings, number: int, round_: _Round, texts: list[Note], seconds: float, shape: _Shape
) -> None:
    batch, in_flight = shape
    with TemporaryDirectory(dir=settings.folder) as folder:
        insert = partial(bulk_insert, Path(folder) / "db", texts, batch, in_flight, seconds=seconds)
        run = anyio.run(insert)
    round_.bulk[shape] = run
    settings.say(f"mirror  round {number + 1}  {_name(shape)}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)")


def _figures(rounds: Sequence[_Round]) -> list[Figure]:
    void = sum(round_.is_void for round_ in rounds)
    note = f"{void} of {len(rounds)} rounds are void (fdatasync p99 above 1 ms)" if void else ""
    figures: list[Figure] = []
    for backend in _BACKENDS:
        figures += _rates(rounds, backend, note)
        figures += _delays([round_.mirror[backend] for round_ in rounds], backend, note)
    for shape in rounds[0].bulk:
        rates = [round_.bulk[shape].rate for round_ in rounds]
        figures.append(observed("mirror", _name(shape), "rows/s", rates, note="the engine's own"))
    syncs = [round_.sync for round_ in rounds]
    beside = note or "before and behind each round"
    figures.append(observed("mirror", "fdatasync p99", "ms", syncs, note=beside))
    return figures


def _rates(rounds: Sequence[_Round], backend: str, note: str) -> list[Figure]:
    runs = [round_.mirror[backend] for round_ in rounds]
    in_flight = min(2, max(run.in_flight for run in runs))
    # One shape for all rounds: the better one of each round would be the luckier one.
    alike = _best(rounds, [shape for shape in rounds[0].bulk if shape[1] == in_flight])
    best = _best(rounds, list(rounds[0].bulk))
    return [
        compared(
            "mirror",
            f"{backend}, beside as many in flight",
            "rows/s",
            [run.rate for run in runs],
            _name(alike),
            [round_.bulk[alike].rate for round_ in rounds],
            goal=Goal(bound=0.8),
            note=note,
            limit=_RATE_LIMIT,
            is_void=bool(note),
        ),
        compared(
            "mirror",
            f"{backend}, beside the best",
            "rows/s",
            [run.rate for run in runs],
            _name(best),
            [round_.bulk[best].rate for round_ in rounds],
            goal=Goal(bound=0.5),
            note=note,
            limit=_RATE_LIMIT,
            is_void=bool(note),
        ),
        compared(
            "mirror",
            f"{backend}, processor time per row",
            "µs",
            [run.cpu / run.rows * 1e6 for run in runs],
            _name(alike),
            [round_.bulk[alike].cpu / round_.bulk[alike].rows * 1e6 for round_ in rounds],
            note="all threads, the engine's too; other processes move it less than a rate",
        ),
    ]


def _delays(runs: Sequence[MirrorRun], backend: str, note: str) -> list[Figure]:
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
                note=note,
                limit=_COMMIT_LIMIT,
                is_void=bool(note),
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
                note=note,
                limit=_LAG_LIMIT,
                is_void=bool(note),
            )
            for share, goal in lags
        ),
    ]


def _best(rounds: Sequence[_Round], shapes: Sequence[_Shape]) -> _Shape:
    return max(shapes, key=lambda shape: statistics.median(round_.bulk[shape].rate for round_ in rounds))


def _name(shape: _Shape) -> str:
    return f"bulk insert {shape[0]} × {shape[1]}"


_RATE_LIMIT = (
    "the database: most of the processor time per row is its own; the journal's commits, the transaction "
    "behind each window and the removal of its entries take their share of it, and between two windows there "
    "are moments with less in flight than the bulk insert has"
)
_COMMIT_LIMIT = "the commit waits inside the engine beside batches of event rows, for processor, log and disk"
_LAG_LIMIT = "the store thread holds Python's global lock while it encodes and decodes"
