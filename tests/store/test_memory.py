"""What only the memory store does: outages on demand, bounds, and no clock of its own."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from sentient_core.backend import current_backend
from sentient_core.errors import Fenced, InvalidArgument, StoreUnavailable
from sentient_core.store import JournalOptions, MemoryStore
from sentient_core.store.records import Forgotten
from sentient_core.testing import RecordedStore
from sentient_core.testing.store_conformance.row_samples import TASKS, change, one, write
from tests.store.samples import checkpoint, event


async def test_a_pause_holds_commits_until_it_ends() -> None:
    store = MemoryStore()
    journal = await store.open_journal("bank")
    journal.append(event(1))
    store.pause()
    journal.append(event(2))
    done: list[str] = []

    async def wait() -> None:
        await journal.flush()
        done.append("flushed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        backlog = journal.backlog()
        assert (backlog.is_down, backlog.uncommitted, done) == (True, 1, [])
        assert [row.event_id for row in await store.events("bank")] == ["1.1"]
        store.resume()

    assert done == ["flushed"]
    assert not journal.backlog().is_down
    assert len(await store.events("bank")) == 2


async def test_a_paused_store_takes_records_up_to_its_bound() -> None:
    store = MemoryStore()
    weight = event(1).weight
    journal = await store.open_journal("bank", options=JournalOptions(tail_bytes=3 * weight))
    store.pause()

    assert [journal.append(event(seq)) for seq in range(1, 6)] == [True, True, True, False, False]
    assert journal.backlog().is_full
    assert journal.append(event(6), force=True)

    store.resume()
    assert journal.append(event(7))
    rows = await store.events("bank")
    assert [row.event_id for row in rows] == ["1.7", "1.6", "1.3", "1.2", "1.1"]


async def test_who_waits_for_room_in_a_paused_store_is_called_when_it_goes_on() -> None:
    store = MemoryStore()
    journal = await store.open_journal("bank", options=JournalOptions(tail_bytes=2 * event(1).weight))
    store.pause()
    for seq in range(1, 3):
        journal.append(event(seq))
    assert not journal.has_room()
    slots: list[Any] = [current_backend().slot() for _ in range(3)]
    for slot in slots:
        journal.when_room(slot)
    await anyio.wait_all_tasks_blocked()
    assert not any(slot.is_done for slot in slots)

    store.resume()

    assert journal.has_room()
    for slot in slots:
        await slot


async def test_a_paused_store_starts_nothing_and_ends_with_what_it_could_not_commit() -> None:
    store = MemoryStore()
    journal = await store.open_journal("bank")
    journal.append(event(1))
    store.pause()
    journal.append(event(2))

    with pytest.raises(StoreUnavailable, match="paused"):
        await store.open_journal("zoo")
    backlog = await journal.close(0.01)

    assert backlog.uncommitted == 2
    store.resume()
    again = await store.open_journal("bank")
    assert not again.ended_cleanly
    assert [row.event_id for row in await store.events("bank")] == ["1.1"]


async def test_who_waits_through_a_pause_is_told_when_fenced() -> None:
    store = MemoryStore()
    zombie = await store.open_journal("bank")
    caught: list[type[Exception]] = []
    store.pause()
    zombie.append(event(1))

    async def wait() -> None:
        try:
            await zombie.committed()
        except Fenced:
            caught.append(Fenced)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        store.is_paused = False  # the other start comes first
        await store.open_journal("bank")

    assert caught == [Fenced]


async def test_old_events_are_dropped() -> None:
    store = MemoryStore(keep_events=5)
    journal = await store.open_journal("bank")
    for seq in range(1, 11):
        journal.append(event(seq))

    assert [row.event_id for row in await store.events("bank")] == [f"1.{seq}" for seq in range(10, 5, -1)]


async def test_without_looking_groups_are_folded_as_they_fill() -> None:
    store = MemoryStore(keep_events=5)
    journal = await store.open_journal("bank", options=JournalOptions(group_records=10))
    for seq in range(1, 1001):
        journal.append(event(seq))
        journal.append(checkpoint("team/a", seq))

    assert len(vars(journal)["_pending"]) < 10


async def _close_late() -> float:
    store = MemoryStore()
    journal = await store.open_journal("bank")
    store.pause()
    journal.append(event(1))
    start = anyio.current_time()
    await journal.close(300.0)
    return anyio.current_time() - start


def test_patience_is_virtual_under_a_virtual_clock() -> None:
    options: dict[str, Any] = {"clock": MockClock(autojump_threshold=0)}

    assert anyio.run(_close_late, backend="trio", backend_options=options) == pytest.approx(300.0)


def test_the_data_outlives_the_event_loop() -> None:
    store = MemoryStore()

    async def start(seq: int) -> int:
        journal = await store.open_journal("bank")
        journal.append(event(seq))
        await journal.flush()
        return len(await store.events("bank"))

    assert [anyio.run(start, 1), anyio.run(start, 2, backend="trio"), anyio.run(start, 3)] == [1, 2, 3]


def test_a_tail_that_could_not_hold_one_record_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"tail_bytes=199.*200 at least"):
        JournalOptions(tail_bytes=199)
    assert JournalOptions(tail_bytes=200).tail_bytes == 200


async def test_what_was_committed_before_a_pause_is_not_waited_for() -> None:
    store = MemoryStore()
    journal = await store.open_journal("bank")
    journal.append(checkpoint("team/b", 1))
    mark = journal.mark()
    await journal.committed()
    store.pause()
    journal.append(checkpoint("team/b", 2))

    await journal.committed(mark)
    with anyio.move_on_after(1) as waited:  # virtual time
        await journal.committed()

    assert waited.cancelled_caught
    store.resume()
    await journal.close(5)


async def test_a_paused_store_writes_no_rows() -> None:
    store = MemoryStore()
    store.pause()
    with pytest.raises(StoreUnavailable):
        await store.write_rows("bank", [write(TASKS, "t1")])
    store.resume()
    await store.write_rows("bank", [write(TASKS, "t1")])


async def test_what_an_actor_writes_after_it_was_forgotten_stays() -> None:
    """A database deletes what is there when it is asked to; here the order of the records counts."""
    store = MemoryStore()
    journal = await store.open_journal("bank")
    journal.append(change(TASKS, "t1", status="running"))
    journal.append(Forgotten("team/a"))
    journal.append(change(TASKS, "t1", progress=1))
    await journal.flush()

    assert (await one(store, TASKS, "t1")).fields["status"] == ""
    await journal.close(5.0)


async def test_printed_it_says_whose_it_is() -> None:
    store = MemoryStore()
    assert repr(store) == "<MemoryStore of nobody>"
    journal = await store.open_journal("bank")
    store.pause()
    assert repr(store) == "<MemoryStore of bank, paused>"
    assert repr(journal) == "<MemoryJournal of bank, start 1>"
    assert repr(RecordedStore(store)) == "<RecordedStore of <MemoryStore of bank, paused>, 0 turns>"
    store.resume()
    await journal.close(5.0)
