"""Messages that a durable actor takes in `on_receive`: given to it after a restart too, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    HandlerFailed,
    MemoryStore,
    Request,
    Terminated,
    UnencodableMessage,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store
from tests.recovery.books import system_on

M = TypeVar("M")


class Note(msgspec.Struct, frozen=True):
    text: str


class LongNote(Note, frozen=True):
    pages: int = 100


class Stock(msgspec.Struct, frozen=True):
    count: int


class Kept(Request[list[str]], frozen=True):
    pass


class Book(Actor[M]):
    """Keeps what it is sent."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct, tag="book.state"):
        kept: list[str] = []

    state: State

    @handles
    async def all_kept(self, _: Kept) -> list[str]:
        return self.state.kept

    async def on_receive(self, message: Any) -> None:
        self.state.kept.append(repr(message))


class Notebook(Book[Any], tag="notebook"):
    """Takes whatever it is sent."""


class Annotated(Notebook, tag="annotated"):
    async def on_receive(self, message: Note | Stock) -> None:
        self.state.kept.append(repr(message))


class Declared(Book[Note | Stock | Kept], tag="declared"):
    pass


class Inherited(Annotated, tag="inherited"):
    pass


class Pass(msgspec.Struct, frozen=True):
    how: str
    to: ActorRef[Any]


class Clerk(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    @handles
    async def hand_over(self, message: Pass) -> None:
        if message.how == "timer":
            self.context.timers.once("later", 60, Note("late"), durable=True)
        elif message.how == "forward":
            self.context.forward(message.to)
        else:
            message.to.tell(Note("hello"))

    async def on_receive(self, message: Any) -> None:
        """For timers."""


@pytest.mark.parametrize("cls", [Annotated, Declared, Inherited])
async def test_what_its_class_names_is_given_to_it_at_the_next_start(store: Store, cls: type[Any]) -> None:
    messages = (Note("a"), Stock(2), LongNote("b"))
    await leave_with(store, cls, *messages)

    assert await kept_after_restart(store, cls) == [repr(message) for message in messages]


async def test_plain_values_need_no_name(store: Store) -> None:
    messages = ("a", 2, 0.5, True, b"c", [1, "d"], (1, 2), {"e": {"f": 1}}, {"g"})
    await leave_with(store, Notebook, *messages)

    assert await kept_after_restart(store, Notebook) == [repr(message) for message in messages]


def send_from_thread(ref: Any, system: ActorSystem) -> Any:
    return anyio.to_thread.run_sync(lambda: system.from_thread.tell(ref, Note("a")))


SENT: dict[str, Callable[[Any, ActorSystem], Any]] = {
    "send": lambda ref, _: ref.send(Note("a")),
    "send under an id": lambda ref, _: ref.send(Note("a"), message_id="n1"),
    "ask": lambda ref, _: ref.ask(Note("a"), timeout=60),
    "ask_many": lambda ref, system: system.ask_many([ref], Note("a"), timeout=60),
    "from a thread": send_from_thread,
}


@pytest.mark.parametrize("how", SENT)
async def test_what_nobody_could_read_again_is_refused_where_it_is_sent(how: str) -> None:
    async with system_on(MemoryStore()) as system:
        ref = await system.spawn(Notebook, name="n")
        with pytest.raises(
            UnencodableMessage, match=r"Note to 'n' cannot be stored.*annotate the message of"
        ):
            await SENT[how](ref, system)
        with pytest.raises(UnencodableMessage):
            ref.tell(Note("a"))
        with pytest.raises(UnencodableMessage):
            system.broadcast([ref], Note("a"))
        assert (await system.audit()).actors == ()


@pytest.mark.parametrize("how", ["tell", "forward", "timer"])
async def test_in_a_turn_as_well(how: str) -> None:
    async with system_on(MemoryStore()) as system:
        ref = await system.spawn(Notebook, name="n")
        clerk = await system.spawn(Clerk, name="clerk")
        with pytest.raises(HandlerFailed, match=r"cannot be stored"):
            await clerk.ask(Pass(how, ref), timeout=60)


async def test_what_the_runtime_tells_it_needs_no_name() -> None:
    told: list[object] = []
    is_told = anyio.Event()

    class Watcher(Notebook):
        def __init__(self, other: ActorRef[Any]) -> None:
            self.other = other

        async def on_start(self) -> None:
            self.context.watch(self.other)

        async def on_receive(self, message: Any) -> None:
            told.append(message)
            is_told.set()

    async with system_on(MemoryStore()) as system:
        other = await system.spawn(Clerk, name="other")
        await system.spawn(Watcher, other, name="w")
        await other.stop()
        with anyio.fail_after(60):
            await is_told.wait()

    assert told == [Terminated(other, None)]


async def leave_with(store: Store, cls: type[Any], *messages: object) -> None:
    """A start of the system that ends with these messages pending."""
    async with system_on(store) as system:
        ref = await system.spawn(cls, name="n", shutdown="brutal_kill")
        ref.pause()
        for message in messages:
            await ref.send(message)


async def kept_after_restart(store: Store, cls: type[Any]) -> list[str]:
    async with system_on(store) as system:
        ref = await system.spawn(cls, name="n")
        found: list[str] = await ref.ask(Kept(), timeout=60)
        return found
