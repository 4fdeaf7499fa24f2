"""What a workflow is, as data: its steps, what each waits for, and what is done about their failures.

It is stored with every run, so that whatever process comes next goes on with the steps that the run was
started with. So it holds no functions: a step names who is to do it, and what of earlier results it is given.
All of it is checked when it is made, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

import msgspec

from sentient_core.agents.fields import (
    Model,
    Rule,
    amount,
    count,
    duration,
    identity,
    names,
    optional,
    payload,
    text,
)
from sentient_core.agents.workflows.inputs import WORKFLOW_INPUT, check_path, step_of_path
from sentient_core.agents.workflows.order import Waits, checked_order, earlier_steps, waits_for
from sentient_core.agents.workflows.sizes import MOST_STEPS
from sentient_core.errors import InvalidField, InvalidWorkflow

__all__ = ["Approval", "Compensation", "Delay", "Part", "Retry", "Step", "Workflow"]

M = TypeVar("M", bound=Model)

_MOST_OF_NAME = 100


def _a(cls: type[M]) -> Rule:
    """A model, or its fields."""

    def rule(value: Any, _: str) -> M:
        return cls.from_dict(value)

    return rule


def _paths(value: Any, where: str) -> dict[str, str]:
    plain = payload(value, where)
    model, _, field = where.partition(".")
    for name, path in plain.items():
        why = check_path(path)
        if why:
            raise InvalidField(model, field, f"has {path!r} for {name!r}: {why}")
    return cast("dict[str, str]", plain)


class Retry(Model, frozen=True):
    """How often something is tried. The first wait is `backoff` seconds, each other `factor` times that."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "attempts": count,
        "backoff": duration,
        "factor": amount,
        "longest": duration,
        "unless": names,
    }

    attempts: int = 1
    """All in all; 1: it is tried once."""
    backoff: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    """Seconds; no wait is longer."""
    unless: list[str] = msgspec.field(default_factory=list[str])
    """Classes of errors, by name, which another attempt would only come to again: `["ValueError"]`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attempts < 1:
            raise InvalidField("Retry", "attempts", "is 0; something that is never tried is no step")

    def wait_after(self, attempt: int) -> float:
        """Seconds between an attempt, from 1 on, that has failed and the next one."""
        try:
            return min(self.backoff * self.factor ** (attempt - 1), self.longest)
        except OverflowError:  # beyond any `longest`, and what a float can hold
            return self.longest if self.backoff else 0.0


class Compensation(Model, frozen=True):
    """What undoes a step that was completed, when the workflow fails or is cancelled later.

    A task for an agent, as the step itself; with neither `capability` nor `agent` for the one that did the
    step. `inputs` may take from the step's own result, and from what that could take from.
    """

    rules: ClassVar[Mapping[str, Rule]] = {
        "capability": optional(text),
        "agent": optional(identity),
        "description": text,
        "input_data": payload,
        "inputs": _paths,
        "retry": _a(Retry),
        "timeout": optional(duration),
    }

    capability: str | None = None
    agent: str | None = None
    description: str = ""
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    inputs: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    retry: Retry = Retry()
    timeout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.capability is not None and self.agent is not None:
            raise InvalidField(
                "Compensation", "agent", "is given, and a capability as well: give one of them"
            )
        _check_timeout("Compensation", "a compensation", self.timeout)


class Step(Model, frozen=True, tag="step", tag_field="kind"):
    """A task for an agent.

    Step("deploy", capability="deploy", after=["build"], inputs={"page": "build.html"},
    retry=Retry(attempts=3))
    """

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": text,
        "capability": optional(text),
        "agent": optional(identity),
        "description": text,
        "input_data": payload,
        "inputs": _paths,
        "after": optional(names),
        "retry": _a(Retry),
        "timeout": optional(duration),
        "compensate": optional(_a(Compensation)),
    }

    name: str
    capability: str | None = None
    """Done by an agent that can do this, the one of them with the fewest tasks."""
    agent: str | None = None
    """Or by the agent at this path."""
    description: str = ""
    """Of the task; empty: the step's name."""
    input_data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    inputs: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """More of `input_data`, out of what is known when the step begins: `"build"` is all of the result of that
    step, `"build.pages.0"` a part of it, `"input.title"` a part of what the workflow was started with."""
    after: list[str] | None = None
    """The steps it waits for; None: the one before it in the list; []: none, it begins at once."""
    retry: Retry = Retry()
    timeout: float | None = None
    """Seconds that one attempt may take from when an agent has it, pauses not counted."""
    compensate: Compensation | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name("Step", self.name)
        if self.capability is None and self.agent is None:
            raise InvalidField(
                "Step",
                "capability",
                f"is missing: nobody would do {self.name!r}. Give a capability, or an agent",
            )
        if self.capability is not None and self.agent is not None:
            raise InvalidField(
                "Step", "agent", f"of {self.name!r} is given, and a capability as well: give one of them"
            )
        _check_timeout("Step", repr(self.name), self.timeout)


