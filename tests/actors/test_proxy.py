"""Proxies: methods and attributes of an actor, called and read as asks."""

from __future__ import annotations

import copy
import pickle
from functools import cached_property
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorProxy,
    ActorRef,
    ActorStopped,
    AskTimeout,
    ChildSpec,
    HandlerFailed,
    InvalidArgument,
    InvalidCall,
    MemoryStore,
    NotExposed,
    NotHandedOver,
    Supervisor,
    UnencodableMessage,
    asks,
    handles,
    reads,
)
from tests.ids import named
from tests.probes import Add, Counter, Gate, letters, running


class Empty(Exception):
    pass


class Item(msgspec.Struct, frozen=True):
    name: str
    tags: tuple[str, ...] = ()


class Box(msgspec.Struct):
    items: list[str] = []


class Shop(Actor):
    durability = "volatile"
    reply_errors = (Empty,)

    currency = "EUR"
    note: str

    class State(msgspec.Struct):
        sold: int = 0

    state: State

    def __init__(self, gate: Gate | None = None) -> None:
        self.items = ["apple"]
        self.box = Box(["pear"])
        self.secret = self._secret = "key"
        self.gate = gate

    def add(self, item: str, *, times: int = 1) -> int:
        self.items += [item] * times
        return len(self.items)

    async def wait(self) -> str:
        assert self.gate is not None
        await self.gate()
        return "waited"

    def everything(self) -> list[str]:
        return self.items

    def keep(self, items: list[str]) -> None:
        self.items = items

    def take(self) -> str:
        if not self.items:
            raise Empty("sold out")
        return self.items.pop()

    def break_down(self) -> None:
        raise ValueError("broken")

    def give(self, what: str) -> Any:
        return {
            "me": self,
            "my context": self.context,
            "my method": self.everything,
            "a closure": lambda: self.items,
            "my ref": self.context.ref,
            "many": [self.context.ref, {"ref": self.context.ref}],
            "a generator": (item for item in self.items),
            "an item": Item("a", ("b",)),
        }[what]

    @handles
    def total(self, message: Add) -> int:
        return len(self.items) + message.amount

    @property
    def first(self) -> str:
        return self.items[0]

    @cached_property
    def cached(self) -> list[str]:
        return ["cached"]

    @staticmethod
    def double(number: int) -> int:
        return number * 2

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    def _private(self) -> None: ...


class ShopProxy(ActorProxy[Shop]):
    add = asks(Shop.add)
    wait = asks(Shop.wait)
    everything = asks(Shop.everything)
    take = asks(Shop.take)
    stock = reads(Shop, lambda shop: shop.items)
    first = reads(Shop, lambda shop: shop.first)


async def test_a_method_is_run_in_the_actor_and_its_result_comes_back() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()

        assert await proxy.add("pear") == 2
        assert await proxy.add("plum", times=2) == 4
        assert await proxy.double(4) == 8
        assert await proxy.kind() == "Shop"
        assert await proxy.total(Add(3)) == 7


async def test_an_async_method_is_awaited_in_the_actor() -> None:
    gate = Gate()
    gate.open.set()
    async with running() as system:
        ref = await system.spawn(Shop, gate)

        assert await ref.proxy().wait() == "waited"
        assert await ref.proxy(ShopProxy).wait() == "waited"


async def test_a_call_that_takes_too_long_is_named_by_its_method() -> None:
    gate = Gate()
    async with running() as system:
        ref = await system.spawn(Shop, gate)

        with pytest.raises(AskTimeout, match=r"at work on ProxyCall in wait\(\)"):
            await ref.proxy(timeout=0.25).wait()

        gate.open.set()


async def test_attributes_of_every_kind_are_read() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()

        assert await proxy.currency == "EUR"
        assert await proxy.items == ["apple"]
        assert await proxy.first == "apple"
        assert await proxy.cached == ["cached"]


async def test_a_declared_proxy_does_what_it_declares() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy(ShopProxy)

        assert await proxy.add("pear", times=2) == 3
        assert await proxy.everything() == await proxy.stock == ["apple", "pear", "pear"]
        assert await proxy.first == "apple"
        assert not hasattr(proxy, "keep")


