"""What was ever written is counted exactly, whatever happens to the process, the database or an answer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from sentient_core.store import JournalOptions, SurrealStore
from sentient_core.store.pruning import SIZE
from sentient_core.store.records import Entry, Event
from sentient_core.store.retention import Retention
from sentient_core.store.statistics import SystemRows, store_statistics
from sentient_core.store.tail import decode_entry, encode_entry
from tests.store.samples import Faults, checkpoint, dead_letter, event, is_rows, is_settlement, status


@pytest.fixture(params=["directory", "server"])
def counted_url(request: pytest.FixtureRequest, url: str) -> str:
    """The address of an empty database on either kind of store."""
    served: str = request.getfixturevalue("served_url") if request.param == "server" else url
    return served


async def counters(store: SurrealStore) -> dict[str, Any]:
    ((row,),) = await store.query("SELECT * FROM written:['bank']")
    return {name: value for name, value in row.items() if name not in ("id", "since")}


async def test_bytes_and_records_are_those_that_were_written(counted_url: str) -> None:
    async with SurrealStore(counted_url) as store:
        journal = await store.open_journal("bank")
        events = [event(seq, {"text": "x" * seq}) for seq in range(1, 101)]
        for one in events:
            journal.append(one)
        journal.append(event(101, {"note": "no message"}, event_type="actor_started", message_type=None))
        await journal.flush()

        found = await counters(store)

        (sizes,) = await store.query(f"SELECT VALUE {SIZE} FROM agent_event")
        entry = len(encode_entry(Entry(1, (*events,))))
        assert found["records"] == 102  # with the one that opens the journal
        assert found["messages"] == 100
        assert found["message_bytes"] == sum(len(one.payload) for one in events)
        assert found["row_bytes"] == pytest.approx(sum(sizes), rel=0.1)
        assert entry < found["journal_bytes"] < entry * 1.5
        await journal.close(5.0)


async def test_they_grow_with_every_start_and_pruning_takes_nothing_away(counted_url: str) -> None:
    async with SurrealStore(counted_url) as store:
        for start in (1, 2, 3):
            journal = await store.open_journal("bank")
            for seq in range(1, 11):
                journal.append(event(seq, at=1_000_000_000))
                journal.append(checkpoint("team/a", start * 100 + seq, state=b"x" * 1_000))
            await journal.flush()
            await journal.prune(Retention(events_age=1.0))
            await journal.close(5.0)

        found = await counters(store)

        assert await store.events("bank") == []
        assert found["messages"] == 30
        assert found["records"] == 3 * 22
        # Of the ten checkpoints of a window the newest three become rows.
        assert 3 * 3 * 1_000 < found["row_bytes"] < 3 * 10 * 1_000


async def test_lost_answers_and_tries_that_fail_count_nothing_twice(counted_url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    faults = Faults()
    options = JournalOptions(window_records=20, group_records=7)
    async with SurrealStore(counted_url, connect=faults.connect) as store:
        journal = await store.open_journal("bank", options=options)
        await journal.flush()
        faults.lose = lambda sent: (is_settlement(sent) or is_rows(sent)) and dice.random() < 0.3
        faults.fail = lambda sent: is_settlement(sent) and dice.random() < 0.2
        for seq in range(1, 301):
            journal.append(event(seq))
            if seq % 10 == 0:
                journal.append(dead_letter(seq))
                journal.append(status("team/a", seq))
        await journal.flush()
        faults.lose = faults.fail = lambda _: False

        found = await counters(store)

        assert (found["records"], found["messages"]) == (361, 300)
        await journal.close(5.0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the process that is killed runs a loop of its own
async def test_a_process_that_is_killed_leaves_them_exact(counted_url: str) -> None:
    for start in (1, 2, 3):
        done = await anyio.run_process(
            [sys.executable, "-c", _CHILD, counted_url],
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == -signal.SIGKILL, done.stdout.decode()
        async with SurrealStore(counted_url) as store:
            found = await counters(store)
            ((owner,),) = await store.query("SELECT projected FROM ownership:['bank']")
            (tail,) = await store.query(
                "SELECT VALUE body FROM journal:['bank', $first]..=['bank', 9999999]",
                first=owner["projected"] + 1,
            )
            events = await store.events("bank", limit=100_000)
            left = [record for body in tail for record in decode_entry(body).records]

            # What is projected is counted, and what is in the tail is not, whenever it was.
            assert found["messages"] == len([row for row in events if row.message_type is not None])
            waiting = sum(isinstance(record, Event) for record in left)
            assert found["messages"] + waiting >= start * 200


_CHILD = """
import os, signal, sys
import anyio
from sentient_core.store import JournalOptions, SurrealStore
from tests.store.samples import event
async def main():
    store = SurrealStore(sys.argv[1])
    journal = await store.open_journal('bank', options=JournalOptions(window_records=10, group_records=5))
    for seq in range(1, 301):
        journal.append(event(seq))
        if seq == 50:
            await journal.flush()
        if seq == 200:
            await journal.committed()
    os.kill(os.getpid(), signal.SIGKILL)
anyio.run(main)
"""


async def test_statistics_say_what_was_written_for_each_byte_of_a_message(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    for seq in range(1, 101):
        journal.append(event(seq, {"text": "x" * 1_000}))
    await journal.flush()
    await journal.close(5.0)

    (system,) = (await statistics(store)).values()

    assert system.written is not None
    assert system.written.messages == 100
    assert system.written.amplification is not None
    assert 2 < system.written.amplification < 3  # once in the journal, once as a row, and what is around it


async def test_a_store_of_before_that_was_counted_has_statistics_all_the_same(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    journal.append(event(1))
    await journal.close(5.0)
    await store.query("REMOVE TABLE written")

    assert (await statistics(store))["bank"].written is None


async def statistics(store: SurrealStore) -> dict[str, SystemRows]:
    def silent(_: str, __: int) -> None:
        pass

    found = await store._ask(  # pyright: ignore[reportPrivateUsage] - as the command asks its own engine
        lambda engine: store_statistics(engine, silent)
    )
    return found.systems
