"""The whole runtime under random programs: it keeps its promises, and each run is the same again."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import time

import pytest
from trio._core import _run  # pyright: ignore[reportPrivateUsage] - what a run has seeded

from sentient_core.actors import dispatcher
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.testing.simulation import (
    Follows,
    Kind,
    Outcome,
    Program,
    as_text,
    generate,
    play,
    simulate,
)
from sentient_core.testing.simulation.broken import BROKEN, OF_FAULTS, break_runtime

SEEDS = range(200)


def test_hundreds_of_programs_with_faults_crashes_and_outages_go_well() -> None:
    simulation = simulate(SEEDS)

    assert simulation.is_well, as_text(simulation.shrunk or Outcome(generate(0), (), ()))
    assert simulation.seeds == len(SEEDS)
    assert simulation.happenings > 100 * len(SEEDS)


def test_programs_are_of_all_kinds() -> None:
    programs = [generate(seed) for seed in SEEDS]

    does = {step.do for program in programs for step in program.steps}
    ways = {step.task.way for program in programs for step in program.steps if step.task is not None}
    assert {str(do) for do in does} >= {"crash", "reboot", "outage", "kill", "terminate", "ask", "pause"}
    assert {str(way) for way in ways} >= {"relay, fail", "durable timer", "stash", "watch", "bad start"}
    sent = [step.task for program in programs for step in program.steps if step.has_id]
    assert len(sent) > len(set(sent)), "nothing is sent again under its id"
    assert any(program.faults for program in programs)
    assert any(not program.faults for program in programs)
    assert any(kind is Kind.DURABLE for program in programs for kind, _ in program.virtual)
    rules = {(rule.point, rule.action) for program in programs for rule in _rules(program)}
    assert {point for point, _ in rules} == set(FaultPoint) - {FaultPoint.STORE_WRITE}
    assert {action for _, action in rules} == set(FaultAction) - {FaultAction.KILL, FaultAction.CORRUPT}
    assert {kind for program in programs for kind, _ in program.followers} == set(Follows)


def _rules(program: Program) -> tuple[Rule, ...]:
    return FaultPlan.from_toml(program.faults).rules if program.faults else ()


@pytest.mark.parametrize("seed", [3, 14, 15])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    assert play(generate(seed)) == play(generate(seed))


def test_another_schedule_is_another_run_of_the_same_program() -> None:
    program = generate(5)
    other = Program(
        seed=6,
        parts=program.parts,
        virtual=program.virtual,
        followers=program.followers,
        steps=program.steps,
        faults=program.faults,
    )

    assert play(program).trace != play(other).trace


def test_in_another_process_with_other_hashes_it_is_the_same_run() -> None:
    found = {_digests_elsewhere(hash_seed) for hash_seed in ("1", "77")}

    assert found == {_digests()}


def _digests() -> str:
    traces = ["\n".join(play(generate(seed)).trace) for seed in range(5)]
    return hashlib.sha256("\n".join(traces).encode()).hexdigest()


def _digests_elsewhere(hash_seed: str) -> str:
    code = (
        "from tests.testing.simulation import test_simulating as here; "
        "import sys; sys.stdout.write(here._digests())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_behind_a_run_clocks_collector_and_scheduler_are_as_before() -> None:
    before = vars(_run)["_ALLOW_DETERMINISTIC_SCHEDULING"], vars(_run)["_r"].getstate()

    play(generate(1))

    assert vars(dispatcher)["time"] is time
    assert gc.isenabled()
    assert (vars(_run)["_ALLOW_DETERMINISTIC_SCHEDULING"], vars(_run)["_r"].getstate()) == before


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_runtime_that_is_broken_on_purpose_is_found_out_and_made_small(name: str) -> None:
    with break_runtime(name):
        simulation = simulate(range(120, 240), has_faults=name in OF_FAULTS)
        small = simulation.shrunk
        assert small is not None, f"{name} goes unnoticed"
        again = play(small.program)

    assert len(small.program.steps) <= 10
    assert again == small
    assert play(small.program).is_well  # it was the runtime, not the witness


def test_it_stops_at_the_first_that_goes_wrong_and_says_how_far_it_is() -> None:
    seen: list[tuple[int, int]] = []
    tries: list[int] = []

    with break_runtime("forgets-a-queue"):
        simulation = simulate(
            range(10, 60),
            has_faults=False,
            progress=lambda seed, count: seen.append((seed, count)),
            on_shrinking=lambda _, count: tries.append(count),
        )

    assert simulation.failed is not None
    assert simulation.shrunk is not None
    assert seen == [(10 + n, n + 1) for n in range(simulation.seeds)]
    assert simulation.failed.program.seed == seen[-1][0]
    assert tries == list(range(1, len(tries) + 1))
    assert len(simulation.shrunk.program.steps) < len(simulation.failed.program.steps)
