"""The cell of a virtual actor: always there, with an instance only while there is something to do.

    PASSIVE ─first message→ NEW → STARTING → RUNNING ─idle, stop→ STOPPING → DOWN → PASSIVE …

Prior art: Orleans' grains and their activations. Ref, mailbox, watchers and groups are the cell's, so they
do not notice a passivation; what an instance knows goes into its State's checkpoint, and comes out of it.
A message that arrives at any moment of it stands in the mailbox, and a PASSIVE cell with something in its
mailbox wants a turn.

Idleness costs no clock per message: a cell notes the time after a turn with messages, and one alarm per
instance looks at that note. It is set anew for as long as there is left, so it ends at exactly the idle time.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from contextvars import Context
from itertools import filterfalse
from typing import Any, Protocol

from sentient_core.actors import delivery
from sentient_core.actors.actor import Actor
from sentient_core.actors.cell import NO_KWARGS, Cell, CellStatus
from sentient_core.actors.life_events import write_status
from sentient_core.actors.ref import Ending
from sentient_core.actors.runtime import Family, Runtime
from sentient_core.actors.saving import save_state
from sentient_core.actors.special import is_discarded_at_end, plain
from sentient_core.actors.timekeeper import Alarm
from sentient_core.causes import in_a_line
from sentient_core.errors import ActivationFailed, FaultInjected, UnencodableState
from sentient_core.events import EventType
from sentient_core.mailbox import DeadLetterReason, Queue
from sentient_core.mailbox.signals import Signal, SignalKind

__all__ = ["Keeping", "VirtualCell", "seconds_left"]

# A member's name costs a dictionary lookup; `CellStatus.NEW` costs a quarter of a microsecond in Python 3.11.
_NEW = CellStatus.NEW
_RUNNING = CellStatus.RUNNING
_PAUSED = CellStatus.PAUSED
_DOWN = CellStatus.DOWN
_PASSIVE = CellStatus.PASSIVE

_AT_ONCE = -1
"""An incarnation that is over: waiting for its end returns at once."""


def seconds_left(now: float, since: float, after: float) -> float:
    """Until it has been idle for long enough; 0.0: it has.

    `now` plus what is left is later than `now`, which `after - (now - since)` does not ensure: an alarm
    for that would go off at once, and be set again, for ever where the clock stands still meanwhile.
    """
    return max(since + after - now, 0.0)


class Keeping(Family, Protocol):
    """The family of virtual actors."""

    def why_not(self, child: Cell) -> BaseException | None:
        """Why an actor is not to be started for what is in its mailbox; None: it is."""
        ...


class VirtualCell(Cell):
    """One virtual actor, over all its activations."""

    __slots__ = ("_idle_alarm", "_idle_since", "_keeping")

    vars: Context | None
    status: CellStatus
    family: Family | None

    def __init__(
        self,
        runtime: Runtime,
        above: Keeping,
        path: str,
        cls: type[Actor],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> None:
        super().__init__(runtime, above, path, cls, args, kwargs)
        self.status = _PASSIVE
        self._keeping = above
        self._idle_alarm: Alarm | None = None
        self._idle_since = 0.0

    @property
    def is_active(self) -> bool:
        """It has an instance, is about to get another one, or has ended for good."""
        return self.status not in (_PASSIVE, _NEW)

    def passivate(self) -> None:
        """Have no instance until the next message; for the family, which has been told that it is down."""
        self.status = _PASSIVE
        self.runtime.failing.pop(self.path, None)  # nothing starts it again but a message
        self.draining = False
        self.mailbox.reopen()
        self.vars = None
        if self.family is not None and not self.family.cells():
            self.family = None
        if self.ledger is not None:
            self.ledger.first_incarnation = self.incarnation  # what comes next is no restart of what was
            if not self.runtime.mirror.journal.backlog().is_down:
                self.ledger.saved = None  # the store has it by now, or `saved_mark` says what to wait for
        queue = self.mailbox.queue
        if queue and all(map(is_discarded_at_end, queue)):
            queue.clear()  # ticks of timers that it had: nothing to come back for
        if self.has_work and not self.scheduled:
            self.runtime.dispatcher.schedule(self)

    def fall_asleep(self) -> None:
        """If it has no instance, do not make one for a message: its supervisor is ending."""
        if not self.is_active:
            self.status = _DOWN

    def wait_for_start(self) -> None:
        """Keep what is queued until the family sends START."""
        if not self.starts:
            self.status = _NEW  # it had no instance yet: what comes is no restart

    def announce_passive(self) -> None:
        """Write down that its instance has gone in order."""
        write_status(self, "passive")
        self.runtime.mirror.happened(EventType.ACTOR_PASSIVATED, self.path, {}, incarnation=self.incarnation)

    def refuse_queued(self, cause: BaseException) -> None:
        """It did not start: give up what is queued, so that nobody waits for what does not come."""
        queued, line = self.mailbox.close()
        self.mailbox.reopen()
        why = f"its actor did not start for it: {in_a_line(cause)}"
        for entry in map(plain, filterfalse(is_discarded_at_end, queued)):
            delivery.dead(self, entry, DeadLetterReason.FAILED, why)
            delivery.fail_asker(entry, ActivationFailed(entry[0], self.ref, cause))
        for entry, slot in line:
            slot.fail(ActivationFailed(plain(entry)[0], self.ref, cause))

    def stop(self) -> Ending:
        return super().stop() if self.is_active else Ending(self, _AT_ONCE)

    def drain(self) -> Ending:
        return super().drain() if self.is_active or self.has_work else Ending(self, _AT_ONCE)

    def kill(self, cause: Exception | None = None) -> Ending:
        return super().kill(cause) if self.is_active else Ending(self, _AT_ONCE)

    async def wait_for_end(self, incarnation: int, *, is_drain: bool) -> None:
        if self.is_active or self.draining:
            await super().wait_for_end(incarnation, is_drain=is_drain)

    def leave_turn(self) -> bool:
        return (self.status is _PASSIVE and self.has_work) or super().leave_turn()

    def turn(self) -> Coroutine[Any, Any, bool]:
        is_wanted = self.status is _PASSIVE and self.has_work and not self.signals
        return self._activate() if is_wanted else super().turn()

    async def _activate(self) -> bool:
        reason = self._keeping.why_not(self)
        if reason is None:
            self.status = _NEW
            await self._on_start(None)
        else:
            self.refuse_queued(reason)
        return await self._turn()

    async def _handle(self, queue: Queue | None) -> bool:
        has_work = bool(queue)
        goes_on = await super()._handle(queue)
        if has_work:
            self._idle_since = self.runtime.backend.now()
        return goes_on

    def _ready(self) -> None:
        super()._ready()
        self._idle_since = self.runtime.backend.now()
        self._look_again()

    def _down(self, cause: BaseException | None, *, first_cause: BaseException | None = None) -> None:
        if self._idle_alarm is not None:
            self._idle_alarm.cancel()
            self._idle_alarm = None
        super()._down(cause, first_cause=first_cause)

    def _look_again(self) -> None:
        """Look when it may have been idle for long enough: never later than it is."""
        after = self.blueprint.passivate_after
        if after is None:
            return
        now = self.runtime.backend.now()
        seconds = after if self._is_busy else seconds_left(now, self._idle_since, after)
        self._idle_alarm = self.runtime.timekeeper.after(seconds, self._look)

    def _look(self) -> None:
        after = self.blueprint.passivate_after
        if (
            after is None
            or self._is_busy
            or seconds_left(self.runtime.backend.now(), self._idle_since, after)
        ):
            self._look_again()
        else:
            self._idle_alarm = None
            self.signal(Signal(SignalKind.PASSIVATE))

    @property
    def _is_busy(self) -> bool:
        return self.scheduled

    def _on_kill(self) -> None:
        if self.is_active:  # else it came too late for its instance, and there is no other yet
            super()._on_kill()

    async def _on_passivate(self) -> None:
        """Idle for long enough, unless a message has come in the last moment."""
        actor = self._actor
        if self.status is _PAUSED:  # it stays, and is looked at again
            self._idle_since = self.runtime.backend.now()
            self._look_again()
            return
        if self.status is not _RUNNING or actor is None:
            return
        if (
            self.mailbox.queue
            or (self.life is not None and self.life.is_expecting)
            or not self._can_go(actor)
        ):
            self._idle_since = self.runtime.backend.now()
            self._look_again()
        else:
            await self._on_stop()

    def _can_go(self, actor: Actor) -> bool:
        """What it knows is in the store's hands. In an outage it stays: memory is all there is."""
        if self.runtime.mirror.journal.backlog().is_down:
            return False
        try:
            return save_state(self, actor, "passivation", if_changed=True)
        except UnencodableState:
            return True  # `_save_last` meets it again, and makes it the actor's failure
        except FaultInjected as error:
            self.belongings().fail(error, "checkpoint")
            return False
