"""What durable actors have left, read from rows and tail together, for many of them at a time.

The rows of actors whose paths are neighbours are one bounded range; so whoever takes up all actors of a
system reads it from one end to the other, in parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from sentient_core.store.deltas import LEAST_BYTES, whole
from sentient_core.store.engine import Engine
from sentient_core.store.protocols import Estate, Pending
from sentient_core.store.records import Checkpoint, Key, TimerSet
from sentient_core.store.rows import (
    DELTA_PLACE,
    STATE_PLACE,
    read_checkpoint,
    read_pending,
    read_timer,
    whole_row,
)
from sentient_core.store.tail import Tail
from sentient_core.store.tail_inboxes import TailInbox
from sentient_core.store.wire import record_id

__all__ = ["EstateReader"]

_STATES = "SELECT * FROM $states"
_TIMERS = "SELECT * FROM timer:[$system, $first{n}, '']..=[$system, $last{n}, []]"
_INBOX = """SELECT id, record, digest, tries, sender, message_type, timestamp
    FROM inbox:[$system, $first{n}, $epoch, $seq]..=[$system, $last{n}, []] ORDER BY id LIMIT $most{n}"""

ROWS_AT_ONCE = 4_000
"""Rows of several actors that are read as one range."""


class _Span(msgspec.Struct, frozen=True):
    """Actors that are read as one range."""

    paths: Sequence[str]
    most: int


class EstateReader:
    """Reads the estates of one system. Lives on the store thread."""

    def __init__(
        self, engine: Engine, system: str, tail: Tail, known: Iterable[str], pending: Mapping[str, int]
    ) -> None:
        self._engine = engine
        self._system = system
        self._tail = tail
        self._known = known
        self._pending = pending
        self._ranks: dict[str, int] | None = None
        """Of the paths that had something when the journal was opened, in the order of rows."""

    async def read(self, paths: Sequence[str], limit: int, after: Key | None = None) -> dict[str, Estate]:
        """What each of these has left, at most `limit` messages of each (behind `after`)."""
        estates: dict[str, Estate] = {}
        spans = list(self._spans(sorted(set(paths)), limit))
        while spans:
            # A few spans at a time, so that an answer is never larger than it has to be.
            some, spans = spans[:_SPANS_AT_ONCE], spans[_SPANS_AT_ONCE:]
            again = await self._read_spans(some, limit, after, estates)
            spans = [_Span([path], limit) for path in again] + spans
        return estates

    async def _read_spans(
        self, spans: Sequence[_Span], limit: int, after: Key | None, estates: dict[str, Estate]
    ) -> list[str]:
        """Read into `estates`; returns the paths of which there was more than expected."""
        paths = [path for span in spans for path in span.paths]
        # First the tail: what is projected meanwhile stands in both, and what it settles stays known.
        states, deltas = self._tail.states(paths), self._tail.deltas(paths)
        inboxes = self._tail.inboxes(paths)
        behind = (0, 0) if after is None else (after[1], after[2] + 1)
        mosts = [span.most + sum(len(inboxes[path].settled) for path in span.paths) + 1 for span in spans]
        parameters: dict[str, object] = {
            "system": self._system,
            "states": self._ids(paths, STATE_PLACE),
            "epoch": behind[0],
            "seq": behind[1],
        }
        statements = [_STATES]
        for n, (span, most) in enumerate(zip(spans, mosts, strict=True)):
            statements += [_TIMERS.format(n=n), _INBOX.format(n=n)]
            parameters |= {f"first{n}": span.paths[0], f"last{n}": span.paths[-1], f"most{n}": most}
        state_rows, *rows = await self._ask("; ".join(statements), parameters)
        for path, state in (await self._stored(paths, state_rows, {**states, **deltas})).items():
            states.setdefault(path, state)
        again: list[str] = []
        for span, most, timers, messages in zip(spans, mosts, rows[::2], rows[1::2], strict=True):
            if len(span.paths) > 1 and len(messages) >= most:
                again += span.paths
                continue
            messages_of, timers_of = _by_path(messages), _by_path(timers)
            for path in span.paths:
                estates[path] = Estate(
                    state=whole(states.get(path), deltas.get(path)),
                    **_timers(inboxes[path], timers_of.get(path, ())),
                    **_pending(inboxes[path], messages_of.get(path, ()), behind, limit),
                )
        return again

    async def _stored(
        self, paths: Sequence[str], rows: Sequence[Mapping[str, Any]], newer: Collection[str]
    ) -> dict[str, Checkpoint]:
        """The states in rows; with what they have become since, but where something newer is known."""
        found = {str(row["id"].key[1]): row for row in rows}
        small = {path for path, row in found.items() if len(row["state"]) < LEAST_BYTES}
        large = [path for path in paths if path not in newer and path not in small]
        since: dict[str, Mapping[str, Any]] = {}
        if large:
            (more,) = await self._ask(_STATES, {"states": self._ids(large, DELTA_PLACE)})
            since = {str(row["id"].key[1]): row for row in more}
        wholes = ((path, whole_row(found.get(path), since.get(path))) for path in {*found, *since})
        return {path: read_checkpoint(row) for path, row in wholes if row is not None}

    def _ids(self, paths: Iterable[str], place: Sequence[str]) -> list[object]:
        return [record_id("state_checkpoint", self._system, path, *place) for path in paths]

    async def _ask(self, sql: str, parameters: dict[str, object]) -> list[list[dict[str, Any]]]:
        return await self._engine.query(sql, parameters)

    def _spans(self, paths: Sequence[str], limit: int) -> Iterator[_Span]:
        if len(paths) == 1:
            yield _Span(paths, limit)
            return
        if self._ranks is None:
            self._ranks = {path: rank for rank, path in enumerate(sorted({*self._known, *self._pending}))}
        span: list[str] = []
        rows = 0
        for path in paths:
            count = min(self._pending.get(path, 0), limit)
            is_next = bool(span) and self._ranks.get(path, -1) == self._ranks.get(span[-1], -3) + 1
            if span and (not is_next or rows + count > ROWS_AT_ONCE):
                yield _Span(span, max(rows, limit if len(span) == 1 else 0))
                span, rows = [], 0
            span.append(path)
            rows += count
        yield _Span(span, max(rows, limit if len(span) == 1 else 0))


_SPANS_AT_ONCE = 200


def _pending(
    inbox: TailInbox, rows: Iterable[Mapping[str, Any]], behind: tuple[int, int], limit: int
) -> dict[str, Any]:
    found = {pending.key: pending for pending in map(read_pending, rows)}
    for key, placed in inbox.accepted.items():
        if key[1:] >= behind:
            found[key] = Pending(key[1], placed.record)
    pending = [
        msgspec.structs.replace(found[key], tries=inbox.tried.get(key, found[key].tries))
        for key in sorted(found.keys() - inbox.settled)
    ]
    return {"pending": pending[:limit], "is_all": len(pending) <= limit}


def _timers(inbox: TailInbox, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    timers: dict[str, TimerSet | None] = {row["id"].key[2]: read_timer(row) for row in rows}
    damaged = [key for key, timer in timers.items() if timer is None and key not in inbox.timers]
    timers.update(inbox.timers)
    return {
        "timers": [timer for _, timer in sorted(timers.items()) if timer is not None],
        "damaged_timers": damaged,
    }


def _by_path(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows that come in the order of their ids."""
    return {path: list(of_path) for path, of_path in groupby(rows, key=lambda row: str(row["id"].key[1]))}
