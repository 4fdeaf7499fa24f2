"""Callers of durable accounts: each waits for its answer before it sends again, so that runs have length 1.

How long each call took, how late the loop woke who slept meanwhile, and what was written to the disk; behind
it every balance is what was paid in.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.lowlevel
import msgspec

from benchmarks.accounts import Account, Deposit, Pay
from benchmarks.disk_writes import folder_bytes, written_bytes
from benchmarks.store import WatchedStore, url_of
from sentient_core import ActorRef, ActorSystem, JournalOptions

__all__ = ["BurstRun", "CallersRun", "Way", "burst", "call_accounts", "keep_calling"]

Way = Literal["send", "ask", "keyed ask"]
"""`send`: until the acceptance is committed; `ask`: until the turn is; keyed: with a `message_id`."""

_TICK_SECONDS = 0.002
_TAIL_SECONDS = 2.0
"""How far the rows may be behind where they are to keep up: then the accounts let callers wait."""
_PATIENCE = 60.0
_DRAIN_PATIENCE = 0.1
"""Rows that nobody waits for are left to nobody: the database goes with the run."""


class CallersRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed."""

    turns: int
    seconds: float
    """From the first call to the last answer; where the rows are waited for, to the last row."""
    delays: list[float]
    """Seconds that each call took."""
    lags: list[float]
    """Seconds by which the loop's ticks were late."""
    cpu: float
    """Seconds of processor time, of all threads."""
    event_rows: int
    """Rows of `agent_event` behind it."""
    windows: int
    """How many windows the projector settled."""
    in_flight: int
    """Most inserts of event rows that the projector had under way."""
    commits: int
    """Entries of the journal."""
    journal_bytes: int
    """Bytes of the requests that made them."""
    written: int
    """Bytes that the system wrote to disk for this process, until the last row was there."""
    folder: int
    """By how much the database's folder grew meanwhile."""

    @property
    def rate(self) -> float:
        return self.turns / self.seconds


class BurstRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a burst showed."""

    turns: int
    committed: float
    """Seconds until all turns were committed."""
    projected: float
    """Seconds until all their rows were there."""


async def call_accounts(
    folder: Path,
    texts: Sequence[str],
    way: Way,
    *,
    accounts: int,
    seconds: float,
    until_rows: bool = False,
) -> CallersRun:
    """Call so many accounts for so many seconds.

    With `until_rows` the tail is short, so that the journal lets callers wait for rows, and the clock stops
    at the last row. Else what is said of rows and of bytes is what happened to be done by the last answer.
    """
    delays: list[float] = []
    lags: list[float] = []
    options = JournalOptions(tail_seconds=_TAIL_SECONDS) if until_rows else None
    async with (
        WatchedStore(url_of(folder)) as store,
        ActorSystem("bench", store=store, journal=options, drain_patience=_DRAIN_PATIENCE) as system,
    ):
        refs = [await system.spawn(Account, name=f"account-{number}") for number in range(accounts)]
        await system.flush()
        rows_before = await _event_rows(store)
        windows, journal, commits = store.windows, store.journal_bytes, store.commits
        written, grown = written_bytes(), folder_bytes(folder)
        started, cpu, elapsed = time.perf_counter(), time.process_time(), 0.0
        async with anyio.create_task_group() as ticking:
            ticking.start_soon(_tick, lags)
            async with anyio.create_task_group() as callers:
                for ref in refs:
                    call = partial(keep_calling, way, ref, texts, delays=delays)
                    callers.start_soon(partial(call, until=started + seconds))
            if until_rows:
                await system.flush()
            elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
            ticking.cancel_scope.cancel()
        run = CallersRun(
            turns=len(delays),
            seconds=elapsed,
            delays=delays,
            lags=lags,
            cpu=cpu,
            event_rows=await _event_rows(store) - rows_before,
            windows=store.windows - windows,
            in_flight=store.most_in_flight,
            commits=store.commits - commits,
            journal_bytes=store.journal_bytes - journal,
            written=written_bytes() - written,
            folder=folder_bytes(folder) - grown,
        )
        await _check(system, refs, run.turns)
    return run


async def burst(folder: Path, texts: Sequence[str], *, accounts: int, each: int) -> BurstRun:
    """Tell so many accounts so many deposits each at once, without waiting for any but the last."""
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        refs = [await system.spawn(Account, name=f"account-{number}") for number in range(accounts)]
        await system.flush()
        started = time.perf_counter()
        for number in range(each - 1):
            for ref in refs:
                ref.tell(Deposit(1, texts[number % len(texts)]))
            await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as last:
            for ref in refs:  # an account's turns are committed in order
                last.start_soon(partial(ref.ask, Pay(1, texts[0]), timeout=_PATIENCE))
        committed = time.perf_counter() - started
        await system.flush()
        projected = time.perf_counter() - started
        await _check(system, refs, accounts * each)
    return BurstRun(turns=accounts * each, committed=committed, projected=projected)


async def keep_calling(
    way: Way,
    account: ActorRef[Account],
    texts: Sequence[str],
    *,
    delays: list[float] | None = None,
    until: float = math.inf,
) -> None:
    """One caller, until that moment or until cancelled."""
    count = len(texts)
    for number in itertools.count():
        began = time.perf_counter()
        if began >= until:
            return
        text = texts[number % count]
        if way == "send":
            await account.send(Deposit(1, text))
        elif way == "ask":
            await account.ask(Pay(1, text), timeout=_PATIENCE)
        else:
            await account.ask(Pay(1, text), timeout=_PATIENCE, message_id=f"payment-{number}")
        if delays is not None:
            delays.append(time.perf_counter() - began)


async def _check(system: ActorSystem, refs: Sequence[ActorRef[Account]], turns: int) -> None:
    balances = [await ref.ask(Pay(0, ""), timeout=_PATIENCE) for ref in refs]
    assert sum(balances) == turns, f"{turns} turns were acknowledged, the balances say {sum(balances)}"
    dead = system.statistics().dead_letters
    assert not dead, f"{dead} messages found no room"


async def _event_rows(store: WatchedStore) -> int:
    (found,) = await store.query("SELECT VALUE count FROM (SELECT count() FROM agent_event GROUP ALL)")
    return sum(found)


async def _tick(lags: list[float]) -> None:
    """Note how late the loop wakes who sleeps, until cancelled."""
    while True:
        started = time.perf_counter()
        await anyio.sleep(_TICK_SECONDS)
        lags.append(time.perf_counter() - started - _TICK_SECONDS)
