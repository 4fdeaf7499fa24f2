"""A burst of messages to durable accounts, none of which is waited for, until all turns are committed.

Then queues are long, and so are runs: the turns of an account that are handled in one go share a commit.
Beside it, in the same rounds, SQLite with as many turns in a transaction as there are accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from benchmarks.accounts import texts
from benchmarks.callers import BurstRun, burst
from benchmarks.measure import Figure, Measurement, Settings, compared, observed
from benchmarks.plain_sqlite import transactions
from benchmarks.rounds import Leg, calm_rounds

__all__ = ["durable_burst"]

_ACCOUNTS = 100
_BACKENDS = ("asyncio", "trio")


def _measure(settings: Settings) -> list[Figure]:
    each = 20 if settings.is_quick else 200
    messages = texts(settings.seed)
    ours = [Leg(name, partial(_burst, settings, messages, each, name)) for name in _BACKENDS]
    sqlite = Leg(f"SQLite, batches of {_ACCOUNTS}", partial(_sqlite, settings, messages))
    legs: list[Leg[Any]] = [*ours, sqlite]
    disk = calm_rounds(settings, "durable-burst", legs)
    figures: list[Figure] = []
    for leg in ours:
        figures += [
            compared(
                "durable-burst",
                f"{leg.name}, until committed",
                "turns/s",
                [run.turns / run.committed for run in leg.runs],
                sqlite.name,
                sqlite.runs,
                note=disk.note,
            ),
            observed(
                "durable-burst",
                f"{leg.name}, until every row is there",
                "turns/s",
                [run.turns / run.projected for run in leg.runs],
                note=disk.note,
            ),
        ]
    return [*figures, disk.figure]


def _burst(settings: Settings, messages: Sequence[str], each: int, backend: str) -> BurstRun:
    with TemporaryDirectory(dir=settings.folder) as folder:
        send = partial(burst, Path(folder) / "db", messages, accounts=_ACCOUNTS, each=each)
        run = anyio.run(send, backend=backend)
    settings.say(
        f"durable-burst  {backend}: {run.turns / run.committed:,.0f} turns/s until committed, "
        f"{run.turns / run.projected:,.0f} until every row is there"
    )
    return run


def _sqlite(settings: Settings, messages: list[str]) -> float:
    seconds = 0.3 if settings.is_quick else 2.0
    with TemporaryDirectory(dir=settings.folder) as folder:
        return transactions(Path(folder) / "db", messages, _ACCOUNTS, seconds)


durable_burst = Measurement(
    "durable-burst",
    f"Messages told to {_ACCOUNTS} accounts at once, without waiting, until all their turns are committed.",
    _measure,
)
