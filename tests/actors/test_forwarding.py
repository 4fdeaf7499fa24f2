"""`forward`: the message in hand goes on, as from its first sender."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    AskCycle,
    HandlerFailed,
    InvalidArgument,
    MailboxFull,
    MailboxOptions,
    MemoryStore,
    MessageDropped,
    NotInTurn,
    Overflow,
    Request,
    UnencodableMessage,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Gate, Log, Pass, Recorder, Say, letters, running
from tests.puppet import Do, MirroredPuppet, Puppet, in_turn


class Question(Request[str], frozen=True):
    what: str = ""


class Answering(Actor):
    durability = "volatile"

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    @handles
    def answer(self, message: Question) -> str:
        envelope = self.context.message
        assert envelope is not None
        self.seen.append(envelope.sender)
        return f"answer to {message.what}"


class Front(Actor):
    durability = "volatile"

    def __init__(self, back: ActorRef[Any]) -> None:
        self.back = back

    @handles
    async def question(self, message: Question) -> str:
        self.context.forward(self.back)
        if message.what == "raise":
            raise ValueError
        return "not the reply"


class PlainFront(Front):
    """Its handler is a plain function: it runs within the ask."""

    @handles
    def question(self, message: Question) -> str:  # type: ignore[override]
        self.context.forward(self.back)
        if message.what == "raise":
            raise ValueError
        return "not the reply"


class MirroredFront(Front):
    durability = "mirrored"  # type: ignore[assignment]


class MirroredAnswering(Answering):
    durability = "mirrored"  # type: ignore[assignment]


@pytest.mark.parametrize("cls", [Front, PlainFront])
async def test_the_other_answers_the_first_sender(cls: type[Front]) -> None:
    async with running() as system:
        seen: list[str] = []
        back = await system.spawn(Answering, seen)
        front = await system.spawn(cls, back, name="front")
        asker = await system.spawn(Puppet, name="asker")

        assert await front.ask(Question("a"), timeout=1) == "answer to a"
        assert await in_turn(asker, lambda _: front.ask(Question("b"), timeout=1)) == "answer to b"
        front.tell(Question("c"))
        await front.drain()
        await back.drain()

        assert seen == ["external", "asker", "external"]
        assert [cell_of(front).handled, cell_of(back).handled] == [3, 3]
        assert letters(system) == []


async def test_it_may_go_on_several_times() -> None:
    async with running() as system:
        ref: ActorRef[Any] = await system.spawn(Answering, [])
        for _ in range(5):
            ref = await system.spawn(Front, ref)

        assert await ref.ask(Question("a"), timeout=1) == "answer to a"


@pytest.mark.parametrize("cls", [Front, PlainFront])
async def test_a_handler_that_raises_after_it_fails_alone(cls: type[Front]) -> None:
    async with running() as system:
        back = await system.spawn(Answering, [])
        front = await system.spawn(cls, back)

        assert await front.ask(Question("raise"), timeout=1) == "answer to raise"
        await anyio.sleep(1)

        assert front.incarnation == 2
        assert letters(system) == []
        assert cell_of(front).handled == 1


async def test_an_ended_target_makes_a_dead_letter_and_tells_the_asker() -> None:
    async with running() as system:
        back = await system.spawn(Answering, [], name="back", restart="temporary")
        front = await system.spawn(Front, back)
        await back.kill()

        front.tell(Question("told"))
        with pytest.raises(ActorStopped) as caught:
            await front.ask(Question("asked"), timeout=1)

        assert caught.value.ref == back
        assert letters(system) == [(Question("told"), "stopped"), (Question("asked"), "stopped")]
        assert {letter.recipient for letter in system.dead_letters} == {"back"}


@pytest.mark.parametrize(
    ("overflow", "error", "reason"),
    [
        (Overflow.BACKPRESSURE, MailboxFull, "full"),
        (Overflow.FAIL, MailboxFull, "full"),
        (Overflow.DROP_NEW, MessageDropped, "dropped"),
    ],
)
async def test_a_full_target_makes_a_dead_letter_and_tells_the_asker(
    overflow: Overflow, error: type[Exception], reason: str
) -> None:
    class Small(Recorder):
        mailbox = MailboxOptions(capacity=1, overflow=overflow)

    async with running() as system:
        gate = Gate()
        back = await system.spawn(Small, Log(), gate)
        front = await system.spawn(Front, back)
        back.tell(Pass())
        await gate.reached.wait()
        back.tell(Say("queued"))

        with pytest.raises(error):
            await front.ask(Question("a"), timeout=1)

        assert letters(system) == [(Question("a"), reason)]
        gate.open.set()


async def test_nothing_is_in_hand_after_it() -> None:
    async with running() as system:
        back = await system.spawn(Puppet)
        front = await system.spawn(Puppet)

        def again(actor: Puppet) -> None:
            if actor.context.ref == back:
                return
            actor.context.forward(back)
            with pytest.raises(NotInTurn, match="stashed or forwarded already"):
                actor.context.forward(back)
            with pytest.raises(NotInTurn, match="stashed or forwarded already"):
                actor.context.stash()

        await in_turn(front, again)


async def test_what_the_target_cannot_store_is_still_in_hand() -> None:
    async with running() as system:
        back = await system.spawn(MirroredPuppet)
        front = await system.spawn(Puppet)

        def try_it(actor: Puppet) -> str:
            with pytest.raises(UnencodableMessage):
                actor.context.forward(back)
            return "answered here"

        assert await in_turn(front, try_it) == "answered here"


async def test_for_the_mirror_it_is_a_new_message_of_the_same_conversation() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        back = await system.spawn(MirroredAnswering, [], name="back")
        front = await system.spawn(MirroredFront, back, name="front")
        await front.ask(Question("a"), timeout=1)
        await system.flush()
        sent = await store.events("test", event_type="message_sent")
        replied = await store.events("test", event_type="message_replied")

        first, second = sorted(sent, key=lambda event: str(event.target_agent), reverse=True)
        assert [first.source_agent, first.target_agent] == ["external", "front"]
        assert [second.source_agent, second.target_agent] == ["external", "back"]
        assert second.correlation_id == first.correlation_id
        assert second.causation_id == first.event_id
        (reply,) = replied
        assert [reply.source_agent, reply.causation_id] == ["back", second.event_id]


async def test_an_ask_that_goes_on_waits_for_the_other_and_a_circle_is_found() -> None:
    async with running() as system:
        a = await system.spawn(Puppet, name="a")
        c = await system.spawn(Puppet, name="c")
        b = await system.spawn(Puppet, name="b")

        async def answer(actor: Puppet) -> str:
            if actor.context.ref == b:
                actor.context.forward(c)
                return ""
            with pytest.raises(AskCycle) as caught:
                await a.ask(Do(lambda _: None), timeout=5)
            return " ".join(caught.value.cycle)

        assert await in_turn(a, lambda _: b.ask(Do(answer), timeout=5)) == "c a c"


async def test_a_handler_that_raises_before_it_fails_as_ever() -> None:
    async with running() as system:
        front = await system.spawn(Puppet)

        def raises(actor: Puppet) -> None:
            raise ValueError

        with pytest.raises(HandlerFailed):
            await in_turn(front, raises)


async def test_an_actor_cannot_forward_to_itself_and_is_told_what_to_do_instead() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def retry(actor: Any) -> str:
            for itself in (actor.context.ref, actor.context.ref.with_options(priority=1)):
                with pytest.raises(InvalidArgument, match=r"stash\(\).*timers\.once"):
                    actor.context.forward(itself)
            return "still in hand"

        assert await in_turn(ref, retry) == "still in hand"
