"""Durable actors that leave messages behind, and take them up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import anyio
import msgspec

from sentient_core import Actor, ActorRef, ActorSystem, MailboxOptions, Request, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store

__all__ = ["Book", "Fan", "Lines", "SendTo", "SmallBook", "StuckBook", "Write", "leave", "system_on"]


class Write(msgspec.Struct, frozen=True):
    line: int


class Lines(Request[list[int]], frozen=True):
    pass


class Book(Actor, tag="book"):
    """Writes lines."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct, tag="book.state"):
        lines: list[int] = []

    state: State

    @handles
    async def write(self, message: Write) -> None:
        self.state.lines.append(message.line)

    @handles
    async def lines(self, _: Lines) -> list[int]:
        return self.state.lines


class SmallBook(Book, tag="small-book"):
    """The same with a small mailbox, closed at first; it notes how many messages were in there at most."""

    mailbox = MailboxOptions(capacity=8)
    gate: ClassVar[anyio.Event]
    most: ClassVar[int] = 0

    @handles
    async def write(self, message: Write) -> None:
        await SmallBook.gate.wait()
        SmallBook.most = max(SmallBook.most, self.context.ref.statistics().depth)
        self.state.lines.append(message.line)


class StuckBook(Book, tag="stuck-book"):
    """The same, which never comes to the end of a line."""

    @handles
    async def write(self, message: Write) -> None:
        await anyio.sleep_forever()


class SendTo(msgspec.Struct, frozen=True):
    to: ActorRef[Any]
    lines: tuple[int, ...]


class Fan(Actor):
    """Sends many messages in one turn, and remembers to whom."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        to: ActorRef[Any] | None = None

    state: State

    @handles
    async def send_to(self, message: SendTo) -> None:
        self.state.to = message.to
        for line in message.lines:
            message.to.tell(Write(line))

    @handles
    async def again(self, message: Write) -> None:
        if self.state.to is not None:
            self.state.to.tell(message)


def system_on(store: Store) -> ActorSystem:
    return ActorSystem("library", store=store, watchdog=None)


async def leave(store: Store, lines: Iterable[int], *paths: str) -> None:
    """A start of the system that ends with these lines pending, at each of the paths."""
    async with system_on(store) as system:
        for path in paths or ("book",):
            ref = await system.spawn(StuckBook, name=path, shutdown="brutal_kill")
            for line in lines:
                await ref.send(Write(line))
