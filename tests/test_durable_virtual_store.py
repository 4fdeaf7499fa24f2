"""Durable virtual actors: what the instance before has done is there for the next one, committed or not."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, Request, SurrealStore, handles
from tests.probes import Log
from tests.store.samples import Faults, is_commit


class Add(Request[int], frozen=True):
    """Count one more."""


class Sum(Actor):
    """Counts; has an instance only while there is something to do."""

    durability = "durable"
    passivate_after = 0.01
    log = Log()

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> int:
        self.state.total += 1
        return self.state.total

    def on_start(self) -> None:
        self.log("starts")

    def on_stop(self) -> None:
        self.log("stops")


async def test_an_activation_waits_for_the_commits_of_the_instance_before(tmp_path: Path) -> None:
    faults, goes_on = Faults(), threading.Event()
    goes_on.set()
    Sum.log = log = Log()

    async def hold(request: bytes) -> None:
        while is_commit(request) and not goes_on.is_set():  # noqa: ASYNC110 - the other thread's event
            await asyncio.sleep(0.001)

    faults.before = hold
    async with (
        SurrealStore(f"surrealkv://{tmp_path}/db", connect=faults.connect) as store,
        ActorSystem("bank", store=store) as system,
        anyio.create_task_group() as tasks,
    ):
        ref = await system.get_or_spawn(Sum, "a")
        answers: list[int] = []

        async def add() -> None:
            answers.append(await ref.ask(Add(), timeout=30))

        goes_on.clear()
        tasks.start_soon(add)
        await log.until("stops")  # its turn is in the journal's hands, and not committed
        tasks.start_soon(add)
        await anyio.sleep(0.05)  # as long as reading the store would take

        goes_on.set()
        with anyio.fail_after(30):
            while len(answers) < 2:  # noqa: ASYNC110 - both tasks
                await anyio.sleep(0.001)
        assert answers == [1, 2]
        audit = await system.audit()
        assert audit.is_balanced, audit
