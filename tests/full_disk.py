"""A process whose disk gets full while durable actors are at work, and has room again: run by test_full_disk.

A limit to the size of files (RLIMIT_FSIZE) is what a full disk is to the database: writes fail.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections import Counter
from pathlib import Path

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, DeliveryError, Request, StoreError, handles
from tests.probes import Log


class Add(msgspec.Struct, frozen=True):
    amount: int
    weight: bytes = b""


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Account(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total


def limit_files(bytes_: int) -> None:
    """How large a file may be from now on; -1: as large as it likes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, resource.RLIM_INFINITY))


def largest_file(directory: str) -> int:
    """The bytes of the largest file."""
    return max(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file())


async def main(directory: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write fails instead
    heard, said = Log(), Counter[str]()
    acknowledged = 0
    async with ActorSystem("bank", store=f"surrealkv://{directory}") as system:
        system.alerts.subscribe(lambda alert: heard(alert.alert))
        a = await system.spawn(Account, name="a")
        for _ in range(10):
            await a.send(Add(1))
            acknowledged += 1
        await system.flush()
        limit_files(largest_file(directory) + 20_000)
        for _ in range(100):
            try:
                await a.send(Add(1, bytes(2_000)), timeout=1.0)
            except (DeliveryError, StoreError) as error:
                said[type(error).__name__] += 1
                acknowledged += type(error).__name__ == "CommitTimeout"  # accepted
            else:
                acknowledged += 1
            if said.total() == 3:
                break
        await heard.until("store outage")
        is_held = a.is_alive and a.incarnation == 1 and not list(system.dead_letters)
        limit_files(resource.RLIM_INFINITY)
        await heard.until("store is back")
        total = await a.ask(Total(), timeout=20)
        await system.flush()
        restarts = system.statistics().restarts
    print(msgspec.json.encode([acknowledged, total, sorted(said), is_held, restarts]).decode())  # noqa: T201


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend=sys.argv[2])
