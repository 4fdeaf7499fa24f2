"""When and how a cell saves its actor's state, and where a new incarnation gets it from."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING

import anyio
import msgspec

from sentient_core.actors import injecting
from sentient_core.actors.checkpoints import RejectedCheckpoint, check_fits, is_of_today, restore, save
from sentient_core.actors.life_events import write_status
from sentient_core.errors import (
    CheckpointUnusable,
    InvalidArgument,
    StaleIncarnation,
    StoreUnavailable,
)
from sentient_core.events import EventType
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.store.records import CheckpointKind, Resent, full_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Checkpoint

__all__ = [
    "Ledger",
    "check_at_work",
    "find_checkpoints",
    "forget_alarm",
    "load_state",
    "save_and_wait",
    "save_by_policy",
    "save_in_time",
    "save_state",
]

READ_SECONDS = 10.0
"""How long a start waits for the store to tell a checkpoint."""

CHECKPOINTS_TRIED = 3
"""Newest checkpoints that a start tries before it gives up."""


class Ledger:
    """What is stored of one actor, and what is not stored yet."""

    __slots__ = (
        "alarm",
        "due",
        "first_incarnation",
        "idle_alarm",
        "quiet_since",
        "restarts",
        "saved",
        "saved_mark",
        "started_with",
        "unsaved",
        "unsaved_bytes",
    )

    def __init__(self, first_incarnation: int, restarts: int = 0) -> None:
        self.first_incarnation: int = first_incarnation
        """The last incarnation before this cell: of an earlier start of the program, or of an actor that
        has ended."""
        self.restarts: int = restarts
        """How often an incarnation was started in place of one that was down, with those of actors that
        lived here before. A new start of the process, a spawn and an activation are none."""
        self.saved: Checkpoint | None = None
        """The newest checkpoint that this process wrote or read."""
        self.saved_mark: int = 0
        """The journal's mark behind that checkpoint; 0: of an earlier start."""
        self.unsaved: int = 0
        """Messages handled since."""
        self.unsaved_bytes: int = 0
        """Of those messages; counted where the policy asks for it."""
        self.alarm: Alarm | None = None
        """For the time that the policy gives them."""
        self.idle_alarm: Alarm | None = None
        """For the idleness that the policy waits for."""
        self.quiet_since: float = 0.0
        """When the last turn with messages was over, of an actor that waits for idleness."""
        self.due: str = ""
        """What of the policy has asked for a save that is still to come."""
        self.started_with: tuple[BaseException | None, Checkpoint | None] = (None, None)
        """Of an incarnation that is not ready yet: the failure before it, and what it was restored from."""

    @property
    def is_known(self) -> bool:
        """There may be checkpoints."""
        return self.first_incarnation > 0 or self.saved is not None

    def weigh(self, entry: Entry) -> int:
        """Count the bytes of a message that was handled; returns those of all that are unsaved."""
        self.unsaved_bytes += _weight(entry)
        return self.unsaved_bytes

    def begin(self) -> None:
        """All that was handled is saved, or gone with its incarnation."""
        self.unsaved = self.unsaved_bytes = 0

    def spare(self, entry: Entry) -> None:
        """The message in hand, counted when its handler returns, is not one to save for."""
        self.unsaved, self.unsaved_bytes = -1, -_weight(entry)

    def renewed(self) -> Ledger:
        """The same in another object, for the incarnation after one that still holds this one."""
        return copy(self)


async def find_checkpoints(cell: Cell) -> Sequence[Checkpoint]:
    """What the store has for a new incarnation, newest first.

    Raises StoreUnavailable when the store is away and this process has written nothing itself.
    """
    ledger = cell.ledger
    if not cell.blueprint.has_state or ledger is None or not ledger.is_known:
        return ()
    journal = cell.runtime.mirror.journal
    if not journal.backlog().is_down:
        # Nothing but this cell writes checkpoints of its path: what it wrote last is what to wait for. The
        # last one of who lived here before may be on its way as well.
        is_heir = ledger.saved is None and cell.runtime.registry.has_ended_here(cell.path)
        mark = journal.mark() if is_heir else ledger.saved_mark
        with suppress(StoreUnavailable), anyio.move_on_after(READ_SECONDS):
            return await journal.checkpoints(cell.path, CHECKPOINTS_TRIED, mark=mark)
    if ledger.saved is not None:
        return (ledger.saved,)  # the store is away, but this process knows what it wrote last
    raise StoreUnavailable(f"the checkpoint of '{cell.path}' cannot be read: the store does not answer")


