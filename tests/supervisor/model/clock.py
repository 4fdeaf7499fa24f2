"""The reference supervisor's own time: an agenda, and procedures that wait in the middle.

A procedure is a generator that yields what it waits for (`Happening`), so that what OTP's supervisor does
while it blocks can be written down as one piece, and cut off where a shutdown comes in between.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator
from itertools import count
from typing import TypeAlias

__all__ = ["Agenda", "Happening", "Procedure", "Steps"]

Steps: TypeAlias = "Generator[Happening, None, None]"


class Happening:
    """Something that procedures wait for."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._waiting: list[Callable[[], None]] = []
        self.is_over: bool = False

    def happen(self) -> None:
        self.is_over = True
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            self._agenda.soon(go_on)

    def then(self, go_on: Callable[[], None]) -> None:
        self._waiting.append(go_on)


class Agenda:
    """What is due when; of one moment, in the order in which it was put down."""

    def __init__(self) -> None:
        self.now: float = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._soon: deque[Callable[[], None]] = deque()
        self._order = count()

    def soon(self, do: Callable[[], None]) -> None:
        self._soon.append(do)

    def after(self, seconds: float, do: Callable[[], None]) -> Callable[[], None]:
        """Do it then; what is returned takes it back."""
        entry = (self.now + seconds, next(self._order), do)
        heapq.heappush(self._due, entry)

        def take_back() -> None:
            if entry in self._due:
                self._due.remove(entry)
                heapq.heapify(self._due)

        return take_back

    def sleep(self, seconds: float) -> Happening:
        waking = Happening(self)
        self.after(seconds, waking.happen)
        return waking

    def play_until(self, moment: float) -> None:
        """All that is due up to this moment."""
        while True:
            while self._soon:
                self._soon.popleft()()
            if not self._due or self._due[0][0] > moment:
                break
            self.now, _, ring = heapq.heappop(self._due)
            ring()
        self.now = moment


class Procedure:
    """A generator that runs, from one wait to the next."""

    def __init__(self, steps: Steps, then: Callable[[], None] = lambda: None) -> None:
        self._steps = steps
        self._then = then
        self.is_running: bool = False
        self.is_over: bool = False
        self.is_cancelled: bool = False

    def begin(self) -> None:
        """Run up to the first wait."""
        self._go_on()

    def cancel(self) -> None:
        """Cut it off where it waits; from within itself: at its next wait."""
        if not self.is_over:
            self.is_over = self.is_cancelled = True
            if not self.is_running:
                self._steps.close()

    def _go_on(self) -> None:
        if self.is_over:
            return
        self.is_running = True
        awaited = self._next_wait()
        self.is_running = False
        if awaited is not None:
            awaited.then(self._go_on)
        elif self.is_cancelled:
            self._steps.close()
        else:
            self.is_over = True
            self._then()

    def _next_wait(self) -> Happening | None:
        """Run up to something that has not happened yet. None: it is through, or was cut off meanwhile."""
        for awaited in self._steps:
            if self.is_cancelled:
                return None
            if not awaited.is_over:
                return awaited
        return None
