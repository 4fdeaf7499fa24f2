"""A database with as many events as somebody likes: those of a system that has run for long, as its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from sentient_core.store import SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event
from sentient_core.store.rows import RowEncoder
from sentient_core.store.wire import array, record_id

__all__ = ["WORKFLOWS", "fill", "time_of"]

WORKFLOWS = tuple(f"w{n}" for n in range(1_000))

_BATCH = 500
_IN_FLIGHT = 2
_BASE = 1_700_000_000
_INSERT = "INSERT IGNORE INTO agent_event $rows RETURN NONE"
_OWNER = "CREATE $owner SET projected = $projected, epoch = 1 RETURN NONE"


def time_of(n: int) -> datetime:
    """Of the event n: one a millisecond."""
    return datetime.fromtimestamp(_BASE + n / 1_000, UTC)


async def fill(store: SurrealStore, system: str, rows: int) -> None:
    """Nine messages in ten, of a hundred actors; one step of a workflow in ten."""
    await store._run(lambda engine: _fill(engine, system, rows))  # pyright: ignore[reportPrivateUsage]


async def _fill(engine: Engine, system: str, rows: int) -> None:
    places = asyncio.Semaphore(_IN_FLIGHT)

    async def insert(batch: list[bytes]) -> None:
        try:
            await engine.query(_INSERT, {"rows": array(batch)}, indexed_rows=len(batch), timeout=60.0)
        finally:
            places.release()

    encoder = RowEncoder(system)
    count = 0
    async with asyncio.TaskGroup() as tasks:
        for number, batch in _batches(rows):
            count = number
            await places.acquire()
            encoded = [encoder.event(Placed(number, index, 1, event)) for index, event in enumerate(batch)]
            tasks.create_task(insert(encoded))
            await asyncio.sleep(0)
    await engine.query(_OWNER, {"owner": record_id("ownership", system), "projected": count})


def _batches(rows: int) -> Iterator[tuple[int, list[Event]]]:
    for start in range(0, rows, _BATCH):
        yield start // _BATCH + 1, [_event(n) for n in range(start, min(start + _BATCH, rows))]


def _event(n: int) -> Event:
    is_message = n % 10 != 0
    kind = "message_sent" if is_message else "task_progress" if n % 100 else "agent_started"
    return Event(
        event_type=kind,
        seq=n + 1,
        source=f"team/a{n % 100}",
        target=f"team/b{n % 97}" if is_message else None,
        message_type="Note" if is_message else None,
        payload=msgspec.msgpack.encode({"n": n, "text": "x" * 60}),
        at=_BASE * 1_000_000_000 + n * 1_000_000,
        correlation=n + 1,
        incarnation=1,
        workflow_id=None if is_message else WORKFLOWS[n // 100 % len(WORKFLOWS)],
    )
