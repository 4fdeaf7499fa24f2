"""Messages that are sent under ids are applied once, however often they are sent."""

from __future__ import annotations

import gc
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    JournalOptions,
    MailboxOptions,
    MemoryStore,
    Overflow,
    Request,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from sentient_core.errors import (
    ActivationFailed,
    ActorStopped,
    AskTimeout,
    HandlerFailed,
    InvalidArgument,
    MessageDropped,
    MessageExpired,
    MessageIdConflict,
    ReplyUnreadable,
    SendTimeout,
    StoreUnavailable,
    UnhandledMessage,
)
from tests.probes import Add, Counter, Fail, Gate, Pass, Say, Total


class Receipt(msgspec.Struct, frozen=True):
    number: int
    items: tuple[str, ...] = ()


class Buy(Request[Receipt], frozen=True):
    what: str


class Count(msgspec.Struct, frozen=True):
    """A message whose handler says what it returns."""


class Guess(msgspec.Struct, frozen=True):
    """A message whose reply nobody says the type of."""


class Odd(msgspec.Struct, frozen=True):
    """A message whose handler returns what no store can hold."""


class NotToday(Exception):
    """An answer."""


class SoldOut(Exception):
    """An answer that composes its sentence."""

    def __init__(self, what: str, left: int) -> None:
        self.what = what
        self.left = left
        super().__init__(f"of {what!r} there are {left} left")


class Unknown(Exception):
    """Another, of one argument, which it does not keep."""

    def __init__(self, what: str) -> None:
        super().__init__(f"there is no {what!r}")


class Refuse(Request[None], frozen=True):
    why: str


REFUSALS: dict[str, Callable[[], Exception]] = {
    "sold out": lambda: SoldOut("tea", 2),
    "unknown": lambda: Unknown("tea"),
    "key": lambda: KeyError(("tea", 1)),
}


class Shop(Actor):
    """Counts what it is asked to do."""

    durability = "durable"
    reply_errors = (NotToday, SoldOut, Unknown, KeyError)

    class State(msgspec.Struct):
        sold: int = 0

    state: State

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate

    @handles
    async def buy(self, message: Buy) -> Receipt:
        self.state.sold += 1
        return Receipt(self.state.sold, (message.what,))

    @handles
    def add(self, message: Add) -> None:
        self.state.sold += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.sold

    @handles
    def count(self, message: Count) -> tuple[int, ...]:
        self.state.sold += 1
        return (self.state.sold,)

    @handles
    def guess(self, message: Guess):  # type: ignore[no-untyped-def]
        return Receipt(1)

    @handles
    def odd(self, message: Odd) -> object:
        self.state.sold += 1
        return object()

    @handles
    def fail(self, message: Fail) -> None:
        self.state.sold += 1
        raise ValueError(message.why)

    @handles
    def refuse(self, message: Refuse) -> None:
        known = REFUSALS.get(message.why)
        raise NotToday(message.why) if known is None else known()

    @handles
    async def wait_at_the_gate(self, message: Pass) -> str:
        assert self.gate is not None
        await self.gate()
        self.state.sold += 1
        return "through"


@asynccontextmanager
async def shop(store: MemoryStore | None = None, **options: Any) -> AsyncGenerator[ActorSystem]:
    async with ActorSystem("mall", store=store or MemoryStore(), **options) as system:
        yield system


async def test_a_message_sent_again_is_applied_once() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        for _ in range(3):
            await ref.send(Add(2), message_id="a")
        await ref.send(Add(2), message_id="b")

        assert await ref.ask(Total(), timeout=1) == 4
        assert len(cell_of(ref).runtime.sent_ids) == 0  # what is committed is the store's to know


async def test_asked_again_the_answer_is_the_first_one_as_the_request_says() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        first = await ref.ask(Buy("pen"), timeout=1, message_id="a")
        again = await ref.ask(Buy("pen"), timeout=1, message_id="a")

        assert first == again == Receipt(1, ("pen",))
        assert await ref.ask(Total(), timeout=1) == 1


async def test_without_a_request_it_is_as_the_handler_is_annotated_or_plain() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        assert [await ref.ask(Count(), timeout=1, message_id="a") for _ in range(2)] == [(1,), (1,)]
        assert await ref.ask(Guess(), timeout=1, message_id="b") == Receipt(1)
        assert await ref.ask(Guess(), timeout=1, message_id="b") == {"number": 1, "items": []}


