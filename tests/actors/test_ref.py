"""Sending through refs: order, replies, and how asks and sends end."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    AskTimeout,
    HandlerFailed,
    InvalidArgument,
    MailboxFull,
    MailboxOptions,
    MemoryStore,
    Overflow,
    Request,
    SendTimeout,
    UnhandledMessage,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


class Small(Recorder):
    mailbox = MailboxOptions(capacity=2)


class Picky(Recorder):
    mailbox = MailboxOptions(capacity=2, overflow=Overflow.FAIL)


class Echo(Actor):
    """Replies in all the ways there are."""

    @handles
    def number(self, message: int) -> int:
        return message + 1

    @handles
    async def text(self, message: str) -> str:
        await anyio.lowlevel.checkpoint()
        return message.upper()

    @handles
    def nothing(self, message: bytes) -> None:
        pass


async def test_messages_of_one_sender_arrive_in_the_order_sent() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a")

        for n in range(50):
            if n % 3 == 0:
                await ref.send(Say(str(n)))
            elif n % 3 == 1:
                ref.tell(Say(str(n)))
            else:
                await ref.ask(Say(str(n)), timeout=1)
        await ref.drain()

        assert [line for line in log if line.isdigit()] == [str(n) for n in range(50)]


async def test_one_message_at_a_time_also_across_awaits() -> None:
    class Slow(Actor):
        inside = 0
        most = 0

        @handles
        async def work(self, message: Say) -> int:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await anyio.sleep(0.1)
            self.inside -= 1
            return self.most

    async with running() as system:
        ref = await system.spawn(Slow)
        for _ in range(20):
            ref.tell(Say("x"))

        assert await ref.ask(Say("x"), timeout=10) == 1


async def test_two_actors_work_while_the_other_waits() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        waiting = await system.spawn(Recorder, log, gate, name="waiting")
        other = await system.spawn(Recorder, log, name="other")
        waiting.tell(Pass())
        await gate.reached.wait()

        assert await other.ask(Say("hello"), timeout=1) == "hello"

        gate.open.set()


@pytest.mark.parametrize(("message", "reply"), [(41, 42), ("abc", "ABC"), (b"x", None)])
async def test_the_reply_is_what_the_handler_returns(message: Any, reply: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Echo)

        assert await ref.ask(message, timeout=1) == reply


async def test_a_handler_that_returns_an_awaitable_is_awaited() -> None:
    class Decorated(Actor):
        @handles
        def later(self, message: Say) -> Any:
            return self._later()

        async def _later(self) -> str:
            return "later"

    async with running() as system:
        ref = await system.spawn(Decorated)

        assert await ref.ask(Say("x"), timeout=1) == "later"


async def test_on_receive_takes_what_no_handler_takes() -> None:
    class Both(Actor):
        @handles
        def say(self, message: Say) -> str:
            return "say"

        async def on_receive(self, message: object) -> str:
            return f"other {message}"

    async with running() as system:
        ref = await system.spawn(Both)

        assert await ref.ask(Say("x"), timeout=1) == "say"
        assert await ref.ask(3, timeout=1) == "other 3"


async def test_a_message_of_a_subclass_goes_to_the_nearest_handler() -> None:
    class Event(msgspec.Struct, frozen=True):
        pass

    class Special(Event, frozen=True):
        pass

    class VerySpecial(Special, frozen=True):
        pass

    class Taker(Actor):
        @handles
        def event(self, message: Event) -> str:
            return "event"

        @handles
        def special(self, message: Special) -> str:
            return "special"

    async with running() as system:
        ref = await system.spawn(Taker)

        assert await ref.ask(Event(), timeout=1) == "event"
        assert [await ref.ask(VerySpecial(), timeout=1) for _ in range(2)] == ["special", "special"]


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
async def test_none_is_no_message(durability: str) -> None:
    async with running() as system:
        kind = type("Taker", (Recorder,), {"durability": durability})
        ref: ActorRef[Any] = await system.spawn(kind, Log())

        for queued in (0, 1):
            assert ref.statistics().depth == queued
            for refused in (ref.tell, ref.with_options(priority=1).tell):
                with pytest.raises(InvalidArgument, match="None is no message"):
                    refused(None)
            for attempt in (ref.send(None), ref.ask(None, timeout=1)):
                with pytest.raises(InvalidArgument, match="None is no message"):
                    await attempt
            ref.tell(Say("1"))


async def test_an_actor_tells_itself() -> None:
    class Countdown(Actor):
        @handles
        def count(self, message: int) -> None:
            self.log.append(message)
            if message:
                self.context.ref.tell(message - 1)
            else:
                self.done.set()

        def __init__(self, log: list[int], done: anyio.Event) -> None:
            self.log = log
            self.done = done

    async with running() as system:
        log: list[int] = []
        done = anyio.Event()
        ref = await system.spawn(Countdown, log, done)

        ref.tell(300)
        await done.wait()

        assert log == list(range(300, -1, -1))


async def test_a_hot_actor_does_not_starve_the_others() -> None:
    class Endless(Actor):
        durability = "volatile"

        @handles
        def again(self, message: int) -> None:
            self.context.ref.tell(message + 1)

    async with running() as system:
        hot = await system.spawn(Endless)
        cool = await system.spawn(Counter)

        hot.tell(0)
        for _ in range(20):
            await cool.ask(Total(), timeout=1)
        await hot.stop()


async def test_ask_of_an_ended_actor_ends_at_once() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()

        with anyio.fail_after(0.5), pytest.raises(ActorStopped) as caught:
            await ref.ask(Total(), timeout=10)

        assert caught.value.ref is ref
        assert caught.value.message == Total()
        assert "'a'" in str(caught.value)


async def test_ask_of_a_failing_handler_raises_what_it_raised_as_cause() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with anyio.fail_after(0.5), pytest.raises(HandlerFailed) as caught:
            await ref.ask(Fail("on purpose"), timeout=10)

        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.message == Fail("on purpose")
        assert "ValueError: on purpose" in str(caught.value)
        assert letters(system) == [(Fail("on purpose"), "failed")]


async def test_ask_without_a_handler_names_what_there_is() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with anyio.fail_after(0.5), pytest.raises(UnhandledMessage, match=r"Add.*Total") as caught:
            await ref.ask(Say("what?"), timeout=10)

        assert caught.value.message == Say("what?")
        assert letters(system) == [(Say("what?"), "unhandled")]


async def test_a_tell_without_a_handler_is_a_dead_letter_and_harms_nobody() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        ref.tell(Say("what?"))
        await ref.ask(Total(), timeout=1)

        assert letters(system) == [(Say("what?"), "unhandled")]
        assert system.statistics().failures == 0


async def test_ask_of_a_full_mailbox_with_fail_ends_at_once() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Picky, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("1"))
        ref.tell(Say("2"))

        with anyio.fail_after(0.5), pytest.raises(MailboxFull) as caught:
            await ref.ask(Say("3"), timeout=10)

        assert caught.value.message == Say("3")
        assert caught.value.capacity == 2
        gate.open.set()


async def test_ask_of_an_actor_killed_with_the_message_in_hand_ends_at_once() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(ActorStopped) as caught:
                    await ref.ask(Pass(), timeout=10)
                assert caught.value.message == Pass()

            tasks.start_soon(ask)
            await gate.reached.wait()
            with anyio.fail_after(0.5):
                await ref.kill()

        assert letters(system) == [(Pass(), "stopped")]


async def test_ask_that_is_queued_when_its_actor_ends_for_good_ends_at_once() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with anyio.fail_after(0.5), pytest.raises(ActorStopped) as caught:
                    await ref.ask(Say("queued"), timeout=10)
                assert caught.value.message == Say("queued")

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            ref.stop()
            gate.open.set()

        assert letters(system) == [(Say("queued"), "stopped")]


async def test_ask_that_is_queued_at_a_restart_is_answered_by_the_next_incarnation() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        ref.tell(Fail())

        total = await ref.ask(Total(), timeout=1)

        assert total == 0
        assert ref.incarnation == 2


async def test_ask_timeout_says_what_the_actor_was_doing() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate, name="busy")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("1"))

        with pytest.raises(AskTimeout) as caught:
            await ref.ask(Say("2"), timeout=0.25)

        text = str(caught.value)
        assert "0.25 s" in text
        assert "running" in text
        assert "at work on Pass in wait_at_the_gate()" in text
        assert "number 2 of 2" in text
        assert isinstance(caught.value, TimeoutError)
        gate.open.set()


async def test_ask_timeout_is_exact_under_a_virtual_clock() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log(), Gate())
        begin = anyio.current_time()

        with pytest.raises(AskTimeout):
            await ref.ask(Pass(), timeout=300.0)

        assert anyio.current_time() - begin == pytest.approx(300.0)
        await ref.kill()


async def test_a_late_reply_is_a_dead_letter() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate, name="late")
        with pytest.raises(AskTimeout):
            await ref.ask(Pass(), timeout=1)

        gate.open.set()
        await ref.drain()

        (letter,) = system.dead_letters
        assert (letter.message, letter.reason.value) == ("passed", "late_reply")
        assert letter.sender == "late"


async def test_a_reply_to_a_cancelled_ask_is_a_dead_letter() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        with anyio.move_on_after(1):
            await ref.ask(Pass(), timeout=10)

        gate.open.set()
        await ref.drain()

        assert letters(system) == [("passed", "late_reply")]


async def test_many_asks_with_different_timeouts_end_each_at_its_own() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        begin = anyio.current_time()
        ends: list[float] = []

        async def ask(timeout: float) -> None:
            with pytest.raises(AskTimeout):
                await ref.ask(Pass(), timeout=timeout)
            ends.append(anyio.current_time() - begin)

        async with anyio.create_task_group() as tasks:
            for timeout in (5.0, 1.0, 3.0, 2.0, 4.0, 2.5):
                tasks.start_soon(ask, timeout)

        assert ends == pytest.approx([1.0, 2.0, 2.5, 3.0, 4.0, 5.0])
        await ref.kill()


async def test_reply_errors_are_answers_and_no_failures() -> None:
    class Refused(Exception):
        pass

    class Careful(Counter):
        reply_errors = (Refused,)

        @handles
        def say(self, message: Say) -> None:
            raise Refused(message.text)

    async with running() as system:
        ref = await system.spawn(Careful)

        with pytest.raises(Refused, match="no"):
            await ref.ask(Say("no"), timeout=1)

        assert ref.incarnation == 1
        assert system.statistics().failures == 0
        assert letters(system) == []


async def test_a_reply_error_that_nobody_asked_for_is_counted_once() -> None:
    class Careful(Counter):
        reply_errors = (ValueError,)

    async with running() as system:
        ref = await system.spawn(Careful)
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)

        statistics = system.statistics()

        assert statistics.handled + statistics.dead_letters == 2
        assert ref.incarnation == 1


async def test_a_reply_error_after_the_timeout_is_a_late_reply() -> None:
    class Careful(Recorder):
        reply_errors = (ValueError,)

        @handles
        async def fail(self, message: Fail) -> None:
            await anyio.sleep(2)
            raise ValueError("too late")

    async with running() as system:
        ref = await system.spawn(Careful, Log())
        with pytest.raises(AskTimeout):
            await ref.ask(Fail(), timeout=1)

        await ref.drain()

        (letter,) = system.dead_letters
        assert letter.reason.value == "late_reply"


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_timeout_that_cannot_be_is_refused_at_the_call(timeout: float) -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises(InvalidArgument, match="timeout"):
            await ref.ask(Total(), timeout=timeout)
        with pytest.raises(InvalidArgument, match="timeout"):
            await ref.send(Add(), timeout=timeout)

        assert await ref.ask(Total(), timeout=1) == 0


class _Busy:
    """A small actor that waits at its gate, its mailbox full of '1' and '2'."""

    def __init__(self) -> None:
        self.log = Log()
        self.gate = Gate()

    async def spawn(self, system: Any, cls: type[Recorder] = Small, **options: Any) -> ActorRef[Recorder]:
        ref: ActorRef[Recorder] = await system.spawn(cls, self.log, self.gate, **options)
        ref.tell(Pass())
        await self.gate.reached.wait()
        ref.tell(Say("1"))
        ref.tell(Say("2"))
        return ref

    @property
    def said(self) -> list[str]:
        return [line for line in self.log if line.isdigit()]


async def test_senders_wait_for_room_in_the_order_they_came() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system)
        async with anyio.create_task_group() as tasks:
            for n in range(3, 10):
                tasks.start_soon(ref.send, Say(str(n)))
                await anyio.wait_all_tasks_blocked()
            assert ref.statistics().waiting == 7

            busy.gate.open.set()
        await ref.drain()

        assert busy.said == [str(n) for n in range(1, 10)]


async def test_a_tell_does_not_overtake_those_who_wait() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.send, Say("3"))
            await anyio.wait_all_tasks_blocked()

            ref.tell(Say("4"))
            busy.gate.open.set()
        await ref.drain()

        assert busy.said == ["1", "2", "3"]
        assert letters(system) == [(Say("4"), "full")]


async def test_a_cancelled_send_leaves_nothing() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system)
        scope = anyio.CancelScope()

        async def send() -> None:
            with scope:
                await ref.send(Say("3"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ref.send, Say("4"))
            await anyio.wait_all_tasks_blocked()

            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert ref.statistics().waiting == 1
            busy.gate.open.set()
        await ref.drain()

        assert busy.said == ["1", "2", "4"]
        assert letters(system) == []


async def test_send_timeout_carries_the_message_and_leaves_nothing() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system)
        begin = anyio.current_time()

        with pytest.raises(SendTimeout) as caught:
            await ref.send(Say("3"), timeout=7)

        assert anyio.current_time() - begin == pytest.approx(7)
        assert caught.value.message == Say("3")
        assert isinstance(caught.value, TimeoutError)
        assert ref.statistics().waiting == 0
        busy.gate.open.set()
        await ref.drain()
        assert busy.said == ["1", "2"]


async def test_the_timeout_of_an_ask_covers_the_wait_for_room() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system)
        begin = anyio.current_time()

        with pytest.raises(AskTimeout, match="waited for room"):
            await ref.ask(Say("3"), timeout=2)

        assert anyio.current_time() - begin == pytest.approx(2)
        assert ref.statistics().waiting == 0
        busy.gate.open.set()
        await ref.drain()
        assert busy.said == ["1", "2"]


async def test_the_timeout_of_an_ask_does_not_begin_anew_when_there_is_room() -> None:
    class SlowSmall(Small):
        @handles
        async def say(self, message: Say) -> str:
            await anyio.sleep(4)
            return message.text

    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system, SlowSmall)
        busy.gate.open.set()
        begin = anyio.current_time()

        with pytest.raises(AskTimeout):
            await ref.ask(Say("3"), timeout=6)

        assert anyio.current_time() - begin == pytest.approx(6)


async def test_those_who_wait_for_room_hear_of_the_end_at_once() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system, restart="temporary")

        async def send() -> None:
            with pytest.raises(ActorStopped) as caught:
                await ref.send(Say("3"))
            assert caught.value.message == Say("3")

        async def ask() -> None:
            with pytest.raises(ActorStopped) as caught:
                await ref.ask(Say("4"), timeout=10)
            assert caught.value.message == Say("4")

        with anyio.fail_after(1):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                await ref.kill()


async def test_those_who_wait_for_room_are_kept_over_a_restart() -> None:
    async with running() as system:
        busy = _Busy()
        ref = await busy.spawn(system, restart="permanent")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.send, Say("3"))
            await anyio.wait_all_tasks_blocked()
            await ref.kill()
        await ref.ask(Say("4"), timeout=1)

        assert busy.said == ["1", "2", "3", "4"]


async def test_a_ref_is_one_object_that_shows_who_and_where() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="alice")

        assert system.get("alice") is ref
        assert (ref.path, ref.name, ref.incarnation, ref.is_alive) == ("alice", "alice", 1, True)
        assert repr(ref) == "<ActorRef 'alice' Counter #1 running>"
        await ref.stop()
        assert not ref.is_alive


async def test_refs_are_equal_if_they_stand_for_one_path_of_one_system() -> None:
    async with running("here") as here, running("there") as there:
        ref = await here.spawn(Recorder, Log(), name="alice")
        other = await here.spawn(Recorder, Log(), name="bob")
        elsewhere = await there.spawn(Recorder, Log(), name="alice")
        await ref.stop()
        successor = await here.spawn(Recorder, Log(), name="alice")

        assert ref is not successor
        assert (ref, hash(ref)) == (successor, hash(successor))
        assert len({ref, successor, other, elsewhere}) == 3
        assert ref != "alice"
        assert {ref: 3}[successor] == 3


async def test_a_ref_travels_in_a_message_and_stays_good_over_restarts() -> None:
    class Introduce(Request[ActorRef[Counter]], frozen=True):
        to: ActorRef[Counter]

    class Friend(Actor):
        @handles
        def introduced(self, message: Introduce) -> ActorRef[Counter]:
            message.to.tell(Add(3))
            return message.to

    store = MemoryStore()
    async with running(store=store) as system:
        friend = await system.spawn(Friend, name="friend")
        counter = await system.spawn(Counter, name="counter")

        back = await friend.ask(Introduce(counter), timeout=1)
        await counter.kill()

        assert back is counter
        assert await back.ask(Total(), timeout=1) == 0
        back.tell(Add(4))
        assert await counter.ask(Total(), timeout=1) == 4
        await system.flush()

    asked = (await store.events("test", event_type="message_sent"))[-1]
    answered = (await store.events("test", event_type="message_replied"))[-1]
    assert (asked.payload, answered.payload) == ({"to": "counter"}, {"value": "counter"})


async def test_nothing_public_of_a_ref_leads_to_the_actor() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        seen = [getattr(ref, name) for name in dir(ref) if not name.startswith("_")]

        assert not any(isinstance(value, Actor | Counter.State) for value in seen)


async def test_a_ref_is_not_copied_or_pickled() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises(TypeError, match=r"system\.get"):
            pickle.dumps(ref)
        with pytest.raises(TypeError, match=r"system\.get"):
            copy.deepcopy(ref)


def test_a_ref_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match="spawn"):
        ActorRef()


async def test_an_actor_of_another_system_is_an_external_sender() -> None:
    class Asker(Actor):
        durability = "volatile"

        def __init__(self, other: ActorRef[Any]) -> None:
            self.other = other

        @handles
        def go(self, message: Say) -> None:
            self.other.tell(message)

    class Named(Actor):
        durability = "volatile"

        def __init__(self, senders: list[str], done: anyio.Event) -> None:
            self.senders = senders
            self.done = done

        @handles
        def say(self, message: Say) -> None:
            envelope = self.context.message
            assert envelope is not None
            self.senders.append(envelope.sender)
            self.done.set()

    senders: list[str] = []
    done = anyio.Event()
    store = MemoryStore()
    async with running("one", store=store) as one, running("two", store=store) as two:
        target = await two.spawn(Named, senders, done, name="target")
        asker = await one.spawn(Asker, target, name="asker")

        asker.tell(Say("x"))
        await done.wait()

    assert senders == ["external"]


async def test_a_request_without_a_reply_type_is_just_a_message() -> None:
    class Plain(Request[Any], frozen=True):
        pass

    class Taker(Actor):
        @handles
        def plain(self, message: Plain) -> str:
            return "reply"

    async with running() as system:
        ref = await system.spawn(Taker)

        assert await ref.ask(Plain(), timeout=1) == "reply"
