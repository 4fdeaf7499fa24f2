"""Programs of the model test, as data: a tree of supervisors and what is done to it, step by step.

A program is small, has a `repr` that can be pasted into a test, and says everything: who plays it twice gets
the same twice. What a step is done to is a number, which counts through those it can be done to when
its turn comes; so every program can be played, and hypothesis may take steps out of one that fails.

All durations are multiples of a quarter of a second, and each step comes at a moment with a fraction of its
own (`phase`), so that what two steps have caused never falls together: what comes first is always decided.
Graces end between the quarters for the same reason.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from hypothesis import strategies as st

__all__ = [
    "Administer",
    "Child",
    "Do",
    "Error",
    "Hooks",
    "Program",
    "Rules",
    "Step",
    "Team",
    "Wait",
    "phase",
    "programs",
]

Error: TypeAlias = Literal["plain", "odd", "bad", "limited", "poison", "budget"]
DirectiveName: TypeAlias = Literal["resume", "restart", "stop", "escalate", "quarantine", "pause"]
Rules: TypeAlias = tuple[tuple[Error, DirectiveName], ...]
RestartName: TypeAlias = Literal["permanent", "transient", "temporary"]
AutoName: TypeAlias = Literal["never", "any", "all"]
Grace: TypeAlias = float | Literal["brutal_kill"] | None
Kind: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "dynamic"]

QUARTER = 0.25
LAST_STEP = 100


def phase(step: int) -> float:
    """The fraction of a second that is this step's alone."""
    return step / 2**12


class Wait(msgspec.Struct, frozen=True):
    """A backoff, without jitter."""

    first: float
    most: float
    reset_after: float


class Team(msgspec.Struct, frozen=True):
    """What makes a child a supervisor. Of a pool, `children` holds the one spec of all."""

    kind: Kind
    max_restarts: int
    within: float
    children: tuple[Child, ...]
    auto_shutdown: AutoName = "never"
    rules: Rules = ()
    wait: Wait | None = None
    budget: tuple[int, float] | None = None
    max_children: int | None = None


class Child(msgspec.Struct, frozen=True):
    name: str
    restart: RestartName = "permanent"
    grace: Grace = 1.3125
    significant: bool = False
    rules: Rules = ()
    wait: Wait | None = None
    team: Team | None = None
    stopping: float = 0.0
    """Seconds that its `on_stop` takes."""


class Do(msgspec.Struct, frozen=True):
    """Something for one actor: a message (`note`, one that fails, one that takes its time) or a call."""

    what: Literal["note", "slow", "stop", "kill", "pause", "resume"] | Error
    whom: int
    seconds: float = 0.0
    """Of a slow message."""


class Hooks(msgspec.Struct, frozen=True):
    """What the next hooks of one actor do: of each pair one entry is for one run."""

    whom: int
    starts: tuple[Literal["ok", "raise", "ignore"], ...] = ()
    stops: tuple[float | Literal["raise"], ...] = ()
    """Seconds that it takes."""


class Administer(msgspec.Struct, frozen=True):
    what: Literal["start", "terminate", "restart", "delete"]
    whom: int
    """A supervisor to start a child of, else a child."""
    child: Child = Child("extra")
    """To start."""
    start: Literal["ok", "raise", "ignore"] = "ok"
    """How the start or the restart goes."""


class Step(msgspec.Struct, frozen=True):
    does: Do | Hooks | Administer
    then: float = 0.0
    """Seconds that pass before the next."""


class Program(msgspec.Struct, frozen=True):
    top: Team
    steps: tuple[Step, ...]
    seed: int = 0
    """Of trio's scheduler."""


def programs() -> st.SearchStrategy[Program]:
    """Trees that are up to three deep, and up to thirty steps."""
    # A length that is drawn first makes longer programs than lists() does by itself.
    steps = st.integers(1, 30).flatmap(lambda n: st.lists(_steps(), min_size=n, max_size=n)).map(tuple)
    return st.builds(Program, top=_teams(depth=0), steps=steps, seed=st.integers(0, 2**16))


