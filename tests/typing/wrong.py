"""Mistakes that both type checkers must find: every marked line, and no other."""

from __future__ import annotations

from sentient_core import Actor, ActorRef, ActorSystem, ChildSpec, MemoryStore, Request, Supervisor


class Balance(Request[int], frozen=True):
    """Ask for the balance."""


class Account(Actor): ...


class Other(Actor): ...


def takes_accounts(ref: ActorRef[Account]) -> None: ...


async def check() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        ref = await system.spawn(Account)
        total = await ref.ask(Balance(), timeout=1.0)
        text: str = total  # WRONG
        await ref.ask(Balance())  # WRONG
        other: ActorRef[Other] = ref  # WRONG
        takes_accounts(await system.spawn(Other))  # WRONG
        await system.spawn(int)  # WRONG
        ActorSystem("bank")  # WRONG
        ChildSpec(int, name="a")  # WRONG
        Supervisor.one_for_one(3, 5.0)  # WRONG
        print(text, other)
