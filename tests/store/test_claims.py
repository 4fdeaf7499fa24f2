"""Taking over from an owner that is at work: whatever it does between the steps of that."""

from __future__ import annotations

import asyncio

from sentient_core.store import SurrealStore
from tests.store.samples import Faults, event, is_settlement


async def test_an_owner_that_projects_all_while_its_tail_is_read_leaves_no_number_free(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    first = await faulty_store.open_journal("bank")
    await first.flush()
    settled, reading = asyncio.Event(), False

    async def hold(request: bytes) -> None:
        nonlocal reading
        if is_settlement(request) and not settled.is_set():
            while not reading:  # noqa: ASYNC110 - both are on the store's thread
                await asyncio.sleep(0.001)
        elif b"SELECT * FROM journal:[" in request and not reading:
            reading = True
            while first.backlog().records:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
            settled.set()

    faults.before = hold
    for seq in (1, 2, 3):
        first.append(event(seq))
        await first.committed()

    second = await faulty_store.open_journal("bank")
    second.append(event(4))
    await second.flush()
    third = await faulty_store.open_journal("bank")
    third.append(event(5))
    await third.flush()

    rows = await faulty_store.events("bank")
    assert sorted(row.payload["amount"] for row in rows) == [1, 2, 3, 4, 5]
    for journal in (first, second, third):
        await journal.close(1.0)
