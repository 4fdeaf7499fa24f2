"""`@handles`: which annotations are taken, how tables are inherited, and what is refused at the class."""

from __future__ import annotations

import types
from typing import Any, Generic, Optional, TypeVar, Union

import msgspec
import pytest

from sentient_core import Actor, InvalidHandler, Request, handles
from sentient_core.actors.handlers import handler_for, handlers_of

T = TypeVar("T")


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    amount: int


class Boxed(Request[T], Generic[T], frozen=True):
    content: T


def methods_of(cls: type[Actor]) -> dict[type, str]:
    return {kind: handler[0].__name__ for kind, handler in handlers_of(cls).items()}


def test_the_annotation_says_the_type() -> None:
    class Account(Actor):
        @handles
        def deposit(self, message: Deposit) -> None: ...

        @handles
        async def withdraw(self, message: Withdraw) -> None: ...

    table = handlers_of(Account)

    assert methods_of(Account) == {Deposit: "deposit", Withdraw: "withdraw"}
    assert (table[Deposit][1], table[Withdraw][1]) == (False, True)


def test_a_type_local_to_the_function_around_the_class() -> None:
    class Local(msgspec.Struct, frozen=True):
        pass

    class Taker(Actor):
        class Nested(msgspec.Struct, frozen=True):
            pass

        @handles
        def local(self, message: Local) -> None: ...

        @handles
        def nested(self, message: Nested) -> None: ...

    assert methods_of(Taker) == {Local: "local", Taker.Nested: "nested"}


def test_unions_of_every_spelling() -> None:
    class Account(Actor):
        @handles
        def both(self, message: Deposit | Withdraw) -> None: ...

        @handles
        def old(self, message: Union[int, str]) -> None: ...  # noqa: UP007

        @handles
        def maybe(self, message: Optional[bytes]) -> None: ...  # noqa: UP045

    assert methods_of(Account) == {
        Deposit: "both",
        Withdraw: "both",
        int: "old",
        str: "old",
        bytes: "maybe",
        type(None): "maybe",
    }


def test_types_given_explicitly() -> None:
    class Account(Actor):
        @handles(Deposit, Withdraw)
        def both(self, message: Any) -> None: ...

    assert methods_of(Account) == {Deposit: "both", Withdraw: "both"}


def test_a_generic_message_is_taken_by_its_class() -> None:
    class Taker(Actor):
        @handles
        def boxed(self, message: Boxed[int]) -> int:
            return message.content

    assert methods_of(Taker) == {Boxed: "boxed"}


def test_handlers_are_inherited_and_overridden_by_name() -> None:
    class Account(Actor):
        @handles
        def deposit(self, message: Deposit) -> str:
            return "account"

        @handles
        def withdraw(self, message: Withdraw) -> str:
            return "account"

    class Savings(Account):
        def deposit(self, message: Deposit) -> str:
            return "savings"

    table = handlers_of(Savings)

    assert table[Deposit][0](None, Deposit(1)) == "savings"
    assert table[Withdraw][0](None, Withdraw(1)) == "account"
    assert handlers_of(Account)[Deposit][0](None, Deposit(1)) == "account"


def test_a_subclass_may_take_a_type_in_another_method() -> None:
    class Account(Actor):
        @handles
        def deposit(self, message: Deposit) -> None: ...

    class Audited(Account):
        @handles
        def audit(self, message: Deposit) -> None: ...

    assert methods_of(Audited) == {Deposit: "audit"}


def test_a_sync_handler_may_be_overridden_by_an_async_one() -> None:
    class Account(Actor):
        @handles
        def deposit(self, message: Deposit) -> Any: ...

    class Slow(Account):
        async def deposit(self, message: Deposit) -> Any: ...

    assert handlers_of(Slow)[Deposit][1] is True


def test_mixins_bring_handlers() -> None:
    class Pausable(Actor):
        @handles
        def pause(self, message: int) -> None: ...

    class Logged(Actor):
        @handles
        def log(self, message: str) -> None: ...

    class Both(Pausable, Logged):
        pass

    assert methods_of(Both) == {int: "pause", str: "log"}


def test_the_nearest_base_class_wins_and_is_remembered() -> None:
    class Base:
        pass

    class Middle(Base):
        pass

    class Leaf(Middle):
        pass

    class Taker(Actor):
        @handles
        def base(self, message: Base) -> None: ...

        @handles
        def middle(self, message: Middle) -> None: ...

    table = handlers_of(Taker)
    handler = handler_for(table, Leaf)

    assert handler is not None
    assert handler[0].__name__ == "middle"
    assert table[Leaf] is handler
    assert handler_for(table, int) is None


