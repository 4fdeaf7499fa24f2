"""What tests of programs on this runtime need: virtual time, probes, a network that misbehaves on request."""

from __future__ import annotations

from sentient_core.testing.probe import Probe, Received
from sentient_core.testing.proxy import ToxicProxy
from sentient_core.testing.toxics import Direction, Toxics
from sentient_core.testing.virtual_time import VirtualClock, VirtualLoop, virtual_backend

__all__ = [
    "Direction",
    "Probe",
    "Received",
    "ToxicProxy",
    "Toxics",
    "VirtualClock",
    "VirtualLoop",
    "virtual_backend",
]
