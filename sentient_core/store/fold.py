"""From records to their net effect: the one pure function behind every store.

The projector writes a window's effect as rows, recovery reads the tail's effect before it is
projected, and the memory store keeps nothing but effects. Folding a journal in windows and merging
the results gives what folding it at once gives, wherever the windows are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from sentient_core.paths import is_anonymous
from sentient_core.store.accounts import ACCEPTED, FORGOTTEN, HANDLED, Account, Line, redriven
from sentient_core.store.outcomes import IdKey, Outcome, id_key, memo_key, memo_name, note_of, outcome_of
from sentient_core.store.records import (
    Accepted,
    AgentStatus,
    Answered,
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    Closed,
    Counted,
    DeadLetterRecord,
    DurableActor,
    Entry,
    Event,
    Forgotten,
    Forwarded,
    Key,
    LetterDiscarded,
    LetterRedriven,
    LetterStatus,
    Noted,
    Opened,
    RowChange,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
    Turn,
    event_in,
    flat,
    full_id,
)
from sentient_core.store.row_effects import RowEffect, add_row, merge_rows, replaced_by_status, rows_without
from sentient_core.store.row_tables import RowKey

__all__ = [
    "NOTHING",
    "AgentEffect",
    "Effect",
    "LetterEffect",
    "PendingEffect",
    "Placed",
    "events_of",
    "fold",
    "later_agent",
    "merge",
    "merge_letters",
    "newest",
]

_NO_FIELDS = msgspec.msgpack.encode({})

R = TypeVar("R", bound=AnyRecord)
T = TypeVar("T")


class Placed(msgspec.Struct, Generic[R], frozen=True, gc=False):
    """A record and where it stands in the order of commits."""

    number: int
    """Of the journal entry."""
    index: int
    """Within the entry."""
    epoch: int
    record: R

    @property
    def position(self) -> tuple[int, int]:
        """Sorts as the records were appended."""
        return (self.number, self.index)


class AgentEffect(msgspec.Struct, frozen=True):
    """What a window did to one row of `agent_state`."""

    first_at: int
    """Time of the first status in the window: when the row was made, if it is new."""
    last: AgentStatus
    changes: int = 1
    """How many statuses there were."""


class PendingEffect(msgspec.Struct, frozen=True):
    """A row of `inbox` that a window has made."""

    accepted: Placed[Accepted]
    tries: int = 0
    """How often its handler has failed with it."""


class LetterEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a window did to one row of `dead_letter`."""

    death: Placed[DeadLetterRecord] | None = None
    """The last death of the message in the window; None: it died before."""
    status: LetterStatus = LetterStatus.OPEN
    attempts: int | None = None
    """How often it was sent; None: as the row says."""
    settled_at: int | None = None
    """When it was redriven or discarded, in nanoseconds; None: it is open."""
    discard_reason: str | None = None


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a window of the journal once everything it superseded is gone."""

    events: tuple[Placed[Event], ...] = ()
    agents: Mapping[str, AgentEffect] = {}
    incarnations: Mapping[str, int] = {}
    """Highest incarnation by path."""
    restarts: Mapping[str, int] = {}
    """By path, how often it was restarted; of paths that were."""
    durables: Mapping[str, DurableActor] = {}
    """By path, durable actors as the window leaves them."""
    forgotten: frozenset[str] = frozenset()
    """Paths of which nothing counts that was stored before the window, or before the record in it."""
    turns: Mapping[str, tuple[Placed[Checkpoint], ...]] = {}
    """By path, the newest `turn` checkpoints, newest first, as many as are kept."""
    named: tuple[Placed[Checkpoint], ...] = ()
    states: Mapping[str, Placed[Checkpoint]] = {}
    """By path, the last state of durable actors that was written whole."""
    deltas: Mapping[str, Placed[Checkpoint]] = {}
    """By path, what that has become since, or what one of before the window has: see `store.deltas`."""
    pending: Mapping[Key, PendingEffect] = {}
    """Messages to durable actors that were accepted in the window and are not settled."""
    settled: frozenset[Key] = frozenset()
    """Messages that were accepted before the window and are settled."""
    accounts: Mapping[str, Account] = {}
    """By path, what has happened to the messages of durable actors."""
    counted: Mapping[str, Placed[Counted]] = {}
    """By path, what has become of the messages to mirrored actors."""
    timers: Mapping[tuple[str, str], TimerSet | None] = {}
    """By path and key, how the window leaves the durable timers that it is about; None: gone."""
    tried: Mapping[Key, int] = {}
    """Tries of messages that were accepted before the window and are not settled."""
    ids: Mapping[IdKey, Outcome] = {}
    """By recipient and id, what is known of messages that callers sent under ids."""
    memos: Mapping[Key, Mapping[str, Outcome]] = {}
    """What the handling of messages has come to that are not settled, by its name."""
    memos_gone: frozenset[Key] = frozenset()
    """Of `settled`, those with memos: these go, before those of `memos` are written."""
    letters: Mapping[str, LetterEffect] = {}
    """By the id of the message."""
    rows: Mapping[RowKey, RowEffect] = {}
    """By table and key, what actors have written; those of `agent_state` come on top of `agents`."""
    rows_gone: frozenset[RowKey] = frozenset()
    """Edges that are no more: these go, before `rows` are written."""
    epoch: int | None = None
    """Of the last start in the window; None when none started in it."""
    is_clean: bool | None = None
    """The last start in the window reached its orderly end; None: no start, no end in it."""


NOTHING = Effect()
"""The effect of an empty window."""


def events_of(number: int, entry: Entry, wants: Callable[[str], bool]) -> list[Placed[Event]]:
    """The events of one journal entry whose types are wanted, as `fold` would place them."""
    found: list[Placed[Event]] = []
    for index, record in enumerate(flat(entry.records)):
        event = event_in(record)
        if event is not None and wants(event.event_type):
            found.append(Placed(number, index, entry.epoch, event))
    return found


def fold(entries: Iterable[tuple[int, Entry]], kept_checkpoints: int) -> Effect:
    """The net effect of numbered journal entries, given in the order of commits."""
    events: list[Placed[Event]] = []
    agents: dict[str, AgentEffect] = {}
    incarnations: dict[str, int] = {}
    restarts: dict[str, int] = {}
    turns: dict[str, list[Placed[Checkpoint]]] = {}
    named: list[Placed[Checkpoint]] = []
    states: dict[str, Placed[Checkpoint]] = {}
    deltas: dict[str, Placed[Checkpoint]] = {}
    durables: dict[str, DurableActor] = {}
    forgotten: set[str] = set()
    inbox = _Inbox()
    timers: dict[tuple[str, str], TimerSet | None] = {}
    accounts: dict[str, list[Line]] = {}
    counted: dict[str, Placed[Counted]] = {}
    letters: dict[str, LetterEffect] = {}
    rows_gone: set[RowKey] = set()
    rows: dict[RowKey, RowEffect] = {}
    last_epoch: int | None = None
    is_clean: bool | None = None

    def note(path: str, line: Line) -> None:
        accounts.setdefault(path, []).append(line)

    for number, entry in entries:
        epoch = entry.epoch
        for index, record in enumerate(flat(entry.records)):
            if isinstance(record, Event):
                events.append(Placed(number, index, epoch, record))
            elif isinstance(record, Accepted):
                events.append(Placed(number, index, epoch, record.event))
                inbox.accept(Placed(number, index, epoch, record))
                if record.sent_as is not None:
                    inbox.note_outcome(record)
                note(record.event.target or "", (ACCEPTED, epoch, record.event.seq))
            elif isinstance(record, Answered):
                events.append(Placed(number, index, epoch, record.event))
                inbox.note_outcome(record)
            elif isinstance(record, Forwarded):
                inbox.note_outcome(record)
            elif isinstance(record, Noted):
                inbox.note(memo_key(record, epoch), record.name, note_of(record))
            elif isinstance(record, Settled):
                key = (record.path, record.epoch or epoch, record.seq)
                inbox.settle(key, has_memos=record.has_memos)
                note(record.path, (HANDLED, *key[1:]))
            elif isinstance(record, Tried):
                inbox.note_tries((record.path, record.epoch or epoch, record.seq), record.tries)
            elif isinstance(record, TimerSet):
                timers[record.path, record.key] = record
            elif isinstance(record, TimerGone):
                timers[record.path, record.key] = None
            elif isinstance(record, AgentStatus):
                known = agents.get(record.path)
                agents[record.path] = (
                    AgentEffect(record.at, record)
                    if known is None
                    else AgentEffect(known.first_at, record, known.changes + 1)
                )
                replaced_by_status(rows, (record.path,))
                for table in record.relations:
                    edge = (table, (record.parent, record.path))
                    if record.is_over:
                        rows.pop(edge, None)
                        rows_gone.add(edge)
                    else:
                        add_row(rows, RowChange(*edge, _NO_FIELDS, record.at, record.path))
                _raise(incarnations, record.path, record.incarnation)
                if record.restarts > 0:
                    _raise(restarts, record.path, record.restarts)
                if record.origin is not None and not is_anonymous(record.path):
                    durables[record.path] = DurableActor(record.kind, record.origin, record.is_over)
            elif isinstance(record, Checkpoint):
                placed = Placed(number, index, epoch, record)
                if record.kind is CheckpointKind.STATE:
                    states[record.path] = placed
                    deltas.pop(record.path, None)
                elif record.kind is CheckpointKind.DELTA:
                    deltas[record.path] = placed
                elif record.kind is CheckpointKind.TURN:
                    turns.setdefault(record.path, []).append(placed)
                else:
                    named.append(placed)
                _raise(incarnations, record.path, record.incarnation)
            elif isinstance(record, DeadLetterRecord):
                death = Placed(number, index, epoch, record)
                of_epoch = record.epoch or epoch
                letters[full_id(of_epoch, record.seq)] = LetterEffect(death=death, attempts=record.attempts)
                if record.was_pending:
                    inbox.settle((record.recipient, of_epoch, record.seq), has_memos=record.has_memos)
                    note(record.recipient, (record.reason, of_epoch, record.seq))
                if record.sent_as is not None:
                    inbox.note_outcome(record)
            elif isinstance(record, LetterRedriven):
                events.append(Placed(number, index, epoch, record.event))
                if record.accepted is not None:
                    inbox.accept(Placed(number, index, record.epoch, record.accepted))
                    line = (redriven(record.died_of), record.epoch, record.seq)
                    note(record.accepted.event.target or "", line)
                mark = LetterEffect(
                    status=LetterStatus.REDRIVEN, attempts=record.attempts, settled_at=record.event.at
                )
                _mark(letters, full_id(record.epoch, record.seq), mark)
            elif isinstance(record, LetterDiscarded):
                discarded = LetterEffect(
                    status=LetterStatus.DISCARDED, settled_at=record.at, discard_reason=record.reason
                )
                _mark(letters, full_id(record.epoch, record.seq), discarded)
            elif isinstance(record, Forgotten):
                forgotten.add(record.path)
                for of_path in (agents, turns, states, deltas, durables, counted):
                    of_path.pop(record.path, None)
                named = [placed for placed in named if placed.record.path != record.path]
                timers = _without(timers, {record.path})
                rows = rows_without(rows, {record.path})
                inbox.forget({record.path})
                note(record.path, (FORGOTTEN, 0, 0))
            elif isinstance(record, RowChange):
                add_row(rows, record)
            elif isinstance(record, Counted):
                counted[record.path] = Placed(number, index, epoch, record)
            elif isinstance(record, Opened):
                last_epoch = record.epoch
                is_clean = False
            elif isinstance(record, Closed):
                is_clean = True
            else:
                _: Turn = record  # `flat` leaves none

    return Effect(
        events=tuple(events),
        agents=agents,
        incarnations=incarnations,
        restarts=restarts,
        durables=durables,
        forgotten=frozenset(forgotten),
        turns={path: newest(reversed(placed), kept_checkpoints) for path, placed in turns.items()},
        named=tuple(named),
        states=states,
        deltas=deltas,
        pending=inbox.pending,
        settled=frozenset(inbox.settled),
        tried=inbox.tried,
        timers=timers,
        accounts={path: tuple(lines) for path, lines in accounts.items()},
        ids=inbox.ids,
        memos=inbox.memos,
        memos_gone=frozenset(inbox.memos_gone),
        counted=counted,
        letters=letters,
        rows=rows,
        rows_gone=frozenset(rows_gone),
        epoch=last_epoch,
        is_clean=is_clean,
    )


def merge(earlier: Effect, later: Effect, kept_checkpoints: int) -> Effect:
    """The effect of two windows, one right after the other."""
    earlier = _forgetting(earlier, later.forgotten)
    agents = dict(earlier.agents)
    for path, agent in later.agents.items():
        known = agents.get(path)
        agents[path] = agent if known is None else later_agent(known, agent)
    rows = {key: row for key, row in earlier.rows.items() if key not in later.rows_gone}
    replaced_by_status(rows, later.agents)
    incarnations = dict(earlier.incarnations)
    for path, incarnation in later.incarnations.items():
        _raise(incarnations, path, incarnation)
    restarts = dict(earlier.restarts)
    for path, count in later.restarts.items():
        _raise(restarts, path, count)
    turns = dict(earlier.turns)
    for path, placed in later.turns.items():
        turns[path] = newest((*placed, *turns.get(path, ())), kept_checkpoints)
    inbox = _Inbox(earlier)
    inbox.go_on(later)
    return Effect(
        events=earlier.events + later.events,
        agents=agents,
        incarnations=incarnations,
        restarts=restarts,
        durables={**earlier.durables, **later.durables},
        forgotten=earlier.forgotten | later.forgotten,
        turns=turns,
        named=earlier.named + later.named,
        states={**earlier.states, **later.states},
        deltas={**_but(earlier.deltas, later.states), **later.deltas},
        pending=inbox.pending,
        settled=frozenset(inbox.settled),
        tried=inbox.tried,
        timers={**earlier.timers, **later.timers},
        accounts={
            path: (*earlier.accounts.get(path, ()), *later.accounts.get(path, ()))
            for path in earlier.accounts.keys() | later.accounts.keys()
        },
        ids=inbox.ids,
        memos=inbox.memos,
        memos_gone=frozenset(inbox.memos_gone),
        counted={**earlier.counted, **later.counted},
        letters=merge_letters(dict(earlier.letters), later.letters),
        rows=merge_rows(rows, later.rows),
        rows_gone=earlier.rows_gone | later.rows_gone,
        epoch=earlier.epoch if later.epoch is None else later.epoch,
        is_clean=earlier.is_clean if later.is_clean is None else later.is_clean,
    )


def merge_letters(
    letters: dict[str, LetterEffect], later: Mapping[str, LetterEffect]
) -> dict[str, LetterEffect]:
    """Add what a later window did to letters; returns `letters`."""
    for id_, effect in later.items():
        if effect.death is None:
            _mark(letters, id_, effect)
        else:
            letters[id_] = effect
    return letters


def later_agent(known: AgentEffect, later: AgentEffect) -> AgentEffect:
    """What two windows did to the row of an actor, one after the other."""
    return AgentEffect(known.first_at, later.last, known.changes + later.changes)


def newest(newest_first: Iterable[T], kept: int) -> tuple[T, ...]:
    """The first `kept` of what is sorted newest first."""
    return tuple(newest_first)[:kept]


class _Inbox:
    """What windows do to the messages of durable actors."""

    def __init__(self, earlier: Effect = NOTHING) -> None:
        self.pending: dict[Key, PendingEffect] = dict(earlier.pending)
        self.settled: set[Key] = set(earlier.settled)
        self.tried: dict[Key, int] = dict(earlier.tried)
        self.ids: dict[IdKey, Outcome] = dict(earlier.ids)
        self.memos: dict[Key, dict[str, Outcome]] = {key: dict(m) for key, m in earlier.memos.items()}
        self.memos_gone: set[Key] = set(earlier.memos_gone)

    def accept(self, accepted: Placed[Accepted]) -> None:
        event = accepted.record.event
        key = (event.target or "", accepted.epoch, event.seq)
        self.pending[key] = PendingEffect(accepted)

    def settle(self, key: Key, *, has_memos: bool) -> None:
        self.memos.pop(key, None)
        if self.pending.pop(key, None) is None:
            self.settled.add(key)
            self.tried.pop(key, None)
            if has_memos:
                self.memos_gone.add(key)

    def note_tries(self, key: Key, tries: int) -> None:
        known = self.pending.get(key)
        if known is None:
            self.tried[key] = tries
        else:
            self.pending[key] = PendingEffect(known.accepted, tries)

    def forget(self, paths: Collection[str]) -> None:
        self.pending = {key: pending for key, pending in self.pending.items() if key[0] not in paths}
        self.settled = {key for key in self.settled if key[0] not in paths}
        self.tried = {key: tries for key, tries in self.tried.items() if key[0] not in paths}
        self.ids = {key: outcome for key, outcome in self.ids.items() if key[0] not in paths}
        self.memos = {key: memos for key, memos in self.memos.items() if key[0] not in paths}
        self.memos_gone = {key for key in self.memos_gone if key[0] not in paths}

    def note(self, key: Key, name: str, outcome: Outcome) -> None:
        self.memos.setdefault(key, {})[name] = outcome

    def note_outcome(self, record: AnyRecord) -> None:
        known = outcome_of(record)
        if known is None:
            return
        sent, outcome = known
        if sent.asker is None:
            self.ids[id_key(sent)] = outcome
        else:
            self.note(sent.asker, memo_name(sent), outcome)

    def go_on(self, later: Effect) -> None:
        for key in later.settled:
            self.settle(key, has_memos=key in later.memos_gone)
        for key, tries in later.tried.items():
            self.note_tries(key, tries)
        self.pending.update(later.pending)
        self.ids.update(later.ids)
        for key, memos in later.memos.items():
            self.memos.setdefault(key, {}).update(memos)


def _forgetting(effect: Effect, paths: frozenset[str]) -> Effect:
    """What is left of an effect when these paths are forgotten behind it."""
    if not paths:
        return effect
    inbox = _Inbox(effect)
    inbox.forget(paths)
    return msgspec.structs.replace(
        effect,
        agents=_but(effect.agents, paths),
        turns=_but(effect.turns, paths),
        states=_but(effect.states, paths),
        deltas=_but(effect.deltas, paths),
        durables=_but(effect.durables, paths),
        counted=_but(effect.counted, paths),
        named=tuple(placed for placed in effect.named if placed.record.path not in paths),
        timers=_without(effect.timers, paths),
        rows=rows_without(effect.rows, paths),
        pending=inbox.pending,
        settled=frozenset(inbox.settled),
        tried=inbox.tried,
        ids=inbox.ids,
        memos=inbox.memos,
        memos_gone=frozenset(inbox.memos_gone),
    )


def _but(by_path: Mapping[str, T], paths: Collection[str]) -> dict[str, T]:
    return {path: item for path, item in by_path.items() if path not in paths}


def _without(timers: Mapping[tuple[str, str], T], paths: Collection[str]) -> dict[tuple[str, str], T]:
    return {key: timer for key, timer in timers.items() if key[0] not in paths}


def _mark(letters: dict[str, LetterEffect], id_: str, mark: LetterEffect) -> None:
    known = letters.get(id_)
    if known is not None:
        attempts = known.attempts if mark.attempts is None else mark.attempts
        mark = msgspec.structs.replace(mark, death=known.death, attempts=attempts)
    letters[id_] = mark


def _raise(highest: dict[str, int], path: str, number: int) -> None:
    # A path that the runtime made is never used again: nothing is to be remembered of it.
    if number > highest.get(path, -1) and not is_anonymous(path):
        highest[path] = number
