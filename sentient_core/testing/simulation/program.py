"""A program of a simulation: what there is, and what happens to it, as data that can be written down.

Nothing in it depends on what came before: a step that means nothing where it stands (a message to an actor
that has ended) is taken all the same. So any of its steps can be left out, and what is left is a program.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

__all__ = ["Do", "Follows", "Kind", "Part", "Program", "Step", "Task", "Way", "paths_of"]


class Kind(StrEnum):
    """What a part is: a worker by its durability, or who keeps others."""

    VOLATILE = "volatile"
    MIRRORED = "mirrored"
    DURABLE = "durable"
    TEAM = "team"


class Way(StrEnum):
    """What a worker does with a message. It counts it in its state in each."""

    NOTE = "note"
    WAIT = "wait"
    FAIL = "fail"
    FAIL_ONCE = "fail once"
    """At the first attempt."""
    REFUSE = "refuse"
    """Answer with an exception of `reply_errors`."""
    RELAY = "relay"
    """Tell another one."""
    RELAY_FAIL = "relay, fail"
    ASK = "ask"
    """Ask another one, and wait for the answer."""
    TIMER = "timer"
    DURABLE_TIMER = "durable timer"
    """Of a durable worker; else as `timer`."""
    STASH = "stash"
    """Put it off, the first time that it comes."""
    UNSTASH = "unstash"
    WATCH = "watch"
    CHECKPOINT = "checkpoint"
    BAD_START = "bad start"
    """Fail, and fail the next start."""
    STOP = "stop"
    """Ask for the own end."""
    PUBLISH = "publish"
    """Publish an event."""
    PUBLISH_FAIL = "publish, fail"


class Task(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A message to a worker."""

    id: str
    way: Way = Way.NOTE
    to: str = ""
    """The other one."""
    seconds: float = 0.0
    fails: int = 0
    """Of an event: who follows fails so often with it."""


class Follows(StrEnum):
    """From where on somebody follows the events."""

    NEW = "new"
    """From now on."""
    HISTORY = "history"
    """From the beginning."""
    NAMED = "named"
    """As a named subscriber: at first from now on, then from where it was."""


class Do(StrEnum):
    """What a step does."""

    TELL = "tell"
    SEND = "send"
    ASK = "ask"
    STOP = "stop"
    DRAIN = "drain"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    RESTART = "restart"
    """The administration's `restart_child`, of one that was terminated."""
    OUTAGE = "outage"
    RECOVERY = "recovery"
    """The store is there again."""
    CRASH = "crash"
    """The process dies: what is not committed is gone, and another one starts on the same store."""
    REBOOT = "reboot"
    """The process ends in order, and another one starts on the same store."""
    PUBLISH = "publish"
    """An event, by nobody of the cast; `task` says its id, and how often who follows fails with it."""
    FOLLOW = "follow"
    """`to` subscribes to what is published, anew if it does."""
    UNFOLLOW = "unfollow"
    LOOK = "look"
    """Wait until all is quiet, and compare everything with what is known."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something that happens from outside."""

    do: Do
    to: str = ""
    """The path of who it happens to."""
    task: Task | None = None
    timeout: float | None = None
    has_id: bool = False
    """It is sent to a durable actor under its id, so that sending it again does nothing."""
    wait: float = 0.0
    """Seconds until the next step."""

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


class Part(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A worker or a team, where the program declares it."""

    name: str
    kind: Kind
    restart: str = "permanent"
    attempts: int = 1
    """Of a worker: `max_attempts`; 1 or 2."""
    is_tight: bool = False
    """Of a worker: its mailbox has room for three."""
    strategy: str = "one_for_one"
    max_restarts: int = 3
    within: float = 5.0
    backoff: float = 0.0
    """Seconds of the first wait; 0: none."""
    children: tuple[Part, ...] = ()


class Program(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is simulated."""

    seed: int
    """Of the schedule; where the program was made from a seed, also of that."""
    parts: tuple[Part, ...]
    virtual: tuple[tuple[Kind, str], ...] = ()
    """Virtual actors: durability and key."""
    followers: tuple[tuple[Follows, str], ...] = ()
    """Who follows the events, by name."""
    steps: tuple[Step, ...] = ()
    faults: str = ""
    """A `FaultPlan` as TOML; empty: none."""


def paths_of(parts: tuple[Part, ...], above: str = "") -> Iterator[tuple[str, Part]]:
    """Every part below with its path, parents first."""
    for part in parts:
        path = f"{above}/{part.name}" if above else part.name
        yield path, part
        yield from paths_of(part.children, path)
