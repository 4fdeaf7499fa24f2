"""The same seed gives the same faults again: in other processes, beside other systems."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import logging
import anyio, structlog
from sentient_core import ActorSystem, MemoryStore
from sentient_core.faults import FaultPlan, Rule
from sentient_core.testing.virtual_time import virtual_backend
from tests.probes import Add, Counter, DurableCounter, Total, VolatileCounter

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
RULES = (
    Rule(point="mailbox_put", action="duplicate", probability=0.2, message_type="Add"),
    Rule(point="mailbox_get", action="drop", probability=0.1, message_type="Add"),
    Rule(point="mailbox_get", action="reorder", probability=0.3, message_type="Add"),
    Rule(point="receive", action="raise", probability=0.1, message_type="Add"),
    Rule(point="receive", action="delay", seconds=0.5, probability=0.2),
    Rule(point="start", action="delay", seconds=0.5, probability=0.5),
    Rule(point="checkpoint", action="raise", probability=0.1),
    Rule(point="store_append", action="raise", probability=0.1),
    Rule(point="store_committed", action="delay", seconds=0.1, probability=0.2),
    Rule(point="store_read", action="delay", seconds=0.1, probability=0.5),
)

async def run(seed, injected):
    plan = FaultPlan(seed, RULES)
    async with ActorSystem("test", store=MemoryStore(), faults=plan, watchdog=None) as system:
        actors = []
        for cls in (VolatileCounter, Counter, DurableCounter):
            actors.append(await system.spawn(cls, name=cls.__name__, restart="permanent"))
        for amount in range(8):
            for actor in actors:
                actor.tell(Add(amount))
            await anyio.sleep(60)
        injected[seed] = system.faults.injected

async def main():
    injected = {}
    async with anyio.create_task_group() as tasks:  # several systems in one process, of one name
        for seed in (7, 8):
            tasks.start_soon(run, seed, injected)
    for seed in (7, 8):
        print(seed, len(injected[seed]), *injected[seed], sep="\\n")

for name in ("asyncio", "trio"):
    backend, options = virtual_backend(name)
    anyio.run(main, backend=backend, backend_options=options)
    print("--")
"""


def run(hash_seed: int) -> list[str]:
    told = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
    )
    return told.stdout.split("--\n")


def test_the_same_seed_gives_the_same_faults_in_every_process_and_on_both_event_loops() -> None:
    first, second = run(1), run(2)

    assert first == second
    assert first[0] == first[1]
    assert first[0].count(" (rule ") > 20
