"""What retention deletes from a store and what it leaves, over all stores alike; and after `kill -9`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import ActorSystem
from sentient_core.errors import Fenced, InvalidArgument, StoreUnavailable, SystemClosed
from sentient_core.store import Journal, JournalOptions, MemoryStore, Store, SurrealStore
from sentient_core.store.records import Accepted, CheckpointKind, LetterStatus, Settled, TimerSet
from sentient_core.store.retention import Retention
from tests.conftest import ONCE
from tests.store.places import Database, databases
from tests.store.samples import (
    Faults,
    checkpoint,
    dead_letter,
    discarded,
    event,
    redriven,
    status,
    until,
)

NOW = time.time_ns()
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
FOR_EVER = Retention(
    events_age=None,
    events_bytes=None,
    settled_letters_age=None,
    settled_letters_bytes=None,
    checkpoint_bytes=None,
    ended_age=None,
    accounts_age=None,
)
BY_HAND = JournalOptions(retention=None)


def keeping(**limits: Any) -> Retention:
    """No limits but these."""
    return msgspec.structs.replace(FOR_EVER, **limits)


database = databases("memory", "mem", "surrealkv")


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    journal = await database.store.open_journal("bank", options=BY_HAND)
    yield journal
    await journal.close(5.0)


async def append(journal: Journal, *records: Any) -> None:
    for record in records:
        assert journal.append(record)
    await journal.flush()


async def test_events_go_by_age_the_rest_stays(database: Database, journal: Journal) -> None:
    await append(journal, *(event(seq, at=NOW - 2 * HOUR) for seq in range(1, 31)))
    await append(journal, *(event(seq, at=NOW) for seq in range(31, 41)))

    pruned = await journal.prune(keeping(events_age=3600.0, batch_rows=7))

    assert pruned.events.rows == pruned.rows == 30
    assert pruned.events.bytes > 30 * 100
    left = await database.store.events("bank")
    assert sorted(int(row.event_id.partition(".")[2]) for row in left) == list(range(31, 41))
    assert (await journal.prune(keeping(events_age=3600.0))).rows == 0


async def test_of_events_committed_together_only_the_old_ones_go(
    database: Database, journal: Journal
) -> None:
    await append(journal, *(event(seq, at=NOW - (2 * HOUR if seq <= 5 else 0)) for seq in range(1, 11)))

    pruned = await journal.prune(keeping(events_age=3600.0))
    again = await journal.prune(keeping(events_age=3600.0))

    assert (pruned.rows, again.rows) == (5, 0)
    assert len(await database.store.events("bank")) == 5


async def test_events_go_by_bytes_the_oldest_first(database: Database, journal: Journal) -> None:
    for seq in range(1, 21):
        await append(journal, event(seq, {"text": "x" * 10_000}))

    pruned = await journal.prune(keeping(events_bytes=55_000, batch_rows=1))

    assert pruned.events.rows == 15
    assert {row.payload["text"] for row in await database.store.events("bank")} == {"x" * 10_000}
    assert min(row.position for row in await database.store.events("bank")) > (15, 0)

    await append(journal, *(event(seq, {"text": "y" * 10_000}) for seq in (21, 22)))
    assert (await journal.prune(keeping(events_bytes=55_000, batch_rows=1))).events.rows == 2


async def test_settled_letters_go_open_ones_stay(database: Database, journal: Journal) -> None:
    await append(journal, *(dead_letter(seq, at=NOW - 9 * HOUR) for seq in (1, 2, 3)))
    await append(journal, redriven(2), discarded(3))  # long ago, as the samples have it

    pruned = await journal.prune(keeping(settled_letters_age=3600.0))

    assert pruned.dead_letters.rows == 2
    (left,) = await database.store.dead_letters("bank")
    assert (left.message_id, left.status) == ("1.1", LetterStatus.OPEN)


async def test_open_letters_go_by_an_age_of_their_own(database: Database, journal: Journal) -> None:
    await append(journal, dead_letter(1, at=NOW - 2 * HOUR), dead_letter(2, at=NOW))

    assert (await journal.prune(keeping(settled_letters_age=0, settled_letters_bytes=0))).rows == 0
    assert (await journal.prune(keeping(open_letters_age=3600.0))).dead_letters.rows == 1
    assert [row.message_id for row in await database.store.dead_letters("bank")] == ["1.2"]


async def test_a_letter_that_was_pruned_and_dies_again_is_there_again(
    database: Database, journal: Journal
) -> None:
    await append(journal, dead_letter(1), redriven(1))
    assert (await journal.prune(keeping(settled_letters_age=0))).dead_letters.rows == 1

    await append(journal, dead_letter(1, attempts=2, epoch=1))

    (letter,) = await database.store.dead_letters("bank")
    assert (letter.message_id, letter.status, letter.attempts) == ("1.1", LetterStatus.OPEN, 2)


@ONCE
async def test_many_letters_are_all_looked_at(database: Database, journal: Journal) -> None:
    count = 2_300
    await append(journal, *(dead_letter(seq) for seq in range(1, count + 1)))
    await append(journal, *(discarded(seq) for seq in range(1, count + 1) if seq % 23))

    pruned = await journal.prune(keeping(settled_letters_age=0))

    assert pruned.dead_letters.rows == count - count // 23
    assert len(await database.store.dead_letters("bank", limit=count)) == count // 23


async def test_checkpoints_go_by_bytes_but_never_the_newest_or_a_named_one(
    database: Database, journal: Journal
) -> None:
    large = {"state": b"x" * 50_000}
    for number in (1, 2, 3):
        await append(journal, checkpoint("bank/a", number, **large), checkpoint("bank/b", number))
    await append(journal, checkpoint("bank/a", 9, kind=CheckpointKind.NAMED, **large))

    pruned = await journal.prune(keeping(checkpoint_bytes=40_000))

    assert pruned.checkpoints.rows == 2
    kept = [row.checkpoint_id for row in await database.store.checkpoint_rows("bank", "bank/a")]
    assert kept == ["c.9", "c.3"]
    assert len(await database.store.checkpoint_rows("bank", "bank/b")) == 3
    assert [found.checkpoint_id for found in await journal.checkpoints("bank/a", 3)] == ["c.3"]

    await append(journal, checkpoint("bank/a", 4, **large))
    assert [found.checkpoint_id for found in await journal.checkpoints("bank/a", 3)] == ["c.4", "c.3"]


async def test_what_is_over_of_nameless_actors_goes_and_of_others_stays(
    database: Database, journal: Journal
) -> None:
    for path, state in (
        ("$1.1", "completed"),
        ("$1.2", "idle"),
        ("bank/$1.3", "failed"),
        ("bank", "completed"),
    ):
        await append(journal, status(path, state=state, at=NOW - 2 * HOUR), checkpoint(path, 1))

    pruned = await journal.prune(keeping(ended_age=3600.0))

    assert (pruned.agents.rows, pruned.checkpoints.rows) == (2, 2)
    assert [row.agent_id for row in await database.store.agents("bank")] == ["$1.2", "bank"]
    assert await database.store.checkpoint_rows("bank", "$1.1") == []
    assert len(await database.store.checkpoint_rows("bank", "bank")) == 1


async def test_of_nameless_durable_actors_nothing_is_left_but_what_is_pending(
    database: Database, journal: Journal
) -> None:
    for path in ("$1.1", "$1.2"):
        await append(
            journal,
            status(path, state="completed", at=NOW - 2 * HOUR),
            checkpoint(path, 1, kind=CheckpointKind.STATE),
            TimerSet(path, "tick", 1, 0, "Tick", b"\x80"),
        )
    await append(journal, Accepted(event(9, target="$1.2")))

    pruned = await journal.prune(keeping(ended_age=3600.0))

    assert (pruned.agents.rows, pruned.checkpoints.rows) == (2, 1)  # its row and its timer
    gone, kept = [await journal.estate(path, 9) for path in ("$1.1", "$1.2")]
    assert (gone.state, gone.timers) == (None, [])
    assert kept.state is not None
    assert (len(kept.timers), len(kept.pending)) == (1, 1)
    assert [row.agent_id for row in await database.store.agents("bank")] == ["$1.2"]

    await append(journal, Settled("$1.2", 9))
    assert (await journal.prune(keeping(ended_age=3600.0))).rows == 3


async def test_the_next_start_knows_all_it_needs_whatever_went(database: Database) -> None:
    journal = await database.store.open_journal("bank", options=BY_HAND)
    await append(journal, status("bank/a", 7, restarts=4), *(event(seq) for seq in range(1, 9)))
    await append(journal, *(checkpoint("bank/a", number) for number in (1, 2, 3)))
    nothing = Retention(events_age=0, events_bytes=0, open_letters_age=0, checkpoint_bytes=0, ended_age=0)
    assert (await journal.prune(nothing)).rows == 8 + 2
    await journal.close(5.0)

    store = await database.restart()
    again = await store.open_journal("bank", options=BY_HAND)

    assert (again.known["bank/a"], again.known_restarts["bank/a"]) == (7, 4)
    assert [found.checkpoint_id for found in await again.checkpoints("bank/a", 3)] == ["c.3"]
    assert again.ended_cleanly
    await again.close(5.0)


async def test_other_systems_of_the_store_keep_their_rows(database: Database, journal: Journal) -> None:
    shop = await database.store.open_journal("shop", options=BY_HAND)
    await append(journal, event(1), dead_letter(2), discarded(2))
    await append(shop, event(1), dead_letter(2), discarded(2))

    assert (await journal.prune(keeping(events_age=0, settled_letters_age=0))).rows == 2
    assert len(await database.store.events("shop")) == 1
    assert len(await database.store.dead_letters("shop")) == 1
    await shop.close(5.0)


async def test_a_journal_that_has_ended_prunes_nothing(database: Database) -> None:
    journal = await database.store.open_journal("bank", options=BY_HAND)
    await append(journal, event(1))
    await journal.close(5.0)

    with pytest.raises(StoreUnavailable):
        await journal.prune(keeping(events_age=0))


async def test_a_start_that_was_taken_over_prunes_nothing(database: Database, journal: Journal) -> None:
    await append(journal, event(1))
    later = await database.store.open_journal("bank", options=BY_HAND)

    with pytest.raises(Fenced):
        await journal.prune(keeping(events_age=0))

    assert len(await database.store.events("bank")) == 1
    await later.close(5.0)


async def test_it_goes_on_in_the_background(database: Database) -> None:
    options = JournalOptions(retention=keeping(events_age=3600.0, every=0.01))
    journal = await database.store.open_journal("bank", options=options)
    await append(journal, *(event(seq) for seq in range(1, 9)))

    with anyio.fail_after(30):
        while await database.store.events("bank"):
            await anyio.sleep(0.01)
            await append(journal, status("bank"))  # a memory store looks when something happens
    await journal.close(5.0)


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
    await append(journal, *(event(seq, at=NOW - (10 - seq) * HOUR) for seq in range(1, 10)))

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
