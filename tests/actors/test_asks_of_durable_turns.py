"""A durable turn that is handled again gets the answers that it got before; nothing is applied twice."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    AskError,
    HandlerFailed,
    MemoryStore,
    Request,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from sentient_core.store.records import Answered, Turn
from tests.probes import Fail, Gate, Total


class Take(Request[int], frozen=True):
    """Take so much; the reply is what was taken so far."""

    amount: int = 1


class Refused(Exception):
    """An answer."""


class Transfer(Request[list[int]], frozen=True):
    """Have that taken, in this order."""

    amounts: tuple[int, ...] = (1,)
    fails: int = 0
    """How many attempts fail behind the asks."""


class Account(Actor):
    """Of whom something is taken."""

    durability: ClassVar[DurabilityName] = "durable"
    reply_errors = (Refused,)

    class State(msgspec.Struct):
        taken: int = 0
        fails: int = 0

    state: State

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate

    @handles
    async def take(self, message: Take) -> int:
        if self.gate is not None:
            await self.gate()
        if message.amount < 0:
            raise Refused(message.amount)
        self.state.taken += message.amount
        return self.state.taken

    @handles
    def fail(self, message: Fail) -> None:
        Clerk.failures += 1
        if Clerk.failures <= 1:
            raise ValueError(message.why)

    @handles
    def total(self, message: Total) -> int:
        return self.state.taken


def _attempt(actor: Actor) -> int:
    assert actor.context.message is not None
    return actor.context.message.attempt


class Clerk(Actor):
    """Asks the account."""

    durability: ClassVar[DurabilityName] = "durable"
    max_attempts = 5
    failures = 0
    tries = 0

    class State(msgspec.Struct):
        seen: list[int] = []

    state: State

    def __init__(self, account: Any, gate: Gate | None = None) -> None:
        self.account = account
        self.gate = gate

    @handles
    async def transfer(self, message: Transfer) -> list[int]:
        type(self).tries += 1
        for amount in message.amounts:
            try:
                self.state.seen.append(await self.account.ask(Take(amount), timeout=5))
            except Refused as refused:
                self.state.seen.append(refused.args[0])
        if self.gate is not None:
            await self.gate()
        if _attempt(self) <= message.fails:
            raise ValueError("not this time")
        return self.state.seen

    @handles
    async def have_it_fail(self, message: Fail) -> str:
        await self.account.ask(message, timeout=5)
        return "went through"


class Impatient(Clerk):
    """Waits a second, then fails, and tries again."""

    @handles
    async def transfer(self, message: Transfer) -> list[int]:
        return [await self.account.ask(Take(), timeout=1)]


class Crowd(Clerk):
    """Asks several at once."""

    @handles
    async def transfer(self, message: Transfer) -> list[int]:
        group = self.context.system.group("accounts")
        self.state.seen += [answer.reply for answer in await group.ask_many(Take(), timeout=5)]
        if _attempt(self) <= message.fails:
            raise ValueError("not this time")
        return self.state.seen


async def test_a_turn_that_is_tried_again_gets_the_first_answers() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")

        assert await clerk.ask(Transfer((1, 2, 1, -3), fails=2), timeout=5) == [1, 3, 4, -3]

        assert await account.ask(Total(), timeout=1) == 4
        assert len(cell_of(clerk).runtime.sent_ids) == 0


async def test_equal_asks_of_one_turn_are_not_the_same() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")

        assert await clerk.ask(Transfer((1, 1, 1), fails=1), timeout=5) == [1, 2, 3]
        assert await clerk.ask(Transfer((1, 1, 1)), timeout=5) == [1, 2, 3, 4, 5, 6]


async def test_many_asked_at_once_answer_once() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        accounts = [await system.spawn(Account, name=name) for name in "abc"]
        for account in accounts:
            system.group("accounts").join(account)
        clerk = await system.spawn(Crowd, None, name="clerk")

        assert await clerk.ask(Transfer(fails=2), timeout=5) == [1, 1, 1]
        assert [await account.ask(Total(), timeout=1) for account in accounts] == [1, 1, 1]


async def test_a_failure_is_asked_for_anew() -> None:
    Clerk.failures = 0
    async with ActorSystem("bank", store=MemoryStore()) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")

        clerk_of_any: Any = clerk
        assert await clerk_of_any.ask(Fail(), timeout=5) == "went through"

        assert Clerk.failures == 2


async def test_who_asks_again_while_the_first_one_is_queued_waits_for_its_answer() -> None:
    gate = Gate()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        account = await system.spawn(Account, gate, name="account")
        clerk = await system.spawn(Impatient, account, name="clerk")
        replies: list[list[int]] = []

        async def ask() -> None:
            replies.append(await clerk.ask(Transfer(), timeout=60))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await gate.reached.wait()
            await anyio.sleep(2.5)  # virtual time: it has given up twice
            assert replies == []
            gate.open.set()

        assert replies == [[1]]
        assert await account.ask(Total(), timeout=1) == 1


async def test_another_start_gets_the_answers_that_were_committed() -> None:
    store, gate = MemoryStore(), Gate()
    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, gate, name="clerk")
        await clerk.send(Transfer((1, 2)))
        await gate.reached.wait()  # the account has answered, the clerk's turn is open
        await system.flush()

    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")

        assert await clerk.ask(Transfer((0,)), timeout=5) == [1, 3, 3]
        assert await account.ask(Total(), timeout=1) == 3


@pytest.mark.parametrize("first", ["account", "clerk"])
async def test_another_start_waits_for_what_is_still_to_be_answered(first: str) -> None:
    store, gate = MemoryStore(), Gate()
    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Account, gate, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")
        await clerk.send(Transfer((1,)))
        await gate.reached.wait()  # the ask is accepted and in hand
        await system.flush()

    gate.open.set()
    async with ActorSystem("bank", store=store) as system:
        if first == "account":
            account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, _At(system, "account"), name="clerk")
        if first == "clerk":
            account = await system.spawn(Account, name="account")

        assert await clerk.ask(Transfer((0,)), timeout=5) == [1, 1]
        assert await account.ask(Total(), timeout=1) == 1


class _At:
    """A ref that is looked up when it is asked."""

    def __init__(self, system: ActorSystem, path: str) -> None:
        self.system = system
        self.path = path

    async def ask(self, message: object, *, timeout: float) -> Any:
        with anyio.fail_after(timeout):
            while True:
                try:
                    ref = self.system.get(self.path)
                except LookupError:
                    await anyio.sleep(0.1)
                else:
                    return await ref.ask(message, timeout=timeout)


async def test_an_answer_that_comes_after_the_asking_message_was_settled_is_not_kept() -> None:
    store, gate = MemoryStore(), Gate()
    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Account, gate, name="account")
        clerk = await system.spawn(OnlyOnce, account, name="clerk")
        appended = _record(system)
        with pytest.raises(HandlerFailed):
            await clerk.ask(Transfer(), timeout=10)
        gate.open.set()
        assert await account.ask(Total(), timeout=1) == 1
        await system.flush()

        assert not any(isinstance(record, Answered) for record in appended)


class Front(Account):
    """Has somebody else answer."""

    def __init__(self, behind: Any) -> None:
        self.behind = behind

    @handles
    async def take(self, message: Take) -> None:  # type: ignore[override]
        self.context.forward(self.behind)


class Behind(Actor):
    """Asks the clerk first."""

    durability: ClassVar[DurabilityName] = "volatile"

    @handles
    async def begin(self, clerk: ActorRef[Any]) -> None:
        await clerk.ask(Total(), timeout=60)


class Circled(Clerk):
    """Notes the circles that its asks would close."""

    def __init__(self, account: Any, told: list[str], gate: Gate) -> None:
        self.account = account
        self.told = told
        self.gate: Gate = gate

    @handles
    def total(self, message: Total) -> int:
        return 0

    @handles
    async def transfer(self, message: Transfer) -> list[int]:
        await anyio.sleep(1)
        try:
            await self.account.ask(Take(), timeout=5)
        except AskError as error:
            self.told.append(str(error))
        await self.gate()
        return []


async def test_another_start_is_told_of_the_circle_that_a_forward_would_have_closed() -> None:
    store, gate, told = MemoryStore(), Gate(), list[str]()
    async with ActorSystem("bank", store=store) as system:
        behind = await system.spawn(Behind, name="behind")
        account: Any = await system.spawn(Front, behind, name="account")
        clerk: Any = await system.spawn(Circled, account, told, gate, name="clerk")
        await clerk.send(Transfer())
        behind.tell(clerk)
        await gate.reached.wait()  # it knows, and its turn is open
        await system.flush()

    gate.open.set()
    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Front, None, name="account")
        clerk = await system.spawn(Circled, account, told, gate, name="clerk")
        await clerk.ask(Total(), timeout=60)  # comes behind what is pending

    assert "asking would wait for itself: clerk -> behind -> clerk" in told[0]
    assert told[1:] == [told[0].replace("'behind'", "'account'", 1)]


class OnlyOnce(Impatient):
    max_attempts = 1


async def test_a_turn_that_is_settled_at_once_leaves_no_memo() -> None:
    store = MemoryStore()
    async with ActorSystem("bank", store=store) as system:
        account = await system.spawn(Account, name="account")
        clerk = await system.spawn(Clerk, account, name="clerk")
        appended = _record(system)
        await clerk.ask(Transfer((1,)), timeout=5)
        await system.flush()
        journal = cell_of(clerk).runtime.mirror.journal

        (answer,) = [record for record in appended if isinstance(record, Answered)]
        assert answer.sent_as.asker is not None
        assert await journal.memos(answer.sent_as.asker) == {}


def _record(system: ActorSystem) -> list[Any]:
    """The records that the system hands to its journal from now on, turns as their parts."""
    assert system._parts is not None  # pyright: ignore[reportPrivateUsage]
    journal = system._parts.runtime.mirror.journal  # pyright: ignore[reportPrivateUsage]
    appended: list[Any] = []
    append = journal.append

    def and_note(record: Any, **options: Any) -> bool:
        appended.extend(record.parts if isinstance(record, Turn) else [record])
        return append(record, **options)

    journal.append = and_note  # type: ignore[method-assign]
    return appended
