"""What errors call a message."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import Actor, ActorStopped, UnencodableMessage, UnhandledMessage
from sentient_core.actors.calls import ProxyCall, ProxyRead
from sentient_core.causes import class_sent, kind_of
from tests.probes import Add, Counter, Total, VolatileCounter, letters, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


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
            "the class Total to 'c' cannot be mirrored: you sent the class Total: send Total(...)."
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