async def test_ids_are_per_recipient() -> None:
    async with shop() as system:
        one, other = await system.spawn(Shop, name="one"), await system.spawn(Shop, name="other")

        await one.send(Add(1), message_id="a")
        await other.send(Add(2), message_id="a")

        assert (await one.ask(Total(), timeout=1), await other.ask(Total(), timeout=1)) == (1, 2)


@pytest.mark.parametrize("settled", [False, True])
async def test_the_same_id_with_another_message_is_a_conflict(settled: bool) -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.send(Add(1), message_id="a")
        if settled:
            gate.open.set()
            await ref.ask(Total(), timeout=1)
            await system.flush()

        with pytest.raises(MessageIdConflict) as conflict:
            await ref.send(Add(2), message_id="a")
        with pytest.raises(MessageIdConflict):
            await ref.ask(Total(), timeout=1, message_id="a")

        assert (conflict.value.message, conflict.value.message_id) == (Add(2), "a")
        gate.open.set()
        await ref.send(Add(1), message_id="a")
        assert await ref.ask(Total(), timeout=1) == 2


async def test_while_the_first_try_is_under_way_the_others_wait_for_its_outcome() -> None:
    gate = Gate()
    answers: list[Any] = []
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")

        async def ask() -> None:
            answers.append(await ref.ask(Pass(), timeout=10, message_id="a"))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            await gate.reached.wait()
            tasks.start_soon(ask)
            await ref.send(Pass(), message_id="a")  # it is accepted, which is all that a send says
            assert answers == []
            gate.open.set()

        assert answers == ["through"] * 4
        assert await ref.ask(Total(), timeout=1) == 1


async def test_who_asks_after_a_timeout_gets_the_answer_that_came_too_late() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")

        with pytest.raises(AskTimeout):
            await ref.ask(Pass(), timeout=1, message_id="a")
        gate.open.set()

        assert await ref.ask(Pass(), timeout=1, message_id="a") == "through"
        assert await ref.ask(Total(), timeout=1) == 1
        assert not list(system.dead_letters)  # the reply is no letter that nobody wanted


async def test_nothing_is_kept_of_tries_that_wait_no_more() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")
        for _ in range(5):
            with pytest.raises(AskTimeout):
                await ref.ask(Pass(), timeout=1, message_id="a")

        gc.collect()
        held = [slot for slot in gc.get_objects() if type(slot).__name__ == "_CommittedReply"]
        assert len(held) < 2  # that of the last one, at most
        gate.open.set()
        assert await ref.ask(Pass(), timeout=1, message_id="a") == "through"


async def test_a_message_that_was_asked_for_and_one_that_was_sent_are_the_same() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")
        await ref.send(Buy("pen"), message_id="a")

        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(1, ("pen",))


async def test_a_failure_is_final_and_told_in_its_words() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        with pytest.raises(HandlerFailed) as first:
            await ref.ask(Fail("no paper"), timeout=1, message_id="a")
        with pytest.raises(HandlerFailed) as again:
            await ref.ask(Fail("no paper"), timeout=1, message_id="a")
        await ref.send(Fail("no paper"), message_id="a")

        assert "ValueError: no paper" in str(first.value)
        assert "ValueError: no paper" in str(again.value)
        assert isinstance(first.value.__cause__, ValueError)
        assert system.statistics().failures == 1


async def test_an_error_that_is_an_answer_is_that_error_again() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        for _ in range(2):
            with pytest.raises(NotToday, match="closed"):
                await ref.ask(Refuse("closed"), timeout=1, message_id="a")


@pytest.mark.parametrize("why", REFUSALS)
async def test_an_error_that_composes_its_sentence_says_it_once(why: str) -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")
        found: list[Exception] = []
        for _ in range(2):
            try:
                await ref.ask(Refuse(why), timeout=1, message_id="a")
            except Exception as error:  # noqa: BLE001 - whatever it is, is looked at
                found.append(error)

    live, again = found
    assert type(again) is type(live) is type(REFUSALS[why]())
    assert vars(again) == vars(REFUSALS[why]())
    assert str(again) == str(live).replace("(", "[").replace(")", "]")


class Clock(Shop):
    """It takes no messages of the type Say."""


async def test_what_nothing_handles_is_final() -> None:
    async with shop() as system:
        ref = await system.spawn(Clock, name="clock")

        for _ in range(2):
            with pytest.raises(UnhandledMessage):
                await ref.ask(Say("hello"), timeout=1, message_id="a")

        assert len(system.dead_letters) == 1


