"""`system.forget(path)`: nothing of an actor is left, and nothing of others is touched."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sentient_core import ActorLives, BeingForgotten, InvalidArgument, MemoryStore, Pruned
from sentient_core.store import Store, SurrealStore
from sentient_core.store.engine import Client, embedded
from tests.conftest import ONCE
from tests.long import few
from tests.recovery.books import Book, Lines, Write, leave, system_on


async def fill(store: Store) -> None:
    """Two books with a line each, one of them with another one pending and a dead letter."""
    async with system_on(store) as system:
        for name in ("book", "other"):
            book = await system.spawn(Book, name=name)
            await book.send(Write(0))
            await book.ask(Lines(), timeout=60)
        system.get("book").tell("what nobody handles")
        await system.get("book").ask(Lines(), timeout=60)
    await leave(store, [1], "book")


async def test_state_messages_and_events_are_gone(store: Store) -> None:
    await fill(store)
    async with system_on(store) as system:
        gone = await system.forget("book")

        assert gone.messages.rows == 1
        assert gone.dead_letters.rows == 1
        assert gone.events.rows > 5
        assert gone.checkpoints.rows == 1
        assert await store.events("library", agent="book") == []
        assert await store.checkpoint_rows("library", "book") == []
        assert [row.agent_id for row in await store.agents("library")] == ["other"]
        assert await system.dead_letters.list() == []
        assert [dormant.path for dormant in system.dormant()] == ["other"]

        book = await system.spawn(Book, name="book")
        assert await book.ask(Lines(), timeout=60) == []
        assert book.incarnation > 2
        other = await system.spawn(Book, name="other")
        assert await other.ask(Lines(), timeout=60) == [0]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        assert await book.ask(Lines(), timeout=60) == []
        assert (await system.audit()).is_balanced


async def test_once_more_deletes_nothing(store: Store) -> None:
    await fill(store)
    async with system_on(store) as system:
        await system.forget("book")

        assert await system.forget("book") == Pruned()
        assert await system.forget("nobody/was/here") == Pruned()


async def test_who_lives_is_not_forgotten(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        with pytest.raises(ActorLives, match="End it for good"):
            await system.forget("book")
        await book.stop()

        await system.forget("book")
        again = await system.spawn(Book, name="book")
        assert await again.ask(Lines(), timeout=60) == []


async def test_a_passive_virtual_actor_ends_with_it(store: Store) -> None:
    async with system_on(store) as system:
        book = await system.get_or_spawn(Book, "moby")
        await book.send(Write(1))
        assert await book.ask(Lines(), timeout=60) == [1]
        with pytest.raises(ActorLives):
            await system.forget("book/moby")
        await book.stop()

        await system.forget("book/moby")

        assert not book.is_alive or book.incarnation != 1
        again = await system.get_or_spawn(Book, "moby")
        assert await again.ask(Lines(), timeout=60) == []


async def test_cut_short_it_has_to_be_done_before_anybody_lives_there_again(store: Store) -> None:
    await fill(store)
    async with system_on(store) as system:
        if isinstance(store, MemoryStore):
            store.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(system.forget, "book")
            for _ in range(10):  # it has begun
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        if isinstance(store, MemoryStore):
            store.resume()
        with pytest.raises(BeingForgotten):
            await system.spawn(Book, name="book")

        await system.forget("book")
        book = await system.spawn(Book, name="book")
        await book.send(Write(7))
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        assert await book.ask(Lines(), timeout=60) == [7]


async def test_who_asks_for_it_twice_does_not_delete_who_lives_there_in_between(store: Store) -> None:
    await fill(store)
    async with system_on(store) as system:
        forget = system.forget
        refused: list[Exception] = []

        async def once_more() -> None:
            try:
                await forget("book")
            except (ActorLives, BeingForgotten) as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(once_more)
            await forget("book")
            await (await system.spawn(Book, name="book")).send(Write(7))
        assert await system.get("book").ask(Lines(), timeout=60) == [7]
    async with system_on(store) as system:
        book = await system.spawn(Book, name="book")
        assert await book.ask(Lines(), timeout=60) == [7]


@pytest.mark.parametrize("path", ["", 7])
async def test_what_is_no_path_is_refused(store: Store, path: Any) -> None:
    async with system_on(store) as system:
        with pytest.raises(InvalidArgument):
            await system.forget(path)


async def test_what_is_deleted_is_counted_in_the_totals(tmp_path: Path) -> None:
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        await fill(store)
        async with system_on(store) as system:
            gone = await system.forget("book")
            (rows,) = await store.query("SELECT id[1] AS of, rows, bytes FROM pruned")

        totals = {row["of"]: (row["rows"], row["bytes"]) for row in rows}
        assert totals["agent_event"] == (gone.events.rows, gone.events.bytes)
        assert totals["inbox"] == (gone.messages.rows, gone.messages.bytes)
        assert totals["state_checkpoint"] == (gone.checkpoints.rows, gone.checkpoints.bytes)
        assert totals["dead_letter"] == (gone.dead_letters.rows, gone.dead_letters.bytes)


@ONCE
@pytest.mark.parametrize("moment", few([1, 4, 2, 6], 3))
async def test_begun_and_killed_it_is_finished_by_the_next_start(tmp_path: Path, moment: int) -> None:
    url = f"surrealkv://{tmp_path}/db"
    async with SurrealStore(url) as store:
        await fill(store)
    with anyio.fail_after(60):
        child = await anyio.run_process([sys.executable, "-P", "-c", _CHILD, url, str(moment)], check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    async with SurrealStore(url) as store, system_on(store) as system:
        assert [dormant.path for dormant in system.dormant()] == ["other"]
        for table in ("inbox", "state_checkpoint", "agent_state"):
            (left,) = await store.query(f"SELECT VALUE id FROM {table} WHERE id[1] = 'book'")
            assert left == []
        assert await store.events("library", agent="book") == []
        assert await system.forget("book") == Pruned()
        book = await system.spawn(Book, name="book")
        assert await book.ask(Lines(), timeout=60) == []
        other = await system.spawn(Book, name="other")
        assert await other.ask(Lines(), timeout=60) == [0]
        audit = await system.audit()
        assert audit.is_balanced, str(audit)


_CHILD = """
import sys
from anyio import run
from tests.recovery.test_forgetting import forget_and_die
run(forget_and_die, sys.argv[1], int(sys.argv[2]))
"""


async def forget_and_die(url: str, moment: int) -> None:
    """In a child: dies by SIGKILL when the `moment`-th batch that is deleted is done."""
    batches = 0

    class Dying:
        def __init__(self, client: Client) -> None:
            self.connect, self.close, self._client = client.connect, client.close, client

        async def execute(self, cbor_request: bytes) -> bytes:
            nonlocal batches
            answer = await self._client.execute(cbor_request)
            batches += b"DELETE $gone.id" in cbor_request
            if batches == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    async with (
        SurrealStore(url, connect=lambda url: Dying(embedded(url))) as store,
        system_on(store) as system,
    ):
        await system.forget("book")
