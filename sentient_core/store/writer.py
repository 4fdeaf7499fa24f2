"""The writer: takes records as they come, and commits them in groups, one journal entry each.

One commit is in flight, so the next group gathers meanwhile and groups grow with the load. A commit
is retried with the same number and the very same bytes until its outcome is known: the id is the
fence. If it is taken, reading it back says by whom: by this writer (an earlier try that went
unanswered), or by a later start of the same system, and then this one is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sentient_core.causes import in_a_line
from sentient_core.errors import Fenced, StoreError
from sentient_core.logs import runtime_log
from sentient_core.store.backoff import Backoff
from sentient_core.store.deltas import Deltas
from sentient_core.store.engine import Engine
from sentient_core.store.protocols import JournalOptions, Outage
from sentient_core.store.records import AnyRecord, Entry
from sentient_core.store.silence import Silence
from sentient_core.store.storable import storable
from sentient_core.store.superseded import without_superseded
from sentient_core.store.tail import Intake, Tail, TailEntry, encode_entry
from sentient_core.store.wire import Taken, record_id

__all__ = ["Writer"]

_CREATE = """CREATE ONLY $id SET body = $body, writer = $writer, keep = false, records = $records,
    weight = $weight RETURN NONE"""


class Writer:
    """Commits one journal's records. Lives on the store thread."""

    def __init__(
        self,
        engine: Engine,
        system: str,
        writer: str,
        epoch: int,
        number: int,
        intake: Intake,
        tail: Tail,
        options: JournalOptions,
        on_commit: Callable[[float, float, Entry], None],
        on_outage: Callable[[Outage], None],
    ) -> None:
        self._engine = engine
        self._system = system
        self._writer = writer
        self._epoch = epoch
        self._number = number
        self._intake = intake
        self._tail = tail
        self._options = options
        self._on_commit = on_commit
        self._on_outage = on_outage
        self._silence = Silence(engine, self._mark_down)
        self._outage: tuple[str, float] | None = None
        """What the database said when it stopped taking commits, and when."""
        self._group: tuple[TailEntry, Entry] | None = None
        self._untold: tuple[TailEntry, Entry, float, float] | None = None
        """What was committed last, and from when to when, until all who care know of it."""
        self._deltas = Deltas()
        self._wake = asyncio.Event()
        self._log = runtime_log(system, options.log_level)
        self.told: int = number
        """The last commit that all who care know of."""
        self.on_entry: Callable[[int, Entry], None] | None = None
        """Called with each commit, in order, if there is somebody who follows."""

    async def run(self) -> None:
        """Commit until cancelled. Raises Fenced when the records have another owner."""
        backoff = Backoff(0.05)
        while True:
            try:
                while True:
                    await self._step()
                    backoff.reset()
            except Fenced:
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the group in hand is tried again
                self._log.exception("the journal's writer failed, it goes on")
                await backoff.wait()

    def wake(self) -> None:
        """There are records."""
        self._wake.set()

    async def _step(self) -> None:
        if self._group is None:
            self._group = self._take()
        if self._group is None:
            self._wake.clear()
            self._intake.is_asleep = True
            # Looked at again behind the flag: who appends looks at the flag behind the record.
            if self._intake.records:
                self._intake.is_asleep = False
            else:
                # Asleep when others are told: what they append first is not taken before the rest of it.
                self._tell()
                await self._wake.wait()
            return
        entry, content = self._group
        began = time.monotonic()
        if self._untold is not None:
            # In the next pass of the loop, when this one is sent: whoever is told takes Python's lock.
            asyncio.get_running_loop().call_soon(self._tell)
        await self._commit(entry)
        self._group = None
        self._number = entry.number
        self._untold = entry, content, began, time.monotonic()

    def _tell(self) -> None:
        """Let all know of the last commit."""
        if self._untold is not None:
            entry, content, began, ended = self._untold
            self._untold = None
            self._tail.add(entry, content)
            self._intake.committed += entry.records
            # In this order: see `SurrealJournal.follow`.
            self.told = entry.number
            if self.on_entry is not None:
                self.on_entry(entry.number, content)
            self._on_commit(began, ended, content)

    def _take(self) -> tuple[TailEntry, Entry] | None:
        source = self._intake.records
        records: list[AnyRecord] = []
        weight = 0
        while source and len(records) < self._options.group_records:
            more = source[0].weight
            if records and weight + more > self._options.group_bytes:
                break
            records.append(source.popleft())
            weight += more
        if not records:
            return None
        count = len(records)
        left = without_superseded(records)
        content = Entry(self._epoch, tuple(left))
        if left is not records or self._deltas:
            content = Entry(self._epoch, tuple(self._deltas.shortened(left)))
            lean = sum([record.weight for record in content.records])
            self._intake.bytes_out += weight - lean
            weight = lean
        try:
            body = encode_entry(content)
        except Exception:  # noqa: BLE001 - one record that msgpack cannot hold, whatever the reason
            self._deltas.forget()
            mended = [found for record in left if (found := self._mended(record)) is not None]
            content = Entry(self._epoch, tuple(mended))
            body = encode_entry(content)
        return TailEntry(self._number + 1, body, count, weight, time.monotonic()), content

    def _mended(self, record: AnyRecord) -> AnyRecord | None:
        """The record as it can be stored."""
        try:
            encode_entry(mended := storable(record))
        except Exception:  # noqa: BLE001 - whatever msgspec raises for it
            self._log.exception("a record that cannot be encoded is lost", record=type(record).__name__)
            return None
        return mended

    async def _commit(self, entry: TailEntry) -> None:
        backoff = Backoff()
        while True:
            try:
                with self._silence:
                    await self._engine.query(
                        _CREATE,
                        {
                            "id": record_id("journal", self._system, entry.number),
                            "body": entry.body,
                            "writer": self._writer,
                            "records": entry.records,
                            "weight": entry.weight,
                        },
                        rows=1,
                        timeout=self._options.call_timeout,
                    )
            except Taken:
                if await self._owner_of(entry.number) != self._writer:
                    raise Fenced(self._system) from None
            except StoreError as error:
                self._mark_down(error)
                await backoff.wait()
                continue
            self._mark_up()
            return

    async def _owner_of(self, number: int) -> str | None:
        backoff = Backoff()
        while True:
            try:
                (writers,) = await self._engine.query(
                    "SELECT VALUE writer FROM $id", {"id": record_id("journal", self._system, number)}
                )
            except StoreError as error:
                self._mark_down(error)
                await backoff.wait()
            else:
                return str(writers[0]) if writers else None

    def _mark_down(self, error: StoreError) -> None:
        if not self._intake.is_down:
            self._intake.is_down = True
            self._log.warning("the store does not take commits, they are retried", error=str(error))
            cause = in_a_line(error)
            self._outage = (cause, time.monotonic())
            self._on_outage(Outage(cause=cause, is_over=False))

    def _mark_up(self) -> None:
        if self._intake.is_down:
            self._intake.is_down = False
            cause, since = self._outage or ("", time.monotonic())
            seconds = time.monotonic() - since
            records = self._intake.count_in - self._intake.committed
            self._log.info("the store takes commits again", seconds=round(seconds, 3), records=records)
            self._on_outage(Outage(cause=cause, is_over=True, seconds=seconds, records=records))
