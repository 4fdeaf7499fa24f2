"""The oracle of the fault benchmark: it finds what a broken runtime does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import ActorSystem, MemoryStore
from sentient_core.actors.open_turn import OpenTurn
from sentient_core.bench.deposits import Deposits, Verdict, judge

WORK = range(64)


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_lost_is_what_is_not_there_and_doubled_what_is_there_twice(told: set[int], there: list[int]) -> None:
    found = judge(told, there)

    assert (found.acknowledged, found.lost) == (len(told), len(told - set(there)))
    assert (found.done, found.doubled) == (
        len(set(there)),
        len([n for n in set(there) if there.count(n) > 1]),
    )


async def verdict() -> Verdict:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        deposits = Deposits(tills=4)
        await deposits.open(system)
        for number in WORK:
            await deposits.deposit(number)
        return await deposits.judge()


async def test_of_the_runtime_as_it_is_nothing_is_lost_or_doubled() -> None:
    assert await verdict() == Verdict(acknowledged=len(WORK), lost=0, done=len(WORK), doubled=0)


async def test_a_runtime_that_loses_one_message_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    roll_forward, turns = OpenTurn.close, 0

    def forgetful(self: OpenTurn, actor: Any, *, settles: bool) -> None:
        nonlocal turns
        turns += settles
        if settles and turns == 30:
            actor.state.numbers.pop()
        roll_forward(self, actor, settles=settles)

    monkeypatch.setattr(OpenTurn, "close", forgetful)

    assert (await verdict()).lost == 1


async def test_a_runtime_that_applies_one_message_twice_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    roll_forward, turns = OpenTurn.close, 0

    def twice(self: OpenTurn, actor: Any, *, settles: bool) -> None:
        nonlocal turns
        turns += settles
        if settles and turns == 30:
            actor.state.numbers.append(actor.state.numbers[-1])
        roll_forward(self, actor, settles=settles)

    monkeypatch.setattr(OpenTurn, "close", twice)

    assert (await verdict()).doubled == 1
