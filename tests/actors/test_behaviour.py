"""States: which handler takes a message depends on what the actor has become."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import ClassVar

import msgspec
import pytest

from sentient_core import (
    Actor,
    HandlerFailed,
    InvalidArgument,
    InvalidHandler,
    Request,
    UnhandledMessage,
    handles,
)
from tests.probes import Fail, Gate, letters, running


class Knock(Request[str], frozen=True):
    pass


class Become(msgspec.Struct, frozen=True):
    state: str | None


class Door(Actor):
    durability = "volatile"
    initial_behaviour = "closed"

    @handles(when="open")
    def come_in(self, message: Knock) -> str:
        return "come in"

    @handles(when=["closed", "locked"])
    def go_away(self, message: Knock) -> str:
        return "go away"

    @handles(int, when="open")
    def count(self, message: int) -> str:
        return f"counted {message}"

    @handles
    def turn_into(self, message: Become) -> str | None:
        self.context.become(message.state)
        return self.context.behaviour

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


async def test_each_state_has_its_own_handlers() -> None:
    async with running() as system:
        door = await system.spawn(Door)

        answers = [await door.ask(Knock(), timeout=1)]
        for state in ("open", "locked"):
            assert await door.ask(Become(state), timeout=1) == state
            answers.append(await door.ask(Knock(), timeout=1))

        assert answers == ["go away", "come in", "go away"]


async def test_another_state_counts_from_the_next_message_on_also_for_those_queued() -> None:
    class Turnstile(Actor):
        durability = "volatile"

        def __init__(self, gate: Gate, passed: list[str]) -> None:
            self.gate = gate
            self.passed = passed

        @handles
        async def wait(self, message: Gate) -> None:
            await self.gate()

        @handles(str, when="open")
        def through(self, message: str) -> None:
            self.passed.append(message)
            if message == "close":
                self.context.become(None)
                self.passed.append("closing")

        @handles(str)
        def held(self, message: str) -> None:
            self.passed.append(f"held {message}")
            if message == "open":
                self.context.become("open")

    async with running() as system:
        gate, passed = Gate(), list[str]()
        ref = await system.spawn(Turnstile, gate, passed)
        ref.tell(gate)
        for message in ("1", "open", "2", "3", "close", "4", "5"):
            ref.tell(message)
        gate.open.set()
        await ref.drain()

        assert passed == ["held 1", "held open", "2", "3", "close", "closing", "held 4", "held 5"]


async def test_what_a_state_does_not_take_goes_to_the_others_then_nowhere() -> None:
    async with running() as system:
        door = await system.spawn(Door)

        door.tell(7)
        door.tell(Become("open"))
        door.tell(8)
        door.tell("what?")
        await door.drain()

        assert letters(system) == [(7, "unhandled"), ("what?", "unhandled")]
        assert "when 'closed'" in system.dead_letters[0].cause


async def test_on_receive_takes_what_no_handler_of_the_state_takes() -> None:
    class Polite(Door):
        def on_receive(self, message: object) -> str:
            return "pardon?"

    async with running() as system:
        door = await system.spawn(Polite)

        assert await door.ask(7, timeout=1) == "pardon?"
        await door.ask(Become("open"), timeout=1)
        assert await door.ask(7, timeout=1) == "counted 7"


async def test_a_restart_begins_with_the_initial_state() -> None:
    async with running() as system:
        door = await system.spawn(Door)
        await door.ask(Become("open"), timeout=1)

        door.tell(Fail())

        assert await door.ask(Knock(), timeout=1) == "go away"
        assert door.incarnation == 2


async def test_become_none_goes_back_to_the_initial_state() -> None:
    async with running() as system:
        door = await system.spawn(Door)
        await door.ask(Become("open"), timeout=1)

        assert await door.ask(Become(None), timeout=1) == "closed"
        assert await door.ask(Knock(), timeout=1) == "go away"


async def test_a_hook_may_choose_the_state() -> None:
    class Open(Door):
        def on_start(self) -> None:
            self.context.become("open")

    async with running() as system:
        door = await system.spawn(Open)

        assert await door.ask(Knock(), timeout=1) == "come in"


async def test_a_state_that_is_none_is_refused_and_near_misses_are_named() -> None:
    async with running() as system:
        door = await system.spawn(Door)

        with pytest.raises(HandlerFailed) as caught:
            await door.ask(Become("opne"), timeout=1)

        assert isinstance(caught.value.__cause__, InvalidArgument)
        assert str(caught.value.__cause__) == "Door has no behaviour 'opne'. Did you mean 'open'?"


def test_an_initial_state_that_is_none_is_refused_with_the_class() -> None:
    with pytest.raises(InvalidArgument, match=r"no behaviour 'ajar'\. It has 'open', 'closed', 'locked'\."):

        class Odd(Door):  # pyright: ignore[reportUnusedClass]
            initial_behaviour = "ajar"


async def test_the_error_says_how_to_declare_a_state_that_only_the_unmarked_handlers_serve() -> None:
    async with running() as system:
        door = await system.spawn(Door)

        with pytest.raises(HandlerFailed) as caught:
            await door.ask(Become("walled up"), timeout=1)

        assert "@handles(when=('open', 'walled up'))" in str(caught.value.__cause__)
        assert "behaviours = ('walled up',)" in str(caught.value.__cause__)


async def test_a_declared_state_without_handlers_of_its_own_has_the_unmarked_ones() -> None:
    class Demolished(Door):
        behaviours: ClassVar[Collection[str]] = ("gone", "forgotten")

    class Buried(Demolished):
        initial_behaviour = "buried"
        behaviours = ("buried",)

    async with running() as system:
        door = await system.spawn(Buried)

        assert await door.ask(Become("gone"), timeout=1) == "gone"  # by the unmarked handler of the base
        assert await door.ask(Become("open"), timeout=1) == "open"
        assert await door.ask(Become("buried"), timeout=1) == "buried"
        with pytest.raises(UnhandledMessage):
            await door.ask(Knock(), timeout=1)


@pytest.mark.parametrize("names", ["shipped", ("shipped", ""), ("shipped", 3), None, 3])
def test_behaviours_that_are_not_names_are_refused_with_the_class(names: object) -> None:
    with pytest.raises(InvalidArgument, match=r"behaviours must be several names such as \('shipped', "):
        type("Odd", (Actor,), {"behaviours": names})


def test_two_handlers_for_one_type_in_one_state_are_refused_with_the_class() -> None:
    with pytest.raises(InvalidHandler, match="handles Knock twice when 'open': in first and in second"):

        class Odd(Actor):  # pyright: ignore[reportUnusedClass]
            @handles(when="open")
            def first(self, message: Knock) -> None: ...

            @handles(Knock, when=("open", "closed"))
            def second(self, message: Knock) -> None: ...


@pytest.mark.parametrize("when", ["", (), ("open", ""), ("open", 3)])
def test_what_is_no_name_of_a_state_is_refused(when: object) -> None:
    with pytest.raises(InvalidHandler, match="when"):
        handles(when=when)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


async def test_a_state_takes_a_message_by_its_base_class_before_the_unmarked_handlers_do() -> None:
    class Loud(Knock, frozen=True):
        pass

    class Quiet(Knock, frozen=True):
        pass

    class Listener(Actor):
        durability = "volatile"
        initial_behaviour: ClassVar[str | None] = "listening"

        @handles(when="listening")
        def any_knock(self, message: Knock) -> str:
            return "heard"

        @handles
        def loud(self, message: Loud) -> str:
            return "not listening"

        @handles
        def leave(self, message: Become) -> None:
            self.context.become(message.state)

    class Deaf(Listener):
        initial_behaviour = None

    async with running() as system:
        listener, deaf = await system.spawn(Listener), await system.spawn(Deaf)

        assert await listener.ask(Loud(), timeout=1) == "heard"
        assert await listener.ask(Quiet(), timeout=1) == "heard"
        assert await deaf.ask(Loud(), timeout=1) == "not listening"


async def test_states_may_be_the_members_of_an_enum() -> None:
    class State(StrEnum):
        ON = "on"
        OFF = "off"

    class Lamp(Actor):
        durability = "volatile"
        initial_behaviour = State.OFF

        @handles(int, when=State.OFF)
        def off(self, message: int) -> str:
            self.context.become(State.ON)
            return "off"

        @handles(int, when=State.ON)
        def on(self, message: int) -> str:
            return "on"

    async with running() as system:
        lamp = await system.spawn(Lamp)

        assert [await lamp.ask(1, timeout=1), await lamp.ask(1, timeout=1)] == ["off", "on"]


async def test_a_subclass_overrides_the_handler_of_a_state() -> None:
    class Friendly(Door):
        def go_away(self, message: Knock) -> str:
            return "one moment"

    async with running() as system:
        door = await system.spawn(Friendly)

        assert await door.ask(Knock(), timeout=1) == "one moment"


def test_a_declared_message_may_be_handled_in_some_states_only() -> None:
    class Declared(Actor[int | str]):
        @handles(int, when="open")
        def count(self, message: int) -> None: ...

        @handles
        def read(self, message: str) -> None: ...

    assert list(Declared.__blueprint__.behaviours) == [None, "open"]

    with pytest.raises(InvalidHandler, match="takes: str"):

        class Forgetful(Actor[int | str]):  # pyright: ignore[reportUnusedClass]
            @handles(int, when="open")
            def count(self, message: int) -> None: ...


async def test_a_proxy_works_in_every_state() -> None:
    class Counting(Door):
        def count_up(self) -> int:
            return 1

    async with running() as system:
        door = await system.spawn(Counting)

        assert await door.proxy().count_up() == 1
        await door.ask(Become("open"), timeout=1)
        assert await door.proxy().count_up() == 1
