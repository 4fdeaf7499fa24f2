"""Durable turns as fast as their rows are written, beside the engine's bulk insert of the same rows.

A hundred callers ask without end but for a tail that is far behind; the clock stops when every row can be
queried. The bulk inserts write event rows alone, or as many state rows beside them as the projector does: one
per account and window. The bytes written per turn are those of these runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec

from benchmarks.accounts import texts
from benchmarks.callers import CallersRun, call_accounts
from benchmarks.engine import Bulk, account_batches, bulk_insert
from benchmarks.measure import Figure, Goal, Measurement, Settings, compared, observed
from benchmarks.rounds import Disk, Leg, calm_rounds
from sentient_core.bench.samples import percentile

__all__ = ["projected"]

_ACCOUNTS = 100
_BACKENDS = ("asyncio", "trio")
_SHAPES = ((500, 2), (100, 2), (500, 1), (100, 1))
"""Bulk inserts: rows in a batch, batches in flight."""


class _Shape(msgspec.Struct, frozen=True):
    batch: int
    in_flight: int
    has_states: bool

    @property
    def name(self) -> str:
        return f"bulk insert {self.batch} × {self.in_flight}{', with states' if self.has_states else ''}"


def _measure(settings: Settings) -> list[Figure]:
    seconds = 0.3 if settings.is_quick else 10.0
    messages = texts(settings.seed)
    shapes = [
        _Shape(batch, in_flight, has_states)
        for batch, in_flight in (_SHAPES[:1] if settings.is_quick else _SHAPES)
        for has_states in (True, False)
    ]
    ours = [Leg(name, partial(_ours, settings, messages, seconds, name)) for name in _BACKENDS]
    states = _states_per_event(_ours(settings, messages, min(seconds, 1.0), _BACKENDS[0]))
    bulks = {
        shape: Leg(shape.name, partial(_bulk, settings, messages, min(seconds, 5.0), shape, states))
        for shape in shapes
    }
    legs: list[Leg[Any]] = [*bulks.values()]
    for place, leg in enumerate(ours):
        legs.insert(3 * place, leg)
    disk = calm_rounds(settings, "projected", legs)

    figures: list[Figure] = []
    for leg in ours:
        figures += _rates(leg, bulks, disk)
        figures += _bytes(leg)
    for bulk in bulks.values():
        rates = [run.rate for run in bulk.runs]
        figures.append(observed("projected", bulk.name, "rows/s", rates, note="the engine's own"))
    return [*figures, disk.figure]


def _ours(settings: Settings, messages: Sequence[str], seconds: float, backend: str) -> CallersRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        call = partial(
            call_accounts,
            Path(folder) / "db",
            messages,
            "ask",
            accounts=_ACCOUNTS,
            seconds=seconds,
            until_rows=True,
        )
        run = anyio.run(call, backend=backend)
    settings.say(
        f"projected  {backend}: {_rows_rate(run):,.0f} rows/s, {run.rate:,.0f} turns/s, {run.seconds:.1f} s, "
        f"lag p99 {percentile(run.lags, 0.99) * 1e3:.1f} ms, {run.windows} windows"
    )
    return run


def _bulk(settings: Settings, messages: list[str], seconds: float, shape: _Shape, states: float) -> Bulk:
    batches = account_batches(messages, shape.batch, states if shape.has_states else 0.0)
    with TemporaryDirectory(dir=settings.folder) as folder:
        run = anyio.run(partial(bulk_insert, Path(folder) / "db", batches, shape.in_flight, seconds=seconds))
    settings.say(f"projected  {shape.name}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)")
    return run


def _states_per_event(run: CallersRun) -> float:
    return run.windows * _ACCOUNTS / run.event_rows


def _rows_rate(run: CallersRun) -> float:
    return (run.event_rows + run.windows * _ACCOUNTS) / run.seconds


def _rates(ours: Leg[CallersRun], bulks: dict[_Shape, Leg[Bulk]], disk: Disk) -> list[Figure]:
    runs = ours.runs
    in_flight = min(2, max(run.in_flight for run in runs))
    # One shape for all rounds: the better one of each round would be the luckier one.
    alike = _best([bulks[one] for one in bulks if one.in_flight == in_flight and one.has_states])
    events = _best([bulks[one] for one in bulks if not one.has_states])
    return [
        compared(
            "projected",
            f"{ours.name}, beside as many in flight",
            "rows/s",
            [_rows_rate(run) for run in runs],
            alike.name,
            [run.rate for run in alike.runs],
            goal=Goal(bound=0.8),
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        ),
        compared(
            "projected",
            f"{ours.name}, event rows beside the best",
            "rows/s",
            [run.event_rows / run.seconds for run in runs],
            events.name,
            [run.rate for run in events.runs],
            goal=Goal(bound=0.5),
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        ),
        observed("projected", f"{ours.name}, turns", "turns/s", [run.rate for run in runs], note=disk.note),
        observed(
            "projected",
            f"{ours.name}, processor time per turn",
            "µs",
            [run.cpu / run.turns * 1e6 for run in runs],
        ),
    ]


def _bytes(ours: Leg[CallersRun]) -> list[Figure]:
    runs = ours.runs
    parts = {
        "written to disk": [run.written / run.turns for run in runs],
        "growth of the folder": [run.folder / run.turns for run in runs],
        "the journal's": [run.journal_bytes / run.turns for run in runs],
    }
    return [
        observed(
            "projected",
            f"{ours.name}, bytes per turn, {name}",
            "B",
            values,
            note="a turn is two event rows (message and reply) and its share of a state row",
        )
        for name, values in parts.items()
    ]


def _best(legs: Sequence[Leg[Bulk]]) -> Leg[Bulk]:
    return max(legs, key=lambda leg: statistics.median(run.rate for run in leg.runs))


projected = Measurement(
    "projected",
    "A hundred accounts asked as fast as their rows are written, beside a bulk insert of the same rows.",
    _measure,
)

_LIMIT = (
    "the database: most of the processor time per row is its own; the journal's commits and the transaction "
    "behind each window take their share of it"
)
