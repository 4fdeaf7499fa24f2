"""A program as text that people read and that is played again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sentient_core.errors import InvalidFaultPlan, InvalidReplay
from sentient_core.faults import FaultPlan
from sentient_core.testing.simulation.playing import Outcome
from sentient_core.testing.simulation.program import Program

__all__ = ["as_text", "from_text", "load"]

_FORMAT = 1
_FIELDS = ("seed", "part", "virtual", "follower", "faults", "step")


def as_text(played: Outcome | Program) -> str:
    """The program with a step per line; what came of it, if it was played, stands below, for people alone.

    Lines that begin with `#` are not read back.
    """
    program = played if isinstance(played, Program) else played.program
    lines = [_line({"sentient_simulation": _FORMAT}), _line({"seed": program.seed})]
    lines += [_line({"part": part}) for part in program.parts]
    lines += [_line({"virtual": virtual}) for virtual in program.virtual]
    lines += [_line({"follower": follower}) for follower in program.followers]
    lines += [_line({"faults": program.faults})] if program.faults else []
    lines += [_line({"step": step}) for step in program.steps]
    if isinstance(played, Outcome):
        lines += [f"# wrong: {complaint}" for complaint in played.complaints]
        lines += [f"# {line}" for line in played.trace]
    return "\n".join(lines) + "\n"


def from_text(text: str) -> Program:
    """The program of a text. Raises InvalidReplay, which names the line."""
    fields: dict[str, list[object]] = {name: [] for name in _FIELDS}
    version = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            item = msgspec.json.decode(line, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise InvalidReplay(number, str(error)) from error
        for key, value in item.items():
            if key == "sentient_simulation" and value == _FORMAT:
                version = _FORMAT
            elif not version:
                raise InvalidReplay(number, f"it must begin with {_line({'sentient_simulation': _FORMAT})}")
            elif key not in fields:
                raise InvalidReplay(number, f"there is no {key!r} in a program")
            else:
                fields[key].append(value)
    if not version:
        raise InvalidReplay(0, "it is empty")
    try:
        program = msgspec.convert(
            {
                "seed": (fields["seed"] or [0])[-1],
                "parts": fields["part"],
                "virtual": fields["virtual"],
                "followers": fields["follower"],
                "steps": fields["step"],
                "faults": (fields["faults"] or [""])[-1],
            },
            Program,
        )
        if program.faults:
            FaultPlan.from_toml(program.faults)
    except (msgspec.ValidationError, InvalidFaultPlan) as error:
        raise InvalidReplay(0, str(error)) from error
    return program


def load(path: Path) -> Program:
    """The program in a file. Raises InvalidReplay and OSError."""
    return from_text(path.read_text(encoding="utf-8"))


def _line(value: object) -> str:
    return msgspec.json.encode(value).decode()
