"""What errors call a message, and how an exception came about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import Actor, ActorStopped, UnencodableMessage, UnhandledMessage
from sentient_core.actors.calls import ProxyCall, ProxyRead
from sentient_core.causes import MOST_CAUSES, chain, class_sent, kind_of, last_lines
from tests.probes import Add, Counter, Total, VolatileCounter, letters, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]

E = TypeVar("E", bound=BaseException)


def _raised_from(error: E, cause: BaseException) -> E:
    error.__cause__ = cause
    return error


def _raised_while(error: E, context: BaseException) -> E:
    error.__context__ = context
    return error


def _raised_from_none(error: E, context: BaseException) -> E:
    error.__context__ = context
    error.__cause__ = None
    return error


def _walk(error: BaseException | None, met: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in met:
        return
    met.add(id(error))
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _walk(one, met)
    else:
        yield error
    yield from _walk(error.__cause__ if error.__suppress_context__ else error.__context__, met)


def test_a_message_is_called_by_its_type_and_a_call_by_its_method() -> None:
    assert [kind_of(message) for message in (Add(1), "text", Add)] == ["Add", "str", "the class Add"]
    assert kind_of(ProxyCall("on_odd", (1,), {})) == "ProxyCall on_odd()"
    assert kind_of(ProxyRead("total")) == "ProxyRead total"
    assert class_sent(Add(1)) == ""


@pytest.mark.parametrize("way", ["tell", "send", "ask"])
async def test_who_sends_a_class_to_a_mirrored_actor_is_told_to_send_one_of_it(way: str) -> None:
    async with running() as system:
        ref: Any = await system.spawn(Counter, name="c")

        async def post() -> None:
            if way == "tell":
                ref.tell(Total)
            elif way == "send":
                await ref.send(Total)
            else:
                await ref.ask(Total, timeout=1)

        with pytest.raises(UnencodableMessage) as caught:
            await post()

        assert str(caught.value) == (
            "the class Total to 'c' cannot be stored: you sent the class Total: send Total(...)."
        )


async def test_who_sends_a_class_to_a_volatile_actor_finds_it_among_the_dead_letters() -> None:
    async with running() as system:
        ref: Any = await system.spawn(VolatileCounter, name="c")

        with pytest.raises(UnhandledMessage, match=r"you sent the class Total: send Total\(\.\.\.\)"):
            await ref.ask(Total, timeout=1)
        ref.tell(Total)
        await ref.drain()

        causes = [letter.cause for letter in system.dead_letters]
        assert len(causes) == 2
        assert all("you sent the class Total: send Total(...)" in cause for cause in causes)
        assert letters(system) == [(Total, "unhandled")] * 2


async def test_an_actor_may_take_classes_as_messages() -> None:
    class Takes(Actor):
        durability = "volatile"

        def on_receive(self, message: Any) -> str:
            return str(message.__name__)

    async with running() as system:
        ref: Any = await system.spawn(Takes)
        assert await ref.ask(Total, timeout=1) == "Total"


async def test_an_error_about_a_call_by_a_proxy_names_the_method() -> None:
    async with running() as system:
        ref: Any = await system.spawn(Counter, name="c")
        proxy: Any = ref.proxy(timeout=1)
        await ref.stop()

        with pytest.raises(ActorStopped, match=r"^ProxyCall total\(\) to 'c': "):
            await proxy.total(Total())


exceptions: st.SearchStrategy[BaseException] = st.recursive(
    st.builds(ValueError, st.text(max_size=3)),
    lambda inner: st.one_of(
        st.builds(_raised_from, inner, inner),
        st.builds(_raised_while, inner, inner),
        st.builds(_raised_from_none, inner, inner),
        st.builds(ExceptionGroup[Exception], st.just("group"), st.lists(inner, min_size=1, max_size=4)),
    ),
    max_leaves=30,
)


@given(exceptions)
def test_a_chain_is_bounded_and_can_be_stored(error: BaseException) -> None:
    links = chain(error)

    assert 1 <= len(links) <= MOST_CAUSES + 1
    assert all(set(link) == {"type", "message"} for link in links)
    assert "ExceptionGroup" not in {link["type"] for link in links}
    assert len(msgspec.msgpack.encode(links)) < 25_000


@given(exceptions)
def test_a_chain_has_each_exception_that_led_to_it_once_each_before_its_own_cause(
    error: BaseException,
) -> None:
    expected = list(_walk(error, set()))

    links = chain(error)

    assert links[:MOST_CAUSES] == [
        {"type": type(one).__name__, "message": str(one).encode("utf-8", "backslashreplace").decode()}
        for one in expected[:MOST_CAUSES]
    ]
    assert (links[-1]["message"] == "and more") == (len(expected) > MOST_CAUSES)


def test_a_chain_follows_the_cause_and_else_the_context_unless_it_is_suppressed() -> None:
    first = KeyError("k")
    second = _raised_while(ValueError("v"), first)
    third = _raised_from(RuntimeError("r"), second)

    assert [link["type"] for link in chain(third)] == ["RuntimeError", "ValueError", "KeyError"]
    assert chain(third)[1] == {"type": "ValueError", "message": "v"}
    assert chain(_raised_from_none(OSError("o"), third)) == [{"type": "OSError", "message": "o"}]
    assert chain(None) == []


def test_a_group_stands_in_a_chain_as_what_it_holds() -> None:
    inner = _raised_from(ValueError("1"), KeyError("0"))
    group = ExceptionGroup("outer", [inner, ExceptionGroup("inner", [OSError("2")])])
    failure = _raised_from(RuntimeError("r"), _raised_from(group, TypeError("why")))

    messages = [link["message"] for link in chain(failure)]

    assert messages == ["r", "1", "'0'", "2", "why"]


def test_a_chain_ends_where_it_bites_its_tail_and_bears_texts_that_raise() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError

    one, other = Mute(), ValueError("x" * 1_000 + "\ud800")
    one.__cause__, other.__cause__ = other, one

    links = chain(one)

    assert [link["type"] for link in links] == ["Mute", "ValueError"]
    assert links[0]["message"] == "(its text raised OSError)"
    assert links[1]["message"] == "x" * 500


def test_a_deep_chain_is_cut_where_its_end_can_be_seen() -> None:
    error: BaseException = ValueError("0")
    for depth in range(1, 5_000):
        error = _raised_from(ValueError(str(depth)), error)

    links = chain(error)

    assert [link["message"] for link in links[:2]] == ["4999", "4998"]
    assert links[MOST_CAUSES:] == [{"type": "...", "message": "and more"}]


def test_the_last_lines_of_a_deep_chain_are_of_those_nearest_to_its_end() -> None:
    error: BaseException = ValueError("0")
    for depth in range(1, 3_000):
        error = _raised_from(ValueError(str(depth)), error)

    lines = last_lines(error)

    assert lines.endswith("ValueError: 2999\n")
    assert "ValueError: 2998\n\nwhich led to:\n" in lines
    assert "ValueError: 1000\n" not in lines


def test_the_last_lines_of_a_deep_chain_show_where_each_was_raised() -> None:
    error: BaseException = ValueError("0")
    for depth in range(1, 20):
        try:
            raise ValueError(str(depth)) from error  # noqa: TRY301 - for its frame
        except ValueError as raised:
            error = raised

    assert last_lines(error).count("raise ValueError(str(depth)) from error  # noqa") == MOST_CAUSES + 1