async def test_what_has_expired_is_final() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.with_options(expires=0.5).send(Add(), message_id="a")
        await anyio.sleep(1)  # virtual time
        gate.open.set()
        assert await ref.ask(Total(), timeout=1) == 1

        with pytest.raises(MessageExpired):
            await ref.with_options(expires=5.0).ask(Add(), timeout=1, message_id="a")


class Kiosk(Shop):
    """Has room for one, and drops what comes then."""

    mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_NEW)


async def test_what_a_mailbox_has_not_taken_may_be_tried_again() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Kiosk, gate, name="kiosk")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Add())

        with pytest.raises(MessageDropped):
            await ref.ask(Add(5), timeout=1, message_id="a")
        await ref.send(Add(5), message_id="a")
        assert [letter.message for letter in system.dead_letters] == [Add(5)] * 2
        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        assert await ref.ask(Total(), timeout=1) == 2

        await ref.send(Add(5), message_id="a")
        await anyio.wait_all_tasks_blocked()
        assert await ref.ask(Total(), timeout=1) == 7


class Till(Shop):
    """Has room for one, and drops what was there."""

    mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_OLD)


async def test_what_a_mailbox_has_taken_and_dropped_is_final() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Till, gate, name="till")
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.send(Add(5), message_id="a")
        ref.tell(Add(1))
        gate.open.set()
        await anyio.wait_all_tasks_blocked()

        with pytest.raises(MessageDropped):
            await ref.ask(Add(5), timeout=1, message_id="a")
        assert await ref.ask(Total(), timeout=1) == 2


class Stall(Shop):
    """Has room for one."""

    mailbox = MailboxOptions(capacity=1)


async def test_what_found_no_room_was_not_accepted_and_may_be_tried_again() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Stall, gate, name="stall")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Add())

        with pytest.raises(SendTimeout):
            await ref.send(Add(5), message_id="a", timeout=1)
        with pytest.raises(AskTimeout):
            await ref.ask(Add(6), timeout=1, message_id="a")  # no conflict: nothing came of the first one
        gate.open.set()
        await ref.send(Add(7), message_id="a")

        assert await ref.ask(Total(), timeout=1) == 9


async def test_who_waits_behind_a_try_that_finds_no_room_tries_himself() -> None:
    gate = Gate()
    async with shop() as system:
        ref = await system.spawn(Stall, gate, name="stall")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Add())

        async with anyio.create_task_group() as tasks, anyio.create_task_group() as first:
            first.start_soon(_ask, ref, Add(5), "a")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_ask, ref, Add(5), "a")
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
            gate.open.set()

        assert await ref.ask(Total(), timeout=1) == 7
        assert not list(system.dead_letters)


async def _ask(ref: Any, message: object, message_id: str) -> None:
    await ref.ask(message, timeout=10, message_id=message_id)


