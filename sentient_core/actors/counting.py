"""What has become of the messages to mirrored and volatile actors, in the memory of this process.

`Cell.sent` of a mirrored actor is counted where the event of a message is handed to the journal or is
left out, and by nothing that happens to the message later; the other numbers where it ends. So it shows when
one is lost on the way, or settled twice. Counting the messages sent to a volatile actor would make each
dearer: there `sent` is the sum of what has become of them.

What an actor was sent is added to the totals of its path when it ends for good, and its cell counts no more;
later messages to it are dead letters, counted as that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from sentient_core.actors.begun import Begun
from sentient_core.actors.special import is_discarded_at_end
from sentient_core.mailbox import DeadLetterReason
from sentient_core.paths import collective
from sentient_core.store.audit import NUMBERS, ActorAudit, counted_actor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sentient_core.actors.cell import Cell
    from sentient_core.backend import Backend
    from sentient_core.events import Mirror

__all__ = ["COUNTED", "Counts", "Numbers", "handled_so_far"]

COUNTED: Final = -1
"""In place of what was sent: the numbers are among the totals."""

NOBODY: Final = "(nobody)"
"""Stands for the paths at which nobody lives."""

_MIRRORED, _VOLATILE = "mirrored", "volatile"
_NOTHING = (0,) * len(NUMBERS)
_AT_ONCE = 250
"""Actors whose numbers are taken before the loop makes a pass: less than a millisecond."""

Key: TypeAlias = "tuple[str, str]"
"""Path (`collective`) and durability."""


class Numbers:
    """Of one actor, or of several."""

    __slots__ = ("dead", "expired", "handled", "pending", "quarantined", "sent")

    def __init__(self) -> None:
        self.sent: int = 0
        self.handled: int = 0
        self.dead: int = 0
        """Dead letters, those of the next two among them."""
        self.quarantined: int = 0
        self.expired: int = 0
        self.pending: int = 0

    @classmethod
    def of(cls, cell: Cell) -> Numbers:
        """Those of a cell that is not durable."""
        numbers, tally = cls(), cell.mailbox.tally
        numbers.handled, numbers.pending = _handled(cell), _pending(cell)
        if tally is not None:
            numbers.dead, numbers.quarantined, numbers.expired = tally.dead, tally.quarantined, tally.expired
        is_counted_apart = cell.mailbox.is_mirrored
        numbers.sent = cell.sent if is_counted_apart else numbers.handled + numbers.dead + numbers.pending
        return numbers

    def add(self, others: Numbers) -> None:
        """Those of others as well."""
        for name in Numbers.__slots__:
            setattr(self, name, getattr(self, name) + getattr(others, name))

    def values(self) -> tuple[int, int, int, int, int, int]:
        """In the order of `audit.NUMBERS`."""
        dead = self.dead - self.quarantined - self.expired
        return self.sent, self.handled, dead, self.quarantined, self.expired, self.pending


class Counts:
    """The numbers of actors that have ended; and, with those that live, of all."""

    def __init__(self) -> None:
        self._ended: dict[Key, Numbers] = {}
        self._ended_meanwhile: dict[Cell, Numbers] | None = None
        """Since the cells that live are gone through; None: they are not."""
        self._lock = anyio.Lock()
        self._written: dict[str, tuple[int, ...]] = {}
        """By path, what was written down last."""

    def take_over(self, cell: Cell) -> None:
        """An actor has ended for good, and its queue is settled."""
        if cell.inbox is None and cell.sent != COUNTED:
            numbers = Numbers.of(cell)
            self._ended.setdefault(_key(cell), Numbers()).add(numbers)
            if self._ended_meanwhile is not None:
                self._ended_meanwhile[cell] = numbers
        cell.sent = COUNTED

    def late(self, cell: Cell, reason: DeadLetterReason) -> None:
        """A message came for one that has ended."""
        if cell.inbox is None:
            numbers = self._ended.setdefault(_key(cell), Numbers())
            numbers.sent += 1
            numbers.dead += 1
            numbers.quarantined += reason is DeadLetterReason.QUARANTINED
            numbers.expired += reason is DeadLetterReason.EXPIRED

    async def audits(self, cells: Iterable[Cell], backend: Backend) -> list[ActorAudit]:
        """Of all actors but the durable ones, those that have ended included. `cells`: those that live.

        The numbers of one actor are of one moment; of very many the loop makes a pass in between.
        """
        return _audits(await self._all(cells, backend))

    def of_ended(self) -> list[ActorAudit]:
        """Of those that have ended alone."""
        return _audits(self._ended)

    async def write(self, cells: Iterable[Cell], mirror: Mirror, backend: Backend) -> None:
        """Write down the numbers of mirrored actors that have changed since they were last."""
        self._write(await self._all(cells, backend), mirror, is_last=False)

    def write_last(self, mirror: Mirror) -> None:
        """As `write`, when all actors have ended, whether there is room or not."""
        self._write(self._ended, mirror, is_last=True)

    def _write(self, found: Mapping[Key, Numbers], mirror: Mirror, *, is_last: bool) -> None:
        for (path, durability), numbers in found.items():
            values = numbers.values()
            is_new = durability == _MIRRORED and self._written.get(path, _NOTHING) != values
            if is_new and mirror.counted(path, values, is_last=is_last):
                self._written[path] = values

    async def _all(self, cells: Iterable[Cell], backend: Backend) -> dict[Key, Numbers]:
        async with self._lock:
            found: dict[Key, Numbers] = {}
            for key, numbers in self._ended.items():
                found.setdefault(key, Numbers()).add(numbers)
            self._ended_meanwhile = {}
            try:
                for at, cell in enumerate([*cells], 1):
                    if cell.inbox is None:
                        numbers = self._ended_meanwhile.get(cell) or Numbers.of(cell)
                        found.setdefault(_key(cell), Numbers()).add(numbers)
                    if not at % _AT_ONCE:
                        await backend.checkpoint()
            finally:
                self._ended_meanwhile = None
        return found


def _audits(found: Mapping[Key, Numbers]) -> list[ActorAudit]:
    return [
        counted_actor(path, durability, numbers.values())
        for (path, durability), numbers in found.items()
        if numbers.sent or numbers.dead
    ]


def _key(cell: Cell) -> Key:
    path = NOBODY if cell.is_nobody else collective(cell.path)
    return path, _MIRRORED if cell.mailbox.is_mirrored else _VOLATILE


def _handled(cell: Cell) -> int:
    stash = None if cell.life is None else cell.life.stash
    handled = cell.handled - (0 if stash is None else stash.uncounted)
    if cell.is_in_turn:
        return handled + handled_so_far(cell, _own_frames())
    return handled if cell.scope is None else handled + handled_so_far(cell, cell.scope.frames())


def _pending(cell: Cell) -> int:
    """Queued, stashed and in hand. A tick, say, that is queued is no message yet: see `Notice`."""
    stash = None if cell.life is None else cell.life.stash
    signals = [*(cell.signals or ()), *(() if cell.life is None else cell.life.undelivered)]
    begun = sum(1 for signal in signals if signal.entry is not None and isinstance(signal.entry[0], Begun))
    queued = sum(1 for entry in cell.mailbox.queue or () if not is_discarded_at_end(entry))
    return queued + begun + (0 if stash is None else len(stash)) + (cell.in_hand is not None)


def handled_so_far(cell: Cell, frames: Iterable[FrameType]) -> int:
    """Messages that the batch at hand of a cell has handled, which counts them at its end.

    The frames are those of its turn.
    """
    for frame in frames:
        batch = frame.f_locals if frame.f_code.co_name == "_handle" else {}
        if batch.get("self") is cell and "budget" in batch and "is_own" not in batch:
            return int(batch["budget"] - batch["left"] - batch["missed"] - (cell.in_hand is not None))
    return 0


def _own_frames() -> Iterator[FrameType]:
    """Those of the code that runs, from the innermost on."""
    frame: FrameType | None = sys._getframe()  # pyright: ignore[reportPrivateUsage]  # there is no other way to them
    while frame is not None:
        yield frame
        frame = frame.f_back
