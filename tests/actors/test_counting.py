"""What has become of the messages to mirrored and volatile actors, as the process counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sentient_core import Actor, ActorAudit, ActorSystem, Audit, handles
from sentient_core.store import MemoryStore, SurrealStore
from tests.conftest import ONCE


class Work(msgspec.Struct, frozen=True):
    what: str = "done"


class Clerk(Actor):
    """Does as a message says."""

    max_attempts = 2

    @handles
    async def work(self, message: Work) -> None:
        if message.what == "fails":
            raise ValueError(message.what)
        if message.what == "stash":
            self.context.stash()
        if message.what == "audit":
            Clerk.seen = await self.context.system.audit()

    seen: Any = None


class Rough(Clerk):
    durability = "volatile"
    max_attempts = 1


def of(audit: Audit, path: str) -> ActorAudit:
    (found,) = (actor for actor in audit.actors if actor.path == path)
    return found


async def test_each_message_is_counted_where_it_ends() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        clerk, rough = await system.spawn(Clerk, name="clerk"), await system.spawn(Rough, name="rough")
        for ref in (clerk, rough):
            for what in ("done", "stash", "done", "fails"):
                ref.tell(Work(what))
        await clerk.drain()
        await rough.stop()
        rough.tell(Work())

        audit = await system.audit()

    assert audit.is_balanced, audit
    counted, volatile = of(audit, "clerk"), of(audit, "rough")
    assert (counted.sent, counted.handled, counted.quarantined) == (4, 2, 1)
    assert volatile.durability == "volatile"
    assert volatile.sent == volatile.handled + volatile.dead_lettered == 5


async def test_the_message_in_hand_is_pending_also_for_who_asks_from_a_handler() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        clerk = await system.spawn(Clerk, name="clerk")
        for what in ("done", "stash", "audit", "done"):
            clerk.tell(Work(what))
        await clerk.drain()

    found = of(Clerk.seen, "clerk")
    assert (found.sent, found.handled, found.pending) == (4, 1, 3)
    assert found.is_balanced


async def test_a_message_that_is_lost_on_its_way_shows() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        clerk = await system.spawn(Clerk, name="clerk")
        clerk.tell(Work())
        cell = system._parts.runtime.registry.get("clerk")  # type: ignore[union-attr]
        cell.mailbox.queue.clear()  # type: ignore[union-attr]

        audit = await system.audit()
        cell.sent -= 1  # every system here is audited at its end

    assert not audit.is_balanced
    assert "DOES NOT ADD UP for clerk" in str(audit)


async def test_nameless_actors_that_have_ended_are_counted_together() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        for _ in range(20):
            ref = await system.spawn(Clerk)
            ref.tell(Work())
            await ref.drain()
            ref.tell(Work())

        audit = await system.audit()

    assert audit.is_balanced
    (actor,) = audit.actors
    assert (actor.path, actor.sent, actor.handled, actor.dead_lettered) == ("$*", 40, 20, 20)


@ONCE
@pytest.mark.parametrize("kind", ["memory", "surrealkv"])
async def test_the_store_has_the_counts_of_the_last_flush_and_of_the_end(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else SurrealStore(f"surrealkv://{tmp_path}/db")
    async with ActorSystem("bank", store=store) as system:
        clerk = await system.spawn(Clerk, name="clerk")
        for _ in range(10):
            await clerk.send(Work())
        await system.flush()
        await clerk.send(Work())

        at_flush = of(await store.audit("bank"), "clerk")

    at_end = of(await store.audit("bank"), "clerk")
    assert (at_flush.sent, at_end.sent) == (10, 11)
    assert at_flush.is_balanced
    assert (at_end.handled + at_end.dead_lettered, at_end.pending) == (11, 0)
    await store.close()


@ONCE
@pytest.mark.parametrize("kind", ["memory", "surrealkv"])
async def test_the_counts_of_earlier_starts_are_added(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else SurrealStore(f"surrealkv://{tmp_path}/db")
    for start in range(1, 4):
        async with ActorSystem("bank", store=store) as system:
            clerk = await system.spawn(Clerk, name="clerk")
            for _ in range(10):
                await clerk.send(Work())
            await clerk.drain()
            await system.flush()
            await system.flush()
        found = of(await store.audit("bank"), "clerk")
        assert (found.sent, found.handled, found.pending) == (10 * start, 10 * start, 0)
    await store.close()
