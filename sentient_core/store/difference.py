"""What makes one text of bytes of another one, as short as it can be told cheaply.

The new bytes are told in *pieces*: ranges of the old ones, and bytes that are not among these. What the two
have in common at both ends is found by bisection, in comparisons that run at the speed of memory. Between the
ends a few bytes of the old are looked for in the new; where they are found, the match grows to both sides,
and what is left on either side of it is treated in the same way. So what one turn changes at several places
of a large state, growing and shrinking it, comes out as about as many pieces. Nothing is known here of what
the bytes mean. It is not the shortest difference there is, and it is always a right one.

Measured on msgpack of 180 kB: 17 µs for one change, 37 µs for changes at both ends, 160 µs for ten of them,
where encoding it takes 400 µs. Of other ways, XOR of both as integers takes 130 µs for 75 kB and finds one
change alone, comparing fields as `msgspec.Raw` 70 µs and more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

import msgspec

__all__ = ["Piece", "composed", "difference", "pack", "patched", "unpack"]

Piece: TypeAlias = bytes | tuple[int, int]
"""Bytes that are new, or where old ones begin and how many they are."""

_ANCHOR = 24
"""Bytes that are looked for: what else could be the same is hardly that long."""
_LEAST = 40
"""Bytes on both sides below which nothing is looked for."""
_NEAR = 200
"""Bytes around where it is to be expected in which it is looked for first."""
_SHORT = 128
"""Bytes of which it is sooner told as numbers where they differ than by bisection."""
_SEARCHES = 6
"""Times that bytes may be looked for all over and not be found; then what is left is new."""
_MATCHES = 100
"""Stretches that are found to be the same; what is left then is new."""
_PARTS = (8, 4, 12, 2, 14)
"""Where of a stretch, in sixteenths, what is looked for is taken from."""


def difference(old: bytes, new: bytes) -> list[Piece]:
    """The pieces of `new`, in order."""
    start = _same_at_start(old, 0, len(old), new, 0, len(new))
    most = min(len(old), len(new)) - start
    end = _same_at_end(old, len(old) - most, len(old), new, len(new) - most, len(new))
    made = _Made(old, new)
    made.copy(0, start)
    made.between(start, len(old) - end, start, len(new) - end)
    made.copy(len(old) - end, end)
    return made.pieces


def composed(first: Sequence[Piece], second: Iterable[Piece]) -> list[Piece]:
    """The pieces that make in one go what `second` makes of what `first` has made."""
    ends = list(accumulate([len(piece) if type(piece) is bytes else piece[1] for piece in first]))
    pieces: list[Piece] = []
    for piece in second:
        if isinstance(piece, bytes):
            _add(pieces, piece)
            continue
        start, end = piece[0], piece[0] + piece[1]
        index, last = bisect_right(ends, start), bisect_left(ends, end)
        _add(pieces, _part(first[index], start - (ends[index - 1] if index else 0), end - start))
        if index < last:
            pieces += first[index + 1 : last]  # as they are: no two of them could be one
            _add(pieces, _part(first[last], 0, end - ends[last - 1]))
    return pieces


def _part(piece: Piece, skip: int, most: int) -> Piece:
    """Of what a piece makes, so many bytes at most behind the first ones."""
    if isinstance(piece, bytes):
        return piece[skip : skip + most]
    return piece[0] + skip, min(piece[1] - skip, most)


def pack(pieces: Sequence[Piece]) -> bytes:
    """Pieces as bytes."""
    return _encode(pieces)


def unpack(packed: bytes) -> list[Piece]:
    """The pieces that were packed. Raises msgspec.DecodeError for other bytes."""
    return _decode(packed)


def patched(old: bytes, pieces: Iterable[Piece]) -> bytes:
    """What these pieces make of the old bytes. Raises ValueError: they are of others."""
    parts: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        start, length = piece
        if not 0 <= start <= start + length <= len(old):
            raise ValueError(f"there are no {length} bytes at {start}, of {len(old)}")
        parts.append(old[start : start + length])
    return b"".join(parts)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes | tuple[int, int]]).decode


class _Made:
    """Pieces as they are found, from the left to the right."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self.pieces: list[Piece] = []
        self._old = old
        self._new = new
        self._searches = _SEARCHES
        self._matches = _MATCHES

    def copy(self, start: int, length: int) -> None:
        if length:
            _add(self.pieces, (start, length))

    def between(self, start: int, end: int, new_start: int, new_end: int) -> None:
        """A stretch of the old, and what stands in its place in the new; what is around them is the same."""
        while self._matches > 0 and min(end - start, new_end - new_start) >= _LEAST:
            found = self._match(start, end, new_start, new_end)
            if found is None:
                break
            at, new_at, length = found
            self._matches -= 1
            self.between(start, at, new_start, new_at)
            self.copy(at, length)
            start, new_start = at + length, new_at + length
        if new_end > new_start:
            _add(self.pieces, self._new[new_start:new_end])

    def _match(self, start: int, end: int, new_start: int, new_end: int) -> tuple[int, int, int] | None:
        """Where the same bytes are in both, and how many; None: nowhere, as it seems."""
        old, new = self._old, self._new
        for part in _PARTS:
            at = start + (end - start - _ANCHOR) * part // 16
            anchor = old[at : at + _ANCHOR]
            # Most often nothing has moved, or all of it as far as the end has, or something in between.
            first, last = new_start + at - start, new_end - end + at
            if first <= new_end - _ANCHOR and new.startswith(anchor, first):
                new_at = first
            elif last >= new_start and new.startswith(anchor, last):
                new_at = last
            else:
                first, last = min(first, last) - _NEAR, max(first, last) + _NEAR
                new_at = new.find(anchor, max(first, new_start), min(last, new_end))
                if new_at < 0:
                    new_at = self._find(anchor, new_start, new_end)
            if new_at >= 0:
                before = _same_at_end(old, start, at, new, new_start, new_at)
                behind = _same_at_start(old, at, end, new, new_at, new_end)
                return at - before, new_at - before, before + behind
        return None

    def _find(self, anchor: bytes, start: int, end: int) -> int:
        if not self._searches:
            return -1
        found = self._new.find(anchor, start, end)
        self._searches -= found < 0
        return found


