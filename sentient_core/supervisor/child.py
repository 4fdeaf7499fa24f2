"""One child of a family: its cell, how it is kept, and what went wrong with it lately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.supervisor.spec import ChildSpec, Restart

if TYPE_CHECKING:
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.supervisor.intensity import RestartWindow

__all__ = ["Child", "Trouble"]

_IS_DOWN = (CellStatus.NEW, CellStatus.DOWN, CellStatus.ENDED)
_DOWN = CellStatus.DOWN
_ENDED = CellStatus.ENDED
_TEMPORARY = Restart.TEMPORARY


class Trouble:
    """What is remembered of a child's failures; made at the first one that matters."""

    __slots__ = ("failures", "ready_since", "window")

    def __init__(self) -> None:
        self.window: RestartWindow | None = None
        """Of its own, if the strategy gives it one."""
        self.failures: int = 0
        """In a row, as its backoff counts them."""
        self.ready_since: float | None = None
        """When its incarnation of now became ready; None: it is not, or nobody asks."""


class Child:
    """How a child is kept. `spec` is None for one that was spawned and has nothing to it but its class."""

    __slots__ = (
        "alarm",
        "cell",
        "has_started",
        "is_asked",
        "is_kept",
        "is_listed",
        "is_retired",
        "place",
        "restart",
        "shutdown",
        "spec",
        "trouble",
    )

    def __init__(self, spec: ChildSpec, cell: Cell, place: int | None, *, is_listed: bool) -> None:
        self.restart: Restart = spec.restart
        self.shutdown: float | Literal["brutal_kill"] | None = spec.shutdown
        self.cell: Cell = cell
        self.place: int | None = place
        """Among the declared children; None for one that came later."""
        self.is_listed: bool = is_listed and spec.restart is not _TEMPORARY
        """It stays in the list after its end, for `restart_child`."""
        self.spec: ChildSpec | None = spec if is_listed or not spec.is_plain else None
        self.is_kept: bool = place is not None
        """It was in the list before this start of it, so that it stays there if it does not start."""
        self.has_started: bool = False
        self.is_asked: bool = False
        """Its incarnation has been asked to end; an alarm is then the end of its grace."""
        self.is_retired: bool = False
        """Whatever its spec says, it is not started again by itself."""
        self.trouble: Trouble | None = None
        self.alarm: Alarm | None = None
        """For its next start, the end of its grace, or its start deadline: whichever it waits for."""

    @property
    def is_static(self) -> bool:
        """It is declared: kept, and started with its supervisor."""
        return self.place is not None

    @property
    def is_lasting(self) -> bool:
        """It is not declared, but durable: it comes up again with its supervisor all the same."""
        is_again = not self.is_retired and self.restart is not _TEMPORARY
        return self.cell.blueprint.is_durable and is_again and not self.is_static

    @property
    def is_down(self) -> bool:
        """There is no incarnation now."""
        return self.cell.status in _IS_DOWN

    @property
    def has_ended(self) -> bool:
        """It is in the list only: nothing starts it by itself, but a restart of its group."""
        return self.cell.status is _ENDED

    @property
    def waits_for_start(self) -> bool:
        """It is down, and nothing has told it to start yet."""
        return self.cell.status is _DOWN and not self.cell.will_start

    @property
    def is_significant(self) -> bool:
        """Its end may end its supervisor."""
        return self.spec is not None and self.spec.significant

    def silence(self) -> None:
        """Forget what it waits for."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    def troubled(self) -> Trouble:
        """What is remembered of its failures, made if need be."""
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble
