"""Who is started where another has just ended: it goes on from its last checkpoint, committed or not yet."""

from __future__ import annotations

import asyncio

import anyio

from sentient_core import ActorSystem
from sentient_core.store import SurrealStore
from tests.probes import Add, Counter, Total
from tests.store.samples import Faults, is_commit


async def test_it_waits_for_a_checkpoint_that_is_on_its_way(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    totals: list[int] = []
    is_held = False

    async def hold(request: bytes) -> None:
        while is_held and is_commit(request):  # noqa: ASYNC110 - on the store's thread, from another one
            await asyncio.sleep(0.001)

    faults.before = hold
    async with ActorSystem("test", store=faulty_store) as system:
        first = await system.spawn(Counter, name="a")
        await first.send(Add(3))
        await system.flush()

        async def start() -> None:
            second = await system.spawn(Counter, name="a")
            totals.append(await second.ask(Total(), timeout=10.0))

        is_held = True
        await first.stop()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            assert totals == []
            is_held = False

    assert totals == [3]