def _refusal(make: Any) -> str:
    with pytest.raises(InvalidHandler) as caught:
        make()
    return str(caught.value)


def test_a_type_taken_twice_is_refused() -> None:
    def make() -> None:
        class Account(Actor):
            @handles
            def deposit(self, message: Deposit) -> None: ...

            @handles
            def again(self, message: Deposit | Withdraw) -> None: ...

        del Account

    text = _refusal(make)

    assert "Deposit twice" in text
    assert "deposit" in text
    assert "again" in text


def test_a_missing_annotation_is_refused() -> None:
    def make() -> None:
        class Account(Actor):
            @handles
            def deposit(self, message): ...  # type: ignore[no-untyped-def]

        del Account

    assert "annotate 'message'" in _refusal(make)


def test_an_annotation_that_cannot_be_resolved_is_refused() -> None:
    def make() -> None:
        class Account(Actor):
            @handles
            def deposit(self, message: Elsewhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

        del Account

    text = _refusal(make)

    assert "'Elsewhere'" in text
    assert "TYPE_CHECKING" in text


@pytest.mark.parametrize(
    "annotation", ["3", "'text'", "T", "Any", "object", "Deposit | 3", "Annotated[Deposit, 1]"]
)
def test_an_annotation_that_is_no_type_of_message_is_refused_or_works(annotation: str) -> None:
    namespace: dict[str, Any] = {"__name__": __name__}
    source = (
        "from tests.actors.test_handlers import *\n"
        "from typing import Any, TypeVar\n"
        "from sentient_core import Actor, handles\n"
        "T = TypeVar('T')\n"
        "class Taker(Actor):\n"
        "    @handles\n"
        f"    def take(self, message: {annotation}) -> None: ...\n"
    )
    try:
        exec(source, {**namespace, "Deposit": Deposit})
    except (InvalidHandler, TypeError):
        return
    scope: dict[str, Any] = {**namespace, "Deposit": Deposit}
    exec(source, scope)
    table = handlers_of(scope["Taker"])
    # what is taken must also be found
    assert table.get(Deposit) or handler_for(table, Deposit)


@pytest.mark.parametrize("arguments", ["self", "self, message: Deposit, more: int", ""])
def test_a_method_that_does_not_take_one_message_is_refused(arguments: str) -> None:
    for decorator in ("@handles", "@handles(Deposit)"):
        scope: dict[str, Any] = {"Actor": Actor, "handles": handles, "Deposit": Deposit, "__name__": __name__}
        with pytest.raises(InvalidHandler, match="exactly self and one message"):
            exec(
                f"class Taker(Actor):\n    {decorator}\n    def take({arguments}): ...\n",
                scope,
            )


@pytest.mark.parametrize("arguments", [(), (3,), ("Deposit",), (Deposit, 3)], ids=repr)
def test_what_is_no_type_is_refused_at_the_decorator(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidHandler, match="takes a method"):
        handles(*arguments)


def test_a_generator_is_no_handler() -> None:
    with pytest.raises(InvalidHandler, match=r"Streams\.take is a generator.*one reply"):

        class Streams(Actor):  # pyright: ignore[reportUnusedClass]
            @handles
            async def take(self, message: Deposit) -> Any:
                yield 1

    with pytest.raises(InvalidHandler, match=r"Plain\.take is a generator"):

        class Plain(Actor):  # pyright: ignore[reportUnusedClass]
            @handles(Deposit, when="open")
            def take(self, message: Any) -> Any:
                yield 1

    with pytest.raises(InvalidHandler, match=r"CatchAll\.on_receive is a generator"):

        class CatchAll(Actor):  # pyright: ignore[reportUnusedClass]
            async def on_receive(self, message: Any) -> Any:
                yield 1


def test_a_generator_is_no_hook() -> None:
    with pytest.raises(InvalidHandler, match=r"Starts\.on_start is a generator"):

        class Starts(Actor):  # pyright: ignore[reportUnusedClass]
            async def on_start(self) -> Any:
                yield 1


def test_a_coroutine_of_the_old_kind_is_a_handler() -> None:
    class Old(Actor):
        @handles
        @types.coroutine
        def take(self, message: Deposit) -> Any:
            yield

    assert methods_of(Old) == {Deposit: "take"}


@pytest.mark.parametrize("when", [3, 2.5, [], [3], ""], ids=repr)
def test_a_behaviour_is_named_by_words(when: Any) -> None:
    with pytest.raises(InvalidHandler, match=r"when=\.\.\.\) takes the name of a behaviour"):
        handles(when=when)
