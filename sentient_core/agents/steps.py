"""Turns of an agent's own making: how what runs beside it changes what it knows, and commits that.

A step stands in the mailbox like any message, but in memory alone: if its incarnation ends first, so has what
it came from. It is handled in a turn, so whatever it writes down commits as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sentient_core.actors import delivery
from sentient_core.actors.notices import Notice
from sentient_core.errors import StaleIncarnation, TurnFailed, UnencodableState

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.backend import Slot

__all__ = ["Step", "handle_step", "take_step"]

T = TypeVar("T")


class Step:
    """Something to be done in a turn of an agent."""

    __slots__ = ("_path", "act", "is_tasks", "slot")

    def __init__(self, act: Callable[[], Any], slot: Slot[Any], path: str, *, is_tasks: bool = True) -> None:
        self.act: Callable[[], Any] = act
        self.slot: Slot[Any] = slot
        """Gets what `act` returns when the turn is committed, or what it raises."""
        self._path = path
        self.is_tasks: bool = is_tasks
        """The task at work takes it: a state that cannot be stored is that one's failure."""

    def cancel(self) -> None:
        """Its incarnation is over: nothing comes of it any more, also for code that is not cancelled."""
        self.slot.fail(StaleIncarnation(self._path))


async def take_step(life: Incarnation, act: Callable[[], T], *, is_tasks: bool = True) -> T:
    """Have `act` called in a turn of an incarnation; return what it returns when that is committed.

    Raises what it raises, or why the turn cannot be committed (UnencodableState, TurnTooLarge): nothing is
    left of it then, and the agent goes on. `is_tasks=False`: what the task at work has put into the state,
    and cannot be stored, is not in its way. Raises StaleIncarnation once the incarnation is over.
    """
    cell = life.cell
    if life.is_over:
        raise StaleIncarnation(cell.path)
    slot: Slot[Any] = cell.runtime.backend.slot()
    step = Step(act, slot, cell.path, is_tasks=is_tasks)
    life.pipes[step] = None
    try:
        # An agent that drains takes no more turns of this kind: this ends with its incarnation.
        if cell.mailbox.is_open:
            delivery.put_anyway(cell, (_StepNotice(life, step), cell, None, None))
        done: T = await slot
    finally:
        life.pipes.pop(step, None)
    return done


def handle_step(actor: Actor[Any], cell: Cell, step: Step) -> None:
    """The handler of steps. What is wrong with one is told to whoever took it, and fails no agent."""
    turn, inbox = delivery.open_turn(), cell.inbox
    if turn is None or inbox is None:  # it has been abandoned meanwhile
        step.slot.fail(TurnFailed(cell.path))
        return
    try:
        done = step.act()
        turn.close(actor, settles=False)
    except UnencodableState as error:
        inbox.roll_back(actor)  # else no later turn could be committed
        step.slot.fail(error)
    except Exception as error:  # noqa: BLE001 - it is that of whoever took the step
        turn.drop()
        step.slot.fail(error)
    else:
        cell.runtime.mirror.journal.when_committed(_Done(step.slot, done))


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

    is_message = False

    def __init__(self, life: Incarnation, step: Step) -> None:
        super().__init__(step)
        self._life = life

    def accept(self) -> bool:
        return not self._life.is_over
