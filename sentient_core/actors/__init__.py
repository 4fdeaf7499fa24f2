"""Actors: the class users subclass, the handle they send to, and the engine that runs them."""

from __future__ import annotations

from sentient_core.actors.actor import Actor, Request
from sentient_core.actors.checkpoints import CheckpointPolicy
from sentient_core.actors.context import Context
from sentient_core.actors.groups import Group, Topic
from sentient_core.actors.handlers import handles
from sentient_core.actors.many import Answer
from sentient_core.actors.proxy import ActorProxy, UntypedProxy, asks, reads
from sentient_core.actors.receive_timeout import ReceiveTimeout
from sentient_core.actors.ref import ActorRef, Ending
from sentient_core.actors.timers import Timers
from sentient_core.actors.upcasting import upcast
from sentient_core.actors.watching import Terminated

__all__ = [
    "Actor",
    "ActorProxy",
    "ActorRef",
    "Answer",
    "CheckpointPolicy",
    "Context",
    "Ending",
    "Group",
    "ReceiveTimeout",
    "Request",
    "Terminated",
    "Timers",
    "Topic",
    "UntypedProxy",
    "asks",
    "handles",
    "reads",
    "upcast",
]
