"""A store without a database: the same contract in plain Python, for tests and for actors that need none.

It has no thread, and waits by no clock but the event loop's, so it runs under virtual time on both event
loops. What it holds outlives journals: opening the same object again is a new start on the same data,
also after one that never closed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from functools import partial
from itertools import chain, islice
from typing import Any

import anyio
import msgspec

from sentient_core.backend import Backend, current_backend
from sentient_core.errors import Fenced, StoreError, StoreRefused, StoreUnavailable
from sentient_core.faults import FaultAction, FaultPoint, Faults, Injected
from sentient_core.faults.faults import die, suffer
from sentient_core.store.accounts import Account, Books, Carried
from sentient_core.store.audit import Audit, Counts, counted_on
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.faulty import damaged, error_of, refusal
from sentient_core.store.fold import (
    AgentEffect,
    Effect,
    LetterEffect,
    PendingEffect,
    Placed,
    events_of,
    fold,
    later_agent,
    merge_letters,
    newest,
)
from sentient_core.store.letters import DeadLetterFilter, meets
from sentient_core.store.memory_streams import MemoryStreams
from sentient_core.store.outcomes import IdKey, Outcome, OutcomeKind
from sentient_core.store.protocols import (
    LARGEST_RECORD,
    RESERVE,
    AgentRow,
    Backlog,
    CheckpointRow,
    DeadLetterRow,
    Estate,
    EventRow,
    JournalOptions,
    Outage,
    Pending,
    Waiter,
)
from sentient_core.store.records import (
    AnyRecord,
    Checkpoint,
    Closed,
    DeadLetterRecord,
    DurableActor,
    Entry,
    Event,
    Forgotten,
    Key,
    LetterStatus,
    Opened,
    TimerSet,
)
from sentient_core.store.retention import (
    LetterFacts,
    Pruned,
    Removed,
    Retention,
    cutoffs,
    due_letters,
    ended_actors,
    oldest_beyond,
    spare_checkpoints,
)
from sentient_core.store.row_book import RowBook
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable
from sentient_core.store.row_values import checked_writes
from sentient_core.store.streams import EventFollower, Place, external_stream, is_external
from sentient_core.store.tail import LEAST_WEIGHT
from sentient_core.store.views import (
    agent_of_row,
    agent_row,
    checkpoint_of_row,
    checkpoint_row,
    dead_letter_row,
    event_row,
)
from sentient_core.store.waiting import RoomLine, WaitingLine

__all__ = ["MemoryJournal", "MemoryStore"]

_PAUSED = "the memory store is paused"
_TRY_AGAIN_SECONDS = 0.05
"""How long a commit that a fault has let fail waits for its next try."""


class MemoryStore:
    """A `Store` that keeps the net effect of all records in this process.

        store = MemoryStore()
        async with ActorSystem("bank", store=store) as system: ...
        await store.events("bank")      # still there

    `keep_events` bounds the event rows of each system: older ones are dropped. `pause()` makes it
    behave like a store that is down: nothing is committed until `resume()`.
    """

    url = "memory:"

    def __init__(self, *, keep_events: int = 100_000) -> None:
        self._keep_events = keep_events
        self._systems: dict[str, _Records] = {}
        self.is_paused: bool = False
        self.faults: Faults | None = None
        """What is to go wrong here, if anything: see `faulty`."""
        self._streams = MemoryStreams(self._stream, self._check_up, keep_events)

    def __repr__(self) -> str:
        systems = ", ".join(sorted(name for name in self._systems if not is_external(name))) or "nobody"
        return f"<MemoryStore of {systems}{', paused' * self.is_paused}>"

    async def open_journal(
        self,
        system: str,
        *,
        options: JournalOptions | None = None,
        on_fenced: Callable[[StoreError], None] | None = None,
        on_outage: Callable[[Outage], None] | None = None,
    ) -> MemoryJournal:
        """See `Store.open_journal`. StoreUnavailable while paused."""
        backend = current_backend()
        await backend.checkpoint()
        if self.is_paused:
            raise StoreUnavailable(_PAUSED)
        records = self._systems.setdefault(system, _Records(self._keep_events))
        if records.owner is not None:
            records.owner.fence()
        journal = MemoryJournal(
            self, system, records, options or JournalOptions(), backend, on_fenced, on_outage
        )
        records.owner = journal
        return journal

    @property
    def event_streams(self) -> MemoryStreams:
        """See `Store.event_streams`."""
        return self._streams

    def pause(self) -> None:
        """An outage: records are accepted up to the bound of the tail, and none is committed.

        What was appended before counts as committed.
        """
        self._settle()
        if not self.is_paused:
            self.is_paused = True
            self._tell(MemoryJournal.begin_outage)

    def resume(self) -> None:
        """End of the outage: everything accepted meanwhile is committed, waiters are woken."""
        if self.is_paused:
            self.is_paused = False
            self._tell(MemoryJournal.end_outage)
        self._settle()

    async def events(
        self,
        system: str,
        *,
        agent: str | None = None,
        event_type: str | None = None,
        message_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[EventRow]:
        """See `Store.events`."""
        wanted = EventFilter(
            agent=agent, event_type=event_type, message_type=message_type, since=since, until=until
        )
        records = await self._read(system)
        matching = (placed for placed in reversed(records.events) if wanted.meets(placed.record))
        return [event_row(placed) for placed in islice(matching, limit)]

    async def systems(self) -> list[str]:
        """The names of the systems that have started on it, sorted."""
        await current_backend().checkpoint()
        return sorted(name for name, records in self._systems.items() if records.epoch or records.owner)

    async def agents(self, system: str) -> list[AgentRow]:
        """See `Store.agents`."""
        records = await self._read(system)
        written = {key[0] for key, _ in records.book.all(RowTable.AGENT_STATE)}
        rows = [agent_row(agent) for path, agent in records.agents.items() if path not in written]
        for path in written:
            rows += map(agent_of_row, records.book.find(RowQuery(table=RowTable.AGENT_STATE, key=(path,))))
        return sorted(rows, key=lambda row: row.agent_id)

    async def checkpoint_rows(self, system: str, path: str) -> list[CheckpointRow]:
        """See `Store.checkpoint_rows`."""
        records = await self._read(system)
        kept = [*records.turns.get(path, ()), *records.named.get(path, ())]
        kept += [records.states[path]] if path in records.states else []
        kept.sort(key=lambda placed: placed.position, reverse=True)
        written = records.book.find(RowQuery(table=RowTable.STATE_CHECKPOINT, key=(path,), newest_first=True))
        return [*map(checkpoint_of_row, written), *map(checkpoint_row, kept)]

    async def dead_letters(
        self,
        system: str,
        *,
        matching: DeadLetterFilter | None = None,
        status: LetterStatus | None = None,
        limit: int = 100,
    ) -> list[DeadLetterRow]:
        """See `Store.dead_letters`."""
        records = await self._read(system)
        found = records.find_letters(matching or DeadLetterFilter(), status)
        return [dead_letter_row(*letter) for letter in islice(reversed(found), limit)]

    async def open_letters(self, system: str, matching: DeadLetterFilter) -> list[str]:
        """See `Store.open_letters`."""
        records = await self._read(system)
        return [id_ for id_, _, _ in records.find_letters(matching, LetterStatus.OPEN)]

    async def letters_by_id(self, system: str, message_ids: Sequence[str]) -> list[DeadLetterRow]:
        """See `Store.letters_by_id`."""
        records = await self._read(system)
        return [
            dead_letter_row(id_, letter, letter.death)
            for id_ in message_ids
            if (letter := records.letters.get(id_)) is not None and letter.death is not None
        ]

    async def audit(self, system: str) -> Audit:
        """See `Store.audit`."""
        records = await self._read(system)
        books = Books()
        books.start_from(records.carried)
        for _, accounts in records.accounts:
            books.enter(accounts)
        return books.close((key for inbox in records.inbox.values() for key in inbox), records.counted)

    async def rows(self, system: str, query: RowQuery) -> list[Row]:
        """See `Store.rows`."""
        return (await self._read(system)).book.find(query)

    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        """See `Store.write_rows`. StoreUnavailable while paused."""
        checked_writes(writes)
        await current_backend().checkpoint()
        if self.is_paused:
            raise StoreUnavailable(_PAUSED)
        await self.pass_by_write()
        self._systems.setdefault(system, _Records(self._keep_events)).book.write(writes, time.time_ns())

    async def query(self, sql: str, /, **parameters: object) -> list[Any]:
        """See `Store.query`: refused, there is no database here."""
        raise StoreRefused("a MemoryStore knows no SurrealQL: use events(), agents(), or a store at 'mem://'")

    async def close(self) -> None:
        """Nothing to close; the data stays."""
        await current_backend().checkpoint()

    def _tell(self, what: Callable[[MemoryJournal], None]) -> None:
        for records in self._systems.values():
            if records.owner is not None:
                what(records.owner)

    def _settle(self) -> None:
        for records in self._systems.values():
            if records.owner is not None:
                records.owner.settle()

    def external(self, system: str) -> _Records | None:
        """The external stream of a system, if there is one."""
        return self._systems.get(external_stream(system))

    async def _stream(self, name: str) -> _Records:
        """Of a system, or of an external stream, which is made when somebody looks."""
        records = await self._read(name)
        return self._systems.setdefault(name, records) if "/" in name else records

    async def pass_by_read(self, *, of_states: bool = False) -> Injected | None:
        """STORE_READ. Returns a fault that is to damage a state (`as_read`). Raises StoreError."""
        return await self._pass_by(FaultPoint.STORE_READ, can_damage=of_states)

    def as_read(self, states: Sequence[Checkpoint], fault: Injected | None) -> Sequence[Checkpoint]:
        """These states, one of them damaged if the fault is there."""
        if fault is None or self.faults is None:
            return states
        read: list[bytes] | None = damaged([state.state for state in states])
        if read is None:
            self.faults.withdraw(fault)
            return states
        self.faults.note(fault)
        return [msgspec.structs.replace(state, state=data) for state, data in zip(states, read, strict=True)]

    async def pass_by_write(self) -> None:
        """STORE_WRITE. Raises StoreError."""
        await self._pass_by(FaultPoint.STORE_WRITE)

    async def _pass_by(self, point: FaultPoint, *, can_damage: bool = False) -> Injected | None:
        faults = self.faults
        fault = None if faults is None else faults.decide(point)
        if faults is None or fault is None:
            return None
        if fault.action is FaultAction.CORRUPT:
            if can_damage:
                return fault
            faults.withdraw(fault)
            return None
        faults.note(fault)
        if refusal(fault) is not None:
            raise error_of(fault)
        await suffer(fault)
        return None

    def _check_up(self) -> None:
        if self.is_paused:
            raise StoreUnavailable(_PAUSED)

    async def _read(self, system: str) -> _Records:
        await current_backend().checkpoint()
        await self.pass_by_read()
        records = self._systems.get(system)
        if records is None:
            return _Records(self._keep_events)
        if records.owner is not None:
            records.owner.settle()
        return records


class MemoryJournal:
    """The `Journal` of one start on a MemoryStore.

    Appended records wait in a list and are folded when somebody looks, or when a group is full.
    """

    def __init__(
        self,
        store: MemoryStore,
        system: str,
        records: _Records,
        options: JournalOptions,
        backend: Backend,
        on_fenced: Callable[[StoreError], None] | None,
        on_outage: Callable[[Outage], None] | None,
    ) -> None:
        self._store = store
        self._system = system
        self._records = records
        self._options = options
        self._backend = backend
        self._on_fenced = on_fenced
        self._on_outage = on_outage
        self._away_since = 0.0
        self._away_for = _PAUSED
        self._is_held = False
        """A commit has failed, or hangs, by a fault."""
        self._is_late = False
        """One was delayed by a fault, and is to be done now."""
        self._is_mute = False
        """One is under way: delayed, or done and not heard of."""
        self._failure: StoreError | None = None
        self._is_refusing = False
        self._pending: list[AnyRecord] = []
        self._pending_bytes = 0  # counted only while nothing is committed
        self._appended = 0
        self._settles_soon = False
        self._follower: EventFollower | None = None
        self._line = WaitingLine(backend)
        self._room_line = RoomLine(backend)
        self.room_patience: float = options.room_patience
        self._final: Backlog | None = None
        retention = self._options.retention
        self._prune_at = float("inf") if retention is None else backend.now() + retention.every
        self.largest_record: int = min(self._options.record_bytes or LARGEST_RECORD, LARGEST_RECORD)
        self.largest_turn: int = 2 * LARGEST_RECORD
        self.epoch: int = records.epoch + 1
        self.known: Mapping[str, int] = dict(records.known)
        self.known_restarts: Mapping[str, int] = dict(records.restarts)
        self.pending_counts: Mapping[str, int] = {
            path: len(messages) for path, messages in records.inbox.items()
        }
        self.timers_due: Mapping[str, int] = records.timers_due()
        self.durables: Mapping[str, DurableActor] = dict(records.durables)
        self.ended_cleanly: bool = records.is_clean
        self.damage: str = ""
        self._pending.append(Opened(self.epoch, f"memory-{self.epoch}", 0))
        self._appended = 1
        self.settle()

    def __repr__(self) -> str:
        return f"<MemoryJournal of {self._system}, start {self.epoch}>"

    def append(self, record: AnyRecord, *, force: bool = False, from_reserve: bool = False) -> bool:
        """See `Journal.append`. The tail can only be full while the store is paused."""
        if self._is_refusing:
            return False
        if self._is_away or self._is_mute:
            weight = record.weight
            limit = self._options.tail_bytes * (1 + RESERVE) if from_reserve else self._options.tail_bytes
            if not force and self._pending_bytes + weight > limit:
                return False
            self._pending_bytes += weight
        self._pending.append(record)
        self._appended += 1
        if len(self._pending) >= self._options.group_records:
            self.settle()
        elif self._follower is not None or self._store.event_streams.is_watched:
            self._settle_soon()
        return True

    def backlog(self) -> Backlog:
        """See `Journal.backlog`. Committed is projected here: only an outage leaves something."""
        if self._final is not None:
            return self._final
        # Not settled here, since health is asked for from other threads, too.
        has_pending = self._is_away or self._is_mute or self._failure is not None
        pending = len(self._pending) if has_pending else 0
        return Backlog(
            records=pending,
            bytes=self._pending_bytes,
            uncommitted=pending,
            is_full=self._pending_bytes + LEAST_WEIGHT > self._options.tail_bytes,
            is_down=self._is_away,
        )

    def mark(self) -> int:
        """See `Journal.mark`."""
        return self._appended

    async def committed(self, mark: int | None = None) -> None:
        """See `Journal.committed`."""
        await self._backend.checkpoint()
        self.settle()
        if self._failure is not None:
            raise self._failure
        target = self._appended if mark is None else mark
        if self._is_mute or target > self._appended - len(self._pending):
            await self._line.join(target).wait()

    def when_committed(self, waiter: Waiter) -> None:
        """See `Journal.when_committed`."""
        if self._failure is not None:
            error = self._failure
            self._backend.call_soon(lambda: waiter.fail(error))
            return
        self._settle_soon()
        self._line.add(self._appended, waiter)

    def has_room(self) -> bool:
        """See `Journal.has_room`."""
        return not self._is_refusing and self._pending_bytes + LEAST_WEIGHT <= self._options.tail_bytes

    def when_room(self, waiter: Waiter) -> None:
        """See `Journal.when_room`."""
        if self._failure is not None:
            error = self._failure
            self._backend.call_soon(lambda: waiter.fail(error))
            return
        if self._room_line.is_empty:
            self._backend.call_soon(self._look_for_room)
        self._room_line.add(waiter)

    def follow(self, follower: EventFollower | None) -> int:
        """See `Journal.follow`."""
        self.settle()
        self._follower = follower
        return self._records.number

    async def estate(
        self, path: str, limit: int, *, after: Key | None = None, mark: int | None = None
    ) -> Estate:
        """See `Journal.estate`."""
        await self.committed(mark)
        fault = await self._store.pass_by_read(of_states=True)
        return self._as_read({path: self._estate(path, limit, after)}, fault)[path]

    def _estate(self, path: str, limit: int, after: Key | None) -> Estate:
        state = self._records.states.get(path)
        pending = [
            Pending(key[1], effect.accepted.record, effect.tries)
            for key, effect in sorted(self._records.inbox.get(path, {}).items())
            if after is None or key > after
        ]
        return Estate(
            state=None if state is None else state.record,
            pending=pending[:limit],
            is_all=len(pending) <= limit,
            timers=[timer for (of, _), timer in self._records.timers.items() if of == path],
        )

    def _as_read(self, estates: Mapping[str, Estate], fault: Injected | None) -> Mapping[str, Estate]:
        states = {path: estate.state for path, estate in estates.items() if estate.state is not None}
        read = dict(zip(states, self._store.as_read(list(states.values()), fault), strict=True))
        return {path: msgspec.structs.replace(e, state=read.get(path)) for path, e in estates.items()}

    async def estates(
        self, paths: Sequence[str], limit: int, *, mark: int | None = None
    ) -> Mapping[str, Estate]:
        """See `Journal.estates`."""
        await self.committed(mark)
        fault = await self._store.pass_by_read(of_states=True)
        return self._as_read({path: self._estate(path, limit, None) for path in paths}, fault)

    def postponed_rows(self) -> AbstractContextManager[None]:
        """See `Journal.postponed_rows`: there is nothing to postpone."""
        return nullcontext()

    async def forget(self, path: str) -> Pruned:
        """See `Journal.forget`."""
        self.append(Forgotten(path), force=True)
        await self.committed()
        return self._records.forgotten.pop(path, Pruned())

    async def outcomes(self, keys: Sequence[IdKey]) -> Mapping[IdKey, Outcome]:
        """See `Journal.outcomes`."""
        await self.committed()
        await self._store.pass_by_read()
        known = self._records.ids
        return {key: known[key] for key in keys if key in known}

    async def memos(self, key: Key) -> Mapping[str, Outcome]:
        """See `Journal.memos`."""
        await self.committed()
        await self._store.pass_by_read()
        return dict(self._records.memos.get(key, {}))

    async def flush(self) -> None:
        """See `Journal.flush`."""
        await self.committed()

    async def checkpoints(self, path: str, limit: int, *, mark: int | None = None) -> Sequence[Checkpoint]:
        """See `Journal.checkpoints`."""
        await self.committed(mark)
        fault = await self._store.pass_by_read(of_states=True)
        newest = [placed.record for placed in self._records.turns.get(path, ())[:limit]]
        return self._store.as_read(newest, fault)

    async def prune(self, retention: Retention) -> Pruned:
        """See `Journal.prune`. What is pending counts as projected, unless the store is paused."""
        await self._backend.checkpoint()
        self.settle()
        if self._failure is not None:
            raise self._failure
        if self._is_away:
            raise StoreUnavailable(_PAUSED)
        await self._store.pass_by_write()
        return self._prune(retention)

    async def close(self, patience: float) -> Backlog:
        """See `Journal.close`. `patience` counts on the event loop's clock."""
        if self._final is None and not self._is_refusing:
            self.append(Closed(0), force=True)
            self._is_refusing = True
            with anyio.move_on_after(patience, shield=True), suppress(Fenced):
                await self.committed()
        if self._final is None:
            self._final = self.backlog()
            self._end(StoreUnavailable(f"the journal of '{self._system}' is closed"))
            if self._records.owner is self:
                self._records.owner = None
        return self._final

    def settle(self) -> None:
        """Commit what is pending, unless the store is paused or this journal has ended."""
        is_busy = self._is_away or self._is_mute
        if is_busy or self._failure is not None or not self._pending or self._fails_to_commit():
            return
        entry = Entry(self.epoch, tuple(self._pending))
        number = self._records.take(entry, self._options.kept_checkpoints)
        self._pending.clear()
        self._pending_bytes = 0
        if self._follower is not None:
            self._follower.take(number, events_of(number, entry, self._follower.wants))
        self._store.event_streams.moved()
        self._pass_by_committed()
        self._announce()
        self._look_for_room()
        retention = self._options.retention
        if retention is not None and self._backend.now() >= self._prune_at:
            self._prune_at = self._backend.now() + retention.every
            self._prune(retention)

    def _prune(self, retention: Retention) -> Pruned:
        now = time.time_ns()
        held, held_external = self._store.event_streams.held(self._system, retention, now)
        pruned = self._records.prune(retention, now, held)
        external = self._store.external(self._system)
        if external is not None:
            gone = external.prune_events(
                cutoffs(retention, now).events, retention.events_bytes, held_external
            )
            pruned = msgspec.structs.replace(pruned, events=pruned.events + gone)
        return pruned

    def _look_for_room(self) -> None:
        if not self._room_line.is_empty and self.has_room():
            self._room_line.open()

    def _settle_soon(self) -> None:
        if not self._settles_soon:
            self._settles_soon = True
            self._backend.call_soon(self._settle_all)

    def _settle_all(self) -> None:
        self._settles_soon = False
        self.settle()
        if not self._pending:
            self._announce()

    def _announce(self) -> None:
        if not self._is_mute:
            self._line.advance(self._appended - len(self._pending))

    @property
    def _is_away(self) -> bool:
        return self._store.is_paused or self._is_held

    def _fails_to_commit(self) -> bool:
        """STORE_APPEND: the group of now is not committed yet."""
        faults = self._store.faults
        if faults is None:
            return False
        is_late, self._is_late = self._is_late, False
        fault = None if is_late else faults.choose(FaultPoint.STORE_APPEND)
        if fault is None:
            return False
        if fault.action is FaultAction.KILL:
            die()
        self._pending_bytes = sum(record.weight for record in self._pending)
        if fault.action is FaultAction.DELAY:
            self._is_late = self._is_mute = True
            self._later(fault, self._speak)
            return True
        self._is_held = True
        self.begin_outage(str(error_of(fault)))
        self._later(fault, self._come_back)
        return True

    def _pass_by_committed(self) -> None:
        """STORE_COMMITTED: nobody hears of this group for now, and the next one waits."""
        faults = self._store.faults
        fault = None if faults is None else faults.choose(FaultPoint.STORE_COMMITTED)
        if fault is None:
            return
        if fault.action is FaultAction.KILL:
            die()
        self._is_mute = True
        self._later(fault, self._speak)

    def _later(self, fault: Injected, call: Callable[[], None]) -> None:
        """Call when what the fault stands for is over: soon after a try that failed, never after a hang."""
        if fault.action is not FaultAction.HANG:
            seconds = fault.seconds or _TRY_AGAIN_SECONDS
            self._backend.start_task(partial(_after, seconds, call), "sentient-core faults of a memory store")

    def _come_back(self) -> None:
        self._is_held = False
        if not self._store.is_paused:
            self.end_outage()
        self.settle()

    def _speak(self) -> None:
        self._is_mute = False
        self._announce()
        self._settle_all()

    def begin_outage(self, cause: str = _PAUSED) -> None:
        """The store was paused, or goes wrong."""
        self._away_since, self._away_for = self._backend.now(), cause
        self._tell(Outage(cause=cause, is_over=False))

    def end_outage(self) -> None:
        """The store goes on."""
        seconds = self._backend.now() - self._away_since
        self._tell(Outage(cause=self._away_for, is_over=True, seconds=seconds, records=len(self._pending)))

    def _tell(self, outage: Outage) -> None:
        if self._on_outage is not None and self._failure is None:
            with suppress(RuntimeError):  # the loop of an abandoned start has ended: nobody to tell
                self._backend.call_threadsafe(self._on_outage, outage)

    def fence(self) -> None:
        """Another start took the records over."""
        error = Fenced(self._system)
        self._end(error)
        if self._on_fenced is not None and self._final is None:
            with suppress(RuntimeError):  # the loop of an abandoned start has ended: nobody to tell
                self._backend.call_threadsafe(self._on_fenced, error)

    def _end(self, error: StoreError) -> None:
        self._failure = error
        self._is_refusing = True
        self._line.fail(error)
        self._room_line.fail(error)


