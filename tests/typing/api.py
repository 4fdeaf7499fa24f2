"""What the type checkers know of the API. Nothing here runs; `test_api.py` runs mypy and pyright over it."""

from __future__ import annotations

from typing import Any, assert_type

import msgspec

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    Answer,
    CheckpointPolicy,
    ChildSpec,
    Context,
    DeadLetter,
    Ending,
    Envelope,
    Group,
    MailboxOptions,
    MailboxStatistics,
    MemoryStore,
    Request,
    Strategy,
    Supervisor,
    SystemStatistics,
    Topic,
    handles,
)


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Balance(Request[int], frozen=True):
    """Ask for the balance."""


class Owners(Request[list[str]], frozen=True):
    """Ask for the owners."""


class Close(Request[None], frozen=True):
    """Ask for the end."""


class Account(Actor):
    class State(msgspec.Struct):
        balance: int = 0

    state: State
    durability = "volatile"
    mailbox = MailboxOptions(capacity=10)
    checkpoint_policy = CheckpointPolicy(messages=5)
    reply_errors = (ValueError, KeyError)
    schema_version = 2
    capabilities = frozenset({"pay"})

    def __init__(self, owner: str = "") -> None:
        self.owner = owner

    def on_start(self) -> None:
        assert_type(self.context, Context)
        assert_type(self.state.balance, int)

    async def on_stop(self) -> None:
        assert_type(self.context.ref.path, str)

    def on_failure(self, cause: Exception) -> None: ...

    async def on_restart(self, cause: BaseException | None) -> None: ...

    @handles
    async def deposit(self, message: Deposit) -> None:
        self.state.balance += message.amount
        assert_type(self.context.message, Envelope | None)
        assert_type(self.context.incarnation, int)
        assert_type(self.context.system, ActorSystem)
        assert_type(await self.checkpoint(), str)

    @handles
    def balance(self, message: Balance) -> int:
        return self.state.balance

    @handles(Owners, Close)
    def both(self, message: Owners | Close) -> list[str] | None:
        return None


class Savings(Account, tag="savings"):
    passivate_after = 10

    @handles
    def rate(self, message: int) -> float:
        return self.state.balance * 0.01


class Sponge(Actor):
    capabilities = ("soak", "drip")

    def on_receive(self, message: object) -> str:
        return "got it"


class Bank(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=3, within=5.0)
    children = (ChildSpec(Account, name="alice", args=("alice",)), ChildSpec(Sponge, shutdown=None))


class Lists(Supervisor):
    children = [ChildSpec(Account, name="alice")]  # noqa: RUF012 - as people write it


async def check() -> None:
    assert_type(Supervisor.one_for_one(), Strategy)

    async with ActorSystem("bank", store=MemoryStore()) as system:
        assert_type(system, ActorSystem)

        ref = await system.spawn(Account, "alice", name="alice", restart="permanent", shutdown="brutal_kill")
        assert_type(ref, ActorRef[Account])
        assert_type(await system.spawn(Bank, name="bank"), ActorRef[Bank])

        assert_type(await ref.ask(Balance(), timeout=1.0), int)
        assert_type(await ref.ask(Owners(), timeout=1), list[str])
        assert_type(await ref.ask(Close(), timeout=1), None)
        assert_type(await ref.ask(Deposit(3), timeout=1), Any)
        assert_type(ref.tell(Deposit(3)), None)
        assert_type(await ref.send(Deposit(3), timeout=None), None)

        ending = ref.stop()
        assert_type(ending, Ending)
        assert_type(await ending, None)
        await ref.drain()
        await ref.kill()

        assert_type(ref.path, str)
        assert_type(ref.is_alive, bool)
        assert_type(ref.incarnation, int)
        assert_type(ref.statistics, MailboxStatistics)
        assert_type(system.statistics(), SystemStatistics)
        assert_type(system.actors(Account), list[ActorRef[Account]])
        assert_type(system.actors(Account, capability="pay"), list[ActorRef[Account]])
        assert_type(system.actors(capability="pay", name="alice"), list[ActorRef[Any]])
        assert_type(system.get("alice"), ActorRef[Any])

        assert_type(await system.get_or_spawn(Account, "alice", "owner"), ActorRef[Account])

        group = system.group("accounts")
        assert_type(group, Group)
        assert_type(group.join(ref), None)
        assert_type(group.broadcast(Deposit(3)), int)
        assert_type(group.members, tuple[ActorRef[Any], ...])
        answers = await group.ask_many(Balance(), timeout=1.0)
        assert_type(answers, list[Answer[int]])
        assert_type(answers[0].reply, int)
        assert_type(answers[0].error, Exception | None)
        assert_type(await system.ask_many([ref], Owners(), timeout=1.0), list[Answer[list[str]]])
        assert_type(await system.ask_many(group.members, Deposit(3), timeout=1.0), list[Answer[Any]])
        assert_type(system.broadcast({ref}, Deposit(3)), int)

        deposits = system.topic("deposits", Deposit)
        assert_type(deposits, Topic[Deposit])
        assert_type(deposits.publish(Deposit(3)), int)
        assert_type(system.topic("anything"), Topic[Any])

        assert_type(system.dead_letters[0], DeadLetter)
        assert_type(system.dead_letters[1:], list[DeadLetter])

        takes_accounts(await system.spawn(Savings))
        takes_any(ref)


def takes_accounts(ref: ActorRef[Account]) -> None: ...


def takes_any(ref: ActorRef) -> None: ...