async def test_an_end_for_good_is_final_also_for_who_comes_after() -> None:
    gate, store = Gate(), MemoryStore()
    async with shop(store) as system:
        ref = await system.spawn(Shop, gate, name="shop")
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.send(Add(), message_id="a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_stopped, ref)
            await anyio.wait_all_tasks_blocked()
            end = ref.stop()
            gate.open.set()
            await end

        with pytest.raises(ActorStopped):
            await ref.ask(Add(), timeout=1, message_id="a")
        ref = await system.spawn(Shop, name="shop")
        with pytest.raises(ActorStopped, match="ended before"):
            await ref.ask(Add(), timeout=1, message_id="a")


async def _until_stopped(ref: Any) -> None:
    with pytest.raises(ActorStopped):
        await ref.ask(Add(), timeout=10, message_id="a")


async def test_a_restarted_actor_answers_what_was_queued_under_its_id() -> None:
    gate = Gate()
    answers: list[Any] = []
    async with shop() as system:
        ref = await system.spawn(Shop, gate, name="shop")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Fail())

        async def ask() -> None:
            answers.append(await ref.ask(Buy("pen"), timeout=10, message_id="a"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()

        assert answers == [Receipt(2, ("pen",))] * 2
        assert ref.incarnation == 2


async def test_another_start_knows_what_came_of_an_id() -> None:
    store = MemoryStore()
    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        await ref.ask(Buy("pen"), timeout=1, message_id="a")

    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(1, ("pen",))
        assert await ref.ask(Total(), timeout=1) == 1


async def test_what_is_pending_at_the_end_is_answered_by_the_next_start() -> None:
    store, gate = MemoryStore(), Gate()
    async with shop(store) as system:
        ref = await system.spawn(Shop, gate, name="shop")
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.send(Buy("pen"), message_id="a")
        cell_of(ref).kill()

    gate.open.set()
    async with shop(store) as system:
        ref = await system.spawn(Shop, gate, name="shop")
        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(2, ("pen",))
        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(2, ("pen",))
        with pytest.raises(MessageIdConflict):
            await ref.send(Buy("ink"), message_id="a")


def next_release() -> tuple[type[Any], type[Actor]]:
    """The shop in which the reply has become another one, and what it is asked."""

    class Buy(Request[str], frozen=True):
        what: str

    kind: Any = Buy

    class Successor(Actor):
        durability = "durable"

        class State(msgspec.Struct, tag="Shop.State"):
            sold: int = 0

        @handles(kind)  # type: ignore[untyped-decorator]
        def on_buy(self, message: object) -> str:
            return ""

    return Buy, Successor


async def test_a_reply_that_the_code_of_today_cannot_read_is_an_error_of_its_own() -> None:
    store = MemoryStore()
    async with shop(store) as system:
        await (await system.spawn(Shop, name="shop")).ask(Buy("pen"), timeout=1, message_id="a")

    async with shop(store) as system:
        buy, successor = next_release()
        ref = await system.spawn(successor, name="shop")
        with pytest.raises(ReplyUnreadable, match="Receipt"):
            await ref.ask(buy("pen"), timeout=1, message_id="a")


async def test_ids_are_for_durable_actors() -> None:
    async with shop() as system:
        ref = await system.spawn(Counter, name="counter")

        with pytest.raises(InvalidArgument, match="'counter' \\(Counter\\) is mirrored"):
            await ref.send(Add(), message_id="a")
        with pytest.raises(InvalidArgument, match="durable"):
            await ref.ask(Total(), timeout=1, message_id="a")


@pytest.mark.parametrize("wrong", ["", "x" * 1001, 7, b"a", "\ud800"])
async def test_an_id_is_a_text(wrong: Any) -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")

        with pytest.raises(InvalidArgument, match="message_id"):
            await ref.send(Add(), message_id=wrong)


async def test_an_id_is_heeded_with_options_and_from_threads() -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")
        await ref.with_options(priority=3).send(Add(), message_id="a")

        def in_a_thread() -> int:
            system.from_thread.send(ref, Add(), message_id="a")
            return system.from_thread.ask(ref, Total(), timeout=5, message_id="b")

        assert await anyio.to_thread.run_sync(in_a_thread) == 1


async def test_a_virtual_actor_knows_its_ids_over_passivations() -> None:
    async with shop() as system:
        ref = await system.get_or_spawn(Sleepy, "a")
        await ref.send(Add(), message_id="a")
        await anyio.sleep(10)  # virtual time
        assert cell_of(ref).is_passive

        await ref.send(Add(), message_id="a")
        assert cell_of(ref).is_passive  # nothing has come for it
        assert await ref.ask(Total(), timeout=1) == 1


class Sleepy(Shop):
    passivate_after: ClassVar[float | None] = 1.0


class Order(Request[Receipt], frozen=True):
    what: str


class Desk(Actor):
    """Hands orders on."""

    durability = "durable"

    def __init__(self, to: Any) -> None:
        self.to = to

    @handles
    def order(self, message: Order) -> None:
        self.context.forward(self.to)


class Counterpart(Actor):
    """Takes orders."""

    durability: ClassVar[DurabilityName] = "durable"
    taken = 0

    @handles
    def order(self, message: Order) -> Receipt:
        type(self).taken += 1
        return Receipt(9, (message.what,))


class Volatile(Counterpart):
    durability: ClassVar[DurabilityName] = "volatile"


async def test_a_forwarded_message_keeps_its_id() -> None:
    async with shop() as system:
        to = await system.spawn(Counterpart, name="to")
        desk = await system.spawn(Desk, to, name="desk")
        Counterpart.taken = 0

        for _ in range(2):
            assert await desk.ask(Order("pen"), timeout=1, message_id="a") == Receipt(9, ("pen",))

        assert Counterpart.taken == 1


async def test_who_hands_a_message_to_an_actor_that_is_not_durable_has_no_answer_to_repeat() -> None:
    async with shop() as system:
        to = await system.spawn(Volatile, name="to")
        desk = await system.spawn(Desk, to, name="desk")
        Volatile.taken = 0

        assert await desk.ask(Order("pen"), timeout=1, message_id="a") == Receipt(9, ("pen",))
        with pytest.raises(Exception, match="forwarded to 'to'"):
            await desk.ask(Order("pen"), timeout=1, message_id="a")

        assert Volatile.taken == 1


async def test_a_reply_that_nobody_has_asked_for_need_not_be_one() -> None:
    store = MemoryStore()
    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        await ref.send(Odd(), message_id="a")
        await ref.send(Odd(), message_id="a")

        assert await ref.ask(Total(), timeout=5) == 1
        assert system.dead_letters.total == 0
        for _ in range(2):
            with pytest.raises(ReplyUnreadable, match="cannot be kept as a reply"):
                await ref.ask(Odd(), message_id="a", timeout=5)
        with pytest.raises(HandlerFailed):  # as of any ask, with an id or without
            await ref.ask(Odd(), message_id="b", timeout=5)
        assert await ref.ask(Total(), timeout=5) == 1

    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        with pytest.raises(ReplyUnreadable, match="cannot be kept as a reply"):
            await ref.ask(Odd(), message_id="a", timeout=5)
        with pytest.raises(HandlerFailed):
            await ref.ask(Odd(), message_id="b", timeout=5)


async def test_in_an_outage_a_message_with_an_id_waits() -> None:
    store = MemoryStore()
    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        store.pause()
        with pytest.raises(AskTimeout):
            await ref.ask(Buy("pen"), timeout=1, message_id="a")
        store.resume()

        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(1, ("pen",))


class Away:
    """What a journal says of ids: that the store is away, so many times."""

    def __init__(self, journal: Any, times: float) -> None:
        self.outcomes = journal.outcomes
        self.times = times

    async def __call__(self, keys: Any) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise StoreUnavailable("nobody there")
        return await self.outcomes(keys)


async def test_while_ids_cannot_be_looked_up_messages_with_ids_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as system:
        ref = await system.spawn(Shop, name="shop")
        journal = cell_of(ref).runtime.mirror.journal
        monkeypatch.setattr(journal, "outcomes", Away(journal, 5))

        with pytest.raises(SendTimeout, match="the store does not answer") as late:
            await ref.send(Add(2), message_id="a", timeout=0.1)
        assert isinstance(late.value.__cause__, StoreUnavailable)
        with pytest.raises(AskTimeout, match="the store does not answer") as unanswered:
            await ref.ask(Buy("pen"), message_id="b", timeout=0.1)
        assert isinstance(unanswered.value.__cause__, StoreUnavailable)
        await ref.send(Add(2), message_id="a")
        assert await ref.ask(Buy("pen"), timeout=5, message_id="b") == Receipt(3, ("pen",))


async def test_they_wait_no_longer_than_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop(journal=JournalOptions(room_patience=20)) as system:
        ref = await system.spawn(Shop, name="shop")
        journal = cell_of(ref).runtime.mirror.journal
        monkeypatch.setattr(journal, "outcomes", Away(journal, math.inf))
        began = anyio.current_time()

        with pytest.raises(StoreUnavailable, match="room_patience"):
            await ref.send(Add(2), message_id="a")

        assert anyio.current_time() - began == pytest.approx(20)


async def test_in_an_outage_each_waits_no_longer_than_for_room() -> None:
    store, waited = MemoryStore(), list[float]()

    async def send(ref: ActorRef[Any], message_id: str, after: float) -> None:
        await anyio.sleep(after)
        began = anyio.current_time()
        with pytest.raises(StoreUnavailable, match="room_patience"):
            await ref.send(Add(2), message_id=message_id)
        waited.append(anyio.current_time() - began)

    async with shop(store, journal=JournalOptions(room_patience=20)) as system:
        ref = await system.spawn(Shop, name="shop")
        store.pause()
        ref.tell(Add(1))  # what is known of ids is known as of now, so it is behind that

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, ref, "a", 0)
            tasks.start_soon(send, ref, "b", 15)
            tasks.start_soon(send, ref, "b", 15)
        store.resume()

        assert waited == [pytest.approx(20)] * 3
        assert await ref.ask(Total(), timeout=5) == 1
        await ref.send(Add(2), message_id="a")
        assert await ref.ask(Total(), timeout=5) == 3


async def test_a_try_behind_one_that_waits_for_room_says_so() -> None:
    class Small(Shop):
        mailbox = MailboxOptions(capacity=1)

    async with shop() as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Small, Gate(), name="shop")
        ref.pause()
        ref.tell(Add(1))
        tasks.start_soon(lambda: ref.send(Add(2), message_id="a"))
        await anyio.sleep(1)

        with pytest.raises(SendTimeout, match="another try") as late:
            await ref.send(Add(2), message_id="a", timeout=1)

        assert late.value.__cause__ is None
        ref.resume()
        assert await ref.ask(Total(), timeout=5) == 3


