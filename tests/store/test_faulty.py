"""What a plan does to requests to a database: which of them it strikes, and what the database sees."""

from __future__ import annotations

from typing import Any

import anyio
import cbor2
import pytest

from sentient_core.errors import StoreRefused, StoreUnavailable
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Rule
from sentient_core.store.faulty import execute
from sentient_core.store.wire import call_request, read_exact, request, use_request

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
