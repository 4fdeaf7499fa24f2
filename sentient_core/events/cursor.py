"""Cursors: how far somebody has followed the two streams of a bus, as a short text.

`12.3-45.0` is behind the event 3 of the journal's commit 12, and behind the event 0 of the commit 45 of what
was published from outside; a number alone means all of that commit. On an event, a `*` marks which of the two
places is its own. The order is that of commits, never of clocks or ids.
"""

from __future__ import annotations

import re

import msgspec

from sentient_core.errors import InvalidCursor
from sentient_core.store.streams import BEGINNING, END, Place, just_before

__all__ = ["START", "Cursor"]

_TEXT = re.compile(r"(\d{1,15})(?:\.(\d{1,9}))?(\*?)-(\d{1,15})(?:\.(\d{1,9}))?(\*?)\Z")

START = "0-0"
"""The cursor before everything: whatever there still is comes behind it."""


class Cursor(msgspec.Struct, frozen=True):
    """A place in each of the two streams."""

    journal: Place = BEGINNING
    external: Place = BEGINNING
    is_of_journal: bool = False
    """It is that of an event, which stands in the journal."""
    is_of_external: bool = False

    @classmethod
    def parse(cls, text: object) -> Cursor:
        """What a text means. Raises InvalidCursor."""
        found = _TEXT.match(text) if isinstance(text, str) else None
        if found is None or not found[0].isascii():
            raise InvalidCursor(text, "it has not the form '12.3-45.0'")
        n, i, star, external_n, external_i, external_star = found.groups()
        if star and external_star:
            raise InvalidCursor(text, "it marks both places as those of one event")
        return cls(_place(n, i), _place(external_n, external_i), bool(star), bool(external_star))

    def __str__(self) -> str:
        marks = ("*" if self.is_of_journal else "", "*" if self.is_of_external else "")
        return f"{_text(self.journal)}{marks[0]}-{_text(self.external)}{marks[1]}"

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
