"""The engine alone, behind the runtime's own client and schema: what no runtime on top of it can beat.

Bulk inserts of the rows that the projector writes, made by the same encoder; commits of one journal entry
each; and turns whose rows are written in the commit itself, as a runtime without a journal would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.accounts import Account, Deposit
from benchmarks.notes import READERS, Note
from benchmarks.store import url_of
from sentient_core.codec import Codec, digest
from sentient_core.store.engine import Engine
from sentient_core.store.fold import Placed
from sentient_core.store.migrations import migrate
from sentient_core.store.records import (
    Accepted,
    Checkpoint,
    CheckpointKind,
    Entry,
    Event,
    Settled,
    Turn,
    full_id,
)
from sentient_core.store.rows import RowEncoder
from sentient_core.store.tail import encode_entry
from sentient_core.store.url import parse_url
from sentient_core.store.wire import array, record_id

__all__ = [
    "Batch",
    "Bulk",
    "account_batches",
    "bulk_insert",
    "note_batches",
    "rows_in_commits",
    "single_commits",
]

_SYSTEM = "bench"
_EVENTS = "INSERT IGNORE INTO agent_event $rows RETURN NONE"
_STATES = """INSERT INTO state_checkpoint $rows ON DUPLICATE KEY UPDATE
    checkpoint_id = $input.checkpoint_id, timestamp = $input.timestamp, metadata = $input.metadata,
    state = $input.state, tag = $input.tag, schema_version = $input.schema_version,
    digest = $input.digest, incarnation = $input.incarnation RETURN NONE"""
_ENTRY = """CREATE ONLY $id SET body = $body, writer = $writer, keep = false, records = $records,
    weight = $weight RETURN NONE"""
_SEEN = "DEFINE TABLE seen SCHEMAFULL; DEFINE FIELD digest ON seen TYPE bytes"
_TURNS = """BEGIN;
INSERT INTO agent_event $events RETURN NONE;
INSERT INTO state_checkpoint $states ON DUPLICATE KEY UPDATE
    state = $input.state, digest = $input.digest, timestamp = $input.timestamp RETURN NONE;
INSERT INTO seen $seen RETURN NONE;
COMMIT;
"""


class Batch(msgspec.Struct, frozen=True):
    """Rows of one table, and the statement that inserts them."""

    statement: str
    rows: list[bytes]


class Bulk(msgspec.Struct, frozen=True):
    """How the engine's own bulk insert went."""

    rows: int
    seconds: float
    cpu: float
    """Seconds of processor time, of all threads."""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


async def bulk_insert(
    folder: Path,
    batches: Iterator[Batch],
    in_flight: int,
    *,
    seconds: float | None = None,
    rows: int | None = None,
) -> Bulk:
    """Insert batches as fast as the engine takes them; for so long, or so many rows.

    On the store's own thread. The next batch is encoded while those before it are in flight.
    """
    async with _engine(folder) as engine:
        return await engine.thread.run(lambda: _insert_all(engine, batches, in_flight, seconds, rows))


def note_batches(notes: list[Note], size: int) -> Iterator[Batch]:
    """Event rows without end, the same as mirrored notes become."""
    encode = Codec().encode
    payloads = [encode(note) for note in notes]
    encoder = RowEncoder(_SYSTEM)
    seq = number = 0
    while True:
        number += 1
        rows: list[bytes] = []
        for index in range(size):
            seq += 1
            event = _message(seq, READERS[seq % len(READERS)], Note.__name__, payloads[seq % len(payloads)])
            rows.append(encoder.event(Placed(number, index, 1, event)))
        yield Batch(_EVENTS, rows)


def account_batches(texts: list[str], size: int, states: float = 0.0) -> Iterator[Batch]:
    """Event rows without end, the same as deposits become; with so many state rows for each of them."""
    records = _Records(texts)
    encoder = RowEncoder(_SYSTEM)
    number = 0
    owed = 0.0
    while True:
        number += 1
        events = [records.event() for _ in range(size)]
        yield Batch(
            _EVENTS,
            [encoder.event(Placed(number, index, 1, event)) for index, event in enumerate(events)],
        )
        owed += size * states
        if owed >= size:
            placed = [Placed(number, index, 1, records.state()) for index in range(int(owed))]
            yield Batch(_STATES, [encoder.checkpoint(one) for one in placed])
            owed -= len(placed)


