"""A plan of faults as data: what is to go wrong, where, for whom, and how often, reproducible from its seed.

Whether a rule strikes is decided for each actor by itself, from the seed and from how often that actor has
come by: what other actors do meanwhile, and in which order the loop runs them, changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, cast

import msgspec
import tomli_w

from sentient_core.errors import InvalidFaultPlan
from sentient_core.faults.points import ACTIONS, STORE_POINTS, FaultAction, FaultPoint

__all__ = ["FaultPlan", "Rule"]


class Rule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    """One thing that goes wrong. Raises InvalidFaultPlan for what could never strike, or means nothing."""

    point: FaultPoint
    action: FaultAction
    actor: str = "*"
    """Paths of the actors meant, as a shell pattern; `*` takes any number of parts: `bank/*`."""
    message_type: str = "*"
    """Class names of the messages meant, as a shell pattern. At `spawn` and `start` those of the actors, at
    `publish` the event's type."""
    nth: int | None = None
    """Strike when an actor comes by for the n-th time, counted from 1 among what the rule means, and then
    no more; None: each time."""
    probability: float = 1.0
    """Strike so often, of the times that are left."""
    times: int | None = None
    """Strike so often in all; None: without bound."""
    seconds: float | None = None
    """How long a `delay` takes."""
    reason: str = ""
    """What a `raise` says."""

    def __post_init__(self) -> None:
        point, action = _member(FaultPoint, self.point), _member(FaultAction, self.action)
        msgspec.structs.force_setattr(self, "point", point)
        msgspec.structs.force_setattr(self, "action", action)
        if action not in ACTIONS[point]:
            can = ", ".join(sorted(ACTIONS[point]))
            raise InvalidFaultPlan(f"nothing can {action} at {point}; what can be done there: {can}")
        _check_text("actor", self.actor, "the path of an actor, or a pattern such as 'bank/*'")
        _check_text("message_type", self.message_type, "the name of a class, such as 'Deposit', or a pattern")
        if point in STORE_POINTS and (self.actor != "*" or self.message_type != "*"):
            raise InvalidFaultPlan(f"{point} is of many actors together: leave actor and message_type out")
        _check_count("nth", self.nth)
        _check_count("times", self.times)
        if not _is_number(self.probability) or not 0.0 < self.probability <= 1.0:
            raise InvalidFaultPlan(f"probability is more than 0 and at most 1, not {self.probability!r}")
        needs_seconds = action is FaultAction.DELAY
        if needs_seconds and not (_is_number(self.seconds) and 0.0 < (self.seconds or 0.0) < math.inf):
            raise InvalidFaultPlan(f"a delay takes seconds=, a number above 0, not {self.seconds!r}")
        if not needs_seconds and self.seconds is not None:
            raise InvalidFaultPlan(f"seconds says nothing to {action}: leave it out")
        if not isinstance(self.reason, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users check less
            raise InvalidFaultPlan(f"reason must be a text, not {self.reason!r}")
        if self.reason and action is not FaultAction.RAISE:
            raise InvalidFaultPlan(f"reason says nothing to {action}: leave it out")

    def means(self, actor: str, message_type: str) -> bool:
        """Who comes by its point is one of those it is for."""
        return fnmatchcase(actor, self.actor) and fnmatchcase(message_type, self.message_type)


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to go wrong in a run. `str` of it is TOML, which `from_toml` reads.

        plan = FaultPlan(seed=7, rules=(
            Rule(point="receive", action="raise", actor="bank/*", message_type="Deposit", nth=3),
            Rule(point="store_append", action="delay", seconds=0.2, probability=0.1),
        ))
        async with ActorSystem("bank", store="mem://", faults=plan) as system: ...

    Of several rules that strike at once, the first is obeyed; each counts for itself. The same seed and the
    same run give the same faults. What depends on real time does not come in the same run again: how many
    turns a group commit takes, say, which the points of a store count. Under a virtual clock less does.
    """

    seed: int
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if type(self.seed) is not int:
            raise InvalidFaultPlan(f"seed must be a whole number, not {self.seed!r}")
        rules: object = self.rules
        if not _is_sequence(rules):
            raise InvalidFaultPlan(f"rules must be a sequence of Rule(...), not {rules!r}")
        for rule in cast("Sequence[object]", rules):
            if not isinstance(rule, Rule):
                raise InvalidFaultPlan(f"rules must be Rule(...), not {rule!r}")
        msgspec.structs.force_setattr(self, "rules", tuple(self.rules))

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The plan that `str` has printed, or that somebody wrote: a `seed`, and a table `[[rules]]` a rule.

        Raises InvalidFaultPlan, which says where.
        """
        try:
            return msgspec.toml.decode(text, type=cls)
        except msgspec.DecodeError as error:  # also of a value that a rule does not take: it carries its text
            raise InvalidFaultPlan(f"{error}{_what_there_is(str(error))}") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """`from_toml` of a file. Raises InvalidFaultPlan, and OSError for one that cannot be read."""
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except (InvalidFaultPlan, UnicodeDecodeError) as error:
            raise InvalidFaultPlan(f"{path}: {error}") from error

    def __str__(self) -> str:
        return tomli_w.dumps(msgspec.to_builtins(self))


def _what_there_is(complaint: str) -> str:
    """What a misspelt word in a text might have been."""
    in_rule = "$.rules[" in complaint
    if "unknown field" in complaint or "missing required field" in complaint:
        fields = (Rule if in_rule else FaultPlan).__struct_fields__
        what = "a rule" if in_rule else "a plan, whose rules are tables [[rules]],"
        return f"; {what} has {', '.join(fields)}"
    if "Expected `array`" in complaint:
        return "; each rule is a table [[rules]]"
    if "Invalid enum value" in complaint:
        kind = FaultPoint if complaint.endswith(".point`") else FaultAction
        return f"; there are: {', '.join(sorted(kind))}"
    return ""


def _member(kind: Any, value: object) -> Any:
    try:
        return kind(value)
    except ValueError:
        what = "point" if kind is FaultPoint else "action"
        raise InvalidFaultPlan(
            f"there is no {what} {value!r}; there are: {', '.join(sorted(kind))}"
        ) from None


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _check_text(name: str, value: object, what: str) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidFaultPlan(f"{name} must be {what}, as a text, not {value!r}")


def _check_count(name: str, value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidFaultPlan(f"{name} must be a whole number from 1 on, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
