"""The watchdog: names the handler that keeps the event loop from running.

Design note. A thread looks at the loop every few hundredths of a second. Whose turn it is stands in the
dispatcher, one attribute per turn, and which message in its cell, so actors pay next to nothing. Whether
the loop is blocked tells a heartbeat: a call that the loop makes as soon as it gets to it. An idle loop is
not woken for that: it is found inside its selector. A message that stays in hand while the heartbeat
stays unanswered is the culprit, and the stack of the loop's thread says where.

A report waits for nothing: the log line is written from the watchdog's thread, at the threshold, at
twice, four times … of it, and at the end. The event and whoever listens get one, at the end, since both
belong to the loop.

Time is real time, but a suspended process (SIGSTOP, a sleeping machine) is no blocked loop: when the
watchdog itself comes late although the process used no processor time meanwhile, that does not count.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread, get_ident
from types import FrameType
from typing import TYPE_CHECKING, cast

import msgspec

from sentient_core.actors.special import plain
from sentient_core.codec import tag_of
from sentient_core.errors import InvalidArgument
from sentient_core.events import EventType
from sentient_core.logs import LimitedLog

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.runtime import Runtime
    from sentient_core.mailbox.envelope import Entry

__all__ = ["BlockedHandler", "Watchdog", "WatchedTime", "check_threshold"]

LATELY = 60.0
"""Seconds for which a report is news."""

_LONGEST_LOOK = 0.05
_JOIN_SECONDS = 5.0
_MOST_FRAMES = 20

_CALLERS = {
    "sentient_core.actors.cell",
    "sentient_core.actors.actor",
    "sentient_core.actors.overdue",
    "sentient_core.actors.calls",
}
"""The modules that call an actor's methods; the last one, for proxies."""

_PARTS = "actors.", "mailbox.", "supervisor.", "store.", "events."
_RUNTIME = tuple(f"sentient_core.{part}" for part in _PARTS)
"""What actors run on; others of this package are actors themselves (`agents`), and can block like any."""


class BlockedHandler(msgspec.Struct, frozen=True, kw_only=True):
    """What kept the event loop from running, and for how long."""

    path: str | None
    """Of the actor; None: what blocks runs outside of actors' turns, see the stack."""
    incarnation: int
    handler: str | None
    """Qualified name of the method: a handler or a hook."""
    message_type: str | None
    """Of the message in hand; None in a hook."""
    seconds: float
    """Until now, or in all. To within a few hundredths."""
    is_over: bool
    stack: str
    """Of the event loop's thread, from the handler on, while it was blocked; the innermost call last."""

    def __str__(self) -> str:
        what = "something outside of actors"
        if self.path is not None:
            what = f"{self.handler or 'the runtime'} of '{self.path}'"
        message = "" if self.message_type is None else f" with {self.message_type}"
        verb = "blocked" if self.is_over else "has been blocking"
        return f"{what}{message} {verb} the event loop for {self.seconds:.2f} s"


def check_threshold(seconds: object) -> float | None:
    """Raise InvalidArgument for a threshold that can never work."""
    if seconds is None:
        return None
    if isinstance(seconds, int | float) and seconds > 0:
        return seconds
    raise InvalidArgument(f"watchdog must be a number of seconds above 0, or None for none, not {seconds!r}")


class WatchedTime:
    """Real time, without what passed while the process was suspended."""

    def __init__(self, now: float, worked: float, *, late: float, usual: float) -> None:
        self.seconds: float = 0.0
        self._now = now
        self._worked = worked
        self._late = late
        """Above this, a look comes late."""
        self._usual = usual
        """What then counts, if the process did not work meanwhile."""

    def advance(self, now: float, worked: float) -> float:
        """The time at this look. `now` is a monotonic clock, `worked` the process's processor time."""
        passed, at_work = now - self._now, worked - self._worked
        self._now, self._worked = now, worked
        is_suspended = passed > self._late and at_work < passed / 2
        self.seconds += self._usual if is_suspended else passed
        return self.seconds


