"""The books: nothing has to be believed, every message is followed by its id."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from random import Random

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store import JournalOptions, SurrealStore
from sentient_core.store.accounts import ACCEPTED, FORGOTTEN, HANDLED, Books, Carried, Line, redriven
from sentient_core.store.records import Settled, full_id
from sentient_core.testing.store_conformance import AuditConformance
from sentient_core.testing.store_conformance.audits import ALL_ACCOUNTS
from sentient_core.testing.store_conformance.reference import Reference
from tests.conftest import ONCE
from tests.long import few
from tests.store.places import Database, databases

database = databases("memory", "mem", "surrealkv", "ws")


class TestAudits(AuditConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

    @pytest.fixture(params=few(range(3), 1))
    def seed(self, request: pytest.FixtureRequest) -> int:
        seed: int = request.param
        return seed


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
        books_of((ACCEPTED, 1, 1), ("failed", 1, 1), (redriven("failed"), 1, 1), (HANDLED, 1, 1))
        .close([])
        .actors
    )

    assert (actor.sent, actor.handled, actor.dead_lettered) == (1, 1, 0)
    assert actor.is_balanced


def test_a_refused_message_that_is_redriven_is_sent_only_then() -> None:
    (actor,) = books_of((redriven(""), 1, 1), (HANDLED, 1, 1)).close([]).actors

    assert (actor.sent, actor.handled, actor.dead_lettered) == (1, 1, 0)
    assert actor.is_balanced


def test_what_was_pending_for_a_forgotten_actor_is_not_missing() -> None:
    assert books_of((ACCEPTED, 1, 1), (FORGOTTEN, 0, 0)).close([]).actors == ()
    books = books_of((ACCEPTED, 1, 1), (HANDLED, 1, 1), (ACCEPTED, 1, 2), (FORGOTTEN, 0, 0))

    books.enter({"a": ((ACCEPTED, 1, 3),)})
    (actor,) = books.close([("a", 1, 3)]).actors

    assert (actor.sent, actor.handled, actor.pending) == (2, 1, 1)


def test_nameless_actors_of_one_parent_are_counted_together() -> None:
    books = Books()
    for number in range(1, 4):
        lines = ((ACCEPTED, 1, number), (HANDLED, 1, number))
        books.enter({f"bank/$1.{number}": lines, f"bank/$1.{number}/clerk": lines})
    books.enter({"bank/$1.9": ((ACCEPTED, 1, 9), (ACCEPTED, 1, 10))})
    books.enter({"bank/$1.9": ((FORGOTTEN, 0, 0),), "$1.8": ((ACCEPTED, 1, 11),)})

    audit = books.close([])

    assert [(actor.path, actor.sent, actor.handled) for actor in audit.actors] == [
        ("$*", 1, 0),
        ("bank/$*", 6, 6),
    ]
    assert audit.missing == ("1.11",)


@given(st.randoms(use_true_random=False), st.lists(st.booleans(), max_size=40))
def test_carried_forward_anywhere_the_books_say_the_same(chance: Random, is_carried: list[bool]) -> None:
    books, carried = Books(), Books()
    pending: set[tuple[str, int, int]] = set()
    dead: list[tuple[str, int, int]] = []
    for seq, carries in enumerate(is_carried):
        window: dict[str, tuple[Line, ...]] = {}
        for path in ("a", "b/$1.2", "b/$1.3"):
            lines: list[Line] = [(ACCEPTED, 1, seq)]
            pending.add((path, 1, seq))
            for key in sorted(key for key in pending if key[0] == path and chance.random() < 0.4):
                what = chance.choice((HANDLED, "failed", "expired"))
                lines.append((what, *key[1:]))
                pending.remove(key)
                if what == "failed":
                    dead.append(key)
            if dead and dead[0][0] == path and chance.random() < 0.3:
                lines.append((redriven("failed"), *dead[0][1:]))
                pending.add(dead.pop(0))
            if chance.random() < 0.1:
                lines.append((HANDLED, 9, seq))  # from nowhere
            if chance.random() < 0.05:
                lines.append((FORGOTTEN, 0, 0))
                pending -= {key for key in pending if key[0] == path}
                dead = [key for key in dead if key[0] != path]
            window[path] = tuple(lines)
        books.enter(window)
        carried.enter(window)
        if carries:
            row, carried = carried.carry(), Books()
            carried.start_from(msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=Carried))
    in_inbox = {key for key in pending if chance.random() < 0.9}

    assert carried.close(in_inbox) == books.close(in_inbox)


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


async def test_many_windows_become_one_row_and_what_they_were_is_counted(tmp_path: Path) -> None:
    store = SurrealStore(f"surrealkv://{tmp_path}/db")
    journal = await store.open_journal("bank", options=JournalOptions(retention=None))
    reference = Reference(Random(0))
    reference.epoch = journal.epoch
    for _ in range(23):
        journal.append(reference.accept("a"))
        await journal.flush()

    few = msgspec.structs.replace(ALL_ACCOUNTS, batch_rows=5)
    removed = (await journal.prune(few)).accounts
    again = (await journal.prune(few)).accounts

    counts, totals = await store.query(
        "SELECT count() FROM account GROUP ALL; SELECT rows, bytes FROM pruned:['bank', 'account']"
    )
    assert counts[0]["count"] == 1
    assert totals == [{"rows": 23, "bytes": removed.bytes}]
    assert (removed.rows, again.rows) == (23, 0)
    assert "23 sent" in str(await store.audit("bank"))
    await journal.close(5)
    await store.close()


@ONCE
async def test_a_damaged_row_is_named_and_never_pruned(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    store = SurrealStore(url)
    journal = await store.open_journal("bank", options=JournalOptions(retention=None))
    reference = Reference(Random(0))
    reference.epoch = journal.epoch
    for _ in range(3):
        journal.append(reference.accept("a"))
        await journal.flush()
    (ids,) = await store.query("SELECT VALUE id FROM account ORDER BY id")
    await store.query("UPDATE $id SET lines = $torn", id=ids[1], torn=b"\x81\xa1a\x91")

    damaged = await store.audit("bank")
    pruned = await journal.prune(ALL_ACCOUNTS)

    named = f"account:['bank', {ids[1].key[1]}]"
    assert damaged.damaged == (named,)
    assert damaged.doubled == ("1.2",)  # it is pending, and nothing says that it was accepted
    assert "damaged rows: " + named in str(damaged)
    assert pruned.accounts.rows == 1
    assert await store.audit("bank") == damaged
    await journal.close(5)
    await store.close()

    done = await anyio.run_process(
        [sys.executable, "-P", "-m", "sentient_core", "audit", "--store", url, "--json"], check=False
    )
    assert done.returncode == 1, done.stderr.decode()
    assert json.loads(done.stdout)["systems"]["bank"]["damaged"] == [named]
    assert b"Traceback" not in done.stderr


@ONCE
async def test_the_command_audits_every_system_of_a_store(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    store = SurrealStore(url)
    for name in ("bank", "shop"):
        journal = await store.open_journal(name)
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        journal.append(reference.accept("a"))
        await journal.close(5)
    await store.query("DELETE inbox:['shop', 'a', 1, 1]")
    await store.close()
    command = [sys.executable, "-P", "-m", "sentient_core", "audit", "--store", url]

    both = await anyio.run_process(command, check=False)
    one = await anyio.run_process([*command, "--system", "bank"], check=False)
    none = await anyio.run_process([*command, "--system", "pub"], check=False)

    assert (both.returncode, one.returncode, none.returncode) == (1, 0, 2)
    assert b"shop: 1 sent" in both.stdout
    assert b"missing: 1.1" in both.stdout
    assert b"shop" not in one.stdout


@ONCE
async def test_killed_while_accounts_are_carried_the_audit_is_the_same(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/db"
    for moment in (1, 2, 3, 4):
        child = await anyio.run_process(
            [sys.executable, "-P", "-c", _CARRYING_CHILD, url, str(moment)], check=False
        )
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

        async with SurrealStore(url) as store:
            audit = await store.audit("bank")
            assert audit.is_balanced, audit
            assert "60 sent = 30 handled" in str(audit)
            (counts,) = await store.query("SELECT count() FROM account GROUP ALL")
            assert 1 < counts[0]["count"] <= 61


async def carry_and_die(url: str, moment: int) -> None:
    """Of a child: dies while the `moment`-th batch is carried, or when its answer is there."""
    from sentient_core.store.engine import Client, embedded  # noqa: PLC0415 - for the child alone

    batches = 0

    class Dying:
        def __init__(self, client: Client) -> None:
            self.connect, self.close, self._client = client.connect, client.close, client

        async def execute(self, cbor_request: bytes) -> bytes:
            nonlocal batches
            batches += b"carried_to = $last" in cbor_request
            if batches == moment and moment % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await self._client.execute(cbor_request)
            if batches == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    store = SurrealStore(url, connect=lambda address: Dying(embedded(address)))
    journal = await store.open_journal("bank", options=JournalOptions(retention=None))
    if not (await store.audit("bank")).actors:
        reference = Reference(Random(0))
        reference.epoch = journal.epoch
        for _ in range(30):
            journal.append(reference.accept("a"))
            journal.append(reference.accept("a"))
            await journal.flush()
            journal.append(Settled("a", reference.seq))
            await journal.flush()
    await journal.prune(msgspec.structs.replace(ALL_ACCOUNTS, batch_rows=5))


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


_CARRYING_CHILD = """
import sys
from anyio import run
from tests.store.test_accounts import carry_and_die
run(carry_and_die, sys.argv[1], int(sys.argv[2]))
"""

_CHILD = """
import sys
from anyio import run
from tests.store.test_accounts import accept_and_die
run(accept_and_die, sys.argv[1])
"""
