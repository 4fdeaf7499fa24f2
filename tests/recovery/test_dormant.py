"""A durable path where nobody has been spawned goes on accepting messages."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from sentient_core import Actor, ActorRef, ActorStopped, ActorSystem, DeadLetterReason, Request, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store
from tests.probes import letters
from tests.recovery.books import Book, Fan, Lines, SendTo, Write, leave, system_on


class Tell(Request[None], frozen=True):
    line: int
    fails: bool = False


class Know(Request[None], frozen=True):
    book: ActorRef[Any]


class Send(Request[None], frozen=True):
    line: int


class Ask(Request[str], frozen=True):
    pass


class Reader(Actor):
    """Knows a book from an earlier start, and is itself not durable."""

    durability: ClassVar[DurabilityName] = "mirrored"

    class State(msgspec.Struct):
        book: ActorRef[Any] | None = None

    state: State

    @handles
    async def know(self, message: Know) -> None:
        self.state.book = message.book
        await self.checkpoint()

    @handles
    def tell(self, message: Tell) -> None:
        assert self.state.book is not None
        self.state.book.tell(Write(message.line))

    @handles
    async def send(self, message: Send) -> None:
        assert self.state.book is not None
        await self.state.book.send(Write(message.line))

    @handles
    async def ask(self, _: Ask) -> str:
        assert self.state.book is not None
        try:
            await self.state.book.ask(Lines(), timeout=60)
        except ActorStopped as error:
            return str(error)
        return "answered"


async def introduce(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        await (await system.spawn(Reader, name="reader")).ask(Know(book), timeout=60)
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(book, (0,)))
        await fan.drain()
        await book.ask(Lines(), timeout=60)


def pending_of(system: ActorSystem) -> dict[str, int]:
    return {dormant.path: dormant.pending for dormant in system.dormant()}


async def test_what_is_sent_to_it_waits_for_who_is_spawned_there(store: Store) -> None:
    await introduce(store)
    async with system_on(store) as system:
        reader = await system.spawn(Reader, name="reader")
        await reader.ask(Tell(1), timeout=60)
        await reader.ask(Send(2), timeout=60)
        assert pending_of(system) == {"book": 2}
        assert letters(system) == []

    async with system_on(store) as system:
        assert pending_of(system)["book"] == 2
        reader = await system.spawn(Reader, name="reader")
        await reader.ask(Tell(3), timeout=60)
        book = await system.spawn(Book, name="book")
        assert pending_of(system) == {}
        await reader.ask(Tell(4), timeout=60)

        assert await book.ask(Lines(), timeout=60) == [0, 1, 2, 3, 4]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)
        assert letters(system) == []


async def test_so_does_what_a_durable_turn_sends(store: Store) -> None:
    await leave(store, range(3))
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(book, (3,)))
        assert await book.ask(Lines(), timeout=60) == [0, 1, 2, 3]
    async with system_on(store) as system:
        fan = await system.spawn(Fan, name="fan")
        for line in (4, 5):
            await fan.send(Write(line))
        await system.flush()
        book = await system.spawn(Book, name="book")

        assert await book.ask(Lines(), timeout=60) == [0, 1, 2, 3, 4, 5]
        assert (await system.audit()).is_balanced


async def test_who_asks_is_told_at_once_that_nobody_is_there(store: Store) -> None:
    await introduce(store)
    async with system_on(store) as system:
        reader = await system.spawn(Reader, name="reader")

        assert "nobody is there to answer" in await reader.ask(Ask(), timeout=60)
        assert pending_of(system) == {"book": 0}


async def test_one_that_ended_for_good_is_not_expected_again(store: Store) -> None:
    await introduce(store)
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        await book.stop()
        assert [dormant.path for dormant in system.dormant()] == []
    async with system_on(store) as system:
        reader = await system.spawn(Reader, name="reader")
        await reader.ask(Tell(1), timeout=60)

        assert letters(system) == [(Write(1), DeadLetterReason.UNKNOWN)]
        assert system.dormant() == []


async def test_the_health_counts_what_waits(store: Store) -> None:
    await leave(store, range(3), "a", "b")
    async with system_on(store) as system:
        health = system.health()
        assert (health.dormant, health.dormant_pending) == (2, 6)
        assert health.reasons == () or "dormant" not in " ".join(health.reasons)
        await system.spawn(Book, name="a")

        assert system.health().dormant == 1


async def test_a_virtual_one_takes_it_up_when_it_is_asked_for(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.get_or_spawn(Book, "moby")
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(book, (0, 1)))
        assert await book.ask(Lines(), timeout=60) == [0, 1]
    async with system_on(store) as system:
        fan = await system.spawn(Fan, name="fan")
        await fan.send(Write(2))
        await system.flush()
        assert pending_of(system) == {"book/moby": 1}
        book = await system.get_or_spawn(Book, "moby")

        assert await book.ask(Lines(), timeout=60) == [0, 1, 2]


@pytest.mark.parametrize("is_virtual", [False, True])
async def test_at_the_end_of_the_system_nothing_becomes_a_dead_letter(store: Store, is_virtual: bool) -> None:
    async with system_on(store) as system:
        book = (
            await system.get_or_spawn(Book, "moby") if is_virtual else await system.spawn(Book, name="book")
        )
        fan = await system.spawn(Fan, name="fan")
        for line in range(20):
            fan.tell(SendTo(book, (line,)))
    async with system_on(store) as system:
        assert system.dead_letters.total == 0
        assert await system.dead_letters.list() == []
        fan = await system.spawn(Fan, name="fan")
        await fan.drain()
        book = (
            await system.get_or_spawn(Book, "moby") if is_virtual else await system.spawn(Book, name="book")
        )

        assert await book.ask(Lines(), timeout=60) == list(range(20))
