"""MAILBOX_PUT: a message of which a fault plan decides something when it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentient_core.actors.special import Special
from sentient_core.faults.faults import Injected, die
from sentient_core.faults.points import FaultAction, FaultPoint

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.faults import Faults
    from sentient_core.mailbox.envelope import Entry

__all__ = ["take_fate", "with_fate"]


def with_fate(cell: Cell, faults: Faults, message: Any) -> Any:
    """What is queued of a message: itself, or with what is to become of it. Raises FaultInjected."""
    fault = faults.choose(FaultPoint.MAILBOX_PUT, cell.path, type(message).__name__)
    if fault is None:
        return message
    if fault.action is FaultAction.RAISE:
        raise fault.error()
    if fault.action is FaultAction.KILL:
        die()
    return _Fated(message, fault)


def take_fate(entry: Entry) -> Injected | None:
    """What was decided of a message when it was sent; from then on there is nothing more."""
    message = entry[0]
    while isinstance(message, Special):
        if isinstance(message, _Fated):
            fault, message.fault = message.fault, None
            return fault
        message = message.message
    return None


class _Fated(Special):
    __slots__ = ("fault",)

    def __init__(self, message: object, fault: Injected) -> None:
        super().__init__(message)
        self.fault: Injected | None = fault

    def opens(self, cell: Cell, entry: Entry) -> bool:
        return True  # what was decided is done before: see `injecting.look_inside`
