"""Isolation, seen from actors: what handlers and askers get."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from threading import Lock
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    MemoryStore,
    MessageChanged,
    Request,
    UncopyableMessage,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Gate, Pass, letters


class Numbers(msgspec.Struct):
    numbers: list[int]


class Show(Request[list[int]], frozen=True):
    """Ask for what was received last."""


class Keep(Request[None], frozen=True):
    content: Any


class Kept(Request[Any], frozen=True):
    """Ask for what was kept."""


class Keeper(Actor):
    durability = "volatile"

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.last: list[int] = []
        self.kept: Any = None

    @handles
    def take(self, message: Numbers) -> Any:
        self.last = message.numbers

    @handles
    def show(self, message: Show) -> list[int]:
        return self.last

    @handles
    def keep(self, message: Keep) -> None:
        self.kept = message.content

    @handles
    def tell_kept(self, message: Kept) -> Any:
        return self.kept

    @handles
    async def wait(self, message: Pass) -> str:
        assert self.gate is not None
        await self.gate()
        return "passed"


def _isolated(isolation: str, durability: str = "volatile") -> type[Keeper]:
    return type("Isolated", (Keeper,), {"isolation": isolation, "durability": durability})


def _system(isolation: Any = "none") -> ActorSystem:
    return ActorSystem("test", store=MemoryStore(), isolation=isolation)


async def _busy(ref: ActorRef[Any], gate: Gate) -> None:
    ref.tell(Pass())
    await gate.reached.wait()


SENDINGS: dict[str, Callable[[ActorRef[Any], object], Any]] = {
    "tell": lambda ref, message: ref.tell(message),
    "send": lambda ref, message: ref.send(message),
    "tell with a priority": lambda ref, message: ref.with_options(priority=1, expires=60).tell(message),
}

durabilities = pytest.mark.parametrize("durability", ["volatile", "mirrored"])
sendings = pytest.mark.parametrize("sending", SENDINGS)


async def test_without_isolation_the_message_itself_is_handed_over() -> None:
    async with _system() as system:
        ref = await system.spawn(Keeper)
        message = Numbers([1])

        ref.tell(message)

        assert await ref.ask(Show(), timeout=1) is message.numbers


@sendings
@durabilities
async def test_a_copy_is_made_in_the_call_that_sends(durability: str, sending: str) -> None:
    async with _system() as system:
        gate = Gate()
        ref: ActorRef[Any] = await system.spawn(_isolated("copy", durability), gate)
        await _busy(ref, gate)
        message = Numbers([1])

        outcome = SENDINGS[sending](ref, message)
        if outcome is not None:
            await outcome
        message.numbers.append(2)
        gate.open.set()

        assert await ref.ask(Show(), timeout=1) == [1]
        assert letters(system) == []


async def test_a_reply_is_a_copy_as_well() -> None:
    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("copy"))
        ref.tell(Numbers([1]))

        (await ref.ask(Show(), timeout=1)).append(2)

        assert await ref.ask(Show(), timeout=1) == [1]


async def test_what_cannot_change_is_not_copied() -> None:
    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("copy"))
        content = (1, "text", Kept())

        await ref.ask(Keep(content), timeout=1)

        assert await ref.ask(Kept(), timeout=1) is content


async def test_refs_in_a_copied_message_stay_refs() -> None:
    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("copy"))
        await ref.ask(Keep([ref, {"a": ref}]), timeout=1)

        kept = await ref.ask(Kept(), timeout=1)

        assert kept[0] is ref
        assert kept[1]["a"] is ref


@durabilities
async def test_a_forwarded_message_is_a_copy_for_the_one_it_goes_to(durability: str) -> None:
    class Forwarding(Keeper):
        def __init__(self, to: ActorRef[Any]) -> None:
            super().__init__()
            self.to = to

        @handles
        def take(self, message: Numbers) -> None:
            self.context.forward(self.to)
            message.numbers.append(2)

    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("copy", durability))
        forwarding = await system.spawn(Forwarding, ref)

        await forwarding.send(Numbers([1]))
        await forwarding.drain()

        assert await ref.ask(Show(), timeout=1) == [1]


async def test_what_cannot_be_copied_is_refused_at_the_call() -> None:
    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("copy"), name="a")

        with pytest.raises(UncopyableMessage, match=r"Keep to 'a' cannot be isolated: .*pickle") as caught:
            ref.tell(Keep(Lock()))

        assert isinstance(caught.value.message, Keep)
        assert caught.value.recipient == "a"
        assert ref.statistics().depth == 0
        assert letters(system) == []


async def test_a_reply_that_cannot_be_copied_is_a_failure_of_the_handler() -> None:
    class Locked(Keeper):
        isolation = "copy"

        @handles
        def show(self, message: Show) -> Any:
            return Lock()

    async with _system() as system:
        ref = await system.spawn(Locked, name="a")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Show(), timeout=1)

        assert isinstance(caught.value.__cause__, UncopyableMessage)
        assert "as a reply of 'a'" in str(caught.value.__cause__)
        assert await ref.ask(Kept(), timeout=1) is None
        assert ref.incarnation == 2


@sendings
@durabilities
async def test_check_finds_a_message_that_was_changed_after_it_was_sent(
    durability: str, sending: str
) -> None:
    async with _system() as system:
        gate = Gate()
        ref: ActorRef[Any] = await system.spawn(_isolated("check", durability), gate, name="a")
        await _busy(ref, gate)
        message = Numbers([1])

        outcome = SENDINGS[sending](ref, message)
        if outcome is not None:
            await outcome
        message.numbers.append(2)
        gate.open.set()

        assert await ref.ask(Show(), timeout=1) == []
        assert letters(system) == [(message, "failed")]
        assert "Numbers from 'external' to 'a' was changed" in system.dead_letters[0].cause
        assert (ref.incarnation, system.statistics().failures) == (2, 1)


async def test_who_asked_with_a_message_that_was_changed_is_told() -> None:
    async with _system() as system:
        gate = Gate()
        ref: ActorRef[Any] = await system.spawn(_isolated("check"), gate, name="a")
        await _busy(ref, gate)
        message = Keep([1])

        async def ask() -> None:
            with pytest.raises(MessageChanged, match="frozen") as caught:
                await ref.ask(message, timeout=60)
            error = caught.value
            assert (error.message, error.ref, error.sender) == (message, ref, "external")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            message.content.append(2)
            gate.open.set()


async def test_check_hands_over_the_message_itself_if_nobody_has_changed_it() -> None:
    async with _system() as system:
        ref: ActorRef[Any] = await system.spawn(_isolated("check"))
        message = Numbers([1])
        ref.tell(message)

        assert await ref.ask(Show(), timeout=1) is message.numbers
        assert cell_of(ref).handled == 2


async def test_a_checked_message_that_is_given_up_is_the_users_message() -> None:
    class Small(Keeper):
        isolation = "check"
        mailbox = MailboxOptions(capacity=1)

    async with _system() as system:
        gate = Gate()
        ref = await system.spawn(Small, gate)
        await _busy(ref, gate)
        ref.tell(Numbers([1]))
        ref.tell(Numbers([2]))
        ref.stop()
        gate.open.set()
        await ref.stop()

        assert letters(system) == [(Numbers([2]), "full"), (Numbers([1]), "stopped")]


async def test_the_system_decides_for_the_classes_that_say_nothing() -> None:
    class Own(Keeper):
        isolation = "none"

    async with _system("copy") as system:
        default, own = await system.spawn(Keeper), await system.spawn(Own)
        message = Numbers([1])
        for ref in (default, own):
            ref.tell(message)

        assert await default.ask(Show(), timeout=1) is not message.numbers
        assert await own.ask(Show(), timeout=1) is message.numbers


@pytest.mark.parametrize("isolation", ["deep", None, 3])
def test_a_system_with_an_isolation_that_is_none(isolation: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"isolation .* it can be 'none', 'copy', 'check'"):
        _system(isolation)


def test_a_class_with_an_isolation_that_is_none() -> None:
    with pytest.raises(InvalidArgument, match=r"Isolated\.isolation .* it can be 'none', 'copy', 'check'"):
        _isolated("deep")


async def test_context_variables_do_not_leak_between_actors() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    class Setter(Keeper):
        @handles
        async def take(self, message: Numbers) -> Any:
            who.set(self.context.ref.name)
            await anyio.lowlevel.checkpoint()
            self.last = [len(who.get())]

        @handles
        def tell_kept(self, message: Kept) -> str:
            return who.get()

    async with _system() as system:
        who.set("outside")
        refs = [await system.spawn(Setter, name=name) for name in ("a", "b", "c")]
        for ref in refs[:2]:
            await ref.send(Numbers([]))

        # Each keeps its own from message to message, whether asked at once or by its mailbox.
        assert [await ref.ask(Kept(), timeout=1) for ref in refs] == ["a", "b", "nobody"]
        assert who.get() == "outside"
