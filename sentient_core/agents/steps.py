"""Turns of an agent's own making: how what runs beside it changes what it knows, and commits that.

A step stands in the mailbox like any message, but in memory alone: if its incarnation ends first, so has what
it came from. It is handled in a turn, so whatever it writes down commits as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sentient_core.actors import delivery
from sentient_core.actors.notices import Notice
from sentient_core.errors import TurnFailed

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.backend import Slot

__all__ = ["Step", "handle_step", "take_step"]

T = TypeVar("T")


class Step:
    """Something to be done in a turn of an agent."""

    __slots__ = ("act", "slot")

    def __init__(self, act: Callable[[], Any], slot: Slot[Any]) -> None:
        self.act: Callable[[], Any] = act
        self.slot: Slot[Any] = slot
        """Gets what `act` returns when the turn is committed, or what it raises."""


async def take_step(cell: Cell, act: Callable[[], T]) -> T:
    """Have `act` called in a turn of an agent; return what it returns when that is committed.

    Raises what it raises. `act` raises before it writes anything down, or not at all. From a task of the
    incarnation at work.
    """
    slot = cell.runtime.backend.slot()
    if cell.mailbox.is_open:
        delivery.put_anyway(cell, (_StepNotice(cell.belongings(), Step(act, slot)), cell, None, None))
    # An agent that drains takes no more turns of this kind: this ends with its incarnation.
    done: T = await slot
    return done


def handle_step(cell: Cell, step: Step) -> None:
    """The handler of steps."""
    turn = delivery.open_turn()
    try:
        done = step.act()
    except Exception as error:  # noqa: BLE001 - it is that of whoever took the step
        step.slot.fail(error)
        return
    if turn is None:
        step.slot.set(done)
        return
    turn.when_closed(lambda: cell.runtime.mirror.journal.when_committed(_Done(step.slot, done)))

    def dropped() -> None:
        step.slot.fail(TurnFailed(cell.path))

    turn.when_dropped(dropped)


class _Done:
    __slots__ = ("_done", "_slot")

    def __init__(self, slot: Slot[Any], done: object) -> None:
        self._slot = slot
        self._done = done

    def set(self, _value: None) -> None:
        self._slot.set(self._done)

    def fail(self, error: BaseException) -> None:
        self._slot.fail(error)


class _StepNotice(Notice):
    """A step, as it stands in the queue: it does not hold for another incarnation."""

    __slots__ = ("_life",)

    def __init__(self, life: Incarnation, step: Step) -> None:
        super().__init__(step)
        self._life = life

    def accept(self) -> bool:
        return not self._life.is_over
