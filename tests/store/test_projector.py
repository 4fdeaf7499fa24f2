"""Rows the database refuses, and who may be asked for what."""

from __future__ import annotations

import msgspec
import pytest

from sentient_core.store import JournalOptions, SurrealStore
from sentient_core.store.precedence import Precedence
from tests.store.samples import Faults, checkpoint, dead_letter, event, is_rows, is_settlement, status


async def test_a_refused_row_is_kept_with_its_bytes_and_takes_no_other_with_it(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    faults.refuse = lambda request: is_rows(request) and b"poison" in request and b"refused" not in request
    journal = await faulty_store.open_journal("bank")
    for seq in range(1, 701):
        journal.append(event(seq, {"word": "poison"} if seq in (3, 350, 351) else {"word": "fine"}))

    await journal.flush()

    rows = await faulty_store.events("bank", limit=1000)
    assert [row.event_id for row in reversed(rows)] == [f"1.{seq}" for seq in range(1, 701)]
    refused = {row.event_id: row.payload for row in rows if row.payload != {"word": "fine"}}
    assert set(refused) == {"1.3", "1.350", "1.351"}
    for payload in refused.values():
        assert payload["undecoded"] == msgspec.msgpack.encode({"word": "poison"})
        assert "injected" in payload["refused"]
    await journal.close(5.0)


async def test_a_refused_effect_is_written_without_what_may_have_been_refused(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    faults.refuse = lambda request: (
        is_settlement(request) and b"poison" in request and b"refused" not in request
    )
    journal = await faulty_store.open_journal("bank")
    metadata = msgspec.msgpack.encode({"why": "poison"})
    journal.append(checkpoint("team/a", 1, metadata=metadata))
    journal.append(dead_letter(2))
    journal.append(status("team/a"))

    await journal.flush()

    (row,) = await faulty_store.checkpoint_rows("bank", "team/a")
    assert row.metadata["undecoded"] == metadata
    assert row.state == msgspec.msgpack.encode({"count": 1})
    assert len(await faulty_store.dead_letters("bank")) == len(await faulty_store.agents("bank")) == 1
    await journal.close(5.0)


async def test_rows_that_are_refused_for_another_reason_are_tried_again(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    times = iter(range(8))
    faults.refuse = lambda request: is_rows(request) and next(times, None) is not None
    journal = await faulty_store.open_journal("bank")
    journal.append(event(1))
    journal.append(event(2))

    await journal.flush()

    assert len(await faulty_store.events("bank")) == 2
    await journal.close(5.0)


def always(*_: object) -> bool:
    return True


async def test_rows_wait_for_commits_until_somebody_waits_for_rows(
    faulty_store: SurrealStore, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Precedence, "is_with_commits", always)
    journal = await faulty_store.open_journal("bank")
    for seq in range(1, 101):
        journal.append(event(seq))
        await journal.committed()
    assert not any(map(is_rows, faults.sent))

    await journal.flush()

    assert len(await faulty_store.events("bank", limit=200)) == 100
    await journal.close(5.0)


async def test_the_end_does_not_wait_for_commits_that_come_first(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Precedence, "is_with_commits", always)
    journal = await store.open_journal("bank")
    journal.append(event(1))
    await journal.committed()

    left = await journal.close(30.0)

    assert left.records == 0


async def test_nobody_sees_rows_of_a_window_that_is_not_finished(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    journal = await faulty_store.open_journal("bank")
    journal.append(event(1))
    await journal.flush()
    faults.hang = is_settlement
    journal.append(event(2))
    await journal.close(0.3)

    for rows in (
        await faulty_store.events("bank"),
        await faulty_store.events("bank", agent="team/a"),
        await faulty_store.events("bank", event_type="message_sent"),
        await faulty_store.events("bank", message_type="Deposit"),
    ):
        assert [row.event_id for row in rows] == ["1.1"]
    ((count,),) = await faulty_store.query("SELECT count() FROM agent_event GROUP ALL")
    assert count == {"count": 2}
    faults.hang = lambda _: False


async def test_small_windows_project_everything_in_order(store: SurrealStore) -> None:
    options = JournalOptions(group_records=3, window_records=5, kept_checkpoints=2)
    journal = await store.open_journal("bank", options=options)
    for seq in range(1, 101):
        journal.append(event(seq))
        journal.append(checkpoint(f"team/{seq % 3}", seq))
        journal.append(status(f"team/{seq % 3}", incarnation=seq))

    await journal.flush()

    rows = await store.events("bank", limit=1000)
    assert [row.event_id for row in reversed(rows)] == [f"1.{seq}" for seq in range(1, 101)]
    for path, expected in (("team/1", ["c.100", "c.97"]), ("team/2", ["c.98", "c.95"])):
        assert [row.checkpoint_id for row in await store.checkpoint_rows("bank", path)] == expected
    assert [agent.incarnation for agent in await store.agents("bank")] == [99, 100, 98]
    await journal.close(5.0)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 50])
async def test_the_newest_are_found_however_sparse_they_are(store: SurrealStore, count: int) -> None:
    journal = await store.open_journal("bank")
    journal.append(dead_letter(1))
    await journal.committed()
    for seq in range(2, count + 2):
        journal.append(event(seq))
        await journal.committed()
    await journal.flush()

    assert len(await store.dead_letters("bank")) == 1
    assert len(await store.events("bank", limit=count)) == count
    await journal.close(5.0)
