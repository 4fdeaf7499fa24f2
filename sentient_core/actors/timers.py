"""Keyed timers: messages that an actor sends itself later, once or again and again.

A timer belongs to the incarnation that set it. What it sends is a `Notice`: a tick that is still queued
when its timer is cancelled, replaced or has ended with its incarnation is discarded. A timer has at most
one tick in the queue, so ticks need no room; what a slow actor has missed is skipped. The times of a
periodic one are multiples of its interval, reckoned from the first, however late a tick is handled.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING

from sentient_core.actors import delivery, injecting
from sentient_core.actors.notices import Notice, check_message, check_seconds, notice_entry
from sentient_core.errors import InvalidArgument
from sentient_core.faults.points import FaultAction

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.actors.timekeeper import Alarm

__all__ = ["Timer", "Timers"]

LEAST_INTERVAL = 0.001
"""Seconds; a shorter one would only keep the event loop busy."""


class Timers:
    """The timers of an actor, each under a key of its choice: `self.context.timers`.

    They are for the actor's own handlers and hooks; elsewhere every call raises NotInTurn, and
    StaleIncarnation for an instance that has ended. All of them end with the incarnation: set them in
    `on_start` to have them in the next one as well. A tick is a message like any other, from the actor to
    itself: it waits its turn in the mailbox, but a full one does not keep it out. An actor that drains
    gets no more of them.
    """

    __slots__ = ("_cell", "_incarnation")

    def __init__(self, cell: Cell, incarnation: int) -> None:
        self._cell = cell
        self._incarnation = incarnation

    def once(self, key: Hashable, seconds: float, message: object, *, durable: bool = False) -> None:
        """Have `message` in `seconds` from now, once. A timer under the same key is replaced.

        `durable`: for durable actors. It is part of the turn that sets it, belongs to the actor instead of
        the incarnation, is due by wall clock, and survives the process: one that was due meanwhile sends
        its message when the actor is there again. Its key must be a string. A tick that is queued is not
        taken back by `cancel`.

        Raises InvalidArgument, and UnencodableMessage if the actor is mirrored.
        """
        life = self._enter()
        check_seconds("seconds", seconds)
        check_message(self._cell, message)
        if durable:
            self._set_durably(life, key, seconds, message, None)
            return
        self._cancel_durable(key)
        _start(life, key, Timer(life, key, message, None), seconds)

    def every(
        self,
        key: Hashable,
        seconds: float,
        message: object,
        *,
        first: float | None = None,
        durable: bool = False,
    ) -> None:
        """Have `message` every `seconds`, the first time after `first` (None: after `seconds`).

        The ticks do not drift, and never is more than one of them queued: a tick that is due while the
        one before it still waits is skipped. A timer under the same key is replaced. `durable` is as of
        `once`; what was due while nobody was there is one tick. Raises InvalidArgument, also for less than a
        millisecond, and UnencodableMessage if the actor is mirrored.
        """
        life = self._enter()
        check_seconds("seconds", seconds, least=LEAST_INTERVAL)
        if first is not None:
            check_seconds("first", first)
        check_message(self._cell, message)
        begins = seconds if first is None else first
        if durable:
            self._set_durably(life, key, begins, message, seconds)
            return
        self._cancel_durable(key)
        _start(life, key, Timer(life, key, message, seconds), begins)

    def cancel(self, key: Hashable) -> bool:
        """End a timer; a tick of it that is queued is discarded. False: there is none under the key."""
        timer = self._enter().timers.pop(_checked(key), None)
        if timer is None:
            return self._cancel_durable(key)
        was_active = timer.is_active
        timer.cancel()
        return was_active

    def is_active(self, key: Hashable) -> bool:
        """There is a timer under the key with a tick to come, or one that waits in the mailbox."""
        timer = self._enter().timers.get(_checked(key))
        if timer is None:
            return self._cell.inbox is not None and key in self._cell.inbox.timers
        return timer.is_active

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """The keys of the active timers, in the order in which they were set; first those of durable ones."""
        own = tuple(key for key, timer in self._enter().timers.items() if timer.is_active)
        return own if self._cell.inbox is None else (*self._cell.inbox.timers.keys, *own)

    def _set_durably(
        self, life: Incarnation, key: Hashable, seconds: float, message: object, interval: float | None
    ) -> None:
        inbox, turn = self._cell.inbox, delivery.open_turn()
        if inbox is None or turn is None:
            raise InvalidArgument(
                f"a durable timer is for durable actors, and '{self._cell.path}' is none: leave durable=True "
                f'out, or write durability = "durable" in {self._cell.blueprint.cls.__qualname__}'
            )
        inbox.timers.set(turn, key, seconds, message, interval)
        replaced = life.timers.pop(key, None)
        if replaced is not None:
            replaced.cancel()

    def _cancel_durable(self, key: Hashable) -> bool:
        inbox, turn = self._cell.inbox, delivery.open_turn()
        if inbox is None or turn is None or not isinstance(key, str) or key not in inbox.timers:
            return False
        inbox.timers.cancel(turn, key)
        return True

    def _enter(self) -> Incarnation:
        return self._cell.enter(self._incarnation, "the timers")


class Timer:
    """One timer of one incarnation."""

    __slots__ = ("_alarm", "_due", "_interval", "_key", "_life", "_message", "_tick", "is_over")

    def __init__(self, life: Incarnation, key: Hashable, message: object, interval: float | None) -> None:
        self._life = life
        self._key = key
        self._message = message
        self._interval = interval
        self._due = 0.0
        self._alarm: Alarm | None = None
        # Weak, since the queue may lose a tick: an overflow policy drops the oldest message.
        self._tick: weakref.ref[_Tick] | None = None
        self.is_over: bool = False

    @property
    def is_active(self) -> bool:
        """There is a tick to come, or one is queued."""
        return not self.is_over and (self._is_queued or (self._alarm is not None and self._alarm.is_set))

    @property
    def _is_queued(self) -> bool:
        return self._tick is not None and self._tick() is not None

    def start(self, seconds: float) -> None:
        """Let it ring in `seconds`."""
        self._due = self._life.cell.runtime.backend.now() + seconds
        self._set_alarm()

    def cancel(self) -> None:
        """End it; a tick that is queued will be discarded."""
        self.is_over = True
        if self._alarm is not None:
            self._alarm.cancel()

    def accept_tick(self) -> bool:
        """A tick's turn has come. False: the timer is over."""
        self._tick = None
        if self.is_over:
            return False
        if self._interval is None:
            self.is_over = True
            del self._life.timers[self._key]
        return True

    def _set_alarm(self) -> None:
        runtime = self._life.cell.runtime
        self._alarm = runtime.timekeeper.after(self._due - runtime.backend.now(), self._ring)

    def _ring(self) -> None:
        cell, interval = self._life.cell, self._interval
        if interval is not None:
            late = cell.runtime.backend.now() - self._due
            self._due += interval * (math.floor(max(late, 0.0) / interval) + 1)
            self._set_alarm()
            if self._is_queued:
                return
        if not cell.mailbox.is_open:
            return
        runtime = cell.runtime
        fault = None if runtime.faults is None else injecting.ring(cell, runtime.faults, self._message)
        if fault is None:
            self._put()
        elif fault.action is FaultAction.DELAY:
            later = runtime.timekeeper.after(fault.seconds, self._put)
            self._alarm = later if interval is None else self._alarm
        else:
            self.accept_tick()  # as if it had come

    def _put(self) -> None:
        cell = self._life.cell
        if self.is_over or self._is_queued or not cell.mailbox.is_open:
            return
        tick = _Tick(self, self._message)
        entry = notice_entry(self._life, tick, cell, "timer")
        if entry is not None:
            self._tick = weakref.ref(tick)
            delivery.put_anyway(cell, entry)


class _Tick(Notice):
    __slots__ = ("__weakref__", "_timer")

    def __init__(self, timer: Timer, message: object) -> None:
        super().__init__(message)
        self._timer = timer

    def accept(self) -> bool:
        return self._timer.accept_tick()


def _start(life: Incarnation, key: Hashable, timer: Timer, seconds: float) -> None:
    replaced = life.timers.pop(_checked(key), None)
    if replaced is not None:
        replaced.cancel()
    life.timers[key] = timer
    timer.start(seconds)


def _checked(key: Hashable) -> Hashable:
    try:
        hash(key)
    except TypeError:
        raise InvalidArgument(f"the key of a timer must be hashable, which {key!r} is not") from None
    return key
