"""The projector: turns committed journal entries into the rows that people query, window by window.

The event rows of a window go in first, in batches, several in flight, under ids that make a second
try harmless. Then one transaction writes the window's net effect, moves `projected` from its old
number to the new one, and takes the entries away; it fails when the old number is not there, so
that a projector whose system has a new owner changes nothing. The event rows of the next window
go in while that transaction is under way.

A batch that the database refuses is halved until the one row is found; that one is written without
what was refused, with its exact bytes and the reason. No row is ever left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from sentient_core.errors import Fenced, StoreDamaged, StoreError, StoreRefused
from sentient_core.logs import runtime_log
from sentient_core.store.backoff import Backoff
from sentient_core.store.engine import Engine
from sentient_core.store.fold import NOTHING, Effect, Placed, fold, merge
from sentient_core.store.precedence import Precedence
from sentient_core.store.protocols import JournalOptions
from sentient_core.store.records import Event
from sentient_core.store.rows import RowEncoder
from sentient_core.store.settlement import Settlement
from sentient_core.store.tail import Intake, Tail, TailEntry, decode_entry
from sentient_core.store.wire import array

__all__ = ["Projector"]

_IN_FLIGHT = 2
_BATCH_BYTES = 4 * 1024 * 1024
_LINGER_SECONDS = 0.02
_HOLD_SECONDS = 0.01
_AT_ONCE = 200
"""Records that are worked on before the thread looks whether a commit has ended: a millisecond or so."""
_INSERT = "INSERT IGNORE INTO agent_event $rows RETURN NONE"


class _Window(msgspec.Struct, eq=False):
    entries: list[TailEntry]
    started: float
    held_back: float
    """Seconds that the projector had held back until then."""
    effect: Effect = NOTHING
    inserts: list[asyncio.Task[None]] = []
    event_bytes: int = 0
    """Of its event rows."""

    @property
    def records(self) -> int:
        return sum(entry.records for entry in self.entries)


class Projector:
    """Projects one journal. Lives on the store thread."""

    def __init__(
        self,
        engine: Engine,
        system: str,
        settlement: Settlement,
        intake: Intake,
        tail: Tail,
        options: JournalOptions,
        precedence: Precedence,
        *,
        batch_rows: int,
        window_bytes: int,
        is_hurried: Callable[[], bool],
        on_progress: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._settlement = settlement
        self._intake = intake
        self._tail = tail
        self._options = options
        self._precedence = precedence
        self._batch_rows = batch_rows
        self._window_bytes = window_bytes
        self._is_hurried = is_hurried
        self._on_progress = on_progress
        self._encoder = RowEncoder(system)
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._places = asyncio.Semaphore(_IN_FLIGHT)
        self._open: list[_Window] = []
        self._last_end = 0.0
        self._held_back = 0.0
        """Seconds so far."""
        self._log = runtime_log(system, options.log_level)

    async def run(self) -> None:
        """Project until cancelled. Raises Fenced when the records have another owner, StoreDamaged."""
        backoff = Backoff(0.05)
        while True:
            windows: asyncio.Queue[_Window] = asyncio.Queue(1)
            staging = asyncio.create_task(self._stage(windows))
            settling = asyncio.create_task(self._settle(windows))
            try:
                await asyncio.wait((staging, settling), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await self._abandon(staging, settling)
            for task in (staging, settling):
                error = None if task.cancelled() else task.exception()
                if isinstance(error, Fenced | StoreDamaged):
                    raise error
                if error is not None:
                    self._log.failure("the projector failed, it goes on", error)
            await backoff.wait()

    def wake(self) -> None:
        """There are committed entries."""
        self._wake.set()

    def hurry(self) -> None:
        """Somebody waits for the rows: do not gather any longer."""
        self._hurry.set()
        self._wake.set()

    async def _stage(self, windows: asyncio.Queue[_Window]) -> None:
        while True:
            await self._gather()
            await self._hold_back(self._tail.waiting[0])
            entries = self._tail.take(self._options.window_records, self._window_bytes)
            window = _Window(entries, time.monotonic(), self._held_back)
            self._open.append(window)
            window.effect = await self._fold(entries)
            for batch in self._batches(window.effect.events):
                await self._hold_back(entries[0])
                # Encoded before there is a place, so that the database never waits for it.
                rows = await self._encode(batch)
                window.event_bytes += sum(map(len, rows))
                await self._places.acquire()
                window.inserts.append(asyncio.create_task(self._insert_and_leave(batch, rows)))
                await asyncio.sleep(0)  # it is sent before the next batch is encoded
            await windows.put(window)

    async def _fold(self, entries: Sequence[TailEntry]) -> Effect:
        """Their net effect; the thread's other tasks get their turns meanwhile."""
        kept = self._options.kept_checkpoints
        effect = NOTHING
        part: list[TailEntry] = []
        records = 0
        for entry in entries:
            part.append(entry)
            records += entry.records
            if records >= _AT_ONCE or entry is entries[-1]:
                decoded = ((one.number, decode_entry(one.body)) for one in part)
                effect = merge(effect, fold(decoded, kept), kept)
                part, records = [], 0
                await asyncio.sleep(0)
        return effect

    async def _encode(self, batch: Sequence[Placed[Event]]) -> list[bytes]:
        """As rows; as above."""
        rows: list[bytes] = []
        for start in range(0, len(batch), _AT_ONCE):
            rows += [self._encoder.event(placed) for placed in batch[start : start + _AT_ONCE]]
            await asyncio.sleep(0)
        return rows

    async def _gather(self) -> None:
        """Wait for something to project; if it is little and nobody waits, for a little more."""
        while not self._tail.waiting:
            self._wake.clear()
            await self._wake.wait()
        if self._tail.waiting_records < self._batch_rows and not self._is_hurried():
            self._hurry.clear()
            try:
                async with asyncio.timeout(_LINGER_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    async def _hold_back(self, oldest: TailEntry) -> None:
        """Wait while commits come first, unless somebody waits for the rows."""
        self._hurry.clear()
        began = now = time.monotonic()
        while not self._is_hurried() and self._precedence.is_with_commits(now, oldest.at):
            with suppress(TimeoutError):
                async with asyncio.timeout(_HOLD_SECONDS):
                    await self._hurry.wait()
                    break
            now = time.monotonic()
        self._held_back += now - began

    def _batches(self, events: Sequence[Placed[Event]]) -> list[Sequence[Placed[Event]]]:
        batches: list[Sequence[Placed[Event]]] = []
        start = size = 0
        for position, placed in enumerate(events):
            size += len(placed.record.payload)
            if position - start >= self._batch_rows or (size > _BATCH_BYTES and position > start):
                batches.append(events[start:position])
                start, size = position, len(placed.record.payload)
        if start < len(events):
            batches.append(events[start:])
        return batches

    async def _insert_and_leave(self, batch: Sequence[Placed[Event]], rows: Sequence[bytes]) -> None:
        try:
            await self._insert(batch, rows)
        finally:
            self._places.release()

    async def _insert(self, batch: Sequence[Placed[Event]], rows: Sequence[bytes]) -> None:
        backoff = Backoff()
        while True:
            refusal: StoreRefused | None = None
            try:
                await self._send(rows)
            except StoreRefused as error:
                refusal = error
            except StoreError as error:
                self._log.debug("event rows are retried", error=str(error))
            else:
                return
            if refusal is not None and len(batch) > 1:
                middle = len(batch) // 2
                await self._insert(batch[:middle], rows[:middle])
                await self._insert(batch[middle:], rows[middle:])
                return
            if refusal is not None and await self._send_refused(batch[0], refusal):
                return
            await backoff.wait()

    async def _send_refused(self, placed: Placed[Event], error: StoreRefused) -> bool:
        self._log.warning(
            "the database refused an event row, it is kept without its payload's fields",
            event_id=f"{placed.epoch}.{placed.record.seq}",
            error=str(error),
        )
        try:
            await self._send([self._encoder.event(placed, str(error))])
        except StoreError:
            return False  # then it is not the payload: an outage, and tried again
        return True

    async def _send(self, rows: Sequence[bytes]) -> None:
        await self._engine.query(
            _INSERT, {"rows": array(rows)}, indexed_rows=len(rows), timeout=self._options.call_timeout
        )

    async def _settle(self, windows: asyncio.Queue[_Window]) -> None:
        while True:
            window = await windows.get()
            for insert in window.inserts:
                await insert
            await self._settlement.write(window.entries, window.effect, window.event_bytes)
            self._open.remove(window)
            self._tail.forget(window.entries, window.effect)
            self._measure(window)
            self._intake.bytes_out += sum(entry.weight for entry in window.entries)
            self._intake.projected += window.records
            self._on_progress()

    def _measure(self, window: _Window) -> None:
        """How long it took while there was work."""
        now = time.monotonic()
        elapsed = now - max(window.started, self._last_end) - (self._held_back - window.held_back)
        self._last_end = now
        if elapsed > 0 and window.records >= self._batch_rows:  # fewer do not tell it from the fixed costs
            self._precedence.note_rows(now, window.entries[0].at, window.records, elapsed)

    async def _abandon(self, *tasks: asyncio.Task[None]) -> None:
        """End what is under way; windows that were not settled wait again, in order."""
        under_way = [*tasks, *(insert for window in self._open for insert in window.inserts)]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        while self._open:
            self._tail.put_back(self._open.pop().entries)
