"""Values that no store can hold, in durable turns: the turn that made them fails, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sentient_core import (
    Actor,
    HandlerFailed,
    MemoryStore,
    Request,
    SentientError,
    StartFailed,
    StateTooLarge,
    UnencodableMessage,
    UnencodableState,
    handles,
)
from tests.probes import Log, Say, Total, letters, running


def _loop() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


BAD: dict[str, Callable[[], object]] = {
    "object": object,
    "lone surrogate": lambda: "\ud800",
    "large number": lambda: 2**70,
    "loop": _loop,
    "function": lambda: print,
    "key": lambda: {object(): 1},
}


class Parcel(Request[Any], frozen=True):
    """Do something with a value that cannot be written."""

    how: str
    what: str = "object"


class Carry(msgspec.Struct, frozen=True):
    content: Any


class Clerk(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        total: int = 0
        content: Any = None

    state: State

    def __init__(self, other: Any) -> None:
        self.other = other

    @handles
    async def parcel(self, message: Parcel) -> Any:
        bad = BAD[message.what]()
        self.other.tell(Say(message.how))
        self.state.total += 1
        match message.how:
            case "state":
                self.state.content = bad
            case "reply":
                return bad
            case "tell":
                self.other.tell(Carry(bad))
            case "send":
                await self.other.send(Carry(bad))
            case "ask":
                await self.other.ask(Carry(bad), timeout=1)
            case "timer":
                self.context.timers.once("later", 1.0, Carry(bad), durable=True)
            case "caught":
                with pytest.raises(UnencodableMessage):
                    self.other.tell(Carry(bad))
            case _:
                pass
        return None

    @handles
    def total(self, message: Total) -> int:
        return self.state.total


class Shelf(Actor):
    durability = "durable"

    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    def say(self, message: Say) -> None:
        self.log(message.text)

    @handles
    def carry(self, message: Carry) -> None:
        self.log("carried")


@pytest.mark.parametrize("what", list(BAD))
@pytest.mark.parametrize("how", ["state", "reply", "tell", "send", "ask", "timer"])
async def test_a_turn_that_makes_such_a_value_fails_and_leaves_nothing(how: str, what: str) -> None:
    log, store = Log(), MemoryStore()
    async with running(store=store) as system:
        shelf = await system.spawn(Shelf, log, name="shelf")
        clerk = await system.spawn(Clerk, shelf, name="clerk")
        await clerk.ask(Parcel("nothing"), timeout=5)

        with pytest.raises(HandlerFailed) as caught:
            await clerk.ask(Parcel(how, what), timeout=5)

        kind = UnencodableState if how == "state" else UnencodableMessage
        assert isinstance(caught.value.__cause__, kind)
        assert [reason for _, reason in letters(system)] == ["failed"]
        assert await clerk.ask(Total(), timeout=5) == 1
        assert system.statistics().restarts == 1
        await clerk.ask(Parcel("caught", what), timeout=5)
        assert (await system.audit()).is_balanced
    assert log.lines == ["nothing", "caught"]
    async with running(store=store) as system:
        clerk = await system.spawn(Clerk, await system.spawn(Shelf, log, name="shelf"), name="clerk")
        assert await clerk.ask(Total(), timeout=5) == 2


async def test_a_message_of_that_kind_is_refused_at_the_call_and_never_pending() -> None:
    async with running() as system:
        shelf = await system.spawn(Shelf, Log(), name="shelf")
        with pytest.raises(UnencodableMessage):
            shelf.tell(Carry(object()))
        with pytest.raises(UnencodableMessage):
            await shelf.send(Carry(object()))
        with pytest.raises(UnencodableMessage):
            await shelf.ask(Carry(object()), timeout=1)

        assert shelf.statistics().depth == 0
        audit = await system.audit()
        assert sum(actor.pending for actor in audit.actors) == 0


@pytest.mark.parametrize(("content", "error"), [(object(), UnencodableState), ("x" * 500, StateTooLarge)])
@pytest.mark.parametrize("where", ["__init__", "on_start"])
async def test_a_first_state_that_cannot_be_stored_is_no_start_and_no_loop(
    where: str, content: object, error: type[SentientError]
) -> None:
    class Hopeless(Clerk):
        state_bytes = 100

        def __init__(self, content: object) -> None:
            self.content = content
            if where == "__init__":
                self.state = Clerk.State(content=content)

        async def on_start(self) -> None:
            if where == "on_start":
                self.state.content = self.content

    async with running() as system:
        with pytest.raises((StartFailed, error)) as caught:
            await system.spawn(Hopeless, content, name="a", restart="permanent")

        found: BaseException | None = caught.value
        while found is not None and not isinstance(found, error):
            found = found.__cause__
        assert isinstance(found, error)
        assert system.statistics().restarts == 0
        assert [ref.path for ref in system.actors(Hopeless)] == []


async def test_a_state_that_is_replaced_by_something_else_is_an_error_in_the_turn_that_did_it() -> None:
    class Replaced(Actor):
        durability = "durable"

        class State(msgspec.Struct):
            total: int = 0

        state: State

        def on_receive(self, message: Any) -> int:
            if message == "replace":
                wrong: Any = {"total": 7}
                self.state = wrong
                return 0
            self.state.total += 1
            return self.state.total

    async with running() as system:
        ref = await system.spawn(Replaced, name="a")
        assert await ref.ask("count", timeout=5) == 1
        with pytest.raises(HandlerFailed, match=r"self\.state was replaced by a dict"):
            await ref.ask("replace", timeout=5)

        assert await ref.ask("count", timeout=5) == 2
