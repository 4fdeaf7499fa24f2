"""Durable actors on a database on disk that goes away, and over restarts of the system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog

from sentient_core import Actor, ActorSystem, JournalOptions, Request, SurrealStore, handles
from tests.probes import Log
from tests.store.samples import Faults


class Add(msgspec.Struct, frozen=True):
    amount: int


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Ball(msgspec.Struct, frozen=True):
    to: Any


class Account(Actor):
    durability = "durable"
    passivate_after = 0.05

    class State(msgspec.Struct):
        total: int = 0
        hits: int = 0

    state: State

    def __init__(self, log: Log | None = None) -> None:
        self.log = log or Log()

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total

    @handles
    def play(self, message: Ball) -> None:
        self.state.hits += 1
        self.log("hit")
        message.to.tell(Ball(self.context.ref))


async def test_an_outage_of_the_database_holds_durable_actors_and_loses_nothing(tmp_path: Path) -> None:
    faults, heard, log = Faults(), Log(), Log()
    url = f"surrealkv://{tmp_path}/db"
    with structlog.testing.capture_logs(), anyio.fail_after(60):
        async with (
            SurrealStore(url, connect=faults.connect) as store,
            ActorSystem("bank", store=store, journal=JournalOptions(tail_bytes=40_000)) as system,
            anyio.create_task_group() as tasks,
        ):
            system.alerts.subscribe(lambda alert: heard(alert.alert))
            a = await system.spawn(Account, log, name="a")
            b = await system.spawn(Account, log, name="b")
            await a.send(Add(1))
            faults.fail = lambda _: True
            a.tell(Ball(b))
            await heard.until("store outage")
            for _ in range(50):
                tasks.start_soon(a.send, Add(1))
            await anyio.sleep(0.2)
            assert log.lines.count("hit") < 1_000
            hits = log.lines.count("hit")

            faults.fail = lambda _: False

            await log.until("hit", hits + 200)
            while await a.ask(Total(), timeout=10) < 51:  # noqa: ASYNC110 - it is the database that is waited for
                await anyio.sleep(0.01)
            await b.stop()

        async with SurrealStore(url) as store, ActorSystem("bank", store=store) as system:
            a = await system.spawn(Account, name="a")
            assert await a.ask(Total(), timeout=10) == 51


async def test_virtual_actors_come_and_go_with_their_turns_on_the_way_to_disk(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        for start in (1, 2):
            async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
                refs = [await system.get_or_spawn(Account, str(number)) for number in range(10)]
                for _ in range(20):
                    for ref in refs:
                        ref.tell(Add(1))
                    refs[0].stop()
                    refs[1].stop()
                    await anyio.sleep(0.01)
                await anyio.sleep(0.2)
                totals = [await ref.ask(Total(), timeout=10) for ref in refs]
                assert totals == [20 * start] * 10


async def test_a_redriven_letter_keeps_its_id_and_counts_its_attempts_on_disk(tmp_path: Path) -> None:
    log, url = Log(), f"surrealkv://{tmp_path}/db"

    class Fails(Account):
        @handles
        def add(self, message: Add) -> None:
            self.log("failed")
            raise ValueError

    with structlog.testing.capture_logs(), anyio.fail_after(60):
        async with ActorSystem("bank", store=url) as system:
            ref = await system.spawn(Fails, log, name="a")
            ref.tell(Add(1))
            assert await ref.ask(Total(), timeout=10) == 0
            (letter,) = await system.dead_letters.list()
            ref.pause()
            await system.dead_letters.redrive(letter.message_id)
            await system.flush()

        async with ActorSystem("bank", store=url) as system:
            ref = await system.spawn(Fails, log, name="a")
            await log.until("failed", 2)
            assert await ref.ask(Total(), timeout=10) == 0
            (again,) = await system.dead_letters.list()

    assert (again.message_id, again.status, again.attempts) == (letter.message_id, "open", 2)
