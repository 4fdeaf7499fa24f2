"""What may go of the rows that grow: limits, and the decisions they lead to, without a store.

Every system of a store has limits of its own, and only its own rows are looked at. What the next
start needs is never due, whatever the limits say: the newest checkpoint of an actor that may come
back, how often it was started (`ownership`), a `named` checkpoint, anything in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.paths import is_anonymous
from sentient_core.store.streams import END

__all__ = [
    "Cutoffs",
    "LetterFacts",
    "Pruned",
    "Removed",
    "Retention",
    "cutoffs",
    "due_letters",
    "ended_actors",
    "held_by",
    "oldest_beyond",
    "spare_checkpoints",
]

_DAY = 86_400.0
_HOUR = 3_600.0
_MIB = 1024 * 1024
_SECOND = 1_000_000_000
_UNHELD = 2**62
_ENDED = ("completed", "failed")


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and how much of, what grows is kept. None: without that limit.

    Ages are seconds. Bytes are those of the rows' contents as CBOR; on disk, rows with indexes take about
    three times as much. What is over a limit goes soon afterwards, the oldest first, not at once.
    """

    events_age: float | None = 30 * _DAY
    events_bytes: int | None = 4096 * _MIB
    """Of all events of the system together."""
    subscribers_age: float | None = 30 * _DAY
    """A named subscriber of events keeps what it has not acknowledged; one that has not been there for so
    long does not any more. When it comes back and misses some, it gets CursorExpired."""
    settled_letters_age: float | None = 30 * _DAY
    """Dead letters that were redriven or discarded, counted from then."""
    settled_letters_bytes: int | None = 512 * _MIB
    """Of all of these together."""
    open_letters_age: float | None = None
    """Dead letters about which nobody has decided: kept until somebody does, unless this says otherwise."""
    checkpoint_bytes: int | None = 256 * _MIB
    """Of the `turn` checkpoints of one actor together. The newest stays, whatever its size; `named` ones
    neither count nor go."""
    ended_age: float | None = _DAY
    """Rows, `turn` checkpoints, states and timers of actors without a name of their own that have ended:
    their paths are never used again. While messages are pending for one, all of it stays."""
    accounts_age: float | None = _HOUR
    """What the audit is made of: older accounts become one row with what they have led to. No audit says
    anything else for that."""
    dedupe_window: float | None = 7 * _DAY
    """Seconds after the outcome of a message in which its `message_id` is known: sent again under that id, it
    is not applied again. Never shorter than this; a message that is not handled yet is known for ever."""
    rows_age: float | None = 30 * _DAY
    """Tasks and workflows that are over, counted from then, with what belongs to them: what was streamed,
    steps, history. What is not over never goes."""
    rows_bytes: int | None = 1024 * _MIB
    """Of all tasks and workflows of the system together, with what belongs to them: the oldest of those that
    are over go."""
    trail_age: float | None = 365 * _DAY
    """The trail of status changes, also of tasks and workflows that are long gone."""
    trail_bytes: int | None = 512 * _MIB
    """Of all of it together."""
    every: float = 60.0
    """Seconds between two looks in the background, the first included."""
    batch_rows: int = 200
    """Most rows that one transaction deletes. A commit may have to wait for one: about 0.1 ms a row."""
    share: float = 0.2
    """Of the time, at most this part is spent deleting in the background: enough for some 1,000 events a
    second. What is written faster for long wants more."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            is_optional = name.endswith(("_age", "_bytes", "_window"))
            if is_optional and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidArgument(f"Retention({name}=...) must be a number, not {value!r}")
            if is_optional and not value >= 0:
                raise InvalidArgument(f"Retention({name}=...) must be at least 0, not {value!r}")
            if not is_optional and not value > 0:
                raise InvalidArgument(f"Retention({name}=...) must be above 0, not {value!r}")
        if self.share > 1:
            raise InvalidArgument(
                f"Retention(share=...) is a part of the time: at most 1, not {self.share!r}"
            )


class Removed(msgspec.Struct, frozen=True):
    """Of one table."""

    rows: int = 0
    bytes: int = 0
    """Of their contents."""

    def __add__(self, more: Removed) -> Removed:
        return Removed(self.rows + more.rows, self.bytes + more.bytes)


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has deleted."""

    events: Removed = Removed()
    dead_letters: Removed = Removed()
    checkpoints: Removed = Removed()
    agents: Removed = Removed()
    """Rows of `agent_state` and `timer`, and of `ownership` where an older release wrote any."""
    messages: Removed = Removed()
    """Messages that were pending, of actors that were forgotten."""
    ids: Removed = Removed()
    """What was known of messages sent under ids."""
    memos: Removed = Removed()
    """What was noted for messages that are settled, and came after that."""
    written: Removed = Removed()
    """Of the tables of `RowTable`, but for rows of ended actors and the runtime's own checkpoints."""
    accounts: Removed = Removed()
    """Accounts in whose place a row with what they have led to is now."""

    @property
    def rows(self) -> int:
        """Of all tables."""
        tables = (
            self.events,
            self.dead_letters,
            self.checkpoints,
            self.agents,
            self.messages,
            self.accounts,
            self.ids,
            self.memos,
            self.written,
        )
        return sum(table.rows for table in tables)


