"""What a row has found, in words."""

from __future__ import annotations

import random

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.bench.findings import Findings
from sentient_core.bench.load import Arrival, LoadResult, OpenLoad
from sentient_core.bench.samples import loss_bound, percentile


def test_so_few_that_none_lost_says_nothing_have_no_bound() -> None:
    findings = Findings()
    findings.loss("lost", 0, 2)

    assert findings.entries[0].value == "0 of 2 messages"


def test_none_lost_is_said_with_its_number_and_what_that_supports() -> None:
    findings = Findings()
    findings.loss("lost", 0, 3_000)

    assert findings.entries[0].text == "lost: 0 of 3,000 messages (< 0.1 % at 95 %)"
    assert findings.broken == []


def test_one_lost_is_a_broken_promise_and_no_bound_is_said() -> None:
    findings = Findings()
    findings.loss("lost", 1, 3_000, label="durable")

    assert findings.entries[0].text == "lost, durable: 1 of 3,000 messages"
    (broken,) = findings.broken
    assert (broken.claim, broken.expected, broken.found) == ("messages lost, durable", "0", "1")


def test_what_may_be_lost_is_counted_and_breaks_nothing() -> None:
    findings = Findings()
    findings.loss("unanswered", 4, 10, "requests", allowed=None)

    assert findings.entries[0].text == "unanswered: 4 of 10 requests"
    assert findings.broken == []


@given(st.integers(1, 10**7))
def test_the_bound_is_what_a_run_without_a_loss_excludes_at_95_percent(n: int) -> None:
    bound = loss_bound(n)

    assert bound == 1.0 or (1 - bound) ** n <= 0.05  # the chance of none in n, if the share were the bound


def test_a_check_is_kept_or_stands_out() -> None:
    findings = Findings()
    findings.check("restarts", 3, 3)
    findings.check("restarts", 3, 4)
    findings.holds("at most the budget", is_met=False, found="5 of 3")
    findings.check("a name is no number", "3", 3)

    assert [check.is_met for check in findings.checks] == [True, False, False, False]
    assert [check.value for check in findings.checks][:3] == ["3 ✓", "**4, not 3**", "**5 of 3**"]
    assert len(findings.broken) == 3


def test_latencies_have_a_unit_that_suits_them_and_their_number() -> None:
    findings = Findings()
    findings.latency("fast", [1e-5] * 99 + [2e-5])
    findings.latency("slow", [1.5])
    findings.latency("none", [])

    findings.latency("few", [1e-3, 2e-3])
    findings.latency("both", [2e-5] * 150 + [4.0] * 49 + [5.0])

    assert [one.value for one in findings.entries] == [
        "p50 10, p99 20, most 20 µs (n = 100)",
        "1.50 s (n = 1)",
        "never seen",
        "p50 2, most 2 ms (n = 2)",  # no p99 of so few
        "p50 20 µs, p99 4, most 5 s (n = 200)",
    ]


def test_a_figure_is_a_median_with_its_spread() -> None:
    findings = Findings()
    findings.figure("memory", [1.0, 3.0, 2.0], "MB")
    findings.figure("alone", 5.0, "MB")

    assert [one.value for one in findings.entries] == ["2 MB (1–3, n = 3)", "5 MB"]


def test_a_timeline_has_the_share_of_what_was_due_in_each_interval_from_the_faults_on() -> None:
    findings = Findings()
    arrivals = [
        Arrival(0.1, 0.01),
        Arrival(0.6, 0.01),
        Arrival(1.2, 0.5),
        Arrival(1.4, None),
        Arrival(3.1, 0.0),
    ]
    findings.timeline("fault", [(LoadResult(arrivals), (1.0, 2.0))], within=0.1, bin_seconds=1.0)

    (timeline,) = findings.timelines
    assert list(timeline.times) == [-1.0, 0.0, 2.0]
    assert list(timeline.shares) == [1.0, 0.0, 1.0]
    assert timeline.lasts == 1.0


def test_of_several_runs_the_time_is_drawn_that_all_have_each_from_its_own_fault() -> None:
    early = LoadResult([Arrival(0.0, 0.0), Arrival(1.0, 0.0), Arrival(2.0, 0.0)])
    late = LoadResult([Arrival(3.0, 0.0), Arrival(5.0, None), Arrival(6.0, 0.0), Arrival(9.0, 0.0)])
    findings = Findings()
    findings.timeline("fault", [(early, (1.0, 1.5)), (late, (5.0, 5.7))], within=0.1, bin_seconds=1.0)

    (timeline,) = findings.timelines
    assert list(timeline.times) == [-1.0, 0.0, 1.0]
    assert list(timeline.shares) == [1.0, 0.5, 1.0]
    assert timeline.runs == 2
    assert timeline.lasts == pytest.approx(0.6)


async def test_others_stand_beside_how_they_were_before_and_what_came_in_place_of_answers_is_named() -> None:
    async def ask(number: int) -> None:
        if number == 3:
            raise ValueError("no")

    async with OpenLoad({"calm": ask}, rate=100.0, dice=random.Random(1)) as load:
        await anyio.sleep(1.0)
        load.quiet_until = load.now()
        await anyio.sleep(1.0)
    findings = Findings()
    findings.others(load, during="storm")

    assert [one.title for one in findings.entries] == [
        "others, storm, calm: before",
        "others, storm, calm: meanwhile",
        "unanswered, others, storm",
    ]
    assert findings.notes == ["others, storm, in place of an answer: ValueError 1"]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected
    assert percentile([], share) == 0.0
