"""Links: incarnations that fail together."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import pytest

from sentient_core import ActorRef, ForeignRef, InvalidArgument, LinkBroken
from sentient_core.actors.ref import cell_of
from tests.probes import Log, running
from tests.puppet import Do, Puppet, in_turn


class Fails(Puppet):
    """Writes down why it has failed."""

    def on_failure(self, cause: Exception) -> None:
        of = f" of {cause.ref.name}" if isinstance(cause, LinkBroken) else ""
        self.log(f"{self.context.ref.name}: {type(cause).__name__}{of}")


def raising(error: Exception) -> Do:
    def act(actor: Any) -> None:
        raise error

    return Do(act)


async def linked(system: Any, log: Log, *names: str, **options: Any) -> list[ActorRef[Fails]]:
    """Actors of which each is linked to the one before it."""
    refs: list[ActorRef[Fails]] = [await system.spawn(Fails, log, name=name, **options) for name in names]
    for one, next_ in pairwise(refs):
        await in_turn(next_, partial(_link, one))
    return refs


def _link(ref: ActorRef[Any], actor: Any) -> None:
    actor.context.link(ref)


async def test_one_that_fails_takes_the_other_along_in_both_directions() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")

        b.tell(raising(ValueError()))
        await anyio.sleep(1)
        assert log.lines == ["b: ValueError", "a: LinkBroken of b"]

        await in_turn(b, lambda actor: actor.context.link(a))
        a.tell(raising(KeyError()))
        await anyio.sleep(1)
        assert log.lines[2:] == ["a: KeyError", "b: LinkBroken of a"]
        assert [a.incarnation, b.incarnation] == [3, 3]


async def test_a_failure_runs_along_a_chain_and_ends_in_a_circle() -> None:
    async with running() as system:
        log = Log()
        a, b, c = await linked(system, log, "a", "b", "c")
        await in_turn(a, lambda actor: actor.context.link(c))

        b.tell(raising(ValueError()))
        await anyio.sleep(1)

        assert log.lines[0] == "b: ValueError"
        assert sorted(log.lines[1:]) == ["a: LinkBroken of b", "c: LinkBroken of b"]
        assert [a.incarnation, b.incarnation, c.incarnation] == [2, 2, 2]


async def test_an_orderly_end_only_dissolves_the_link() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")

        await a.stop()
        await anyio.sleep(1)

        assert log.lines == []
        assert b.incarnation == 1
        life = cell_of(b).life
        assert life is None or life.links == {}


async def test_a_kill_is_a_failure_to_the_other() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")

        await a.kill()
        await anyio.sleep(1)

        assert log.lines == ["b: LinkBroken of a"]
        assert b.incarnation == 2


async def test_the_next_incarnations_are_not_linked() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")
        await a.kill()
        await anyio.sleep(1)

        await a.kill()
        await anyio.sleep(1)

        assert b.incarnation == 2


async def test_unlink_takes_it_back_for_both_sides() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")

        await in_turn(a, lambda actor: actor.context.unlink(b))
        await b.kill()
        await a.kill()
        await anyio.sleep(1)

        assert log.lines == []
        assert [a.incarnation, b.incarnation] == [2, 2]


async def test_unlink_takes_back_a_break_that_is_under_way() -> None:
    async with running() as system:
        log = Log()
        a, b = await linked(system, log, "a", "b")

        async def let_it_end(actor: Fails) -> str:
            await a.kill()
            actor.context.unlink(a)
            return "went on"

        assert await in_turn(b, let_it_end) == "went on"
        await anyio.sleep(1)
        assert b.incarnation == 1


async def test_a_link_to_one_that_is_down_breaks_at_once() -> None:
    async with running() as system:
        log = Log()
        ended: ActorRef[Puppet] = await system.spawn(Puppet, name="ended", restart="temporary")
        await ended.kill()
        ref = await system.spawn(Fails, log, name="a")

        ref.tell(Do(lambda actor: actor.context.link(ended)))
        await anyio.sleep(1)

        assert log.lines == ["a: LinkBroken of ended"]


async def test_the_break_carries_who_and_why() -> None:
    async with running() as system:
        causes: list[Exception] = []

        class Keeps(Puppet):
            def on_failure(self, cause: Exception) -> None:
                causes.append(cause)

        a = await system.spawn(Puppet, name="a")
        b = await system.spawn(Keeps, name="b")
        await in_turn(b, lambda actor: actor.context.link(a))
        error = ValueError("why")
        a.tell(raising(error))
        await anyio.sleep(1)

        (cause,) = causes
        assert isinstance(cause, LinkBroken)
        assert cause.ref == a
        assert cause.cause is error
        assert cause.__cause__ is error


async def test_a_parent_linked_to_its_child_fails_with_it() -> None:
    class Parent(Fails):
        async def on_start(self) -> None:
            self.context.link(await self.context.spawn(Fails, self.log, name="child"))

    async with running() as system:
        log = Log()
        parent = await system.spawn(Parent, log, name="parent")
        system.get("parent/child").tell(raising(ValueError()))
        await anyio.sleep(1)

        assert log.lines == ["child: ValueError", "parent: LinkBroken of child"]
        assert parent.incarnation == 2
        assert system.get("parent/child").is_alive


async def test_nothing_is_left_of_links_when_a_system_ends() -> None:
    log = Log()
    async with running() as system:
        refs = await linked(system, log, *map(str, range(5)))

    assert log.lines == []
    assert not any(ref.is_alive for ref in refs)
    assert [cell_of(ref).life for ref in refs] == [None] * 5


async def test_what_cannot_be_linked_is_refused() -> None:
    async with running() as system, running("other") as other:
        foreign = await other.spawn(Puppet)
        ref = await system.spawn(Puppet, name="a")

        def try_them(actor: Puppet) -> None:
            with pytest.raises(InvalidArgument, match="'a' cannot link itself"):
                actor.context.link(actor.context.ref)
            with pytest.raises(InvalidArgument, match="takes the ref of an actor"):
                actor.context.link(math)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            with pytest.raises(ForeignRef):
                actor.context.link(foreign)

        await in_turn(ref, try_them)