class Cutoffs(msgspec.Struct, frozen=True):
    """What is older than these goes, in nanoseconds since 1970; 0: nothing by age."""

    events: int
    settled_letters: int
    open_letters: int
    ended: int
    ids: int = 0
    accounts: int = 0
    rows: int = 0
    trail: int = 0


class LetterFacts(msgspec.Struct, frozen=True):
    """What is to be known of a dead letter."""

    message_id: str
    died_at: int
    settled_at: int | None
    """None: it is open."""
    size: int


def cutoffs(retention: Retention, now: int) -> Cutoffs:
    """The limits by age as moments, at the time `now` (nanoseconds)."""

    def before(age: float | None) -> int:
        return 0 if age is None else max(0, now - int(age * _SECOND))

    return Cutoffs(
        before(retention.events_age),
        before(retention.settled_letters_age),
        before(retention.open_letters_age),
        before(retention.ended_age),
        before(retention.dedupe_window),
        before(retention.accounts_age),
        before(retention.rows_age),
        before(retention.trail_age),
    )


def oldest_beyond(sizes: Iterable[int], limit: int | None) -> int:
    """How many of what is given oldest first have to go, so that the rest is at most `limit` together."""
    if limit is None:
        return 0
    known = list(sizes)
    excess = sum(known) - limit
    count = 0
    for size in known:
        if excess <= 0:
            break
        excess -= size
        count += 1
    return count


def spare_checkpoints(sizes: Sequence[int], limit: int | None) -> int:
    """How many `turn` checkpoints of an actor, newest first, are kept: as many as fit, at least one."""
    if limit is None:
        return len(sizes)
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > limit:
            return max(1, count)
    return len(sizes)


def due_letters(letters: Iterable[LetterFacts], before: Cutoffs, settled_bytes: int | None) -> list[str]:
    """The ids of the letters that go: too old for what they are, or the oldest settled ones of too many."""
    due: list[str] = []
    settled: list[tuple[int, str, int]] = []
    for letter in letters:
        if letter.settled_at is None:
            if letter.died_at < before.open_letters:
                due.append(letter.message_id)
        elif letter.settled_at < before.settled_letters:
            due.append(letter.message_id)
        else:
            settled.append((letter.settled_at, letter.message_id, letter.size))
    settled.sort()
    too_many = oldest_beyond((size for _, _, size in settled), settled_bytes)
    return due + [message_id for _, message_id, _ in settled[:too_many]]


def held_by(
    subscribers: Iterable[tuple[Sequence[int], Sequence[int], int]], retention: Retention, now: int
) -> tuple[int, int]:
    """Of the two streams of a system, the last number that no named subscriber wants something of any more.

    Each has its places in them, and when it was there last. A commit of which it has acknowledged only some
    events is still wanted.
    """
    away = None if retention.subscribers_age is None else now - int(retention.subscribers_age * _SECOND)
    journal = external = _UNHELD
    for in_journal, in_external, seen_at in subscribers:
        if away is None or seen_at >= away:
            journal = min(journal, _done(in_journal))
            external = min(external, _done(in_external))
    return journal, external


def ended_actors(rows: Mapping[str, tuple[str, int]], epoch: int, before: int) -> list[str]:
    """Of the paths with their status and when they got it, those of nameless actors that are over.

    Below a nameless actor, also one with a name can be started again as long as that one lives: so all
    wait for the outermost. What an earlier start made has ended with it, whatever its row says.
    """
    return [
        path
        for path, (_, at) in rows.items()
        if at < before and is_anonymous(path) and _is_over(rows.get(_outermost(path)), path, epoch, before)
    ]


def _done(place: Sequence[int]) -> int:
    number, index = place
    return number if index >= END else number - 1


def _is_over(outermost: tuple[str, int] | None, path: str, epoch: int, before: int) -> bool:
    if _epoch_of(path) < epoch:
        return True
    return outermost is not None and outermost[0] in _ENDED and outermost[1] < before


def _outermost(path: str) -> str:
    """The part of a path down to the first name that the runtime made."""
    names = path.split("/")
    first = next(i for i, name in enumerate(names) if name.startswith("$"))
    return "/".join(names[: first + 1])


def _epoch_of(path: str) -> int:
    name = _outermost(path).rpartition("/")[2]
    epoch = name[1:].partition(".")[0]
    return int(epoch) if epoch.isdecimal() else 2**62  # not of this form: it waits until it has ended
