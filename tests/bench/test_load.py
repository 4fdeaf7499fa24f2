"""Requests arrive when they are due, and count from then."""

from __future__ import annotations

import random

import anyio
import pytest

from sentient_core.bench import OpenLoad
from sentient_core.bench.load import Arrival, LoadResult
from sentient_core.errors import InvalidArgument


def dice() -> random.Random:
    return random.Random(7)


async def test_requests_arrive_at_their_rate_whatever_became_of_those_before() -> None:
    async def hang(_: int) -> None:
        await anyio.sleep(10.0)

    async with OpenLoad({"": hang}, rate=100.0, dice=dice(), patience=20.0) as load:
        await anyio.sleep(10.0)

    assert 850 < len(load.result.arrivals) < 1150  # a Poisson process of 1,000
    assert load.result.unanswered() == 0
    assert all(seconds == pytest.approx(10.0, abs=1e-6) for seconds in load.result.latencies())


async def test_a_system_that_stands_still_is_late_for_every_request_that_was_due() -> None:
    gate = anyio.Event()

    async def ask(_: int) -> None:
        await gate.wait()

    async with OpenLoad({"": ask}, rate=100.0, dice=dice()) as load:
        await anyio.sleep(1.0)
        gate.set()
        await anyio.sleep(1.0)

    late = load.result.between(0.0, 1.0)
    assert len(late.arrivals) > 70
    for arrival in late.arrivals:
        assert arrival.seconds == pytest.approx(1.0 - arrival.at, abs=1e-6)
    assert load.result.between(1.0, 2.0).availability(within=0.01) == 1.0
    assert late.availability(within=0.5) == pytest.approx(0.5, abs=0.15)


async def test_what_fails_and_what_is_still_under_way_at_the_end_is_unanswered() -> None:
    async def fail(_: int) -> None:
        raise ValueError("no")

    async def hang(_: int) -> None:
        await anyio.sleep_forever()

    asks = {"failing": fail, "hanging": hang}
    async with OpenLoad(asks, rate=100.0, dice=dice(), patience=0.5) as load:
        await anyio.sleep(0.5)

    result = load.result
    assert result.unanswered() == len(result.arrivals) > 20
    assert {arrival.error for arrival in result.part("failing").arrivals} == {"ValueError"}
    assert {arrival.error for arrival in result.part("hanging").arrivals} == {None}
    assert abs(len(result.part("failing").arrivals) - len(result.part("hanging").arrivals)) <= 1


async def test_what_was_due_while_the_loop_stood_is_sent_even_if_the_load_ends_meanwhile() -> None:
    async def answer(_: int) -> None:
        pass

    async with OpenLoad({"": answer}, rate=1_000.0, dice=dice()) as load:
        await anyio.sleep(0.0)
        load._start -= 1.0  # pyright: ignore[reportPrivateUsage] - as if the loop had stood for a second

    assert 850 < len(load.result.arrivals) < 1150
    assert load.result.unanswered() == 0
    assert load.result.end <= 1.0 + 1e-6


async def test_the_same_seed_makes_the_same_schedule() -> None:
    async def answer(_: int) -> None:
        pass

    async def schedule(seed: int) -> list[float]:
        async with OpenLoad({"": answer}, rate=50.0, dice=random.Random(seed)) as load:
            await anyio.sleep(1.0)
        return [arrival.at for arrival in load.result.arrivals]

    assert await schedule(1) == await schedule(1) != await schedule(2)


async def test_an_exception_of_the_block_passes_as_it_is_and_ends_the_load() -> None:
    async def hang(_: int) -> None:
        await anyio.sleep_forever()

    with pytest.raises(ValueError, match="mine"):  # noqa: PT012 - the block is what is tested
        async with OpenLoad({"": hang}, rate=100.0, dice=dice()):
            await anyio.sleep(0.1)
            raise ValueError("mine")


def test_availability_of_nothing_is_whole_and_an_answer_in_time_is_not_late() -> None:
    assert LoadResult([]).availability(within=1.0) == 1.0
    answers = LoadResult([Arrival(0.0, 0.1), Arrival(0.1, 0.3), Arrival(0.2, None)])
    assert answers.availability(within=0.1) == pytest.approx(1 / 3)


async def test_what_would_be_no_load_is_refused() -> None:
    async def answer(_: int) -> None:
        pass

    with pytest.raises(InvalidArgument, match="rate"):
        OpenLoad({"": answer}, rate=0.0, dice=dice())
    with pytest.raises(InvalidArgument, match="asks"):
        OpenLoad({}, rate=1.0, dice=dice())