class _Heartbeat:
    """A call that the loop makes when it gets to it."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> None:
        self.at = time.monotonic()


class _Stretch:
    """One message in hand, or none, while a heartbeat is unanswered."""

    def __init__(self, cell: Cell | None, since: float, threshold: float) -> None:
        self.cell = cell
        self.entry: Entry | None = None if cell is None else cell.in_hand
        """Kept, so that no other can have its identity."""
        self.since = since
        self.next_report = threshold
        self.last: BlockedHandler | None = None


class Watchdog:
    """Watches the event loop of one system, on whose thread it is made."""

    def __init__(
        self,
        runtime: Runtime,
        threshold: float,
        on_report: Callable[[BlockedHandler], None] | None = None,
    ) -> None:
        """`on_report` gets one report each time the loop was blocked, on its thread, when that is over."""
        self._runtime = runtime
        self._threshold = threshold
        self._on_report = on_report
        self._loop_thread = get_ident()
        self._log = LimitedLog(runtime.log, time.monotonic, "the event loop is blocked")
        self._look_seconds = min(_LONGEST_LOOK, threshold / 4)
        self._latest: tuple[float, BlockedHandler] | None = None
        self._heartbeat: _Heartbeat | None = None
        self._stretch: _Stretch | None = None
        self._is_over = Event()
        name = f"sentient-core watchdog {runtime.system.name}"
        # A daemon, so that a loop that nobody closes does not keep the interpreter from ending.
        self._thread = Thread(target=self._watch, name=name, daemon=True)

    @property
    def latest(self) -> tuple[float, BlockedHandler] | None:
        """The latest report, with its age in seconds, if it is news. From any thread."""
        if self._latest is None:
            return None
        at, report = self._latest
        age = time.monotonic() - at
        return (age, report) if age < LATELY or not report.is_over else None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread and wait for it, a few seconds at most, if a log keeps it."""
        self._is_over.set()
        end = time.monotonic() + _JOIN_SECONDS
        while self._thread.is_alive() and time.monotonic() < end:
            await self._runtime.backend.checkpoint()  # a millisecond; no sleep, whose clock may be virtual

    def _watch(self) -> None:
        clock = WatchedTime(
            time.monotonic(),
            time.process_time(),
            late=self._look_seconds + self._threshold / 2,
            usual=self._look_seconds,
        )
        with suppress(RuntimeError):  # the loop has ended, and nobody has closed the system
            while not self._is_over.wait(self._look_seconds):
                self._look(clock.advance(time.monotonic(), time.process_time()))

    def _look(self, now: float) -> None:
        heartbeat, stretch = self._heartbeat, self._stretch
        cell = cast("Cell | None", self._runtime.dispatcher.running)
        if heartbeat is not None and stretch is not None and heartbeat.at is None:
            if self._is_still(stretch):
                self._goes_on(stretch, heartbeat, now - stretch.since)
            else:
                self._ends(stretch, now - stretch.since)
                self._stretch = _Stretch(cell, now, self._threshold)
            return
        if heartbeat is not None and stretch is not None and heartbeat.at is not None:
            self._ends(stretch, now - stretch.since - (time.monotonic() - heartbeat.at))
        self._heartbeat = self._stretch = None
        if cell is not None or not self._is_idle():
            self._stretch = _Stretch(cell, now, self._threshold)
            self._heartbeat = _Heartbeat()
            self._runtime.backend.call_threadsafe(self._heartbeat)

    def _goes_on(self, stretch: _Stretch, heartbeat: _Heartbeat, seconds: float) -> None:
        if seconds < stretch.next_report:
            return
        report = self._report(stretch, seconds)
        if heartbeat.at is None and self._is_still(stretch):  # else it has ended while its stack was read
            stretch.last = report
            self._tell(report)
            while stretch.next_report <= seconds:
                stretch.next_report *= 2

    def _ends(self, stretch: _Stretch, seconds: float) -> None:
        if stretch.last is None:
            return
        seconds = max(seconds, stretch.last.seconds)
        report = msgspec.structs.replace(stretch.last, seconds=round(seconds, 3), is_over=True)
        self._runtime.backend.call_threadsafe(self._write_down, report, stretch.cell)
        self._tell(report)

    def _tell(self, report: BlockedHandler) -> None:
        self._latest = (time.monotonic(), report)
        self._log.warning(lambda: msgspec.structs.asdict(report))

    def _write_down(self, report: BlockedHandler, cell: Cell | None) -> None:
        """On the loop: the event, and whoever listens."""
        if cell is not None and cell.blueprint.is_mirrored and self._runtime.is_open:
            self._runtime.mirror.happened(
                EventType.HANDLER_BLOCKS,
                cell.path,
                {
                    "handler": report.handler,
                    "message_type": report.message_type,
                    "seconds": report.seconds,
                    "stack": report.stack,
                },
                incarnation=report.incarnation,
            )
        if self._on_report is not None:
            self._on_report(report)

    def _report(self, stretch: _Stretch, seconds: float) -> BlockedHandler:
        frames, handler = _frames_of(self._loop_thread), None
        cell, entry = stretch.cell, stretch.entry
        if cell is not None:
            frames, handler = _own_part(frames)
        stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames[-_MOST_FRAMES:])
        return BlockedHandler(
            path=None if cell is None else cell.path,
            incarnation=0 if cell is None else cell.incarnation,
            handler=handler,
            message_type=None if entry is None else tag_of(type(plain(entry)[0])),
            seconds=round(seconds, 3),
            is_over=False,
            stack="".join(stack.format()),
        )

    def _is_still(self, stretch: _Stretch) -> bool:
        cell = cast("Cell | None", self._runtime.dispatcher.running)
        return cell is stretch.cell and (cell is None or cell.in_hand is stretch.entry)

    def _is_idle(self) -> bool:
        """The loop waits in its selector. One that cannot be seen there is asked by a heartbeat."""
        frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage] - there is no other
        module = "" if frame is None else _module_of(frame)
        return module in {"selectors", "asyncio.windows_events"} or module.startswith("trio._core._io_")


def _frames_of(thread: int) -> list[FrameType]:
    """What a thread is doing, the outermost call first."""
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage] - as above
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    frames.reverse()
    return frames


def _own_part(frames: list[FrameType]) -> tuple[list[FrameType], str | None]:
    """Of a stack in a turn: what the actor's own code does there, and the name of its method.

    Its method is what the runtime's cell has called, the last one where one actor's ask runs another's
    handler. All of the stack where it is the runtime itself that works for the actor.
    """
    for at in range(len(frames) - 1, 0, -1):
        is_ours = _module_of(frames[at - 1]) in _CALLERS
        if is_ours and not _module_of(frames[at]).startswith(_RUNTIME):
            return frames[at:], frames[at].f_code.co_qualname
    return frames, None


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))
