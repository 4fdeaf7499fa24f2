"""A conversation goes on over starts: every record names its first message by the id that it has."""

from __future__ import annotations

from typing import Any, ClassVar

import structlog

from sentient_core import Actor, ActorSystem, Request, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store
from tests.recovery.books import Write, leave, system_on


class Who(Request[list[str | None]], frozen=True):
    pass


class Told(Actor):
    """Is told of a line by a book of an earlier start's conversation."""

    durability: ClassVar[DurabilityName] = "mirrored"

    @handles
    def write(self, message: Write) -> None:
        pass


class Teller(Actor, tag="stuck-book"):
    """Says of which conversation the message in hand is; passes it on, or fails."""

    durability: ClassVar[DurabilityName] = "durable"
    seen: ClassVar[list[Any]]

    @handles
    async def write(self, message: Write) -> None:
        envelope = self.context.message
        assert envelope is not None
        Teller.seen.append((envelope.message_id, envelope.correlation_id))
        self.context.system.get("told").tell(message)
        if message.line == 1:
            raise ValueError("poisoned")


async def _events(system: ActorSystem, store: Store, kind: str) -> list[tuple[str, str | None, str | None]]:
    await system.flush()
    found = await store.events("library", event_type=kind, limit=100)
    return [(event.event_id, event.correlation_id, event.causation_id) for event in reversed(found)]


async def test_messages_failures_letters_and_logs_name_the_first_message(store: Store) -> None:
    Teller.seen = []
    await leave(store, [0, 1])
    async with system_on(store) as system:
        first = await _events(system, store, "message_sent")
        (zero, _, _), (one, _, _) = first

        await system.spawn(Told, name="told")
        with structlog.testing.capture_logs() as lines:
            async with system.dead_letters.follow() as gone:
                await system.spawn(Teller, name="book")
                letter = await anext(aiter(gone))

        assert Teller.seen == [(zero, zero), (one, one)]
        assert zero.startswith("1.")
        assert (letter.message_id, letter.correlation_id) == (one, one)
        (stored,) = await system.dead_letters.list()
        assert (stored.message_id, stored.correlation_id) == (one, one)
        passed_on = (await _events(system, store, "message_sent"))[2:]
        assert [(correlation, causation) for _, correlation, causation in passed_on] == [(zero, zero)]
        ((_, *failure),) = await _events(system, store, "actor_failed")
        assert failure == [one, one]
        logged = {line["event"]: line.get("correlation_id") for line in lines}
        assert (logged["actor failed"], logged["dead letter"]) == (one, one)


async def test_so_do_redriven_ones_and_those_that_are_pending_again(store: Store) -> None:
    Teller.seen = []
    await leave(store, [1])
    async with system_on(store) as system:
        ((one, _, _),) = await _events(system, store, "message_sent")
        await system.spawn(Told, name="told")
        async with system.dead_letters.follow() as gone:
            await system.spawn(Teller, name="book")
            await anext(aiter(gone))
    async with system_on(store) as system:
        told = await system.spawn(Told, name="told")
        async with system.dead_letters.follow() as gone:
            await system.spawn(Teller, name="book")
            await system.dead_letters.redrive(one)
            letter = await anext(aiter(gone))

        assert told.is_alive
        assert Teller.seen == [(one, one)] * 2
        assert (letter.message_id, letter.correlation_id) == (one, one)
        ((_, *redriven),) = await _events(system, store, "message_redriven")
        assert redriven == [one, one]
        assert {tuple(rest) for _, *rest in (await _events(system, store, "actor_failed"))[:1]} == {
            (one, one)
        }
        assert (await _events(system, store, "actor_failed"))[1][1] == one
