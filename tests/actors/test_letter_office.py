"""Stored dead letters: listed, sent again, discarded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    DeadLetterFilter,
    DeadLetterReason,
    DeadLetterSettled,
    Fenced,
    HandlerFailed,
    InvalidArgument,
    LetterStatus,
    MailboxOptions,
    MemoryStore,
    NotRedrivable,
    Overflow,
    Redriven,
    StoredDeadLetter,
    StoreError,
    SystemClosed,
    UnknownDeadLetter,
    handles,
)
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running


class Fragile(Actor):
    """Notes what it is sent, and fails while it is told to."""

    is_broken: ClassVar[bool] = True

    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    def say(self, message: Say) -> None:
        envelope = self.context.message
        assert envelope is not None
        self.log(f"{message.text} {envelope.message_id} from {envelope.sender}")
        if type(self).is_broken:
            raise ValueError(message.text)


class Volatile(Fragile):
    durability = "volatile"


@pytest.fixture(autouse=True)
def broken_again() -> Any:
    Fragile.is_broken = True
    yield
    Fragile.is_broken = True


def heal() -> None:
    Fragile.is_broken = False


async def only(system: ActorSystem) -> StoredDeadLetter:
    (letter,) = await system.dead_letters.list()
    return letter


async def settle() -> None:
    await anyio.wait_all_tasks_blocked()


def status_of(letter: StoredDeadLetter) -> tuple[str, str, int]:
    return (str(letter.status), str(letter.reason), letter.attempts)


@pytest.mark.parametrize("cls", [Fragile, Volatile])
async def test_what_has_just_died_is_listed(cls: type[Fragile]) -> None:
    async with running() as system:
        ref = await system.spawn(cls, Log(), name="fragile")
        ref.tell(Say("one"))
        await settle()

        letter = await only(system)

        assert letter.message_id == system.dead_letters[0].message_id
        assert (letter.recipient, letter.sender, letter.incarnation) == ("fragile", "external", 1)
        assert (letter.message_type, letter.payload) == ("Say", {"text": "one"})
        assert status_of(letter) == ("open", "failed", 1)
        assert letter.cause == "ValueError: one"
        assert datetime.now(UTC) - letter.timestamp < timedelta(hours=1)
        assert (letter.settled_at, letter.discard_reason) == (None, None)


async def test_letters_are_listed_by_what_is_known_of_them() -> None:
    async with running() as system:
        await system.spawn(Counter, name="counter")
        gone = await system.spawn(Counter, name="gone")
        await gone.stop()
        for n in range(3):
            gone.tell(Add(n))
        system.get("counter").tell(Say("nobody handles this"))
        await settle()
        find, by = system.dead_letters.list, DeadLetterFilter

        assert [letter.payload["amount"] for letter in await find(by(recipient="gone"))] == [2, 1, 0]
        assert [letter.payload["amount"] for letter in await find(by(recipient="gone"), limit=1)] == [2]
        (unhandled,) = await find(by(reason="unhandled"))
        assert unhandled == (await find(by(message_type="Say")))[0]
        assert len(await find(by(reason=DeadLetterReason.STOPPED, since=unhandled.timestamp))) == 0
        assert len(await find(by(until=unhandled.timestamp))) == 3
        await system.dead_letters.discard(unhandled.message_id, reason="no use")
        assert [letter.message_id for letter in await find(status="discarded")] == [unhandled.message_id]
        assert len(await find(status=LetterStatus.OPEN)) == 3


@pytest.mark.parametrize("cls", [Fragile, Volatile])
async def test_a_redriven_message_comes_under_its_own_id_from_its_own_sender(cls: type[Fragile]) -> None:
    log = Log()

    class Sender(Recorder):
        def __init__(self, target: ActorRef[Any]) -> None:
            super().__init__(Log())
            self.target = target

        @handles
        def say(self, message: Say) -> None:
            self.target.tell(message)

    async with running() as system:
        ref = await system.spawn(cls, log, name="fragile")
        sender = await system.spawn(Sender, ref, name="sender")
        sender.tell(Say("one"))
        await settle()
        letter = await only(system)
        heal()
        await sender.stop()

        assert await system.dead_letters.redrive(letter.message_id) == Redriven(1)

        await settle()
        assert len(log.lines) == 2
        assert log.lines[1] == f"one {letter.message_id} from sender"
        assert ref.incarnation == 2
        assert status_of(await only(system)) == ("redriven", "failed", 2)
        assert (await only(system)).settled_at is not None


@pytest.mark.parametrize("cls", [Fragile, Volatile])
async def test_one_that_dies_again_is_an_open_letter_again_with_its_attempts(cls: type[Fragile]) -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(cls, log, name="fragile")
        ref.tell(Say("one"))
        await settle()
        letter = await only(system)

        for attempts in (2, 3):
            await system.dead_letters.redrive(letter.message_id)
            await settle()
            assert len(log.lines) == attempts
            again = await only(system)
            assert again.message_id == letter.message_id
            assert status_of(again) == ("open", "failed", attempts)
            assert again.timestamp > letter.timestamp
            assert again.settled_at is None

        assert [dead.message_id for dead in system.dead_letters] == [letter.message_id] * 3
        assert (system.dead_letters.total, system.dead_letters.redriven) == (3, 2)


async def test_what_a_redriven_message_causes_belongs_to_its_conversation() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        counter = await system.spawn(Counter, name="counter")

        class Forwarder(Fragile):
            @handles
            def say(self, message: Say) -> None:
                super().say(message)
                counter.tell(Add(1))

        ref = await system.spawn(Forwarder, Log(), name="fragile")
        ref.tell(Say("one"))
        await settle()
        letter = await only(system)
        heal()
        await system.dead_letters.redrive(letter.message_id)
        await settle()
        assert await counter.ask(Total(), timeout=1) == 1
        await system.flush()

        (again,) = await store.events("test", event_type="message_redriven")
        (add,) = await store.events("test", message_type="Add")
        assert (again.source_agent, again.target_agent) == ("external", "fragile")
        assert again.payload == {"message_id": letter.message_id, "attempts": 2}
        assert again.causation_id == letter.message_id
        assert add.causation_id == again.event_id
        assert add.correlation_id == again.correlation_id == letter.correlation_id
        assert len(await store.events("test", message_type="Say")) == 1


async def test_several_are_sent_in_the_order_of_the_ids_and_by_a_filter_in_that_of_their_deaths() -> None:
    log = Log()
    async with running() as system:
        gone = await system.spawn(Recorder, Log(), name="a")
        await gone.stop()
        for n in range(5):
            gone.tell(Say(str(n)))
        ids = [letter.message_id for letter in await system.dead_letters.list()]
        ref = await system.spawn(Recorder, log, name="a")

        assert await system.dead_letters.redrive([ids[0], ids[2], ids[0]]) == Redriven(2)
        assert await system.dead_letters.redrive(DeadLetterFilter(recipient="a")) == Redriven(3)

        assert await ref.ask(Say("last"), timeout=1) == "last"
        assert log.lines == ["a start", "4", "2", "0", "1", "3", "last"]


async def test_a_mailbox_without_room_takes_what_is_redriven() -> None:
    class Narrow(Recorder):
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_NEW)

    gate = Gate()
    log = Log()
    async with running() as system:
        ref = await system.spawn(Narrow, log, gate, name="narrow")
        ref.tell(Pass())
        await gate.reached.wait()
        for n in range(5):
            ref.tell(Say(str(n)))
        assert len(letters(system)) == 4

        assert await system.dead_letters.redrive(DeadLetterFilter(reason="dropped")) == Redriven(4)

        assert ref.statistics().depth == 5
        gate.open.set()
        await log.until("4")
        assert log.lines[-5:] == ["0", "1", "2", "3", "4"]
        assert system.dead_letters.total == 4


async def test_a_recipient_that_takes_nothing_is_named_and_nothing_is_changed() -> None:
    async with running() as system:
        gone = await system.spawn(Recorder, Log(), name="gone")
        gate = Gate()
        draining = await system.spawn(Recorder, Log(), gate, name="draining")
        await gone.stop()
        gone.tell(Say("one"))
        draining.tell(Pass())
        await gate.reached.wait()
        draining.drain()
        draining.tell(Say("two"))
        counter = await system.spawn(Counter, name="counter")
        counter.tell(Say("three"))
        await settle()
        three, two, one = await system.dead_letters.list()

        with pytest.raises(NotRedrivable, match="nobody lives at 'gone'") as caught:
            await system.dead_letters.redrive([three.message_id, one.message_id])
        assert caught.value.message_id == one.message_id
        with pytest.raises(NotRedrivable, match="'draining' is ending"):
            await system.dead_letters.redrive(two.message_id)

        assert await system.dead_letters.list() == [three, two, one]
        assert system.dead_letters.redriven == 0
        gate.open.set()


async def test_a_letter_to_nobody_reaches_who_lives_there_by_now() -> None:
    class Forwarder(Actor):
        @handles
        def hold(self, message: Held) -> None:
            message.target.tell(Say("to nobody"))

    store = MemoryStore()
    async with running(store=store) as system:
        target = await system.spawn(Recorder, Log(), name="target")
        gone = await system.spawn(Forwarder, name="forwarder")
        await gone.stop()
        gone.tell(Held(target))

    log = Log()
    async with running(store=store) as system:
        await system.spawn(Forwarder, name="forwarder")
        await system.dead_letters.redrive(DeadLetterFilter())
        await settle()
        (unknown,) = await system.dead_letters.list(DeadLetterFilter(reason="unknown"))
        assert (unknown.recipient, unknown.sender) == ("target", "forwarder")
        await system.spawn(Recorder, log, name="target")

        assert await system.dead_letters.redrive(unknown.message_id) == Redriven(1)

        await log.until("to nobody")


async def test_a_filter_skips_and_counts_what_cannot_be_sent_again() -> None:
    log = Log()
    async with running() as system:
        gone = await system.spawn(Recorder, log, name="gone")
        here = await system.spawn(Fragile, log, name="here")
        await gone.stop()
        gone.tell(Say("one"))
        gone.tell(Say("two"))
        here.tell(Say("three"))
        await settle()
        heal()

        redriven = await system.dead_letters.redrive(DeadLetterFilter())

        assert (redriven.sent, redriven.skipped) == (1, 2)
        assert dict(redriven.reasons) == {"nobody lives at 'gone'. Spawn the actor first.": 2}
        assert await system.dead_letters.redrive(DeadLetterFilter(recipient="here")) == Redriven(0)
        of_gone = await system.dead_letters.redrive(DeadLetterFilter(recipient="gone"))
        assert (of_gone.sent, of_gone.skipped, of_gone.reasons) == (0, 2, redriven.reasons)
        assert len(await system.dead_letters.list(status="open")) == 2


async def test_a_late_reply_cannot_be_redriven_and_can_be_discarded() -> None:
    gate = Gate()
    async with running() as system:
        ref = await system.spawn(Recorder, Log(), gate, name="slow")
        with pytest.raises(TimeoutError):
            await ref.ask(Pass(), timeout=1)
        gate.open.set()
        await settle()
        letter = await only(system)
        assert letter.reason is DeadLetterReason.LATE_REPLY

        with pytest.raises(NotRedrivable, match="it is a reply"):
            await system.dead_letters.redrive(letter.message_id)
        redriven = await system.dead_letters.redrive(DeadLetterFilter())
        assert (redriven.sent, redriven.skipped) == (0, 1)
        assert await system.dead_letters.discard(letter.message_id, reason="too late") == 1


async def test_a_letter_is_redriven_or_discarded_once() -> None:
    async with running() as system:
        ref = await system.spawn(Fragile, Log(), name="fragile")
        ref.tell(Say("one"))
        ref.tell(Say("two"))
        await settle()
        two, one = await system.dead_letters.list()
        heal()

        await system.dead_letters.redrive(one.message_id)
        assert await system.dead_letters.discard(two.message_id, reason="no use") == 1

        for id_, status in ((one.message_id, "redriven"), (two.message_id, "discarded")):
            with pytest.raises(DeadLetterSettled, match=f"is {status} already") as caught:
                await system.dead_letters.redrive(id_)
            assert (caught.value.message_id, caught.value.status) == (id_, status)
            with pytest.raises(DeadLetterSettled):
                await system.dead_letters.discard(id_, reason="again")
        with pytest.raises(UnknownDeadLetter, match=r"'9\.9'"):
            await system.dead_letters.redrive(["9.9"])
        with pytest.raises(UnknownDeadLetter, match="nonsense"):
            await system.dead_letters.discard("nonsense", reason="again")
        assert await system.dead_letters.redrive(DeadLetterFilter()) == Redriven(0)
        assert await system.dead_letters.discard(DeadLetterFilter(), reason="again") == 0
        assert [status_of(letter)[0] for letter in await system.dead_letters.list()] == [
            "discarded",
            "redriven",
        ]
        assert (await system.dead_letters.list())[0].discard_reason == "no use"


async def test_of_redrives_at_the_same_time_one_sends() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Fragile, log, name="fragile")
        ref.tell(Say("one"))
        await settle()
        letter = await only(system)
        heal()
        outcomes: list[object] = []

        async def redrive(which: str | DeadLetterFilter) -> None:
            try:
                outcomes.append(await system.dead_letters.redrive(which))
            except DeadLetterSettled:
                outcomes.append("settled")

        async with anyio.create_task_group() as tasks:
            for which in (letter.message_id, DeadLetterFilter(), letter.message_id):
                tasks.start_soon(redrive, which)

        assert outcomes.count(Redriven(1)) == 1
        assert len(outcomes) == 3
        assert log.lines == [f"one {letter.message_id} from external"] * 2


async def test_the_counts_add_up() -> None:
    log = Log()
    async with running() as system:
        ref = await system.spawn(Fragile, log, name="fragile", restart="permanent")
        sent = 6
        for n in range(sent):
            ref.tell(Say(str(n)))
            await settle()
            await anyio.sleep(10)  # the restart budget
        dead = system.dead_letters
        assert (dead.total, dead.redriven, dead.discarded) == (6, 0, 0)
        ids = [letter.message_id for letter in await dead.list()]

        await dead.redrive(ids[:2])
        await settle()
        heal()
        await dead.redrive(ids[1:4])
        await dead.discard(ids[4], reason="no use")
        await settle()

        assert (dead.total, dead.redriven, dead.discarded) == (8, 5, 1)
        handled = system.statistics().handled
        assert sent == handled + dead.total - dead.redriven
        rows = await dead.list()
        assert sorted(str(letter.status) for letter in rows) == sorted(
            ["open"] * 2 + ["redriven"] * 3 + ["discarded"]
        )
        assert len(rows) - sum(letter.status is LetterStatus.REDRIVEN for letter in rows) == sent - handled


class Held(msgspec.Struct, frozen=True):
    target: ActorRef[Any]
    deposits: tuple[Say, ...] = ()


class Renamed(msgspec.Struct, frozen=True, tag="held-2"):
    target: int = 0


class Narrower(Say, frozen=True):
    """Handled as a Say."""


class Holder(Actor):
    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    def hold(self, message: Held) -> None:
        self.log(f"held {message.deposits} for {message.target.path}")

    @handles
    def renamed(self, message: Renamed) -> None: ...

    @handles
    def say(self, message: Say) -> None:
        self.log(f"{type(message).__name__} {message.text}")


async def test_a_later_start_makes_the_message_from_the_stored_bytes() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        target = await system.spawn(Counter, name="target")
        gone = await system.spawn(Holder, Log(), name="holder")
        await gone.stop()
        gone.tell(Held(target, (Say("x"),)))
        gone.tell(Narrower("one"))

    log = Log()
    async with running(store=store) as system:
        target = await system.spawn(Counter, name="target")
        await system.spawn(Holder, log, name="holder")
        assert len(system.dead_letters) == 0
        letter = (await system.dead_letters.list())[1]

        assert await system.dead_letters.redrive(DeadLetterFilter(recipient="holder")) == Redriven(2)

        await log.until("Narrower one")
        assert log.lines == ["held (Say(text='x'),) for target", "Narrower one"]
        assert letter.message_id.startswith("1.")
        assert {one.status for one in await system.dead_letters.list()} == {LetterStatus.REDRIVEN}


class Door(Actor):
    """Takes what is said only while it is open."""

    initial_behaviour = "closed"

    def __init__(self, log: Log) -> None:
        self.log = log

    @handles(when="closed")
    def open(self, message: Add) -> None:
        self.context.become("open")

    @handles(when="open")
    def say(self, message: Say) -> None:
        self.log(message.text)


async def test_a_later_start_knows_the_types_of_every_behaviour() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        door = await system.spawn(Door, Log(), name="door")
        door.tell(Say("early"))
        await settle()

    log = Log()
    async with running(store=store) as system:
        door = await system.spawn(Door, log, name="door")
        door.tell(Add())
        assert await system.dead_letters.redrive(DeadLetterFilter(reason="unhandled")) == Redriven(1)
        await log.until("early")


async def test_a_redriven_message_brings_a_passive_actor_back() -> None:
    class Virtual(Counter):
        passivate_after = 1.0

    async with running(store=MemoryStore()) as system:
        ref = await system.get_or_spawn(Virtual, "v")
        ref.tell(Fail())
        await anyio.sleep(10)

        letter = await only(system)
        with pytest.raises(HandlerFailed):
            await ref.ask(Fail("again"), timeout=1)
        await anyio.sleep(10)
        before = ref.incarnation
        assert await system.dead_letters.redrive(letter.message_id) == Redriven(1)
        await anyio.sleep(1)

        assert ref.incarnation > before
        assert [reason for _, reason in letters(system)] == ["failed"] * 3


async def test_a_letter_of_an_earlier_start_that_dies_again_keeps_its_id() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Fragile, Log(), name="fragile")
        ref.tell(Say("one"))
        await settle()
        first = await only(system)

    log = Log()
    async with running(store=store) as system:
        await system.spawn(Fragile, log, name="fragile")
        await system.dead_letters.redrive(first.message_id)
        await log.until(f"one {first.message_id} from external")
        await settle()

        again = await only(system)
        assert again.message_id == first.message_id
        assert system.dead_letters[0].message_id == first.message_id
        assert status_of(again) == ("open", "failed", 2)
        heal()
        await system.dead_letters.redrive(first.message_id)
        await log.until(f"one {first.message_id} from external", times=2)
        assert status_of(await only(system)) == ("redriven", "failed", 3)


async def test_what_cannot_be_made_from_the_stored_bytes_says_why() -> None:
    class Old(msgspec.Struct, frozen=True, tag="held-2"):
        target: str

    store = MemoryStore()
    async with running(store=store) as system:
        gone = await system.spawn(Holder, Log(), name="holder")
        open_ = await system.spawn(Recorder, Log(), name="volatile")
        await gone.stop()
        await open_.stop()
        gone.tell(Add(1))
        gone.tell(Old("x"))
        open_.tell(object())

    async with running(store=store) as system:
        await system.spawn(Holder, Log(), name="holder")
        await system.spawn(Recorder, Log(), name="volatile")
        words, old, unknown = await system.dead_letters.list()

        for letter, why in (
            (unknown, "Holder handles no type of message stored as 'Add'"),
            (old, "its stored bytes are no Renamed any more"),
            (words, "the message could not be encoded"),
        ):
            with pytest.raises(NotRedrivable, match=why) as caught:
                await system.dead_letters.redrive(letter.message_id)
            assert caught.value.message_id == letter.message_id
        redriven = await system.dead_letters.redrive(DeadLetterFilter())
        assert (redriven.sent, redriven.skipped, len(redriven.reasons)) == (0, 3, 3)


async def test_two_types_under_one_tag_are_not_guessed_between() -> None:
    def held(name: str) -> type[msgspec.Struct]:
        return msgspec.defstruct(name, [("amount", int)], frozen=True, tag="same")

    one, two = held("One"), held("Two")
    store = MemoryStore()
    async with running(store=store) as system:
        gone = await system.spawn(Holder, Log(), name="a")
        await gone.stop()
        gone.tell(one(amount=1))

    class Both(Actor):
        @handles(one, two)
        def take(self, message: Any) -> None: ...

    async with running(store=store) as system:
        await system.spawn(Both, name="a")
        with pytest.raises(NotRedrivable, match="Both handles 2 types of message stored as 'same'"):
            await system.dead_letters.redrive((await only(system)).message_id)


async def test_a_message_that_is_still_in_memory_needs_no_bytes_where_nothing_is_mirrored() -> None:
    log = Log()

    class Anything(Actor):
        durability = "volatile"

        def on_receive(self, message: object) -> None:
            log(f"got {message is thing}")

    thing = object()
    async with running() as system:
        gone = await system.spawn(Anything, name="a")
        await gone.stop()
        gone.tell(thing)
        await system.spawn(Anything, name="a")

        assert await system.dead_letters.redrive((await only(system)).message_id) == Redriven(1)

        await log.until("got True")


async def test_what_is_redriven_is_given_up_with_its_actor_as_any_other() -> None:
    gate = Gate()
    async with running() as system:
        ref = await system.spawn(Recorder, Log(), name="a")
        await ref.stop()
        ref.tell(Say("one"))
        letter = await only(system)
        ref = await system.spawn(Recorder, Log(), gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()
        await system.dead_letters.redrive(letter.message_id)
        assert status_of(await only(system)) == ("redriven", "stopped", 2)

        ending = ref.stop()
        gate.open.set()
        await ending

        assert status_of(await only(system)) == ("open", "stopped", 2)
        assert (await only(system)).message_id == letter.message_id


async def test_what_waits_in_a_mailbox_at_the_end_of_the_system_is_an_open_letter_again() -> None:
    store = MemoryStore()
    gate = Gate()
    async with running(store=store) as system:
        gone = await system.spawn(Recorder, Log(), name="a")
        await gone.stop()
        gone.tell(Say("one"))
        ref = await system.spawn(Recorder, Log(), gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()
        await system.dead_letters.redrive(DeadLetterFilter())
        ref.stop()
        gate.open.set()

    (row,) = await store.dead_letters("test")
    assert (row.status, row.reason, row.attempts) == ("open", "stopped", 2)


async def test_an_actor_may_redrive_what_its_child_lost() -> None:
    log = Log()

    class Parent(Actor):
        @handles
        async def say(self, message: Say) -> None:
            child = await self.context.spawn(Recorder, log, name="child")
            await self.context.system.dead_letters.redrive(DeadLetterFilter(recipient=child.path))

    async with running() as system:
        parent = await system.spawn(Parent, name="parent")
        parent.tell(Say("spawn one"))
        await log.until("child start")
        child = system.get("parent/child")
        await child.stop()
        child.tell(Say("lost"))

        parent.tell(Say("spawn another"))

        await log.until("lost")
        assert log.lines == ["child start", "child stop", "child start", "lost"]


async def test_during_an_outage_they_wait_for_its_end() -> None:
    store = MemoryStore()
    log = Log()
    async with running(store=store) as system:
        ref = await system.spawn(Fragile, log, name="fragile")
        ref.tell(Say("one"))
        await settle()
        await system.flush()
        heal()
        store.pause()
        system.get("fragile").tell(Add(1))  # nobody handles it: another letter, which cannot be written

        with anyio.move_on_after(60) as scope:
            await system.dead_letters.redrive(DeadLetterFilter())
        assert scope.cancelled_caught
        assert len(log.lines) == 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.dead_letters.redrive, DeadLetterFilter())
            await settle()
            store.resume()
        await settle()
        assert len(log.lines) == 2


async def test_a_redrive_that_is_cancelled_while_it_commits_has_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    log = Log()
    async with running(store=store) as system:
        ref = await system.spawn(Fragile, log, name="fragile")
        ref.tell(Say("one"))
        await settle()
        letter = await only(system)
        heal()
        read = store.letters_by_id

        async def read_and_pause(*args: Any) -> Any:
            rows = await read(*args)
            store.pause()
            return rows

        monkeypatch.setattr(store, "letters_by_id", read_and_pause)
        with anyio.move_on_after(60) as scope:
            await system.dead_letters.redrive(letter.message_id)
        store.resume()

        assert scope.cancelled_caught
        await settle()
        assert len(log.lines) == 2
        assert status_of(await only(system)) == ("redriven", "failed", 2)


async def test_a_redrive_that_another_start_has_fenced_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    log = Log()

    async def redrive_while_fenced() -> None:
        async with running(store=store) as system:
            gone = await system.spawn(Recorder, log, name="a")
            await gone.stop()
            gone.tell(Say("one"))
            await system.spawn(Recorder, log, name="a")
            (letter,) = await system.dead_letters.list()
            read = store.letters_by_id

            async def read_and_fence(*args: Any) -> Any:
                rows = await read(*args)
                await store.open_journal("test")
                return rows

            monkeypatch.setattr(store, "letters_by_id", read_and_fence)
            with pytest.raises(StoreError):
                await system.dead_letters.redrive(letter.message_id)

    with pytest.raises(Fenced):
        await redrive_while_fenced()

    assert "one" not in log.lines
    (row,) = await store.dead_letters("test")
    assert row.status == "open"


async def test_after_the_end_of_the_system_the_newest_can_be_looked_at_and_no_more() -> None:
    async with running() as system:
        ref = await system.spawn(Fragile, Log(), name="fragile")
        ref.tell(Say("one"))
        await settle()
        dead = system.dead_letters

    assert dead.total == len(dead) == 1
    for call in (
        dead.list(),
        dead.redrive(DeadLetterFilter()),
        dead.discard(DeadLetterFilter(), reason="no use"),
    ):
        with pytest.raises(SystemClosed, match="dead letters"):
            await call


NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the mistake itself


@pytest.mark.parametrize(
    ("matching", "match"),
    [
        ({"reason": "boredom"}, "unhandled"),
        ({"since": NAIVE}, "time zone"),
        ({"until": 5}, "time zone"),
        ({"since": datetime.min.replace(tzinfo=UTC)}, "leave it out"),
        ({"recipient": 5}, "ref.path"),
        ({"message_type": Add}, "string"),
    ],
    ids=str,
)
def test_a_filter_that_can_match_nothing_is_refused(matching: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        DeadLetterFilter(**matching)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"status": "closed"}, "redriven"), ({"limit": 0}, "limit"), ({"limit": "many"}, "limit")],
    ids=str,
)
async def test_a_list_of_nothing_is_refused(options: dict[str, Any], match: str) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match=match):
            await system.dead_letters.list(**options)


@pytest.mark.parametrize("which", [None, 3, [3], [["1.1"]], Fail()], ids=str)
async def test_what_says_of_no_letter_is_refused(which: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match="DeadLetterFilter"):
            await system.dead_letters.redrive(which)
        with pytest.raises(InvalidArgument, match="DeadLetterFilter"):
            await system.dead_letters.discard(which, reason="no use")
        if which is not None:
            with pytest.raises(InvalidArgument, match="DeadLetterFilter"):
                await system.dead_letters.list(which)


@pytest.mark.parametrize("reason", ["", "  ", None, 5])
async def test_a_discard_without_a_reason_is_refused(reason: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match="reason"):
            await system.dead_letters.discard(DeadLetterFilter(), reason=reason)
