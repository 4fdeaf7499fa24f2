"""A probe takes what it is sent in order, says what came instead, and replies for whom it stands in for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from sentient_core import Actor, ActorStopped, ActorSystem, AskTimeout, InvalidArgument, MemoryStore
from sentient_core.testing import Probe
from tests.probes import Add, Counter, Fail, Pass, Say, letters
from tests.puppet import Puppet, in_turn
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with ActorSystem("test", store=MemoryStore()) as system:
        yield system


@pytest.fixture
async def probe(system: ActorSystem) -> Probe:
    return await Probe.spawn(system, "probe")


async def test_what_is_expected_is_a_type_a_value_or_a_predicate(probe: Probe) -> None:
    for message in (Add(1), Add(2), Say("hi")):
        probe.ref.tell(message)

    assert (await probe.expect(Add)).amount == 1
    assert await probe.expect(Add(2)) == Add(2)
    assert await probe.expect(lambda message: message.text.startswith("h")) == Say("hi")


_nothing: Callable[[object], bool] = lambda _: False  # noqa: E731 - it is to be a lambda


def is_first(message: Say) -> bool:
    return message.text == "first"


async def test_what_comes_instead_is_shown(probe: Probe) -> None:
    for message in (Add(1), Say("next")):
        probe.ref.tell(message)
    await anyio.sleep(0.1)

    with pytest.raises(AssertionError) as failed:
        await probe.expect(Say)

    assert str(failed.value).splitlines() == [
        "probe 'probe' got Add(amount=1) from external",
        "  expected: a Say",
        "  waiting behind it:",
        "    Say(text='next') from external",
    ]
    shown: list[tuple[Any, str]] = [
        (Say("more"), "  differs in: text is 'next', not 'more'"),
        (_nothing, r"  expected: what the lambda in test_probe.py:\d+ is true of"),
        (is_first, "  expected: what is_first is true of"),
    ]
    for what, line in shown:
        probe.ref.tell(Say("next"))
        with pytest.raises(AssertionError, match=line):
            await probe.expect(what)


async def test_a_predicate_that_fails_says_what_it_was_given(probe: Probe) -> None:
    probe.ref.tell(Add(1))

    with pytest.raises(AttributeError) as failed:
        await probe.expect(lambda message: message.text == "hi")

    assert failed.value.__notes__ == ["raised by the predicate when it was given Add(amount=1)"]


async def test_where_nothing_comes_the_newest_dead_letters_may_say_why(
    system: ActorSystem, probe: Probe
) -> None:
    ref = await system.spawn(Counter, name="one")
    ref.tell(Fail("this way"))
    await anyio.sleep(1)

    with pytest.raises(AssertionError) as failed:
        await probe.expect(Add, timeout=30)

    assert str(failed.value).splitlines()[:3] == [
        "probe 'probe' got nothing within 30 s",
        "  expected: an Add",
        "  the newest dead letters of the system:",
    ]
    assert "failed: Fail(why='this way')" in str(failed.value)


async def test_what_does_not_come_is_missed_after_the_time_for_it(probe: Probe) -> None:
    begin = anyio.current_time()

    with pytest.raises(AssertionError, match=r"got nothing within 30 s\n  expected: a Say$"):
        await probe.expect(Say, timeout=30.0)

    assert anyio.current_time() == begin + 30


async def test_of_two_ends_the_one_that_is_meant_is_taken(system: ActorSystem, probe: Probe) -> None:
    first, second = await system.spawn(Puppet), await system.spawn(Puppet)
    for ref in (first, second):
        await probe.watch(ref)
        await ref.stop()

    assert (await probe.expect_terminated(second)).ref == second
    assert (await probe.expect_terminated(first)).ref == first


async def test_several_are_received_by_one_deadline(probe: Probe) -> None:
    async def send(numbers: range) -> None:
        for number in numbers:
            await anyio.sleep(1)
            probe.ref.tell(Add(number))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, range(5))
        assert await probe.receive_n(3, timeout=3.5) == [Add(0), Add(1), Add(2)]
        with pytest.raises(AssertionError, match=r"got 1 of 9 messages within 1.5 s\n  Add\(amount=3\)$"):
            await probe.receive_n(9, timeout=1.5)

    with pytest.raises(InvalidArgument):
        await probe.receive_n(-1)


async def test_that_nothing_comes_fails_as_soon_as_something_does(probe: Probe) -> None:
    await probe.expect_no(3600)
    begin = anyio.current_time()

    async with anyio.create_task_group() as tasks:

        async def send_later() -> None:
            await anyio.sleep(7)
            probe.ref.tell(Add())

        tasks.start_soon(send_later)
        with pytest.raises(
            AssertionError, match=r"got Add\(amount=1\) from external\n  expected: no message within 60 s$"
        ):
            await probe.expect_no(60)

    assert anyio.current_time() == begin + 7
    assert await probe.receive() == Add()


async def test_an_ask_waits_for_the_reply_and_keeps_nothing_else_from_coming(probe: Probe) -> None:
    replies: list[Any] = []

    async def ask(text: str) -> None:
        replies.append(await probe.ref.ask(Say(text), timeout=60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "first")
        await probe.expect(Say("first"))
        probe.ref.tell(Add())
        await probe.expect(Add)
        tasks.start_soon(ask, "second")
        await probe.expect(Say("second"))
        assert probe.last is not None
        assert probe.last.is_ask
        probe.reply("to the second")
        await anyio.sleep(1)
        assert replies == ["to the second"]
        with pytest.raises(AssertionError, match="a reply already"):
            probe.reply("again")
        tasks.cancel_scope.cancel()


async def test_a_reply_that_nobody_waits_for_any_more_is_a_dead_letter(
    system: ActorSystem, probe: Probe
) -> None:
    with pytest.raises(AssertionError, match="no message yet"):
        probe.reply("too early")
    with pytest.raises(AskTimeout):
        await probe.ref.ask(Pass(), timeout=1)
    await probe.expect(Pass)

    probe.reply("too late")
    await anyio.sleep(1)

    assert letters(system) == [("too late", "late_reply")]


async def test_a_reply_to_what_was_told_goes_to_its_sender(system: ActorSystem, probe: Probe) -> None:
    other = await Probe.spawn(system, "other")
    puppet = await system.spawn(Puppet, name="puppet")

    await in_turn(puppet, lambda actor: probe.ref.tell(Say("from puppet")))
    await probe.expect(Say)
    assert [probe.last_sender] == [puppet]

    probe.ref.tell(Say("from outside"))
    await probe.expect(Say)
    assert [probe.last_sender] == [None]
    with pytest.raises(AssertionError, match="no sender to reply to"):
        probe.reply("lost")
    assert other.waiting == ()


async def test_an_end_is_seen_whenever_it_came_and_leaves_the_rest(system: ActorSystem, probe: Probe) -> None:
    class Failing(Actor):
        def on_receive(self, message: Any) -> None:
            raise ValueError("broken")

    ended = await system.spawn(Puppet)
    await ended.stop()
    failing = await system.spawn(Failing, restart="temporary")
    living = await system.spawn(Puppet)

    assert (await probe.expect_terminated(ended)).ref == ended
    await probe.watch(failing)
    probe.ref.tell(Add(1))
    failing.tell("x")
    assert "broken" in str((await probe.expect_terminated(failing)).cause)
    with pytest.raises(
        AssertionError, match=r"was not told within 60 s that <.*> has ended\n  others that wait:\n    Add"
    ):
        await probe.expect_terminated(living, timeout=60)
    assert await probe.expect(Add) == Add(1)


async def test_what_is_no_ref_is_not_watched(system: ActorSystem) -> None:
    probe = await Probe.spawn(system, "probe")

    with pytest.raises(InvalidArgument, match="the ref of an actor, not 'alice'"):
        await probe.expect_terminated("alice")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_an_ask_without_its_reply_keeps_no_system_from_ending() -> None:
    begin = anyio.current_time()
    async with anyio.create_task_group() as tasks, ActorSystem("test", store=MemoryStore()) as system:
        probe = await Probe.spawn(system)

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await probe.ref.ask(Pass(), timeout=60)

        tasks.start_soon(ask)
        await probe.expect(Pass)

    assert anyio.current_time() - begin < 1
