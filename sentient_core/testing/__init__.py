"""What tests of programs on this runtime need: a network that misbehaves on request."""

from __future__ import annotations

from sentient_core.testing.proxy import ToxicProxy
from sentient_core.testing.toxics import Direction, Toxics

__all__ = ["Direction", "ToxicProxy", "Toxics"]
