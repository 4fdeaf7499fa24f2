"""Time limits of handlers: what is overdue is cancelled at its await and fails with HandlerOverdue.

A limit is worked into the function that stands in the dispatch table of a class (`limited`), or around the
handler of the one message that brings a deadline (`Posted`). So messages without a limit cost nothing, and
one alarm at a time serves all limits of a handler: it looks when the next of them may be over. A heartbeat
only notes the time.

The alarm cancels the turn as a kill does (`Cell.interrupt`). How the handler takes that makes no difference:
unwinding, raising something else, or returning as if nothing had been, it was overdue.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from sentient_core.actors.current import current_cell
from sentient_core.codec import tag_of
from sentient_core.errors import HandlerOverdue, InvalidArgument

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.actors.timekeeper import Alarm

__all__ = [
    "Progress",
    "Pulse",
    "TimeLimits",
    "check_seconds",
    "heartbeat",
    "limited",
    "limits_of",
    "progress_of",
    "within_limits",
]

Function: TypeAlias = Callable[[Any, Any], Any]

_LIMITS = "__sentient_limits__"
_NAMES = ("__module__", "__name__", "__qualname__")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the handler at work has said of itself by `Actor.heartbeat`."""

    value: float | None
    """How much is done, from 0 to 1; None: it has not said."""
    age: float
    """Seconds since its last heartbeat."""
    message_type: str
    """Of the message in hand."""


class Pulse:
    """The heartbeats of one handler."""

    __slots__ = ("at", "message", "value")

    def __init__(self, message: object) -> None:
        self.message: object = message
        self.at: float = 0.0
        """Of the last one, on the loop's clock."""
        self.value: float | None = None


class TimeLimits(msgspec.Struct, frozen=True):
    """How long a handler may take; None: as long as it likes."""

    timeout: float | None = None
    heartbeat: float | None = None

    def or_else(self, other: TimeLimits) -> TimeLimits:
        """These, and where they say nothing the others."""
        return TimeLimits(
            other.timeout if self.timeout is None else self.timeout,
            other.heartbeat if self.heartbeat is None else self.heartbeat,
        )


def limits_of(cls: type[Actor]) -> TimeLimits:
    """What an actor class says of all its handlers. Raises InvalidArgument."""
    where = cls.__qualname__
    return TimeLimits(
        check_seconds(f"{where}.handler_timeout", cls.handler_timeout),
        check_seconds(f"{where}.handler_heartbeat", cls.handler_heartbeat),
    )


def check_seconds(what: str, seconds: Any) -> float | None:
    """A limit: a number of seconds above 0, infinity included, or None. Raises InvalidArgument."""
    if seconds is None:
        return None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return float(seconds)
    raise InvalidArgument(f"{what} must be a number of seconds above 0, or None, not {seconds!r}")


def limited(
    handler: Handler, limits: TimeLimits, *, due: float = math.inf, deadline: float = math.inf
) -> Handler:
    """A handler that keeps to `limits`, and is done at the time `due`, `deadline` seconds after its message.

    Without any limit it is the handler as it was.
    """
    function, is_async = handler
    timeout, silence = limits.timeout or math.inf, limits.heartbeat or math.inf
    if timeout == silence == due == math.inf:
        return handler

    def keep_to_limits(actor: Any, message: Any) -> Any:
        vigil = _Vigil(actor, message, timeout, silence, due, deadline)
        outcome = function(actor, message)
        return vigil.keep(outcome) if hasattr(outcome, "__await__") else outcome

    # The name is in reports; a partial has none.
    keeping = update_wrapper(keep_to_limits, function, _NAMES, ())
    setattr(keeping, _LIMITS, (limits, due, deadline))
    return keeping, is_async


