"""Assertions on events, dead letters and books pass where it is so, and show the difference where not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import ActorAudit, ActorSystem, Audit, EventType, InvalidArgument, MemoryStore
from sentient_core.testing import assert_dead_letters, conserved, expect_event
from tests.probes import Add, Counter, Fail
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with ActorSystem("test", store=MemoryStore()) as system:
        yield system


async def test_an_event_that_has_happened_or_is_to_come_is_found(system: ActorSystem) -> None:
    await system.spawn(Counter, name="one")
    found = await expect_event(system, "actor_started", agent="one", payload={})
    assert found.source_agent == "one"

    async with anyio.create_task_group() as tasks:

        async def later() -> None:
            await anyio.sleep(30)
            await system.spawn(Counter, name="two")

        tasks.start_soon(later)
        found = await expect_event(
            system, EventType.ACTOR_STARTED, within=60, where=lambda event: event.source_agent == "two"
        )

    assert found.source_agent == "two"


async def test_what_is_different_in_an_event_is_shown(system: ActorSystem) -> None:
    ref = await system.spawn(Counter, name="one")
    ref.tell(Fail("this way"))
    begin = anyio.current_time()

    with pytest.raises(AssertionError) as failed:
        await expect_event(system, "actor_failed", within=9, payload={"colour": "red", "error": None})

    text = str(failed.value)
    assert "no event 'actor_failed' that is meant came within 9 s\nof this type there were 1:" in text
    assert "    colour is missing, not 'red'" in text
    assert anyio.current_time() == begin + 9


async def test_where_there_is_no_event_of_the_type_the_newest_ones_are_shown(system: ActorSystem) -> None:
    await system.spawn(Counter, name="one")

    with pytest.raises(AssertionError, match=r"no event 'shop.sold' of 'one' (.*\n)*.*actor_started of one"):
        await expect_event(system, "shop.sold", agent="one")


def is_first(message: Any) -> bool:
    return isinstance(message, Fail) and message.why == "first"


async def test_dead_letters_are_those_that_are_expected(system: ActorSystem) -> None:
    assert_dead_letters(system)
    ref = await system.spawn(Counter, name="one")
    ref.tell(Fail("first"))
    await anyio.sleep(1)
    await ref.stop()
    for amount in (1, 2):
        ref.tell(Add(amount))

    assert_dead_letters(system, (Add, "stopped"), (Add(1), "stopped"), (Fail, "failed"))
    with pytest.raises(AssertionError) as failed:
        assert_dead_letters(system, (Add(3), "stopped"), (is_first, "failed"), (Add, "stopped"))

    assert str(failed.value).splitlines() == [
        "the dead letters are others than expected:",
        "- missing: stopped: Add(amount=3)",
        "+ not expected: stopped: Add(amount=2) from external to one (the actor has ended)",
    ]


async def test_a_letter_too_many_and_one_for_another_reason_are_not_those_that_are_expected(
    system: ActorSystem,
) -> None:
    ref = await system.spawn(Counter, name="one")
    await ref.stop()
    ref.tell(Add(1))

    with pytest.raises(AssertionError, match=r"\+ not expected: stopped: Add\(amount=1\)"):
        assert_dead_letters(system)
    with pytest.raises(AssertionError, match=r"- missing: full: Add\(amount=1\)"):
        assert_dead_letters(system, (Add(1), "full"))


async def test_an_event_of_another_agent_is_not_the_one_that_is_meant(system: ActorSystem) -> None:
    await system.spawn(Counter, name="one")

    with pytest.raises(AssertionError, match="no event 'actor_started' of 'two'"):
        await expect_event(system, "actor_started", agent="two", within=9)


async def test_a_system_of_which_all_is_known_is_conserved(
    system: ActorSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await system.spawn(Counter, name="one")
    ref.tell(Add())
    good = await conserved(system)
    assert good.is_balanced

    def lose(actor: ActorAudit) -> ActorAudit:
        return msgspec.structs.replace(actor, sent=actor.sent + 1, missing=("1.7",))

    async def audit(*_: Any) -> Audit:
        return Audit(tuple(map(lose, good.actors)))

    monkeypatch.setattr(ActorSystem, "audit", audit)
    with pytest.raises(AssertionError, match=r"\n  one \(mirrored\): 2 sent, 1 handled, .*; missing 1.7"):
        await conserved(system)


@pytest.mark.parametrize(
    ("pair", "complaint"),
    [
        (Add, "expected as .message, reason., not"),
        ((Add, "failed", 1), "expected as .message, reason., not"),
        ((Add, "fail"), "no reason is 'fail'; there are: stopped, failed, "),
    ],
)
async def test_what_is_no_dead_letter_to_expect_is_refused(
    system: ActorSystem, pair: Any, complaint: str
) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        assert_dead_letters(system, pair)


async def test_where_nothing_has_happened_it_says_so(system: ActorSystem) -> None:
    with pytest.raises(AssertionError, match="nor is there any other event"):
        await expect_event(system, "actor_failed", within=9)
