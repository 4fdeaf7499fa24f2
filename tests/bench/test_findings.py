"""What a row has found, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.bench.findings import Findings
from sentient_core.bench.load import Arrival, LoadResult
from sentient_core.bench.samples import loss_bound, percentile


def test_none_lost_is_said_with_its_number_and_what_that_supports() -> None:
    findings = Findings()
    findings.loss("lost", 0, 3_000)

    assert findings.losses[0].text == "0 lost of 3,000 messages (< 0.1 % at 95 %)"
    assert findings.broken == []


def test_one_lost_is_a_broken_promise_and_no_bound_is_said() -> None:
    findings = Findings()
    findings.loss("lost", 1, 3_000, label="durable")

    assert findings.losses[0].text == "durable: 1 lost of 3,000 messages"
    (broken,) = findings.broken
    assert (broken.claim, broken.expected, broken.found) == ("durable: messages lost", "0", "1")


def test_what_may_be_lost_is_counted_and_breaks_nothing() -> None:
    findings = Findings()
    findings.loss("unanswered", 4, 10, "requests", allowed=None)

    assert findings.losses[0].text == "4 unanswered of 10 requests"
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

    assert [check.is_met for check in findings.checks] == [True, False, False]
    assert findings.checks[1].text == "**4, not 3**"
    assert len(findings.broken) == 2


def test_latencies_have_a_unit_that_suits_them_and_their_number() -> None:
    findings = Findings()
    findings.latency("fast", [1e-5] * 99 + [2e-5])
    findings.latency("slow", [1.5])
    findings.latency("none", [])

    assert [one.text for one in findings.latencies] == [
        "p50 10.0, p99 20.0, most 20.0 µs (n = 100)",
        "1.50 s (n = 1)",
        "never seen",
    ]


def test_a_figure_is_a_median_with_its_spread() -> None:
    findings = Findings()
    findings.figure("memory", [1.0, 3.0, 2.0], "MB")
    findings.figure("alone", 5.0, "MB")

    assert [one.text for one in findings.figures] == ["2.00 MB (1.00–3.00, n = 3)", "5.00 MB"]


def test_a_timeline_has_the_share_of_what_was_due_in_each_interval() -> None:
    findings = Findings()
    arrivals = [
        Arrival(0.1, 0.01),
        Arrival(0.6, 0.01),
        Arrival(1.2, 0.5),
        Arrival(1.4, None),
        Arrival(3.1, 0.0),
    ]
    findings.timeline("fault", LoadResult(arrivals), within=0.1, fault=(1.0, 2.0), bin_seconds=1.0)

    (timeline,) = findings.timelines
    assert list(timeline.times) == [0.0, 1.0, 3.0]
    assert list(timeline.shares) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected
    assert percentile([], share) == 0.0
