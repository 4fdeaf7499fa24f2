"""Groups and topics: who belongs to them and for how long, and what reaches whom."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    AskTimeout,
    EmptyGroup,
    ForeignRef,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    SystemClosed,
    UnencodableMessage,
    UnhandledMessage,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


class Joiner(Recorder):
    def on_start(self) -> None:
        self.context.join("workers")
        self.context.subscribe("news")


async def test_a_group_is_there_while_somebody_is_in_it() -> None:
    async with running() as system:
        a, b = await system.spawn(Counter, name="a"), await system.spawn(Counter, name="b")
        group = system.group("workers")
        assert (group.members, len(group)) == ((), 0)

        group.join(b)
        group.join(a)
        group.join(b)
        assert system.group("workers").members == (b, a)
        assert system.group("others").members == ()

        group.leave(b)
        group.leave(b)
        assert list(group.members) == [a]
        group.join(b)
        assert list(group.members) == [a, b]


async def test_a_restart_keeps_a_membership_and_an_end_for_good_ends_it() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Joiner, log, name="a")
        ref.tell(Fail())
        await ref.ask(Say("x"), timeout=1)
        assert ref.incarnation == 2
        assert system.group("workers").members == (ref,)
        assert system.topic("news").subscribers == (ref,)

        await ref.stop()
        assert system.group("workers").members == ()
        assert system.topic("news").subscribers == ()

        again = await system.spawn(Joiner, log, name="a")
        assert system.group("workers").members == (again,)


async def test_a_membership_ends_with_the_actor_while_it_is_being_killed_for_good() -> None:
    async with running() as system:
        ref = await system.spawn(Joiner, Log(), restart="temporary")

        await ref.kill()

        assert len(system.group("workers")) == 0


async def test_an_actor_that_has_ended_joins_nothing() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        await ref.stop()

        system.group("workers").join(ref)

        assert system.group("workers").members == ()


async def test_actors_in_no_group_cost_nothing_and_groups_leave_nothing() -> None:
    async with running() as system:
        refs = [await system.spawn(Counter) for _ in range(3)]
        groups: Any = vars(system)["_parts"].runtime.registry.memberships
        for ref in refs:
            system.group("g").join(ref)
        system.group("g").next()
        system.group("g").leave(refs[0])
        for ref in refs:
            await ref.stop()

        assert vars(groups) == {"_cells": {}, "_keys": {}, "_turns": {}, "_types": {}}


async def test_an_actor_leaves_by_itself() -> None:
    class Leaver(Joiner):
        @handles
        def say(self, message: Say) -> None:
            self.context.leave("workers")
            self.context.unsubscribe("news")

    async with running() as system:
        ref = await system.spawn(Leaver, Log())

        await ref.ask(Say("x"), timeout=1)

        assert system.group("workers").members == system.topic("news").subscribers == ()


async def test_a_broadcast_reaches_every_member_once() -> None:
    async with running() as system:
        refs = [await system.spawn(Counter) for _ in range(3)]
        for ref in refs[:2]:
            system.group("g").join(ref)

        assert system.group("g").broadcast(Add(5)) == 2

        assert [await ref.ask(Total(), timeout=1) for ref in refs] == [5, 5, 0]
        assert system.broadcast(refs, Add(1)) == 3
        assert [await ref.ask(Total(), timeout=1) for ref in refs] == [6, 6, 1]
        assert system.group("nobody").broadcast(Add(5)) == 0


async def test_members_take_turns() -> None:
    async with running() as system:
        group = system.group("g")
        refs = [await system.spawn(Counter) for _ in range(3)]
        for ref in refs:
            group.join(ref)

        assert [refs.index(group.next()) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
        group.leave(refs[0])
        assert {refs.index(group.next()) for _ in range(4)} == {1, 2}


async def test_nobody_is_next_in_an_empty_group() -> None:
    async with running() as system:
        with pytest.raises(EmptyGroup, match="nobody is in the group 'g'"):
            system.group("g").next()


async def test_answers_come_in_member_order_each_with_its_reply_or_error() -> None:
    class Mute(Actor):
        durability = "volatile"

    async with running() as system:
        group = system.group("g")
        gate = Gate()
        busy = await system.spawn(Recorder, Log(), gate, name="busy")
        busy.tell(Pass())
        group.join(busy)
        group.join(await system.spawn(Recorder, Log(), name="well"))
        group.join(await system.spawn(Mute, name="mute"))
        began = anyio.current_time()

        answers = await group.ask_many(Say("hello"), timeout=2.5)

        assert anyio.current_time() - began == 2.5
        assert [answer.ref.name for answer in answers] == ["busy", "well", "mute"]
        assert [type(answer.error) for answer in answers] == [AskTimeout, type(None), UnhandledMessage]
        assert answers[1].reply == "hello"
        with pytest.raises(UnhandledMessage):
            _ = answers[2].reply
        gate.open.set()


async def test_a_member_that_fails_hides_no_other_answer() -> None:
    async with running() as system:
        a, b = await system.spawn(Recorder, Log()), await system.spawn(Counter)

        answers = await system.ask_many([a, b, a], Fail("why"), timeout=1)

        assert [type(answer.error) for answer in answers] == [HandlerFailed] * 3
        assert await system.ask_many([], Total(), timeout=1) == []


async def test_all_are_asked_at_the_same_time() -> None:
    class Slow(Actor):
        durability = "volatile"

        @handles
        async def total(self, message: Total) -> int:
            await anyio.sleep(1)
            return 1

    async with running() as system:
        refs = [await system.spawn(Slow) for _ in range(100)]
        began = anyio.current_time()

        answers = await system.ask_many(refs, Total(), timeout=60)

        assert sum(answer.reply for answer in answers) == 100
        assert anyio.current_time() - began == 1


async def test_cancelling_ends_all_asks() -> None:
    async with running() as system:
        gate, log = Gate(), Log()
        refs = [await system.spawn(Recorder, log, gate) for _ in range(2)]
        with anyio.move_on_after(1) as scope:
            await system.ask_many(refs, Pass(), timeout=60)

        gate.open.set()
        await log.until("passed", 2)

        assert scope.cancelled_caught
        assert [reason for _, reason in letters(system)] == ["late_reply"] * 2


async def test_an_actor_asks_a_group() -> None:
    class Boss(Actor):
        @handles
        async def total(self, message: Total) -> int:
            answers = await self.context.system.group("g").ask_many(Total(), timeout=1)
            return sum(answer.reply for answer in answers)

    async with running() as system:
        boss = await system.spawn(Boss)
        for amount in (3, 4):
            ref = await system.spawn(Counter)
            ref.tell(Add(amount))
            system.group("g").join(ref)

        assert await boss.ask(Total(), timeout=1) == 7


async def test_what_is_published_reaches_the_subscribers_with_its_publisher_as_sender() -> None:
    class Listener(Actor):
        def __init__(self, log: Log) -> None:
            self.log = log

        @handles
        def say(self, message: Say) -> None:
            envelope = self.context.message
            assert envelope is not None
            self.log(f"{self.context.ref.name}: {message.text} from {envelope.sender}")

    class Publisher(Actor):
        @handles
        def add(self, message: Add) -> int:
            return self.context.system.topic("news").publish(Say("rain"))

    async with running() as system:
        log = Log()
        news = system.topic("news", Say)
        assert news.publish(Say("nobody hears this")) == 0
        for name in "ab":
            news.subscribe(await system.spawn(Listener, log, name=name))

        assert await (await system.spawn(Publisher, name="radio")).ask(Add(), timeout=1) == 2
        await log.until("b: rain from radio")
        news.unsubscribe(system.get("a"))
        assert news.publish(Say("sun")) == 1
        await log.until("b: sun from external")

        assert log.lines == ["a: rain from radio", "b: rain from radio", "b: sun from external"]


async def test_a_full_subscriber_makes_a_dead_letter_and_the_others_do_not_notice() -> None:
    class Small(Recorder):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        gate, log, other = Gate(), Log(), Log()
        full = await system.spawn(Small, log, gate, name="full")
        full.tell(Pass())
        await log.until("waiting")
        full.tell(Say("queued"))
        news = system.topic("news", Say)
        news.subscribe(full)
        news.subscribe(await system.spawn(Recorder, other))

        assert news.publish(Say("news")) == 2
        await other.until("news")

        assert letters(system) == [(Say("news"), "full")]
        gate.open.set()


async def test_a_group_and_a_topic_of_one_name_do_not_meet() -> None:
    async with running() as system:
        system.group("x").join(await system.spawn(Counter))

        assert system.topic("x").subscribers == ()


async def test_a_message_of_another_type_than_the_topic_s_is_refused() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        system.topic("sums").subscribe(ref)
        wrong: Any = Say("x")

        with pytest.raises(InvalidArgument, match="the topic 'sums' is of Add"):
            system.topic("sums", Add).publish(wrong)
        with pytest.raises(InvalidArgument, match="one type of message"):
            system.topic("sums", wrong)

        assert letters(system) == []


async def test_a_message_that_one_cannot_take_reaches_nobody() -> None:
    async with running() as system:
        log = Log()
        volatile, mirrored = await system.spawn(Recorder, log), await system.spawn(Counter)

        with pytest.raises(UnencodableMessage):
            system.broadcast([volatile, mirrored], object())
        with pytest.raises(UnencodableMessage):
            await system.ask_many([volatile, mirrored], object(), timeout=1)
        await volatile.ask(Say("after"), timeout=1)

        assert letters(system) == []
        assert log.lines[1:] == ["after"]


@pytest.mark.parametrize("name", ["", None, 3], ids=repr)
async def test_a_name_that_cannot_be(name: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match="a group is named by"):
            system.group(name)
        with pytest.raises(InvalidArgument, match="a topic is named by"):
            system.topic(name)


async def test_what_is_no_ref_of_this_system_is_refused_before_anybody_has_the_message() -> None:
    async with running() as system, running("other") as other:
        ref, foreign = await system.spawn(Counter), await other.spawn(Counter)
        none: Any = None
        for wrong, error in ((foreign, ForeignRef), (none, InvalidArgument)):
            for use in (system.group("g").join, system.group("g").leave, system.topic("t").subscribe):
                with pytest.raises(error):
                    use(wrong)
            with pytest.raises(error):
                system.broadcast([ref, wrong], Add())
            with pytest.raises(error):
                await system.ask_many([ref, wrong], Total(), timeout=1)

        assert await ref.ask(Total(), timeout=1) == 0


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1"], ids=repr)
async def test_a_timeout_that_cannot_be(timeout: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match="timeout"):
            await system.ask_many([], Total(), timeout=timeout)


async def test_after_the_end_everything_is_refused() -> None:
    async with running() as system:
        ref: ActorRef[Counter] = await system.spawn(Counter)
        group, topic = system.group("g"), system.topic("t")

    for use in (lambda: group.broadcast(Add()), lambda: topic.publish(Add()), lambda: system.group("g")):
        with pytest.raises(SystemClosed):
            use()
    with pytest.raises(SystemClosed):
        await group.ask_many(Add(), timeout=1)
    with pytest.raises(SystemClosed):
        system.broadcast([ref], Add())


async def test_a_topic_is_of_the_type_that_it_was_first_taken_with() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log)
        untyped = system.topic("news")
        news = system.topic("news", Say)

        with pytest.raises(InvalidArgument, match=r"'news' is of Say, not of Add") as raised:
            system.topic("news", Add)
        system.topic("other", Add)

        assert "name" in str(raised.value)
        news.subscribe(ref)
        assert system.topic("news", Say).subscribers == untyped.subscribers == (ref,)
        assert system.topic("news").publish(Say("x")) == 1
        for topic in (untyped, system.topic("news")):
            with pytest.raises(InvalidArgument, match="is of Say"):
                topic.publish(Add(1))


async def test_a_topic_keeps_its_type_when_its_last_subscriber_has_gone() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())
        system.topic("news", Say).subscribe(ref)
        await ref.stop()

        with pytest.raises(InvalidArgument, match="of Say"):
            system.topic("news", Add)


async def test_a_topic_without_a_type_carries_any_message() -> None:
    async with running() as system:
        assert system.topic("news").publish(Say("x")) == system.topic("news").publish(Add(1)) == 0


@pytest.mark.parametrize("wrong", ["one", 3, None], ids=repr)
async def test_one_ref_is_no_list_of_refs(wrong: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        refs: Any = ref if wrong == "one" else wrong
        why = r"is one ref, and several are taken: \[ref\]" if wrong == "one" else "is no list of refs"

        with pytest.raises(InvalidArgument, match=why):
            system.broadcast(refs, Add())
        with pytest.raises(InvalidArgument, match=why):
            await system.ask_many(refs, Total(), timeout=1)
