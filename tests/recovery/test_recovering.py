"""`system.recover()`: what was spawned at run time is there again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorSystem,
    ChildSpec,
    InvalidArgument,
    RecoveryProgress,
    Request,
    Supervisor,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store
from tests.recovery.books import Book, Fan, Lines, SendTo, Write, leave, system_on


class Page(Book, tag="page"):
    pass


class Titled(Book, tag="titled"):
    def __init__(self, title: str) -> None:
        self.title = title


class Shelf(Supervisor):
    strategy = Supervisor.dynamic()
    children: ClassVar[Sequence[ChildSpec]] = [ChildSpec(Page, restart="transient")]


class Add(Request[None], frozen=True):
    name: str


class Binder(Actor, tag="binder"):
    """Has children of its own."""

    durability: ClassVar[DurabilityName] = "durable"

    @handles
    async def add(self, message: Add) -> None:
        await self.context.spawn(Page, name=message.name)


class Desk(Supervisor):
    """Declares one book, and lets others be added."""

    children: ClassVar[Sequence[ChildSpec]] = [ChildSpec(Book, name="declared")]


async def test_children_of_the_root_of_pools_and_of_actors_come_back(store: Store) -> None:
    async with system_on(store) as system:
        shelf = await system.spawn(Shelf, name="shelf")
        pages: list[Any] = [await shelf.start_child(name) for name in ("p1", "p2")]
        binder = await system.spawn(Binder, name="binder")
        await binder.ask(Add("leaf"), timeout=60)
        pages += [system.get("binder/leaf"), await system.spawn(Page, name="loose")]
        for number, page in enumerate(pages):
            await page.send(Write(number))
            await page.ask(Lines(), timeout=60)

    seen: list[RecoveryProgress] = []
    async with system_on(store) as system:
        await system.spawn(Shelf, name="shelf")
        recovered = await system.recover([Page, Binder], progress=seen.append)

        assert (recovered.started, recovered.activated, dict(recovered.skipped)) == (5, 0, {})
        assert seen[-1] == RecoveryProgress(5, 5, 0)
        for number, path in enumerate(("shelf/p1", "shelf/p2", "binder/leaf", "loose")):
            assert await system.get(path).ask(Lines(), timeout=60) == [number]
        assert [ref.path for ref in system.actors(Page)] != []
        assert (await system.recover([Page, Binder])).started == 0


async def test_what_cannot_come_back_is_told_with_its_reason(store: Store) -> None:
    async with system_on(store) as system:
        await system.spawn(Titled, "Moby Dick", name="titled")
        await system.spawn(Page, name="unknown")
        desk = await system.spawn(Desk, name="desk")
        await desk.start_child(ChildSpec(Page, name="added"))

    async with system_on(store) as system:
        recovered = await system.recover([Titled])

        assert recovered.started == 0
        reasons = dict(recovered.skipped)
        assert reasons.keys() == {"desk/added", "desk/declared", "titled", "unknown"}
        assert "arguments" in reasons["titled"]
        assert "no class with the tag 'page'" in reasons["unknown"]
        assert "parent 'desk'" in reasons["desk/added"]
        assert "its supervisor declares it" in reasons["desk/declared"]
        assert {dormant.path for dormant in system.dormant()} == reasons.keys()

        await system.spawn(Titled, "Moby Dick", name="titled")
        await system.spawn(Desk, name="desk")
        recovered = await system.recover([Page])
        assert (recovered.started, dict(recovered.skipped)) == (2, {})


async def test_virtual_actors_with_messages_are_activated_and_others_are_not(store: Store) -> None:
    async with system_on(store) as system:
        busy, idle = await system.get_or_spawn(Book, "busy"), await system.get_or_spawn(Book, "idle")
        for book in (busy, idle):
            await book.ask(Lines(), timeout=60)
        fan = await system.spawn(Fan, name="fan")
        await fan.send(SendTo(busy, (0,)))
        await fan.drain()
        await busy.ask(Lines(), timeout=60)
    async with system_on(store) as system:
        fan = await system.spawn(Fan, name="fan")
        await fan.send(Write(1))
        await system.flush()

        recovered = await system.recover([Book])

        assert (recovered.activated, recovered.pending, dict(recovered.skipped)) == (1, 1, {})
        assert await system.get("book/busy").ask(Lines(), timeout=60) == [0, 1]
        assert [dormant.path for dormant in system.dormant()] == ["book/idle"]


async def test_one_that_does_not_start_does_not_keep_the_others(store: Store) -> None:
    class Broken(Book, tag="page"):
        async def on_start(self) -> None:
            if self.context.ref.name == "b":
                raise ValueError("out of order")

    async with system_on(store) as system:
        for name in "abc":
            await system.spawn(Page, name=name)
    async with system_on(store) as system:
        recovered = await system.recover([Broken])

        assert recovered.started == 2
        assert "out of order" in recovered.skipped["b"]
        assert system.get("c").is_alive


async def test_two_classes_of_one_tag_are_refused(store: Store) -> None:
    class Other(Book, tag="page"):
        pass

    async with system_on(store) as system:
        with pytest.raises(InvalidArgument, match="same tag"):
            await system.recover([Page, Other])


async def test_many_are_started_with_all_that_waits_for_them(store: Store) -> None:
    paths = [f"book-{number}" for number in range(60)]
    await leave(store, range(5), *paths)

    class Again(Book, tag="stuck-book"):
        pass

    async with system_on(store) as system:
        recovered = await system.recover([Again])

        assert (recovered.started, recovered.pending) == (60, 300)
        for path in paths:
            assert await system.get(path).ask(Lines(), timeout=10) == list(range(5))
        assert (await system.audit()).is_balanced


class Crash(msgspec.Struct, frozen=True):
    pass


class Host(Supervisor):
    """Fails when it is told to; its children are added at run time."""

    @handles
    def crash(self, _: Crash) -> None:
        raise ValueError("crash")


async def test_a_restarted_supervisor_starts_its_durable_children_again(store: Store) -> None:
    is_restarted = anyio.Event()

    class Passing(Actor):
        pass

    class Watched(Host):
        async def on_restart(self, cause: BaseException | None) -> None:
            is_restarted.set()

    async with system_on(store) as system:
        host = await system.spawn(Watched, name="host")
        page = await host.start_child(ChildSpec(Page, name="page", restart="transient"))
        await host.start_child(ChildSpec(Passing, name="passing"))
        await host.start_child(ChildSpec(Page, name="brief", restart="temporary"))
        await page.send(Write(1))
        assert await page.ask(Lines(), timeout=60) == [1]

        host.tell(Crash())
        with anyio.fail_after(60):
            await is_restarted.wait()
        await page.send(Write(2))

        assert await page.ask(Lines(), timeout=60) == [1, 2]
        assert page.incarnation == 2
        assert [child.name for child in host.which_children()] == ["page"]


async def test_they_end_for_good_with_it(store: Store) -> None:
    async with system_on(store) as system:
        host = await system.spawn(Host, name="host")
        page = await host.start_child(ChildSpec(Page, name="page"))
        await host.stop()

        assert not page.is_alive
        assert system.dormant() == []


def test_the_system_says_so_when_it_is_not_there() -> None:
    assert ActorSystem("library", store="mem://").health().dormant == 0
