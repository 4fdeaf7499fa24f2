"""The tail: what is accepted and not yet in its rows, shared by a journal's two sides.

`Intake` is the hand-over from the caller's loop to the store thread. Both sides read all of it, and
every field has one writer, so plain attributes do and no lock is taken. `Tail` belongs to the store
thread: committed entries as exact bytes until they are projected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from sentient_core.store.fold import Effect, Placed
from sentient_core.store.protocols import RESERVE, Backlog, JournalOptions
from sentient_core.store.records import (
    Accepted,
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    Entry,
    LetterRedriven,
    Record,
    flat,
)
from sentient_core.store.tail_inboxes import Place, TailInbox, TailInboxes

__all__ = ["LEAST_WEIGHT", "Intake", "Tail", "TailEntry", "decode_entry", "encode_entry"]

encode_entry: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
decode_entry: Callable[[bytes], Entry] = msgspec.msgpack.Decoder(Entry).decode

LEAST_WEIGHT = Record().weight
"""Where not even this fits, the tail is full."""

_UNLIMITED = 2**62


class Intake:
    """Records on their way to the store thread, and how far each stage has come.

    Counts include what recovery found, so that accepted, committed and projected compare.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "committed",
        "count_in",
        "is_asleep",
        "is_down",
        "projected",
        "records",
        "room_bytes",
        "room_records",
    )

    def __init__(self, options: JournalOptions, found_records: int, found_bytes: int) -> None:
        # Written by the caller's side:
        self.records: deque[AnyRecord] = deque()
        self.count_in: int = found_records
        self.bytes_in: int = found_bytes
        # Written by the store thread (`is_asleep` is cleared by whoever wakes it):
        self.committed: int = found_records
        self.projected: int = 0
        self.bytes_out: int = 0
        self.room_bytes: int = options.tail_bytes
        self.room_records: int = _UNLIMITED
        """Records that take `tail_seconds` to project, at the measured rate."""
        self.is_asleep: bool = False
        self.is_down: bool = False

    def has_room(self, weight: int) -> bool:
        """One more record of this weight fits into the bounds."""
        return (
            self.bytes_in - self.bytes_out + weight <= self.room_bytes
            and self.count_in - self.projected < self.room_records
        )

    def has_reserve(self, weight: int) -> bool:
        """One more record of this weight fits into the bounds and what is kept for checkpoints."""
        return self.bytes_in - self.bytes_out + weight <= self.room_bytes * (
            1 + RESERVE
        ) and self.count_in - self.projected < self.room_records * (1 + RESERVE)

    def backlog(self) -> Backlog:
        """How far the store is behind."""
        return Backlog(
            records=self.count_in - self.projected,
            bytes=self.bytes_in - self.bytes_out,
            uncommitted=self.count_in - self.committed,
            is_full=not self.has_room(LEAST_WEIGHT),
            is_down=self.is_down,
        )


class TailEntry(msgspec.Struct, frozen=True, gc=False):
    """A committed journal entry that is not yet projected."""

    number: int
    body: bytes
    records: int
    weight: int
    at: float = 0.0
    """When it was committed, or found; monotonic."""


class Tail:
    """Committed entries in order: first those that wait, behind them the projector's open windows."""

    def __init__(self, entries: Iterable[TailEntry] = ()) -> None:
        self.waiting: deque[TailEntry] = deque()
        self.waiting_records: int = 0
        self._bodies: dict[int, TailEntry] = {}
        self._checkpoints: dict[str, list[Place]] = {}
        self._inboxes = TailInboxes()
        for entry in entries:
            self.add(entry, decode_entry(entry.body))

    def add(self, entry: TailEntry, content: Entry) -> None:
        """A new entry; `content` is what is in its body."""
        self.waiting.append(entry)
        self.waiting_records += entry.records
        self._bodies[entry.number] = entry
        for index, record in enumerate(flat(content.records)):
            if isinstance(record, Checkpoint):
                if record.kind is CheckpointKind.TURN:
                    self._checkpoints.setdefault(record.path, []).append((entry.number, index))
                elif record.kind is CheckpointKind.STATE:
                    self._inboxes.note_state(record.path, (entry.number, index))
            else:
                self._inboxes.note(record, content.epoch, (entry.number, index))

    def take(self, max_records: int, max_bytes: int) -> list[TailEntry]:
        """The next waiting entries, at least one if any waits, within the bounds otherwise."""
        window: list[TailEntry] = []
        records = weight = 0
        while self.waiting:
            entry = self.waiting[0]
            records += entry.records
            weight += entry.weight
            if window and (records > max_records or weight > max_bytes):
                break
            window.append(self.waiting.popleft())
            self.waiting_records -= entry.records
        return window

    def put_back(self, window: Iterable[TailEntry]) -> None:
        """Entries taken last and not projected wait again."""
        for entry in reversed(list(window)):
            self.waiting.appendleft(entry)
            self.waiting_records += entry.records

    def forget(self, window: Iterable[TailEntry], effect: Effect) -> None:
        """These entries are projected; `effect` is theirs."""
        last = 0
        for entry in window:
            last = entry.number
            del self._bodies[entry.number]
            self._inboxes.forget(entry.number)
        self._inboxes.forget_states(effect.states, last)
        self._inboxes.forget_timers(effect.timers, last)
        for path in effect.turns:
            left = [place for place in self._checkpoints.get(path, ()) if place[0] > last]
            if left:
                self._checkpoints[path] = left
            else:
                self._checkpoints.pop(path, None)

    def checkpoints(self, path: str, limit: int) -> list[Placed[Checkpoint]]:
        """The newest unprojected `turn` checkpoints of an actor, newest first."""
        return self._checkpoints_at(reversed(self._checkpoints.get(path, ())[-limit:]))

    def state(self, path: str) -> Placed[Checkpoint] | None:
        """The unprojected state of a durable actor, if there is one."""
        place = self._inboxes.states.get(path)
        return None if place is None else self._checkpoints_at([place])[0]

    def inbox(self, path: str) -> TailInbox:
        """What is unprojected of a durable actor's messages, at this moment."""
        inboxes = self._inboxes
        places = inboxes.accepted.get(path, {})
        accepted = {
            key: Placed(*placed.position, key[1], record)
            for key, placed in zip(places, self._read(places.values()), strict=True)
            if (record := _accepted(placed.record)) is not None
        }
        return TailInbox(
            accepted=accepted,
            settled=frozenset(inboxes.settled.get(path, ())),
            tried=dict(inboxes.tried.get(path, {})),
            timers={key: timer for key, (_, timer) in inboxes.timers.get(path, {}).items()},
        )

    def _checkpoints_at(self, places: Iterable[Place]) -> list[Placed[Checkpoint]]:
        found = self._read(places)
        return [Placed(*p.position, p.epoch, p.record) for p in found if isinstance(p.record, Checkpoint)]

    def _read(self, places: Iterable[Place]) -> list[Placed[AnyRecord]]:
        """The records at these places; those of one entry, read one after the other, cost it once."""
        found: list[Placed[AnyRecord]] = []
        at: tuple[int, Entry, list[AnyRecord]] | None = None
        for number, index in places:
            if at is None or at[0] != number:
                entry = decode_entry(self._bodies[number].body)
                at = number, entry, list(flat(entry.records))
            found.append(Placed(number, index, at[1].epoch, at[2][index]))
        return found


def _accepted(record: AnyRecord) -> Accepted | None:
    if isinstance(record, LetterRedriven):
        return record.accepted
    return record if isinstance(record, Accepted) else None
