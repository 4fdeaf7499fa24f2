"""Dead letters over starts of the program and deaths of the process, in a database on disk."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorSystem,
    DeadLetterFilter,
    DeadLetterReason,
    DeadLetterSettled,
    LetterStatus,
    Redriven,
    SurrealStore,
    handles,
)
from sentient_core.codec import digest
from tests.conftest import ONCE
from tests.probes import Log, Say


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"surrealkv://{tmp_path}/db"


class Fails(Actor):
    @handles
    def say(self, message: Say) -> None:
        raise ValueError(message.text)


class Works(Actor):
    def __init__(self, log: Log) -> None:
        self.log = log

    @handles
    def say(self, message: Say) -> None:
        self.log(message.text)


async def test_letters_are_listed_redriven_and_discarded_by_later_starts(url: str) -> None:
    async with ActorSystem("shop", store=url) as system:
        for n in range(3):
            ref = await system.spawn(Fails, name="clerk", restart="temporary")
            ref.tell(Say(str(n)))
            await anyio.wait_all_tasks_blocked()
        two, one, zero = await system.dead_letters.list(DeadLetterFilter(reason="failed"))
        await system.dead_letters.discard(one.message_id, reason="nobody wants it")

    log = Log()
    async with ActorSystem("shop", store=url) as system:
        await system.spawn(Works, log, name="clerk")
        assert [letter.message_id for letter in await system.dead_letters.list(status="open")] == [
            two.message_id,
            zero.message_id,
        ]

        assert await system.dead_letters.redrive(DeadLetterFilter(since=zero.timestamp)) == Redriven(2)

        await log.until("2")
        assert log.lines == ["0", "2"]

    async with ActorSystem("shop", store=url) as system:
        letters = await system.dead_letters.list()
        assert [(letter.status, letter.attempts) for letter in letters] == [
            (LetterStatus.REDRIVEN, 2),
            (LetterStatus.DISCARDED, 1),
            (LetterStatus.REDRIVEN, 2),
        ]
        assert letters[1].discard_reason == "nobody wants it"
        await system.spawn(Works, log, name="clerk")
        with pytest.raises(DeadLetterSettled):
            await system.dead_letters.redrive(zero.message_id)


async def test_letters_that_were_changed_by_hand_are_listed_as_what_they_say() -> None:
    async with SurrealStore("mem://") as store, ActorSystem("shop", store=store) as system:
        for n in range(3):
            ref = await system.spawn(Fails, name="clerk", restart="temporary")
            ref.tell(Say(str(n)))
            await anyio.wait_all_tasks_blocked()
        two, one, zero = await system.dead_letters.list()
        for letter, field in ((zero, "reason"), (two, "status")):
            sql = f"UPDATE dead_letter SET {field} = 'odd' WHERE message_id = $id"
            assert await store.query(sql, id=letter.message_id) != [[]]

        listed = await system.dead_letters.list()
        with pytest.raises(DeadLetterSettled, match="odd"):
            await system.dead_letters.redrive(two.message_id)
        log = Log()
        await system.spawn(Works, log, name="clerk")
        assert await system.dead_letters.redrive(DeadLetterFilter()) == Redriven(2)
        await log.until("1")

    assert [(letter.message_id, letter.reason, letter.status) for letter in listed] == [
        (two.message_id, DeadLetterReason.FAILED, "odd"),
        (one.message_id, DeadLetterReason.FAILED, LetterStatus.OPEN),
        (zero.message_id, "odd", LetterStatus.OPEN),
    ]
    assert log.lines == ["0", "1"]


class Poisoned(Actor):
    """Fails twice with everything, and saves what it has counted."""

    max_attempts = 2

    class State(msgspec.Struct):
        tries: int = 0

    state: State

    @handles
    async def say(self, message: Say) -> None:
        self.state.tries += 1
        if self.state.tries == 1:
            await self.checkpoint()
        raise ValueError(message.text)


async def test_a_quarantined_letter_is_found_by_later_starts_with_its_evidence(url: str) -> None:
    async with ActorSystem("shop", store=url) as system:
        ref = await system.spawn(Poisoned, name="clerk")
        async with system.dead_letters.follow() as new:
            ref.tell(Say("x"))
            told = await anext(aiter(new))

    log = Log()
    async with ActorSystem("shop", store=url) as system:
        (letter,) = await system.dead_letters.list(DeadLetterFilter(reason="quarantined"))
        assert (letter.attempts, letter.tries, letter.cause) == (1, 2, "ValueError: x")
        assert letter.traceback is not None
        assert "raise ValueError(message.text)" in letter.traceback
        assert (letter.traceback, letter.state_digest, letter.checkpoint_id) == (
            told.traceback,
            told.state_digest,
            told.checkpoint_id,
        )
        assert letter.state_digest == digest(msgspec.msgpack.encode(Poisoned.State(2))).hex()
        (checkpoint,) = await system.store.checkpoint_rows("shop", "clerk")
        assert checkpoint.checkpoint_id == letter.checkpoint_id
        (alert,) = await system.store.events("shop", event_type="system_alert")
        assert (alert.payload["tries"], alert.payload["message_id"]) == (2, letter.message_id)

        await system.spawn(Works, log, name="clerk")
        assert await system.dead_letters.redrive(DeadLetterFilter(reason="quarantined")) == Redriven(1)
        await log.until("x")


REDRIVER = """
import os, signal, sys, anyio
from sentient_core import ActorSystem, SurrealStore
from tests.probes import Log, Say
from tests.store.samples import Faults, is_commit, is_settlement
from tests.test_letters_on_disk import Works

url, point, backend = sys.argv[1:]
when, what = point.split(" ")
is_it = {"commit": is_commit, "settlement": is_settlement}[what]
faults = Faults()
left = 4

def die(request):
    global left
    if is_it(request):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    return False

async def main():
    store = SurrealStore(url, connect=faults.connect)
    async with ActorSystem("shop", store=store) as system:
        await system.spawn(Works, Log(), name="clerk")
        letters = await system.dead_letters.list()
        setattr(faults, {"before": "fail", "after": "lose"}[when], die)
        for letter in letters:
            await system.dead_letters.redrive(letter.message_id)
            print(letter.message_id, flush=True)

anyio.run(main, backend=backend)
"""


@ONCE
@pytest.mark.parametrize("what", ["commit", "settlement"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_death_while_letters_are_redriven_leaves_each_redriven_or_open(
    url: str, when: str, what: str, anyio_backend_name: str
) -> None:
    async with ActorSystem("shop", store=url) as system:
        gone = await system.spawn(Works, Log(), name="clerk")
        await gone.stop()
        for n in range(20):
            gone.tell(Say(str(n)))

    dead = await anyio.run_process(
        [sys.executable, "-c", REDRIVER, url, f"{when} {what}", anyio_backend_name],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    acknowledged = set(dead.stdout.decode().split())

    log = Log()
    async with ActorSystem("shop", store=url) as system:
        await system.spawn(Works, log, name="clerk")
        redriven = {letter.message_id for letter in await system.dead_letters.list(status="redriven")}
        assert acknowledged <= redriven
        assert len(redriven) <= len(acknowledged) + 1  # the one under way may have been committed

        rest = await system.dead_letters.redrive(DeadLetterFilter())

        assert rest == Redriven(20 - len(redriven))
        letters = await system.dead_letters.list()
        assert {(letter.status, letter.attempts) for letter in letters} == {(LetterStatus.REDRIVEN, 2)}
        assert len(letters) == 20
