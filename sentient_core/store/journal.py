"""The journal of one start of a system on a database: the caller's side, and the tasks behind it.

`append` is on the path of every message: it adds to a deque and counts; no lock, no call to the
thread unless the writer sleeps. Everything else happens on the store thread, which tells the
caller's loop after each commit and each projection, if somebody waits there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import anyio
import msgspec

from sentient_core.backend import Backend
from sentient_core.errors import StoreError, StoreUnavailable
from sentient_core.logs import runtime_log
from sentient_core.store.engine import Engine
from sentient_core.store.estates import EstateReader
from sentient_core.store.fold import Placed, events_of
from sentient_core.store.outcomes import IdKey, Outcome
from sentient_core.store.precedence import Precedence
from sentient_core.store.projector import Projector
from sentient_core.store.protocols import Backlog, Estate, JournalOptions, Outage, Waiter
from sentient_core.store.pruning import Pruner
from sentient_core.store.records import (
    AnyRecord,
    Checkpoint,
    Closed,
    DurableActor,
    Entry,
    Event,
    Forgotten,
    Key,
    has_news,
)
from sentient_core.store.recovery import Start
from sentient_core.store.retention import Pruned, Retention
from sentient_core.store.rows import read_checkpoint, read_outcome
from sentient_core.store.settlement import Settlement
from sentient_core.store.streams import EventFollower
from sentient_core.store.tail import LEAST_WEIGHT, Intake
from sentient_core.store.waiting import RoomLine, WaitingLine
from sentient_core.store.wire import array, record_id, value
from sentient_core.store.writer import Writer

__all__ = ["SurrealJournal"]

_LEAST_PATIENCE = 1.0
_CANCEL_SECONDS = 2.0
_MEMOS = "SELECT * FROM memo:[$system, $path, $epoch, $seq]..=[$system, $path, $epoch, $seq, []]"
# Ends before the state of a durable actor, whatever that has become.
_CHECKPOINTS = """SELECT * FROM state_checkpoint:[$system, $path, 0]..[$system, $path, '']
    WHERE kind = 'turn' ORDER BY id DESC LIMIT $limit"""


class SurrealJournal:
    """See `Journal`. Made by `SurrealStore.open_journal`."""

    def __init__(
        self,
        engine: Engine,
        system: str,
        writer: str,
        start: Start,
        options: JournalOptions,
        backend: Backend,
        *,
        largest_record: int,
        largest_turn: int,
        batch_rows: int,
        window_bytes: int,
        on_fenced: Callable[[StoreError], None] | None,
        on_outage: Callable[[Outage], None] | None,
        on_end: Callable[[], Coroutine[Any, Any, None]],
        on_rows: Callable[[], None],
        is_followed: Callable[[], bool],
        is_shared: bool,
    ) -> None:
        self.largest_record: int = min(options.record_bytes or largest_record, largest_record)
        self.largest_turn: int = largest_turn
        # Not larger than a record that goes alone, which is what the database is known to take.
        group_bytes = min(options.group_bytes, largest_record)
        options = msgspec.structs.replace(options, group_bytes=group_bytes)
        self.epoch: int = start.epoch
        self.known: Mapping[str, int] = start.known
        self.known_restarts: Mapping[str, int] = start.restarts
        self.pending_counts: Mapping[str, int] = start.pending
        self.timers_due: Mapping[str, int] = start.timers_due
        self.durables: Mapping[str, DurableActor] = start.durables
        self.ended_cleanly: bool = start.ended_cleanly
        self.damage: str = start.damage
        self._engine = engine
        self._system = system
        self._log = runtime_log(system, options.log_level)
        self._backend = backend
        self._on_fenced = on_fenced
        self._on_outage = on_outage
        self._on_end = on_end
        self._on_rows = on_rows
        self._committed_line = WaitingLine(backend)
        self._projected_line = WaitingLine(backend)
        self._room_line = RoomLine(backend)
        self.room_patience: float = options.room_patience
        self._failure: StoreError | None = None
        self._is_refusing = False
        self._final: Backlog | None = None
        self._is_waking = False
        self._tasks: list[asyncio.Task[None]] = []
        self._has_moved = asyncio.Event()
        self._followed = 0
        """Of what is committed, how much who follows has got."""
        self._tail = tail = start.tail
        found_bytes = sum(entry.weight for entry in tail.waiting)
        self._intake = Intake(options, tail.waiting_records, found_bytes)
        self._precedence = Precedence(self._intake, options, batch_rows, is_followed)
        self._is_shared = is_shared
        self._writer = Writer(
            engine,
            system,
            writer,
            start.epoch,
            start.number,
            self._intake,
            tail,
            options,
            self._after_commit,
            self._after_change,
        )
        self._projector = Projector(
            engine,
            system,
            Settlement(
                engine,
                system,
                start.epoch,
                start.projected,
                start.known,
                start.restarts,
                start.durables,
                options,
            ),
            self._intake,
            tail,
            options,
            self._precedence,
            batch_rows=batch_rows,
            window_bytes=window_bytes,
            is_hurried=lambda: self._is_refusing or not self._projected_line.is_empty,
            on_progress=self._after_projection,
        )
        self._estates = EstateReader(engine, system, tail, start.durables, start.pending)
        self._retention = options.retention
        self._pruner = Pruner(engine, system, start.epoch, options.call_timeout, self._log)
        engine.thread.post(self._start_tasks)
        backend.hold_clock_for(self)

    def append(self, record: AnyRecord, *, force: bool = False, from_reserve: bool = False) -> bool:
        """See `Journal.append`. From the caller's loop only; about a third of a microsecond."""
        if self._is_refusing:
            return False
        intake = self._intake
        weight = record.weight
        if (
            intake.bytes_in - intake.bytes_out + weight > intake.room_bytes
            or intake.count_in - intake.projected >= intake.room_records
        ) and not (force or (from_reserve and intake.has_reserve(weight))):
            return False
        intake.count_in += 1
        intake.bytes_in += weight
        intake.records.append(record)
        if intake.is_asleep and not self._is_waking:
            # Two passes of the loop later: what this pass adds joins its commit, and so does the turn
            # that a message which it adds wakes an actor for.
            self._is_waking = True
            self._backend.call_soon(self._wake_soon)
        return True

    def backlog(self) -> Backlog:
        """See `Journal.backlog`."""
        return self._final or self._intake.backlog()

    def mark(self) -> int:
        """See `Journal.mark`."""
        return self._intake.count_in

    async def committed(self, mark: int | None = None) -> None:
        """See `Journal.committed`."""
        await self._reached(self._committed_line, lambda: self._intake.committed, mark=mark)

    def when_committed(self, waiter: Waiter) -> None:
        """See `Journal.when_committed`."""
        if self._failure is not None:
            error = self._failure
            self._backend.call_soon(lambda: waiter.fail(error))
            return
        self._committed_line.add(self._intake.count_in, waiter)
        if self._intake.committed >= self._intake.count_in:  # as in `_reached`
            self._backend.call_soon(self._announce)

    def has_room(self) -> bool:
        """See `Journal.has_room`."""
        return not self._is_refusing and self._intake.has_room(LEAST_WEIGHT)

    def when_room(self, waiter: Waiter) -> None:
        """See `Journal.when_room`."""
        if self._failure is not None:
            error = self._failure
            self._backend.call_soon(lambda: waiter.fail(error))
            return
        self._room_line.add(waiter)
        if self.has_room():  # as in `_reached`
            self._backend.call_soon(self._announce)

    def follow(self, follower: EventFollower | None) -> int:
        """See `Journal.follow`."""
        backend, intake = self._backend, self._intake

        def hand_over(number: int, entry: Entry) -> None:
            if follower is not None:
                events = events_of(number, entry, follower.wants)
                with suppress(RuntimeError):  # the caller's loop has ended
                    backend.call_threadsafe(take, number, events, intake.committed)

        def take(number: int, events: Sequence[Placed[Event]], committed: int) -> None:
            self._followed = committed
            if follower is not None:
                follower.take(number, events)

        # First this, then what is told already: a commit of this moment is in one of the two, or in both.
        self._writer.on_entry = None if follower is None else hand_over
        self._followed = intake.committed
        return self._writer.told

    async def estate(
        self, path: str, limit: int, *, after: Key | None = None, mark: int | None = None
    ) -> Estate:
        """See `Journal.estate`."""
        await self.committed(mark)
        estates = await self._engine.thread.run(lambda: self._read_estates([path], limit, after))
        return estates[path]

    async def estates(
        self, paths: Sequence[str], limit: int, *, mark: int | None = None
    ) -> Mapping[str, Estate]:
        """See `Journal.estates`."""
        await self.committed(mark)
        return await self._engine.thread.run(lambda: self._read_estates(paths, limit)) if paths else {}

    def postponed_rows(self) -> AbstractContextManager[None]:
        """See `Journal.postponed_rows`."""
        return self._precedence.reading()

    async def forget(self, path: str) -> Pruned:
        """See `Journal.forget`."""
        self.append(Forgotten(path), force=True)
        await self.flush()
        return await self._engine.thread.run(lambda: self._pruner.forget(path))

    async def outcomes(self, keys: Sequence[IdKey]) -> Mapping[IdKey, Outcome]:
        """See `Journal.outcomes`."""
        if self._failure is not None or self._intake.is_down:
            await self.committed()
        return await self._engine.thread.run(lambda: self._read_outcomes(keys))

    async def memos(self, key: Key) -> Mapping[str, Outcome]:
        """See `Journal.memos`."""
        await self.committed()
        return await self._engine.thread.run(lambda: self._read_memos(key))

    async def flush(self) -> None:
        """See `Journal.flush`."""
        await self._reached(self._projected_line, lambda: self._intake.projected, self._projector.hurry)

    async def checkpoints(self, path: str, limit: int, *, mark: int | None = None) -> Sequence[Checkpoint]:
        """See `Journal.checkpoints`."""
        await self.committed(mark)
        if limit < 1:
            return []
        return await self._engine.thread.run(lambda: self._read_checkpoints(path, limit))

    async def prune(self, retention: Retention) -> Pruned:
        """See `Journal.prune`."""
        if self._failure is not None:
            raise self._failure
        return await self._engine.thread.run(lambda: self._pruner.sweep(retention, time.time_ns()))

    async def close(self, patience: float) -> Backlog:
        """See `Journal.close`. `patience` is real time: it passes on the store thread."""
        if self._final is None:
            self.append(Closed(time.time_ns()), force=True)
            self._is_refusing = True
            self._wake_writer()
            with anyio.CancelScope(shield=True):
                with suppress(StoreUnavailable):
                    await self._engine.thread.run(lambda: self._finish(patience))
            if self._final is None:
                self._final = self._intake.backlog()
                self._fail(StoreUnavailable(f"the journal of '{self._system}' is closed"))
                await self._on_end()
        return self._final

    def awaited(self) -> list[tuple[object, ...]]:
        """See `Outside`: commits, rows, room, or events behind their commit for who follows them."""
        intake, is_followed = self._intake, self._writer.on_entry is not None
        is_expected = is_followed and self._followed < intake.count_in and not intake.is_down
        is_waited_for = not (
            self._committed_line.is_empty and self._projected_line.is_empty and self._room_line.is_empty
        )
        if self._failure is None and (is_waited_for or is_expected):
            return [(id(self), intake.committed, intake.projected)]
        return []

    @property
    def is_abandoned(self) -> bool:
        """The event loop it was opened on has ended."""
        try:
            self._backend.call_threadsafe(int)
        except RuntimeError:
            return True
        return False

    async def halt(self) -> None:
        """Stop working for an abandoned journal: nothing more is committed, no end is marked."""
        self._is_refusing = True
        await self._engine.thread.run(lambda: self._finish(0))

    async def _reached(
        self,
        line: WaitingLine,
        count: Callable[[], int],
        hurry: Callable[[], None] | None = None,
        *,
        mark: int | None = None,
    ) -> None:
        if self._failure is not None:
            raise self._failure
        target = self._intake.count_in if mark is None else mark
        if count() >= target:
            await self._backend.checkpoint()
            return
        slot = line.join(target)
        if hurry is not None:
            self._engine.thread.post(hurry)
        # Looked at again behind joining: the thread looks whether somebody waits behind counting.
        line.advance(count())
        await slot

    def _wake_soon(self) -> None:
        self._backend.call_soon(self._wake_writer)

    def _wake_writer(self) -> None:
        self._is_waking = False
        self._intake.is_asleep = False
        with suppress(StoreUnavailable):  # the thread has ended: `committed` says so
            self._engine.thread.post(self._writer.wake)

    def _announce(self) -> None:
        """On the caller's loop: wake those whose records have got there."""
        self._committed_line.advance(self._intake.committed)
        self._projected_line.advance(self._intake.projected)
        if not self._room_line.is_empty and self.has_room():
            self._room_line.open()

    def _fail(self, error: StoreError) -> None:
        """On the caller's loop: nothing more will be committed."""
        if self._failure is not None:
            return
        self._failure = error
        self._is_refusing = True
        self._announce()
        self._committed_line.fail(error)
        self._projected_line.fail(error)
        self._room_line.fail(error)

    def _fence(self, error: StoreError) -> None:
        """On the caller's loop: the records have another owner."""
        is_news = self._failure is None
        self._fail(error)
        if is_news and self._on_fenced is not None:
            self._on_fenced(error)

    def _tell_outage(self, outage: Outage) -> None:
        """On the caller's loop: the database is away, or back."""
        if self._on_outage is not None and self._failure is None:
            self._on_outage(outage)

    # What follows runs on the store thread.

    def _start_tasks(self) -> None:
        works = [("writer", self._writer.run), ("projector", self._projector.run)]
        retention = self._retention
        if retention is not None:
            works.append(("pruner", lambda: self._pruner.run(retention)))
        for name, run in works:
            self._tasks.append(self._engine.thread.keep(self._guard(name, run)))

    async def _guard(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await run()
        except StoreError as error:  # Fenced, StoreDamaged: all other errors are dealt with inside
            self._log.error("the store refuses this start of the system", error=str(error), found_by=name)
            for task in self._tasks:
                if task is not asyncio.current_task():
                    task.cancel()
            with suppress(RuntimeError):  # the caller's loop has ended
                self._backend.call_threadsafe(self._fence, error)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever for a task that has ended
            self._log.error("a task of the journal has ended", task=name, error=str(error))
            ended = StoreUnavailable(f"the journal of '{self._system}' has ended: {type(error).__name__}")
            with suppress(RuntimeError):  # as above
                self._backend.call_threadsafe(self._fail, ended)
        finally:
            self._has_moved.set()

    def _after_commit(self, began: float, ended: float, entry: Entry) -> None:
        is_awaited = not self._committed_line.is_empty
        self._precedence.note_commit(began, ended, is_awaited=is_awaited)
        if self._is_shared and not self._precedence.knows_of_news(ended) and has_news(entry):
            self._precedence.note_news(ended)
        self._projector.wake()
        self._has_moved.set()
        if is_awaited:
            self._announce_from_thread()

    def _after_change(self, outage: Outage) -> None:
        if self._on_outage is not None:
            with suppress(RuntimeError):  # the caller's loop has ended
                self._backend.call_threadsafe(self._tell_outage, outage)

    def _after_projection(self) -> None:
        self._has_moved.set()
        self._on_rows()
        if not (self._projected_line.is_empty and self._room_line.is_empty):
            self._announce_from_thread()

    def _announce_from_thread(self) -> None:
        with suppress(RuntimeError):  # the caller's loop has ended: nobody waits
            self._backend.call_threadsafe(self._announce)

    async def _read_estates(
        self, paths: Sequence[str], limit: int, after: Key | None = None
    ) -> dict[str, Estate]:
        with self._precedence.reading():
            return await self._estates.read(paths, limit, after)

    async def _read_checkpoints(self, path: str, limit: int) -> list[Checkpoint]:
        placed = self._tail.checkpoints(path, limit)
        found = {at.position: at.record for at in placed}
        if len(found) < limit:
            (rows,) = await self._engine.query(
                _CHECKPOINTS, {"system": self._system, "path": path, "limit": limit}
            )
            for row in rows:
                _, _, number, index = row["id"].key
                found.setdefault((number, index), read_checkpoint(row))
        return [record for _, record in sorted(found.items(), key=lambda item: item[0], reverse=True)][:limit]

    async def _read_outcomes(self, keys: Sequence[IdKey]) -> dict[IdKey, Outcome]:
        # First the tail, which is newer; what leaves it meanwhile stands in both.
        found = self._tail.outcomes(keys)
        ids = [value(record_id("dedupe", self._system, *key)) for key in keys if key not in found]
        if ids:
            (rows,) = await self._engine.query("SELECT * FROM $ids", {"ids": array(ids)})
            for row in rows:
                _, path, id_ = row["id"].key
                found[path, id_] = read_outcome(row)
        return found

    async def _read_memos(self, key: Key) -> dict[str, Outcome]:
        unprojected = self._tail.memos(key)
        path, epoch, seq = key
        (rows,) = await self._engine.query(
            _MEMOS, {"system": self._system, "path": path, "epoch": epoch, "seq": seq}
        )
        return {row["id"].key[-1]: read_outcome(row) for row in rows} | unprojected

    async def _finish(self, patience: float) -> None:
        """Commit all and project for at most `patience` seconds, then end the tasks.

        The mark of the end gets a moment even of the impatient, unless the database is down.
        """
        intake = self._intake
        target = intake.count_in
        started = self._engine.thread.now()
        for_commits = patience if intake.is_down else max(patience, _LEAST_PATIENCE)
        await self._until(lambda: intake.committed >= target, for_commits)
        left = patience - (self._engine.thread.now() - started)
        await self._until(lambda: intake.projected >= target, left)
        self._pruner.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=_CANCEL_SECONDS)

    async def _until(self, is_reached: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                while not is_reached() and not any(task.done() for task in self._tasks):
                    self._has_moved.clear()
                    self._projector.hurry()
                    await self._has_moved.wait()
