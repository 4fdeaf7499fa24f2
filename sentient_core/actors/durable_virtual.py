"""The cell of an actor that is both: virtual, and durable."""

from __future__ import annotations

from sentient_core.actors.actor import Actor
from sentient_core.actors.durable import DurableCell
from sentient_core.actors.special import plain
from sentient_core.actors.virtual import VirtualCell
from sentient_core.errors import ActivationFailed

__all__ = ["DurableVirtualCell"]


class DurableVirtualCell(VirtualCell, DurableCell):
    """A virtual actor whose turns are committed: while it is passive, its state is the store's alone."""

    __slots__ = ()

    def passivate(self) -> None:
        """As of any virtual actor; the next instance reads the state that the last turn has left."""
        if self.inbox is not None:
            self.inbox.fall_asleep()
        super().passivate()

    def refuse_queued(self, cause: BaseException) -> None:
        """It did not start: what is queued stays pending, and is tried again with its next message.

        Who asked is told, as of any virtual actor.
        """
        queued, line = self.mailbox.close()
        self.mailbox.reopen()
        for entry, slot in line:
            slot.fail(ActivationFailed(plain(entry)[0], self.ref, cause))
        if self.inbox is not None:
            self.inbox.lay_down(queued, lambda entry: ActivationFailed(plain(entry)[0], self.ref, cause))

    def _can_go(self, actor: Actor) -> bool:
        """Everything is in the journal's hands; in an outage, it could not be read back."""
        return not self.has_work and not self.runtime.mirror.journal.backlog().is_down