async def single_commits(folder: Path, texts: list[str], seconds: float) -> list[float]:
    """How long each took of journal entries with one turn, one behind the other."""

    async def commit(engine: Engine) -> list[float]:
        records = _Records(texts)
        delays: list[float] = []
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            turn = records.turn()
            began = time.perf_counter()
            await engine.query(
                _ENTRY,
                {
                    "id": record_id("journal", _SYSTEM, len(delays) + 1),
                    "body": encode_entry(Entry(1, turn)),
                    "writer": _SYSTEM,
                    "records": len(turn),
                    "weight": 1_000,
                },
                rows=1,
            )
            delays.append(time.perf_counter() - began)
        return delays

    return await _on_engine(folder, commit)


async def rows_in_commits(folder: Path, texts: list[str], turns: int, seconds: float) -> list[float]:
    """How long each transaction took that writes the rows of so many turns: event, state, and id."""

    async def commit(engine: Engine) -> list[float]:
        await engine.query(_SEEN)
        records = _Records(texts)
        encoder = RowEncoder(_SYSTEM)
        delays: list[float] = []
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            began = time.perf_counter()
            number = len(delays) + 1
            events = [Placed(number, index, 1, records.event()) for index in range(turns)]
            states = [Placed(0, 0, 1, records.state()) for _ in range(turns)]  # one row per actor
            seen = [
                {"id": record_id("seen", _SYSTEM, number, index), "digest": b"sixteen bytes, so"}
                for index in range(turns)
            ]
            await engine.query(
                _TURNS,
                {
                    "events": array([encoder.event(one) for one in events]),
                    "states": array([encoder.checkpoint(one) for one in states]),
                    "seen": seen,
                },
                rows=2 * turns,
                indexed_rows=turns,
            )
            delays.append(time.perf_counter() - began)
        return delays

    return await _on_engine(folder, commit)


@asynccontextmanager
async def _engine(folder: Path) -> AsyncGenerator[Engine]:
    engine = Engine(parse_url(url_of(folder)))
    engine.start(migrate)
    try:
        await engine.opened()
        yield engine
    finally:
        await engine.stop()


async def _on_engine(folder: Path, work: Callable[[Engine], Coroutine[Any, Any, list[float]]]) -> list[float]:
    async with _engine(folder) as engine:
        return await engine.thread.run(lambda: work(engine))


async def _insert_all(
    engine: Engine,
    batches: Iterator[Batch],
    in_flight: int,
    seconds: float | None,
    rows: int | None,
) -> Bulk:
    places = asyncio.Semaphore(in_flight)
    sent: dict[str, int] = {_EVENTS: 0, _STATES: 0}

    async def insert(batch: Batch) -> None:
        try:
            await engine.query(batch.statement, {"rows": array(batch.rows)}, indexed_rows=len(batch.rows))
        finally:
            places.release()

    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as inserts:
        for batch in batches:
            await places.acquire()
            inserts.create_task(insert(batch))
            await asyncio.sleep(0)  # it is sent before the next batch is encoded
            sent[batch.statement] += len(batch.rows)
            if rows is not None and sum(sent.values()) >= rows:
                break
            if seconds is not None and time.perf_counter() - started >= seconds:
                break
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu

    (found,) = await engine.query("SELECT VALUE count FROM (SELECT count() FROM agent_event GROUP ALL)")
    assert found == [sent[_EVENTS]], f"{sent} rows were inserted, {found} events are there"
    return Bulk(sum(sent.values()), elapsed, cpu)


class _Records:
    """What turns of a hundred accounts write down."""

    def __init__(self, texts: list[str]) -> None:
        encode = Codec().encode
        self._encode = encode
        self._payloads = [encode(Deposit(1, text)) for text in texts]
        self._seq = 0

    def event(self) -> Event:
        self._seq = seq = self._seq + 1
        return _message(seq, _path(seq), Deposit.__name__, self._payloads[seq % len(self._payloads)])

    def turn(self) -> tuple[Accepted, Turn]:
        """A message that is accepted, and all that its turn leaves."""
        asked = self.event()
        replied = self.event()
        settled = Settled(asked.target or "", asked.seq)
        return Accepted(asked), Turn((self.state(), settled, replied))

    def state(self) -> Checkpoint:
        self._seq = seq = self._seq + 1
        state = self._encode(Account.State(seq, seq))
        return Checkpoint(
            path=_path(seq),
            incarnation=1,
            checkpoint_id=full_id(1, seq),
            kind=CheckpointKind.STATE,
            state=state,
            tag="Account.State",
            schema_version=1,
            digest=digest(state),
            at=time.time_ns(),
        )


def _path(seq: int) -> str:
    return f"account-{seq % 100}"


def _message(seq: int, target: str, message_type: str, payload: bytes) -> Event:
    return Event("message_sent", seq, "external", target, message_type, payload, time.time_ns(), seq)
