"""Where faults can be injected, and what can be done there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ["ACTIONS", "STORE_POINTS", "FaultAction", "FaultPoint"]


class FaultPoint(StrEnum):
    """A place in the runtime that a message, an actor or a commit comes by."""

    MAILBOX_PUT = "mailbox_put"
    """Somebody sends a message: `tell`, `send`, `ask`. In the sender's call; but what is lost, doubled or let
    pass is so when its turn comes, before it is taken. A message that never gets that far is not struck."""
    MAILBOX_GET = "mailbox_get"
    """A message is taken from its mailbox: one that is stashed, or tried again, each time."""
    RECEIVE = "receive"
    """The handler is about to be called. In the actor's turn, within the time limits of the handler."""
    REPLY = "reply"
    """The handler of an ask has returned, within its time limits, and its reply has not left. Not where there
    is none: it has raised, or has passed the message on."""
    START = "start"
    """An incarnation is made, its state is loaded, and `on_start` is about to be called."""
    STOP = "stop"
    """An incarnation ends, and `on_stop` is about to be called."""
    CHECKPOINT = "checkpoint"
    """A state is about to be encoded: for a checkpoint, or at the end of a durable turn that changed it."""
    STORE_APPEND = "store_append"
    """A group commit of the journal is about to be done."""
    STORE_COMMITTED = "store_committed"
    """A group commit is done, and nobody has heard of it."""
    STORE_WRITE = "store_write"
    """Anything else is about to be written: rows behind the journal, their settlement, what is pruned."""
    STORE_READ = "store_read"
    """Something is about to be read."""
    PUBLISH = "publish"
    """An event is about to be published on the system's bus."""
    TIMER = "timer"
    """A timer is due: its tick is about to be queued."""
    SPAWN = "spawn"
    """A child is about to be made: `spawn`, `start_child`."""


class FaultAction(StrEnum):
    """What is done to whoever comes by. What cannot be done to him is not done, and not listed."""

    RAISE = "raise"
    """Raise FaultInjected; of a store: fail as one that cannot be reached (StoreUnavailable)."""
    DELAY = "delay"
    """Go on after the rule's `seconds`."""
    HANG = "hang"
    """Wait for ever: until it is cancelled, by a kill, a timeout or the end."""
    DROP = "drop"
    """Lose the message: a dead letter (`dropped`), and MessageDropped for who asked. Of a timer: no tick."""
    DUPLICATE = "duplicate"
    """Handle the message, and another one like it that nobody asks for, and that is not doubled again where
    it is taken. Not what a timer or the runtime itself has put there."""
    REORDER = "reorder"
    """Let the next message in the queue pass. Not where there is none."""
    CANCEL = "cancel"
    """Kill the actor here, as `ref.kill()` does."""
    KILL = "kill"
    """End the process, by SIGKILL."""
    REJECT = "reject"
    """Of a store: it refuses the statement (StoreRefused)."""
    FULL = "full"
    """Of a store: its disk is full."""
    CORRUPT = "corrupt"
    """Of a store: one bit of the largest bytes read, a state or a record, is another. Not of other reads."""


STORE_POINTS = frozenset(
    {FaultPoint.STORE_APPEND, FaultPoint.STORE_COMMITTED, FaultPoint.STORE_WRITE, FaultPoint.STORE_READ}
)
"""Which no actor comes by, but what many of them leave together."""

_A = FaultAction
_IN_A_TURN = frozenset({_A.RAISE, _A.DELAY, _A.HANG, _A.CANCEL, _A.KILL})
_IN_A_CALL = frozenset({_A.RAISE, _A.DELAY, _A.HANG, _A.KILL})
_OF_MAIL = frozenset({_A.DROP, _A.DUPLICATE, _A.REORDER, _A.KILL})

ACTIONS: Mapping[FaultPoint, frozenset[FaultAction]] = MappingProxyType(
    {
        FaultPoint.MAILBOX_PUT: _OF_MAIL | {_A.RAISE},
        FaultPoint.MAILBOX_GET: _OF_MAIL,
        FaultPoint.RECEIVE: _IN_A_TURN,
        FaultPoint.REPLY: _IN_A_TURN,
        FaultPoint.START: _IN_A_TURN,
        FaultPoint.STOP: _IN_A_TURN,
        FaultPoint.CHECKPOINT: frozenset({_A.RAISE, _A.KILL}),
        FaultPoint.STORE_APPEND: _IN_A_CALL | {_A.REJECT, _A.FULL},
        FaultPoint.STORE_COMMITTED: _IN_A_CALL,
        FaultPoint.STORE_WRITE: _IN_A_CALL | {_A.REJECT, _A.FULL},
        FaultPoint.STORE_READ: _IN_A_CALL | {_A.REJECT, _A.CORRUPT},
        FaultPoint.PUBLISH: _IN_A_CALL,
        FaultPoint.TIMER: frozenset({_A.DELAY, _A.DROP, _A.KILL}),
        FaultPoint.SPAWN: _IN_A_CALL,
    }
)
"""What means something where."""
