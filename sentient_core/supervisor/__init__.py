"""Supervision: what a child is, when it is started again, and when its supervisor gives up."""

from __future__ import annotations

from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.supervisor.spec import BRUTAL_KILL, ChildSpec, Restart
from sentient_core.supervisor.strategy import Strategy, Verdict, verdict
from sentient_core.supervisor.supervisor import Supervisor

__all__ = [
    "BRUTAL_KILL",
    "ChildSpec",
    "Restart",
    "RestartWindow",
    "Strategy",
    "Supervisor",
    "Verdict",
    "verdict",
]
