"""A durable actor takes up what earlier starts have left, however much that is, in order."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import pytest

from sentient_core import (
    Backoff,
    ChildSpec,
    DeadLetterReason,
    MailboxOptions,
    SendTimeout,
    Supervisor,
    handles,
)
from sentient_core.store import Store
from tests.probes import letters
from tests.recovery.books import Book, Fan, Lines, SendTo, SmallBook, Write, leave, system_on


@pytest.fixture(autouse=True)
def closed_gate() -> None:
    SmallBook.gate, SmallBook.most = anyio.Event(), 0


async def test_what_is_pending_comes_first_and_in_order(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        book.tell(Write(50))

        assert await book.ask(Lines(), timeout=10) == list(range(51))
        assert (await system.audit()).is_balanced


async def test_beyond_the_capacity_it_is_read_in_parts_and_what_comes_stays_behind_it(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        book = await system.spawn(SmallBook, name="book")
        book.tell(Write(1_000))  # there is no room
        with pytest.raises(SendTimeout):
            await book.send(Write(1_001), timeout=0.01)
        assert book.statistics().depth <= 8

        SmallBook.gate.set()
        await book.send(Write(50))

        assert await book.ask(Lines(), timeout=10) == list(range(51))
        assert SmallBook.most <= 8
        assert letters(system) == [(Write(1_000), DeadLetterReason.FULL)]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)


async def test_what_a_turn_sends_beyond_the_capacity_waits_in_the_store(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.spawn(SmallBook, name="book")
        fan = await system.spawn(Fan, name="fan")
        for first in (0, 50, 100):
            await fan.send(SendTo(book, tuple(range(first, first + 50))))
        await system.flush()
        assert book.statistics().depth <= 8

        SmallBook.gate.set()

        assert await book.ask(Lines(), timeout=10) == list(range(150))
        assert SmallBook.most <= 8
        assert letters(system) == []


async def test_many_senders_keep_their_orders(store: Store) -> None:
    senders, sends, size = 5, 6, 7
    async with system_on(store) as system:
        book = await system.spawn(SmallBook, name="book")
        SmallBook.gate.set()
        fans = [await system.spawn(Fan, name=f"fan-{number}") for number in range(senders)]
        for turn in range(sends):
            for number, fan in enumerate(fans):
                first = 1_000 * number + size * turn
                fan.tell(SendTo(book, tuple(range(first, first + size))))
        for fan in fans:
            await fan.drain()

        lines = await book.ask(Lines(), timeout=10)

        for number in range(senders):
            own = [line for line in lines if line // 1_000 == number]
            assert own == list(range(1_000 * number, 1_000 * number + sends * size))
        assert (await system.audit()).is_balanced


async def test_what_was_not_read_is_there_for_the_next_start(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        await system.spawn(SmallBook, name="book", shutdown="brutal_kill")
        assert system.dead_letters.total == 0
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")

        assert await book.ask(Lines(), timeout=10) == list(range(50))


async def test_a_restart_goes_on_where_it_was(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        book = await system.spawn(SmallBook, name="book")
        await book.kill()  # the one in hand was not handled: it is a dead letter
        SmallBook.gate.set()

        assert await book.ask(Lines(), timeout=10) == list(range(1, 50))
        assert letters(system) == [(Write(0), DeadLetterReason.STOPPED)]


async def test_a_drain_handles_what_is_in_the_store_too(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        book = await system.spawn(SmallBook, name="book")
        ending = book.drain()
        SmallBook.gate.set()
        await ending

        again = await system.spawn(Book, name="book")
        assert await again.ask(Lines(), timeout=10) == list(range(50))
        assert letters(system) == []


async def test_a_drain_of_one_that_is_to_be_restarted_handles_what_is_in_the_store_alone(
    store: Store,
) -> None:
    class Breaking(Book):
        mailbox = MailboxOptions(capacity=8)
        has_failed = anyio.Event()

        @handles
        async def write(self, message: Write) -> None:
            if message.line == 7:  # the last one that the mailbox had room for
                raise ValueError
            self.state.lines.append(message.line)

        def on_failure(self, cause: Exception) -> None:
            Breaking.has_failed.set()

    class Shelf(Supervisor):
        durability = "volatile"
        children = (ChildSpec(Breaking, name="book", backoff=Backoff(first=0.2, jitter=0.0)),)

    async with system_on(store) as system:
        await system.spawn(Shelf, name="shelf")
        book = system.get("shelf/book")
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(book, tuple(range(20))))
        await Breaking.has_failed.wait()
        await anyio.wait_all_tasks_blocked()

        await book.drain()

        assert letters(system) == [(Write(7), DeadLetterReason.FAILED)]
        state = (await system.state_at("shelf/book", datetime.now(UTC))).state
        assert state.lines == [*range(7), *range(8, 20)]


async def test_an_end_for_good_gives_up_what_is_in_the_store_too(store: Store) -> None:
    await leave(store, range(50))

    async with system_on(store) as system:
        await system.spawn(SmallBook, name="book", shutdown="brutal_kill")
        async with system.dead_letters.follow() as gone:
            await system.terminate_child("book")
            for _ in range(50):
                await anext(aiter(gone))

        audit = await system.audit()
        assert audit.is_balanced, str(audit)
        assert [message for message, _ in letters(system)] == [Write(line) for line in range(50)]
        assert audit.actors[0].pending == 0


async def test_so_does_what_is_sent_to_a_passive_one(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.get_or_spawn(SmallBook, "moby")
        fan = await system.spawn(Fan, name="fan")
        for first in (0, 50):
            await fan.send(SendTo(book, tuple(range(first, first + 50))))
        await system.flush()
        assert book.statistics().depth <= 8

        SmallBook.gate.set()

        assert await book.ask(Lines(), timeout=10) == list(range(100))
        assert letters(system) == []
        assert (await system.audit()).is_balanced
