"""A trio program with actors in it: the kitchen cooks, the guests have a patience of their own.

    python -m examples.trio_program

The system is entered in a nursery like anything else. An ask is an ordinary await: a cancel scope around
it ends the waiting, not the cooking, and the actor goes on with the next order.
"""

from __future__ import annotations

import msgspec
import trio

from sentient_core import Actor, ActorRef, ActorSystem, Request, handles

COOKING = {"soup": 0.05, "stew": 0.5, "salad": 0.01}
"""Seconds, which are this kitchen's minutes."""


class Order(Request[str], frozen=True):
    """Ask for a dish; the reply is the dish, served."""

    dish: str


class Served(Request[list[str]], frozen=True):
    """Ask what was cooked so far."""


class Kitchen(Actor):
    class State(msgspec.Struct):
        served: list[str] = []

    state: State

    @handles
    async def cook(self, message: Order) -> str:
        if message.dish not in COOKING:
            raise ValueError(f"nobody here can cook {message.dish}")  # the actor fails, and is restarted
        await trio.sleep(COOKING[message.dish])
        self.state.served.append(message.dish)
        await self.checkpoint()  # what was served survives any failure
        return f"{message.dish}, still hot"

    @handles
    def what_was_served(self, message: Served) -> list[str]:
        return self.state.served


async def guest(name: str, kitchen: ActorRef[Kitchen], dish: str, patience: float) -> None:
    """Order, wait as long as one likes, and say how it went."""
    with trio.move_on_after(patience) as scope:
        try:
            print(f"{name} gets {await kitchen.ask(Order(dish), timeout=5.0)}")
        except Exception as error:  # noqa: BLE001 - printing it is all that this guest does about it
            print(f"{name} hears: {error}")
    if scope.cancelled_caught:
        print(f"{name} does not wait for the {dish} any longer")


async def main() -> None:
    """One evening."""
    async with ActorSystem("restaurant", store="mem://") as system:
        kitchen = await system.spawn(Kitchen, name="kitchen")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(guest, "Ada", kitchen, "soup", 2.0)
            await trio.sleep(0.01)
            nursery.start_soon(guest, "Bob", kitchen, "stew", 0.2)
            await trio.sleep(0.01)
            nursery.start_soon(guest, "Cid", kitchen, "a unicorn", 2.0)
            await trio.sleep(0.01)
            nursery.start_soon(guest, "Dot", kitchen, "salad", 2.0)

        served = await kitchen.ask(Served(), timeout=5.0)
        print(f"The kitchen, in its incarnation {kitchen.incarnation}, has served {', '.join(served)}.")


if __name__ == "__main__":
    trio.run(main)
