"""What is stored was changed by hand, removed or torn: said loudly, and nothing else is given up for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorSystem,
    Alert,
    ChildSpec,
    DeadLetterReason,
    Fenced,
    JournalOptions,
    NotRedrivable,
    ReplyUnreadable,
    Request,
    StoreDamaged,
    Supervisor,
    handles,
)
from sentient_core.store import SurrealStore
from sentient_core.store.wire import RecordId
from tests.conftest import ONCE
from tests.store.samples import Faults, event, is_rows, is_settlement

pytestmark = ONCE  # what is about the rows alone; the actors are started on both loops elsewhere


class Add(msgspec.Struct, frozen=True):
    amount: int


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Save(msgspec.Struct, frozen=True):
    """Keep the state as it is now."""


class Remind(Request[None], frozen=True):
    """Set a durable timer for a time that does not come."""


class Account(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total

    @handles
    def remind(self, message: Remind) -> None:
        self.context.timers.once("later", 1e6, Add(1_000), durable=True)


class Bank(Supervisor):
    children = (ChildSpec(Account, name="a"), ChildSpec(Account, name="b"))


async def leave_pending(store: SurrealStore, *amounts: int) -> None:
    """`a` has the total 1 and a timer, and these amounts are pending."""
    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        a = system.get("bank/a")
        await a.send(Add(1))
        await a.ask(Remind(), timeout=60)
        a.pause()
        for amount in amounts:
            await a.send(Add(amount))
        await system.flush()


async def watched(system: ActorSystem) -> list[Alert]:
    """All alerts from now on."""
    heard: list[Alert] = []
    system.alerts.subscribe(heard.append)
    return heard


async def alert_events(store: SurrealStore) -> list[str]:
    rows = await store.events("bank", event_type="system_alert", limit=100)
    return [row.payload["alert"] for row in rows]


async def leave_tail(store: SurrealStore, faults: Faults) -> list[int]:
    """Ten sends to `a`, committed one by one and not projected. Returns the numbers of their entries."""
    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        await system.flush()
    faults.hang = lambda request: is_rows(request) or is_settlement(request)
    async with ActorSystem("bank", store=store, drain_patience=0.05) as system:
        await system.spawn(Bank, name="bank")
        for _ in range(10):
            await system.get("bank/a").send(Add(1))
    faults.hang = lambda _: False
    (owner,) = await store.query("SELECT VALUE projected FROM ownership:['bank']")
    (ids,) = await store.query("SELECT VALUE id FROM journal WHERE id[1] > $p", p=owner[0])
    return sorted(id_.key[1] for id_ in ids)


async def everything(store: SurrealStore) -> list[Any]:
    return await store.query(
        "SELECT * FROM journal; SELECT * FROM ownership; SELECT * FROM inbox; SELECT * FROM state_checkpoint"
    )


# The state of an actor


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": b"\x81\xa5total\xcd\x03\xe8"}, "digest"),
        ({"state": b""}, "digest"),
        ({"digest": b""}, "digest"),
        ({"kind": "nonsense"}, "its kind is none"),
        ({"schema_version": 0}, "schema_version"),
        ({"tag": "Elsewhere"}, "Elsewhere"),
    ],
    ids=str,
)
async def test_an_actor_whose_state_was_changed_is_quarantined_and_its_messages_stay(
    store: SurrealStore, changes: dict[str, Any], reason: str
) -> None:
    await leave_pending(store, 2, 3)
    (found,) = await store.query("SELECT * FROM state_checkpoint:['bank', 'bank/a', 'state']")
    await store.query("UPDATE $id MERGE $changes", id=found[0]["id"], changes=changes)

    with structlog.testing.capture_logs() as logs:
        async with ActorSystem("bank", store=store) as system:
            heard = await watched(system)
            await system.spawn(Bank, name="bank")

            assert await system.get("bank/b").ask(Total(), timeout=60) == 0
            assert system.get("bank/b").incarnation == 2
            assert system.statistics().restarts == 0
            assert list(system.dead_letters) == []
            assert [alert.path for alert in heard] == ["bank/a"]
            assert reason in str(heard[0].cause)
    assert [line for line in logs if line["event"] == "checkpoint rejected"] != []
    before = {name: found[0][name] for name in ("state", "digest", "kind", "tag", "schema_version")}
    await store.query("UPDATE $id MERGE $before", id=found[0]["id"], before=before)

    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        assert await system.get("bank/a").ask(Total(), timeout=60) == 6
        assert (await system.audit()).is_balanced


async def test_a_state_that_claims_to_be_a_turns_is_neither_pruned_nor_in_the_way_of_rows(
    store: SurrealStore,
) -> None:
    class Kept(Account):
        @handles
        async def save(self, message: Save) -> None:
            await self.checkpoint()

    async with ActorSystem("bank", store=store) as system:
        await (await system.spawn(Kept, name="a")).send(Add(1))
    await store.query("UPDATE state_checkpoint SET kind = 'turn'")

    async with ActorSystem("bank", store=store) as system:
        a = await system.spawn(Kept, name="a")
        for _ in range(5):
            await a.send(Save())
            await a.send(Add(1))
        assert await a.ask(Total(), timeout=60) == 6
        await system.flush()
    async with ActorSystem("bank", store=store) as system:
        a = await system.spawn(Kept, name="a")
        assert await a.ask(Total(), timeout=60) == 6


# Messages and timers


def torn(record: bytes) -> bytes:
    return record[:-1]


def emptied(_record: bytes) -> bytes:
    return b""


def edited(record: bytes) -> bytes:
    return record.replace(b"\xa6amount\x02", b"\xa6amount\x63")


@pytest.mark.parametrize(
    ("record", "seen"),
    [
        (torn, None),
        (emptied, None),
        (edited, {"amount": 0x63}),
    ],
    ids=["torn", "empty", "edited"],
)
async def test_a_pending_message_that_was_changed_is_a_dead_letter_with_what_is_left_and_an_alert(
    store: SurrealStore, record: Callable[[bytes], bytes], seen: object
) -> None:
    await leave_pending(store, 2, 3)
    (rows,) = await store.query("SELECT id, record FROM inbox")
    row = min(rows, key=lambda row: row["id"].key[2:])
    assert row["record"] != record(row["record"])
    await store.query("UPDATE $id SET record = $record", id=row["id"], record=record(row["record"]))
    message_id = ".".join(map(str, row["id"].key[2:]))

    async with ActorSystem("bank", store=store) as system:
        heard = await watched(system)
        await system.spawn(Bank, name="bank")

        assert await system.get("bank/a").ask(Total(), timeout=60) == 4
        assert [(alert.alert, alert.path) for alert in heard] == [("stored message damaged", "bank/a")]
        (letter,) = await system.dead_letters.list()
        assert (letter.message_id, letter.reason) == (message_id, DeadLetterReason.UNHANDLED)
        assert (letter.message_type, letter.recipient) == ("Add", "bank/a")
        assert "do not match its digest" in letter.cause
        audit = await system.audit()
        assert audit.is_balanced
        if seen is None:
            with pytest.raises(NotRedrivable, match="no Add any more"):
                await system.dead_letters.redrive(message_id)
        else:  # whoever redrives it has seen it
            assert letter.payload == seen
            await system.dead_letters.redrive(message_id)
            assert await system.get("bank/a").ask(Total(), timeout=60) == 4 + 0x63
    assert "stored message damaged" in await alert_events(store)


async def test_a_durable_timer_that_was_changed_is_named_by_every_start_and_stays_as_it_is(
    store: SurrealStore,
) -> None:
    await leave_pending(store)
    await store.query("UPDATE timer SET record = <bytes>'nonsense'")

    for _ in range(2):
        async with ActorSystem("bank", store=store) as system:
            heard = await watched(system)
            await system.spawn(Bank, name="bank")
            assert await system.get("bank/a").ask(Total(), timeout=60) == 1
            assert [(alert.alert, alert.path) for alert in heard] == [("durable timer unusable", "bank/a")]
            assert "'later'" in str(heard[0].cause)
    assert await store.query("SELECT VALUE record FROM timer") == [[b"nonsense"]]

    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        await system.get("bank/a").ask(Remind(), timeout=60)
    async with ActorSystem("bank", store=store) as system:
        heard = await watched(system)
        await system.spawn(Bank, name="bank")
        assert heard == []


async def test_an_account_that_was_changed_is_named_by_the_audit_and_nothing_else_minds(
    store: SurrealStore,
) -> None:
    await leave_pending(store, 2)
    await store.query("UPDATE account SET lines = <bytes>'nonsense'")

    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        assert await system.get("bank/a").ask(Total(), timeout=60) == 3
        audit = await system.audit()
        assert not audit.is_balanced
        assert all(name.startswith("account:") for name in audit.damaged)
        assert audit.damaged


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "nonsense"}, {"reply": b""}, {"reply": b"\xa3abc"}, {"outcome": "error", "reply": b"\xc1"}],
    ids=str,
)
async def test_what_was_recorded_of_an_id_is_changed_and_its_message_is_not_applied_again(
    store: SurrealStore, changes: dict[str, Any]
) -> None:
    async with ActorSystem("bank", store=store) as system:
        a = await system.spawn(Account, name="a")
        await a.send(Add(1), message_id="add")
        assert await a.ask(Total(), timeout=60, message_id="total") == 1
    await store.query("UPDATE dedupe MERGE $changes", changes=changes)

    async with ActorSystem("bank", store=store) as system:
        a = await system.spawn(Account, name="a")
        await a.send(Add(1), message_id="add")
        with pytest.raises(ReplyUnreadable):
            await a.ask(Total(), timeout=60, message_id="total")
        assert await a.ask(Total(), timeout=60, message_id="another") == 1
        assert await a.ask(Total(), timeout=60) == 1
        assert system.statistics().restarts == 0


async def test_an_origin_that_is_none_counts_as_spawned(store: SurrealStore) -> None:
    await leave_pending(store, 2)
    await store.query("UPDATE ownership SET origin = 'nonsense', kind = NONE WHERE id[1] = 'bank/a'")

    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        assert await system.get("bank/a").ask(Total(), timeout=60) == 3


# The journal


@pytest.mark.parametrize("damage", ["one", "two", "last but one", "torn", "emptied"])
async def test_a_journal_with_a_hole_is_refused_and_left_alone(
    faulty_store: SurrealStore, faults: Faults, damage: str
) -> None:
    store = faulty_store
    numbers = await leave_tail(store, faults)
    wanted = {"one": numbers[3:4], "two": numbers[3:5], "last but one": numbers[-2:-1]}
    hit = wanted.get(damage, numbers[3:4])
    ids = [RecordId("journal", ["bank", number]) for number in hit]
    if damage in wanted:
        await store.query("DELETE $ids", ids=ids)
    else:
        body = b"" if damage == "emptied" else b"\x92\x01"
        await store.query("UPDATE $ids SET body = $body", ids=ids, body=body)
    before = await everything(store)

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="accepts_damage=True") as caught:
            async with ActorSystem("bank", store=store):
                pass
        assert all(str(number) in caught.value.why for number in hit)
        assert ("missing" if damage in wanted else "torn") in caught.value.why
    assert await everything(store) == before

    with structlog.testing.capture_logs() as logs:
        async with ActorSystem("bank", store=store, journal=JournalOptions(accepts_damage=True)) as system:
            await system.spawn(Bank, name="bank")
            await system.get("bank/a").send(Add(100))
            assert await system.get("bank/a").ask(Total(), timeout=60) >= 100
    assert {line["number"] for line in logs if "cannot be read" in line["event"]} == set(hit)
    assert "journal damaged" in await alert_events(store)
    async with ActorSystem("bank", store=store) as system:  # it is over and done with
        await system.spawn(Bank, name="bank")
        assert await system.get("bank/a").ask(Total(), timeout=60) >= 100


async def test_a_hole_larger_than_what_is_read_at_a_time_hides_nothing(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    """A start that took it for the end would take a number that an entry behind it makes a zombie's."""
    journal = await faulty_store.open_journal("bank")
    await journal.flush()
    faults.hang = lambda request: is_rows(request) or is_settlement(request)
    for seq in range(1, 301):
        journal.append(event(seq))
        await journal.committed()
    await journal.close(0.05)
    faults.hang = lambda _: False
    (ids,) = await faulty_store.query("SELECT VALUE id FROM journal WHERE !keep")
    numbers = sorted(id_.key[1] for id_ in ids)
    await faulty_store.query(
        "DELETE journal WHERE id[1] IN $gone", gone=[n for n in numbers if n not in (numbers[0], numbers[-2])]
    )

    journal = await faulty_store.open_journal("bank")  # there is no durable actor
    assert journal.damage.startswith("entries ")
    assert "missing" in journal.damage
    assert not journal.ended_cleanly
    journal.append(event(1_000))
    await journal.flush()

    rows = await faulty_store.events("bank", limit=1_000)
    assert {row.payload["amount"] for row in rows} >= {1, 1_000}
    assert len(rows) <= 4
    await journal.close(5.0)


