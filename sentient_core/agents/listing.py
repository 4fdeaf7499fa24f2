"""How lists are asked for: how many at most, and the newest of several questions together."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from sentient_core.errors import InvalidArgument
from sentient_core.store.row_models import Row

__all__ = ["check_limit", "newest_of"]


def check_limit(limit: object) -> int | None:
    """A number of rows from 0 on, or None for all. InvalidArgument."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidArgument(f"limit is {limit!r}; it must be a number from 0 on, or None for all")
    return limit


def newest_of(answers: Iterable[Iterable[Row]], limit: int | None) -> list[Row]:
    """The rows of several answers, those changed last first."""
    rows = sorted(chain.from_iterable(answers), key=lambda row: row.fields["updated_at"], reverse=True)
    return rows[:limit]
