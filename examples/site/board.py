"""The board: how far the site is, between the actors that know it and the person who watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import msgspec

from examples.site.errors import Stalled
from examples.site.messages import Commission, Progress
from sentient_core import SystemStatistics

__all__ = ["Board", "Display", "Picture"]

PATIENCE = 120.0
"""Seconds without any progress after which the run is called off: it takes a bug, or a disk that hangs."""


class Picture(msgspec.Struct, frozen=True):
    """Everything there is to show, at one moment."""

    progress: Progress
    rendered: int
    """Files that a developer has made, in this process."""
    statistics: SystemStatistics


class Display(Protocol):
    """Shows a board. Called on the event loop, often: it must not take long."""

    def planned(self, commission: Commission) -> None: ...
    def changed(self, picture: Picture) -> None: ...


class Board:
    """How far the site is. Belongs to the thread of the event loop."""

    def __init__(self, statistics: Callable[[], SystemStatistics], *displays: Display) -> None:
        self._statistics = statistics
        self._displays = displays
        self._change = anyio.Event()
        self._progress = Progress()
        self._rendered = 0

    def plan(self, commission: Commission) -> None:
        """There is a plan."""
        for display in self._displays:
            display.planned(commission)

    def show(self, progress: Progress) -> None:
        """The editor has reported."""
        self._progress = progress
        self._changed()

    def count_rendered(self) -> None:
        """A developer has rendered a page."""
        self._rendered += 1
        self._changed()

    async def until_over(self) -> None:
        """Return when there is nothing left to do. Raises Stalled when nothing happens for too long."""
        while not self._progress.is_over:
            with anyio.move_on_after(PATIENCE) as scope:
                await self._change.wait()
            if scope.cancelled_caught:
                done = f"{self._progress.done} of {self._progress.planned} files are done"
                raise Stalled(
                    f"nothing has happened for {PATIENCE:g} s, {done}. The log says what the agents were "
                    "at; the same command goes on from here."
                )

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()
        picture = Picture(self._progress, self._rendered, self._statistics())
        for display in self._displays:
            display.changed(picture)