def _same_at_start(old: bytes, start: int, end: int, new: bytes, new_start: int, new_end: int) -> int:
    """How many bytes are the same from the beginnings of two ranges on."""
    same, differs = 0, min(end - start, new_end - new_start)
    if differs > _SHORT:
        view = memoryview(old)
        if new.startswith(view[start : start + differs], new_start):
            return differs
        while differs - same > _SHORT:
            middle = (same + differs) // 2
            if new.startswith(view[start + same : start + middle], new_start + same):
                same = middle
            else:
                differs = middle
    found = old[start + same : start + differs]
    other = new[new_start + same : new_start + differs]
    # The first byte that differs holds the lowest bit that does.
    differing = int.from_bytes(found, "little") ^ int.from_bytes(other, "little")
    return same + ((differing & -differing).bit_length() - 1) // 8 if differing else differs


def _same_at_end(old: bytes, start: int, end: int, new: bytes, new_start: int, new_end: int) -> int:
    """How many bytes are the same up to the ends of two ranges."""
    same, differs = 0, min(end - start, new_end - new_start)
    if differs > _SHORT:
        view = memoryview(old)
        if new.endswith(view[end - differs : end], 0, new_end):
            return differs
        while differs - same > _SHORT:
            middle = (same + differs) // 2
            if new.endswith(view[end - middle : end - same], 0, new_end - same):
                same = middle
            else:
                differs = middle
    found = old[end - differs : end - same]
    other = new[new_end - differs : new_end - same]
    differing = int.from_bytes(found, "big") ^ int.from_bytes(other, "big")
    return same + ((differing & -differing).bit_length() - 1) // 8 if differing else differs


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Behind the last one, or as part of it."""
    last = pieces[-1] if pieces else None
    if isinstance(piece, bytes):
        if isinstance(last, bytes):
            pieces[-1] = last + piece
        elif piece:
            pieces.append(piece)
    elif isinstance(last, tuple) and sum(last) == piece[0]:
        pieces[-1] = (last[0], last[1] + piece[1])
    else:
        pieces.append(piece)
