"""Timers of a durable actor that are set in the store: they are due by wall clock, and survive everything.

Setting and cancelling one is part of the turn in which that is done. When it is due, one record takes it
away (or sets it for the next time) and accepts its message: so a tick is never lost and never comes twice,
and from then on it is a message like any other. It belongs to the actor, not to an incarnation; it ends with
the actor's end for good.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec

from sentient_core.actors import delivery, injecting
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.posting import FOR_EVER
from sentient_core.actors.recoverable import check_recoverable
from sentient_core.actors.stored_letter import decoded
from sentient_core.codec import tag_of
from sentient_core.errors import InvalidArgument, NotRedrivable
from sentient_core.faults.points import FaultAction
from sentient_core.store.records import Accepted, TimerGone, TimerSet, Turn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Event

__all__ = ["DurableTimers"]

AGAIN_SECONDS = 1.0
"""A tick that the store has no room for, or whose actor takes nothing more, is tried again so much later."""

_SECOND = 1_000_000_000


class DurableTimers:
    """The durable timers of one actor, by key."""

    __slots__ = ("_cell", "_timers")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timers: dict[str, _Timer] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._timers

    @property
    def keys(self) -> tuple[str, ...]:
        """Of those that are set, in the order in which they were."""
        return tuple(self._timers)

    def set(
        self, turn: OpenTurn, key: object, seconds: float, message: object, interval: float | None
    ) -> None:
        """Have `message` in `seconds`, and every `interval` after that, once the turn has ended well."""
        if not isinstance(key, str):
            raise InvalidArgument(f"the key of a durable timer is stored: it must be a string, not {key!r}")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(
                f"the key of a durable timer is stored: {key!r} is no valid Unicode"
            ) from None
        if max(seconds, interval or 0.0) > FOR_EVER:
            raise InvalidArgument(f"a durable timer is due within {FOR_EVER:g} seconds, not in {seconds:g}")
        cell = self._cell
        check_recoverable(cell.blueprint, message, cell.path)
        record = TimerSet(
            path=cell.path,
            key=key,
            due_at=time.time_ns() + round(seconds * _SECOND),
            interval=0 if interval is None else round(interval * _SECOND),
            message_type=tag_of(type(message)),
            payload=cell.runtime.mirror.encoded(message, cell.path),
        )
        new, old = _Timer(cell, self, record, message), self._timers.pop(key, None)
        self._timers[key] = new

        def begin() -> None:
            if old is not None:
                old.cancel()
            if self._timers.get(key) is new:
                new.start(seconds)

        turn.record(record, at_close=begin, undo=lambda: self._back_to(key, old))

    def cancel(self, turn: OpenTurn, key: str) -> None:
        """End the timer under a key, once the turn has ended well."""
        old = self._timers.pop(key)
        gone = TimerGone(self._cell.path, key)
        turn.record(gone, at_close=old.cancel, undo=lambda: self._back_to(key, old))

    def take_up(self, records: Iterable[TimerSet], damaged: Iterable[str] = ()) -> None:
        """Go on with those that the store has, as far as they are not known here.

        An alert names each that cannot be gone on with. It stays stored as it is, until one is set under
        its key.
        """
        cell = self._cell
        for key in damaged:
            if key not in self._timers:
                self._leave(key, "its stored bytes do not match their digest: they were changed, or are torn")
        for record in records:
            if record.key in self._timers:
                continue
            try:
                message = decoded(record.message_type, record.payload, cell.blueprint, cell.runtime.codec)
            except NotRedrivable as error:
                self._leave(record.key, error.why)
                continue
            self._timers[record.key] = timer = _Timer(cell, self, record, message)
            timer.start(max(0.0, (record.due_at - time.time_ns()) / _SECOND))

    def end(self, *, are_kept: bool) -> None:
        """The actor has ended for good. `are_kept`: for another start of it."""
        timers, self._timers = self._timers, {}
        for key, timer in timers.items():
            timer.cancel()
            if not are_kept:
                self._cell.runtime.mirror.journal.append(TimerGone(self._cell.path, key), force=True)

    def _leave(self, key: str, why: str) -> None:
        report_alert(self._cell, "durable timer unusable", f"'{key}': {why}", key=key)

    def remove(self, timer: _Timer) -> None:
        """It has sent its last message."""
        if self._timers.get(timer.record.key) is timer:
            del self._timers[timer.record.key]

    def _back_to(self, key: str, old: _Timer | None) -> None:
        self._timers.pop(key, None)
        if old is not None and not old.is_over:
            self._timers[key] = old


class _Timer:
    """One of them. While the process lives it goes by the loop's clock; the record has the wall clock's."""

    __slots__ = ("_alarm", "_cell", "_due", "_last", "_message", "_timers", "is_over", "record")

    def __init__(self, cell: Cell, timers: DurableTimers, record: TimerSet, message: object) -> None:
        self._cell = cell
        self._timers = timers
        self.record: TimerSet = record
        self._message = message
        self._due = 0.0
        self._alarm: Alarm | None = None
        self._last: Event | None = None
        """Of the last tick."""
        self.is_over: bool = False
        """It has sent its last message."""

    def start(self, seconds: float) -> None:
        self._due = self._cell.runtime.backend.now() + seconds
        self._wait(seconds)

    def cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _wait(self, seconds: float, *, is_delayed: bool = False) -> None:
        ring = self._ring_late if is_delayed else self._ring
        self._alarm = self._cell.runtime.timekeeper.after(seconds, ring)

    def _ring_late(self) -> None:
        self._ring(is_delayed=True)

    def _ring(self, *, is_delayed: bool = False) -> None:
        cell, inbox, record = self._cell, self._cell.inbox, self.record
        if inbox is None:
            return
        if not (cell.mailbox.is_open and inbox.has_room()):
            self._wait(AGAIN_SECONDS, is_delayed=is_delayed)
            return
        faults = cell.runtime.faults
        is_queued = self._last is not None and inbox.is_pending(self._last)
        fault = None
        if faults is not None and not is_delayed and not is_queued:
            fault = injecting.ring(cell, faults, self._message)
        if fault is not None and fault.action is FaultAction.DELAY:
            self._wait(fault.seconds, is_delayed=True)
            return
        again = self._set_again()
        if fault is not None:  # its tick is dropped
            cell.runtime.mirror.journal.append(again or TimerGone(cell.path, record.key), force=True)
        elif not is_queued:  # one tick at a time is enough
            self._last = event = cell.runtime.mirror.message(
                self._message, cell.path, cell.path, cell.incarnation, 0, 0, record.payload
            )
            after = TimerGone(cell.path, record.key) if again is None else again
            cell.runtime.mirror.journal.append(Turn((Accepted(event), after)), force=True)
            entry: Entry = (delivery.content_for(cell, self._message), cell, None, event)
            inbox.expect(entry)
            delivery.put_anyway(cell, entry)
        if again is None:
            self.is_over = True  # also for a turn that has replaced it, and fails
            self._timers.remove(self)

    def _set_again(self) -> TimerSet | None:
        """Set a periodic one for its next time; what was missed is skipped. None: it was to ring once."""
        record = self.record
        if not record.interval:
            return None
        now, interval = self._cell.runtime.backend.now(), record.interval / _SECOND
        times = math.floor(max(now - self._due, 0.0) / interval) + 1
        self.record = msgspec.structs.replace(record, due_at=record.due_at + times * record.interval)
        self._due += times * interval
        self._wait(self._due - now)
        return self.record
