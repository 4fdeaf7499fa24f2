"""Chance that depends on nothing but a seed and what it is asked for."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["chance"]

_BITS = 53  # of a float's mantissa


def chance(seed: int, *of: object) -> float:
    """A number from 0 up to 1, evenly spread; the same for the same arguments, in every process.

    A hash instead of a generator's next number: what else was asked before, and in which order, changes
    nothing.
    """
    digest = blake2b(repr((seed, *of)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _BITS)) / (1 << _BITS)
