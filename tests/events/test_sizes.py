"""What is larger than a record of the store may be is refused where it is made, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    CheckpointPolicy,
    DeadLetterFilter,
    HandlerFailed,
    InvalidArgument,
    JournalOptions,
    MemoryStore,
    MessageTooLarge,
    NotRedrivable,
    Request,
    StateTooLarge,
    TurnTooLarge,
    UnencodableMessage,
    UnencodableState,
    handles,
)
from sentient_core.store.memory import MemoryJournal
from sentient_core.store.protocols import LARGEST_RECORD
from tests.probes import Save, Say, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]

SMALL = JournalOptions(record_bytes=1_000)


class Grow(msgspec.Struct, frozen=True):
    by: int


class Spread(Request[None], frozen=True):
    """Send so many copies of a message of so many bytes."""

    copies: int
    size: int


class Text(Request[str], frozen=True):
    """What was kept."""


class Keeper(Actor):
    """Keeps texts; its state and its replies grow with them."""

    checkpoint_policy = CheckpointPolicy(messages=None, seconds=None)

    class State(msgspec.Struct):
        text: str = ""

    state: State

    @handles
    def say(self, message: Say) -> None:
        self.state.text = message.text

    @handles
    def grow(self, message: Grow) -> None:
        self.state.text += "x" * message.by

    @handles
    def text(self, message: Text) -> str:
        return self.state.text

    @handles
    async def save(self, message: Save) -> str:
        return await self.checkpoint()


class Unwritten(Keeper):
    durability = "volatile"


def exactly(size: int) -> Say:
    """A message of so many bytes."""
    empty = len(msgspec.msgpack.encode(Say("x" * 300))) - 300
    return Say("x" * (size - empty))


async def tell(ref: ActorRef[Keeper], message: Say) -> None:
    ref.tell(message)


async def send(ref: ActorRef[Keeper], message: Say) -> None:
    await ref.send(message, timeout=1)


async def ask(ref: ActorRef[Keeper], message: Say) -> None:
    await ref.ask(message, timeout=1)


@pytest.mark.parametrize("deliver", [tell, send, ask], ids=lambda function: function.__name__)
async def test_a_message_that_is_too_large_is_refused_at_the_call(
    deliver: Callable[[ActorRef[Keeper], Say], Awaitable[None]],
) -> None:
    store = MemoryStore()
    async with running(store=store, journal=SMALL) as system:
        ref = await system.spawn(Keeper, name="a")

        with pytest.raises(
            MessageTooLarge, match=r"'a' cannot be stored: it has 1,001 bytes.* 1,000"
        ) as caught:
            await deliver(ref, exactly(1_001))

        assert (caught.value.size, caught.value.limit) == (1_001, 1_000)
        assert isinstance(caught.value, UnencodableMessage)
        await deliver(ref, exactly(1_000))
        await system.flush()
        (event,) = await store.events("test", event_type="message_sent")
        assert event.event_type == "message_sent"
        assert len(event.payload["text"]) > 900


async def test_a_volatile_actor_takes_any_message_and_its_death_leaves_words() -> None:
    store = MemoryStore()
    async with running(store=store, journal=SMALL) as system:
        ref = await system.spawn(Unwritten, name="a", restart="temporary")
        ref.tell(exactly(5_000))
        assert len(await ref.ask(Text(), timeout=1)) > 4_900
        await ref.kill()
        ref.tell(exactly(5_000))
        await system.flush()

        (letter,) = await store.dead_letters("test")

        assert letter.payload is None
        assert "xxx" in str(letter.message)


async def test_a_reply_that_is_too_large_fails_its_handler() -> None:
    async with running(journal=SMALL) as system:
        ref = await system.spawn(Keeper, name="a")
        ref.tell(Grow(2_000))

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Text(), timeout=1)

        assert isinstance(caught.value.__cause__, MessageTooLarge)


async def test_a_state_that_is_too_large_is_an_error_in_its_turn_and_the_checkpoint_before_stands() -> None:
    store = MemoryStore()
    async with running(store=store, journal=SMALL) as system:
        ref = await system.spawn(Keeper, name="a")
        ref.tell(Grow(900))
        await ref.ask(Save(), timeout=1)
        ref.tell(Grow(900))

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Save(), timeout=1)

        assert isinstance(caught.value.__cause__, StateTooLarge)
        assert isinstance(caught.value.__cause__, UnencodableState)
        assert "the store takes at most 1,000" in str(caught.value.__cause__)
        assert len(await ref.ask(Text(), timeout=1)) == 900
        await system.flush()
        assert [len(row.state) < 1_000 for row in await store.checkpoint_rows("test", "a")] == [True]


class Ledger(Keeper):
    """All that it does commits together."""

    durability = "durable"

    def __init__(self, other: ActorRef[Keeper] | None = None) -> None:
        self.other = other

    @handles
    def spread(self, message: Spread) -> None:
        self.state.text = "touched"
        for _ in range(message.copies):
            if self.other is not None:
                self.other.tell(exactly(message.size))


async def test_a_durable_actor_refuses_what_is_too_large_as_well() -> None:
    store = MemoryStore()
    async with running(store=store, journal=SMALL) as system:
        ref = await system.spawn(Ledger, await system.spawn(Keeper), name="a")
        with pytest.raises(MessageTooLarge):
            await ref.send(exactly(1_001), timeout=1)
        await ref.send(Grow(900), timeout=1)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Grow(900), timeout=1)

        assert isinstance(caught.value.__cause__, StateTooLarge)
        assert len(await ref.ask(Text(), timeout=1)) == 900
        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Spread(1, 1_001), timeout=1)
        assert isinstance(caught.value.__cause__, MessageTooLarge)
        assert (await system.audit()).is_balanced


class Narrow(MemoryStore):
    """It takes no more of a turn than this."""

    async def open_journal(self, *arguments: Any, **options: Any) -> MemoryJournal:
        journal = await super().open_journal(*arguments, **options)
        journal.largest_turn = 4_000
        return journal


async def test_a_turn_that_leaves_too_much_leaves_nothing() -> None:
    store = Narrow()
    async with running(store=store) as system:
        other = await system.spawn(Ledger, name="other")
        ref = await system.spawn(Ledger, other, name="a")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Spread(4, 1_000), timeout=1)

        assert isinstance(caught.value.__cause__, TurnTooLarge)
        assert "a turn of 'a'" in str(caught.value.__cause__)
        assert await ref.ask(Text(), timeout=1) == ""
        assert await other.ask(Text(), timeout=1) == ""
        await ref.ask(Spread(2, 1_000), timeout=1)
        assert await ref.ask(Text(), timeout=1) == "touched"
        assert len(await other.ask(Text(), timeout=1)) > 900
        await system.flush()
        sent = await store.events("test", agent="other", message_type="Say")
        assert len(sent) == 2
        assert (await system.audit()).is_balanced


async def test_a_dead_letter_that_a_store_of_more_room_took_is_not_redriven() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Keeper, name="a", restart="temporary")
        await ref.kill()
        ref.tell(exactly(5_000))
        await system.flush()
        (letter,) = await store.dead_letters("test")

    async with running(store=store, journal=SMALL) as system:
        await system.spawn(Keeper, name="a")
        with pytest.raises(NotRedrivable, match="5,000 bytes"):
            await system.dead_letters.redrive(letter.message_id)
        redriven = await system.dead_letters.redrive(DeadLetterFilter())
        assert redriven.skipped == 1
    assert (await store.dead_letters("test"))[0].payload == letter.payload


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_nothing_fits_into_is_refused(size: int) -> None:
    with pytest.raises(InvalidArgument, match="record_bytes"):
        JournalOptions(record_bytes=size)


async def test_more_than_the_store_takes_has_no_effect() -> None:
    journal = await MemoryStore().open_journal("a", options=JournalOptions(record_bytes=10 * LARGEST_RECORD))

    assert journal.largest_record == LARGEST_RECORD
