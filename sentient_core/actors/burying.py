"""What was kept below an actor that has ended for good ends with it: a few cells at once, many bit by bit.

Ending a cell for good costs a few microseconds for a volatile actor and ten times as many for a mirrored one,
whose end is recorded: the 100,000 declared children of one supervisor would keep the event loop for a second.
So what is many is done in slices, from above to below; between two of them the loop makes a pass.

Until its turn comes, a cell below is down as it was, its mailbox kept; its path is free already, since
`Registry.add` ends on the spot whom it finds there below an actor that has ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio

from sentient_core.backend import Backend

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sentient_core.actors.cell import Cell

__all__ = ["Burials"]

AT_ONCE = 100
"""Cells below one actor that end with it, before anything else happens."""

SLICE = 0.0005
"""Seconds of the event loop at a time, for those beyond."""


class Burials:
    """Ends for good whatever is kept below actors that have ended for good."""

    def __init__(self, backend: Backend, tasks: TaskGroup) -> None:
        self._backend = backend
        self._tasks = tasks
        self._open: list[Iterator[Cell]] = []
        """Families to go through, the one under way last."""
        self._has_task = False

    def below(self, cell: Cell) -> None:
        """End what is below a cell, which has ended itself."""
        if cell.family is None:
            return
        self._open.append(iter(cell.family.cells()))
        for _ in range(AT_ONCE):
            if not self._step():
                return
        if self._open and not self._has_task:
            self._has_task = True
            self._tasks.start_soon(self._work, name="sentient-core burials")

    async def finish(self) -> None:
        """Return when nothing is left to be done."""
        while self._slice():
            await self._backend.checkpoint()

    async def _work(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.finish()
        self._has_task = False

    def _slice(self) -> bool:
        """Go on for a slice of time. False: all is done."""
        ends = time.perf_counter() + SLICE
        while self._step():
            if time.perf_counter() > ends:
                return True
        return False

    def _step(self) -> bool:
        """End the next cell, if there is one."""
        while self._open:
            cell = next(self._open[-1], None)
            if cell is None:
                self._open.pop()
                continue
            if cell.family is not None:
                self._open.append(iter(cell.family.cells()))
            cell.end_for_good()
            return True
        return False