async def test_the_end_of_the_system_does_not_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Exception] = []

    async def send(ref: ActorRef[Any]) -> None:
        try:
            await ref.send(Add(2), message_id="a")
        except StoreUnavailable as error:
            told.append(error)

    async with anyio.create_task_group() as tasks:
        async with shop() as system:
            ref = await system.spawn(Shop, name="shop")
            journal = cell_of(ref).runtime.mirror.journal
            monkeypatch.setattr(journal, "outcomes", Away(journal, math.inf))
            tasks.start_soon(send, ref)
            await anyio.sleep(3)
            began = anyio.current_time()
        assert anyio.current_time() - began <= 1

    assert len(told) == 1


async def test_a_turn_that_the_store_could_not_take_settles_its_message_all_the_same() -> None:
    store = MemoryStore()
    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        journal: Any = cell_of(ref).runtime.mirror.journal
        journal.largest_turn = 10
        with pytest.raises(HandlerFailed, match="TurnTooLarge"):
            await ref.ask(Buy("pen"), timeout=1, message_id="a")

    async with shop(store) as system:
        ref = await system.spawn(Shop, name="shop")
        with pytest.raises(HandlerFailed, match="TurnTooLarge"):
            await ref.ask(Buy("pen"), timeout=1, message_id="a")
        assert await ref.ask(Total(), timeout=1) == 0


