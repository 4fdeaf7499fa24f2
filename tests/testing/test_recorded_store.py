"""What is noted of a run: each message once, with all that its turn has left."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, MemoryStore, Store, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.paths import EXTERNAL
from sentient_core.testing import RecordedStore, record_history
from sentient_core.testing.store_conformance.samples import event
from tests.probes import Add
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Trying(Actor, tag="RecordedTrying"):
    """Fails at its first attempt, takes its time, and takes checkpoints on the way."""

    durability: ClassVar[DurabilityName] = "durable"
    max_attempts = 2

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    async def add(self, message: Add) -> None:
        self.state.total += message.amount
        await self.checkpoint()
        await anyio.sleep(60)
        self.state.total += message.amount
        envelope = self.context.message
        if envelope is not None and envelope.attempt == 1:
            raise ValueError("not yet")


async def test_every_attempt_is_noted_with_the_state_that_it_has_left_and_what_goes_on_is_waited_for() -> (
    None
):
    async def start(system: ActorSystem) -> None:
        await system.spawn(Trying, name="trying")

    async def drive(system: ActorSystem) -> None:
        system.get("trying").tell(Add(1))

    history = await record_history(start, drive)

    assert [(turn.outcome, turn.state) for turn in history.turns] == [
        ("failed 1 times, and is tried again", "unchanged"),
        ("handled", {"total": 2}),
    ]
    assert history.lasted >= 120


class Full:
    """A journal that has no room, then some."""

    def __init__(self) -> None:
        self.has_room = False

    def append(self, record: object, **_: bool) -> bool:
        return self.has_room


async def test_what_a_journal_has_no_room_for_is_not_noted() -> None:
    full = Full()

    class Crowded(MemoryStore):
        async def open_journal(self, system: str, **options: Any) -> Any:
            return full

    recorded = RecordedStore(cast("Store", Crowded()))
    journal = await recorded.store.open_journal("bank")

    assert not journal.append(event(1, source=EXTERNAL))
    assert recorded.history.inputs == []
    full.has_room = True
    assert journal.append(event(2, source=EXTERNAL))
    assert [given.message for given in recorded.history.inputs] == [{"amount": 2}]
    assert journal.append(event(3))  # of an actor
    assert journal.append(event(4, source=EXTERNAL, event_type="message_replied"))
    assert len(recorded.history.inputs) == 1
