"""What the tail knows of the inboxes of durable actors: where the records are that are not in rows yet.

Whoever takes up an actor reads rows and tail. A message that is settled in the tail may still have its
row, so what is settled is remembered until that is projected, whether the message was accepted in the tail or
before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from sentient_core.store.fold import Placed
from sentient_core.store.records import (
    Accepted,
    AnyRecord,
    DeadLetterRecord,
    Forgotten,
    Key,
    LetterRedriven,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
)

__all__ = ["Place", "TailInbox", "TailInboxes"]

T = TypeVar("T")

Place: TypeAlias = tuple[int, int, int, int]
"""Number of the journal entry, index within it; which of its records that is in, and as which part."""

_LATER: Place = (2**62, 0, 0, 0)


class TailInbox(msgspec.Struct, frozen=True):
    """What the tail knows of the messages to one actor."""

    accepted: Mapping[Key, Placed[Accepted]]
    """In the order they were accepted."""
    settled: frozenset[Key]
    tried: Mapping[Key, int]
    timers: Mapping[str, TimerSet | None]
    """By key; None: it is gone."""


class TailInboxes:
    """The places of records that are about messages to durable actors. Belongs to the store thread."""

    def __init__(self) -> None:
        self.accepted: dict[str, dict[Key, Place]] = {}
        self.settled: dict[str, dict[Key, int]] = {}
        """With the number of the entry that says so."""
        self.tried: dict[str, dict[Key, int]] = {}
        self.timers: dict[str, dict[str, tuple[int, TimerSet | None]]] = {}
        """By path and key, with the number of the entry that says so; None: it is gone."""
        self.states: dict[str, Place] = {}
        """Of the last state of an actor that was written whole."""
        self.deltas: dict[str, Place] = {}
        """Of what that has become since, or one of before the tail has."""
        self._keys: dict[int, list[Key]] = {}
        """What an entry is about, for when it is projected."""

    def note(self, record: AnyRecord, epoch: int, place: Place) -> None:
        """A record of an entry of this epoch."""
        if isinstance(record, Accepted):
            self._accept((record.event.target or "", epoch, record.event.seq), place)
        elif isinstance(record, Settled):
            self._settle((record.path, record.epoch or epoch, record.seq), place)
        elif isinstance(record, DeadLetterRecord) and record.was_pending:
            self._settle((record.recipient, record.epoch or epoch, record.seq), place)
        elif isinstance(record, Tried):
            key = (record.path, record.epoch or epoch, record.seq)
            self.tried.setdefault(record.path, {})[key] = record.tries
            self._keys.setdefault(place[0], []).append(key)
        elif isinstance(record, TimerSet):
            self.timers.setdefault(record.path, {})[record.key] = place[0], record
        elif isinstance(record, TimerGone):
            self.timers.setdefault(record.path, {})[record.key] = place[0], None
        elif isinstance(record, LetterRedriven) and record.accepted is not None:
            self._accept((record.accepted.event.target or "", record.epoch, record.seq), place)
        elif isinstance(record, Forgotten):
            # The window that it is projected in says nothing of what it has taken away.
            for of_path in (self.accepted, self.settled, self.tried, self.timers, self.states, self.deltas):
                of_path.pop(record.path, None)

    def note_state(self, path: str, place: Place) -> None:
        """The state of a durable actor after a turn."""
        self.states[path] = place
        self.deltas.pop(path, None)

    def note_delta(self, path: str, place: Place) -> None:
        """What that has become since."""
        self.deltas[path] = place

    def forget(self, number: int) -> None:
        """This entry is in its rows; those before it are forgotten."""
        for key in self._keys.pop(number, ()):
            if self.accepted.get(key[0], {}).get(key, _LATER)[0] <= number:
                _remove(self.accepted, key)
            if self.settled.get(key[0], {}).get(key, number + 1) <= number:
                _remove(self.settled, key)
                _remove(self.tried, key)

    def forget_timers(self, timers: Iterable[tuple[str, str]], last: int) -> None:
        """Everything up to entry `last` is in its rows, these timers among it."""
        for path, key in timers:
            known = self.timers.get(path, {})
            if known.get(key, (last + 1, None))[0] <= last:
                del known[key]
                if not known:
                    del self.timers[path]

    def forget_states(self, paths: Iterable[str], last: int) -> None:
        """Everything up to entry `last` is in its rows, states of these paths among it."""
        for path in paths:
            for places in (self.states, self.deltas):
                if places.get(path, _LATER)[0] <= last:
                    del places[path]

    def _accept(self, key: Key, place: Place) -> None:
        self.accepted.setdefault(key[0], {})[key] = place
        _remove(self.settled, key)  # a redriven one
        self._keys.setdefault(place[0], []).append(key)

    def _settle(self, key: Key, place: Place) -> None:
        _remove(self.accepted, key)
        _remove(self.tried, key)
        self.settled.setdefault(key[0], {})[key] = place[0]
        self._keys.setdefault(place[0], []).append(key)


def _remove(by_path: dict[str, dict[Key, T]], key: Key) -> None:
    keys = by_path.get(key[0])
    if keys is not None and keys.pop(key, None) is not None and not keys:
        del by_path[key[0]]
