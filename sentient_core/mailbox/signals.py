"""The control lane: what the runtime tells an actor, always ahead of what users send it."""

from __future__ import annotations

from enum import Enum

import msgspec

from sentient_core.mailbox.envelope import Entry

__all__ = ["BESIDE", "SUPERVISION", "SUPERVISOR", "Signal", "SignalKind"]


SUPERVISION = "supervision"
"""`Signal.where` of what an actor's children have brought about."""

BESIDE = "beside"
"""`Signal.where` of code beside an actor that was abandoned, and could still change the instance."""

SUPERVISOR = "supervisor"
"""`Signal.where` of a STOP from the supervisor, who knows what is to come after it."""


class SignalKind(Enum):
    """What the actor's cell is to do."""

    START = "start"
    """Make the next incarnation; `cause` is the failure before it, None at the first start."""
    STOP = "stop"
    """Finish the message in hand (done by now), stop the children, then end."""
    DRAIN = "drain"
    """Refuse new messages, handle those queued, then stop."""
    KILL = "kill"
    """End without hooks; a suspended handler has been cancelled already."""
    FAIL = "fail"
    """End as if a handler had raised `cause`: its supervision has given up, a link is broken …"""
    PAUSE = "pause"
    """Take nothing more from the user lane."""
    RESUME = "resume"
    """Take from the user lane again."""
    SAVE = "save"
    """Write a checkpoint: the policy's time is over."""
    DELIVER = "deliver"
    """Handle `entry`, ahead of the user lane; it is for the incarnation at work alone."""
    LOOK = "look"
    """Nothing but to look again at what has changed, before the next message."""
    PASSIVATE = "passivate"
    """A virtual actor has been idle for long enough: end the instance, in order."""
    CATCH_UP = "catch_up"
    """Handle more messages than other turns do: many wait."""
    FAMILY_READY = "family_ready"
    """All static children have started."""
    FAMILY_GONE = "family_gone"
    """All children are down."""


class Signal(msgspec.Struct, frozen=True):
    """One entry of the control lane."""

    kind: SignalKind
    cause: BaseException | None = None
    entry: Entry | None = None
    """Of DELIVER."""
    where: str = SUPERVISION
    """Of FAIL, for people: what the cause came out of. Of STOP: whether its supervisor wants it."""
