"""What a network does to one way of a connection, as data."""

from __future__ import annotations

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
            if not getattr(self, name) >= 0:
                raise InvalidArgument(f"{name} must be seconds, at least 0, not {getattr(self, name)!r}")
        if not 0 <= self.reset <= 1:
            raise InvalidArgument(f"reset must be a chance from 0 to 1, not {self.reset!r}")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise InvalidArgument(
                f"bandwidth must be bytes per second, above 0, or None, not {self.bandwidth!r}"
            )
        if self.slice_bytes is not None and not self.slice_bytes >= 1:
            raise InvalidArgument(f"slice_bytes must be at least 1, or None, not {self.slice_bytes!r}")
        if self.black_hole_at == b"":
            raise InvalidArgument("black_hole_at is empty: for every piece there is black_hole=True")
