"""Mistakes of the caller: a typed error that says what to do, at the call, and nothing half-done."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import sentient_core
from sentient_core import (
    Actor,
    ActorSystem,
    InvalidArgument,
    InvalidChildSpec,
    InvalidName,
    InvalidStoreUrl,
    MailboxOptions,
    MemoryStore,
    NameTaken,
    Overflow,
    SentientError,
    UnencodableMessage,
    handles,
)
from sentient_core import errors as all_errors
from tests.probes import Add, Counter, Gate, Log, Pass, Recorder, Say, Total, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.mark.parametrize(
    "url",
    ["", "bank.db", "http://", "surrealkv:", "surrealkv://", "mem:/", "postgres://x", "s3://a/b"],
)
def test_a_store_address_that_cannot_be_is_refused_when_the_system_is_made(url: str) -> None:
    with pytest.raises(InvalidStoreUrl, match="surrealkv://"):
        ActorSystem("test", store=url)


@pytest.mark.parametrize("store", [[], 3], ids=repr)
def test_what_is_no_store_is_refused_when_the_system_is_made(store: Any) -> None:
    with pytest.raises((InvalidArgument, TypeError), match="store"):
        ActorSystem("test", store=store)


@pytest.mark.parametrize("patience", [-1.0, float("nan"), None, "5", True], ids=repr)
def test_a_patience_that_cannot_be_is_refused_when_the_system_is_made(patience: Any) -> None:
    with pytest.raises(InvalidArgument, match="drain_patience"):
        ActorSystem("test", store=MemoryStore(), drain_patience=patience)


@pytest.mark.parametrize(
    "options",
    [{"restart": "sometimes"}, {"shutdown": -1}, {"name": "a/b"}, {"name": ""}, {"name": 3}],
    ids=str,
)
async def test_a_spawn_that_cannot_be_leaves_nothing(options: dict[str, Any]) -> None:
    async with running() as system:
        with pytest.raises((InvalidChildSpec, InvalidName)):
            await system.spawn(Counter, **options)

        assert system.actors(Actor) == []
        assert system.statistics().actors == 0


async def test_spawning_what_is_no_actor() -> None:
    async with running() as system:
        what: Any
        for what in (int, Counter.State, None, "Counter"):
            with pytest.raises(InvalidChildSpec, match="subclass of Actor"):
                await system.spawn(what)


async def test_spawning_with_arguments_the_class_does_not_take() -> None:
    async with running() as system:
        with pytest.raises(TypeError):
            await system.spawn(Counter, 1, 2, name="a")
        with pytest.raises(TypeError):
            await system.spawn(Recorder, name="a")

        await system.spawn(Counter, name="a")


async def test_a_child_whose_name_is_taken_by_a_sibling() -> None:
    class Parent(Actor):
        @handles
        async def say(self, message: Say) -> str:
            await self.context.spawn(Counter, name=message.text)
            try:
                await self.context.spawn(Recorder, Log(), name=message.text)
            except NameTaken as error:
                return error.ref.path
            return "not refused"

    async with running() as system:
        ref = await system.spawn(Parent, name="p")

        assert await ref.ask(Say("x"), timeout=1) == "p/x"


@pytest.mark.parametrize("timeout", [None, "1"], ids=repr)
async def test_a_timeout_that_is_no_number(timeout: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises((InvalidArgument, TypeError), match="timeout"):
            await ref.ask(Total(), timeout=timeout)

        assert await ref.ask(Total(), timeout=1) == 0


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")], ids=repr)
async def test_a_timeout_that_is_no_time(timeout: float) -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        for sender in (ref, ref.with_options(priority=1)):
            with pytest.raises(InvalidArgument, match="timeout"):
                await sender.ask(Total(), timeout=timeout)
            with pytest.raises(InvalidArgument, match="timeout"):
                await sender.send(Add(), timeout=timeout)

        assert await ref.ask(Total(), timeout=1) == 0


async def test_an_ask_without_a_timeout_is_a_type_error() -> None:
    async with running() as system:
        ref: Any = await system.spawn(Counter)

        with pytest.raises(TypeError, match="timeout"):
            await ref.ask(Total())


@pytest.mark.parametrize("path", ["", "/", "a/", "/a", "nobody", "$1.99"])
async def test_a_path_where_nobody_lives(path: str) -> None:
    async with running() as system:
        await system.spawn(Counter, name="a")

        with pytest.raises(LookupError, match="no actor lives"):
            system.get(path)


async def test_a_message_that_cannot_be_encoded_leaves_the_mailbox_as_it_was() -> None:
    async with running() as system:
        gate = Gate()

        class Small(Recorder):
            durability = "mirrored"
            mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_OLD)

        ref = await system.spawn(Small, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("queued"))

        with pytest.raises(UnencodableMessage, match="volatile"):
            ref.tell(object())

        assert ref.statistics().depth == 1
        assert list(system.dead_letters) == []
        gate.open.set()


async def test_the_first_message_of_an_actor_cannot_be_encoded() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        with pytest.raises(UnencodableMessage):
            ref.tell(object())
        ref.tell(Add())

        assert await ref.ask(Total(), timeout=1) == 1


def test_every_error_is_in_the_tree_says_what_it_is_and_is_public() -> None:
    for name in all_errors.__all__:
        error = getattr(all_errors, name)
        assert issubclass(error, SentientError), name
        assert getattr(sentient_core, name) is error, name
        assert error.__doc__, name
        assert name in (all_errors.__doc__ or "") or name == "SentientError", name


async def test_errors_say_what_to_do_and_carry_their_data() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        with pytest.raises(NameTaken, match="Choose another name") as taken:
            await system.spawn(Counter, name="a")
        assert (taken.value.path, taken.value.ref) == ("a", ref)
        with pytest.raises(UnencodableMessage, match="msgspec Structs") as unencodable:
            ref.tell(object())
        assert unencodable.value.recipient == "a"
        assert unencodable.value.__cause__ is not None


async def test_mistakes_in_a_handler_are_failures_of_that_actor_alone() -> None:
    class Clumsy(Counter):
        @handles
        async def say(self, message: Say) -> None:
            target: Any = self.context.ref
            if message.text == "encode":
                target.tell(object())
            elif message.text == "timeout":
                await target.ask(Total(), timeout=0)
            elif message.text == "name":
                await self.context.spawn(Counter, name="a/b")
            else:
                self.context.system.get(message.text)

    async with running() as system:
        other = await system.spawn(Counter)
        for text in ("encode", "timeout", "name", "nobody"):
            ref = await system.spawn(Clumsy)
            with pytest.raises(SentientError) as caught:
                await ref.ask(Say(text), timeout=1)
            assert isinstance(caught.value.__cause__, SentientError)
            assert await ref.ask(Total(), timeout=1) == 0
        assert await other.ask(Total(), timeout=1) == 0


async def test_an_actor_that_waits_for_its_own_end_can_be_killed() -> None:
    class Ouroboros(Actor):
        @handles
        async def say(self, message: Say) -> None:
            await self.context.ref.stop()

    async with running() as system:
        ref = await system.spawn(Ouroboros, restart="temporary")
        ref.tell(Say("x"))
        await anyio.sleep(1)

        with anyio.fail_after(1):
            await ref.kill()
