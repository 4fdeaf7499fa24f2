"""`sentient simulate`: the runtime under random programs and schedules, and the first that goes wrong."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, cast

import click

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.output import Reporter, print_json
from sentient_core.errors import InvalidReplay
from sentient_core.testing.simulation import Outcome, Program, Simulation, as_text, load, play, simulate
from sentient_core.testing.simulation import broken as broken_runtimes
from sentient_core.testing.simulation.generating import STEPS

__all__ = ["simulate_command"]

_SAY_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


@click.command("simulate")
@click.option("--seeds", default=1000, show_default=True, type=click.IntRange(1), help="So many programs.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(0), help="The first seed.")
@click.option("--steps", default=STEPS, show_default=True, type=click.IntRange(1), help="Of each program.")
@click.option("--faults/--no-faults", "has_faults", default=True, help="With random fault plans. [default]")
@click.option(
    "--replay",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Play the program in a file instead.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what goes wrong into this file, to be replayed.",
)
@click.option("--shrink/--no-shrink", "shrinks", default=True, help="Make it small. [default]")
@click.option(
    "--broken",
    type=click.Choice(sorted(broken_runtimes.BROKEN)),
    help="Break the runtime on purpose, to see that it is found out.",
)
@click.option("--json", "is_json", is_flag=True, help="One JSON document on stdout.")
def simulate_command(
    seeds: int,
    first: int,
    steps: int,
    has_faults: bool,
    file: Path | None,
    out: Path | None,
    shrinks: bool,
    broken: str | None,
    is_json: bool,
) -> None:
    """Play random programs on the whole runtime, and print the first that goes wrong, made small.

    Actors of all kinds under supervisors, under virtual time and a schedule that the seed decides, with a
    store in memory: messages, timers, failures, kills, outages, deaths of the process. Each run is
    compared with a reference while it goes on. A seed is the same run wherever it is played with the
    same version. Exit codes: 0 all went well, 1 one did not: its program and trace are on stdout, 2 it could
    not run, or not to its end (Ctrl-C says where to go on).

    The actors are its own, not yours: for those put fault plans into tests under a virtual clock, with the
    pytest plugin of sentient-core[testing].
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise CannotRun(f"{out}: there is no directory {out.absolute().parent}")
    progress = _Progress(first, seeds)
    try:
        with broken_runtimes.break_runtime(broken):
            if file is not None:
                _replay(file, is_json)
            with progress.reporter.step("simulating"):
                simulation = simulate(
                    range(first, first + seeds),
                    steps=steps,
                    has_faults=has_faults,
                    shrinks=shrinks,
                    progress=progress.played,
                    on_shrinking=progress.shrinking,
                )
    except BaseException as error:  # of a loop that Ctrl-C has ended it may come in a group
        if not _is_interrupt(error):
            raise
        raise CannotRun(f"interrupted: {progress.until_now}") from None
    wrong = simulation.shrunk or simulation.failed
    if wrong is not None and out is not None:
        _write(out, as_text(wrong))
    _tell(simulation, wrong, progress, out, broken, is_json)
    raise SystemExit(0 if simulation.is_well else 1)


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_interrupt, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, KeyboardInterrupt)


def _replay(file: Path, is_json: bool) -> None:
    try:
        program = load(file)
    except (InvalidReplay, OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{file}: {error}") from error
    outcome = play(program)
    if is_json:
        print_json(_as_data(outcome))
    else:
        click.echo(as_text(outcome), nl=False)
    raise SystemExit(0 if outcome.is_well else 1)


def _tell(
    simulation: Simulation,
    wrong: Outcome | None,
    progress: _Progress,
    out: Path | None,
    broken: str | None,
    is_json: bool,
) -> None:
    if is_json:
        data: dict[str, Any] = {"seeds": simulation.seeds, "happenings": simulation.happenings}
        data |= {"seconds": round(progress.seconds, 3), "is_well": simulation.is_well}
        if wrong is not None and simulation.failed is not None:
            data |= {"failed_seed": simulation.failed.program.seed, **_as_data(wrong)}
        print_json(data)
        return
    if wrong is None or simulation.failed is None:
        progress.reporter.say(
            f"{simulation.seeds:,} programs went well: {simulation.happenings:,} happenings in "
            f"{progress.seconds:.1f} s"
        )
        return
    again = ["sentient", "simulate", *(() if broken is None else ("--broken", broken)), "--replay", str(out)]
    where = shlex.join(again) if out is not None else "--out FILE keeps it for --replay"
    progress.reporter.say(f"seed {simulation.failed.program.seed} goes wrong; {where}")
    click.echo(as_text(wrong), nl=False)


def _as_data(outcome: Outcome) -> dict[str, Any]:
    return {"complaints": outcome.complaints, "replay": as_text(outcome), "trace": outcome.trace}


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{out}: {error}") from error


class _Progress:
    """On a terminal a line that changes, else one every ten seconds."""

    def __init__(self, first: int, seeds: int) -> None:
        self.reporter = Reporter()
        self._first = first
        self._seeds = seeds
        self._until_now = "no program was played to its end"
        self._began = self._said = time.monotonic()

    def played(self, seed: int, count: int) -> None:
        rate = count / max(self.seconds, 1e-9)
        left = self._seeds - count
        self._until_now = (
            f"{count:,} programs were played; --first {self._first + count} --seeds {left} goes on"
        )
        self._say(f"{count:,} of {self._seeds:,} programs, {rate:.0f} a second, seed {seed}")

    def shrinking(self, program: Program, tries: int) -> None:
        self._until_now = (
            f"seed {program.seed} goes wrong; --first {program.seed} --no-shrink shows it at once"
        )
        self._say(f"seed {program.seed} goes wrong: {len(program.steps)} steps after {tries} tries")

    @property
    def until_now(self) -> str:
        """What there is to say where it is interrupted."""
        return self._until_now

    @property
    def seconds(self) -> float:
        """Since the first program."""
        return time.monotonic() - self._began

    def _say(self, line: str) -> None:
        if self.reporter.is_terminal:
            self.reporter.change(line)
        elif time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            self.reporter.say(line)
