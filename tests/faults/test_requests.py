"""What a plan does to requests to a database: which of them it strikes, and what the database sees."""

from __future__ import annotations

from typing import Any

import anyio
import cbor2
import pytest

from sentient_core import ActorSystem, MemoryStore, Retention
from sentient_core.errors import InvalidArgument, StoreRefused, StoreUnavailable
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Rule
from sentient_core.store.faulty import execute, faulty
from sentient_core.store.protocols import Outage
from sentient_core.store.records import Event
from sentient_core.store.row_models import RowWrite
from sentient_core.store.wire import Refusal, call_request, read_exact, request, use_request
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]

P, A = FaultPoint, FaultAction
COMMIT = request("CREATE ONLY $id SET body = $body, writer = $writer", {"id": 1, "body": b"x" * 5_000})
REQUESTS = {
    P.STORE_APPEND: COMMIT,
    P.STORE_WRITE: request("INSERT IGNORE INTO agent_event $rows", {"rows": []}),
    P.STORE_READ: request("SELECT * FROM inbox", {}),
}


class Database:
    """Answers each request with the same row, and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    async def execute(self, cbor_request: bytes) -> bytes:
        """One more."""
        self.asked += 1
        return cbor2.dumps({"id": "1", "result": [{"status": "OK", "result": [{"state": bytes(40)}]}]})


class Answering(Database):
    """Answers each with what it is told."""

    def __init__(self, result: object, status: str = "OK", **more: object) -> None:
        super().__init__()
        self._answer = cbor2.dumps({"id": "1", "result": [{"status": status, "result": result, **more}]})

    async def execute(self, cbor_request: bytes) -> bytes:
        """One more."""
        self.asked += 1
        return self._answer


def at_work(point: FaultPoint, action: FaultAction, **more: Any) -> Faults:
    return Faults(FaultPlan(1, (Rule(point=point, action=action, **more),)))


@pytest.mark.parametrize("point", REQUESTS)
async def test_a_request_comes_by_its_own_point_and_by_no_other(point: FaultPoint) -> None:
    database = Database()
    faults = at_work(point, A.RAISE, reason="pulled the plug")

    for other, asked in REQUESTS.items():
        if other is not point:
            await execute(faults, database, asked)
    assert (len(faults.injected), database.asked) == (0, 2)
    with pytest.raises(StoreUnavailable, match=f"pulled the plug, says the fault plan at {point}"):
        await execute(faults, database, REQUESTS[point])

    assert (len(faults.injected), database.asked) == (1, 2)  # and the database has not got it


async def test_what_is_struck_behind_a_commit_is_committed() -> None:
    database = Database()
    faults = at_work(P.STORE_COMMITTED, A.RAISE)

    with pytest.raises(StoreUnavailable):
        await execute(faults, database, COMMIT)

    assert database.asked == 1


@pytest.mark.parametrize("asked", [use_request("a", "b"), call_request("ping")], ids=["use", "ping"])
@pytest.mark.parametrize("point", REQUESTS)
async def test_what_is_no_statement_comes_by_no_point(point: FaultPoint, asked: bytes) -> None:
    faults = at_work(point, A.RAISE)

    await execute(faults, Database(), asked)

    assert faults.injected == ()


@pytest.mark.parametrize(
    ("action", "error"), [(A.REJECT, StoreRefused), (A.FULL, StoreUnavailable)], ids=["reject", "full"]
)
@pytest.mark.parametrize("point", [P.STORE_APPEND, P.STORE_WRITE])
async def test_a_refusal_is_an_answer_that_the_database_did_not_give(
    point: FaultPoint, action: FaultAction, error: type[Exception]
) -> None:
    database = Database()

    answer = await execute(at_work(point, action), database, REQUESTS[point])

    with pytest.raises(error):
        read_exact(answer)
    assert database.asked == 0


async def test_what_is_read_damaged_differs_in_one_bit() -> None:
    answer = await execute(at_work(P.STORE_READ, A.CORRUPT), Database(), REQUESTS[P.STORE_READ])

    [[row]] = read_exact(answer)
    assert sum(byte.bit_count() for byte in row["state"]) == 1


async def test_a_request_that_is_delayed_is_answered_then() -> None:
    database = Database()
    began = anyio.current_time()

    await execute(at_work(P.STORE_READ, A.DELAY, seconds=0.02), database, REQUESTS[P.STORE_READ])

    assert database.asked == 1
    assert anyio.current_time() - began >= 0.02


def of(point: FaultPoint, action: FaultAction, **more: Any) -> FaultPlan:
    return FaultPlan(1, (Rule(point=point, action=action, **more),))


@pytest.mark.parametrize(
    ("asked", "point"),
    [
        (COMMIT, P.STORE_APPEND),
        (request("SELECT * FROM agent_event WHERE type = $type", {"type": "please UPDATE me"}), P.STORE_READ),
        (request("BEGIN;\n  upsert $id SET n = 1;\nCOMMIT;", {}), P.STORE_WRITE),
        (
            request("SELECT updated_at, created FROM agent_state " + "WHERE x " * 900 + "; DELETE x", {}),
            P.STORE_WRITE,
        ),
        (use_request("a", "b"), None),
    ],
)
async def test_a_request_comes_by_the_point_of_what_its_statements_do(
    asked: bytes, point: FaultPoint | None
) -> None:
    points = [P.STORE_APPEND, P.STORE_READ, P.STORE_WRITE]
    faults = Faults(FaultPlan(1, tuple(Rule(point=each, action=A.DELAY, seconds=1.0) for each in points)))

    await execute(faults, Database(), asked)

    assert [fault.point for fault in faults.injected] == ([] if point is None else [point])


async def test_the_answer_of_a_commit_that_was_refused_cannot_be_lost() -> None:
    faults = Faults(of(P.STORE_COMMITTED, A.RAISE))
    refusing = Answering("it can be retried", status="ERR", kind="Query")

    await execute(faults, refusing, COMMIT)
    assert faults.injected == ()
    with pytest.raises(StoreUnavailable):
        await execute(faults, Database(), COMMIT)

    assert len(faults.injected) == 1


@pytest.mark.parametrize(("action", "error"), [(A.REJECT, Refusal), (A.FULL, StoreUnavailable)])
async def test_what_is_refused_does_not_reach_the_database_and_is_no_word_of_another_owner(
    action: FaultAction, error: type[Exception]
) -> None:
    database = Database()
    answer = await execute(Faults(of(P.STORE_APPEND, action)), database, COMMIT)

    with pytest.raises(error) as caught:
        read_exact(answer)
    assert getattr(caught.value, "kind", None) != "Thrown"
    assert database.asked == 0


async def test_a_read_without_anything_to_damage_is_not_listed() -> None:
    faults = Faults(of(P.STORE_READ, A.CORRUPT, times=1))
    asked = request("SELECT * FROM x", {})

    assert read_exact(await execute(faults, Answering([1, "text", b"abc"]), asked)) == [[1, "text", b"abc"]]
    assert faults.injected == ()
    damaged = read_exact(await execute(faults, Answering([bytes(8), bytes(9)]), asked))

    assert damaged == [[bytes(8), b"\0\0\0\0\x10\0\0\0\0"]]
    assert len(faults.injected) == 1


@pytest.mark.parametrize(("action", "error"), [(A.REJECT, StoreRefused), (A.FULL, StoreUnavailable)])
async def test_what_a_memory_store_writes_beside_its_journal_fails(
    action: FaultAction, error: type[Exception]
) -> None:
    store = MemoryStore()
    async with ActorSystem("test", store=store, faults=of(P.STORE_WRITE, action, times=2)) as system:
        with pytest.raises(error, match="fault plan"):
            await system.prune(Retention())
        with pytest.raises(error, match="fault plan"):
            await store.write_rows("test", list[RowWrite]())
        await store.write_rows("test", [])


async def journal_of(store: MemoryStore, told: list[Outage]) -> Any:
    return await store.open_journal("test", on_outage=told.append)


def something() -> Event:
    return Event("tested", 1, "a", None, None, b"\x80", 0)


async def test_a_commit_that_takes_its_time_is_no_outage_and_one_that_fails_is_one() -> None:
    for action, seconds, outages in ((A.DELAY, 1.0, 0), (A.RAISE, 0.05, 2)):
        store, told = MemoryStore(), list[Outage]()
        journal = await journal_of(store, told)
        faulty(store, of(P.STORE_APPEND, action, times=1, seconds=1.0 if action is A.DELAY else None))
        began = anyio.current_time()
        journal.append(something())
        await journal.committed()

        assert anyio.current_time() - began == pytest.approx(seconds)
        await anyio.sleep(1)  # who is told of it is so a little later
        assert len(told) == outages
        assert all("fault plan" in outage.cause for outage in told)


async def test_a_commit_begins_when_the_one_before_it_has_been_heard_of() -> None:
    store = MemoryStore()
    journal = await journal_of(store, [])
    faulty(store, of(P.STORE_COMMITTED, A.DELAY, seconds=2.0))
    heard: list[float] = []

    async def commit() -> None:
        journal.append(something())
        await journal.committed()
        heard.append(anyio.current_time() - began)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commit)
        await anyio.sleep(1)
        tasks.start_soon(commit)

    assert heard == pytest.approx([2.0, 4.0])


def test_what_is_no_plan_and_a_store_that_goes_wrong_already_are_refused() -> None:
    plan: Any = "seed = 1"
    with pytest.raises(InvalidArgument, match="plan must be a FaultPlan"):
        faulty(MemoryStore(), plan)
    with pytest.raises(InvalidArgument, match="another plan already"):
        faulty(faulty(MemoryStore(), of(P.STORE_READ, A.RAISE)), of(P.STORE_READ, A.RAISE))
