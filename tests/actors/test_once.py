"""`once`: what a handler does to the outside is done once for its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorSystem,
    HandlerFailed,
    InvalidArgument,
    MemoryStore,
    NotInTurn,
    Request,
    StoreUnavailable,
    UnencodableResult,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.actors.ref import cell_of
from sentient_core.store.outcomes import Outcome
from sentient_core.store.records import Key
from tests.probes import Gate, Say


class Receipt(msgspec.Struct, frozen=True):
    number: int


class Pay(Request[Any], frozen=True):
    """Do it under these keys; the reply is what came of it."""

    keys: tuple[str, ...] = ("pay",)
    fails: int = 0


class Outside:
    """What is done to the outside."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = 0

    def pay(self) -> int:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the outside is away")
        self.calls.append("pay")
        return len(self.calls)

    async def pay_slowly(self) -> Receipt:
        await anyio.sleep(1)
        return Receipt(self.pay())


def _attempt(actor: Actor) -> int:
    assert actor.context.message is not None
    return actor.context.message.attempt


class Payer(Actor):
    durability: ClassVar[DurabilityName] = "durable"
    max_attempts = 5

    class State(msgspec.Struct):
        paid: list[Any] = []

    state: State

    def __init__(
        self,
        outside: Outside,
        fn: Callable[[], Any] | None = None,
        gate: Gate | None = None,
        returns: Any = None,
    ) -> None:
        self.outside = outside
        self.fn = fn or outside.pay
        self.gate = gate
        self.returns = returns

    @handles
    async def pay(self, message: Pay) -> Any:
        done = [await self.once(key, self.fn, returns=self.returns) for key in message.keys]
        self.state.paid += [str(item) for item in done]
        if self.gate is not None:
            await self.gate()
        if _attempt(self) <= message.fails:
            raise ValueError("behind it")
        return done

    @handles
    async def say(self, message: Say) -> None:
        await anyio.sleep(1)


async def test_a_message_that_is_tried_again_gets_the_recorded_result() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, name="payer")

        assert await payer.ask(Pay(("a", "b"), fails=3), timeout=5) == [1, 2]
        assert await payer.ask(Pay(("a",)), timeout=5) == [3]  # another message

        assert outside.calls == ["pay"] * 3


async def test_what_was_recorded_is_waited_for_while_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, name="payer")
        journal = cell_of(payer).runtime.mirror.journal
        memos, left = journal.memos, 5

        async def away(key: Key) -> Mapping[str, Outcome]:
            nonlocal left
            left -= 1
            if left >= 0:
                raise StoreUnavailable("nobody there")
            return await memos(key)

        monkeypatch.setattr(journal, "memos", away)

        assert await payer.ask(Pay(fails=4), timeout=60) == [1]  # with one of its five tries left
        assert outside.calls == ["pay"]


async def test_a_result_is_read_as_the_function_says() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, outside.pay_slowly, name="payer")

        assert await payer.ask(Pay(fails=1), timeout=5) == [Receipt(1)]
        assert outside.calls == ["pay"]


async def test_a_result_is_read_as_the_call_says() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(
            Payer, outside, lambda: (outside.pay(), "x"), None, tuple[int, str], name="payer"
        )

        assert await payer.ask(Pay(fails=1), timeout=5) == [(1, "x")]
        assert outside.calls == ["pay"]


async def test_the_same_key_twice_in_a_turn_is_done_once() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, name="payer")

        assert await payer.ask(Pay(("a", "a"), fails=1), timeout=5) == [1, 1]


async def test_what_raises_is_not_recorded() -> None:
    outside = Outside()
    outside.fails = 1
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, name="payer")

        assert await payer.ask(Pay(("a",)), timeout=5) == [1]


async def test_none_is_a_result() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Payer, outside, lambda: outside.calls.append("x"), name="payer")

        assert await payer.ask(Pay(fails=2), timeout=5) == [None]
        assert outside.calls == ["x"]


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda: Receipt(1), "a Receipt would be read back as a dict. Say its type"),
        (lambda: (1, 2), "a tuple would be read back as a list"),
        (object, "has no stored form"),
    ],
    ids=["struct", "tuple", "object"],
)
async def test_a_result_that_would_not_come_back_is_an_error_the_first_time(
    fn: Callable[[], Any], why: str
) -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Once, fn, name="payer")

        with pytest.raises(HandlerFailed) as failed:
            await payer.ask(Pay(), timeout=5)

        assert isinstance(failed.value.__cause__, UnencodableResult)
        assert why in str(failed.value.__cause__)


class Once(Payer):
    max_attempts = 1

    def __init__(self, fn: Callable[[], Any]) -> None:
        super().__init__(Outside(), fn)


