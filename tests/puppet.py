"""An actor that does in its turn what a test tells it, and writes down what else it gets."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any, ClassVar, TypeAlias

from sentient_core import Actor, ActorRef, ActorSystem, Request, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from tests.probes import Log

__all__ = ["Act", "Do", "MirroredPuppet", "Puppet", "alarms", "doing", "in_turn"]

Act: TypeAlias = Callable[[Any], object]
"""What an actor is to do; it may be async."""


class Do(Request[Any], frozen=True):
    """Call this with the actor; the reply is what it returns."""

    act: Act


class Puppet(Actor):
    """Volatile. `begin` is called with it in `on_start`."""

    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self, log: Log | None = None, begin: Act | None = None) -> None:
        self.log = log or Log()
        self.begin = begin

    async def on_start(self) -> None:
        if self.begin is not None:
            outcome = self.begin(self)
            if isawaitable(outcome):
                await outcome

    def on_failure(self, cause: Exception) -> None:
        self.log(f"{self.context.ref.name} failed: {type(cause).__name__}")

    @handles
    async def do(self, message: Do) -> Any:
        outcome = message.act(self)
        return await outcome if isawaitable(outcome) else outcome

    def on_receive(self, message: Any) -> None:
        self.log(str(message))


class MirroredPuppet(Puppet):
    """Its messages are strings and the like: a Do cannot be mirrored."""

    durability = "mirrored"


async def in_turn(ref: ActorRef[Any], act: Act) -> Any:
    """What `act` returns when the actor calls it in its turn."""
    return await ref.ask(Do(act), timeout=1_000)


def doing(act: Act) -> Act:
    """For `Puppet`'s `begin`: says to type checkers what a lambda is."""
    return act


def alarms(system: ActorSystem) -> int:
    """How many alarms of the system's timekeeper are set."""
    keeper = cell_of(system.actors(Actor)[0]).runtime.timekeeper
    return sum(alarm.is_set for _, _, alarm in keeper._heap)  # pyright: ignore[reportPrivateUsage]
