"""What a supervisor does about a child that is down: decided here, as pure functions.

Three questions, in this order: what becomes of the child (`verdict`), which siblings go down and come
up with it (`plan`), and whether the window has a restart left (`RestartWindow`, kept by the supervisor).
The strategies are those of OTP's supervisor.erl (`restart/2`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum

import msgspec

from sentient_core.errors import CheckpointUnusable, Fenced, InvalidArgument, StoreUnavailable
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import Restart

__all__ = ["Plan", "RestartKind", "Sibling", "Strategy", "Verdict", "plan", "verdict"]


class RestartKind(StrEnum):
    """Who is restarted when one child has to be."""

    ONE_FOR_ONE = "one_for_one"
    """It alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children: for those that are of no use without each other."""
    REST_FOR_ONE = "rest_for_one"
    """It and those started after it: for those that build on the ones before them."""


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor restarts its children. Made by `Supervisor.one_for_one(…)` and its siblings."""

    kind: RestartKind = RestartKind.ONE_FOR_ONE
    max_restarts: int = 3
    """Most restarts within the window, over all children; 0: none. A group counts as one."""
    within: float = 5.0
    """Length of the window in seconds."""
    is_per_child: bool = False
    """Each child has a window of its own, and one that exhausts it ends for good, alone: what the root
    supervisor does. Otherwise the supervisor gives up: it stops its children and fails itself."""

    stops_in_parallel: bool = False
    """Children are all asked to end at once, not one by one from the last started to the first."""

    def __post_init__(self) -> None:
        try:
            kind = RestartKind(self.kind)
        except ValueError:
            names = ", ".join(repr(k.value) for k in RestartKind)
            raise InvalidArgument(f"the strategy's kind is {self.kind!r}; it can be {names}") from None
        msgspec.structs.force_setattr(self, "kind", kind)
        if self.max_restarts < 0:
            raise InvalidArgument(f"max_restarts must be at least 0, not {self.max_restarts}")
        if not self.within > 0:
            raise InvalidArgument(f"within must be above 0 seconds, not {self.within}")

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
    """It has ended for good, in order."""
    QUARANTINE = "quarantine"
    """It has ended for good, since starting it again cannot help."""


def verdict(restart: Restart, cause: BaseException | None, *, was_ready: bool, is_restart: bool) -> Verdict:
    """Decide on a child that is down.

    `cause` None is an orderly end. `was_ready` False: its start failed; `is_restart` says whether that
    was a start after an earlier incarnation (a first start that fails is its starter's to report).
    """
    if not was_ready and not is_restart:
        return Verdict.BURY
    if isinstance(cause, _HOPELESS):
        return Verdict.QUARANTINE
    if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and cause is None):
        return Verdict.BURY
    if isinstance(cause, StoreUnavailable) and not was_ready:
        return Verdict.HOLD
    return _AGAIN


_HOPELESS = (CheckpointUnusable, Fenced)
_AGAIN = Verdict.RESTART  # the usual answer; a member's attribute is slow to look up in Python 3.11


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
