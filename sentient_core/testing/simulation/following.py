"""Those who follow the events of one process: real subscriptions, that tell the witness what they get."""

from __future__ import annotations

import anyio

from sentient_core.errors import EventBusStopped, Fenced
from sentient_core.events import AgentEvent, EventSubscription
from sentient_core.system import ActorSystem
from sentient_core.testing.simulation.cast import NOTED, Failed
from sentient_core.testing.simulation.events import Following
from sentient_core.testing.simulation.program import Follows, Program
from sentient_core.testing.simulation.witness import Process

__all__ = ["Followers"]

_BEGINNING = "0-0"


class Followers:
    """All of one process, by name."""

    def __init__(self, program: Program, process: Process, system: ActorSystem) -> None:
        self._kinds: dict[str, Follows] = {name: kind for kind, name in program.followers}
        self._process = process
        self._system = system
        self._now: dict[str, tuple[EventSubscription, Following]] = {}
        self._by_recipient: dict[str, Following] = {}
        """By what stands in their dead letters."""

    def begin(self) -> None:
        """All of them follow."""
        for name in self._kinds:
            self.follow(name)

    def follow(self, name: str) -> None:
        """Subscribe, anew if it does."""
        self.unfollow(name)
        kind, witness = self._kinds.get(name), self._process.witness
        if kind is None:
            return
        following = witness.events.follows(name, kind)

        async def on_event(event: AgentEvent) -> None:
            if self._process.is_over:
                await anyio.sleep_forever()  # a dead process handles nothing, and acknowledges nothing
            witness.note(f"{name} gets {event.event_id}")
            if witness.events.comes(following, event.event_id, int(event.payload.get("fails", 0))):
                raise Failed(event.event_id)

        after = _BEGINNING if kind is Follows.HISTORY else None
        subscriber = name if kind is Follows.NAMED else None
        try:
            subscription = self._system.events.subscribe(NOTED, on_event, after=after, name=subscriber)
        except EventBusStopped:
            return  # the system has just ended
        self._now[name] = subscription, following
        self._by_recipient[f"$subscriber/{subscriber or subscription.id}"] = following

    def unfollow(self, name: str) -> None:
        """Follow no more."""
        if name in self._now:
            subscription, following = self._now.pop(name)
            following.is_over = True
            self._process.witness.events.has_begun(name, is_so=subscription.cursor is not None)
            subscription.unsubscribe()

    def is_dead(self, event_id: str, recipient: str) -> None:
        """An event is a dead letter of one who follows."""
        self._process.witness.note(f"{event_id} is a dead letter of who follows")
        self._process.witness.events.is_dead(self._by_recipient[recipient], event_id)

    def end(self) -> None:
        """The process dies, or has ended in order."""
        for name, (subscription, _) in self._now.items():
            self._process.witness.events.has_begun(name, is_so=subscription.cursor is not None)

    async def look(self) -> None:
        """All is quiet: compare what everybody has got with what there is."""
        witness = self._process.witness
        for name, (subscription, _) in self._now.items():
            if subscription.error is not None and not isinstance(subscription.error, Fenced):
                witness.complain(f"{name} follows no more: {subscription.error}")
        history = await self._system.events.get_event_history(event_type=NOTED, limit=100_000)
        followings = [following for _, following in self._now.values()]
        witness.events.look(followings, [event.event_id for event in history])
