"""Random trees under random faults, held against a small reference supervisor, step by step and exactly.

Compared whenever all is quiet: every hook that ran, in its order and at its time; who lives, in which
incarnation, how often it was restarted; the list of children of every supervisor, with statuses and counts;
what was handled in which order, every dead letter, every Terminated, every answer of the administration.

A program is data (tests/supervisor/model/program.py), not a `RuleBasedStateMachine`: the runtime wants an
event loop around all steps of a run, on either backend, which rules called from outside cannot have. As data
it starts at the virtual time 0 of a loop of its own, does the same whenever it is played, and hypothesis can
still take it apart. A failing one is printed as it is: paste it into FOUND.

`make test` plays the same few hundred each time. `SENTIENT_MODEL=5000` in the environment plays so many
others, and takes a failing one apart, which may take minutes (`-o faulthandler_timeout=0`); hypothesis prints
how to see it again, `--hypothesis-seed` gives the same programs again, and `--hypothesis-show-statistics`
shows how often the interesting states were reached.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, event, find, given, settings
from hypothesis import strategies as st

from sentient_core import AutoShutdown, Backoff
from sentient_core.actors import cell, dispatcher
from sentient_core.supervisor import children
from sentient_core.supervisor.child import Child as KeptChild
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.job import Job
from sentient_core.supervisor.strategy import Plan, RestartKind, Sibling, plan
from tests.long import IS_LONG, few
from tests.supervisor.model.program import Administer, Child, Do, Hooks, Program, Step, Team, Wait, programs
from tests.supervisor.model.stage import Difference, play

PROGRAMS = int(os.environ.get("SENTIENT_MODEL", "300" if IS_LONG else "200"))
"""How many are played on each backend."""
PHASES = [Phase.explicit, Phase.generate]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module", autouse=True)
def replayable() -> Iterator[None]:
    """Turns do not end by the wall clock here, so that a program does the same again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "TURN_SECONDS", 1e9)
        patch.setattr(dispatcher, "SLICE", 1e9)
        yield


A_GROUP = Team("one_for_all", 3, 5.0, (Child("a"), Child("b"), Child("c")))

FOUND = {
    "a child that is killed at the end of its grace comes up again with its supervisor": Program(
        Team("one_for_one", 0, 1.0, (Child("a"), Child("b", "transient"))),
        (Step(Do("slow", 2, 6.0), 2.0), Step(Do("plain", 0), 1.0)),
    ),
    "a child that does not come up with its group takes the group down once more": Program(
        A_GROUP, (Step(Hooks(2, ("raise",))), Step(Do("plain", 1), 1.0))
    ),
    "one that ended and is restarted by hand, in vain, stays in the list": Program(
        Team("one_for_one", 3, 5.0, (Child("a", "transient"), Child("b"))),
        (
            Step(Administer("terminate", 16 * 2 + 2), 1.0),
            Step(Administer("restart", 16 * 2 + 1, start="raise"), 1.0),
            Step(Administer("restart", 16 * 2 + 1), 1.0),
        ),
    ),
}
"""Programs that the runtime and the reference once differed about."""


@pytest.mark.parametrize("program", FOUND.values(), ids=FOUND)
def test_the_programs_that_found_something(program: Program, backend: str) -> None:
    play(program, backend)


REACHED = {
    "a child waits for its restart",
    "a grace runs out",
    "a group is restarted",
    "a group takes one along that had ended",
    "a group waits for its restart",
    "a restart fails",
    "a significant child ends its supervisor",
    "a supervisor does not start, for a child",
    "a supervisor gives up",
    "an actor pauses with its message",
    "an end cuts a group restart off",
    "the root gives up",
}
"""What programs must come to; who changes their weights sees here what gets lost."""


def test_the_runtime_does_what_the_reference_does(backend: str) -> None:
    reached: set[str] = set()

    @settings(
        max_examples=PROGRAMS,
        derandomize="SENTIENT_MODEL" not in os.environ,
        database=None,
        phases=[*PHASES, Phase.shrink] if "SENTIENT_MODEL" in os.environ else PHASES,
        deadline=None,
        print_blob=True,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(programs())
    def compare(program: Program) -> None:
        reference = play(program, backend)
        for word in reference.reached:
            event(word)
        reached.update(reference.reached)

    compare()

    assert reached >= REACHED


AT_THE_EDGE = Program(
    Team("one_for_one", 1, 1.0, (Child("a", wait=Wait(1.0, 1.0, 3.0)),)),
    (Step(Hooks(1, ("raise",))), Step(Do("plain", 1), 5.0)),
)
"""Its second restart is due as the first is just still in the window: too rare to wait for."""


def _spends_one_too_many(window: RestartWindow, now: float) -> bool:
    window._times.append(now)  # pyright: ignore[reportPrivateUsage]
    return window.count(now) <= window.max_restarts + 1


def _leaves_the_first_moment_out(window: RestartWindow, now: float) -> bool:
    recent = [then for then in window._times if now - then < window.within]  # pyright: ignore[reportPrivateUsage]
    window._times = deque([*recent, now])  # pyright: ignore[reportPrivateUsage]
    return len(recent) < window.max_restarts


def _counts_refused_ones(window: RestartWindow, now: float) -> bool:
    window._times.append(now)  # pyright: ignore[reportPrivateUsage]
    return len(window._times) <= window.max_restarts  # pyright: ignore[reportPrivateUsage] - nor forgets any


def _first_is_next(job: Job) -> KeptChild | None:
    return next(iter(job.stops), None)


def _group_without_the_last(kind: RestartKind, siblings: Sequence[Sibling], failed: str) -> Plan:
    whole = plan(kind, siblings, failed)
    return Plan(whole.stops[1:], whole.starts if len(whole.stops) == 0 else whole.starts[:-1])


def _never_ends(kind: AutoShutdown, *, has_others: bool) -> bool:
    return False


def _forgets_failures(backoff: Backoff, failures: int, luck: float) -> float:
    return backoff.first


BROKEN: dict[str, tuple[object, str, object]] = {
    "one restart too many": (RestartWindow, "spend", _spends_one_too_many),
    "a window without its first moment": (RestartWindow, "spend", _leaves_the_first_moment_out),
    "a window that never forgets": (RestartWindow, "spend", _counts_refused_ones),
    "stops in the order of starts": (Job, "next_stop", property(_first_is_next)),
    "a group without its last member": (children, "plan", _group_without_the_last),
    "significant children that are not": (children, "ends_supervisor", _never_ends),
    "a backoff that does not grow": (Backoff, "delay", _forgets_failures),
}


@pytest.mark.slow
@pytest.mark.parametrize("broken", few(BROKEN, 3))
def test_a_broken_supervisor_is_found_out(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, name, instead = BROKEN[broken]
    monkeypatch.setattr(target, name, instead)

    def differs(program: Program) -> bool:
        try:
            play(program, "asyncio")
        except Difference:
            return True
        return False

    once = settings(max_examples=500, database=None, derandomize=True, phases=[Phase.generate], deadline=None)
    assert differs(find(st.just(AT_THE_EDGE) | programs(), differs, settings=once))