class Unwilling(Shop):
    """Does not start the first time."""

    starts = 0

    def on_start(self) -> None:
        type(self).starts += 1
        if self.starts == 1:
            raise ValueError("not yet")


async def test_what_stays_pending_behind_a_start_that_failed_is_answered_later() -> None:
    Unwilling.starts = 0
    async with shop() as system:
        ref = await system.get_or_spawn(Unwilling, "a")
        with pytest.raises(ActivationFailed):
            await ref.ask(Buy("pen"), timeout=1, message_id="a")

        await ref.send(Add())  # starts it

        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") in (
            Receipt(1, ("pen",)),
            Receipt(2, ("pen",)),
        )
        assert await ref.ask(Total(), timeout=1) == 2


async def test_a_retry_of_what_an_earlier_start_left_wakes_a_virtual_actor() -> None:
    store, gate = MemoryStore(), Gate()
    async with shop(store) as system:
        ref = await system.get_or_spawn(Shop, "a", gate)
        ref.tell(Pass())
        await gate.reached.wait()
        await ref.send(Buy("pen"), message_id="a")

    gate.open.set()
    async with shop(store) as system:
        ref = await system.get_or_spawn(Shop, "a", gate)
        assert await ref.ask(Buy("pen"), timeout=1, message_id="a") == Receipt(2, ("pen",))


class Crowded(Counter):
    """What is beyond the first message of its mailbox waits in the store alone."""

    durability: ClassVar[DurabilityName] = "durable"
    mailbox = MailboxOptions(capacity=1)


class Roomy(Crowded):
    mailbox = MailboxOptions(capacity=10)


async def test_who_waits_for_a_message_that_is_in_the_store_alone_is_told_of_the_end() -> None:
    store, told = MemoryStore(), list[str]()
    async with ActorSystem("test", store=store) as system:
        counter = await system.spawn(Roomy, name="counter")
        counter.pause()
        for n in range(5):
            await counter.send(Add(1), message_id=f"m{n}")
    async with anyio.create_task_group() as tasks, ActorSystem("test", store=store) as system:
        crowded = await system.spawn(Crowded, name="counter")
        crowded.pause()

        async def ask(message_id: str) -> None:
            with pytest.raises(ActorStopped):
                await crowded.ask(Add(1), timeout=10_000, message_id=message_id)
            told.append(message_id)

        for n in (
            3,
            4,
        ):  # of those before, one may have been handled before the pause, and one is in the mailbox
            tasks.start_soon(ask, f"m{n}")
        await anyio.sleep(1)
        assert told == []

    assert sorted(told) == ["m3", "m4"]
    async with ActorSystem("test", store=store) as system:
        counter = await system.spawn(Roomy, name="counter")
        assert await counter.ask(Total(), timeout=5) == 5
