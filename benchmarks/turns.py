"""Durable turns per second: so many accounts, each with one caller who waits for every answer.

Beside it, in the same rounds, the engine with each turn's rows in the commit itself (as many turns in a
transaction as there are callers), SQLite with as many writers, and libraries that remember their steps.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec

from benchmarks.accounts import texts
from benchmarks.callers import CallersRun, Way, call_accounts
from benchmarks.engine import rows_in_commits, single_commits
from benchmarks.measure import Figure, Goal, Measurement, Settings, compared, observed
from benchmarks.peer_process import PeerLeg, Peers
from benchmarks.plain_sqlite import group_commits, transactions
from benchmarks.rounds import Disk, Leg, calm_rounds
from sentient_core.bench.samples import percentile

__all__ = ["turns_of"]

_BACKENDS = ("asyncio", "trio")
_WAYS: tuple[Way, ...] = ("send", "ask", "keyed ask")
_STEPS = ("steps", "one-step workflows", "supersteps", "supersteps, async")
"""What peers call their turns."""
_MOST_STEPS = 2_000
_WITH_PEERS = 100
"""Accounts, where peers take part: as many of their workflows run at once."""


class _Goals(msgspec.Struct, frozen=True):
    """Of one way of calling."""

    rate: float
    p50: float | None = None
    p99: float | None = None


_GOALS: dict[Way, _Goals] = {
    "send": _Goals(20_000, p50=5, p99=30),
    "ask": _Goals(14_000),
    "keyed ask": _Goals(8_000),
}
"""For a hundred accounts."""
_MOST_LAG = 20


class _Commits(msgspec.Struct, frozen=True):
    """What a plain baseline showed."""

    rate: float
    """Turns per second."""
    delays: list[float]
    """Seconds that each commit took."""


def turns_of(accounts: int, peers: Peers) -> Measurement:
    """The measurement with so many accounts."""
    callers = "one caller" if accounts == 1 else f"{accounts:,} accounts with a caller each"
    about = (
        f"{callers}, one message at a time: `send` until its acceptance is committed, `ask` until its turn is"
    )
    return Measurement(
        f"turns-{accounts}", f"{about[0].upper()}{about[1:]}.", partial(_measure, accounts, peers)
    )


def _measure(accounts: int, peers: Peers, settings: Settings) -> list[Figure]:
    workload = f"turns-{accounts}"
    seconds = 0.3 if settings.is_quick else 10.0 if accounts == _WITH_PEERS else 4.0
    plain_seconds = min(seconds, 4.0)
    messages = texts(settings.seed)
    ours: dict[tuple[str, Way], Leg[CallersRun]] = {
        (backend, way): Leg(
            f"{backend}, {way}", partial(_ours, settings, workload, messages, backend, way, accounts, seconds)
        )
        for backend in _BACKENDS
        for way in _WAYS
    }
    plain = _plain(settings, workload, messages, accounts, plain_seconds)
    others = _peers(settings, peers) if accounts == _WITH_PEERS else []
    legs: list[Leg[Any]] = [*ours.values(), *plain, *others]
    disk = calm_rounds(settings, workload, legs)

    figures: list[Figure] = []
    for (_, way), leg in ours.items():
        figures += _of_ours(workload, accounts, way, leg, plain[0], disk)
    figures += _of_lag(workload, accounts, ours, disk)
    figures += _of_plain(workload, plain)
    figures += _of_peers(workload, others, ours["asyncio", "ask"])
    return [*figures, disk.figure]


def _ours(
    settings: Settings,
    workload: str,
    messages: Sequence[str],
    backend: str,
    way: Way,
    accounts: int,
    seconds: float,
) -> CallersRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        call = partial(call_accounts, Path(folder) / "db", messages, way, accounts=accounts, seconds=seconds)
        run = anyio.run(call, backend=backend)
    p50, p99, lag = (
        percentile(values, share) * 1e3
        for values, share in ((run.delays, 0.5), (run.delays, 0.99), (run.lags, 0.99))
    )
    settings.say(
        f"{workload}  {backend}, {way}: {run.rate:,.0f} turns/s, p50 {p50:.2f} p99 {p99:.2f} ms, "
        f"lag p99 {lag:.1f} ms, {run.turns / max(run.commits, 1):.1f} turns in a commit"
    )
    return run


def _plain(
    settings: Settings, workload: str, messages: list[str], accounts: int, seconds: float
) -> list[Leg[_Commits]]:
    """The baselines; what ours is compared with comes first."""

    def engine_rows(folder: Path) -> _Commits:
        delays = anyio.run(rows_in_commits, folder / "db", messages, accounts, seconds)
        return _Commits(accounts * len(delays) / sum(delays), delays)

    def engine_single(folder: Path) -> _Commits:
        delays = anyio.run(single_commits, folder / "db", messages, seconds)
        return _Commits(len(delays) / sum(delays), delays)

    def sqlite_group(folder: Path) -> _Commits:
        return _Commits(*asyncio.run(group_commits(folder / "db", messages, accounts, seconds)))

    def sqlite(batch: int, folder: Path) -> _Commits:
        return _Commits(transactions(folder / "db", messages, batch, seconds), [])

    made: dict[str, Callable[[Path], _Commits]]
    if accounts == 1:
        made = {
            "engine's own single commits": engine_single,
            "engine, rows in the commit": engine_rows,
            "SQLite, single": partial(sqlite, 1),
        }
    else:
        made = {
            "engine, rows in the commit": engine_rows,
            f"SQLite, {accounts:,} writers": sqlite_group,
            f"SQLite, batches of {accounts:,}": partial(sqlite, accounts),
        }

    def run(name: str) -> _Commits:
        with TemporaryDirectory(dir=settings.folder) as folder:
            found = made[name](Path(folder))
        settings.say(f"{workload}  {name}: {found.rate:,.0f} turns/s")
        return found

    return [Leg(name, partial(run, name)) for name in made]


def _peers(settings: Settings, peers: Peers) -> list[Leg[float]]:
    most = 200 if settings.is_quick else _MOST_STEPS
    legs: list[Leg[float]] = []
    for steps in _STEPS:
        found: dict[str, PeerLeg] = peers.legs(steps, most, is_quick=settings.is_quick)
        legs += [Leg(f"{peer}, {steps}", leg.run) for peer, leg in found.items()]
    return legs


def _of_ours(
    workload: str,
    accounts: int,
    way: Way,
    leg: Leg[CallersRun],
    plain: Leg[_Commits],
    disk: Disk,
) -> list[Figure]:
    rates = [run.rate for run in leg.runs]
    goal = _goal_of_rate(accounts, way)
    goals = _GOALS[way] if accounts == _WITH_PEERS else _Goals(0)
    percentiles = ((0.5, goals.p50), (0.99, goals.p99))
    return [
        compared(
            workload,
            leg.name,
            "turns/s",
            rates,
            plain.name,
            [run.rate for run in plain.runs],
            goal=goal,
            note=disk.note,
            limit=_LIMIT,
            is_void=disk.is_void,
        ),
        *(
            observed(
                workload,
                f"{leg.name}, p{share * 100:.0f}",
                "ms",
                [percentile(run.delays, share) * 1e3 for run in leg.runs],
                goal=None if most is None else Goal(bound=most, is_least=False),
                note=disk.note,
                limit=_LIMIT,
                is_void=disk.is_void,
            )
            for share, most in percentiles
        ),
    ]


def _goal_of_rate(accounts: int, way: Way) -> Goal | None:
    if accounts == _WITH_PEERS:
        return Goal(bound=_GOALS[way].rate, is_of_value=True)
    if accounts == 1 and way == "ask":
        return Goal(bound=0.9)
    return None


def _of_lag(
    workload: str, accounts: int, ours: dict[tuple[str, Way], Leg[CallersRun]], disk: Disk
) -> list[Figure]:
    return [
        observed(
            workload,
            f"{leg.name}, loop lag p99",
            "ms",
            [percentile(run.lags, 0.99) * 1e3 for run in leg.runs],
            goal=Goal(bound=_MOST_LAG, is_least=False) if accounts == _WITH_PEERS else None,
            note=disk.note,
            limit="the store thread holds Python's global lock while it encodes and decodes",
            is_void=disk.is_void,
        )
        for (_, way), leg in ours.items()
        if way != "keyed ask"
    ]


def _of_plain(workload: str, plain: Sequence[Leg[_Commits]]) -> list[Figure]:
    figures: list[Figure] = []
    for leg in plain:
        figures.append(observed(workload, leg.name, "turns/s", [run.rate for run in leg.runs]))
        figures += [
            observed(
                workload,
                f"{leg.name}, p{share * 100:.0f}",
                "ms",
                [percentile(run.delays, share) * 1e3 for run in leg.runs],
            )
            for share in (0.5, 0.99)
            if all(run.delays for run in leg.runs)
        ]
    return figures


def _of_peers(workload: str, others: Sequence[Leg[float]], ours: Leg[CallersRun]) -> list[Figure]:
    return [
        compared(
            workload, leg.name, "steps/s", leg.runs, ours.name, [run.rate for run in ours.runs], is_peer=True
        )
        for leg in others
        if not any(map(math.isnan, leg.runs))
    ]


_LIMIT = (
    "one commit of the journal is in flight at a time, beside the rows of earlier ones; each turn is "
    "encoded, committed and announced by two threads that share Python's global lock"
)
