"""What the workloads of the mirror send: small notes of about 300 bytes as rows, the same on every side."""

from __future__ import annotations

import random

import msgspec

from sentient_core import Actor, MailboxOptions, handles

__all__ = ["READERS", "Note", "Reader", "VolatileReader", "notes"]

READERS = ("reader-0", "reader-1", "reader-2", "reader-3")
"""The names of those who get them."""

_WORDS = ("render", "page", "outline", "section", "figure", "style", "link", "anchor", "review", "publish")


class Note(msgspec.Struct, frozen=True):
    """A message of an ordinary size."""

    number: int
    page: str
    text: str
    score: float


class Reader(Actor):
    """Takes notes, and remembers nothing of them: only the messages are written down."""

    mailbox = MailboxOptions(capacity=200_000)

    @handles
    def note(self, message: Note) -> None:
        pass


class VolatileReader(Reader):
    """The same one, of which nothing is written down."""

    durability = "volatile"


def notes(seed: int, count: int = 1_000) -> list[Note]:
    """So many different notes, the same ones for the same seed."""
    chance = random.Random(seed)
    return [
        Note(
            number,
            f"docs/{chance.choice(_WORDS)}-{number}.md",
            " ".join(chance.choices(_WORDS, k=10)),
            chance.random(),
        )
        for number in range(count)
    ]