async def _after(seconds: float, call: Callable[[], None]) -> None:
    await anyio.sleep(seconds)
    call()


class _Records:
    """What one system has stored."""

    def __init__(self, keep_events: int) -> None:
        self.owner: MemoryJournal | None = None
        self.epoch: int = 0
        self.is_clean: bool = True
        self.known: dict[str, int] = {}
        self.restarts: dict[str, int] = {}
        self.events: deque[Placed[Event]] = deque(maxlen=keep_events)
        self.agents: dict[str, AgentEffect] = {}
        self.book: RowBook = RowBook(self.agents)
        self.turns: dict[str, tuple[Placed[Checkpoint], ...]] = {}
        self.named: dict[str, list[Placed[Checkpoint]]] = {}
        self.states: dict[str, Placed[Checkpoint]] = {}
        self.inbox: dict[str, dict[Key, PendingEffect]] = {}
        """By path."""
        self.durables: dict[str, DurableActor] = {}
        self.timers: dict[tuple[str, str], TimerSet] = {}
        self.accounts: deque[tuple[int, Mapping[str, Account]]] = deque()
        """When a window was committed, and what it did to the messages of durable actors."""
        self.carried: Carried = Carried()
        """What the windows before those have led to."""
        self.counted: dict[str, Counts] = {}
        self.ids: dict[IdKey, Outcome] = {}
        self.memos: dict[Key, dict[str, Outcome]] = {}
        self.letters: dict[str, LetterEffect] = {}
        self.forgotten: dict[str, Pruned] = {}
        """What that came to, for who waits for it."""
        self.number: int = 0
        self.pruned: Place = (0, 0)
        """The last place of which retention, or want of room, has taken an event."""

    def find_letters(
        self, matching: DeadLetterFilter, status: LetterStatus | None
    ) -> list[tuple[str, LetterEffect, Placed[DeadLetterRecord]]]:
        """Dead letters, with their ids and their last deaths, the one that died first at the head."""
        found = [
            (id_, letter, letter.death)
            for id_, letter in self.letters.items()
            if letter.death is not None and meets(letter, letter.death.record, matching, status)
        ]
        return sorted(found, key=lambda item: (item[2].record.at, item[2].position))

    def timers_due(self) -> dict[str, int]:
        """When the first timer of each actor is due."""
        due: dict[str, int] = {}
        for (path, _), timer in self.timers.items():
            due[path] = min(timer.due_at, due.get(path, timer.due_at))
        return due

    def take(self, entry: Entry, kept_checkpoints: int) -> int:
        """Commit one entry; returns its number."""
        self.number += 1
        self._apply(fold([(self.number, entry)], kept_checkpoints), kept_checkpoints)
        return self.number

    def forget(self, path: str) -> Pruned:
        """Forget all of an actor but its incarnation."""
        states = [self.states.pop(path)] if path in self.states else []
        checkpoints = [*states, *self.turns.pop(path, ()), *self.named.pop(path, ())]
        messages = self.inbox.pop(path, {}).values()
        letters = [id_ for id_, letter in self.letters.items() if _is_to(letter, path)]
        events = [placed for placed in self.events if path in (placed.record.source, placed.record.target)]
        gone = set(map(id, events))
        self.events = deque((at for at in self.events if id(at) not in gone), maxlen=self.events.maxlen)
        self.timers = {key: timer for key, timer in self.timers.items() if key[0] != path}
        self.durables.pop(path, None)
        ids = [self.ids.pop(key) for key in [*self.ids] if key[0] == path]
        memos = [memo for key in [*self.memos] if key[0] == path for memo in self.memos.pop(key).values()]
        self.counted.pop(path, None)
        written = self.book.forget(path)
        checkpoints_asked_for = self.book.forget_agents([path])
        agents = [self.agents.pop(path)] if path in self.agents else []
        return Pruned(
            events=_removed(placed.record.weight for placed in events),
            dead_letters=self._prune_letters(letters),
            checkpoints=_removed(placed.record.weight for placed in checkpoints) + checkpoints_asked_for,
            agents=_removed(agent.last.weight for agent in agents),
            messages=_removed(pending.accepted.record.weight for pending in messages),
            ids=_removed(len(known.payload) for known in ids),
            memos=_removed(len(memo.payload) for memo in memos),
            written=written,
        )

    def _settle(self, key: Key) -> None:
        messages = self.inbox.get(key[0])
        if messages is not None and messages.pop(key, None) is not None and not messages:
            del self.inbox[key[0]]

    def _apply(self, effect: Effect, kept_checkpoints: int) -> None:
        too_many = len(self.events) + len(effect.events) - (self.events.maxlen or 0)
        if too_many > 0:
            self.pruned = max(
                self.pruned, next(islice(chain(self.events, effect.events), too_many - 1, None)).position
            )
        self.events.extend(effect.events)
        merge_letters(self.letters, effect.letters)
        for path in effect.forgotten:
            self.forgotten[path] = self.forget(path)
        self.durables.update(effect.durables)
        for path, agent in effect.agents.items():
            known = self.agents.get(path)
            self.agents[path] = agent if known is None else later_agent(known, agent)
        self.book.delete(effect.rows_gone)
        self.book.apply(effect.rows, effect.agents)
        for path, incarnation in effect.incarnations.items():
            self.known[path] = max(incarnation, self.known.get(path, 0))
        for path, restarts in effect.restarts.items():
            self.restarts[path] = max(restarts, self.restarts.get(path, 0))
        for path, placed in effect.turns.items():
            self.turns[path] = newest((*placed, *self.turns.get(path, ())), kept_checkpoints)
        for checkpoint in effect.named:
            self.named.setdefault(checkpoint.record.path, []).append(checkpoint)
        self.states.update(effect.states)
        for key in effect.settled:
            self._settle(key)
        for key, tries in effect.tried.items():
            messages = self.inbox.get(key[0], {})
            if key in messages:
                messages[key] = PendingEffect(messages[key].accepted, tries)
        for key, pending in effect.pending.items():
            self.inbox.setdefault(key[0], {})[key] = pending
        for timer_key, timer in effect.timers.items():
            if timer is None:
                self.timers.pop(timer_key, None)
            else:
                self.timers[timer_key] = timer
        if effect.accounts:
            self.accounts.append((time.time_ns(), effect.accounts))
        self.ids.update(effect.ids)
        for key in effect.memos_gone:
            self.memos.pop(key, None)
        for key, memos in effect.memos.items():
            self.memos.setdefault(key, {}).update(memos)
        for path, count in effect.counted.items():
            self.counted[path] = counted_on(self.counted.get(path), count.epoch, count.record.numbers)
        if effect.epoch is not None:
            self.epoch = effect.epoch
        if effect.is_clean is not None:
            self.is_clean = effect.is_clean

    def prune(self, retention: Retention, now: int, held: int) -> Pruned:
        """Forget what is due; of the events, up to the commit `held`."""
        before = cutoffs(retention, now)
        return Pruned(
            events=self.prune_events(before.events, retention.events_bytes, held),
            dead_letters=self._prune_letters(
                due_letters(self._letter_facts(), before, retention.settled_letters_bytes)
            ),
            checkpoints=self._prune_checkpoints(before.ended, retention.checkpoint_bytes),
            agents=self._prune_agents(before.ended),
            ids=self._prune_ids(before.ids),
            memos=self._prune_memos(before.ids),
            accounts=self._carry(before.accounts),
            written=self.book.prune(retention, before),
        )

    def _carry(self, before: int) -> Removed:
        books, count = Books(), 0
        books.start_from(self.carried)
        while self.accounts and self.accounts[0][0] < before:
            books.enter(self.accounts.popleft()[1])
            count += 1
        self.carried = books.carry()
        return Removed(count)

    def prune_events(self, before: int, limit: int | None, held: int) -> Removed:
        """Forget the events from before a time, and those that are more than `limit` bytes: the oldest."""
        young = next(
            (i for i, placed in enumerate(self.events) if placed.record.at >= before), len(self.events)
        )
        sizes = [placed.record.weight for placed in self.events]
        count = young + oldest_beyond(sizes[young:], limit)
        count = min(count, next((i for i, at in enumerate(self.events) if at.number > held), count))
        for _ in range(count):
            self.pruned = self.events.popleft().position
        return _removed(sizes[:count])

    def _prune_ids(self, before: int) -> Removed:
        due = [
            key
            for key, known in self.ids.items()
            if known.at < before and known.kind is not OutcomeKind.PENDING
        ]
        return _removed(len(self.ids.pop(key).payload) for key in due)

    def _prune_memos(self, before: int) -> Removed:
        due = [
            (key, name)
            for key, memos in self.memos.items()
            if key not in self.inbox.get(key[0], {})
            for name, memo in memos.items()
            if memo.at < before
        ]
        gone = [self.memos[key].pop(name) for key, name in due]
        self.memos = {key: memos for key, memos in self.memos.items() if memos}
        return _removed(len(memo.payload) for memo in gone)

    def _letter_facts(self) -> list[LetterFacts]:
        return [
            LetterFacts(id_, letter.death.record.at, letter.settled_at, letter.death.record.weight)
            for id_, letter in self.letters.items()
            if letter.death is not None
        ]

    def _prune_letters(self, ids: Iterable[str]) -> Removed:
        gone = [self.letters.pop(id_) for id_ in ids]
        return _removed(letter.death.record.weight for letter in gone if letter.death is not None)

    def _ended(self, before: int) -> list[str]:
        rows = {path: (agent.last.status, agent.last.at) for path, agent in self.agents.items()}
        return [path for path in ended_actors(rows, self.epoch, before) if path not in self.inbox]

    def _prune_checkpoints(self, before: int, limit: int | None) -> Removed:
        ended = self._ended(before)
        gone = [placed for path in ended for placed in self.turns.pop(path, ())]
        gone += [self.states.pop(path) for path in ended if path in self.states]
        for path, turns in self.turns.items():
            kept = spare_checkpoints([len(placed.record.state) for placed in turns], limit)
            gone += turns[kept:]
            self.turns[path] = turns[:kept]
        return _removed(placed.record.weight for placed in gone)

    def _prune_agents(self, before: int) -> Removed:
        ended = set(self._ended(before))
        timers = [self.timers.pop(key) for key in [*self.timers] if key[0] in ended]
        agents = [self.agents.pop(path).last for path in ended]
        self.book.forget_agents(ended)
        return _removed(record.weight for record in (*timers, *agents))


def _is_to(letter: LetterEffect, path: str) -> bool:
    return letter.death is not None and letter.death.record.recipient == path


def _removed(weights: Iterable[int]) -> Removed:
    known = list(weights)
    return Removed(len(known), sum(known))
