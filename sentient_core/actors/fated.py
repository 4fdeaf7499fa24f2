"""Messages in a mailbox of which a fault plan has decided something before their turn came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentient_core.actors.special import Special
from sentient_core.faults.faults import Injected, die
from sentient_core.faults.points import FaultAction, FaultPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentient_core.actors.cell import Cell
    from sentient_core.faults import Faults
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Passed", "take_fate", "take_pass", "with_fate"]


def with_fate(cell: Cell, faults: Faults, message: object, content: Any) -> Any:
    """MAILBOX_PUT: the `content` to be queued for a message, or it with what is to become of it.

    From any thread. Raises FaultInjected.
    """
    fault = faults.decide(FaultPoint.MAILBOX_PUT, cell.path, type(message).__name__)
    if fault is None:
        return content
    if fault.action is FaultAction.RAISE:
        faults.note(fault)
        raise fault.error()
    if fault.action is FaultAction.KILL:
        faults.note(fault)
        die()
    return _Fated(content, fault)


def take_fate(entry: Entry) -> Injected | None:
    """What was decided of a message when it was sent; from then on there is nothing more."""
    for wrapper in _wrappers(entry):
        if isinstance(wrapper, _Fated) and wrapper.fault is not None:
            fault, wrapper.fault = wrapper.fault, None
            return fault
    return None


def take_pass(entry: Entry) -> bool:
    """It is not to come by MAILBOX_GET this time."""
    for wrapper in _wrappers(entry):
        if isinstance(wrapper, Passed) and wrapper.holds:
            wrapper.holds = False
            return True
    return False


class Passed(Special):
    """A message that does not come by MAILBOX_GET when it is taken next."""

    __slots__ = ("holds",)

    def __init__(self, message: object) -> None:
        super().__init__(message)
        self.holds: bool = True

    def opens(self, cell: Cell, entry: Entry) -> bool:
        return True


class _Fated(Special):
    __slots__ = ("fault",)

    def __init__(self, message: object, fault: Injected) -> None:
        super().__init__(message)
        self.fault: Injected | None = fault

    def opens(self, cell: Cell, entry: Entry) -> bool:
        return True  # what was decided is done before: see `injecting.look_inside`


def _wrappers(entry: Entry) -> Iterator[Special]:
    message = entry[0]
    while isinstance(message, Special):
        yield message
        message = message.message