async def test_an_override_in_a_subclass_is_what_is_called() -> None:
    class Sale(Shop):
        def take(self) -> str:
            return "half of an " + super().take()

    async with running() as system:
        proxy = (await system.spawn(Sale)).proxy(ShopProxy)

        assert await proxy.take() == "half of an apple"


async def test_calls_are_handled_in_order_with_messages() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy()

        proxy.add.tell("pear")
        ref.tell(Add(1))
        proxy.add.tell("plum", times=2)

        assert await proxy.items == ["apple", "pear", "plum", "plum"]


async def test_a_told_call_that_cannot_be_answered_is_no_failure() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)

        ref.proxy().give.tell("me")

        assert await ref.proxy().first == "apple"
        assert (ref.incarnation, letters(system)) == (1, [])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("_private", "private"),
        ("__dict__x", "private"),
        ("context", "belongs to the runtime"),
        ("state", "belongs to the runtime"),
        ("State", "belongs to the runtime"),
        ("checkpoint", "belongs to the runtime"),
        ("on_start", "belongs to the runtime"),
        ("on_receive", "belongs to the runtime"),
        ("mailbox", "belongs to the runtime"),
        ("reply_errors", "belongs to the runtime"),
    ],
)
async def test_what_is_the_actors_own_is_refused_at_once(name: str, why: str) -> None:
    async with running() as system:
        ref = await system.spawn(Shop)

        with pytest.raises(NotExposed, match=why) as caught:
            getattr(ref.proxy(), name)

        assert (caught.value.member, caught.value.actor) == (name, "Shop")
        assert not hasattr(ref.proxy(), name)
        assert name not in dir(ref.proxy())
        assert system.statistics().handled == 0


async def test_names_that_look_alike_are_named() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()

        with pytest.raises(NotExposed, match=r"no method.* Did you mean 'everything'"):
            proxy.evrything()
        with pytest.raises(NotExposed, match=r"no such name.* Did you mean 'items'"):
            await proxy.itens
        with pytest.raises(NotExposed, match="no method"):
            proxy.first()
        with pytest.raises(NotExposed, match="no such name"):
            await proxy.note  # annotated and never set

        assert await proxy.first == "apple"


async def test_arguments_are_checked_before_anything_is_sent() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy()

        with pytest.raises(InvalidCall, match=r"Shop\.add\(self, item.* missing a required argument: 'item'"):
            proxy.add()
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            proxy.add.tell("pear", colour="green")
        with pytest.raises(InvalidCall):
            proxy.double()

        assert system.statistics().handled == 0
        assert (await proxy.first, ref.incarnation) == ("apple", 1)


async def test_a_supervisor_keeps_its_internals() -> None:
    class Mall(Supervisor):
        children = (ChildSpec(Shop, name="shop"),)

        def floors(self) -> int:
            return 3

    async with running() as system:
        proxy = (await system.spawn(Mall)).proxy()

        assert await proxy.floors() == 3
        for name in ("children", "strategy", "one_for_one", "default_shutdown"):
            with pytest.raises(NotExposed, match="belongs to the runtime"):
                getattr(proxy, name)


async def test_nothing_that_comes_back_is_the_actors_own() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()

        (await proxy.items).append("stolen")
        (await proxy.everything()).append("stolen")
        (await proxy.box).items.append("stolen")

        assert await proxy.items == ["apple"]
        assert (await proxy.box).items == ["pear"]


async def test_an_argument_is_not_shared_with_the_actor() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()
        mine = ["pear"]

        call = proxy.keep(mine)
        mine.append("changed after the call")
        await call
        mine.append("changed after the answer")

        assert await proxy.items == ["pear"]


async def test_what_cannot_be_changed_is_handed_over_as_it_is() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy()

        assert await proxy.give("my ref") is ref
        assert (await proxy.give("many"))[1]["ref"] is ref
        assert await proxy.give("an item") == Item("a", ("b",))


