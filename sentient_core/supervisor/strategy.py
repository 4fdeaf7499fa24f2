"""What a supervisor does about a child that is down: decided here, as pure functions.

Three questions, in this order: what becomes of the child (`verdict`), which siblings go down and come
up with it (`plan`), and whether the window has a restart left (`RestartWindow`, kept by the supervisor).
The strategies are those of OTP's supervisor.erl (`restart/2`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import cast

import msgspec

from sentient_core.actors.decision import RESTARTED, Decision, Directive, Rule
from sentient_core.errors import CheckpointUnusable, Fenced, InvalidStrategy, StoreUnavailable
from sentient_core.supervisor.backoff import Backoff
from sentient_core.supervisor.intensity import RestartBudget, RestartWindow, check_intensity
from sentient_core.supervisor.spec import Restart, check_backoff

__all__ = [
    "AutoShutdown",
    "Plan",
    "RestartKind",
    "Sibling",
    "Strategy",
    "Verdict",
    "ends_supervisor",
    "plan",
    "verdict",
]


class RestartKind(StrEnum):
    """Who is restarted when one child has to be."""

    ONE_FOR_ONE = "one_for_one"
    """It alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children: for those that are of no use without each other."""
    REST_FOR_ONE = "rest_for_one"
    """It and those started after it: for those that build on the ones before them."""


class AutoShutdown(StrEnum):
    """Which ends of significant children end their supervisor, in order. As in OTP's supervisor.

    Only an end of its own counts, after which the child is not started again: not one by `terminate_child`,
    and not the end of the supervisor.
    """

    NEVER = "never"
    ANY = "any"
    """That of any of them."""
    ALL = "all"
    """That of the last of them."""


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor restarts its children. Made by `Supervisor.one_for_one(…)` and its siblings."""

    kind: RestartKind = RestartKind.ONE_FOR_ONE
    max_restarts: int = 3
    """Most restarts within the window, over all children; 0: none. A group counts as one."""
    within: float = 5.0
    """Length of the window in seconds."""
    backoff: Backoff | None = None
    """The waits before restarts, of each child by itself; None: none."""
    rules: tuple[Rule, ...] = ()
    """What is done about which failure, where the child's own rules do not say."""
    budget: RestartBudget | None = None
    """Most restarts in the whole tree below; the supervisor gives up when it is spent."""
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    is_dynamic: bool = False
    """A pool: children of one kind, started on demand under keys of their own."""
    max_children: int | None = None
    """Of a pool; None: any number."""
    is_per_child: bool = False
    """Each child has a window of its own, and one that exhausts it ends for good, alone: what the root
    supervisor does. Otherwise the supervisor gives up: it stops its children and fails itself."""

    stops_in_parallel: bool = False
    """Children are all asked to end at once, not one by one from the last started to the first."""

    def __post_init__(self) -> None:
        check_intensity("a strategy", self.max_restarts, self.within)
        if self.backoff is not None:
            check_backoff(self.backoff)
        if not (self.budget is None or isinstance(self.budget, RestartBudget)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidStrategy(f"budget is {self.budget!r}; make one: RestartBudget(100, within=60.0)")
        most = cast("object", self.max_children)
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise InvalidStrategy(f"max_children must be at least 1, or None, not {most!r}")
        for name, kinds in (("kind", RestartKind), ("auto_shutdown", AutoShutdown)):
            value = getattr(self, name)
            try:
                msgspec.structs.force_setattr(self, name, kinds(value))
            except ValueError:
                names = ", ".join(repr(k.value) for k in kinds)
                raise InvalidStrategy(f"the strategy's {name} is {value!r}; it can be {names}") from None

    @property
    def word(self) -> str:
        """What it is called."""
        return "dynamic" if self.is_dynamic else self.kind.value

    def window(self) -> RestartWindow:
        """A window without restarts."""
        return RestartWindow(self.max_restarts, self.within)


class Verdict(Enum):
    """What becomes of a child that is down."""

    RESTART = "restart"
    """Start it again; costs one restart of the window."""
    HOLD = "hold"
    """Start it again a little later; costs nothing: it is the store that is away."""
    BURY = "bury"
    """It has ended for good, as its restart type or a rule says."""
    QUARANTINE = "quarantine"
    """It has ended for good, since starting it again cannot help."""
    ESCALATE = "escalate"
    """The supervisor fails with it."""


def verdict(
    restart: Restart,
    cause: BaseException | None,
    *,
    was_ready: bool,
    is_restart: bool,
    decision: Decision = RESTARTED,
) -> Verdict:
    """Decide on a child that is down.

    `cause` None is an orderly end. `was_ready` False: its start failed; `is_restart` says whether that
    was a start after an earlier incarnation (a first start that fails is its starter's to report).
    `decision` is what the rules say of the cause; resuming what is down is restarting it.
    """
    if not was_ready and not is_restart:
        return Verdict.BURY
    if isinstance(cause, _HOPELESS):
        return Verdict.QUARANTINE
    if cause is not None:
        if decision.directive is _ESCALATE:
            return Verdict.ESCALATE
        if decision.directive is _STOP:
            return Verdict.BURY
    if restart is _TEMPORARY or (restart is _TRANSIENT and cause is None):
        return Verdict.BURY
    if decision.is_free or (isinstance(cause, StoreUnavailable) and not was_ready):
        return Verdict.HOLD
    return _AGAIN


_HOPELESS = (CheckpointUnusable, Fenced)
# Of the usual way; a member's attribute is slow to look up in Python 3.11.
_AGAIN = Verdict.RESTART
_TEMPORARY = Restart.TEMPORARY
_TRANSIENT = Restart.TRANSIENT
_ESCALATE = Directive.ESCALATE
_STOP = Directive.STOP


def ends_supervisor(kind: AutoShutdown, *, has_others: bool) -> bool:
    """A significant child has ended by itself: whether its supervisor ends with it.

    `has_others`: there are other significant children that have not ended. Source: `do_auto_shutdown` of
    OTP's supervisor.erl.
    """
    if kind is AutoShutdown.ALL:
        return not has_others
    return kind is AutoShutdown.ANY


class Sibling(msgspec.Struct, frozen=True):
    """A child, as far as a plan needs to know it."""

    name: str
    restart: Restart


class Plan(msgspec.Struct, frozen=True):
    """What a restart does, by names: first all stops in order, then all starts in order."""

    stops: tuple[str, ...]
    starts: tuple[str, ...]


def plan(kind: RestartKind, siblings: Sequence[Sibling], failed: str) -> Plan:
    """The restart of `failed` among `siblings`, which are in start order and include it.

    Others are stopped in reverse start order; all come up again in start order, but for temporary
    ones, which are never started again.
    """
    if kind is RestartKind.ONE_FOR_ONE:
        return Plan((), (failed,))
    place = next(i for i, sibling in enumerate(siblings) if sibling.name == failed)
    group = siblings if kind is RestartKind.ONE_FOR_ALL else siblings[place:]
    others = [sibling.name for sibling in group if sibling.name != failed]
    starts = [s.name for s in group if s.name == failed or s.restart is not Restart.TEMPORARY]
    return Plan(tuple(reversed(others)), tuple(starts))
