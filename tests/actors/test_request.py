"""`Request[R]` and the handlers that answer it: what is annotated has to fit, where that is plain to see."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest

from sentient_core import Actor, InvalidHandler, Request, handles

T = TypeVar("T")


class Count(Request[int], frozen=True):
    """Ask for a count."""


class Recount(Count, frozen=True):
    """As Count, by inheritance."""


class Ratio(Request[float], frozen=True):
    """Ask for a ratio."""


class Get(Request[T], Generic[T], frozen=True):
    """Its reply is not known here."""


def a_class(message_type: Any, returns: Any) -> type[Actor]:
    """An actor class whose handler of `message_type` is annotated with what it returns."""

    def answer(self: Any, message: Any) -> Any: ...

    answer.__annotations__ = {"message": message_type, "return": returns}
    return type("Answerer", (Actor,), {"answer": handles(answer)})


@pytest.mark.parametrize("message_type", [Count, Recount, str | Count], ids=str)
@pytest.mark.parametrize("returns", ["str", str, float, bytes], ids=repr)
def test_a_handler_that_returns_another_type_is_refused_with_its_class(
    message_type: Any, returns: Any
) -> None:
    with pytest.raises(InvalidHandler, match=r"Answerer.answer returns \w+, and \w+ is a Request\[int\]"):
        a_class(message_type, returns)


def test_a_handler_marked_with_types_is_looked_at_too_in_any_state() -> None:
    with pytest.raises(InvalidHandler, match=r"returns str, and Count is a Request\[int\]"):

        class Odd(Actor):  # pyright: ignore[reportUnusedClass]
            @handles(Count, when="open")
            async def answer(self, message: Any) -> str:
                return "many"


@pytest.mark.parametrize(
    ("message_type", "returns"),
    [
        (Count, int),
        (Count, bool),
        (Ratio, int),
        (Count, None),  # it stashes or forwards the message
        (Count, "None"),
        (Count, Any),
        (Count, "int | None"),
        (Count, "OnlyForTypeCheckers"),
        (Count, list[int]),
        (Get, str),
        (str, int),
    ],
    ids=repr,
)
def test_what_fits_or_cannot_be_told_is_taken(message_type: Any, returns: Any) -> None:
    a_class(message_type, returns)