def load_state(cell: Cell, actor: Actor, checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Put the state of the newest loadable checkpoint into a new instance. None: there is none.

    Raises CheckpointUnusable when there are some and none can be loaded.
    """
    reasons: list[str] = []
    for checkpoint in checkpoints:
        try:
            actor.state = restore(cell.runtime.codec, checkpoint, cell.blueprint)
        except RejectedCheckpoint as error:
            reasons.append(f"{checkpoint.checkpoint_id}: {error}")
            _report_rejected(cell, checkpoint, error)
        else:
            if cell.ledger is not None:
                cell.ledger.saved = checkpoint
            return checkpoint
    if reasons:
        raise CheckpointUnusable(cell.path, reasons)
    return None


def save_state(
    cell: Cell, actor: Actor, why: str, *, if_changed: bool = False, is_last: bool = False
) -> bool:
    """Write a checkpoint. False: the journal has no room.

    Raises UnencodableState, StateTooLarge, FaultInjected.
    """
    if cell.runtime.faults is not None:
        injecting.checkpoint(cell, cell.runtime.faults)
    mirror = cell.runtime.mirror
    checkpoint_id = full_id(mirror.epoch, mirror.next_seq())
    checkpoint = save(
        cell.runtime.codec, actor.state, cell.path, cell.blueprint, cell.incarnation, checkpoint_id, why
    )
    check_fits(checkpoint.state, cell.path, mirror.journal.largest_record)
    ledger = cell.ledger
    if ledger is None:
        return False
    saved = ledger.saved
    is_new = saved is None or saved.state != checkpoint.state or not is_of_today(saved, cell.blueprint)
    if if_changed and not is_new:
        return True
    if not cell.blueprint.is_mirrored and ledger.saved is None:
        write_status(cell, "idle")  # the store gets to know a volatile actor by its first checkpoint
    if not mirror.checkpoint(checkpoint, is_last=is_last):
        return False
    ledger.saved = checkpoint
    ledger.saved_mark = mirror.journal.mark()
    ledger.begin()
    forget_alarm(ledger)
    return True


async def save_and_wait(cell: Cell, actor: Actor) -> str:
    """`Actor.checkpoint`."""
    ledger = cell.ledger
    if ledger is None or not cell.blueprint.has_state:
        raise InvalidArgument(f"{cell.blueprint.cls.__qualname__} declares no State: nothing to save")
    check_at_work(cell, actor)
    journal = cell.runtime.mirror.journal
    savepoint = None if cell.inbox is None else cell.inbox.savepoint
    if savepoint is not None:  # what the turn at hand makes of it is committed with the turn, or never
        kept = msgspec.structs.replace(savepoint, kind=CheckpointKind.TURN)
        journal.append(kept, force=True)
        await journal.committed()
        return kept.checkpoint_id
    if not save_state(cell, actor, "asked for"):
        if not journal.backlog().is_full:
            await journal.committed()  # raises why nothing is taken any more: Fenced, or closed
        raise StoreUnavailable(
            f"the checkpoint of '{cell.path}' was not taken: the journal's tail is full, since the "
            "store is down or too slow. Try again later."
        )
    if cell.in_hand is not None:
        ledger.spare(cell.in_hand)
    checkpoint_id = "" if ledger.saved is None else ledger.saved.checkpoint_id
    await journal.committed()
    return checkpoint_id


def check_at_work(cell: Cell, actor: Actor) -> None:
    """Raise StaleIncarnation for an instance that has ended."""
    if not cell.is_at_work(actor):
        raise StaleIncarnation(cell.path)


def save_by_policy(cell: Cell, actor: Actor) -> None:
    """Save if a count of the policy is reached, else see to it that its times are kept.

    A journal without room is tried again after the next message. Raises UnencodableState.
    """
    messages, size = cell.blueprint.checkpoint_messages, cell.blueprint.checkpoint_bytes
    ledger = cell.ledger
    if ledger is None:
        return
    if messages is not None and ledger.unsaved >= messages:
        is_saved = save_state(cell, actor, "policy: messages")
    elif size is not None and ledger.unsaved_bytes >= size:
        is_saved = save_state(cell, actor, "policy: bytes")
    else:
        is_saved = False
    if not is_saved:
        _keep_time(cell, ledger)


def save_in_time(cell: Cell, actor: Actor) -> None:
    """Save since a time of the policy is over; without room, once more after that time."""
    if cell.ledger is not None and not save_state(cell, actor, cell.ledger.due):
        _keep_time(cell, cell.ledger)


def forget_alarm(ledger: Ledger | None) -> None:
    """The policy's times need not be kept any more."""
    if ledger is None:
        return
    for alarm in (ledger.alarm, ledger.idle_alarm):
        if alarm is not None:
            alarm.cancel()
    ledger.alarm = ledger.idle_alarm = None


def _keep_time(cell: Cell, ledger: Ledger) -> None:
    seconds, idle = cell.blueprint.checkpoint_seconds, cell.blueprint.checkpoint_idle
    if seconds is not None and ledger.alarm is None:
        ledger.alarm = cell.runtime.timekeeper.after(seconds, lambda: _time_over(cell, ledger))
    if idle is not None:
        ledger.quiet_since = cell.runtime.backend.now()
        if ledger.idle_alarm is None:
            _look_in(cell, ledger, idle)


def _time_over(cell: Cell, ledger: Ledger) -> None:
    ledger.alarm = None
    ledger.due = "policy: seconds"
    cell.signal(Signal(SignalKind.SAVE))


def _look_in(cell: Cell, ledger: Ledger, seconds: float) -> None:
    ledger.idle_alarm = cell.runtime.timekeeper.after(seconds, lambda: _look(cell, ledger))


def _look(cell: Cell, ledger: Ledger) -> None:
    """It may have been idle for long enough. One alarm looks, so that a message costs no clock of its own."""
    ledger.idle_alarm = None
    idle = cell.blueprint.checkpoint_idle or 0.0
    quiet_until = ledger.quiet_since + idle
    now = cell.runtime.backend.now()
    if cell.scheduled:
        _look_in(cell, ledger, idle)
    elif now < quiet_until:
        _look_in(cell, ledger, quiet_until - now)
    else:
        ledger.due = "policy: idle"
        cell.signal(Signal(SignalKind.SAVE))


def _weight(entry: Entry) -> int:
    event = entry[3]
    if event is None:
        return 0
    return len((event.original if isinstance(event, Resent) else None) or event.payload)


def _report_rejected(cell: Cell, checkpoint: Checkpoint, error: RejectedCheckpoint) -> None:
    what = {"checkpoint_id": checkpoint.checkpoint_id, "reason": str(error)}
    cell.log().error("checkpoint rejected", **what)
    cell.runtime.mirror.happened(EventType.CHECKPOINT_REJECTED, cell.path, what, incarnation=cell.incarnation)
