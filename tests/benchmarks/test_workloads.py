"""Every workload does its work on every side; how fast is no matter here."""

from __future__ import annotations

import pytest

from benchmarks.actors import WORKLOADS
from benchmarks.workloads.trial import BACKENDS, Backend, Trial, Workload

# The ring has 500 players, the many that restart are 1,000; a tree's leaves are a power of ten.
COUNT = 1_000

each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=[one.name for one in WORKLOADS])


@each_workload
@pytest.mark.parametrize("backend", BACKENDS)
def test_actors_do_the_work(workload: Workload, backend: Backend) -> None:
    assert workload.run_actors(Trial(COUNT, backend)) > 0


@each_workload
def test_tasks_with_queues_do_the_work(workload: Workload) -> None:
    assert workload.run_tasks(Trial(COUNT)) > 0


@each_workload
def test_tasks_with_channels_do_the_work(workload: Workload) -> None:
    assert workload.run_channels(Trial(COUNT, "trio")) > 0


def test_workloads_have_names_of_their_own() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)


def test_a_rate_is_what_was_done_by_the_seconds_of_the_clock() -> None:
    trial = Trial(30, clock=lambda: 12.0)

    assert trial.rate_since(2.0) == 3.0
    assert trial.rate_since(2.0, 50) == 5.0