@pytest.mark.parametrize("what", ["me", "my context", "my method", "a closure", "a generator"])
async def test_what_cannot_be_copied_is_an_error_of_the_caller(what: str) -> None:
    async with running() as system:
        ref = await system.spawn(Shop)

        with pytest.raises(NotHandedOver, match=r"'give' of .* cannot be handed over") as caught:
            await ref.proxy().give(what)

        assert caught.value.member == "give"
        assert (ref.incarnation, ref.is_alive, system.statistics().failures) == (1, True, 0)


async def test_an_argument_that_cannot_be_copied_is_refused_at_the_call() -> None:
    async with running() as system:
        proxy = (await system.spawn(Shop)).proxy()

        with pytest.raises(NotHandedOver, match="generator"):
            proxy.keep(item for item in "abc")

        assert system.statistics().handled == 0


async def test_a_method_that_raises_fails_its_actor() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy(timeout=1)

        with pytest.raises(HandlerFailed) as caught:
            await proxy.break_down()

        assert isinstance(caught.value.__cause__, ValueError)
        assert await proxy.first == "apple"
        assert ref.incarnation == 2


async def test_a_reply_error_is_an_answer() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy(ShopProxy)

        await proxy.take()
        with pytest.raises(Empty, match="sold out"):
            await proxy.take()

        assert (ref.incarnation, system.statistics().failures) == (1, 0)


async def test_a_call_ends_with_its_proxys_timeout() -> None:
    gate = Gate()
    async with running() as system:
        ref = await system.spawn(Shop, gate)
        proxy = ref.proxy(ShopProxy, timeout=1.5)

        assert (proxy.timeout, ref.proxy().timeout) == (1.5, 30.0)
        with pytest.raises(AskTimeout, match=r"1\.5 s"):
            await proxy.wait()
        gate.open.set()


@pytest.mark.parametrize("timeout", [0, -1, None, "1"], ids=named)
async def test_a_timeout_that_cannot_be(timeout: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Shop)

        with pytest.raises(InvalidArgument, match="timeout must be"):
            ref.proxy(ShopProxy, timeout=timeout)


async def test_a_proxy_works_over_restarts_and_not_after_the_end() -> None:
    async with running() as system:
        ref = await system.spawn(Shop)
        proxy = ref.proxy()

        await ref.kill()
        assert await proxy.first == "apple"
        await ref.stop()

        with pytest.raises(ActorStopped):
            await proxy.first


async def test_a_kill_ends_a_call_at_once() -> None:
    gate = Gate()
    async with running() as system:
        proxy = (await system.spawn(Shop, gate)).proxy(ShopProxy)

        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                with pytest.raises(ActorStopped, match="killed while handling"):
                    await proxy.wait()

            tasks.start_soon(call)
            await gate.reached.wait()
            await proxy.ref.kill()

        assert [reason for _, reason in letters(system)] == ["stopped"]


async def test_calls_to_a_mirrored_actor_are_mirrored_with_their_arguments() -> None:
    class Stored(Counter):
        def add_up(self, numbers: list[int], *, times: int = 1) -> dict[str, int]:
            self.state.total += sum(numbers) * times
            return {"total": self.state.total}

        @property
        def sum(self) -> int:
            return self.state.total

    store = MemoryStore()
    async with running(store=store) as system:
        proxy = (await system.spawn(Stored, name="stored")).proxy()

        assert await proxy.add_up([1, 2], times=2) == {"total": 6}
        assert await proxy.sum == 6
        await system.flush()

    rows = [row for row in await store.events("test") if row.event_type.startswith("message_")]
    assert [(row.message_type, row.payload) for row in reversed(rows)] == [
        ("ProxyCall", {"method": "add_up", "args": [[1, 2]], "kwargs": {"times": 2}}),
        ("dict", {"total": 6}),
        ("ProxyRead", {"attribute": "sum"}),
        ("int", {"value": 6}),
    ]


async def test_what_a_mirrored_actor_cannot_store_is_an_error_of_the_caller() -> None:
    class Stored(Actor):
        def __init__(self) -> None:
            self.thing = object()

        def echo(self, thing: Any) -> Any:
            return self.thing

    async with running() as system:
        ref = await system.spawn(Stored)
        proxy = ref.proxy()

        with pytest.raises(UnencodableMessage):
            await proxy.echo(object())
        with pytest.raises(NotHandedOver, match="no stored form"):
            await proxy.echo(3)
        with pytest.raises(NotHandedOver, match="no stored form"):
            await proxy.thing

        assert (ref.incarnation, system.statistics().failures) == (1, 0)


