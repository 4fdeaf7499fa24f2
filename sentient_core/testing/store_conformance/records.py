"""Records are committed in their order and become rows: events, agents, checkpoints."""

from __future__ import annotations

import msgspec
import pytest

from sentient_core.backend import current_backend
from sentient_core.errors import StoreUnavailable
from sentient_core.store import Journal, JournalOptions
from sentient_core.store.records import CheckpointKind
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    checkpoint,
    event,
    status,
)

__all__ = ["RecordConformance"]


class RecordConformance(Conformance):
    """Records are committed in their order and become rows: events, agents, checkpoints."""

    async def test_the_first_start_finds_nothing_and_counts_as_after_a_clean_end(
        self, journal: Journal
    ) -> None:
        assert journal.epoch == 1
        assert dict(journal.known) == {}
        assert dict(journal.known_restarts) == {}
        assert journal.ended_cleanly
        assert journal.backlog().uncommitted == 0
        assert not journal.backlog().is_full

    async def test_a_record_may_have_a_megabyte_and_less_if_that_is_wished(
        self, place: Place, journal: Journal
    ) -> None:
        assert journal.largest_record > 1_000_000

        lowered = await place.store.open_journal("shop", options=JournalOptions(record_bytes=1_000))
        assert lowered.largest_record == 1_000
        await lowered.close(5.0)

    async def test_what_is_committed_has_left_the_backlog(self, journal: Journal) -> None:
        for seq in range(1, 51):
            assert journal.append(event(seq))

        await journal.committed()

        assert journal.backlog().uncommitted == 0

    async def test_who_waits_for_room_where_there_is_some_is_called_soon_and_at_the_end_told_why_not(
        self,
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
        self, place: Place, journal: Journal
    ) -> None:
        for seq in range(1, 1201):
            journal.append(event(seq))

        await journal.flush()

        rows = await place.store.events("bank", limit=2000)
        assert [row.payload["amount"] for row in rows] == list(range(1200, 0, -1))
        assert [row.position for row in rows] == sorted((row.position for row in rows), reverse=True)
        backlog = journal.backlog()
        assert (backlog.records, backlog.bytes) == (0, 0)

    async def test_an_event_row_holds_what_was_recorded(self, place: Place, journal: Journal) -> None:
        journal.append(event(7, {"note": "hi", "tags": ["a"]}, causation=3, workflow_id="w1", incarnation=4))
        journal.append(event(8, target=None, message_type=None, event_type="agent_started", correlation=0))

        await journal.flush()

        started, sent = await place.store.events("bank")
        assert sent.event_id == "1.7"
        assert sent.event_type == "message_sent"
        assert (sent.source_agent, sent.target_agent) == ("team/a", "team/b")
        assert sent.payload == {"note": "hi", "tags": ["a"]}
        assert (sent.correlation_id, sent.causation_id, sent.workflow_id) == ("1.7", "1.3", "w1")
        assert sent.incarnation == 4
        assert sent.timestamp.isoformat() == "2025-11-21T04:40:00.130456+00:00"
        assert (started.target_agent, started.message_type, started.correlation_id) == (None, None, None)

    async def test_events_are_found_by_agent_by_type_and_by_message_type(
        self, place: Place, journal: Journal
    ) -> None:
        journal.append(event(1, source="x", target="y"))
        journal.append(event(2, source="y", target="z", message_type="Order"))
        journal.append(event(3, source="z", target=None, message_type=None, event_type="agent_started"))
        journal.append(event(4, source="y", target="y", event_type="message_replied"))
        await journal.flush()
        find = place.store.events

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

    async def test_systems_on_one_store_do_not_see_each_other(self, place: Place, journal: Journal) -> None:
        other = await place.store.open_journal("zoo")
        other.append(event(1, source="shared"))
        journal.append(event(2, source="shared"))
        other.append(status("only/zoo"))
        await other.flush()
        await journal.flush()

        assert [row.event_id for row in await place.store.events("zoo", agent="shared")] == ["1.1"]
        assert [row.event_id for row in await place.store.events("bank", agent="shared")] == ["1.2"]
        assert await place.store.agents("bank") == []
        assert other.epoch == 1
        await other.close(5.0)

    async def test_an_agent_has_one_row_with_its_latest_status(self, place: Place, journal: Journal) -> None:
        journal.append(status("team/a", at=1_000))
        journal.append(status("team/b"))
        await journal.flush()
        journal.append(status("team/a", incarnation=2, state="restarting", at=5_000_000))
        await journal.flush()

        first, second = await place.store.agents("bank")
        assert (first.agent_id, first.name, first.parent, first.kind) == ("team/a", "a", "team", "Worker")
        assert (first.status, first.incarnation, first.restarts) == ("restarting", 2, 1)
        assert first.capabilities == ["render"]
        assert first.created_at.microsecond == 1
        assert first.updated_at.microsecond == 5_000
        assert second.agent_id == "team/b"

    async def test_the_newest_checkpoints_come_first(self, journal: Journal) -> None:
        records = [checkpoint("team/a", number) for number in range(1, 5)]
        for record in records:
            journal.append(record)
            await journal.flush()
        journal.append(checkpoint("team/b", 9))

        assert list(await journal.checkpoints("team/a", 2)) == [records[3], records[2]]
        assert list(await journal.checkpoints("team/nobody", 2)) == []
        assert list(await journal.checkpoints("team/a", 0)) == []

    async def test_a_checkpoint_is_found_at_once(self, journal: Journal) -> None:
        journal.append(checkpoint("team/a", 1))
        await journal.flush()
        for number in (2, 3):
            journal.append(event(number))
            journal.append(checkpoint("team/a", number))

        found = await journal.checkpoints("team/a", 3)

        assert [record.checkpoint_id for record in found] == ["c.3", "c.2", "c.1"]

    async def test_turn_checkpoints_are_pruned_and_named_ones_are_not(self, place: Place) -> None:
        journal = await place.store.open_journal("bank", options=JournalOptions(kept_checkpoints=2))
        journal.append(checkpoint("team/a", 1, kind=CheckpointKind.NAMED))
        for number in range(2, 6):
            journal.append(checkpoint("team/a", number))
            if number % 2:
                await journal.flush()
        journal.append(checkpoint("team/b", 7))
        await journal.flush()

        rows = await place.store.checkpoint_rows("bank", "team/a")

        assert [(row.checkpoint_id, row.kind) for row in rows] == [
            ("c.5", "turn"),
            ("c.4", "turn"),
            ("c.1", "named"),
        ]
        assert rows[0].state == msgspec.msgpack.encode({"count": 5})
        assert rows[0].metadata == {"handled": 5}
        assert [record.checkpoint_id for record in await journal.checkpoints("team/a", 9)] == ["c.5", "c.4"]
        assert len(await place.store.checkpoint_rows("bank", "team/b")) == 1
        await journal.close(5.0)

    async def test_pruning_goes_on_over_starts(self, place: Place) -> None:
        options = JournalOptions(kept_checkpoints=2)
        for number in range(1, 5):
            store = await place.restart()
            journal = await store.open_journal("bank", options=options)
            journal.append(checkpoint("team/a", number))
            await journal.close(5.0)

        rows = await place.store.checkpoint_rows("bank", "team/a")
        assert [row.checkpoint_id for row in rows] == ["c.4", "c.3"]
