"""The cell of an actor that is both: virtual, and durable."""

from __future__ import annotations

from sentient_core.actors.actor import Actor
from sentient_core.actors.durable import DurableCell
from sentient_core.actors.virtual import VirtualCell

__all__ = ["DurableVirtualCell"]


class DurableVirtualCell(VirtualCell, DurableCell):
    """A virtual actor whose turns are committed: while it is passive, its state is the store's alone."""

    __slots__ = ()

    def passivate(self) -> None:
        """As of any virtual actor; the next instance reads the state that the last turn has left."""
        if self.inbox is not None:
            self.inbox.fall_asleep()
        super().passivate()

    def _can_go(self, actor: Actor) -> bool:
        """Everything is in the journal's hands; in an outage, it could not be read back."""
        return not self.runtime.mirror.journal.backlog().is_down
