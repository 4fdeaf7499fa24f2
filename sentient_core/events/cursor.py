"""Cursors: how far somebody has followed the two streams of a bus, as a short text.

`12.3-45.0` is behind the event 3 of the journal's commit 12, and behind the event 0 of the commit 45 of what
was published from outside; a number alone means all of that commit. On an event, a `*` marks which of the two
places is its own. The order is that of commits, never of clocks or ids.

A page of a history that goes by time cannot be continued by places alone. Its cursors say the time of the
event as well, and how far the streams reached when the first page was asked for: `12.3*-45.0@TIME/99-80`.
"""

from __future__ import annotations

import re

import msgspec

from sentient_core.errors import InvalidCursor
from sentient_core.store.streams import BEGINNING, END, Place, just_before

__all__ = ["START", "Cursor"]

_PLACE = r"(\d{1,15})(?:\.(\d{1,9}))?"
_TEXT = re.compile(rf"{_PLACE}(\*?)-{_PLACE}(\*?)(?:@(-?\d{{1,19}})/{_PLACE}-{_PLACE})?\Z")

START = "0-0"
"""The cursor before everything: whatever there still is comes behind it."""


class Cursor(msgspec.Struct, frozen=True):
    """A place in each of the two streams."""

    journal: Place = BEGINNING
    external: Place = BEGINNING
    is_of_journal: bool = False
    """It is that of an event, which stands in the journal."""
    is_of_external: bool = False
    at: int | None = None
    """Of that event, in nanoseconds, where it was found in a history that goes by time."""
    bounds: tuple[Place, Place] = (BEGINNING, BEGINNING)
    """Then: nothing behind these places is in that history."""

    @classmethod
    def parse(cls, text: object) -> Cursor:
        """What a text means. Raises InvalidCursor."""
        found = _TEXT.match(text) if isinstance(text, str) else None
        if found is None or not found[0].isascii():
            raise InvalidCursor(text, "it has not the form '12.3-45.0'")
        n, i, star, external_n, external_i, external_star, at, *bounds = found.groups()
        if star and external_star:
            raise InvalidCursor(text, "it marks both places as those of one event")
        places = _place(n, i), _place(external_n, external_i)
        if at is None:
            return cls(*places, bool(star), bool(external_star))
        if not star and not external_star:
            raise InvalidCursor(text, "it has the time of an event, and marks no place as its own")
        within = _place(*bounds[:2]), _place(*bounds[2:])
        return cls(*places, bool(star), bool(external_star), int(at), within)

    def __str__(self) -> str:
        marks = ("*" if self.is_of_journal else "", "*" if self.is_of_external else "")
        text = f"{_text(self.journal)}{marks[0]}-{_text(self.external)}{marks[1]}"
        if self.at is None:
            return text
        return f"{text}@{self.at}/{'-'.join(map(_text, self.bounds))}"

    @property
    def own(self) -> Place:
        """Of the event that it is of."""
        return self.external if self.is_of_external else self.journal

    @property
    def before(self) -> tuple[Place, Place]:
        """The last places that come before it; where it is that of an event, this is not among them."""
        return (
            just_before(self.journal) if self.is_of_journal else self.journal,
            just_before(self.external) if self.is_of_external else self.external,
        )


def _place(number: str, index: str | None) -> Place:
    return (int(number), END if index is None else int(index))


def _text(place: Place) -> str:
    number, index = place
    return f"{number}" if index >= END else f"{number}.{index}"
