"""Durable work with an oracle outside: what was acknowledged is there, and nothing is there twice.

Each deposit is sent under an id of its own, and again under the same one until it is acknowledged, as a
client does that does not know what has become of it. What is in the states in the end is compared with what
was acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

import anyio
import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.errors import DeliveryError, StoreError
from sentient_core.system import ActorSystem

__all__ = ["Deposit", "Deposits", "Numbers", "Till", "Verdict", "judge"]

_TRY_SECONDS = 2.0
_AGAIN_SECONDS = 0.02
_READ_SECONDS = 60.0
_SENDERS = 500


class Deposit(msgspec.Struct, frozen=True):
    """One piece of work."""

    number: int


class Numbers(Request[list[int]], frozen=True):
    """Ask for the numbers of what was done, in order."""


class Till(Actor):
    """Writes down each deposit."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        numbers: list[int] = msgspec.field(default_factory=list[int])

    state: State

    @handles
    def deposit(self, message: Deposit) -> None:
        self.state.numbers.append(message.number)

    @handles
    def numbers(self, message: Numbers) -> list[int]:
        return self.state.numbers


class Deposits:
    """Deposits among the tills of one system, and of those that follow it on the same database."""

    def __init__(self, tills: int = 16) -> None:
        self._names = [f"till-{number}" for number in range(tills)]
        self._tills: list[ActorRef[Till]] = []
        self.acknowledged: set[int] = set()

    async def open(self, system: ActorSystem) -> None:
        """Start the tills."""
        self._tills = [await system.spawn(Till, name=name, restart="permanent") for name in self._names]

    async def deposit(self, number: int) -> None:
        """Return when it is acknowledged, however often it has to be sent."""
        till = self._tills[number % len(self._tills)]
        while True:
            try:
                await till.send(Deposit(number), message_id=f"deposit-{number}", timeout=_TRY_SECONDS)
            except (DeliveryError, StoreError):
                await anyio.sleep(_AGAIN_SECONDS)
            else:
                self.acknowledged.add(number)
                return

    async def pile_up(self, numbers: Sequence[int]) -> None:
        """Return when all these are accepted; none of them is taken up in this system."""
        for till in self._tills:
            till.pause()
        async with anyio.create_task_group() as tasks:
            for sender in range(_SENDERS):
                tasks.start_soon(self._deposit_all, numbers[sender::_SENDERS])

    async def done(self) -> list[int]:
        """What the tills have written down, behind all that was sent before."""
        present: list[int] = []
        for till in self._tills:
            present += await till.ask(Numbers(), timeout=_READ_SECONDS)
        return present

    async def _deposit_all(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            await self.deposit(number)

    async def judge(self) -> Verdict:
        """Compare what the tills have with what was acknowledged."""
        return judge(self.acknowledged, await self.done())


class Verdict(msgspec.Struct):
    """What the oracle has found, of one run or of several."""

    acknowledged: int = 0
    lost: int = 0
    done: int = 0
    doubled: int = 0

    def add(self, other: Verdict) -> None:
        """Take another run's into account."""
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.done += other.done
        self.doubled += other.doubled

    def tell(self, findings: Findings, *, label: str = "", headline: bool = False) -> None:
        """Say it; what is lost or doubled is a broken promise."""
        findings.loss("lost", self.lost, self.acknowledged, "acknowledged", label=label, headline=headline)
        findings.loss("doubled", self.doubled, self.done, "done", label=label, headline=headline)


def judge(acknowledged: Iterable[int], present: Iterable[int]) -> Verdict:
    """Compare what was acknowledged with what is there."""
    told, counts = set(acknowledged), Counter(present)
    return Verdict(
        acknowledged=len(told),
        lost=sum(number not in counts for number in told),
        done=len(counts),
        doubled=sum(count > 1 for count in counts.values()),
    )