class Approval(Model, frozen=True, tag="approval", tag_field="kind"):
    """Waits for a signal, from a person, say: `await run.signal("release", {"approved": True})`.

    Its result is what came with the signal. It fails when that says `"approved": False` (its `"reason"` is
    the cause), and when none has come within `timeout`.
    """

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": text,
        "signal": optional(identity),
        "after": optional(names),
        "timeout": optional(duration),
    }

    name: str
    signal: str | None = None
    """What it waits for; None: a signal of its own name."""
    after: list[str] | None = None
    timeout: float | None = None
    """Seconds from when the steps before it are completed, pauses not counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name("Approval", self.name)
        _check_timeout("Approval", repr(self.name), self.timeout)

    @property
    def awaited(self) -> str:
        """The name of the signal."""
        return self.signal or self.name


class Delay(Model, frozen=True, tag="delay", tag_field="kind"):
    """Waits for some time, by wall clock: also while the process is down, or the workflow paused."""

    rules: ClassVar[Mapping[str, Rule]] = {"name": text, "seconds": duration, "after": optional(names)}

    name: str
    seconds: float
    after: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name("Delay", self.name)


Part: TypeAlias = Step | Approval | Delay
_KINDS: Mapping[str, type[Part]] = {"step": Step, "approval": Approval, "delay": Delay}


def _parts(value: object, _: str) -> list[Part]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise InvalidField("Workflow", "steps", f"is {value!r:.100}; it must be a list of steps")
    return [_part(part) for part in cast("Sequence[object]", value)]


def _part(value: object) -> Part:
    if isinstance(value, Step | Approval | Delay):
        return value
    if not isinstance(value, Mapping):
        raise InvalidField("Workflow", "steps", f"holds {value!r:.100}; it can hold Step, Approval and Delay")
    fields = dict(cast("Mapping[str, Any]", value))
    kind = fields.pop("kind", "step")
    if kind not in _KINDS:
        raise InvalidField("Workflow", "steps", f"holds a {kind!r:.100}; the kinds are {', '.join(_KINDS)}")
    return _KINDS[kind].from_dict(fields)


class Workflow(Model, frozen=True):
    """Steps, and what each of them waits for.

        Workflow("release", steps=[
            Step("build", capability="build"),
            Step("test", capability="test", after=["build"]),
            Step("document", capability="write", after=["build"]),
            Approval("go", after=["test", "document"], timeout=86_400),
            Step("deploy", capability="deploy", inputs={"page": "build.page"}),
        ])

    Raises, when it is made, InvalidField for a value that a field cannot have, InvalidWorkflow for steps that
    do not fit together, DependencyCycle for such as wait for each other. `Workflow.from_dict` makes one of
    plain data, where a step that is an approval or a delay says so: `{"kind": "approval", "name": "go"}`.
    """

    rules: ClassVar[Mapping[str, Rule]] = {"name": text, "steps": _parts, "description": text}

    name: str
    steps: Sequence[Part]
    description: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name:
            raise InvalidField("Workflow", "name", "is empty")
        if not self.steps:
            raise InvalidWorkflow(self.name, "has no steps, so there is nothing to do")
        if len(self.steps) > MOST_STEPS:
            raise InvalidWorkflow(self.name, f"has {len(self.steps):,} steps; it may have {MOST_STEPS:,}")
        order = checked_order(self.name, [(part.name, part.after) for part in self.steps])
        for part in self.steps:
            if isinstance(part, Step) and (part.inputs or part.compensate is not None):
                known = earlier_steps(order, part.name)
                self._check_inputs(part.name, part.inputs, known)
                if part.compensate is not None:
                    self._check_inputs(part.name, part.compensate.inputs, known | {part.name})

    @property
    def after(self) -> Waits:
        """What each step waits for, by name, in the order of the list."""
        return waits_for((part.name, part.after) for part in self.steps)

    def _check_inputs(self, step: str, inputs: Mapping[str, str], known: frozenset[str]) -> None:
        for name, path in inputs.items():
            source = step_of_path(path)
            if source is not None and source not in known:
                there_is = ", ".join(map(repr, [*sorted(known), WORKFLOW_INPUT]))
                raise InvalidWorkflow(
                    self.name,
                    f"gives the step {step!r} {path!r} as {name!r}, but {source!r} is no step that is "
                    f"completed before it; there is {there_is}",
                )


def _check_name(kind: str, name: str) -> None:
    if not name or len(name) > _MOST_OF_NAME or not name.isprintable():
        raise InvalidField(
            kind, "name", f"is {name!r:.120}; a name has 1 to {_MOST_OF_NAME} printable characters"
        )
    if any(mark in name for mark in ".:/"):
        raise InvalidField(kind, "name", f"is {name!r}; a name has none of . : /")
    if name == WORKFLOW_INPUT:
        raise InvalidField(kind, "name", f"is {name!r}, which stands for what the workflow is started with")


def _check_timeout(kind: str, of: str, timeout: float | None) -> None:
    if timeout == 0:
        raise InvalidField(kind, "timeout", f"of {of} is 0 seconds; None is for no limit")
