"""What every store promises: one set of tests over all of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core.backend import current_backend
from sentient_core.errors import Fenced, StoreError, StoreUnavailable
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store import Journal, JournalOptions
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.outcomes import Outcome, OutcomeKind
from sentient_core.store.records import Answered, CheckpointKind, LetterStatus, Noted, Settled, Turn
from sentient_core.store.retention import Retention
from tests.store.places import Database, databases
from tests.store.samples import (
    NOW,
    accepted,
    answered,
    checkpoint,
    dead_letter,
    discarded,
    event,
    redriven,
    sent_as,
    status,
)

NASTY = [
    "alice'; REMOVE TABLE agent_event; --",
    'quo"ted ` back\\slash',
    "⟨agent_event:1⟩ $param {json: true}",
    "δ漢字🎭\u202e\x00\n",
    "type::record('x', 1)",
]


database = databases("memory", "mem", "surrealkv", "ws", "http")


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    journal = await database.store.open_journal("bank")
    yield journal
    await journal.close(5.0)


async def test_the_first_start_finds_nothing_and_counts_as_after_a_clean_end(journal: Journal) -> None:
    assert journal.epoch == 1
    assert dict(journal.known) == {}
    assert dict(journal.known_restarts) == {}
    assert journal.ended_cleanly
    assert journal.backlog().uncommitted == 0
    assert not journal.backlog().is_full


async def test_a_record_may_have_a_megabyte_and_less_if_that_is_wished(
    database: Database, journal: Journal
) -> None:
    assert journal.largest_record > 1_000_000

    lowered = await database.store.open_journal("shop", options=JournalOptions(record_bytes=1_000))
    assert lowered.largest_record == 1_000
    await lowered.close(5.0)


async def test_what_is_committed_has_left_the_backlog(journal: Journal) -> None:
    for seq in range(1, 51):
        assert journal.append(event(seq))

    await journal.committed()

    assert journal.backlog().uncommitted == 0


async def test_who_waits_for_room_where_there_is_some_is_called_soon_and_at_the_end_told_why_not(
    journal: Journal,
) -> None:
    now, late = current_backend().slot(), current_backend().slot()

    journal.when_room(now)
    assert not now.is_done
    await now
    await journal.close(5.0)
    journal.when_room(late)

    with pytest.raises(StoreUnavailable):
        await late


async def test_what_is_flushed_is_in_rows_in_the_order_it_was_appended(
    database: Database, journal: Journal
) -> None:
    for seq in range(1, 1201):
        journal.append(event(seq))

    await journal.flush()

    rows = await database.store.events("bank", limit=2000)
    assert [row.payload["amount"] for row in rows] == list(range(1200, 0, -1))
    assert [row.position for row in rows] == sorted((row.position for row in rows), reverse=True)
    backlog = journal.backlog()
    assert (backlog.records, backlog.bytes) == (0, 0)


async def test_an_event_row_holds_what_was_recorded(database: Database, journal: Journal) -> None:
    journal.append(event(7, {"note": "hi", "tags": ["a"]}, causation=3, workflow_id="w1", incarnation=4))
    journal.append(event(8, target=None, message_type=None, event_type="agent_started", correlation=0))

    await journal.flush()

    started, sent = await database.store.events("bank")
    assert sent.event_id == "1.7"
    assert sent.event_type == "message_sent"
    assert (sent.source_agent, sent.target_agent) == ("team/a", "team/b")
    assert sent.payload == {"note": "hi", "tags": ["a"]}
    assert (sent.correlation_id, sent.causation_id, sent.workflow_id) == ("1.7", "1.3", "w1")
    assert sent.incarnation == 4
    assert sent.timestamp.isoformat() == "2025-11-21T04:40:00.130456+00:00"
    assert (started.target_agent, started.message_type, started.correlation_id) == (None, None, None)


async def test_events_are_found_by_agent_by_type_and_by_message_type(
    database: Database, journal: Journal
) -> None:
    journal.append(event(1, source="x", target="y"))
    journal.append(event(2, source="y", target="z", message_type="Order"))
    journal.append(event(3, source="z", target=None, message_type=None, event_type="agent_started"))
    journal.append(event(4, source="y", target="y", event_type="message_replied"))
    await journal.flush()
    find = database.store.events

    assert [row.event_id for row in await find("bank", agent="y")] == ["1.4", "1.2", "1.1"]
    assert [row.event_id for row in await find("bank", agent="y", limit=2)] == ["1.4", "1.2"]
    assert [row.event_id for row in await find("bank", event_type="agent_started")] == ["1.3"]
    assert [row.event_id for row in await find("bank", message_type="Order")] == ["1.2"]
    assert [row.event_id for row in await find("bank", agent="y", event_type="message_sent")] == [
        "1.2",
        "1.1",
    ]
    assert [
        row.event_id for row in await find("bank", event_type="message_sent", message_type="Deposit")
    ] == ["1.1"]
    assert await find("bank", agent="nobody") == []
    assert await find("another system") == []


async def test_systems_on_one_store_do_not_see_each_other(database: Database, journal: Journal) -> None:
    other = await database.store.open_journal("zoo")
    other.append(event(1, source="shared"))
    journal.append(event(2, source="shared"))
    other.append(status("only/zoo"))
    await other.flush()
    await journal.flush()

    assert [row.event_id for row in await database.store.events("zoo", agent="shared")] == ["1.1"]
    assert [row.event_id for row in await database.store.events("bank", agent="shared")] == ["1.2"]
    assert await database.store.agents("bank") == []
    assert other.epoch == 1
    await other.close(5.0)


async def test_an_agent_has_one_row_with_its_latest_status(database: Database, journal: Journal) -> None:
    journal.append(status("team/a", at=1_000))
    journal.append(status("team/b"))
    await journal.flush()
    journal.append(status("team/a", incarnation=2, state="restarting", at=5_000_000))
    await journal.flush()

    first, second = await database.store.agents("bank")
    assert (first.agent_id, first.name, first.parent, first.kind) == ("team/a", "a", "team", "Worker")
    assert (first.status, first.incarnation, first.restarts) == ("restarting", 2, 1)
    assert first.capabilities == ["render"]
    assert first.created_at.microsecond == 1
    assert first.updated_at.microsecond == 5_000
    assert second.agent_id == "team/b"


async def test_the_newest_checkpoints_come_first(journal: Journal) -> None:
    records = [checkpoint("team/a", number) for number in range(1, 5)]
    for record in records:
        journal.append(record)
        await journal.flush()
    journal.append(checkpoint("team/b", 9))

    assert list(await journal.checkpoints("team/a", 2)) == [records[3], records[2]]
    assert list(await journal.checkpoints("team/nobody", 2)) == []
    assert list(await journal.checkpoints("team/a", 0)) == []


async def test_a_checkpoint_is_found_at_once(journal: Journal) -> None:
    journal.append(checkpoint("team/a", 1))
    await journal.flush()
    for number in (2, 3):
        journal.append(event(number))
        journal.append(checkpoint("team/a", number))

    found = await journal.checkpoints("team/a", 3)

    assert [record.checkpoint_id for record in found] == ["c.3", "c.2", "c.1"]


async def test_turn_checkpoints_are_pruned_and_named_ones_are_not(database: Database) -> None:
    journal = await database.store.open_journal("bank", options=JournalOptions(kept_checkpoints=2))
    journal.append(checkpoint("team/a", 1, kind=CheckpointKind.NAMED))
    for number in range(2, 6):
        journal.append(checkpoint("team/a", number))
        if number % 2:
            await journal.flush()
    journal.append(checkpoint("team/b", 7))
    await journal.flush()

    rows = await database.store.checkpoint_rows("bank", "team/a")

    assert [(row.checkpoint_id, row.kind) for row in rows] == [
        ("c.5", "turn"),
        ("c.4", "turn"),
        ("c.1", "named"),
    ]
    assert rows[0].state == msgspec.msgpack.encode({"count": 5})
    assert rows[0].metadata == {"handled": 5}
    assert [record.checkpoint_id for record in await journal.checkpoints("team/a", 9)] == ["c.5", "c.4"]
    assert len(await database.store.checkpoint_rows("bank", "team/b")) == 1
    await journal.close(5.0)


async def test_pruning_goes_on_over_starts(database: Database) -> None:
    options = JournalOptions(kept_checkpoints=2)
    for number in range(1, 5):
        store = await database.restart()
        journal = await store.open_journal("bank", options=options)
        journal.append(checkpoint("team/a", number))
        await journal.close(5.0)

    rows = await database.store.checkpoint_rows("bank", "team/a")
    assert [row.checkpoint_id for row in rows] == ["c.4", "c.3"]


async def test_dead_letters_are_listed_newest_first(database: Database, journal: Journal) -> None:
    for seq in range(1, 4):
        journal.append(dead_letter(seq, cause="no\nroom"))
        journal.append(event(seq + 10))
        await journal.flush()

    rows = await database.store.dead_letters("bank", limit=2)

    assert [row.message_id for row in rows] == ["1.3", "1.2"]
    assert (rows[0].recipient, rows[0].sender, rows[0].reason) == ("team/gone", "team/a", "stopped")
    assert (rows[0].message, rows[0].cause, rows[0].attempts) == ({"amount": 3}, "no\nroom", 0)
    assert await database.store.dead_letters("zoo") == []


async def test_a_dead_letter_row_holds_what_was_recorded(database: Database, journal: Journal) -> None:
    journal.append(dead_letter(7, incarnation=3, attempts=1, cause="why"))
    journal.append(dead_letter(8, is_exact=False, correlation=0))
    await journal.flush()

    words, exact = await database.store.dead_letters("bank")

    assert (exact.message_id, exact.message_type, exact.message) == ("1.7", "Deposit", {"amount": 7})
    assert msgspec.msgpack.decode(exact.payload or b"") == {"amount": 7}
    assert (exact.incarnation, exact.attempts, exact.cause) == (3, 1, "why")
    assert exact.timestamp.isoformat() == "2025-11-21T04:40:00.123456+00:00"
    assert (exact.correlation_id, words.correlation_id) == ("1.7", None)
    assert (exact.status, exact.settled_at, exact.discard_reason) == ("open", None, None)
    assert words.payload is None


@pytest.mark.parametrize("is_one_window", [True, False])
async def test_the_evidence_of_a_quarantine_is_in_the_row_and_goes_with_its_next_death(
    database: Database, journal: Journal, is_one_window: bool
) -> None:
    evidence = {"tries": 3, "traceback": "Traceback: …", "state_digest": "ab12", "checkpoint_id": "1.4"}

    async def seen(row: int = 0) -> tuple[object, ...]:
        await journal.flush()
        letter = (await database.store.dead_letters("bank", limit=2))[row]
        return tuple(getattr(letter, field) for field in evidence)

    journal.append(dead_letter(5, attempts=1))
    journal.append(dead_letter(6, attempts=1, reason="quarantined", **evidence))
    if not is_one_window:
        assert await seen() == (3, "Traceback: …", "ab12", "1.4")
        assert await seen(1) == (0, None, None, None)
        which = DeadLetterFilter(reason="quarantined")
        (letter,) = await database.store.dead_letters("bank", matching=which)
        assert letter.message_id == "1.6"
    journal.append(redriven(6, 2))
    if not is_one_window:
        assert await seen() == (3, "Traceback: …", "ab12", "1.4")
    journal.append(dead_letter(6, attempts=2, epoch=1, reason="failed", tries=1))

    assert await seen() == (1, None, None, None)


@pytest.mark.parametrize("is_one_window", [True, False])
async def test_a_letter_is_redriven_dies_again_and_is_discarded(
    database: Database, journal: Journal, is_one_window: bool
) -> None:
    async def seen() -> tuple[object, ...]:
        await journal.flush()
        (row,) = await database.store.dead_letters("bank")
        settled = None if row.settled_at is None else row.settled_at.microsecond
        return (row.status, row.reason, row.attempts, settled, row.discard_reason)

    journal.append(dead_letter(500_000, attempts=1))
    if not is_one_window:
        assert await seen() == ("open", "stopped", 1, None, None)
    journal.append(redriven(500_000, 2))
    if not is_one_window:
        assert await seen() == ("redriven", "stopped", 2, 123_956, None)
    journal.append(dead_letter(500_000, attempts=2, reason="failed", epoch=1))
    if not is_one_window:
        assert await seen() == ("open", "failed", 2, None, None)
    journal.append(discarded(500_000, "no use"))

    assert await seen() == ("discarded", "failed", 2, 123_956, "no use")
    (event_row,) = await database.store.events("bank")
    assert (event_row.event_id, event_row.event_type) == ("1.501000", "message_redriven")
    assert event_row.payload == {"message_id": "1.500000", "attempts": 2}


async def test_a_mark_in_the_window_of_the_death_is_in_the_row(database: Database, journal: Journal) -> None:
    journal.append(dead_letter(1))
    journal.append(redriven(1, 2))
    journal.append(dead_letter(2))
    journal.append(discarded(2))
    await journal.flush()

    two, one = await database.store.dead_letters("bank")

    assert (one.status, one.attempts) == ("redriven", 2)
    assert (two.status, two.discard_reason) == ("discarded", "no use")


async def test_a_mark_without_a_letter_makes_no_row(database: Database, journal: Journal) -> None:
    journal.append(redriven(1, 2))
    journal.append(discarded(2))
    await journal.flush()

    assert await database.store.dead_letters("bank") == []
    assert await database.store.letters_by_id("bank", ["1.1", "1.2"]) == []


async def test_a_letter_of_an_earlier_start_keeps_its_id(database: Database) -> None:
    journal = await database.store.open_journal("bank")
    journal.append(dead_letter(5, attempts=1))
    journal.append(dead_letter(6, attempts=1))
    await journal.close(5.0)
    store = await database.restart()
    journal = await store.open_journal("bank")

    journal.append(dead_letter(5, attempts=1, reason="full"))  # a message of this start
    journal.append(redriven(5, 2, epoch=1))
    journal.append(redriven(6, 2, epoch=1))
    journal.append(dead_letter(6, attempts=2, reason="failed", epoch=1))
    await journal.flush()

    rows = {row.message_id: row for row in await store.dead_letters("bank")}
    if rows.keys() != {"2.5"}:  # a database in memory has forgotten the earlier start
        assert {id_: (row.status, row.reason, row.attempts) for id_, row in rows.items()} == {
            "1.5": ("redriven", "stopped", 2),
            "1.6": ("open", "failed", 2),
            "2.5": ("open", "full", 1),
        }
    await journal.close(5.0)


async def test_dead_letters_are_found_by_what_is_known_of_them(database: Database, journal: Journal) -> None:
    start = datetime.fromtimestamp(NOW // 1_000_000_000, UTC)
    for seq in range(6):
        journal.append(
            dead_letter(
                seq,
                at=NOW // 1_000_000_000 * 1_000_000_000 + seq * 1_000_000_000,
                recipient=f"team/{'ab'[seq % 2]}",
                reason=["stopped", "full", "failed"][seq % 3],
                message_type="Order" if seq == 5 else "Deposit",
            )
        )
    journal.append(discarded(4))
    await journal.flush()

    async def found(status: LetterStatus | None = None, limit: int = 100, **matching: Any) -> list[int]:
        rows = await database.store.dead_letters(
            "bank", matching=DeadLetterFilter(**matching), status=status, limit=limit
        )
        return [row.message["amount"] for row in rows]

    assert await found() == [5, 4, 3, 2, 1, 0]
    assert await found(limit=2) == [5, 4]
    assert await found(recipient="team/a") == [4, 2, 0]
    assert await found(recipient="team/a", limit=1) == [4]
    assert await found(recipient="team/a", reason="failed") == [2]
    assert await found(reason=DeadLetterReason.FULL) == [4, 1]
    assert await found(message_type="Order") == [5]
    assert await found(since=start + timedelta(seconds=4)) == [5, 4]
    assert await found(since=start + timedelta(seconds=1), until=start + timedelta(seconds=3)) == [2, 1]
    assert await found(recipient="team/b", since=start + timedelta(seconds=2)) == [5, 3]
    assert await found(LetterStatus.DISCARDED) == [4]
    assert await found(LetterStatus.OPEN, recipient="team/a") == [2, 0]
    assert await found(recipient="team") == []

    everything = DeadLetterFilter()
    assert await database.store.open_letters("bank", everything) == ["1.0", "1.1", "1.2", "1.3", "1.5"]
    assert await database.store.open_letters("bank", DeadLetterFilter(recipient="team/a")) == ["1.0", "1.2"]
    assert await database.store.open_letters("zoo", everything) == []
    rows = await database.store.letters_by_id("bank", ["1.3", "1.4", "9.9", "nonsense"])
    assert sorted(row.message_id for row in rows) == ["1.3", "1.4"]
    assert await database.store.letters_by_id("zoo", ["1.3"]) == []


@pytest.mark.parametrize("nanoseconds", [0, 1, 500, 1_000, 500_000_000, 123_456_000, 999_999_999])
async def test_the_bounds_of_a_time_are_exact(database: Database, journal: Journal, nanoseconds: int) -> None:
    at = NOW // 1_000_000_000 * 1_000_000_000 + nanoseconds
    for seq, off in enumerate((-1_000_000_000, -1_000, 0, 1_000, 1_000_000_000)):
        journal.append(dead_letter(seq, at=at + off, recipient="a"))
    await journal.flush()
    time = (await database.store.dead_letters("bank"))[2].timestamp

    for recipient in ("a", None):
        since = DeadLetterFilter(since=time, recipient=recipient)
        until = DeadLetterFilter(until=time, recipient=recipient)
        assert await database.store.open_letters("bank", since) == ["1.2", "1.3", "1.4"]
        assert await database.store.open_letters("bank", until) == ["1.0", "1.1"]


async def test_a_new_start_after_an_orderly_end_finds_everything(database: Database) -> None:
    journal = await database.store.open_journal("bank")
    journal.append(event(1))
    journal.append(status("team/a", incarnation=3))
    journal.append(checkpoint("team/b", 1, incarnation=2))
    backlog = await journal.close(5.0)
    assert (backlog.records, backlog.uncommitted) == (0, 0)

    store = await database.restart()
    journal = await store.open_journal("bank")

    assert journal.epoch == 2
    assert journal.ended_cleanly
    assert dict(journal.known) == {"team/a": 3, "team/b": 2}
    assert [record.checkpoint_id for record in await journal.checkpoints("team/b", 3)] == ["c.1"]
    journal.append(event(1))
    await journal.flush()
    assert [row.event_id for row in await store.events("bank")] == ["2.1", "1.1"]
    await journal.close(5.0)


async def test_a_new_start_after_an_abandoned_one_finds_what_was_committed(database: Database) -> None:
    abandoned = await database.store.open_journal("bank")
    abandoned.append(event(1))
    abandoned.append(status("team/a", incarnation=2))
    await abandoned.committed()

    journal = await database.store.open_journal("bank")

    assert journal.epoch == 2
    assert not journal.ended_cleanly
    assert dict(journal.known) == {"team/a": 2}
    await journal.flush()
    assert [row.event_id for row in await database.store.events("bank")] == ["1.1"]
    await journal.close(5.0)
    await abandoned.close(0.0)


@pytest.mark.parametrize("is_projected", [False, True])
async def test_a_new_start_knows_how_often_paths_were_restarted(
    database: Database, is_projected: bool
) -> None:
    abandoned = await database.store.open_journal("bank")
    abandoned.append(status("team/a", incarnation=1, restarts=0))
    abandoned.append(status("team/b", incarnation=2, restarts=1))
    abandoned.append(status("team/$1.1", incarnation=9, restarts=8))  # it has no name to come back to
    await abandoned.flush()
    # A checkpoint within a start comes before the status that says how often it was restarted.
    abandoned.append(checkpoint("team/b", 1, incarnation=4))
    if is_projected:
        await abandoned.flush()
    abandoned.append(status("team/b", incarnation=4, restarts=3))
    await (abandoned.flush() if is_projected else abandoned.committed())

    journal = await database.store.open_journal("bank")

    assert dict(journal.known) == {"team/a": 1, "team/b": 4}
    assert dict(journal.known_restarts) == {"team/b": 3}

    # Whatever is written of it meanwhile, the count stays.
    journal.append(checkpoint("team/b", 2, incarnation=7))
    await journal.flush()
    await journal.close(5.0)
    await abandoned.close(0.0)
    again = await (await database.restart()).open_journal("bank")
    assert dict(again.known) == {"team/a": 1, "team/b": 7}
    assert dict(again.known_restarts) == {"team/b": 3}
    await again.close(5.0)


async def test_a_later_start_fences_the_earlier_one(database: Database) -> None:
    told: list[StoreError] = []
    zombie = await database.store.open_journal("bank", on_fenced=told.append)
    zombie.append(event(1))
    await zombie.flush()
    owner = await database.store.open_journal("bank")

    zombie.append(event(2, "late"))
    with pytest.raises(Fenced, match="another process has started"):
        await zombie.committed()
    with pytest.raises(Fenced):
        await zombie.flush()
    with pytest.raises(Fenced):
        await zombie.checkpoints("team/a", 1)

    assert not zombie.append(event(3))
    assert not zombie.append(event(3), force=True)
    owner.append(event(1, "owner's"))
    await owner.flush()
    rows = await database.store.events("bank")
    assert [row.payload for row in rows] == [{"value": "owner's"}, {"amount": 1}]
    assert [type(error) for error in told] == [Fenced]
    await zombie.close(1.0)
    assert not (await owner.close(5.0)).uncommitted


async def test_an_owner_is_not_fenced_by_the_end_of_the_one_before(database: Database) -> None:
    zombie = await database.store.open_journal("bank")
    owner = await database.store.open_journal("bank")
    await zombie.close(1.0)
    owner.append(event(1))
    await owner.flush()
    await owner.close(5.0)

    last = await database.store.open_journal("bank")
    assert last.ended_cleanly
    await last.close(5.0)


async def test_closing_is_idempotent_and_final(database: Database) -> None:
    journal = await database.store.open_journal("bank")
    journal.append(event(1))

    first = await journal.close(5.0)
    second = await journal.close(5.0)

    assert first == second == journal.backlog()
    assert not journal.append(event(2))
    assert not journal.append(event(2), force=True)
    with pytest.raises(StoreUnavailable, match="closed"):
        await journal.committed()
    assert len(await database.store.events("bank")) == 1


async def test_a_cancelled_wait_takes_nothing_back(database: Database, journal: Journal) -> None:
    journal.append(event(1))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.flush()
    journal.append(event(2))

    await journal.flush()

    assert len(await database.store.events("bank")) == 2


async def test_many_wait_at_once(database: Database, journal: Journal) -> None:
    async def send(seq: int) -> None:
        journal.append(event(seq))
        await (journal.flush() if seq % 2 else journal.committed())

    async with anyio.create_task_group() as tasks:
        for seq in range(1, 101):
            tasks.start_soon(send, seq)
    await journal.flush()

    assert len(await database.store.events("bank", limit=200)) == 100


@pytest.mark.parametrize("text", NASTY)
async def test_texts_are_data(database: Database, text: str) -> None:
    store = database.store
    journal = await store.open_journal(text)
    path = f"team/{text}"
    journal.append(event(1, {text: [text]}, source=path, target=text, message_type=text, event_type=text))
    journal.append(status(path))
    journal.append(checkpoint(path, 1, metadata=msgspec.msgpack.encode({text: text})))
    journal.append(dead_letter(1, recipient=path, cause=text))
    await journal.flush()

    (row,) = await store.events(text, agent=path)
    assert (row.payload, row.target_agent) == ({text: [text]}, text)
    assert await store.events(text, event_type=text) == await store.events(text, message_type=text) == [row]
    assert [agent.agent_id for agent in await store.agents(text)] == [path]
    assert [record.path for record in await journal.checkpoints(path, 1)] == [path]
    (found,) = await store.checkpoint_rows(text, path)
    assert found.metadata == {text: text}
    (letter,) = await store.dead_letters(text)
    assert (letter.recipient, letter.cause) == (path, text)
    await journal.close(5.0)
    again = await store.open_journal(text)
    assert dict(again.known) == {path: 1}
    await again.close(5.0)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"d": value}
    return value


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"big": 2**64 - 1, "low": -(2**63), "edge": 2**63}, None),
        ([1, "two", None], {"value": [1, "two", None]}),
        ("text", {"value": "text"}),
        (None, {"value": None}),
        ({2: "two", None: "none", True: "yes"}, {"2": "two", "null": "none", "true": "yes"}),
        (
            {"deep": {"deep": [{"deep": {"deep": {5: 2**63}}}]}},
            {"deep": {"deep": [{"deep": {"deep": {"5": 2**63}}}]}},
        ),
        ({"bytes": b"\x00\xff", "inf": float("inf"), "float": 0.1}, None),
        ({"id": "agent_event:1", "in": None, "": 1}, None),
        (nested(79), None),
        (nested(90), "undecoded"),
        (nested(300), "undecoded"),
    ],
    ids=[
        "big",
        "list",
        "text",
        "none",
        "keys",
        "deep big",
        "bytes",
        "names",
        "depth 79",
        "depth 90",
        "depth 300",
    ],
)
async def test_payloads_are_shown_as_objects(
    database: Database, journal: Journal, sent: Any, shown: Any
) -> None:
    payload = msgspec.msgpack.encode(sent)
    for seq in range(1, 4):  # a strange one among others: none is lost
        journal.append(event(seq) if seq != 2 else event(seq, payload=sent))
    journal.append(dead_letter(2, payload=payload))
    await journal.flush()

    rows = await database.store.events("bank")
    (letter,) = await database.store.dead_letters("bank")

    expected = sent if shown is None else {"undecoded": payload} if shown == "undecoded" else shown
    assert [row.payload for row in rows] == [{"amount": 3}, expected, {"amount": 1}]
    assert letter.message == expected


async def test_bytes_that_are_no_msgpack_are_kept(database: Database, journal: Journal) -> None:
    journal.append(msgspec.structs.replace(event(1), payload=b"\xc1garbage"))
    await journal.flush()

    (row,) = await database.store.events("bank")
    assert row.payload == {"undecoded": b"\xc1garbage"}


async def test_a_payload_of_ten_megabytes_passes(database: Database, journal: Journal) -> None:
    text = "x" * 10_000_000
    journal.append(event(1, {"text": text}))
    journal.append(checkpoint("team/a", 1, state=text.encode()))
    await journal.flush()

    (row,) = await database.store.events("bank")
    assert row.payload == {"text": text}
    (found,) = await journal.checkpoints("team/a", 1)
    assert found.state == text.encode()


async def test_the_url_says_where_it_is(database: Database) -> None:
    assert database.store.url.split(":")[0] in ("memory", "mem", "surrealkv", "ws", "http")


async def test_what_became_of_an_id_is_known_before_and_behind_its_projection(
    database: Database, journal: Journal
) -> None:
    pay, ship = sent_as("pay"), sent_as("ship", content=b"other")
    journal.append(accepted(1, pay))
    journal.append(accepted(2, ship))
    await journal.committed()
    both = [("team/b", "pay"), ("team/b", "ship")]

    known = await journal.outcomes([*both, ("team/a", "pay"), ("team/b", "never")])
    assert {key: outcome.kind for key, outcome in known.items()} == dict.fromkeys(both, "pending")
    await journal.flush()
    assert await journal.outcomes(both) == known

    journal.append(Turn((Settled("team/b", 1), answered(1, pay, "paid"))))
    journal.append(
        dead_letter(2, recipient="team/b", reason="failed", cause="no", was_pending=True, sent_as=ship)
    )
    await journal.committed()
    known = await journal.outcomes(both)
    assert known["team/b", "pay"] == Outcome(
        OutcomeKind.REPLY, pay.digest, answered(1, pay).event.at, "str", msgspec.msgpack.encode("paid")
    )
    assert known["team/b", "ship"].kind is OutcomeKind.DEAD
    assert msgspec.msgpack.decode(known["team/b", "ship"].payload) == "no"
    await journal.flush()
    assert await journal.outcomes(both) == known


async def test_what_became_of_an_id_is_known_to_later_starts(database: Database) -> None:
    first = await database.store.open_journal("bank")
    first.append(accepted(1, sent_as("pay")))
    first.append(answered(1, sent_as("pay"), "paid"))
    first.append(accepted(2, sent_as("late")))
    await first.committed()

    second = await database.store.open_journal("bank")  # the first one never closed

    found = await second.outcomes([("team/b", "pay"), ("team/b", "late")])
    assert [outcome.kind for _, outcome in sorted(found.items())] == ["pending", "reply"]
    await second.close(5.0)
    await first.close(0.0)


async def test_memos_are_there_until_their_message_is_settled(database: Database, journal: Journal) -> None:
    in_hand = ("team/a", journal.epoch, 1)
    asked = sent_as("1", asker=in_hand)
    journal.append(accepted(1, target="team/a"))
    journal.append(Noted("team/a", 1, "once pay", b"\x01", NOW))
    journal.append(accepted(2, asked))
    journal.append(Noted("team/a", 3, "once pay", b"\x02", NOW))

    memos = await journal.memos(in_hand)
    assert {name: memo.kind for name, memo in memos.items()} == {
        "once pay": OutcomeKind.REPLY,
        "ask team/b 1": OutcomeKind.PENDING,
    }
    await journal.flush()
    assert await journal.memos(in_hand) == memos
    journal.append(answered(2, asked))
    assert (await journal.memos(in_hand))["ask team/b 1"].kind is OutcomeKind.REPLY
    await journal.flush()
    assert (await journal.memos(in_hand))["ask team/b 1"].kind is OutcomeKind.REPLY

    journal.append(Settled("team/a", 1, has_memos=True))
    await journal.flush()
    assert await journal.memos(in_hand) == {}
    assert set(await journal.memos(("team/a", journal.epoch, 3))) == {"once pay"}


async def test_old_ids_go_and_what_is_pending_stays(database: Database, journal: Journal) -> None:
    old = time.time_ns() - 8 * 86_400_000_000_000
    journal.append(accepted(1, sent_as("settled"), at=old))
    journal.append(Answered(event(11, "fine", at=old), sent_as("settled")))
    journal.append(accepted(2, sent_as("pending"), at=old))
    journal.append(accepted(3, sent_as("young"), at=old))
    journal.append(Answered(event(13, "fine", at=time.time_ns()), sent_as("young")))
    journal.append(Settled("team/b", 1))
    journal.append(Noted("team/b", 1, "once lost", b"\x01", old))
    journal.append(Noted("team/b", 2, "once kept", b"\x01", old))
    await journal.flush()
    keys = [("team/b", id_) for id_ in ("settled", "pending", "young")]

    assert (await journal.prune(Retention(dedupe_window=None))).rows == 0
    pruned = await journal.prune(Retention(events_age=None, batch_rows=1))

    assert (pruned.ids.rows, pruned.memos.rows, pruned.rows) == (1, 1, 2)
    assert {id_ for _, id_ in await journal.outcomes(keys)} == {"pending", "young"}
    assert await journal.memos(("team/b", journal.epoch, 1)) == {}
    assert set(await journal.memos(("team/b", journal.epoch, 2))) == {"once kept"}
