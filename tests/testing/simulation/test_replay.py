"""A program as text, and what is made of a program that goes wrong."""

from __future__ import annotations

import msgspec
import pytest

from sentient_core.errors import InvalidReplay
from sentient_core.testing.simulation import (
    Do,
    Outcome,
    Program,
    Step,
    as_text,
    from_text,
    generate,
    play,
    shrink,
)


@pytest.mark.parametrize("seed", range(20))
def test_a_program_comes_back_from_its_text(seed: int) -> None:
    program = generate(seed)

    assert from_text(as_text(program)) == program
    assert from_text(as_text(Outcome(program, ("wrong",), ("what happened",)))) == program


def test_the_text_has_a_line_per_step_and_the_trace_behind_it() -> None:
    outcome = play(generate(2, 5))

    lines = as_text(outcome).splitlines()

    assert sum(line.startswith('{"step":') for line in lines) == 5
    assert lines[-len(outcome.trace) :] == [f"# {line}" for line in outcome.trace]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello", 1),
        ('{"seed":1}', 1),
        ('{"sentient_simulation":2}', 1),
        ('{"sentient_simulation":1}\n{"sed":1}', 2),
        ('{"sentient_simulation":1}\n\n{"step":{"do":"dance"}}', 0),
        ('{"sentient_simulation":1}\n{"part":{"name":"a"}}', 0),
        ('{"sentient_simulation":1}\n{"faults":"point = 1"}', 0),
        ("", 0),
    ],
)
def test_what_is_no_program_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(InvalidReplay) as caught:
        from_text(text)

    assert caught.value.line == line


def test_shrinking_leaves_what_is_needed_to_go_wrong() -> None:
    def run(program: Program) -> Outcome:
        does = [step.do for step in program.steps]
        is_wrong = does.count(Do.KILL) >= 2 and Do.OUTAGE in does
        return Outcome(program, ("wrong",) if is_wrong else (), ())

    steps = (Step(do=Do.OUTAGE), *(Step(do=Do.KILL, to=str(n), wait=1.0) for n in range(9)))
    long = msgspec.structs.replace(generate(0), steps=(*generate(0, 100).steps, *steps))

    small = shrink(run(long), run=run).program

    assert sorted(step.do for step in small.steps) == ["kill", "kill", "outage"]
    assert not small.parts
    assert not small.virtual
    assert not any(step.wait for step in small.steps)


def test_shrinking_ends_with_its_tries_and_leaves_what_goes_well() -> None:
    tries = 0

    def run(program: Program) -> Outcome:
        nonlocal tries
        tries += 1
        return Outcome(program, ("always",), ())

    shrink(run(generate(0)), run=run, most_tries=3)
    well = Outcome(generate(0), (), ())

    assert tries == 4
    assert shrink(well, run=run) is well
