"""How long a start takes to come back to where a process died: many accounts, each with messages left.

From opening the database to the moment at which every account has taken its first message. Half of the
messages are rows, the other half are in the journal's tail alone; what the dead process left is made once per
size (`benchmarks.left_behind`), and each run opens a copy of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import anyio
import msgspec

from benchmarks.accounts import Account, Deposit
from benchmarks.left_behind import Left
from benchmarks.measure import Figure, Goal, Measurement, Settings, compared, observed
from benchmarks.rounds import Leg, calm_rounds
from benchmarks.store import WatchedStore, url_of
from sentient_core import ActorSystem, handles

__all__ = ["recovery"]

_MESSAGES = 10
"""To each account."""
_SIZES = (1_000, 2_000, 5_000, 10_000)
_QUICK_SIZES = (20, 40)
_BACKENDS = ("asyncio", "trio")
_PATIENCE = 300.0


class Heir(Account, tag="leaver"):
    """Takes up what a Leaver left; says when it has begun."""

    begun: ClassVar[set[str]] = set()
    handled_all: ClassVar[int] = 0
    expected: ClassVar[int] = 0
    all_begun: ClassVar[anyio.Event]
    all_handled: ClassVar[anyio.Event]

    @handles
    async def deposit(self, message: Deposit) -> None:
        cls = Heir
        if not self.state.handled:
            cls.begun.add(self.context.ref.path)
            if len(cls.begun) == cls.expected:
                cls.all_begun.set()
        self._add(message.amount)
        cls.handled_all += 1
        if cls.handled_all == cls.expected * _MESSAGES:
            cls.all_handled.set()


class _Recovered(msgspec.Struct, frozen=True):
    """Seconds since the database was opened."""

    opened: float
    """The system is there."""
    begun: float
    """Every account has taken its first message."""
    handled: float
    """All messages are handled."""


def _measure(settings: Settings) -> list[Figure]:
    sizes = _QUICK_SIZES if settings.is_quick else _SIZES
    with TemporaryDirectory(dir=settings.folder) as left:
        for size in sizes:
            _leave(Path(left) / str(size), size, settings)
        legs = {
            (backend, size): Leg(f"{backend}, {size}", partial(_recover, settings, Path(left), backend, size))
            for backend in _BACKENDS
            for size in sizes
        }
        disk = calm_rounds(settings, "recovery", list(legs.values()))

    figures: list[Figure] = []
    for backend in _BACKENDS:
        least, most = ([run.begun for run in legs[backend, size].runs] for size in (sizes[0], sizes[-1]))
        for size in sizes:
            runs = legs[backend, size].runs
            figures += [
                observed(
                    "recovery",
                    f"{backend}, {size:,} accounts, {size * _MESSAGES:,} messages{until}",
                    "s",
                    seconds,
                    goal=Goal(bound=5, is_least=False) if size == 10_000 and not until else None,
                    note=disk.note,
                    limit=_LIMIT,
                    is_void=disk.is_void,
                )
                for until, seconds in (
                    ("", [run.begun for run in runs]),
                    (", all handled", [run.handled for run in runs]),
                )
            ]
        times = sizes[-1] // sizes[0]
        figures.append(
            compared(
                "recovery",
                f"{backend}, {times} times as many",
                "s",
                most,
                f"{times} × {sizes[0]:,} accounts",
                [times * seconds for seconds in least],
                goal=Goal(bound=1.25, is_least=False),
                note="linear is a ratio of 1; what a start costs however small makes it less",
            )
        )
    return [*figures, disk.figure]


def _leave(folder: Path, size: int, settings: Settings) -> None:
    plan = Left(accounts=size, messages=_MESSAGES, seed=settings.seed)
    command = [sys.executable, "-P", "-m", "benchmarks.left_behind", str(folder), plan.as_json()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this very program
    assert int(done.stdout) == size * _MESSAGES


def _recover(settings: Settings, left: Path, backend: str, size: int) -> _Recovered:
    with TemporaryDirectory(dir=settings.folder) as folder:
        database = Path(folder) / "db"
        shutil.copytree(left / str(size), database)
        run = anyio.run(_take_up, database, size, backend=backend)
    settings.say(
        f"recovery  {backend}, {size:,} accounts: open {run.opened:.2f} s, all begun {run.begun:.2f} s, "
        f"all handled {run.handled:.2f} s"
    )
    return run


async def _take_up(folder: Path, size: int) -> _Recovered:
    Heir.begun, Heir.handled_all, Heir.expected = set(), 0, size
    Heir.all_begun, Heir.all_handled = anyio.Event(), anyio.Event()
    started = time.perf_counter()
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        opened = time.perf_counter() - started
        with anyio.fail_after(_PATIENCE):
            recovered = await system.recover([Heir])
            assert not recovered.skipped, recovered.skipped
            await Heir.all_begun.wait()
            begun = time.perf_counter() - started
            await Heir.all_handled.wait()
            handled = time.perf_counter() - started
        assert not system.statistics().dead_letters
    return _Recovered(opened, begun, handled)


recovery = Measurement(
    "recovery",
    "A start behind a death: until every account has taken the first of the ten messages that wait for it.",
    _measure,
)

_LIMIT = (
    "the inbox and the tail are read and decoded row by row, and every actor is made, given its state and "
    "started by one thread"
)
