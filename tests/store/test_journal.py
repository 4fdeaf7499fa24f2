"""The journal on a database that fails, and under its bounds."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core.backend import current_backend
from sentient_core.errors import Fenced, StoreUnavailable
from sentient_core.store import JournalOptions, SurrealStore, recovery, tail
from sentient_core.store.fold import Effect, Placed
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.records import Accepted, CheckpointKind, Entry, Event, TimerSet, Turn, full_id
from sentient_core.store.rows import RowEncoder
from sentient_core.store.settlement import Settlement
from sentient_core.store.tail import TailEntry, decode_entry, encode_entry
from sentient_core.store.wire import RecordId
from sentient_core.store.writer import Writer
from tests.conftest import ONCE
from tests.long import IS_LONG
from tests.store.samples import (
    Faults,
    checkpoint,
    dead_letter,
    event,
    is_claim,
    is_commit,
    is_rows,
    is_settlement,
    sent_as,
    status,
    until,
)


async def amounts(store: SurrealStore, system: str = "bank") -> list[int]:
    rows = await store.events(system, limit=100_000)
    return [row.payload["amount"] for row in reversed(rows)]


async def test_records_that_come_together_are_committed_together(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(group_records=50))
    await journal.flush()
    faults.sent.clear()

    for seq in range(1, 101):
        journal.append(event(seq))
    await journal.committed()

    assert 2 <= sum(map(is_commit, faults.sent)) <= 5
    await journal.close(5.0)


async def test_groups_are_bounded_in_bytes(faulty_store: SurrealStore, faults: Faults) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(group_bytes=10_000))
    await journal.flush()
    faults.sent.clear()

    for seq in range(1, 11):
        journal.append(event(seq, {"amount": seq, "text": "x" * (4_000 if seq != 5 else 50_000)}))
    await journal.flush()

    assert sum(map(is_commit, faults.sent)) >= 5
    assert await amounts(faulty_store) == list(range(1, 11))
    await journal.close(5.0)


async def test_an_outage_holds_everything_and_loses_nothing(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    journal.append(event(1))
    await journal.flush()
    faults.fail = lambda _: True
    for seq in range(2, 101):
        assert journal.append(event(seq))
    await until(lambda: journal.backlog().is_down)
    backlog = journal.backlog()
    assert backlog.uncommitted == backlog.records == 99
    with anyio.move_on_after(0.01) as scope:
        await journal.committed()
    assert scope.cancelled_caught
    with pytest.raises(StoreUnavailable):
        await faulty_store.events("bank")

    faults.fail = lambda _: False
    await journal.flush()

    assert not journal.backlog().is_down
    assert await amounts(faulty_store) == list(range(1, 101))
    await journal.close(5.0)


async def test_an_answer_that_is_lost_does_not_double_or_fence(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    """Every kind of write is done and its answer lost, at random; the seed is printed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    journal = await faulty_store.open_journal(
        "bank", options=JournalOptions(group_records=7, window_records=20)
    )
    faults.lose = lambda request: (
        (is_commit(request) or is_settlement(request) or is_rows(request)) and dice.random() < 0.3
    )
    faults.fail = lambda _: dice.random() < 0.1

    for seq in range(1, 301):
        journal.append(event(seq))
        if seq % 10 == 0:
            journal.append(dead_letter(seq))
            journal.append(status("team/a", incarnation=seq // 10))
            journal.append(checkpoint("team/a", seq))
            await journal.committed()
    await journal.flush()
    faults.lose = faults.fail = lambda _: False

    assert await amounts(faulty_store) == list(range(1, 301))
    letters = await faulty_store.dead_letters("bank", limit=1000)
    assert [letter.message_id for letter in letters] == [full_id(1, seq) for seq in range(300, 0, -10)]
    ((row,),) = await faulty_store.query("SELECT projected, epoch FROM ownership:['bank']")
    assert row["epoch"] == 1
    backlog = await journal.close(5.0)
    assert backlog.records == 0


async def test_a_hung_database_is_retried_after_the_deadline(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(call_timeout=1.0))
    await journal.flush()
    faults.hang = is_commit
    journal.append(event(1))
    await until(lambda: journal.backlog().is_down)
    faults.hang = lambda _: False

    await journal.flush()

    assert await amounts(faulty_store) == [1]
    await journal.close(5.0)


async def test_a_full_tail_refuses_and_takes_again(faulty_store: SurrealStore, faults: Faults) -> None:
    weight = event(1).weight
    journal = await faulty_store.open_journal("bank", options=JournalOptions(tail_bytes=10 * weight + 5))
    await journal.flush()
    faults.fail = lambda _: True

    accepted = [journal.append(event(seq)) for seq in range(1, 16)]

    assert accepted == [True] * 10 + [False] * 5
    assert journal.backlog().is_full
    assert journal.append(event(99), force=True)
    faults.fail = lambda _: False
    await journal.flush()
    assert not journal.backlog().is_full
    assert journal.append(event(16))
    await journal.flush()
    assert await amounts(faulty_store) == [*range(1, 11), 99, 16]
    await journal.close(5.0)


async def test_who_waits_for_room_is_called_when_the_database_is_back(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(tail_bytes=10 * event(1).weight))
    await journal.flush()
    faults.fail = lambda _: True
    for seq in range(1, 11):
        journal.append(event(seq))
    assert not journal.has_room()
    slots: list[Any] = [current_backend().slot() for _ in range(3)]
    for slot in slots:
        journal.when_room(slot)

    faults.fail = lambda _: False

    for slot in slots:
        await slot
    assert journal.has_room()
    await journal.close(5.0)


async def test_the_tail_is_bounded_by_what_is_committed_too(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    weight = event(1).weight
    journal = await faulty_store.open_journal("bank", options=JournalOptions(tail_bytes=10 * weight + 5))
    await journal.flush()
    faults.hang = is_rows

    for seq in range(1, 16):
        journal.append(event(seq))
    await journal.committed()

    backlog = journal.backlog()
    assert (backlog.records, backlog.uncommitted, backlog.is_full, backlog.is_down) == (10, 0, True, False)
    assert (await journal.close(0.05)).records == 11  # with the mark of the end
    faults.hang = lambda _: False


async def test_the_tail_is_bounded_by_the_time_that_projecting_takes(faulty_store: SurrealStore) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(tail_seconds=0.0))
    for seq in range(1, 2001):
        journal.append(event(seq))
    await journal.flush()  # measured now: not even a batch's worth of time is allowed

    accepted = 0
    while journal.append(event(3000 + accepted)):
        accepted += 1
        assert accepted < 100_000

    assert accepted >= 500  # one batch is always taken
    await journal.close(5.0)


async def test_what_is_left_at_the_end_the_next_start_folds(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    await journal.flush()
    faults.hang = lambda request: is_rows(request) or is_settlement(request)
    for seq in range(1, 21):
        journal.append(event(seq))
    journal.append(status("team/a", incarnation=4))
    for number in range(1, 6):
        journal.append(checkpoint("team/a", number))
    backlog = await journal.close(0.05)
    assert (backlog.records, backlog.uncommitted) == (27, 0)

    # The rows are still held up: what the next start knows, it knows from the journal.
    journal = await faulty_store.open_journal("bank")
    assert (journal.epoch, journal.ended_cleanly, dict(journal.known)) == (2, True, {"team/a": 4})
    found = await journal.checkpoints("team/a", 2)
    assert [record.checkpoint_id for record in found] == ["c.5", "c.4"]
    assert journal.backlog().records == 28

    faults.hang = lambda _: False
    await journal.flush()

    rows = await faulty_store.events("bank")
    assert [row.event_id for row in rows] == [f"1.{seq}" for seq in range(20, 0, -1)]
    assert len(await faulty_store.checkpoint_rows("bank", "team/a")) == 3
    await journal.close(5.0)


async def test_what_cannot_be_committed_by_the_end_is_reported(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    await journal.flush()
    faults.fail = lambda _: True
    journal.append(event(1))

    backlog = await journal.close(0.1)

    assert (backlog.uncommitted, backlog.is_down) == (2, True)
    faults.fail = lambda _: False
    journal = await faulty_store.open_journal("bank")
    assert not journal.ended_cleanly
    await journal.close(5.0)


async def test_closing_is_not_cut_short_by_a_cancellation(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    for seq in range(1, 501):
        journal.append(event(seq))

    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.close(5.0)

    assert journal.backlog().records == 0
    assert len(await amounts(store)) == 500


async def test_a_zombie_is_refused_also_when_its_successor_has_cleaned_up(store: SurrealStore) -> None:
    zombie = await store.open_journal("bank")
    await zombie.flush()
    for _ in range(3):  # several starts later its next number is still taken
        owner = await store.open_journal("bank")
        owner.append(event(1))
        await owner.flush()
        await owner.close(5.0)

    zombie.append(event(2))

    with pytest.raises(Fenced):
        await zombie.committed()
    ((numbers, kept),) = [
        await store.query("SELECT VALUE id FROM journal; SELECT VALUE string::len(<string>body) FROM journal")
    ]
    assert len(numbers) <= 2 * 4
    assert max(kept) < 10  # emptied
    await zombie.close(1.0)


async def test_a_zombie_cannot_project(faulty_store: SurrealStore, faults: Faults) -> None:
    zombie = await faulty_store.open_journal("bank", options=JournalOptions(call_timeout=1.0))
    await zombie.flush()
    faults.hang = is_rows
    zombie.append(event(1))
    await zombie.committed()
    owner = await faulty_store.open_journal("bank")
    faults.hang = lambda _: False
    owner.append(event(2))
    await owner.flush()
    projected = await faulty_store.query("SELECT VALUE projected FROM ownership:['bank']")

    with pytest.raises(Fenced):
        await zombie.flush()

    assert await faulty_store.query("SELECT VALUE projected FROM ownership:['bank']") == projected
    assert await amounts(faulty_store) == [1, 2]
    await zombie.close(1.0)
    await owner.close(5.0)


async def test_what_the_owner_before_projects_meanwhile_is_not_projected_again(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    before = await faulty_store.open_journal("bank")
    await before.flush()
    is_claimed = False

    async def project_first(request: bytes) -> None:
        nonlocal is_claimed
        if is_claim(request):
            is_claimed = True
            while before.backlog().records:  # noqa: ASYNC110 - of another thread's doing
                await asyncio.sleep(0.001)
        while is_rows(request) and not is_claimed:  # noqa: ASYNC110 - the other thread asks for both
            await asyncio.sleep(0.001)

    faults.before = project_first
    before.append(event(1))
    await before.committed()

    owner = await faulty_store.open_journal("bank")

    assert owner.backlog().records <= 1  # its own mark
    await owner.flush()
    assert await amounts(faulty_store) == [1]
    await before.close(1.0)
    await owner.close(5.0)


async def test_checkpoints_behind_a_finished_window_are_still_found(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank", options=JournalOptions(window_records=1))
    await journal.flush()
    settled = iter([False])  # one goes through
    faults.hang = lambda request: is_settlement(request) and next(settled, True)
    journal.append(checkpoint("team/a", 1))
    await journal.committed()
    journal.append(checkpoint("team/a", 2))
    await until(lambda: journal.backlog().records == 1)

    found = await journal.checkpoints("team/a", 2)

    assert [record.checkpoint_id for record in found] == ["c.2", "c.1"]
    faults.hang = lambda _: False
    await journal.close(0.1)


async def test_starts_that_race_get_epochs_of_their_own(store: SurrealStore) -> None:
    journals: list[SurrealJournal] = []

    async def start() -> None:
        journals.append(await store.open_journal("bank"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)

    assert sorted(journal.epoch for journal in journals) == list(range(1, 9))
    survivors = 0
    for journal in journals:
        journal.append(event(journal.epoch))
        try:
            await journal.flush()
            survivors += 1
            assert journal.epoch == 8
        except Fenced:
            pass
    assert survivors == 1
    for journal in journals:
        await journal.close(5.0)


async def test_an_entry_that_cannot_be_read_is_kept_and_reported(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    await journal.flush()
    faults.hang = lambda request: is_rows(request) or is_settlement(request)
    for seq in (1, 2, 3):
        journal.append(event(seq))
        await journal.committed()
    await journal.close(0.05)
    faults.hang = lambda _: False
    (ids,) = await faulty_store.query("SELECT VALUE id FROM journal WHERE !keep")
    await faulty_store.query("UPDATE $id SET body = $torn", id=ids[1], torn=b"\x92\x01")

    journal = await faulty_store.open_journal("bank")
    assert not journal.ended_cleanly
    await journal.flush()

    assert await amounts(faulty_store) == [1, 3]
    ((left,),) = await faulty_store.query("SELECT body, is_broken FROM $id", id=ids[1])
    assert left == {"body": b"\x92\x01", "is_broken": True}
    await journal.close(5.0)


async def test_a_text_that_is_no_unicode_is_mended(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    journal.append(event(1))
    journal.append(dead_letter(2, cause="bad \udcff byte"))
    journal.append(event(3))

    await journal.flush()

    (letter,) = await store.dead_letters("bank")
    assert letter.cause == "bad \\udcff byte"
    assert await amounts(store) == [1, 3]
    await journal.close(5.0)


async def test_a_turn_with_what_cannot_be_stored_is_committed_all_the_same(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    timer = TimerSet("team/b", "k\udcff", 2**70, 0, "Tick", b"\x80")
    journal.append(Turn((checkpoint("team/b", 1, kind=CheckpointKind.STATE), timer)))
    journal.append(Accepted(event(1, source="\udcff"), expires_at=2**70, sent_as=sent_as("\udcff")))

    for _ in range(2):  # of the tail, of the rows
        estate = await journal.estate("team/b", 10)
        await journal.flush()

        assert estate.state is not None
        assert [(found.key, found.due_at) for found in estate.timers] == [("k\\udcff", 2**63 - 1)]
        (pending,) = estate.pending
        assert (pending.accepted.event.source, pending.accepted.expires_at) == ("\\udcff", 2**63 - 1)
    await journal.close(5.0)


async def test_a_record_that_cannot_be_encoded_does_not_stop_the_journal(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    journal.append(event(1))
    journal.append(event(2, workflow_id=object()))
    journal.append(event(3))

    await journal.flush()

    assert await amounts(store) == [1, 3]
    assert journal.backlog().records == 0
    await journal.close(5.0)


async def test_a_failing_writer_goes_on(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = await store.open_journal("bank")
    await journal.flush()
    failures = [ValueError("one"), KeyError("two")]
    take = vars(Writer)["_take"]

    def failing(writer: Writer) -> object:
        if failures:
            raise failures.pop()
        return take(writer)

    monkeypatch.setattr(Writer, "_take", failing)
    for seq in (1, 2, 3):
        journal.append(event(seq))

    await journal.flush()

    assert not failures
    assert await amounts(store) == [1, 2, 3]
    await journal.close(5.0)


async def test_a_failing_projector_goes_on(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = await store.open_journal("bank")
    await journal.flush()
    failures = [ValueError("one"), KeyError("two")]
    encode, write = RowEncoder.event, Settlement.write

    def failing(encoder: RowEncoder, placed: Placed[Event], why_refused: str | None = None) -> bytes:
        if failures:
            raise failures.pop()
        return encode(encoder, placed, why_refused)

    more_failures = [OSError("three"), OSError("four")]

    async def failing_write(
        settlement: Settlement, entries: Sequence[TailEntry], effect: Effect, event_bytes: int
    ) -> None:
        if more_failures:
            raise more_failures.pop()
        await write(settlement, entries, effect, event_bytes)

    monkeypatch.setattr(RowEncoder, "event", failing)
    monkeypatch.setattr(Settlement, "write", failing_write)
    for seq in range(1, 1501):
        journal.append(event(seq))

    await journal.flush()

    assert not failures
    assert not more_failures
    assert await amounts(store) == list(range(1, 1501))
    await journal.close(5.0)


async def test_the_kept_entries_do_not_grow_with_the_load(store: SurrealStore) -> None:
    journal = await store.open_journal("bank")
    for seq in range(1, 51):
        journal.append(event(seq))
        await journal.committed()
    await journal.flush()

    ((count,),) = await store.query("SELECT count() FROM journal GROUP ALL")
    assert count == {"count": 1}
    await journal.close(5.0)


async def test_an_entry_of_another_epoch_keeps_its_ids(store: SurrealStore) -> None:
    """As recovery finds it: an entry that some older start wrote."""
    journal = await store.open_journal("bank")
    await journal.close(5.0)
    body = encode_entry(Entry(7, (event(5), dead_letter(6))))
    ((projected,),) = await store.query("SELECT VALUE projected FROM ownership:['bank']")
    await store.query(
        "CREATE $id SET body = $body, writer = 'old', keep = false, records = 2, weight = 400",
        id=RecordId("journal", ["bank", projected + 1]),
        body=body,
    )

    journal = await store.open_journal("bank")
    await journal.flush()

    assert [row.event_id for row in await store.events("bank")] == ["7.5"]
    assert [row.message_id for row in await store.dead_letters("bank")] == ["7.6"]
    await journal.close(5.0)


async def test_an_entry_that_was_written_after_its_time_goes_with_the_next_start(store: SurrealStore) -> None:
    """As a server does that was stopped with a request in hand, which was tried again elsewhere."""
    journal = await store.open_journal("bank")
    for seq in (1, 2, 3):
        journal.append(event(seq))
        await journal.committed()
    await journal.flush()
    await store.query(
        "CREATE $id SET body = $body, writer = 'late', keep = false, records = 1, weight = 1",
        id=RecordId("journal", ["bank", 2]),
        body=encode_entry(Entry(1, (event(1),))),
    )
    await journal.close(5.0)

    journal = await store.open_journal("bank")
    await journal.flush()

    assert await amounts(store) == [1, 2, 3]
    assert await store.query("RETURN count(SELECT * FROM journal WHERE !keep)") == [0]
    await journal.close(5.0)


CHILD = """
import sys, anyio, msgspec
from sentient_core.store import open_store
from tests.store.samples import checkpoint, event

async def main():
    store = open_store(sys.argv[1])
    journal = await store.open_journal("bank")
    first = int(sys.argv[2])
    seq = first
    while True:
        for _ in range(20):
            journal.append(event(seq))
            seq += 1
        journal.append(checkpoint("team/a", seq))
        await journal.committed()
        print(seq - 1, flush=True)

anyio.run(main, backend=sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("anyio_backend", "place"), [("asyncio", "disk"), ("trio", "server")], indirect=["anyio_backend"]
)
async def test_what_was_acknowledged_before_kill_9_is_there_once(
    place: str, request: pytest.FixtureRequest, anyio_backend_name: str
) -> None:
    """A child writes and prints what was committed; it is killed at random; the next one goes on."""
    url: str = request.getfixturevalue("url" if place == "disk" else "served_url")
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    acknowledged: list[tuple[int, int]] = []
    first = 1
    lives = 4 if IS_LONG else 2
    for _ in range(lives):
        process = await anyio.open_process(
            [sys.executable, "-c", CHILD, url, str(first), anyio_backend_name],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        )
        assert process.stdout is not None
        output = b""
        lines = dice.randrange(1, 60)
        async for chunk in process.stdout:
            output += chunk
            if output.count(b"\n") >= lines:
                break
        process.send_signal(signal.SIGKILL)
        await process.wait()
        rest = [chunk async for chunk in process.stdout]
        output += b"".join(rest)
        last = int(output.rpartition(b"\n")[0].rpartition(b"\n")[2])
        acknowledged.append((first, last))
        first = last + 1_000_000
        await process.aclose()

    async with SurrealStore(url) as store:
        journal = await store.open_journal("bank")
        assert not journal.ended_cleanly
        assert journal.epoch == lives + 1
        (found,) = await journal.checkpoints("team/a", 1)
        await journal.flush()
        seen = await amounts(store)
        await journal.close(5.0)

    assert len(seen) == len(set(seen))
    for start, last in acknowledged:
        assert set(range(start, last + 1)) <= set(seen)
    assert msgspec.msgpack.decode(found.state)["count"] >= acknowledged[-1][1] + 1


SUICIDE = """
import os, signal, sys, anyio
from sentient_core.store import SurrealStore
from tests.store.samples import *

url, point, backend = sys.argv[1:]
when, what = point.split(" ")
is_it = {"commit": is_commit, "rows": is_rows, "settlement": is_settlement}[what]
faults = Faults()
left = 3

def die(request):
    global left
    if is_it(request):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    return False

async def main():
    store = SurrealStore(url, connect=faults.connect)
    journal = await store.open_journal("bank")
    await journal.flush()
    setattr(faults, {"before": "fail", "after": "lose"}[when], die)
    seq = 1
    while True:
        journal.append(event(seq))
        journal.append(dead_letter(seq))
        journal.append(status("team/a", incarnation=seq))
        journal.append(checkpoint("team/a", seq))
        await journal.committed()
        print(seq, flush=True)
        seq += 1
        if seq % 3 == 0:
            await journal.flush()

anyio.run(main, backend=backend)
"""


@ONCE
@pytest.mark.parametrize("what", ["commit", "rows", "settlement"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_death_at_any_step_loses_and_doubles_nothing(
    url: str, when: str, what: str, anyio_backend_name: str
) -> None:
    await dies_and_comes_back(url, when, what, anyio_backend_name)


@ONCE
@pytest.mark.parametrize(("when", "what"), [("after", "commit"), ("before", "settlement"), ("after", "rows")])
async def test_so_it_is_on_a_server(served_url: str, when: str, what: str, anyio_backend_name: str) -> None:
    await dies_and_comes_back(served_url, when, what, anyio_backend_name)


async def dies_and_comes_back(url: str, when: str, what: str, anyio_backend_name: str) -> None:
    dead = await anyio.run_process(
        [sys.executable, "-c", SUICIDE, url, f"{when} {what}", anyio_backend_name],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    last = int(dead.stdout.split()[-1]) if dead.stdout else 0

    async with SurrealStore(url) as store:
        journal = await store.open_journal("bank")
        known = dict(journal.known)
        found = await journal.checkpoints("team/a", 9)
        await journal.flush()
        seen = await amounts(store)
        letters = await store.dead_letters("bank")
        agents = await store.agents("bank")
        await journal.close(5.0)

    # Of the round behind the last acknowledged one any part may be there, in the order of appends.
    reached = [len(seen), len(letters), known.get("team/a", 0)]
    assert last + 1 >= reached[0] >= reached[1] >= reached[2] >= last
    assert seen == list(range(1, reached[0] + 1))
    assert [letter.message_id for letter in letters] == [full_id(1, seq) for seq in range(reached[1], 0, -1)]
    assert [agent.incarnation for agent in agents] == ([reached[2]] if reached[2] else [])
    newest = int(found[0].checkpoint_id[2:]) if found else 0
    assert reached[2] >= newest >= last
    assert [record.checkpoint_id for record in found] == [f"c.{newest - n}" for n in range(len(found))]
    assert len(found) >= min(3, newest)


LETTERS = """
import os, signal, sys, anyio
from sentient_core.store import SurrealStore
from tests.store.samples import *

url, point, backend = sys.argv[1:]
when, what = point.split(" ")
is_it = {"commit": is_commit, "settlement": is_settlement}[what]
faults = Faults()
left = 5

def die(request):
    global left
    if is_it(request):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    return False

async def main():
    store = SurrealStore(url, connect=faults.connect)
    journal = await store.open_journal("bank")
    await journal.flush()
    setattr(faults, {"before": "fail", "after": "lose"}[when], die)
    print(0, flush=True)
    seq = 1
    while True:
        for step, record in enumerate(
            (dead_letter(seq, attempts=1), redriven(seq), dead_letter(seq, attempts=2), discarded(seq))
        ):
            journal.append(record)
            await journal.committed()
            print(4 * (seq - 1) + step + 1, flush=True)
            if seq % 2:
                await journal.flush()
        seq += 1

anyio.run(main, backend=backend)
"""

LIFE = [("open", 1), ("redriven", 2), ("open", 2), ("discarded", 2)]


@ONCE
@pytest.mark.parametrize("what", ["commit", "settlement"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_letter_is_as_its_last_committed_record_says_after_a_death_at_any_step(
    url: str, when: str, what: str, anyio_backend_name: str
) -> None:
    dead = await anyio.run_process(
        [sys.executable, "-c", LETTERS, url, f"{when} {what}", anyio_backend_name],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    last = int(dead.stdout.split()[-1])

    async with SurrealStore(url) as store:
        journal = await store.open_journal("bank")
        await journal.flush()
        rows = await store.dead_letters("bank")
        again = [row for row in await store.events("bank") if row.event_type == "message_redriven"]
        await journal.close(5.0)

    def expected(steps: int) -> list[tuple[str, str, int]]:
        """Every letter, newest first, after so many records."""
        letters = [
            (f"1.{seq}", *LIFE[min(steps - 4 * (seq - 1), 4) - 1]) for seq in range(1, (steps + 3) // 4 + 1)
        ]
        return letters[::-1]

    found = [(row.message_id, row.status, row.attempts) for row in rows]
    # The record behind the last acknowledged one may have been committed.
    assert found in (expected(last), expected(last + 1))
    steps = last if found == expected(last) else last + 1
    assert len(again) == (steps + 2) // 4


async def test_nothing_blocks_the_loop_of_the_caller(url: str, fail_on_blocking_call: None) -> None:
    async with SurrealStore(url) as store:
        journal = await store.open_journal("bank")
        for seq in range(1, 1001):
            journal.append(event(seq))
        await journal.flush()
        assert await journal.checkpoints("team/a", 1) == []
        await store.events("bank")
        await journal.close(5.0)


async def test_a_start_reads_what_is_left_once_and_not_on_the_loop_of_the_caller(
    faulty_store: SurrealStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.hang = lambda request: is_rows(request) or is_settlement(request)
    journal = await faulty_store.open_journal("bank")
    for seq in range(1, 4):
        journal.append(event(seq))
        await journal.committed()
    await journal.close(0)
    threads: list[int] = []

    def decode(body: bytes) -> Entry:
        threads.append(threading.get_ident())
        return decode_entry(body)

    for module in (recovery, tail):
        monkeypatch.setattr(module, "decode_entry", decode)
    journal = await faulty_store.open_journal("bank")

    assert len(threads) == 5 + 6  # by who looks for damage, and to take it up: with the entry of this start
    assert threading.get_ident() not in threads
    await journal.close(0)


async def test_a_window_that_was_settled_unseen_is_not_taken_for_another_owners(
    faulty_store: SurrealStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, is_held, failures = asyncio.Event(), [True], [1]
    remember = Settlement._remember  # pyright: ignore[reportPrivateUsage] - to fail in it

    async def hold(request: bytes) -> None:
        if is_settlement(request):
            await free.wait()
        elif is_commit(request) and not is_held:
            free.set()

    def fail_once(self: Settlement, last: int, effect: Effect) -> None:
        if failures:
            raise RuntimeError(f"injected {failures.pop()}")
        remember(self, last, effect)

    faults.before = hold
    monkeypatch.setattr(Settlement, "_remember", fail_once)
    journal = await faulty_store.open_journal("bank")
    async with anyio.create_task_group() as tasks:
        journal.append(event(1))
        tasks.start_soon(journal.flush)
        await until(lambda: any(map(is_settlement, faults.sent)))
        # They will be in one window with those of the first one, which is settled by then.
        for seq in (2, 3):
            journal.append(event(seq))
            await journal.committed()
        is_held.clear()
        journal.append(event(4))
    await journal.flush()

    assert await amounts(faulty_store) == [1, 2, 3, 4]
    assert (failures, journal.backlog().records) == ([], 0)
    await journal.close(5.0)
