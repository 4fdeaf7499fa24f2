"""What tests of programs on this runtime need: virtual time, probes, a network that misbehaves on request."""

from __future__ import annotations

from sentient_core.testing.assertions import assert_dead_letters, conserved, expect_event
from sentient_core.testing.golden import record_history, replay_history
from sentient_core.testing.history import Diverged, GoldenTurn, History, Input, Sent
from sentient_core.testing.leaks import Leaks, leaks_since, no_leaks, whatever_lives
from sentient_core.testing.probe import Probe, Received
from sentient_core.testing.proxy import ToxicProxy
from sentient_core.testing.recorded_store import RecordedStore
from sentient_core.testing.toxics import Direction, Toxics
from sentient_core.testing.virtual_time import VirtualClock, VirtualLoop, virtual_backend

__all__ = [
    "Direction",
    "Diverged",
    "GoldenTurn",
    "History",
    "Input",
    "Leaks",
    "Probe",
    "Received",
    "RecordedStore",
    "Sent",
    "ToxicProxy",
    "Toxics",
    "VirtualClock",
    "VirtualLoop",
    "assert_dead_letters",
    "conserved",
    "expect_event",
    "leaks_since",
    "no_leaks",
    "record_history",
    "replay_history",
    "virtual_backend",
    "whatever_lives",
]
