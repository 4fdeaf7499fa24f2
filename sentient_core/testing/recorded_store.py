"""A store that notes what durable actors do in a run, as a History.

It is read off the journal, which has all that a turn leaves in one record: the message it settles, the new
state, what it sends and replies. So nothing of the actors is changed for it, and it can be taken of any run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from sentient_core.backend import Backend, current_backend
from sentient_core.paths import EXTERNAL
from sentient_core.store import Journal, Store
from sentient_core.store.records import (
    Accepted,
    Answered,
    AnyRecord,
    Checkpoint,
    CheckpointKind,
    DeadLetterRecord,
    Event,
    Record,
    Settled,
    Tried,
    Turn,
)
from sentient_core.testing.history import UNCHANGED, GoldenTurn, History, Input, Sent

__all__ = ["RecordedStore"]


class RecordedStore:
    """Notes what durable actors do on a store, in `history`; an ActorSystem takes it in the place of that.

    ::

        recorded = RecordedStore(MemoryStore())
        async with ActorSystem("bank", store=recorded) as system: ...
        recorded.history.save("bank.json")

    For one system at a time. Messages to mirrored actors from outside are noted as well, those to volatile
    ones are not: nothing is stored of them. Whoever made the store closes it.
    """

    def __init__(self, store: Store) -> None:
        self.history: History = History()
        """What was done until now."""
        self.store: Store = cast("Store", _Listening(store, self.history))
        """See `StoreHolder`."""

    def __repr__(self) -> str:
        return f"<RecordedStore of {self.store!r}, {len(self.history.turns)} turns>"


class _Listening:
    """A store whose journals are listened to."""

    def __init__(self, store: Store, history: History) -> None:
        self._store = store
        self._history = history

    def __repr__(self) -> str:
        return repr(self._store)

    async def open_journal(self, system: str, **options: Any) -> Journal:
        journal = await self._store.open_journal(system, **options)
        return cast("Journal", _RecordedJournal(journal, _Recorder(self._history, current_backend())))

    @property
    def faults(self) -> Any:
        return getattr(self._store, "faults", None)

    @faults.setter
    def faults(self, faults: Any) -> None:
        cast("Any", self._store).faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _RecordedJournal:
    """A journal whose `append` is listened to."""

    def __init__(self, journal: Journal, recorder: _Recorder) -> None:
        self._journal = journal
        self._recorder = recorder

    def append(self, record: AnyRecord, **options: bool) -> bool:
        is_taken = self._journal.append(record, **options)
        if is_taken:
            self._recorder.note(record)
        return is_taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


class _Recorder:
    """Makes a history of records."""

    def __init__(self, history: History, backend: Backend) -> None:
        self._history = history
        self._backend = backend
        self._began = backend.now()
        self._accepted: dict[tuple[str, int, int], Event] = {}
        self._places: dict[int, int] = {}
        """Of messages from outside, by their numbers: where they stand in the history."""

    def note(self, record: Record) -> None:
        self._history.lasted = round(self._backend.now() - self._began, 9)
        parts = record.parts if isinstance(record, Turn) else (record,)
        for part in parts:
            if isinstance(part, Accepted):
                self._accepted[part.event.target or "", 0, part.event.seq] = part.event
                self._note_input(part.event)
            elif isinstance(part, Event):
                self._note_input(part)
        for part in parts:
            if isinstance(part, Settled):
                self._note_turn(part.path, part.epoch, part.seq, parts)
            elif isinstance(part, DeadLetterRecord) and part.was_pending:
                outcome = f"{part.reason}: {part.cause}".rstrip(": ")
                self._note_turn(part.recipient, part.epoch, part.seq, parts, outcome)
            elif isinstance(part, Tried):
                outcome = f"failed {part.tries} times, and is tried again"
                self._note_turn(part.path, part.epoch, part.seq, parts, outcome, is_over=False)

    def _note_input(self, event: Event) -> None:
        if event.source != EXTERNAL or event.event_type != "message_sent":
            return
        self._places[event.seq] = len(self._history.inputs)
        self._history.inputs.append(
            Input(
                at=self._history.lasted,
                target=event.target or "",
                message_type=event.message_type or "",
                message=_plain(event.payload),
                exact=event.payload,
            )
        )

    def _note_turn(
        self,
        path: str,
        epoch: int,
        seq: int,
        parts: Sequence[Record],
        outcome: str = "handled",
        *,
        is_over: bool = True,
    ) -> None:
        key = (path, epoch, seq)
        event = self._accepted.pop(key, None) if is_over else self._accepted.get(key)
        if event is None:  # of an earlier start, or redriven
            return
        state: Any = UNCHANGED
        sent: list[Sent] = []
        reply: Any = None
        for part in parts:
            if isinstance(part, Checkpoint):
                state = _plain(part.state) if part.kind is CheckpointKind.STATE else state
                continue
            out = part.event if isinstance(part, Accepted | Answered) else part
            if not isinstance(out, Event) or out.source != path:
                continue
            if out.event_type == "message_replied":
                reply = _plain(out.payload)
                self._note_ask(seq)
            elif out.event_type == "message_sent":
                sent.append(Sent(out.target or "", out.message_type or "", _plain(out.payload)))
        self._history.turns.append(
            GoldenTurn(
                actor=path,
                message_type=event.message_type or "",
                message=_plain(event.payload),
                outcome=outcome,
                state=state,
                sent=sent,
                reply=reply,
            )
        )

    def _note_ask(self, seq: int) -> None:
        place = self._places.get(seq)
        if place is not None:
            inputs = self._history.inputs
            inputs[place] = msgspec.structs.replace(inputs[place], is_ask=True)


def _plain(payload: bytes) -> Any:
    """Stored bytes as values that JSON has, so that what is read from a file is equal to what is recorded."""
    try:
        value = msgspec.msgpack.decode(payload, strict=False)
        return msgspec.json.decode(msgspec.json.encode(value))
    except (msgspec.DecodeError, msgspec.EncodeError, TypeError, ValueError):
        return payload.hex()
