"""What people do with the dead letters in the store: list them, send them again, discard them.

Each step is a record of the journal. A letter's mark and its sending are one record, so a death of the
process leaves both or neither; the message is queued right behind that record, so whatever its handling
causes stands later in the journal and is not there without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import anyio
import msgspec

from sentient_core.actors import delivery
from sentient_core.actors.gone import sender_at
from sentient_core.actors.stored_letter import StoredDeadLetter, UnreadMessage, as_seen, message_of
from sentient_core.codec import Codec
from sentient_core.errors import (
    DeadLetterSettled,
    InvalidArgument,
    NotRedrivable,
    SystemClosed,
    UnknownDeadLetter,
)
from sentient_core.mailbox import DeadLetter, DeadLetterReason, DeadLetters
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.records import LetterStatus

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.registry import Registry
    from sentient_core.events import Mirror
    from sentient_core.feed import Feed
    from sentient_core.logs import LimitedLog
    from sentient_core.store.protocols import DeadLetterRow, Store

__all__ = ["DeadLetterOffice", "Redriven"]

_AT_ONCE = 200  # letters in memory together


class Redriven(msgspec.Struct, frozen=True):
    """What a redrive came to."""

    sent: int
    """Letters that have been sent again."""
    skipped: int = 0
    """Letters that met the filter and could not be sent again; they stay open."""
    reasons: Mapping[str, int] = {}
    """Why letters were skipped, and how many for each reason."""


class DeadLetterOffice(DeadLetters):
    """The dead letters of a system: the newest in memory, all of them in the store.

    ::

        for letter in system.dead_letters: ...                      # the newest, at once
        for letter in await system.dead_letters.list(DeadLetterFilter(reason="failed")): ...
        await system.dead_letters.redrive(letter.message_id)
        await system.dead_letters.discard(DeadLetterFilter(recipient="bank/bob"), reason="account closed")

    `list`, `redrive` and `discard` look into the store and wait until what has just died is there; in an
    outage of the store they wait for its end. They raise SystemClosed once the system has ended, else
    StoreUnavailable or Fenced where the store gives no answer.
    """

    redriven: int
    discarded: int

    def __init__(
        self,
        log: LimitedLog,
        feed: Feed[DeadLetter],
        *,
        system: str,
        store: Store,
        mirror: Mirror,
        codec: Codec,
        registry: Registry,
    ) -> None:
        super().__init__(log, feed)
        self._system = system
        self._store = store
        self._mirror = mirror
        self._codec = codec
        self._registry = registry
        # Between looking at a letter and marking it nobody else may do the same.
        self._lock = anyio.Lock()
        self._is_closed = False

    async def list(
        self,
        which: DeadLetterFilter | None = None,
        *,
        status: LetterStatus | str | None = None,
        limit: int = 100,
    ) -> Sequence[StoredDeadLetter]:
        """Stored dead letters that meet a filter (None: all), the last that died first, at most `limit`.

        Letters of earlier starts, and those redriven or discarded, are among them: `status="open"` gives
        those that nothing has been done with, which `redrive` and `discard` mean by the same filter. Raises
        InvalidArgument.
        """
        matching = DeadLetterFilter() if which is None else which
        if not isinstance(matching, DeadLetterFilter):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"list takes a filter, DeadLetterFilter(reason='failed', …), not {which!r}")
        wanted = _status(status)
        if not _is_count(limit):
            raise InvalidArgument(f"limit must be a whole number above 0, not {limit!r}")
        await self._catch_up("list dead letters")
        rows = await self._store.dead_letters(self._system, matching=matching, status=wanted, limit=limit)
        return [as_seen(row) for row in rows]

    async def redrive(self, which: str | Iterable[str] | DeadLetterFilter) -> Redriven:
        """Send dead letters again to their recipients, each under its own id and as one attempt more.

        `which` is an id, several ids, or a filter, which means open letters only. Returns when it is
        committed that they were sent; a message that dies again is a dead letter again. They come behind
        what is queued, the earliest death first (ids: in the order given), with their senders and without
        anybody who waits for a reply. They are never refused for want of room: a mailbox may hold more
        than its capacity for a while.

        With ids all are sent, or none and the error says why: UnknownDeadLetter, DeadLetterSettled (it is
        not open), NotRedrivable (nobody lives at its path or he takes nothing more; it is a late reply;
        the message cannot be made from the stored bytes: its type is looked for among those that the
        recipient's class handles). By a filter, those that cannot be sent again are skipped and counted,
        with the reason why.

        A cancellation while it waits for the commit takes nothing back; before, nothing has happened to
        the letters that were not yet sent.
        """
        ids = _ids(which)
        if ids is not None:
            return await self._redrive_all_of(ids)
        return await self._redrive_what_can_be(cast("DeadLetterFilter", which))

    async def discard(self, which: str | Iterable[str] | DeadLetterFilter, *, reason: str) -> int:
        """Note that open dead letters stay undone, and why; returns how many, once it is committed.

        `which` is an id, several ids, or a filter, which means open letters only. They stay dead letters
        in every count, but no redrive takes them. With ids all are discarded, or none and the error says
        why: UnknownDeadLetter, DeadLetterSettled. Raises InvalidArgument for a reason that says nothing.
        """
        ids = _ids(which)
        if not _is_text(reason):
            raise InvalidArgument(f"reason must say why the letters are discarded, not {reason!r}")
        reason = reason.encode("utf-8", "backslashreplace").decode()[:2_000]
        async with self._lock:
            await self._catch_up("discard dead letters")
            if ids is None:
                ids = await self._store.open_letters(self._system, cast("DeadLetterFilter", which))
            else:
                for row in await self._all_of(ids):
                    _check_open(row)
            for some in _in_parts(ids):
                for message_id in some:
                    self._mirror.discard(message_id, reason)
                self.discarded += len(some)
                await self._mirror.journal.committed()
        return len(ids)

    def close(self) -> None:
        """See `DeadLetters.close`."""
        self._is_closed = True
        super().close()

    async def _redrive_all_of(self, ids: Sequence[str]) -> Redriven:
        async with self._lock:
            await self._catch_up("redrive dead letters")
            in_memory = self._in_memory()
            letters = [self._prepared(row, in_memory) for row in await self._all_of(ids)]
            for letter in letters:
                self._send(*letter)
            await self._mirror.journal.committed()
        return Redriven(len(letters))

    async def _redrive_what_can_be(self, matching: DeadLetterFilter) -> Redriven:
        sent = 0
        skipped: Counter[str] = Counter()
        async with self._lock:
            await self._catch_up("redrive dead letters")
            ids = await self._store.open_letters(self._system, matching)
            for some in _in_parts(ids):
                in_memory = self._in_memory()
                for row in await self._rows(some):
                    try:
                        letter = self._prepared(row, in_memory)
                    except NotRedrivable as error:
                        skipped[error.why] += 1
                    else:
                        self._send(*letter)
                        sent += 1
                await self._mirror.journal.committed()
        return Redriven(sent, skipped.total(), dict(skipped))

    async def _catch_up(self, what: str) -> None:
        """Wait until the rows say all that has happened until now."""
        if self._is_closed:
            raise SystemClosed(self._system, what)
        self._mirror.catch_up()
        await self._mirror.journal.flush()

    async def _all_of(self, ids: Sequence[str]) -> Sequence[DeadLetterRow]:
        """The letters with these ids, in their order. Raises UnknownDeadLetter."""
        rows = await self._rows(ids)
        missing = {*ids} - {row.message_id for row in rows}
        if missing:
            raise UnknownDeadLetter(min(missing, key=ids.index))
        return rows

    async def _rows(self, ids: Sequence[str]) -> Sequence[DeadLetterRow]:
        """The letters with these ids that there are, in their order."""
        found = {row.message_id: row for row in await self._store.letters_by_id(self._system, ids)}
        return [found[message_id] for message_id in ids if message_id in found]

    def _in_memory(self) -> Mapping[str | None, object]:
        """The messages themselves, as far as this process has them."""
        return {
            letter.message_id: letter.message
            for letter in self
            if not isinstance(letter.message, UnreadMessage)
        }

    def _prepared(
        self, row: DeadLetterRow, in_memory: Mapping[str | None, object]
    ) -> tuple[DeadLetterRow, Cell, object]:
        """All that sending it needs. Raises DeadLetterError: it cannot be sent."""
        _check_open(row)
        if row.reason == DeadLetterReason.LATE_REPLY.value:
            raise NotRedrivable(row.message_id, "it is a reply, and who asked waits no more. Ask again.")
        largest = self._mirror.journal.largest_record
        if row.payload is not None and len(row.payload) > largest:
            size = len(row.payload)
            why = f"it has {size:,} bytes, and the store takes at most {largest:,} in one record now"
            raise NotRedrivable(row.message_id, why)
        cell = self._recipient(row.message_id, row.recipient)
        # What could not be encoded is no message for an actor whose messages are written down.
        needs_bytes = row.payload is None and cell.blueprint.is_mirrored
        if row.message_id in in_memory and not needs_bytes:
            return row, cell, in_memory[row.message_id]
        return row, cell, message_of(row, cell.blueprint, self._codec)

    def _recipient(self, message_id: str, path: str) -> Cell:
        cell = self._registry.find(path)
        if cell is None:
            raise NotRedrivable(message_id, f"nobody lives at '{path}'. Spawn the actor first.")
        if not cell.mailbox.is_open:
            raise NotRedrivable(message_id, f"'{path}' is ending and takes nothing more")
        return cell

    def _send(self, row: DeadLetterRow, cell: Cell, message: object) -> None:
        resent = self._mirror.redrive(row, is_pending=cell.inbox is not None)
        entry = (message, sender_at(row.sender, cell.runtime), None, resent)
        if cell.inbox is not None:
            cell.inbox.expect(entry)
        else:
            cell.sent += 1
        delivery.put_anyway(cell, entry)
        self.redriven += 1


def _status(status: LetterStatus | str | None) -> LetterStatus | None:
    try:
        return None if status is None else LetterStatus(status)
    except ValueError:
        names = ", ".join(repr(s.value) for s in LetterStatus)
        raise InvalidArgument(f"status is {status!r}; it can be {names}") from None


def _ids(which: object) -> list[str] | None:
    """The ids that are meant, each once; None: a filter is."""
    if isinstance(which, DeadLetterFilter):
        return None
    if isinstance(which, str):
        return [which]
    if isinstance(which, Iterable):
        found = [*cast("Iterable[object]", which)]
        ids = [message_id for message_id in found if isinstance(message_id, str)]
        if len(ids) == len(found):
            return [*dict.fromkeys(ids)]
    raise InvalidArgument(
        f"{which!r} says of no dead letter: give its id, several ids, or DeadLetterFilter(reason='failed', …)"
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_open(row: DeadLetterRow) -> None:
    if row.status != LetterStatus.OPEN.value:
        raise DeadLetterSettled(row.message_id, row.status)


def _in_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
