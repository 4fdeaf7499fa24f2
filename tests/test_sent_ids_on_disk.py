"""Messages with ids, asks of durable turns and what is done once, over deaths of the process, on disk."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorSystem, HandlerFailed, MessageIdConflict, Request, handles

DIES = """
import sys, anyio
from tests.test_sent_ids_on_disk import die
anyio.run(die, *sys.argv[1:], backend=sys.argv[3])
"""


class Buy(Request[str], frozen=True):
    """The reply says how often it was bought."""

    what: str


class Spoil(Request[None], frozen=True):
    """Fails."""


class Order(Request[list[str]], frozen=True):
    """Have the shop sell it, and pay once."""

    what: str


class Sold(Request[int], frozen=True):
    """How much was sold."""


class Shop(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        sold: int = 0

    state: State

    @handles
    def buy(self, message: Buy) -> str:
        self.state.sold += 1
        return f"{message.what} {self.state.sold}"

    @handles
    def spoil(self, message: Spoil) -> None:
        raise ValueError("spoilt")

    @handles
    def sold(self, message: Sold) -> int:
        return self.state.sold


class Desk(Actor):
    """Dies behind what it has asked and done, the first time."""

    durability = "durable"

    class State(msgspec.Struct):
        orders: list[str] = []

    state: State

    def __init__(self, till: str, dies: str = "") -> None:
        self.till = Path(till)
        self.dies = dies

    @handles
    async def order(self, message: Order) -> list[str]:
        shop = self.context.system.get("shop")
        self.state.orders.append(await shop.ask(Buy(message.what), timeout=10))
        if self.dies == "asked":
            await self.context.system.flush()
            _kill()
        self.state.orders.append(await self.once("pay", self.pay))
        if self.dies == "paid":
            _kill()
        return self.state.orders

    async def pay(self) -> str:
        with self.till.open("a") as till:
            till.write("paid\n")
        return "paid"


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def die(url: str, where: str, _backend: str, till: str) -> None:
    """What the process does that dies."""
    async with ActorSystem("mall", store=url) as system:
        shop = await system.spawn(Shop, name="shop")
        desk = await system.spawn(Desk, till, where, name="desk")
        if where in ("asked", "paid"):
            await desk.ask(Order("pen"), timeout=10)
        await shop.ask(Buy("pen"), timeout=10, message_id="a")
        await shop.send(Buy("ink"), message_id="b")
        with suppress(HandlerFailed):
            await shop.ask(Spoil(), timeout=10, message_id="c")
        if where == "rows":
            await system.flush()
        _kill()


async def killed(tmp_path: Path, where: str, backend: str) -> None:
    """Have a process die there."""
    dead = await anyio.run_process(
        [sys.executable, "-c", DIES, f"surrealkv://{tmp_path}/db", where, backend, str(tmp_path / "till")],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()


@pytest.mark.parametrize("where", ["rows", "journal"])
async def test_what_came_of_an_id_is_known_after_a_death_of_the_process(
    tmp_path: Path, anyio_backend_name: str, where: str
) -> None:
    await killed(tmp_path, where, anyio_backend_name)

    async with ActorSystem("mall", store=f"surrealkv://{tmp_path}/db") as system:
        shop = await system.spawn(Shop, name="shop")
        for _ in range(2):
            assert await shop.ask(Buy("pen"), timeout=10, message_id="a") == "pen 1"
            assert await shop.ask(Buy("ink"), timeout=10, message_id="b") == "ink 2"
            with pytest.raises(HandlerFailed, match="ValueError: spoilt"):
                await shop.ask(Spoil(), timeout=10, message_id="c")
            with pytest.raises(MessageIdConflict):
                await shop.send(Buy("nib"), message_id="a")
            await system.flush()

        assert await shop.ask(Sold(), timeout=10) == 2


@pytest.mark.parametrize("where", ["asked", "paid"])
async def test_a_turn_that_the_process_died_in_asks_and_pays_once(
    tmp_path: Path, anyio_backend_name: str, where: str
) -> None:
    await killed(tmp_path, where, anyio_backend_name)

    async with ActorSystem("mall", store=f"surrealkv://{tmp_path}/db") as system:
        shop = await system.spawn(Shop, name="shop")
        desk = await system.spawn(Desk, str(tmp_path / "till"), name="desk")
        # Behind the order that the process died in, which nobody waits for any more.
        assert await desk.ask(Order("ink"), timeout=10) == ["pen 1", "paid", "ink 2", "paid"]
        assert await shop.ask(Sold(), timeout=10) == 2
        await system.flush()
        (memos,) = await system.store.query("SELECT * FROM memo")

    assert (tmp_path / "till").read_text() == "paid\n" * 2
    assert memos == []
