"""What a process has claimed before it was killed: lines of a file that it can add to, and nothing else.

A line is written by one call of the operating system, which keeps it whatever becomes of the process. So
what stands here was said, and what was said must hold after the crash.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Again", "Claim", "Intent", "Oracle", "read_claims"]


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """One line."""

    what: str
    """`sending`, `acknowledged`, `answered`, `failed`, `declined`, `seen`, and what a process does: `phase`,
    `kill`, `dumped`."""
    number: int = 0
    """Of the message."""
    detail: Any = None


class Again(msgspec.Struct, frozen=True):
    """How to send a message again, under the id that it is sent under: its number."""

    way: str
    """The path that it is sent to."""
    is_ask: bool
    message: dict[str, Any]
    """Its fields."""


class Intent(msgspec.Struct, frozen=True):
    """A message that is about to be sent from outside: the detail of `sending`."""

    sender: str
    """Who sends it: the messages of one are sent one after the other."""
    target: str
    """The path where it is to be handled."""
    kind: str
    """Name of its class."""
    fails: int = 0
    """How often its handler is to fail."""
    again: Again | None = None
    """None: it has no id, so it is never sent again."""


class Oracle:
    """The writer's end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def say(self, what: str, number: int = 0, detail: object = None) -> None:
        """Add a claim. From any thread."""
        os.write(self._file, msgspec.json.encode(Claim(what, number, detail)) + b"\n")

    def intend(self, number: int, intent: Intent) -> None:
        """A message is about to be sent."""
        self.say("sending", number, intent)


def read_claims(path: Path) -> list[Claim]:
    """All claims, in order."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Claim) for line in lines]
