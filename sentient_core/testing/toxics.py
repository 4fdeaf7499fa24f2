"""What a network does to one way of a connection, as data."""

from __future__ import annotations

import math
from enum import Enum

import msgspec

from sentient_core.errors import InvalidArgument

__all__ = ["Direction", "Toxics"]


class Direction(Enum):
    """One of the two ways through a proxy."""

    TO_SERVER = "to_server"
    """Requests."""
    TO_CLIENT = "to_client"
    """Answers."""

    @property
    def other(self) -> Direction:
        """The way back."""
        return Direction.TO_CLIENT if self is Direction.TO_SERVER else Direction.TO_SERVER


class Toxics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """What happens to what is sent one way; by default nothing. Several may hold at once.

    Bytes are never changed, swallowed within a connection, or put out of order: TCP does not do that either.
    Raises InvalidArgument for a value that can never work.
    """

    latency: float = 0.0
    """Seconds that each piece is on its way. That narrows nothing: pieces follow each other closely."""
    jitter: float = 0.0
    """Up to so many seconds more, evenly drawn per piece."""
    bandwidth: float | None = None
    """Bytes per second, of each connection; None: no limit."""
    slice_bytes: int | None = None
    """Pieces are cut into smaller ones of one to so many bytes, each sent by itself."""
    slice_pause: float = 0.0
    """Seconds between two of these."""
    reset: float = 0.0
    """The chance, 0 to 1, that a piece is lost with its connection, which both ends see reset: of answers,
    what was asked has been done and nobody hears of it."""
    black_hole: bool = False
    """Nothing arrives, new connections are taken and silent, and no end is told: as if the cable were cut.
    What was sent meanwhile arrives when this ends, as it would be sent again."""
    black_hole_at: bytes | None = None
    """The black hole begins with the piece that holds these bytes: a connection is cut in the midst of the
    request that a test is about. Found is what goes unmasked: `http`, not `ws` to the server, not TLS."""

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "slice_pause"):
            seconds = getattr(self, name)
            if not _is_number(seconds) or seconds < 0:
                raise InvalidArgument(f"{name} must be seconds, at least 0, not {seconds!r}")
        if not _is_number(self.reset) or not 0 <= self.reset <= 1:
            raise InvalidArgument(f"reset must be a chance from 0 to 1, not {self.reset!r}")
        if self.bandwidth is not None and not (_is_number(self.bandwidth) and self.bandwidth > 0):
            raise InvalidArgument(
                f"bandwidth must be bytes per second, above 0, or None, not {self.bandwidth!r}"
            )
        if self.slice_bytes is not None and (type(self.slice_bytes) is not int or self.slice_bytes < 1):
            raise InvalidArgument(
                f"slice_bytes must be a whole number from 1 on, or None, not {self.slice_bytes!r}"
            )
        if self.slice_pause and self.slice_bytes is None:
            raise InvalidArgument("slice_pause is between slices: give slice_bytes as well, or leave it out")
        if type(self.black_hole) is not bool:
            raise InvalidArgument(f"black_hole must be True or False, not {self.black_hole!r}")
        if self.black_hole_at == b"":
            raise InvalidArgument("black_hole_at is empty: for every piece there is black_hole=True")
        if not isinstance(self.black_hole_at, bytes | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"black_hole_at must be bytes, or None, not {self.black_hole_at!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
