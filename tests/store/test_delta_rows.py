"""What is stored of large states: a whole one, and what it has become since, in a row each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    CheckpointPolicy,
    CheckpointUnusable,
    DeadLetterReason,
    Request,
    handles,
)
from sentient_core.store import Store, SurrealStore
from sentient_core.store.deltas import LEAST_BYTES
from tests.conftest import ONCE
from tests.store.samples import Faults, is_settlement

SIZE = 3 * LEAST_BYTES


class Write(Request[int], frozen=True):
    """Add a line; the reply says how many there are."""

    line: str


class Fail(Request[int], frozen=True):
    """Change everything, and raise."""


class Shrink(Request[int], frozen=True):
    """Keep the lines alone, or make the state large again."""

    size: int


class Lines(Request[list[str]], frozen=True):
    """All of them."""


class Book(Actor):
    durability = "durable"
    max_attempts = 1

    class State(msgspec.Struct):
        count: int = 0
        ballast: str = "x" * SIZE
        lines: list[str] = []
        last: str = ""

    state: State

    @handles
    def write(self, message: Write) -> int:
        self.state.lines.append(message.line)
        self.state.count += 1
        self.state.last = message.line
        return self.state.count

    @handles
    def fail(self, _message: Fail) -> int:
        self.state.ballast = "y" * SIZE
        self.state.lines.clear()
        raise ValueError("as told")

    @handles
    def shrink(self, message: Shrink) -> int:
        self.state.ballast = "z" * message.size
        return self.state.count

    @handles
    def all_lines(self, _message: Lines) -> list[str]:
        return self.state.lines


class Kept(Book):
    checkpoint_policy = CheckpointPolicy(messages=3)


async def write(book: ActorRef[Book], *lines: str) -> None:
    for line in lines:
        await book.ask(Write(line), timeout=10)


async def rows_of(store: Store, path: str = "book") -> dict[tuple[str, ...], dict[str, Any]]:
    """The rows of an actor's state, by what stands in their ids behind its path."""
    (found,) = await store.query(
        "SELECT * FROM state_checkpoint:['bank', $path, '']..=['bank', $path, []]", path=path
    )
    return {tuple(row["id"].key[2:]): row for row in found}


async def find_lines(store: Store, path: str = "book") -> list[str]:
    """What the next start finds."""
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name=path)
        return await book.ask(Lines(), timeout=10)


async def test_turns_write_what_has_changed_of_a_large_state(store: SurrealStore) -> None:
    lines = [f"line {number}" for number in range(30)]
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name="book")
        for line in lines:
            await write(book, line)
            await system.flush()
        (written,) = await store.query("SELECT * FROM written:['bank']")

    rows = await rows_of(store)
    assert {place: row["kind"] for place, row in rows.items()} == {
        ("state",): "state",
        ("state", "delta"): "delta",
    }
    whole, delta = rows["state",], rows["state", "delta"]
    assert (delta["base"], whole.get("base")) == (whole["checkpoint_id"], None)
    assert (len(whole["state"]) > SIZE, len(delta["state"]) < 1_000) == (True, True)
    assert written[0]["journal_bytes"] + written[0]["row_bytes"] < 5 * SIZE  # of thirty turns
    assert await find_lines(store) == lines


async def test_it_is_one_state_for_all_who_read_it(store: SurrealStore) -> None:
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Kept, name="book")
        await write(book, "a", "b", "c", "d")
        await system.flush()
        before = datetime.now(UTC)
        await write(book, "e")
        await system.flush()

        (now, *earlier) = await store.checkpoint_rows("bank", "book")
        state = msgspec.msgpack.decode(now.state, type=Book.State)
        assert (now.kind, state.lines, state.last) == ("state", ["a", "b", "c", "d", "e"], "e")
        assert [row.kind for row in earlier] == ["turn"]
        assert (await system.state_at("book", datetime.now(UTC))).state == state
        # An earlier one that was kept is whole, and what is written over is not.
        assert (await system.state_at("book", before)).state.lines == ["a", "b", "c"]
        named = await book.ask(Shrink(10), timeout=10)
        assert named == 5


async def test_a_restart_begins_with_the_state_before_the_failure(store: SurrealStore) -> None:
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name="book")
        await write(book, "a", "b")
        with pytest.raises(Exception, match="as told"):
            await book.ask(Fail(), timeout=10)
        await write(book, "c")
        await system.flush()
        assert [letter.reason for letter in system.dead_letters] == [DeadLetterReason.FAILED]

    assert await find_lines(store) == ["a", "b", "c"]
    assert (await rows_of(store))["state",]["incarnation"] == 2  # which begins with the whole


async def test_what_shrinks_and_grows_is_the_last_that_it_was(store: SurrealStore) -> None:
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name="book")
        for size in (SIZE, 5, SIZE, 2 * SIZE):
            await book.ask(Shrink(size), timeout=10)
            await write(book, f"at {size}")
            await system.flush()
            (row,) = [row for row in await store.checkpoint_rows("bank", "book") if row.kind == "state"]
            state = msgspec.msgpack.decode(row.state, type=Book.State)
            assert (len(state.ballast), state.last) == (size, f"at {size}")

    assert await find_lines(store) == [f"at {size}" for size in (SIZE, 5, SIZE, 2 * SIZE)]


