"""A program that goes wrong, made as small as it can be while it still goes wrong.

Each try is a run from the beginning. What counts as "still" is any complaint: a smaller program that goes
wrong in another way is as welcome. Delta debugging over the steps, then over the parts, then over what the
steps say; again, until nothing more can be left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from sentient_core.faults import FaultPlan
from sentient_core.testing.simulation.playing import Outcome, play
from sentient_core.testing.simulation.program import Part, Program, Step, Way

__all__ = ["MOST_TRIES", "shrink"]

T = TypeVar("T")

MOST_TRIES = 1_000


def shrink(
    outcome: Outcome,
    *,
    run: Callable[[Program], Outcome] = play,
    most_tries: int = MOST_TRIES,
    progress: Callable[[Program, int], object] | None = None,
) -> Outcome:
    """The outcome of a smaller program that goes wrong, too; the given one if it goes well.

    `progress` is called with the smallest so far and the number of tries.
    """
    if outcome.is_well:
        return outcome
    search = _Search(outcome, run, most_tries, progress)
    while search.round():
        pass
    return search.best


class _Search:
    def __init__(
        self,
        outcome: Outcome,
        run: Callable[[Program], Outcome],
        most_tries: int,
        progress: Callable[[Program, int], object] | None,
    ) -> None:
        self.best = outcome
        self._run = run
        self._left = most_tries
        self._tries = 0
        self._progress = progress

    def round(self) -> bool:
        """Try everything once more. False: nothing could be left out, or there are no tries left."""
        before = self.best.program
        self._leave_out_steps()
        self._leave_out(lambda program: _without_a_part(program.parts, program))
        self._leave_out(_without_a_virtual)
        self._leave_out(_without_a_follower)
        self._leave_out(_without_a_rule)
        self._leave_out(_simpler_steps)
        return self.best.program != before and self._left > 0

    def _goes_wrong(self, program: Program) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        self._tries += 1
        outcome = self._run(program)
        if self._progress is not None:
            self._progress(self.best.program, self._tries)
        if not outcome.is_well:
            self.best = outcome
        return not outcome.is_well

    def _leave_out_steps(self) -> None:
        """Half of them, then a quarter, and so on, down to single ones."""
        size = max(1, len(self.best.program.steps) // 2)
        while size:
            start = 0
            while start < len(self.best.program.steps):
                steps = self.best.program.steps
                fewer = steps[:start] + steps[start + size :]
                if not self._goes_wrong(msgspec.structs.replace(self.best.program, steps=fewer)):
                    start += size
            size //= 2

    def _leave_out(self, simpler: Callable[[Program], Iterable[Program]]) -> None:
        """Take each simpler program that goes wrong, and look for simpler ones of that."""
        goes_on = True
        while goes_on and self._left > 0:
            goes_on = any(self._goes_wrong(program) for program in simpler(self.best.program))


def _without_a_part(parts: Sequence[Part], program: Program) -> Iterator[Program]:
    for fewer in _with_one_less(tuple(parts)):
        yield msgspec.structs.replace(program, parts=fewer)


def _with_one_less(parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    yield from _without_one(parts)
    for position, part in enumerate(parts):
        for children in _with_one_less(part.children):
            changed = msgspec.structs.replace(part, children=children)
            yield (*parts[:position], changed, *parts[position + 1 :])


def _without_a_virtual(program: Program) -> Iterator[Program]:
    for fewer in _without_one(program.virtual):
        yield msgspec.structs.replace(program, virtual=fewer)


def _without_a_follower(program: Program) -> Iterator[Program]:
    for fewer in _without_one(program.followers):
        yield msgspec.structs.replace(program, followers=fewer)


def _without_a_rule(program: Program) -> Iterator[Program]:
    """Each rule strikes by its place in the plan, too: so this may find nothing."""
    if program.faults:
        plan = FaultPlan.from_toml(program.faults)
        yield msgspec.structs.replace(program, faults="")
        for fewer in _without_one(plan.rules):
            yield msgspec.structs.replace(program, faults=str(FaultPlan(seed=plan.seed, rules=fewer)))


def _simpler_steps(program: Program) -> Iterator[Program]:
    for position, step in enumerate(program.steps):
        for simpler in _simpler(step):
            steps = (*program.steps[:position], simpler, *program.steps[position + 1 :])
            yield msgspec.structs.replace(program, steps=steps)


def _simpler(step: Step) -> Iterator[Step]:
    if step.wait:
        yield msgspec.structs.replace(step, wait=0.0)
    if step.task is None:
        return
    if step.task.way is not Way.NOTE:
        plain = msgspec.structs.replace(step.task, way=Way.NOTE, to="", seconds=0.0)
        yield msgspec.structs.replace(step, task=plain)
    if step.task.seconds:
        yield msgspec.structs.replace(step, task=msgspec.structs.replace(step.task, seconds=0.0))


def _without_one(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for position in range(len(items)):
        yield items[:position] + items[position + 1 :]
