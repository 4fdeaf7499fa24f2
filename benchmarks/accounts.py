"""What the durable workloads talk to: accounts that keep a balance, and the messages they take."""

from __future__ import annotations

import random
from typing import ClassVar

import msgspec

from sentient_core import Actor, Request, handles
from sentient_core.actors.actor import DurabilityName

__all__ = ["Account", "Deposit", "Pay", "texts"]

_WORDS = (
    "rent",
    "salary",
    "refund",
    "invoice",
    "order",
    "subscription",
    "transfer",
    "fee",
    "interest",
    "gift",
)


class Deposit(msgspec.Struct, frozen=True):
    """Something to add, nothing to say."""

    amount: int
    text: str


class Pay(Request[int], frozen=True):
    """Something to add; the reply is the balance."""

    amount: int
    text: str


class Account(Actor):
    """Keeps a balance, every turn of which is committed."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        """What it keeps."""

        balance: int = 0
        handled: int = 0

    state: State

    @handles
    async def deposit(self, message: Deposit) -> None:
        self._add(message.amount)

    @handles
    async def pay(self, message: Pay) -> int:
        self._add(message.amount)
        return self.state.balance

    def _add(self, amount: int) -> None:
        self.state.balance += amount
        self.state.handled += 1


def texts(seed: int, count: int = 1_000) -> list[str]:
    """So many different texts of some 80 bytes, the same ones for the same seed."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(_WORDS, k=11)) for _ in range(count)]
