"""Faults on purpose: a seeded plan of what goes wrong, the points where it can, and what was done."""

from __future__ import annotations

from sentient_core.faults.faults import Faults, Injected
from sentient_core.faults.plan import FaultPlan, Rule
from sentient_core.faults.points import ACTIONS, FaultAction, FaultPoint

__all__ = ["ACTIONS", "FaultAction", "FaultPlan", "FaultPoint", "Faults", "Injected", "Rule"]