@pytest.mark.parametrize("moved", [-3, 4])
async def test_projected_that_was_moved_is_refused_with_where_it_was(
    faulty_store: SurrealStore, faults: Faults, moved: int
) -> None:
    store = faulty_store
    await leave_tail(store, faults)
    (before,) = await store.query("SELECT VALUE projected FROM ownership:['bank']")
    await store.query("UPDATE ownership:['bank'] SET projected += $moved", moved=moved)
    found = await everything(store)

    for _ in range(2):
        with pytest.raises(StoreDamaged, match=rf"back to {before[0]}\b"):
            async with ActorSystem("bank", store=store):
                pass
    assert await everything(store) == found
    await store.query("UPDATE ownership:['bank'] SET projected = $before", before=before[0])

    async with ActorSystem("bank", store=store) as system:
        await system.spawn(Bank, name="bank")
        assert await system.get("bank/a").ask(Total(), timeout=60) == 10


async def test_a_store_whose_owner_was_removed_is_refused(store: SurrealStore) -> None:
    await leave_pending(store, 2)
    await store.query("DELETE ownership:['bank']")

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="the row was removed"):
            async with ActorSystem("bank", store=store):
                pass
    async with ActorSystem("other", store=store) as system:
        await system.spawn(Bank, name="bank")


async def test_a_start_that_reads_while_the_owner_before_it_projects_sees_no_damage(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    first = await faulty_store.open_journal("bank")
    await first.flush()
    faults.refuse = is_rows
    for seq in range(1, 101):
        first.append(event(seq))
        await first.committed()
    read: list[bytes] = []

    async def project_meanwhile(request: bytes) -> None:
        if b"$last]" in request and b"FROM journal" in request and not read:
            read.append(request)
            faults.refuse = lambda _: False
            while first.backlog().records:  # noqa: ASYNC110 - of another thread's doing
                await asyncio.sleep(0.001)

    faults.before = project_meanwhile
    second = await faulty_store.open_journal("bank")

    assert len(read) == 1
    assert (second.damage, second.ended_cleanly) == ("", False)
    first.append(event(400))
    with pytest.raises(Fenced):
        await first.committed()
    second.append(event(500))
    await second.flush()
    rows = await faulty_store.events("bank", limit=1_000)
    assert sorted(row.payload["amount"] for row in rows) == [*range(1, 101), 500]
    await first.close(0.0)
    await second.close(5.0)