async def test_another_start_gets_the_recorded_result() -> None:
    store, gate, outside = MemoryStore(), Gate(), Outside()
    async with ActorSystem("bank", store=store) as system:
        payer = await system.spawn(Payer, outside, outside.pay_slowly, gate, name="payer")
        await payer.send(Pay())
        await gate.reached.wait()

    assert outside.calls == ["pay"]
    gate.open.set()
    async with ActorSystem("bank", store=store) as system:
        payer = await system.spawn(Payer, outside, outside.pay_slowly, gate, name="payer")
        assert await payer.ask(Pay(), timeout=5) == [Receipt(2)]

    assert outside.calls == ["pay", "pay"]


async def test_it_is_done_when_the_message_is_committed_and_the_result_before_the_turn() -> None:
    store, outside, gate = MemoryStore(), Outside(), Gate()
    async with ActorSystem("bank", store=store) as system:
        payer = await system.spawn(Payer, outside, None, gate, name="payer")
        store.pause()
        payer.tell(Pay())
        await anyio.sleep(5)  # virtual time
        assert outside.calls == []
        store.resume()
        await gate.reached.wait()
        assert outside.calls == ["pay"]
        key = ("payer", 1, _seq_in_hand(payer))

        assert set(await cell_of(payer).runtime.mirror.journal.memos(key)) == {"once pay"}
        gate.open.set()
        await payer.ask(Pay(), timeout=5)
        assert await cell_of(payer).runtime.mirror.journal.memos(key) == {}


def _seq_in_hand(ref: Any) -> int:
    entry = cell_of(ref).in_hand
    assert entry is not None
    assert entry[3] is not None
    return entry[3].seq


class Beside(Payer):
    """Uses it where it does not belong."""

    max_attempts = 1

    def __init__(self, where: str) -> None:
        super().__init__(Outside())
        self.where = where

    async def on_start(self) -> None:
        if self.where == "hook":
            await self.once("a", self.fn)
        if self.where == "tick":
            self.context.timers.once("t", 0.1, Pay())

    @handles
    async def pay(self, message: Pay) -> Any:
        if self.where == "twice at once":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.once, "a", self.outside.pay_slowly)
                tasks.start_soon(self.once, "a", self.outside.pay_slowly)
        if self.where == "key":
            await self.once("", self.fn)
        if self.where == "no function":
            await self.once("a", 7)  # type: ignore[call-overload]
        if self.where == "tick":
            await self.once("a", self.fn)


async def test_a_hook_has_no_message_that_it_could_be_done_for() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        with pytest.raises(NotInTurn, match="hooks, ticks"):
            await system.spawn(Beside, "hook", name="payer")


async def test_a_tick_has_none_either() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        await system.spawn(Beside, "tick", name="payer")
        await anyio.sleep(1)  # virtual time

        assert {letter.cause.partition(":")[0] for letter in system.dead_letters} == {"NotInTurn"}


@pytest.mark.parametrize("where", ["key", "no function"])
async def test_a_key_is_a_text_and_a_function_can_be_called(where: str) -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Beside, where, name="payer")

        with pytest.raises(HandlerFailed) as failed:
            await payer.ask(Pay(), timeout=5)

        assert isinstance(failed.value.__cause__, InvalidArgument)


async def test_a_key_that_is_under_way_is_not_begun_again() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Beside, "twice at once", name="payer")

        with pytest.raises(HandlerFailed) as failed:
            await payer.ask(Pay(), timeout=5)

        group: Any = failed.value.__cause__
        assert "is under way for this message" in str(group.exceptions[0])


class Mirrored(Payer):
    durability: ClassVar[DurabilityName] = "mirrored"
    max_attempts = 1


async def test_it_is_for_durable_actors() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system:
        payer = await system.spawn(Mirrored, outside, name="payer")

        with pytest.raises(
            HandlerFailed, match="once is for durable actors: 'payer' \\(Mirrored\\) is mirrored"
        ):
            await payer.ask(Pay(), timeout=5)

    assert outside.calls == []


class Leaver(Payer):
    """Lets it go on when its turn is over."""

    def __init__(self, outside: Outside, tasks: Any) -> None:
        super().__init__(outside)
        self.tasks = tasks
        self.raised: list[Exception] = []

    @handles
    async def pay(self, message: Pay) -> Any:
        self.tasks.start_soon(self.go_on)
        await anyio.sleep(0.5)

    async def go_on(self) -> None:
        try:
            await self.once("a", self.outside.pay_slowly)
        except NotInTurn as error:
            self.outside.calls.append(str(error))


async def test_what_goes_on_behind_its_turn_is_not_recorded() -> None:
    outside = Outside()
    async with ActorSystem("bank", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        payer = await system.spawn(Leaver, outside, tasks, name="payer")
        payer.tell(Pay())
        await anyio.sleep(2)  # virtual time

    assert outside.calls[0] == "pay"
    assert "the turn that it belongs to has ended" in outside.calls[1]
