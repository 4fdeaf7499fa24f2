"""What the type checkers know of the API. Nothing here runs; `test_api.py` runs mypy and pyright over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar, assert_type

import msgspec

from sentient_core import (
    Actor,
    ActorProxy,
    ActorRef,
    ActorSystem,
    Answer,
    BlockedHandler,
    CheckpointPolicy,
    ChildSpec,
    Context,
    DeadLetter,
    Ending,
    Envelope,
    FromThread,
    Group,
    Health,
    MailboxOptions,
    MailboxStatistics,
    MemoryStore,
    Request,
    Strategy,
    Supervisor,
    SystemStatistics,
    Topic,
    UntypedProxy,
    asks,
    handles,
    reads,
    upcast,
)
from sentient_core.store.protocols import AgentRow


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Balance(Request[int], frozen=True):
    """Ask for the balance."""


class Owners(Request[list[str]], frozen=True):
    """Ask for the owners."""


class Close(Request[None], frozen=True):
    """Ask for the end."""


class Account(Actor):
    class State(msgspec.Struct):
        balance: int = 0

    state: State
    durability = "volatile"
    mailbox = MailboxOptions(capacity=10)
    checkpoint_policy = CheckpointPolicy(messages=5)
    reply_errors = (ValueError, KeyError)
    schema_version = 2
    capabilities = frozenset({"pay"})

    def __init__(self, owner: str = "") -> None:
        self.owner = owner

    def on_start(self) -> None:
        assert_type(self.context, Context)
        assert_type(self.state.balance, int)

    async def on_stop(self) -> None:
        assert_type(self.context.ref.path, str)

    def on_failure(self, error: Exception) -> None: ...

    async def on_restart(self, cause: BaseException | None) -> None: ...

    @handles
    async def deposit(self, message: Deposit) -> None:
        self.state.balance += message.amount
        assert_type(self.context.message, Envelope | None)
        assert_type(self.context.incarnation, int)
        assert_type(self.context.system, ActorSystem)
        assert_type(await self.checkpoint(), str)

    @handles
    def balance(self, message: Balance) -> int:
        return self.state.balance

    @handles(Owners, Close)
    def both(self, message: Owners | Close) -> list[str] | None:
        return None


class Upgraded(Actor, tag="upgraded", aliases=("Old", "Older")):
    schema_version = 4
    state_bytes = 1_000_000
    checkpoint_policy = CheckpointPolicy(messages=None, seconds=1, bytes=10_000, idle=0.5)

    class State(msgspec.Struct):
        cents: int = 0

    state: State

    @staticmethod
    @upcast(1)
    def _first(state: dict[str, Any]) -> dict[str, Any]:
        return {"cents": state["euros"] * 100}

    @upcast(2)
    @staticmethod
    def _second(state: dict[str, int]) -> dict[str, int]:
        return state

    @classmethod
    @upcast(3)
    def _third(cls, state: dict[str, Any]) -> dict[str, Any]:
        return assert_type(cls._second(cls._first(state)), dict[str, int])


class Unbounded(Actor):
    state_bytes = None


class Payer(Actor):
    """Does something to the outside."""

    durability = "durable"

    async def fetch(self) -> list[str]:
        """Of the outside."""
        return []

    @handles
    async def pay(self, message: Deposit) -> None:
        """Once."""
        assert_type(await self.once("fetch", self.fetch), list[str])
        assert_type(await self.once("count", lambda: 3), int)
        assert_type(await self.once("typed", self.fetch, returns=list[str]), list[str])


class Savings(Account, tag="savings"):
    passivate_after = 10

    @handles
    def rate(self, message: int) -> float:
        return self.state.balance * 0.01


class Sponge(Actor):
    capabilities = ("soak", "drip")

    def on_receive(self, anything: object) -> str:
        return "got it"


T = TypeVar("T")


class Rich(Balance, frozen=True):
    """A special case of a request."""


class Put(msgspec.Struct, Generic[T], frozen=True):
    value: T


class Get(Request[T], Generic[T], frozen=True):
    """Ask for the value."""


Messages: TypeAlias = Deposit | Balance


class Ledger(Actor[Messages]):
    """Says which messages it takes."""

    @handles
    def deposit(self, message: Deposit) -> None: ...

    @handles
    def balance(self, message: Balance) -> int:
        return 0


class Special(Ledger):
    @handles
    async def rate(self, message: float) -> None:
        self.context.ref.tell("a ref whose class is not known takes anything")


class Quoted(Actor["Deposit | Balance"]):
    def on_receive(self, message: Deposit | Balance) -> None: ...


class Cache(Actor[Put[T] | Get[T]], Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @handles
    def put(self, message: Put[T]) -> None: ...

    @handles
    def get(self, message: Get[T]) -> T:
        return self.value


class Vault(Supervisor[Balance]):
    children = (ChildSpec(Ledger, name="ledger"),)

    @handles
    def balance(self, message: Balance) -> int:
        return 0


class Bank(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=3, within=5.0)
    children = (ChildSpec(Account, name="alice", args=("alice",)), ChildSpec(Sponge, shutdown=None))


class Lists(Supervisor):
    children = [ChildSpec(Account, name="alice")]  # noqa: RUF012 - as people write it


async def check() -> None:
    assert_type(Supervisor.one_for_one(), Strategy)

    async with ActorSystem("bank", store=MemoryStore()) as system:
        assert_type(system, ActorSystem)

        ref = await system.spawn(Account, "alice", name="alice", restart="permanent", shutdown="brutal_kill")
        assert_type(ref, ActorRef[Account])
        assert_type(await system.spawn(Bank, name="bank"), ActorRef[Bank])

        assert_type(await ref.ask(Balance(), timeout=1.0), int)
        assert_type(await ref.ask(Owners(), timeout=1), list[str])
        assert_type(await ref.ask(Owners(), timeout=1, message_id="order 7"), list[str])
        assert_type(await ref.send(Deposit(3), message_id="order 8"), None)
        assert_type(await ref.ask(Close(), timeout=1), None)
        assert_type(await ref.ask(Deposit(3), timeout=1), Any)
        assert_type(ref.tell(Deposit(3)), None)
        assert_type(await ref.send(Deposit(3), timeout=None), None)

        ending = ref.stop()
        assert_type(ending, Ending)
        assert_type(await ending, None)
        await ref.drain()
        await ref.kill()

        assert_type(ref.path, str)
        assert_type(ref.is_alive, bool)
        assert_type(ref.incarnation, int)
        assert_type(ref.with_options(priority=1, expires=2.5), ActorRef[Account])
        assert_type(await ref.with_options(priority=1).ask(Balance(), timeout=1.0), int)
        assert_type(ref.statistics(), MailboxStatistics)
        assert_type(system.statistics(), SystemStatistics)
        assert_type(system.actors(Account), list[ActorRef[Account]])
        assert_type(system.actors(Account, capability="pay"), list[ActorRef[Account]])
        assert_type(system.actors(capability="pay", name="alice"), list[ActorRef[Any]])
        assert_type(system.get("alice"), ActorRef[Any])

        assert_type(await system.get_or_spawn(Account, "alice", "owner"), ActorRef[Account])

        group = system.group("accounts")
        assert_type(group, Group)
        assert_type(group.join(ref), None)
        assert_type(group.broadcast(Deposit(3)), int)
        assert_type(group.members, tuple[ActorRef[Any], ...])
        answers = await group.ask_many(Balance(), timeout=1.0)
        assert_type(answers, list[Answer[int]])
        assert_type(answers[0].reply, int)
        assert_type(answers[0].error, Exception | None)
        assert_type(await system.ask_many([ref], Owners(), timeout=1.0), list[Answer[list[str]]])
        assert_type(await system.ask_many(group.members, Deposit(3), timeout=1.0), list[Answer[Any]])
        assert_type(system.broadcast({ref}, Deposit(3)), int)

        deposits = system.topic("deposits", Deposit)
        assert_type(deposits, Topic[Deposit])
        assert_type(deposits.publish(Deposit(3)), int)
        assert_type(system.topic("anything"), Topic[Any])

        assert_type(system.dead_letters[0], DeadLetter)
        assert_type(system.dead_letters[1:], list[DeadLetter])

        assert_type(system.health(), Health)
        assert_type(system.health().blocked, BlockedHandler | None)
        assert_type(system.from_thread, FromThread)

        takes_accounts(await system.spawn(Savings))
        takes_any(ref)


def check_threads() -> None:
    with ActorSystem("bank", store=MemoryStore(), watchdog=None).in_thread(backend="trio") as bank:
        assert_type(bank, FromThread)
        ref = bank.spawn(Account, "alice", name="alice")
        assert_type(ref, ActorRef[Account])
        assert_type(bank.ask(ref, Balance(), timeout=1.0), int)
        assert_type(bank.ask(ref, Deposit(3), timeout=1.0), Any)
        assert_type(bank.tell(ref, Deposit(3)), None)
        assert_type(bank.call(bank.system.statistics), SystemStatistics)
        assert_type(bank.call(bank.system.store.agents, "bank"), list[AgentRow])
        assert_type(bank.get("alice"), ActorRef[Any])


def takes_accounts(ref: ActorRef[Account]) -> None: ...


def takes_any(ref: ActorRef) -> None: ...


async def check_messages(
    ledger: ActorRef[Ledger],
    special: ActorRef[Special],
    quoted: ActorRef[Quoted],
    vault: ActorRef[Vault],
    plain: ActorRef[Account],
    unknown: ActorRef,
    message: Deposit | Balance,
) -> None:
    """Refs of actors that declare their messages."""
    ledger.tell(Deposit(3))
    ledger.tell(message)
    await ledger.send(Balance(), timeout=1)
    special.tell(Deposit(3))
    quoted.tell(Deposit(3))
    plain.tell(Close())
    unknown.tell("anything")
    send_deposits(ledger.tell)
    takes_depositors(special)

    assert_type(await ledger.ask(Balance(), timeout=1), int)
    assert_type(await ledger.ask(Rich(), timeout=1), int)
    assert_type(await special.ask(Balance(), timeout=1), int)
    assert_type(await quoted.ask(Balance(), timeout=1), int)
    assert_type(await vault.ask(Balance(), timeout=1), int)
    assert_type(await plain.ask(Rich(), timeout=1), int)
    assert_type(await unknown.ask(Owners(), timeout=1), list[str])
    assert_type(await ledger.ask(Deposit(3), timeout=1), Any)
    assert_type(await unknown.ask("anything", timeout=1), Any)
    total: float | None = await ledger.ask(Balance(), timeout=1)
    text: str = await ledger.ask(Deposit(3), timeout=1)
    await ledger.ask(message, timeout=1)
    assert total or text


async def check_messages_to_many(
    system: ActorSystem,
    plain: ActorRef[Account],
    ledger: ActorRef[Ledger],
    special: ActorRef[Special],
    unknown: ActorRef[Any],
) -> None:
    assert_type(await system.ask_many([plain, ledger], Balance(), timeout=1), list[Answer[int]])
    assert_type(await system.ask_many([ledger, special, unknown], Balance(), timeout=1), list[Answer[int]])
    assert_type(system.broadcast([ledger, plain, unknown], Deposit(1)), int)
    assert_type(system.broadcast([plain, unknown], "anything"), int)

    threads = system.from_thread
    assert_type(threads.ask(ledger, Balance(), timeout=1), int)
    assert_type(threads.ask(plain, Owners(), timeout=1), list[str])
    assert_type(threads.ask(unknown, Balance(), timeout=1), int)
    assert_type(threads.ask(ledger, Deposit(1), timeout=1), Any)
    threads.tell(unknown, "anything")
    threads.send(ledger, Deposit(1))

    deposits = system.topic("deposits", Deposit)
    for ref in (plain, ledger, special, unknown):
        deposits.subscribe(ref)
    system.topic("anything").subscribe(ledger)


async def check_generic_actors(system: ActorSystem) -> None:
    cache = await system.spawn(Cache[int], 3)
    assert_type(cache, ActorRef[Cache[int]])
    cache.tell(Put(3))
    assert_type(await cache.ask(Get[int](), timeout=1), int)


class Shop(Actor):
    currency = "EUR"

    def __init__(self) -> None:
        self.items: list[str] = []

    async def add(self, item: str, *, times: int = 1) -> int:
        return times

    def take(self, count: int = 1) -> list[str]:
        return self.items[:count]

    def close(self) -> None: ...

    def owner(self) -> str | None:
        return None

    @handles
    def deposit(self, message: Deposit) -> int:
        return message.amount

    @property
    def first(self) -> str:
        return self.items[0]


class Sale(Shop):
    async def discount(self) -> float:
        return 0.5


class ShopProxy(ActorProxy[Shop]):
    add = asks(Shop.add)
    take = asks(Shop.take)
    close = asks(Shop.close)
    owner = asks(Shop.owner)
    deposit = asks(Shop.deposit)
    items = reads(Shop, lambda shop: shop.items)
    first = reads(Shop, lambda shop: shop.first)
    money = reads(Shop, lambda shop: shop.currency)


class SaleProxy(ActorProxy[Sale]):
    add = asks(Shop.add)
    discount = asks(Sale.discount)
    items = reads(Shop, lambda shop: shop.items)


async def check_proxies(shop: ActorRef[Shop], sale: ActorRef[Sale], unknown: ActorRef) -> None:
    proxy = shop.proxy(ShopProxy, timeout=5)
    assert_type(proxy, ShopProxy)
    assert_type(proxy.ref, ActorRef[Shop])
    assert_type(proxy.timeout, float)
    assert_type(await proxy.add("apple", times=3), int)
    assert_type(await proxy.take(), list[str])
    assert_type(await proxy.take(count=2), list[str])
    assert_type(await proxy.close(), None)
    assert_type(await proxy.owner(), str | None)
    assert_type(await proxy.deposit(Deposit(3)), int)
    assert_type(await proxy.items, list[str])
    assert_type(await proxy.first, str)
    assert_type(await proxy.money, str)
    assert_type(proxy.add.tell("apple", times=3), None)
    takes_adder(proxy.add)

    assert_type(sale.proxy(ShopProxy), ShopProxy)
    assert_type(unknown.proxy(ShopProxy), ShopProxy)
    assert_type(await sale.proxy(SaleProxy).discount(), float)
    assert_type(await sale.proxy(SaleProxy).add("apple"), int)
    assert_type(await sale.proxy(SaleProxy).items, list[str])

    untyped = shop.proxy(timeout=1)
    assert_type(untyped, UntypedProxy[Shop])
    assert_type(await untyped.add("apple"), Any)
    takes_proxy(untyped)
    takes_proxy(proxy)


def takes_adder(add: Callable[[str], Awaitable[int]]) -> None: ...


def takes_proxy(proxy: ActorProxy[Shop]) -> None: ...


def send_deposits(tell: Callable[[Deposit], None]) -> None: ...


def takes_depositors(ref: ActorRef[Actor[Deposit]]) -> None: ...
