"""A plan of faults at work that tells of what it does, at once."""

from __future__ import annotations

from collections.abc import Callable

from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults
from sentient_core.faults.faults import Injected

__all__ = ["ListenedFaults"]

_IF_IT_CAN_BE = (FaultAction.REORDER, FaultAction.DUPLICATE)
"""There may be no other message to let pass; a tick is not doubled."""


class ListenedFaults(Faults):
    """As `Faults`; tells of every fault as it is decided, or done where it may turn out that it cannot be.

    And of who has come by a checkpoint without one.
    """

    def __init__(
        self,
        plan: FaultPlan,
        struck: Callable[[Injected], object],
        spared: Callable[[str], object],
    ) -> None:
        super().__init__(plan)
        self._tell_struck = struck
        self._tell_spared = spared

    def decide(self, point: FaultPoint, actor: str = "", message_type: str = "") -> Injected | None:
        """See `Faults.decide`."""
        fault = super().decide(point, actor, message_type)
        if fault is not None and fault.action not in _IF_IT_CAN_BE:
            self._tell_struck(fault)
        elif point is FaultPoint.CHECKPOINT:
            self._tell_spared(actor)
        return fault

    def note(self, fault: Injected) -> None:
        """See `Faults.note`."""
        super().note(fault)
        if fault.action in _IF_IT_CAN_BE:
            self._tell_struck(fault)