def within_limits(handler: Handler, change: Callable[[Function], Function]) -> Handler:
    """The handler with something else for its function, an async one, that keeps to the same limits."""
    function = handler[0]
    kept: tuple[TimeLimits, float, float] | None = getattr(function, _LIMITS, None)
    if kept is None:
        return change(function), True
    limits, due, deadline = kept
    inner: Handler = vars(function)["__wrapped__"], True
    return limited(within_limits(inner, change), limits, due=due, deadline=deadline)


def heartbeat(cell: Cell, progress: Any) -> None:
    """`Actor.heartbeat`."""
    is_number = isinstance(progress, int | float) and not isinstance(progress, bool)
    if progress is not None and not (is_number and 0 <= progress <= 1):
        raise InvalidArgument(f"progress must be a number from 0 to 1, or None, not {progress!r}")
    runtime = cell.runtime
    if runtime.dispatcher.is_own_thread:
        _beat(cell, cell.incarnation, progress)
    else:
        with suppress(RuntimeError):  # the loop has ended, and the thread goes on
            runtime.backend.call_threadsafe(_beat, cell, cell.incarnation, progress)


def progress_of(cell: Cell) -> Progress | None:
    """What the handler at work has said of itself, if there is one and it has."""
    life, entry = cell.life, cell.in_hand
    pulse = None if life is None else life.pulse
    if pulse is None or entry is None or entry[0] is not pulse.message:
        return None
    age = max(0.0, cell.runtime.backend.now() - pulse.at)
    return Progress(value=pulse.value, age=age, message_type=tag_of(type(pulse.message)))


def _beat(cell: Cell, incarnation: int, progress: float | None) -> None:
    entry = cell.in_hand
    if entry is None or cell.incarnation != incarnation:
        return
    life = cell.belongings()
    pulse = life.pulse
    if pulse is None or pulse.message is not entry[0]:
        pulse = life.pulse = Pulse(entry[0])
    pulse.at = cell.runtime.backend.now()
    if progress is not None:
        pulse.value = float(progress)


class _Vigil:
    """One handler at work, and when it is overdue."""

    __slots__ = ("_actor", "_alarm", "_began", "_cell", "_dues", "_error", "_message", "_silence")

    def __init__(
        self, actor: Actor, message: object, timeout: float, silence: float, due: float, deadline: float
    ) -> None:
        cell = current_cell.get()
        assert cell is not None  # noqa: S101 - a handler runs as its actor
        self._cell = cell
        self._actor = actor
        self._message = message
        self._silence = silence
        self._began = cell.runtime.backend.now()
        self._dues = (self._began + timeout, "timeout", timeout), (due, "deadline", deadline)
        self._alarm: Alarm | None = None
        self._error: HandlerOverdue | None = None
        if cell.life is not None:
            cell.life.pulse = None  # of an earlier message

    async def keep(self, outcome: Awaitable[Any]) -> Any:
        """Await what is left of the handler; what is overdue has not returned, whatever it does."""
        self._set_alarm()
        try:
            result = await outcome
        except Exception as error:
            if self._error is not None:
                raise self._error from error
            raise
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
        if self._error is not None:
            raise self._error
        return result

    def _next(self) -> tuple[float, str, float]:
        """The limit that is over next: when, which, and how many seconds it is."""
        pulse = None if self._cell.life is None else self._cell.life.pulse
        beat = self._began if pulse is None else max(self._began, pulse.at)
        return min(*self._dues, (beat + self._silence, "heartbeat", self._silence))

    def _set_alarm(self) -> None:
        runtime = self._cell.runtime
        left = self._next()[0] - runtime.backend.now()
        self._alarm = runtime.timekeeper.after(max(left, 0.0), self._look)

    def _look(self) -> None:
        cell = self._cell
        when, limit, seconds = self._next()
        lease = cell.scope
        if not cell.is_at_work(self._actor) or lease is None:
            return
        if cell.runtime.backend.now() < when:
            self._set_alarm()
            return
        handler, stack = lease.where()
        error = HandlerOverdue(cell.path, self._message, limit, seconds, handler, stack)
        if cell.interrupt(error):
            self._error = error
