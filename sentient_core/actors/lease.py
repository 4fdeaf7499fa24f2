"""What a worker lends to the actor whose turn is suspended on it: the way to interrupt it, and to leave it.

Design note. Cancelling the worker's scope throws a cancellation into the turn at its await, and at every
await after that one for as long as the turn goes on: anyio's scopes are levels, not edges. Clean-up that
does not shield itself is cut short by that, as it should be. Code that swallows the cancellation and awaits
again, in a loop, would keep the event loop busy for ever, so there is an end to it: a second scope stands
inside of the first, and after `MOST_RESUMED` awaits it shields the turn from any more. What is left is to
wait for it, or to abandon it (`abandoning`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from sentient_core.actors.dispatcher import Schedulable
    from sentient_core.actors.timekeeper import Alarm

__all__ = ["MOST_RESUMED", "Lease", "TurnAbandoned", "frames_of", "where_in"]

MOST_RESUMED = 100
"""Awaits of a cancelled turn that are cancelled, too."""

_MOST_FRAMES = 20


class TurnAbandoned(BaseException):
    """Ends a turn, after all, that its cell had to leave to itself: nothing of it is the cell's any more.

    No code of users is in between.
    """

    def __init__(self, ended_with: BaseException | None = None) -> None:
        super().__init__()
        self.ended_with: BaseException | None = ended_with
        """What the abandoned code raised; None: it returned."""


class Lease:
    """One worker's scopes, until they are cancelled; for one suspended turn after the other."""

    __slots__ = ("_lull", "_on_end", "_resumed", "_scope", "alarm", "cancel_called", "cause", "cell", "drain")

    def __init__(self, scope: anyio.CancelScope, lull: anyio.CancelScope) -> None:
        self._scope = scope
        self._lull = lull
        self._resumed = 0
        self._on_end: Callable[[BaseException], object] | None = None
        self.cell: Schedulable | None = None
        """Whose turn is suspended; None once that turn was abandoned."""
        self.drain: Any = None
        """What drives it."""
        self.cancel_called: bool = False
        """The turn has been interrupted: whatever is next needs another one."""
        self.cause: Exception | None = None
        """Of the interruption; None: a kill."""
        self.alarm: Alarm | None = None
        """Goes off when an interrupted turn has had its time to end."""

    def cancel(self, cause: Exception | None = None) -> None:
        """Interrupt the turn at its await."""
        self.cancel_called = True
        self.cause = cause
        self._scope.cancel()

    def note_resumed(self) -> None:
        """For the worker: an interrupted turn goes on."""
        self._resumed += 1
        if self._resumed == MOST_RESUMED:
            self._lull.shield = True

    def abandon(self, on_end: Callable[[BaseException], object]) -> None:
        """The turn is nobody's any more. `on_end` gets what it ends with, if it ever does."""
        self.cell = None
        self._on_end = on_end

    def end(self, error: BaseException | None = None) -> bool:
        """For the worker: the turn is over, by an exception or not. True: it had been abandoned."""
        if self.alarm is not None:
            self.alarm.cancel()
        if self._on_end is None or error is None:
            return False
        self._on_end(error)
        return True

    def frames(self) -> list[FrameType]:
        """Where the turn is suspended: its frames, the outermost first."""
        return list(frames_of(self.drain))

    def where(self) -> tuple[str | None, str]:
        """The actor's method that the turn is suspended in, if it can be seen, and the stack from it on."""
        return where_in(self.frames())


def where_in(frames: Sequence[FrameType]) -> tuple[str | None, str]:
    """The user's function that comes first, by its qualified name, if there is one, and the stack from it."""
    own = next((at for at, frame in enumerate(frames) if not _is_ours(frame)), None)
    shown = frames if own is None else frames[own:]
    stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in shown[-_MOST_FRAMES:])
    return None if own is None else frames[own].f_code.co_qualname, "".join(stack.format())


def frames_of(awaiting: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine and of what it awaits, as far as they can be seen."""
    while awaiting is not None:
        frame = _first(awaiting, ("cr_frame", "gi_frame", "ag_frame"))
        if frame is not None:
            yield frame
        awaiting = _first(awaiting, ("cr_await", "gi_yieldfrom", "ag_await"))


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("sentient_core.")


def _first(thing: Any, names: tuple[str, ...]) -> Any:
    return next((getattr(thing, name) for name in names if hasattr(thing, name)), None)