_RESTARTS: st.SearchStrategy[RestartName] = st.sampled_from(
    ["permanent", "permanent", "transient", "transient", "temporary"]
)
_RULED: st.SearchStrategy[Error] = st.sampled_from(["odd", "bad"])
_DIRECTIVES: st.SearchStrategy[DirectiveName] = st.sampled_from(
    ["resume", "restart", "stop", "escalate", "quarantine", "pause"]
)
_RULES: st.SearchStrategy[Rules] = st.one_of(
    st.just(()),
    st.just(()),
    st.lists(st.tuples(_RULED, _DIRECTIVES), max_size=2).map(tuple),
)
_WAITS = st.one_of(
    st.none(),
    st.none(),
    st.builds(
        Wait,
        first=st.sampled_from([0.5, 1.0]),
        most=st.sampled_from([1.0, 4.0]),
        reset_after=st.sampled_from([0.5, 3.0]),
    ),
)
_SECONDS = st.sampled_from([0.0, 0.0, 0.25, 0.25, 0.5, 1.0, 2.0, 5.0])


@st.composite
def _children(draw: st.DrawFn, name: str, depth: int, auto_shutdown: str) -> Child:
    restart = draw(_RESTARTS)
    may_be_team = depth < 2 and draw(st.sampled_from([True, False] if depth == 0 else [True, False, False]))
    team = draw(_teams(depth + 1)) if may_be_team else None
    # Two graces that begin at one moment, one inside the other, must not end at one moment.
    limit = 1.3125 if team is None else 3.0 + 0.0625 * 2**-depth
    return Child(
        name=name,
        restart=restart,
        grace=draw(st.sampled_from([limit, limit, "brutal_kill", None])),
        significant=auto_shutdown != "never" and restart != "permanent" and draw(st.booleans()),
        rules=draw(_RULES),
        wait=draw(_WAITS),
        team=team,
        stopping=draw(st.sampled_from([0.0, 0.0, 0.0, 0.5, 2.0])),
    )


@st.composite
def _teams(draw: st.DrawFn, depth: int) -> Team:
    kinds: list[Kind] = ["one_for_one", "one_for_all", "rest_for_one", "dynamic" if depth else "one_for_all"]
    autos: list[AutoName] = ["never", "never", "any", "all"]
    kind = draw(st.sampled_from(kinds))
    auto_shutdown = draw(st.sampled_from(autos))
    if kind == "dynamic":
        names = [""]
    else:
        names = list("abcd"[: draw(st.integers(1 if depth else 2, 4 if depth < 2 else 3))])
    child_depth = 9 if kind == "dynamic" else depth
    return Team(
        kind=kind,
        max_restarts=draw(st.sampled_from([0, 1, 2, 3, 3])),
        within=draw(st.sampled_from([1.0, 2.0, 5.0])),
        children=tuple(draw(_children(name, child_depth, auto_shutdown)) for name in names),
        auto_shutdown=auto_shutdown,
        rules=draw(_RULES),
        wait=draw(_WAITS),
        budget=draw(st.sampled_from([None, None, None, (1, 5.0), (3, 2.0)])),
        max_children=draw(st.sampled_from([None, 2])) if kind == "dynamic" else None,
    )


_WHOM = st.integers(0, 40)
_FAULTS = st.sampled_from(["plain", "plain", "odd", "odd", "bad", "bad", "limited", "poison", "budget"])


@st.composite
def _extras(draw: st.DrawFn) -> Child:
    return Child(
        name=draw(st.sampled_from(["a", "e", "f"])),
        restart=draw(_RESTARTS),
        grace=draw(st.sampled_from([1.3125, "brutal_kill"])),
        rules=draw(_RULES),
        wait=draw(_WAITS),
    )


def _steps() -> st.SearchStrategy[Step]:
    fault = st.builds(Do, what=_FAULTS, whom=_WHOM)
    end = st.builds(Do, what=st.sampled_from(["stop", "kill"]), whom=_WHOM)
    calm = st.builds(
        Do,
        what=st.sampled_from(["note", "note", "slow", "slow", "pause", "resume"]),
        whom=_WHOM,
        seconds=st.sampled_from([0.5, 2.0, 6.0]),
    )
    outcomes = st.lists(st.sampled_from(["raise", "raise", "ok", "ignore"]), max_size=3).map(tuple)
    stops = st.lists(st.sampled_from([0.5, 2.0, "raise"]), max_size=2).map(tuple)
    hooks = st.builds(Hooks, whom=_WHOM, starts=outcomes, stops=stops)
    administration = st.builds(
        Administer,
        what=st.sampled_from(
            ["start", "start", "start", "terminate", "terminate", "restart", "restart", "delete"]
        ),
        whom=_WHOM,
        child=_extras(),
        start=st.sampled_from(["ok", "ok", "ok", "raise", "ignore"]),
    )
    return st.builds(
        Step,
        does=st.one_of(fault, fault, fault, end, calm, hooks, administration, administration),
        then=_SECONDS,
    )
