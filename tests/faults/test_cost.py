"""What the fault points cost a system that has no plan: counted in the interpreter's instructions."""

from __future__ import annotations

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.bench.instructions import FAULT_POINTS, Instructions
from tests.probes import Add, Counter, DurableCounter, Total, VolatileCounter

MESSAGES = 100


@pytest.mark.parametrize("cls", [VolatileCounter, Counter, DurableCounter])
async def test_without_a_plan_tells_and_asks_spend_less_than_a_hundredth_on_it(
    cls: type[Counter],
) -> None:
    async with ActorSystem("test", store=MemoryStore(), watchdog=None) as system:
        counter = await system.spawn(cls, name="counter")
        await counter.ask(Total(), timeout=5)
        with Instructions() as tells:
            for _ in range(MESSAGES):
                counter.tell(Add(1))
            await anyio.sleep(0.001)
        with Instructions() as asks:
            for _ in range(MESSAGES):
                await counter.ask(Total(), timeout=5)
        assert await counter.ask(Total(), timeout=5) == MESSAGES

    for counted in (tells, asks):
        assert counted.all > 30 * MESSAGES  # it did count
        of_points = counted.on_lines_with(FAULT_POINTS, "sentient_core")
        assert of_points < counted.all / 100, (of_points, counted.all)
