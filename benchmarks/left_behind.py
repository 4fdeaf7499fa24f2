"""A process that dies with messages accepted and not handled: `python -m benchmarks.left_behind FOLDER JSON`.

For `benchmarks.recovery`: half of the messages have become rows by then, the other half are in the journal
alone. Prints how many were acknowledged.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog

from benchmarks.accounts import Account, Deposit, texts
from benchmarks.store import WatchedStore, url_of
from sentient_core import ActorRef, ActorSystem, JournalOptions, handles

__all__ = ["Leaver", "Left"]

_SENDERS = 200


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What to leave behind."""

    accounts: int
    messages: int
    """To each of them."""
    seed: int

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()


class Leaver(Account, tag="leaver"):
    """Takes a deposit in hand and never comes to an end with it."""

    @handles
    async def deposit(self, message: Deposit) -> None:
        await anyio.sleep_forever()


async def leave_behind(folder: Path, plan: Left) -> None:
    """Never returns."""
    messages = texts(plan.seed)
    options = JournalOptions(tail_seconds=3600)
    async with (
        WatchedStore(url_of(folder)) as store,
        ActorSystem("bench", store=store, journal=options) as system,
    ):
        refs = [await system.spawn(Leaver, name=f"account-{number}") for number in range(plan.accounts)]
        half = plan.messages // 2
        await _send_all(refs, range(half), messages)
        await system.flush()
        store.clients[-1].hold_rows()
        await _send_all(refs, range(half, plan.messages), messages)
        print(plan.accounts * plan.messages, flush=True)
        os._exit(0)


async def _send_all(refs: Sequence[ActorRef[Leaver]], numbers: range, messages: Sequence[str]) -> None:
    async def send(first: int) -> None:
        for ref in refs[first::_SENDERS]:
            for number in numbers:
                await ref.send(Deposit(1, messages[number % len(messages)]))

    async with anyio.create_task_group() as senders:
        for first in range(_SENDERS):
            senders.start_soon(send, first)


def main() -> None:
    """Leave what the command line says."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    plan = msgspec.json.decode(sys.argv[2], type=Left)
    anyio.run(partial(leave_behind, Path(sys.argv[1]), plan))


if __name__ == "__main__":
    main()
