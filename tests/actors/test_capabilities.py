"""Who can do what: capabilities of a class, and looking actors up by them, by class and by name."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import Actor, ActorRef, InvalidArgument, MemoryStore
from tests.probes import Counter, running


class Renderer(Actor):
    capabilities = ("render", "print", "render")


class Painter(Renderer):
    capabilities = ("paint", "paint", "draw")


class Sketcher(Renderer): ...


def paths(refs: list[ActorRef[Any]]) -> set[str]:
    return {ref.path for ref in refs}


async def test_actors_are_found_by_class_capability_and_name() -> None:
    async with running() as system:
        for cls, name in ((Renderer, "a"), (Painter, "b"), (Sketcher, "c"), (Counter, "d")):
            await system.spawn(cls, name=name)

        assert paths(system.actors()) == {"a", "b", "c", "d"}
        assert paths(system.actors(Renderer)) == {"a", "b", "c"}
        assert paths(system.actors(capability="render")) == {"a", "c"}
        assert paths(system.actors(Sketcher, capability="render")) == {"c"}
        assert paths(system.actors(name="d")) == {"d"}
        assert paths(system.actors(Renderer, name="d")) == set()

        await system.get("a").stop()
        assert paths(system.actors(capability="render")) == {"c"}


async def test_the_row_of_an_actor_says_what_it_can_do() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Renderer, name="a")
        await system.spawn(Counter, name="b")
        await system.flush()

        rows = {row.agent_id: row.capabilities for row in await store.agents("test")}
        assert rows == {"a": ["print", "render"], "b": []}


def test_what_is_read_once_is_kept() -> None:
    words: Any = (word for word in ("a", "b"))
    cls: Any = type("Reader", (Actor,), {"capabilities": words})
    below: Any = type("Below", (cls,), {})

    assert cls.capabilities == below.capabilities == {"a", "b"}


@pytest.mark.parametrize("capabilities", ["render", 3, None, ["render", 3], {""}], ids=repr)
def test_capabilities_that_cannot_be_are_refused_when_the_class_is_made(capabilities: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Bad\.capabilities must be a set of words"):
        type("Bad", (Actor,), {"capabilities": capabilities})
