"""What a supervisor does about a child that is down: decided here, as pure functions."""

from __future__ import annotations

from enum import Enum

import msgspec

from sentient_core.errors import CheckpointUnusable, InvalidArgument, StoreUnavailable
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import Restart

__all__ = ["Strategy", "Verdict", "verdict"]


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


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor restarts its children. Made by `Supervisor.one_for_one(…)`."""

    max_restarts: int = 3
    """Most restarts within the window, over all children; 0: none."""
    within: float = 5.0
    """Length of the window in seconds."""
    is_per_child: bool = False
    """Each child has a window of its own, and one that exhausts it ends for good, alone: what the root
    supervisor does. Otherwise the supervisor gives up: it stops its children and fails itself."""

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise InvalidArgument(f"max_restarts must be at least 0, not {self.max_restarts}")
        if not self.within > 0:
            raise InvalidArgument(f"within must be above 0 seconds, not {self.within}")

    def window(self) -> RestartWindow:
        """A window without restarts."""
        return RestartWindow(self.max_restarts, self.within)


def verdict(restart: Restart, cause: BaseException | None, *, was_ready: bool, is_restart: bool) -> Verdict:
    """Decide on a child that is down.

    `cause` None is an orderly end. `was_ready` False: its start failed; `is_restart` says whether that
    was a start after an earlier incarnation (a first start that fails is its starter's to report).
    """
    if not was_ready and not is_restart:
        return Verdict.BURY
    if isinstance(cause, CheckpointUnusable):
        return Verdict.QUARANTINE
    if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and cause is None):
        return Verdict.BURY
    if isinstance(cause, StoreUnavailable) and not was_ready:
        return Verdict.HOLD
    return Verdict.RESTART
