"""`Actor[Deposit | Balance]`: a class that declares its messages has a handler for each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import new_class
from typing import Annotated, Any, Generic, Literal, Never, NewType, TypeAlias, TypeVar, Union

import msgspec
import pytest
from typing_extensions import TypeAliasType
from typing_extensions import TypeVar as TypeVarWithDefault

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    ChildSpec,
    InvalidHandler,
    MemoryStore,
    Request,
    Supervisor,
    handles,
)
from tests.probes import running

T = TypeVar("T")
D = TypeVarWithDefault("D", default=int)


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Big(Deposit, frozen=True):
    pass


class Balance(Request[int], frozen=True, tag="balance"):
    """Ask for the balance."""


class Put(msgspec.Struct, Generic[T], frozen=True):
    value: T


class Get(Request[T], Generic[T], frozen=True):
    pass


Messages: TypeAlias = Deposit | Balance
Quoted: TypeAlias = "Deposit | Balance"
Named = TypeAliasType("Named", Deposit | Balance)
Either = TypeAliasType("Either", Put[T] | Balance, type_params=(T,))
Amount = NewType("Amount", int)


class Takes:
    """Handlers for the three, to mix into an actor."""

    @handles
    def deposit(self, message: Deposit) -> None: ...

    @handles
    def balance(self, message: Balance) -> int:
        return 3

    @handles
    def put(self, message: Put[Any]) -> None: ...


UNIONS: dict[str, Any] = {
    "one type": Deposit,
    "union": Deposit | Balance,
    "typing.Union": Union[Deposit, Balance],  # noqa: UP007
    "alias": Messages,
    "quoted alias": Quoted,
    "named alias": Named,
    "generic alias": Either[int],
    "string": "Deposit | Balance",
    "string in a union": Union["Deposit", Balance],
    "Annotated": Annotated[Deposit, "money"] | Balance,
    "generic type and subclass": Put[int] | Big,
}


def declare(union: Any) -> type[Actor]:
    class Account(Actor[union]):
        pass

    return Account


def declare_and_take(union: Any) -> type[Actor]:
    class Account(Takes, Actor[union]):
        pass

    return Account


@pytest.mark.parametrize("union", UNIONS.values(), ids=UNIONS)
def test_every_declared_type_has_a_handler(union: Any) -> None:
    cls = declare_and_take(union)

    assert {Deposit, Balance, Put} <= cls.__blueprint__.handlers.keys()


@pytest.mark.parametrize("union", UNIONS.values(), ids=UNIONS)
def test_a_declared_type_without_a_handler_is_refused(union: Any) -> None:
    with pytest.raises(InvalidHandler, match=r"Account declares messages that nothing in it takes: "):
        declare(union)


def test_all_that_are_missing_are_named_in_the_order_declared() -> None:
    with pytest.raises(InvalidHandler, match=r"takes: str, NoneType, bytes\. Write a @handles"):
        declare_and_take(str | Put[int] | Balance | None | bytes)


@pytest.mark.parametrize(
    ("union", "missing"),
    [(Literal["a", 1], "str, int"), (Amount, "int"), (object, "object"), (list[int] | bytes, "list, bytes")],
    ids=str,
)
def test_the_type_that_a_message_has_at_run_time_is_what_counts(union: Any, missing: str) -> None:
    with pytest.raises(InvalidHandler, match=f"takes: {missing}"):
        declare(union)


@pytest.mark.parametrize("union", [Any, Never, T], ids=str)
def test_a_declaration_that_says_nothing_asks_for_nothing(union: Any) -> None:
    assert issubclass(declare(union), Actor)


def test_what_is_no_type_is_refused() -> None:
    with pytest.raises(InvalidHandler, match=r"Account declares 3, which is not a type of message"):
        declare(3)


def test_an_on_receive_takes_whatever_is_declared() -> None:
    class Sponge(Actor[Deposit | object]):
        def on_receive(self, message: Any) -> None: ...

    assert Sponge.__blueprint__.on_receive is not None


def test_a_class_that_declares_nothing_need_not_handle_anything() -> None:
    class Plain(Actor):
        pass

    assert Plain.__blueprint__.messages is Any


def test_a_subclass_inherits_the_declaration_and_the_handlers() -> None:
    class Account(Takes, Actor[Messages]):
        pass

    class Savings(Account):
        pass

    assert Savings.__blueprint__.messages == Messages
    assert Savings.__blueprint__.handlers == Account.__blueprint__.handlers


def test_a_generic_class_is_held_to_it_where_its_type_is_known() -> None:
    class Asked(Actor[T | Balance], Generic[T]):
        @handles
        def balance(self, message: Balance) -> int:
            return 3

    class Account(Asked[Deposit]):
        @handles
        def deposit(self, message: Deposit) -> None: ...

    assert set(Account.__blueprint__.messages.__args__) == {Deposit, Balance}
    with pytest.raises(InvalidHandler, match=r"takes: Deposit\."):
        new_class("Forgetful", (Asked[Deposit],))


def test_the_default_of_a_type_variable_counts() -> None:
    class Base(Actor[D], Generic[D]):
        pass

    with pytest.raises(InvalidHandler, match=r"takes: int\."):
        new_class("Account", (Base,))


async def test_a_generic_actor_is_spawned_with_and_without_its_type() -> None:
    class Cache(Actor[Put[T] | Get[T]], Generic[T]):
        durability = "volatile"

        def __init__(self, value: T) -> None:
            self.value = value

        @handles
        def put(self, message: Put[T]) -> None:
            self.value = message.value

        @handles
        def get(self, message: Get[T]) -> T:
            return self.value

    async with running() as system:
        cls: Any = Cache
        first: ActorRef[Cache[int]] = await system.spawn(cls, 1)
        second = await system.spawn(Cache[str], "a")
        second.tell(Put("b"))

        assert await first.ask(Get[int](), timeout=1) == 1
        assert await second.ask(Get[str](), timeout=1) == "b"


def test_a_supervisor_declares_as_any_actor_does() -> None:
    class Bank(Supervisor[Deposit]):
        children = (ChildSpec(Actor, name="a"),)

        @handles
        def deposit(self, message: Deposit) -> None: ...

    assert Bank.__blueprint__.messages is Deposit
    with pytest.raises(InvalidHandler, match="takes: Balance"):
        new_class("Forgetful", (Supervisor[Balance],))


def test_a_string_may_name_what_is_local() -> None:
    class Local(msgspec.Struct, frozen=True):
        pass

    class Account(Actor["Local | Balance"]):
        @handles
        def local(self, message: Local | Balance) -> int:
            return 3

    assert Account.__blueprint__.messages == Local | Balance


def test_a_string_that_cannot_be_resolved_is_refused() -> None:
    with pytest.raises(InvalidHandler, match=r"'OrderedDict\[str, int\]'.*outside of TYPE_CHECKING"):
        declare("OrderedDict[str, int]")


def test_an_abstract_class_declares_with_abstract_handlers() -> None:
    class Ledger(Actor["Deposit"], ABC):
        @handles
        @abstractmethod
        def deposit(self, message: Deposit) -> None: ...

    class Account(Ledger):
        def deposit(self, message: Deposit) -> None: ...

    assert Account.__blueprint__.messages is Deposit
    assert Account.__blueprint__.handlers[Deposit][0] is Account.deposit


async def test_a_declaration_changes_nothing_at_run_time() -> None:
    class Account(Actor[Deposit]):
        durability = "volatile"

        @handles
        def deposit(self, message: Deposit) -> None: ...

        @handles
        def text(self, message: str) -> str:
            return message

    async with ActorSystem("bank", store=MemoryStore()) as system:
        ref: Any = await system.spawn(Account)

        assert await ref.ask("undeclared, but handled", timeout=1) == "undeclared, but handled"
        assert await ref.ask(Big(3), timeout=1) is None
