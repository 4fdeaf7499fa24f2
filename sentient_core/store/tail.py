"""The tail: what is accepted and not yet in its rows, shared by a journal's two sides.

`Intake` is the hand-over from the caller's loop to the store thread. Both sides read all of it, and
every field has one writer, so plain attributes do and no lock is taken. `Tail` belongs to the store
thread: committed entries as exact bytes until they are projected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

import msgspec

from sentient_core.store.fold import Effect, Placed
from sentient_core.store.outcomes import IdKey, Outcome, note_of, outcome_of
from sentient_core.store.protocols import RESERVE, Backlog, JournalOptions
from sentient_core.store.records import (
    Accepted,
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    Entry,
    Forgotten,
    Key,
    LetterRedriven,
    Noted,
    Record,
    Turn,
)
from sentient_core.store.tail_inboxes import Place, TailInbox, TailInboxes
from sentient_core.store.tail_outcomes import TailOutcomes

__all__ = ["LEAST_WEIGHT", "Intake", "Tail", "TailEntry", "decode_entry", "encode_entry"]

encode_entry: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
decode_entry: Callable[[bytes], Entry] = msgspec.msgpack.Decoder(Entry).decode

_open_entry: Callable[[bytes], tuple[int, list[msgspec.Raw]]] = msgspec.msgpack.Decoder(
    tuple[int, list[msgspec.Raw]]
).decode
"""An entry whose records are still to be decoded."""
_decode_record: Callable[[msgspec.Raw], AnyRecord] = msgspec.msgpack.Decoder(AnyRecord).decode

LEAST_WEIGHT = Record().weight
"""Where not even this fits, the tail is full."""

_UNLIMITED = 2**62

T = TypeVar("T")


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

    def __init__(self) -> None:
        self.waiting: deque[TailEntry] = deque()
        self.waiting_records: int = 0
        self._bodies: dict[int, TailEntry] = {}
        self._checkpoints: dict[str, list[Place]] = {}
        self._inboxes = TailInboxes()
        self._outcomes = TailOutcomes()

    def add(self, entry: TailEntry, content: Entry) -> None:
        """A new entry; `content` is what is in its body."""
        self.waiting.append(entry)
        self.waiting_records += entry.records
        self._bodies[entry.number] = entry
        for index, (outer, inner, record) in enumerate(_parts(content.records)):
            place = entry.number, index, outer, inner
            if isinstance(record, Checkpoint):
                if record.kind is CheckpointKind.TURN:
                    self._checkpoints.setdefault(record.path, []).append(place)
                elif record.kind is CheckpointKind.STATE:
                    self._inboxes.note_state(record.path, place)
                elif record.kind is CheckpointKind.DELTA:
                    self._inboxes.note_delta(record.path, place)
            else:
                if isinstance(record, Forgotten):
                    self._checkpoints.pop(record.path, None)
                self._inboxes.note(record, content.epoch, place)
                self._outcomes.note(record, content.epoch, place)

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
            self._outcomes.forget(entry.number)
        self._inboxes.forget_states({**effect.states, **effect.deltas}, last)
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

    def states(self, paths: Iterable[str]) -> dict[str, Checkpoint]:
        """The unprojected states of durable actors, of those that have one that was written whole."""
        return self._states_at(self._inboxes.states, paths)

    def deltas(self, paths: Iterable[str]) -> dict[str, Checkpoint]:
        """What these, or the projected ones, have become since, as far as it is unprojected."""
        return self._states_at(self._inboxes.deltas, paths)

    def inboxes(self, paths: Iterable[str]) -> dict[str, TailInbox]:
        """What is unprojected of durable actors' messages and timers, at this moment."""
        inboxes = self._inboxes
        places = {path: inboxes.accepted.get(path, {}) for path in paths}
        records = self._read(place for of_path in places.values() for place in of_path.values())
        found = iter(records)
        return {
            path: TailInbox(
                accepted={
                    key: Placed(*placed.position, key[1], record)
                    for key, placed in zip(of_path, found, strict=False)
                    if (record := _accepted(placed.record)) is not None
                },
                settled=frozenset(inboxes.settled.get(path, ())),
                tried=dict(inboxes.tried.get(path, {})),
                timers={key: timer for key, (_, timer) in inboxes.timers.get(path, {}).items()},
            )
            for path, of_path in places.items()
        }

    def outcomes(self, keys: Iterable[IdKey]) -> dict[IdKey, Outcome]:
        """What is unprojected of these ids, as far as there is something."""
        places = {key: place for key in keys if (place := self._outcomes.ids.get(key)) is not None}
        return self._outcomes_at(places)

    def memos(self, key: Key) -> dict[str, Outcome]:
        """What is unprojected of what the handling of a message has come to, by its name."""
        return self._outcomes_at(self._outcomes.memos.get(key, {}))

    def _outcomes_at(self, places: Mapping[T, Place]) -> dict[T, Outcome]:
        found: dict[T, Outcome] = {}
        keys = sorted(places, key=lambda key: places[key])
        for key, placed in zip(keys, self._read(places[key] for key in keys), strict=True):
            known = outcome_of(placed.record)
            if known is not None:
                found[key] = known[1]
            elif isinstance(placed.record, Noted):
                found[key] = note_of(placed.record)
        return found

    def _states_at(self, places: Mapping[str, Place], paths: Iterable[str]) -> dict[str, Checkpoint]:
        found = [place for path in paths if (place := places.get(path)) is not None]
        return {placed.record.path: placed.record for placed in self._checkpoints_at(found)}

    def _checkpoints_at(self, places: Iterable[Place]) -> list[Placed[Checkpoint]]:
        found = self._read(places)
        return [Placed(*p.position, p.epoch, p.record) for p in found if isinstance(p.record, Checkpoint)]

    def _read(self, places: Iterable[Place]) -> list[Placed[AnyRecord]]:
        """The records at these places, in their order. An entry is opened once, whatever is read of it."""
        wanted = list(places)
        found: dict[Place, Placed[AnyRecord]] = {}
        for number, of_entry in groupby(sorted(wanted), key=itemgetter(0)):
            epoch, records = _open_entry(self._bodies[number].body)
            for place in of_entry:
                _, index, outer, inner = place
                record = _decode_record(records[outer])
                if isinstance(record, Turn):
                    record = record.parts[inner]
                found[place] = Placed(number, index, epoch, record)
        return [found[place] for place in wanted]


def _parts(records: Iterable[AnyRecord]) -> Iterator[tuple[int, int, AnyRecord]]:
    """As `flat`, with where each stands."""
    for outer, record in enumerate(records):
        if isinstance(record, Turn):
            for inner, part in enumerate(record.parts):
                yield outer, inner, part
        else:
            yield outer, 0, record


def _accepted(record: AnyRecord) -> Accepted | None:
    if isinstance(record, LetterRedriven):
        return record.accepted
    return record if isinstance(record, Accepted) else None
