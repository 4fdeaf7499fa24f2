"""What SQLite does with the same turns: WAL, synchronous FULL, so that what is committed is on disk.

A turn is a row for its message and its actor's new state. One by one, in batches, and as group commits on a
thread of their own, which takes what has come from a hundred writers while it was busy.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.accounts import Account, Deposit

__all__ = ["group_commits", "transactions"]

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE event (id INTEGER PRIMARY KEY, type TEXT, source TEXT, target TEXT, payload BLOB, at INTEGER);
CREATE TABLE state (path TEXT PRIMARY KEY, state BLOB);
"""
_EVENT = "INSERT INTO event VALUES (?, 'message_sent', 'external', ?, ?, ?)"
_STATE = "INSERT INTO state VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET state = excluded.state"

_Turn = tuple[str, bytes, bytes]
"""Path of the actor, its message, its state."""


def transactions(file: Path, texts: list[str], batch: int, seconds: float) -> float:
    """Turns per second, so many in a transaction, one transaction behind the other."""
    turns = _turns(texts)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(_SCHEMA)
        number = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            _commit(database, number, [turns[(number + place) % len(turns)] for place in range(batch)])
            number += batch
        return number / (time.perf_counter() - started)


async def group_commits(
    file: Path, texts: list[str], writers: int, seconds: float
) -> tuple[float, list[float]]:
    """Turns per second of so many writers, each waiting for its turn's commit; and how long each waited."""
    turns = _turns(texts)
    group = _Group(file)
    delays: list[float] = []
    started = time.perf_counter()

    async def write(number: int) -> None:
        while time.perf_counter() - started < seconds:
            began = time.perf_counter()
            number += 1
            await group.commit(turns[number % len(turns)])
            delays.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(write(number))
    elapsed = time.perf_counter() - started
    group.end()
    return len(delays) / elapsed, delays


class _Group:
    """A thread that commits all that waits, again and again."""

    def __init__(self, file: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[_Turn, asyncio.Future[None]]] = deque()
        self._is_there = threading.Event()
        self._is_ended = False
        self._thread = threading.Thread(target=self._run, args=(file,), daemon=True)
        self._thread.start()

    async def commit(self, turn: _Turn) -> None:
        future = self._loop.create_future()
        self._waiting.append((turn, future))
        self._is_there.set()
        await future

    def end(self) -> None:
        self._is_ended = True
        self._is_there.set()
        self._thread.join()

    def _run(self, file: Path) -> None:
        number = 0
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.executescript(_SCHEMA)
            while not self._is_ended:
                self._is_there.wait()
                self._is_there.clear()
                group = [self._waiting.popleft() for _ in range(len(self._waiting))]
                _commit(database, number, [turn for turn, _ in group])
                number += len(group)
                self._loop.call_soon_threadsafe(_wake, [future for _, future in group])


def _commit(database: sqlite3.Connection, number: int, turns: list[_Turn]) -> None:
    at = time.time_ns()
    database.execute("BEGIN IMMEDIATE")
    database.executemany(
        _EVENT, [(number + place, path, message, at) for place, (path, message, _) in enumerate(turns, 1)]
    )
    database.executemany(_STATE, [(path, state) for path, _, state in turns])
    database.execute("COMMIT")


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


def _turns(texts: list[str]) -> list[_Turn]:
    encode = msgspec.msgpack.encode
    return [
        (f"account-{number % 100}", encode(Deposit(1, text)), encode(Account.State(number, number)))
        for number, text in enumerate(texts)
    ]