async def test_a_proxy_shows_what_it_stands_for() -> None:
    async with running() as system:
        ref = await system.spawn(Shop, name="shop")
        proxy = ref.proxy(ShopProxy)

        assert repr(proxy) == "<ShopProxy of <ActorRef 'shop' Shop #1 running>>"
        assert repr(proxy.add) == "<method add of <ActorRef 'shop' Shop #1 running>>"
        assert repr(proxy.first) == "<attribute first of <ActorRef 'shop' Shop #1 running>>"
        assert proxy.ref is ref
        assert {proxy} == {ref.proxy()}
        assert len({proxy, ref.proxy(), (await system.spawn(Shop)).proxy()}) == 2
        assert {"add", "everything", "first", "currency", "note", "ref", "timeout"} <= set(dir(ref.proxy()))
        assert {"add", "stock"} <= set(dir(proxy))


async def test_a_proxy_sets_nothing_and_is_not_copied() -> None:
    async with running() as system:
        proxy: Any = (await system.spawn(Shop)).proxy(ShopProxy)

        with pytest.raises(NotExposed, match="sets nothing"):
            proxy.first = "pear"
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"proxy\.ref"):
                duplicate(proxy)


async def test_a_proxy_class_must_fit_its_actor() -> None:
    class Wrong(ActorProxy[Any]):
        take = asks(Shop.take)

    class Mixed(ActorProxy[Any]):
        take = reads(Shop, lambda shop: shop.take)

    class Nosy(ActorProxy[Any]):
        state = reads(Shop, lambda shop: shop.state)

    async with running() as system:
        with pytest.raises(NotExposed, match=r"'take' of 'Counter'.* no such method"):
            (await system.spawn(Counter)).proxy(Wrong)
        with pytest.raises(NotExposed, match=r"is a method: declare it with asks"):
            (await system.spawn(Shop)).proxy(Mixed)
        with pytest.raises(NotExposed, match="belongs to the runtime"):
            (await system.spawn(Shop)).proxy(Nosy)
        not_a_ref: Any = None
        with pytest.raises(InvalidArgument, match="made of an ActorRef, not of None"):
            ShopProxy(not_a_ref)


@pytest.mark.parametrize("method", [Shop.first, Shop.__dict__["cached"], 3, None], ids=named)
def test_asks_takes_methods_only(method: Any) -> None:
    with pytest.raises(InvalidArgument, match="asks takes a method"):
        asks(method)


def nothing_of_it(shop: Shop) -> int:
    return 3


def what_is_deeper(shop: Shop) -> list[str]:
    return shop.box.items


def one_of_two(shop: Shop) -> object:
    return (shop.box, shop.items)[0]


def a_result(shop: Shop) -> str:
    return shop.take()


@pytest.mark.parametrize("attribute", [nothing_of_it, what_is_deeper, one_of_two, a_result])
def test_reads_names_one_attribute(attribute: Any) -> None:
    with pytest.raises(InvalidArgument, match="reads names one attribute"):
        reads(Shop, attribute)


async def test_a_proxy_of_a_path_where_nobody_lives_yet() -> None:
    class Holder(Actor):
        class State(msgspec.Struct):
            shop: ActorRef[Shop] | None = None

        state: State

        @handles
        def hold(self, message: str) -> None:
            self.state.shop = self.context.system.get(message)

        def held(self) -> ActorRef[Shop] | None:
            return self.state.shop

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Shop, name="shop")
        (await system.spawn(Holder, name="holder")).tell("shop")

    async with running(store=store) as system:
        shop = await (await system.spawn(Holder, name="holder")).proxy().held()
        proxy = shop.proxy(ShopProxy)
        with pytest.raises(ActorStopped):
            await proxy.first
        with pytest.raises(NotExposed, match="nobody lives at 'shop'"):
            _ = shop.proxy().first

        living = await system.spawn(Shop, name="shop")

        assert await proxy.first == await shop.proxy().first == "apple"
        assert proxy == living.proxy()
