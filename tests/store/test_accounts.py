"""The books: nothing has to be believed, every message is followed by its id."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store import SurrealStore
from sentient_core.store.accounts import ACCEPTED, HANDLED, REDRIVEN, Books, Line
from sentient_core.store.records import full_id
from tests.store.test_contract import Database, database_of
from tests.store.test_estates import Reference


@pytest.fixture(params=["memory", "mem", "surrealkv", "ws"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    database = database_of(request.param, request, tmp_path)
    yield database
    await database.store.close()


def books_of(*lines: Line) -> Books:
    books = Books()
    books.enter({"a": lines})
    return books


def test_what_is_accepted_is_handled_dead_or_pending() -> None:
    books = books_of(
        *((ACCEPTED, 1, seq) for seq in range(1, 7)),
        (HANDLED, 1, 1),
        ("failed", 1, 2),
        ("quarantined", 1, 3),
        ("expired", 1, 4),
    )

    (actor,) = books.close([("a", 1, 5), ("a", 1, 6)]).actors

    assert (actor.sent, actor.handled, actor.dead_lettered) == (6, 1, 1)
    assert (actor.quarantined, actor.expired, actor.pending) == (1, 1, 2)
    assert actor.is_balanced


def test_what_is_open_and_not_pending_is_missing_by_its_id() -> None:
    audit = books_of((ACCEPTED, 2, 7), (ACCEPTED, 2, 8)).close([("a", 2, 8)])

    assert audit.missing == ("2.7",)
    assert not audit.is_balanced
    assert "DOES NOT ADD UP for a; missing: 2.7" in str(audit)


@pytest.mark.parametrize(
    "lines",
    [
        ((ACCEPTED, 1, 1), (HANDLED, 1, 1), (HANDLED, 1, 1)),
        ((ACCEPTED, 1, 1), (HANDLED, 1, 1), ("failed", 1, 1)),
        ((ACCEPTED, 1, 1), (ACCEPTED, 1, 1), (HANDLED, 1, 1)),
        ((HANDLED, 1, 1),),
    ],
)
def test_what_is_settled_or_accepted_twice_is_doubled(lines: tuple[Line, ...]) -> None:
    audit = books_of(*lines).close([])

    assert audit.doubled == ("1.1",)
    assert not audit.is_balanced


def test_what_is_settled_and_still_pending_is_doubled() -> None:
    assert books_of((ACCEPTED, 1, 1), (HANDLED, 1, 1)).close([("a", 1, 1)]).doubled == ("1.1",)


def test_a_redriven_message_is_no_dead_letter_any_more() -> None:
    (actor,) = (
        books_of((ACCEPTED, 1, 1), ("failed", 1, 1), (REDRIVEN, 1, 1), (HANDLED, 1, 1)).close([]).actors
    )

    assert (actor.sent, actor.handled, actor.dead_lettered) == (1, 1, 0)
    assert actor.is_balanced


@given(st.randoms(use_true_random=False), st.integers(0, 60))
def test_a_line_that_is_lost_or_repeated_is_always_found(chance: Random, steps: int) -> None:
    lines: list[Line] = []
    open_: list[int] = []
    for seq in range(steps + 1):
        lines.append((ACCEPTED, 1, seq))
        open_.append(seq)
        while open_ and chance.random() < 0.5:
            what = chance.choice((HANDLED, "failed", "expired"))
            lines.append((what, 1, open_.pop(chance.randrange(len(open_)))))
    pending = [("a", 1, seq) for seq in open_]
    assert books_of(*lines).close(pending).is_balanced

    place = chance.randrange(len(lines))
    damaged = [*lines[:place], *lines[place + (1 if chance.random() < 0.5 else 0) :]]
    if len(damaged) == len(lines):
        damaged.insert(place, lines[place])
    audit = books_of(*damaged).close(pending)

    assert full_id(1, lines[place][2]) in audit.missing + audit.doubled


@pytest.mark.parametrize("seed", range(3))
async def test_the_store_has_them_whatever_is_projected(database: Database, seed: int) -> None:
    chance = Random(seed)
    reference = Reference(chance)
    accepted = 0
    for start in range(3):
        store = await database.restart() if start else database.store
        journal = await store.open_journal("bank")
        reference.epoch = journal.epoch
        for _ in range(60):
            before = reference.seq_of_messages
            journal.append(reference.turn())
            accepted += reference.seq_of_messages - before
            if chance.random() < 0.1:
                await journal.flush()
        await journal.committed()

        audit = await store.audit("bank")

        assert audit.is_balanced, audit
        assert sum(actor.sent for actor in audit.actors) == accepted
        assert sum(actor.pending for actor in audit.actors) == len(reference.pending)
        await journal.close(0)


async def test_a_row_that_somebody_deletes_is_missing(tmp_path: Path) -> None:
    store = SurrealStore(f"surrealkv://{tmp_path}/db")
    journal = await store.open_journal("bank")
    reference = Reference(Random(0))
    reference.epoch = journal.epoch
    for _ in range(3):
        journal.append(reference.accept("a"))
    await journal.flush()

    await store.query("DELETE inbox:[$system, 'a', 1, 2]", system="bank")

    assert (await store.audit("bank")).missing == ("1.2",)
    await journal.close(5)
    await store.close()


async def test_an_audit_of_a_killed_process_counts_its_tail(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    child = await anyio.run_process([sys.executable, "-P", "-c", _CHILD, url], check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    done = await anyio.run_process(
        [sys.executable, "-P", "-m", "sentient_core", "audit", "--store", url], check=False
    )

    assert done.returncode == 0, done.stderr.decode()
    assert "5 sent = 0 handled" in done.stdout.decode()
    assert "5 pending: nothing is missing, nothing is doubled" in " ".join(done.stdout.decode().split())


async def accept_and_die(url: str) -> None:
    """Of a child: five messages are committed, and none is projected."""
    store = SurrealStore(url)
    journal = await store.open_journal("bank")
    reference = Reference(Random(0))
    reference.epoch = journal.epoch
    for _ in range(5):
        journal.append(reference.accept("a"))
    await journal.committed()
    os.kill(os.getpid(), signal.SIGKILL)


_CHILD = """
import sys
from anyio import run
from tests.store.test_accounts import accept_and_die
run(accept_and_die, sys.argv[1])
"""
