"""Supervision: what a child is, when it is started again, and when its supervisor gives up."""

from __future__ import annotations

from sentient_core.supervisor.backoff import Backoff
from sentient_core.supervisor.intensity import RestartBudget, RestartWindow
from sentient_core.supervisor.spec import BRUTAL_KILL, ChildSpec, Restart
from sentient_core.supervisor.strategy import AutoShutdown, Strategy, Verdict, verdict
from sentient_core.supervisor.supervisor import Supervisor

__all__ = [
    "BRUTAL_KILL",
    "AutoShutdown",
    "Backoff",
    "ChildSpec",
    "Restart",
    "RestartBudget",
    "RestartWindow",
    "Strategy",
    "Supervisor",
    "Verdict",
    "verdict",
]
