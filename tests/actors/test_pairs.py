"""Every way for a message to come × everything that a handler may do with it × every kind of actor.

Whatever comes together, the message is handled exactly once, by whom it should be, and whoever asked is told.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    DeadLetterFilter,
    HandlerFailed,
    MemoryStore,
    Redriven,
    Request,
    handles,
)
from tests.probes import Log, letters, running


class Item(Request[str], frozen=True):
    name: str


class Begin(msgspec.Struct, frozen=True):
    """Have the item come in one of the ways in which an actor sends it to itself."""

    way: str


class Unstash(msgspec.Struct, frozen=True):
    pass


class Back(Actor):
    """Whom items are forwarded to."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    def item(self, message: Item) -> str:
        self.log(f"{message.name} at the back")
        return message.name


class Volatile(Actor):
    """Does with items what it is told, in the given order; then it takes them."""

    durability: ClassVar[Any] = "volatile"

    class State(msgspec.Struct):
        handled: int = 0

    state: State

    def __init__(self, log: Log, deeds: list[str], back: ActorRef[Back], other: ActorRef[Back]) -> None:
        self.log = log
        self.deeds = deeds
        self.back = back
        self.other = other

    @handles
    def item(self, message: Item) -> str:
        self.context.set_receive_timeout(None)
        deed = self.deeds.pop(0) if self.deeds else "take"
        if deed == "stash":
            self.context.stash()
        elif deed == "forward":
            self.context.forward(self.back)
        elif deed == "fail":
            raise ValueError
        else:
            self.log(message.name)
            self.state.handled += 1
        return message.name

    async def item_of_proxy(self, name: str) -> str:
        return self.item(Item(name))

    @handles
    def unstash(self, message: Unstash) -> None:
        assert self.context.unstash_all() == 1

    @handles
    def begin(self, message: Begin) -> None:
        item, context = Item("x"), self.context
        if message.way == "tick":
            context.timers.once("key", 1, item)
        elif message.way == "watch":
            context.watch(self.other, item)
            self.other.stop()
        elif message.way == "pipe":
            context.pipe_to_self(self.make, item)
        else:
            context.set_receive_timeout(1, item)

    async def make(self, item: Item) -> Item:
        await anyio.sleep(1)
        return item


class Mirrored(Volatile):
    durability = "mirrored"


class Copying(Volatile):
    isolation = "copy"


class Checking(Volatile):
    isolation = "check"


class Virtual(Mirrored):
    passivate_after = 0.5


class Waiting(Volatile):
    """Its handler is a coroutine function: nothing is answered at once."""

    @handles
    async def item(self, message: Item) -> str:  # type: ignore[override]
        await anyio.sleep(0.1)
        return super().item(message)


WAYS = ["tell", "ask", "priority", "proxy", "tick", "watch", "pipe", "quiet"]
DEEDS = ["take", "stash", "forward", "fail"]
KINDS = [Volatile, Mirrored, Copying, Checking, Virtual, Waiting]


CASES = [
    (way, deed, cls)
    for way, deed, cls in itertools.product(WAYS, DEEDS, KINDS)
    # A call is for a method of this very class; and one that is a handler too is called as it is.
    if not (way == "proxy" and (deed == "forward" or cls is Waiting))
]


async def bring(system: ActorSystem, ref: ActorRef[Any], way: str) -> object:
    """Have the item come; what the asker gets, if one asks."""
    if way == "tell":
        ref.tell(Item("x"))
    elif way == "ask":
        return await ref.ask(Item("x"), timeout=100)
    elif way == "priority":
        ref.with_options(priority=1, expires=100).tell(Item("x"))
    elif way == "proxy":
        return await ref.proxy(timeout=100).item_of_proxy("x")
    else:
        ref.tell(Begin(way))
    return None


@pytest.mark.parametrize(("way", "deed", "cls"), CASES)
async def test_an_item_is_handled_once(way: str, deed: str, cls: type[Volatile]) -> None:
    log = Log()
    async with running(store=MemoryStore()) as system:
        back, other = await system.spawn(Back, log), await system.spawn(Back, log)
        args = (log, [] if deed == "take" else [deed], back, other)
        spawned = system.get_or_spawn(cls, "v", *args) if cls is Virtual else system.spawn(cls, *args)
        ref = await spawned
        outcomes: list[object] = []

        async def ask() -> None:
            try:
                outcomes.append(await bring(system, ref, way))
            except HandlerFailed as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(3)
            if deed == "stash":
                assert log.lines == []
                ref.tell(Unstash())
        await anyio.sleep(1)

        if deed == "fail":
            ((message, reason),) = letters(system)
            assert reason == "failed"
            assert message == Item("x") or way == "proxy"
            assert await system.dead_letters.redrive(DeadLetterFilter()) == Redriven(1)
            await anyio.sleep(1)
        assert log.lines == ["x at the back" if deed == "forward" else "x"]
        assert len(system.dead_letters) == (1 if deed == "fail" else 0)
        if way in ("ask", "proxy"):
            (outcome,) = outcomes
            assert isinstance(outcome, HandlerFailed) if deed == "fail" else outcome == "x"
