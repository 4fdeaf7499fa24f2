"""Everything that the agents say to each other.

    program ── MakeSite ──→ editor                       the plan is made and committed
    developer ── Available ──→ editor ── Render ──→ developer
    developer ── Publish | Copy ──→ publisher            reply: Receipt
    developer ── Finished | CannotMake ──→ editor ── Render ──→ developer …
    editor ── Withdraw ──→ publisher                     pages of documents that are gone
    editor ── Progress ──→ reporter ←── Rendered ── developer

What is a `Request` is asked, and asked again when the one who was asked crashed with it in hand. A told
`Render` may get lost with the developer who holds it: its next incarnation says `Available`, and gets
the page on its desk once more.

All are frozen Structs of plain data: what is mirrored can be queried (`payload.file = 'index.html'`).
"""

from __future__ import annotations

import msgspec

from examples.site.plan import SitePlan, Source
from sentient_core import Request

__all__ = [
    "Available",
    "CannotMake",
    "Commission",
    "Copy",
    "Finished",
    "MakeSite",
    "Progress",
    "Publish",
    "Receipt",
    "Render",
    "Rendered",
    "Withdraw",
]


class Commission(msgspec.Struct, frozen=True):
    """What there is to do."""

    planned: int
    """Files of the site: pages, and what belongs to them."""
    unfinished: int
    """Of these, not made yet, or to be made anew."""
    withdrawn: int
    """Files removed, since nothing in the source leads to them any more."""


class MakeSite(Request[Commission], frozen=True):
    """To the editor: plan the site of this source and see to it that it gets made."""

    source: Source
    out: str


class Available(Request[SitePlan | None], frozen=True):
    """To the editor, from a developer that has just started: I have nothing in hand.

    The reply is the plan, if the developer has another one or none.
    """

    developer: str
    plan: str
    """Digest of the plan that the developer has."""


class Render(msgspec.Struct, frozen=True):
    """To a developer: make this file of the plan and have it published."""

    file: str
    edition: int
    """Counts how often the content of this file was to be made anew, from 1."""


class Rendered(msgspec.Struct, frozen=True):
    """To the reporter: a developer has made a file."""

    file: str
    edition: int
    developer: str


class Receipt(msgspec.Struct, frozen=True):
    """The publisher's word that a file is on disk."""

    file: str
    edition: int
    digest: str
    fresh: bool
    """It was written now; False: it was there already, byte for byte."""


class Publish(Request[Receipt], frozen=True):
    """To the publisher: put this text on disk. OSError is an answer."""

    file: str
    edition: int
    content: str


class Copy(Request[Receipt], frozen=True):
    """To the publisher: put a copy of a source file on disk. OSError and SourceChanged are answers."""

    file: str
    edition: int
    path: str
    digest: str
    """Of the source file when the site was planned."""


class Finished(Request[None], frozen=True):
    """To the editor: this file is published. The next `Render` comes by itself."""

    developer: str
    file: str
    edition: int
    digest: str


class CannotMake(Request[None], frozen=True):
    """To the editor: this file cannot be made, and trying again would not help."""

    developer: str
    file: str
    edition: int
    why: str


class Withdraw(Request[int], frozen=True):
    """To the publisher: remove those of these files that are its own. Reply: how many."""

    files: tuple[str, ...]


class Progress(msgspec.Struct, frozen=True):
    """To the reporter: how far the site is, as committed."""

    planned: int = 0
    done: int = 0
    given_up: tuple[tuple[str, str], ...] = ()
    """File and reason."""

    @property
    def is_over(self) -> bool:
        """There is nothing left to do."""
        return self.planned > 0 and self.done + len(self.given_up) >= self.planned
