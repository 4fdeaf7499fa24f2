"""What a proxy can reach of an actor class."""

from __future__ import annotations

from functools import cached_property, partialmethod
from typing import Any, ClassVar

import pytest

from sentient_core import Actor, InvalidCall, NotExposed, Supervisor
from sentient_core.actors.members import MemberKind, Members


class Base(Actor):
    currency = "EUR"
    annotated: int
    table: ClassVar[dict[str, int]] = {}

    class Nested:
        pass

    def method(self, one: int, *, two: int = 2) -> None: ...

    async def coroutine(self) -> None: ...

    @property
    def derived(self) -> int:
        return 3

    @cached_property
    def cached(self) -> int:
        return 3

    @staticmethod
    def static(one: int) -> None: ...

    @classmethod
    def of_class(cls, one: int) -> None: ...

    preset = partialmethod(method, 1)

    def _private(self) -> None: ...

    def on_start(self) -> None: ...

    def on_payment(self) -> None: ...


class Mixin:
    mixed = 3


class Derived(Mixin, Base):
    more = 4


def test_the_names_are_what_the_users_classes_define() -> None:
    names = Members(Derived).names

    assert names == [
        *("Nested", "annotated", "cached", "coroutine", "currency", "derived", "method", "mixed", "more"),
        *("of_class", "on_payment", "preset", "static", "table"),
    ]
    assert Members(Actor).names == Members(Supervisor).names == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("method", MemberKind.METHOD),
        ("coroutine", MemberKind.METHOD),
        ("static", MemberKind.METHOD),
        ("of_class", MemberKind.METHOD),
        ("preset", MemberKind.METHOD),
        ("on_payment", MemberKind.METHOD),
        ("currency", MemberKind.ATTRIBUTE),
        ("annotated", MemberKind.ATTRIBUTE),
        ("derived", MemberKind.ATTRIBUTE),
        ("cached", MemberKind.ATTRIBUTE),
        ("Nested", MemberKind.ATTRIBUTE),
        ("mixed", MemberKind.ATTRIBUTE),
        ("owner", MemberKind.UNKNOWN),
    ],
)
def test_kinds(name: str, kind: MemberKind) -> None:
    assert Members(Derived).kind(name) is kind


@pytest.mark.parametrize("name", [name for name in dir(Supervisor) if not name.startswith("__")])
def test_what_the_runtimes_classes_bring_along_is_not_exposed(name: str) -> None:
    class Own(Supervisor):
        def own(self) -> None: ...

    with pytest.raises(NotExposed, match=r"private names|belongs to the runtime"):
        Members(Own).kind(name)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("method", (1,), {"two": 3}),
        ("method", (), {"one": 3}),
        ("static", (1,), {}),
        ("of_class", (1,), {}),
        ("preset", (), {}),
        ("coroutine", (), {}),
    ],
)
def test_a_call_that_fits(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    Members(Derived).check_call(name, args, kwargs)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "why"),
    [
        ("method", (), {}, "missing a required argument: 'one'"),
        ("method", (1, 2), {}, "too many positional"),
        ("method", (1,), {"three": 3}, "unexpected keyword argument 'three'"),
        ("static", (), {}, "missing"),
        ("of_class", (1, 2), {}, "too many"),
        ("preset", (1,), {}, "too many"),
        ("coroutine", (1,), {}, "too many"),
    ],
)
def test_a_call_that_does_not_fit(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidCall, match=why):
        Members(Derived).check_call(name, args, kwargs)