async def test_an_old_delta_is_nothing_to_a_state_that_was_written_whole_since(store: SurrealStore) -> None:
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name="book")
        await write(book, "a", "b")
        await system.flush()
        await book.ask(Shrink(5), timeout=10)

    assert ("state", "delta") in await rows_of(store)
    assert await find_lines(store) == ["a", "b"]


async def test_what_is_in_the_journal_alone_is_found_as_well(
    faulty_store: SurrealStore, faults: Faults
) -> None:
    async with ActorSystem("bank", store=faulty_store) as system:
        book = await system.spawn(Book, name="book")
        await write(book, "a", "b")
        await system.flush()
        faults.fail = is_settlement
        await write(book, "c")
        await system.terminate_child("book")

        book = await system.spawn(Book, name="book")  # a delta in the journal to a state in the rows
        assert await book.ask(Lines(), timeout=10) == ["a", "b", "c"]
        await write(book, "d", "e")
        await system.terminate_child("book")

        book = await system.spawn(Book, name="book")  # both are in the journal
        assert await book.ask(Lines(), timeout=10) == ["a", "b", "c", "d", "e"]
        faults.fail = lambda _: False

    assert await find_lines(faulty_store) == ["a", "b", "c", "d", "e"]


async def leave_two(store: Store) -> None:
    async with ActorSystem("bank", store=store) as system:
        for name in ("book", "other"):
            await write(await system.spawn(Book, name=name), "a", "b")
        await system.flush()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE state_checkpoint:['bank', 'book', 'state']",
        "UPDATE state_checkpoint:['bank', 'book', 'state'] SET checkpoint_id = '1.1'",
        "UPDATE state_checkpoint:['bank', 'book', 'state'] SET state = <bytes>'other'",
        "UPDATE state_checkpoint:['bank', 'book', 'state', 'delta'] SET base = '1.1'",
        "UPDATE state_checkpoint:['bank', 'book', 'state', 'delta'] SET state = <bytes>'other'",
        "UPDATE state_checkpoint:['bank', 'book', 'state', 'delta'] SET digest = <bytes>'other'",
    ],
    ids=["no base", "another base", "base changed", "base changed in the delta", "delta changed", "digest"],
)
@ONCE
async def test_a_delta_that_does_not_fit_is_never_begun_with(store: SurrealStore, damage: str) -> None:
    await leave_two(store)
    await store.query(damage)

    with structlog.testing.capture_logs() as logs:
        async with ActorSystem("bank", store=store) as system:
            with pytest.raises(CheckpointUnusable, match="digest"):
                await system.spawn(Book, name="book")
            other = await system.spawn(Book, name="other")
            assert await other.ask(Lines(), timeout=10) == ["a", "b"]
    assert [line for line in logs if line["event"] == "checkpoint rejected"] != []


@ONCE
async def test_what_is_forgotten_leaves_neither_of_them(store: SurrealStore) -> None:
    await leave_two(store)
    async with ActorSystem("bank", store=store) as system:
        book = await system.spawn(Book, name="book")
        await write(book, "c", "d")
        await system.terminate_child("book")
        await system.forget("book")
        assert await rows_of(store) == {}

        book = await system.spawn(Book, name="book")
        await write(book, "e", "f")
    assert await find_lines(store) == ["e", "f"]
    assert await find_lines(store, "other") == ["a", "b"]


@ONCE
async def test_a_state_of_the_release_before_is_gone_on_with(store: SurrealStore) -> None:
    await leave_two(store)
    rows = await rows_of(store)
    (state,) = [row for row in await store.checkpoint_rows("bank", "book") if row.kind == "state"]
    await store.query("DELETE $delta", delta=rows["state", "delta"]["id"])
    await store.query(
        "UPDATE $id SET state = $state, digest = $digest, position = NONE",
        id=rows["state",]["id"],
        state=state.state,
        digest=state.digest,
    )

    assert await find_lines(store) == ["a", "b"]
    async with ActorSystem("bank", store=store) as system:
        await write(await system.spawn(Book, name="book"), "c", "d")
    assert await find_lines(store) == ["a", "b", "c", "d"]


@ONCE
async def test_many_are_taken_up_together(store: SurrealStore) -> None:
    names = [f"book{number}" for number in range(20)]
    async with ActorSystem("bank", store=store) as system:
        for name in names:
            book = await system.spawn(Book, name=name)
            await write(book, *(["a"] if name.endswith("0") else ["a", "b"]))
            if name.endswith("5"):
                await book.ask(Shrink(5), timeout=10)

    async with ActorSystem("bank", store=store) as system:
        assert (await system.recover([Book])).started == 20
        for name in names:
            found = await system.get(name).ask(Lines(), timeout=10)
            assert found == (["a"] if name.endswith("0") else ["a", "b"])
