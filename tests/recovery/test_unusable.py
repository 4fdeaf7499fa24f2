"""A durable actor whose state or messages today's code cannot read: nothing is lost, and nothing loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from sentient_core import (
    ActivationFailed,
    Actor,
    ActorSystem,
    CheckpointUnusable,
    ChildSpec,
    DeadLetterReason,
    Supervisor,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store, SurrealStore
from tests.probes import letters
from tests.recovery.books import Book, Fan, Lines, SendTo, Write, leave, system_on


class NewerBook(Book, tag="book"):
    """What a release before this one wrote cannot be read by it."""

    schema_version = 2


class Shelf(Supervisor):
    children: ClassVar[Sequence[ChildSpec]] = [
        ChildSpec(NewerBook, name="book"),
        ChildSpec(Book, name="other"),
    ]


async def write_and_leave(store: Store, *, is_virtual: bool = False) -> None:
    """Line 0 is written, line 1 is pending."""
    async with system_on(store) as system:
        book = await _book(system, is_virtual=is_virtual)
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(book, (0,)))
        await fan.drain()
        assert await book.ask(Lines(), timeout=60) == [0]
    async with system_on(store) as system:
        fan = await system.spawn(Fan, name="fan")
        await fan.send(Write(1))
        await system.flush()


async def _book(system: ActorSystem, cls: type[Book] = Book, *, is_virtual: bool) -> Any:
    if is_virtual:
        return await system.get_or_spawn(cls, "moby")
    return await system.spawn(cls, name="book")


async def test_it_is_quarantined_with_the_reason_and_its_messages_stay(store: Store) -> None:
    await write_and_leave(store)

    async with system_on(store) as system:
        alerts: list[Any] = []
        system.alerts.subscribe(alerts.append)
        with pytest.raises(CheckpointUnusable, match="schema_version is 1, the class's 2"):
            await system.spawn(NewerBook, name="book")
        assert letters(system) == []
        assert {dormant.path: dormant.pending for dormant in system.dormant()}["book"] == 1
        fan = await system.spawn(Fan, name="fan")  # what others send to it stays as well
        await fan.send(Write(2))
        await fan.drain()
        assert letters(system) == []
    async with system_on(store) as system:  # the code is repaired
        book = await system.spawn(Book, name="book")

        assert await book.ask(Lines(), timeout=60) == [0, 1, 2]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)


async def test_its_siblings_do_not_notice(store: Store) -> None:
    class Before(Supervisor):
        children: ClassVar[Sequence[ChildSpec]] = [
            ChildSpec(Book, name="book"),
            ChildSpec(Book, name="other"),
        ]

    async with system_on(store) as system:
        await system.spawn(Before, name="shelf")
        for name in ("book", "other"):
            await system.get(f"shelf/{name}").send(Write(0))
            await system.get(f"shelf/{name}").ask(Lines(), timeout=60)
    async with system_on(store) as system:
        await system.spawn(Shelf, name="shelf")

        other = system.get("shelf/other")
        assert await other.ask(Lines(), timeout=60) == [0]
        assert other.incarnation == 2
        assert system.statistics().restarts == 0
        assert list(system.health().given_up) == ["shelf/book"]
        assert [dormant.path for dormant in system.dormant()] == ["shelf/book"]


async def test_a_virtual_one_keeps_its_messages_and_tries_again_with_the_next(store: Store) -> None:
    await write_and_leave(store, is_virtual=True)

    async with system_on(store) as system:
        book = await _book(system, NewerBook, is_virtual=True)
        for line in range(2, 7):
            await book.send(Write(line))
        with pytest.raises(ActivationFailed):
            await book.ask(Lines(), timeout=60)
        assert letters(system) == []
        starts = system.statistics().failures
        assert starts <= 4  # the window allows three restarts
        await system.flush()
        assert system.statistics().failures == starts
    async with system_on(store) as system:
        book = await _book(system, is_virtual=True)

        # The question that was refused stays pending, too: it is answered to nobody.
        assert await book.ask(Lines(), timeout=60) == list(range(7))
        assert (await system.audit()).is_balanced


async def test_recover_tells_of_one_whose_state_is_unusable(store: Store) -> None:
    await write_and_leave(store)

    async with system_on(store) as system:
        recovered = await system.recover([NewerBook, Fan])

        assert recovered.started == 1
        assert "schema_version" in recovered.skipped["book"]


async def test_a_message_that_the_code_does_not_know_any_more_is_a_dead_letter_with_its_bytes(
    store: Store,
) -> None:
    class Mute(Actor, tag="book"):
        durability: ClassVar[DurabilityName] = "durable"

        @handles
        async def lines(self, _: Lines) -> list[int]:
            return []

    await leave(store, [7])
    async with system_on(store) as system:
        await system.spawn(Mute, name="book")
        (letter,) = await system.dead_letters.list()
        assert (letter.reason, letter.message_type) == (DeadLetterReason.UNHANDLED, "Write")
        assert letter.payload["line"] == 7
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        assert (await system.dead_letters.redrive(letter.message_id)).sent == 1

        assert await book.ask(Lines(), timeout=60) == [7]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)


async def test_a_row_that_was_changed_by_hand_keeps_nobody(tmp_path: Any) -> None:
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        await leave(store, range(3))
        await store.query(
            "UPDATE inbox SET record = <bytes>'nonsense' WHERE id[3] = $seq", seq=await _second(store)
        )

        async with system_on(store) as system:
            book = await system.spawn(Book, name="book")

            assert await book.ask(Lines(), timeout=60) == [0, 2]
            ((_, reason),) = letters(system)
            assert reason == DeadLetterReason.UNHANDLED
            assert "digest" in system.dead_letters[0].cause


async def test_a_state_that_was_changed_by_hand_is_not_begun_with(tmp_path: Any) -> None:
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        await write_and_leave(store)
        await store.query("UPDATE state_checkpoint SET state = $state WHERE kind = 'state'", state=b"\x80")

        async with system_on(store) as system:
            with pytest.raises(CheckpointUnusable, match="digest"):
                await system.spawn(Book, name="book")
            assert letters(system) == []


async def _second(store: SurrealStore) -> int:
    (found,) = await store.query("SELECT VALUE id[3] FROM inbox")
    return int(sorted(found)[1])
