"""What retention deletes from a store and what it leaves, over all stores alike; and after `kill -9`."""

from __future__ import annotations

import os
import signal
import sys
import time

import anyio
import pytest

from sentient_core import ActorSystem
from sentient_core.errors import InvalidArgument, SystemClosed
from sentient_core.store import JournalOptions, MemoryStore, Store, SurrealStore
from sentient_core.testing.store_conformance import PruningConformance
from sentient_core.testing.store_conformance.pruning import BY_HAND, append, keeping
from tests.conftest import ONCE
from tests.store.places import Database, databases
from tests.store.samples import Faults, event, until

HOUR = 3600 * 1_000_000_000

database = databases("memory", "mem", "surrealkv")


class TestPruning(PruningConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database


async def test_who_asks_does_not_wait_for_the_pace_of_the_background(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    options = JournalOptions(retention=keeping(events_age=1e9, every=0.01, share=1e-9))
    journal = await faulty_store.open_journal("bank", options=options)
    await append(journal, event(1))
    await until(
        lambda: any(b"VALUE projected FROM" in sent for sent in faults.sent)
    )  # it rests for hours now

    with anyio.fail_after(30):
        assert (await journal.prune(keeping(events_age=0))).rows == 1
    with anyio.fail_after(30):
        await journal.close(5.0)


async def test_what_went_is_counted_in_the_totals(store: SurrealStore) -> None:
    journal = await store.open_journal("bank", options=BY_HAND)
    await append(journal, *(event(seq, at=time.time_ns() - (10 - seq) * HOUR) for seq in range(1, 10)))

    first = await journal.prune(keeping(events_age=5.5 * 3600, batch_rows=2))
    second = await journal.prune(keeping(events_age=3.5 * 3600, batch_rows=2))

    (totals,) = await store.query("SELECT rows, bytes FROM pruned:['bank', 'agent_event']")
    assert totals == [{"rows": 6, "bytes": first.events.bytes + second.events.bytes}]
    assert (first.rows, second.rows) == (4, 2)
    await journal.close(5.0)


@ONCE
async def test_killed_in_the_middle_it_goes_on_and_the_totals_are_right(url: str) -> None:
    for moment in (1, 3, 4):
        with anyio.fail_after(60):
            child = await anyio.run_process(
                [sys.executable, "-P", "-c", _CHILD, url, str(moment)], check=False
            )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    async with SurrealStore(url) as store:
        rows, totals = await _rows_and_totals(store)
        assert 0 < rows < 300
        assert rows + totals == 300

        journal = await store.open_journal("bank", options=BY_HAND)
        await journal.prune(keeping(events_age=0))

        assert await _rows_and_totals(store) == (0, 300)
        await journal.close(5.0)


async def _rows_and_totals(store: Store) -> tuple[int, int]:
    counts, totals = await store.query(
        "SELECT count() FROM agent_event GROUP ALL; SELECT VALUE rows FROM pruned:['bank', 'agent_event']"
    )
    return (counts[0]["count"] if counts else 0), (totals[0] if totals else 0)


_CHILD = """
import sys
from anyio import run
from tests.store.test_pruning import prune_and_die
run(prune_and_die, sys.argv[1], int(sys.argv[2]))
"""


async def prune_and_die(url: str, moment: int) -> None:
    """In a child: dies by SIGKILL while the `moment`-th batch is under way, or when its answer is there."""
    from sentient_core.store.engine import Client, embedded  # noqa: PLC0415 - for the child alone

    batches = 0

    class Dying:
        def __init__(self, client: Client) -> None:
            self.connect, self.close, self._client = client.connect, client.close, client

        async def execute(self, cbor_request: bytes) -> bytes:
            nonlocal batches
            batches += b"LET $gone" in cbor_request
            if batches == moment and moment % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await self._client.execute(cbor_request)
            if batches == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    store = SurrealStore(url, connect=lambda address: Dying(embedded(address)))
    journal = await store.open_journal("bank", options=BY_HAND)
    if not await store.events("bank", limit=1):
        await append(journal, *(event(seq) for seq in range(1, 301)))
    await journal.prune(keeping(events_age=0, batch_rows=20))


async def test_a_system_prunes_when_asked_and_says_what() -> None:
    store = MemoryStore()
    async with ActorSystem("bank", store=store) as system:
        journal = await store.open_journal("other")
        await append(journal, event(1))

        with pytest.raises(InvalidArgument, match="Retention"):
            await system.prune(3600)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        assert (await system.prune()).rows == 0
    with pytest.raises(SystemClosed):
        await system.prune()
