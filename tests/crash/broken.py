"""Runtimes that break a promise each, in one small way: what the crash tests must find out.

Each is a change to the process before it starts, and a kill that brings it to light.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import msgspec

from sentient_core.actors import asking, forwarding
from sentient_core.actors.inbox import Inbox
from sentient_core.actors.open_turn import OpenTurn
from sentient_core.store import estates, projector, recovery, settlement
from sentient_core.store.estates import EstateReader
from sentient_core.store.fold import Effect, fold
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.records import Entry, flat
from sentient_core.store.tail import Tail
from tests.crash.points import Kill

__all__ = ["BROKEN", "Broken"]


class Broken(msgspec.Struct, frozen=True):
    """One of them."""

    do: Callable[[], None]
    """Break this process."""
    kill: Kill | None = None
    """Where it shows, or thereabouts; None: it dies by itself."""
    holds_rows: bool = False
    is_lasting: bool = True
    """The life that finds out is broken as well."""
    lives: int = 1
    """Behind the one that is killed, until it shows."""
    ballast: int = 0


def _replace(owner: object, **changes: object) -> None:
    for name, instead in changes.items():
        assert hasattr(owner, name), f"{owner} has no {name} any more: say anew how it is broken"
        setattr(owner, name, instead)


def acknowledges_too_early() -> None:
    """`send` returns before the commit."""

    async def committed(self: object, mark: int | None = None) -> None:
        return

    _replace(SurrealJournal, committed=committed)


def replies_too_early() -> None:
    """Answers leave before the commit."""

    def reply_slot(slot: object, *_: object) -> object:
        return slot

    for module in (asking, forwarding):
        _replace(module, reply_slot=reply_slot)


def lets_out_too_early() -> None:
    """What a turn sends to actors that are not durable leaves before the commit."""

    def when_committed(self: Any, waiter: Any) -> None:
        self._backend.call_soon(lambda: waiter.set(None))

    _replace(SurrealJournal, when_committed=when_committed)


def forgets_outputs() -> None:
    """What a turn sends to durable actors is delivered, and stands in no record."""
    send_well: Any = OpenTurn.send

    def send(self: Any, target: Any, entry: Any, **options: Any) -> None:
        if target.inbox is None or entry[3] is None:
            send_well(self, target, entry, **options)
        else:
            self._outputs.append((target, entry))

    _replace(OpenTurn, send=send)


def splits_turns() -> None:
    """What a turn leaves is one record after the other, and the process dies between two of them."""
    append: Any = SurrealJournal.append
    turns = count(1)

    def append_parts(self: Any, record: Any, **options: Any) -> bool:
        parts = list(flat((record,)))
        is_taken = [append(self, parts[0], **options)]
        if len(parts) > 1 and next(turns) == 20:
            self._wake_writer()
            time.sleep(0.1)  # the store's thread commits what it has
            os.kill(os.getpid(), signal.SIGKILL)
        is_taken += [append(self, part, **options) for part in parts[1:]]
        return all(is_taken)

    _replace(SurrealJournal, append=append_parts)


def folds_failures_away() -> None:
    """A window with the failure of an actor leaves its state as it was before the window."""

    def fold_badly(entries: Iterable[tuple[int, Entry]], kept: int) -> Effect:
        effect = fold(entries, kept)
        failed = {letter.death.record.recipient for letter in effect.letters.values() if letter.death}
        states = {path: state for path, state in effect.states.items() if path not in failed}
        return msgspec.structs.replace(effect, states=states)

    _replace(projector, fold=fold_badly)


def folds_deltas_away() -> None:
    """What a large state has become since it was written whole never becomes a row."""

    def fold_badly(entries: Iterable[tuple[int, Entry]], kept: int) -> Effect:
        return msgspec.structs.replace(fold(entries, kept), deltas={})

    _replace(projector, fold=fold_badly)


def misses_deltas() -> None:
    """A start knows states as they are whole, and not what they have become in the tail."""

    def find_none(*_: object) -> dict[str, Any]:
        return {}

    _replace(Tail, deltas=find_none)


def begins_with_wholes() -> None:
    """A start begins with the whole state in the rows, whatever that has become since."""

    def without_delta(state: Any, _delta: object) -> Any:
        return state

    _replace(estates, whole_row=without_delta)


def settles_nothing() -> None:
    """Messages stay in the inbox that were settled in a later window."""
    _replace(settlement, _SETTLED="")


def recovers_without_tail() -> None:
    """A start does not look at what is committed and not projected."""
    started: Any = vars(recovery)["_started"]

    async def start_with_rows(
        engine: Any, system: str, epoch: int, number: int, tail: Any, *rest: Any
    ) -> Any:
        own = [entry for entry in tail if entry.number == number]
        return await started(engine, system, epoch, number, own, *rest)

    _replace(recovery, _started=start_with_rows)


def recovers_without_rows() -> None:
    """An actor takes up what is in the tail alone."""
    ask: Any = vars(EstateReader)["_ask"]

    async def find_nothing(self: Any, *question: Any) -> list[list[Any]]:
        return [[] for _ in await ask(self, *question)]

    _replace(EstateReader, _ask=find_nothing)


def takes_up_what_is_settled() -> None:
    """An actor takes up every row of its inbox, whatever the tail says."""
    inboxes: Any = Tail.inboxes

    def without_settled(self: Any, paths: Iterable[str]) -> dict[str, Any]:
        found = inboxes(self, paths)
        return {path: msgspec.structs.replace(inbox, settled=frozenset()) for path, inbox in found.items()}

    _replace(Tail, inboxes=without_settled)


def forgets_ids() -> None:
    """What came of an id is known only until it is in its row."""

    async def read_outcomes(self: Any, keys: Iterable[Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = self._tail.outcomes(keys)
        return found

    _replace(SurrealJournal, _read_outcomes=read_outcomes)


def rolls_nothing_back() -> None:
    """A failed turn's state stays."""

    def roll_back(self: Any, actor: object) -> None:
        if self.turn is not None:
            self.turn.drop()

    _replace(Inbox, roll_back=roll_back)


_IN_FLIGHT = Kill("load", "commit before", 12, 0.03)
_DRAINED = Kill("load", "drained", 1)
_LARGE = 20_000

BROKEN: dict[str, Broken] = {
    "acknowledges before the commit": Broken(acknowledges_too_early, Kill("load", "commit before", 3, 0.03)),
    "replies before the commit": Broken(replies_too_early, _IN_FLIGHT),
    "lets go before the commit": Broken(lets_out_too_early, _IN_FLIGHT),
    "delivers what it does not record": Broken(forgets_outputs, _IN_FLIGHT),
    "commits a turn in pieces": Broken(splits_turns, is_lasting=False),
    "drops the state of a failed turn": Broken(folds_failures_away, _DRAINED, holds_rows=True),
    "loses what large states have become": Broken(folds_deltas_away, _DRAINED, ballast=_LARGE),
    "misses deltas in the tail": Broken(misses_deltas, _IN_FLIGHT, holds_rows=True, ballast=_LARGE),
    "falls back to the whole state": Broken(begins_with_wholes, _DRAINED, ballast=_LARGE),
    "forgets what is settled": Broken(settles_nothing, _DRAINED),
    "recovers without the tail": Broken(recovers_without_tail, _IN_FLIGHT, holds_rows=True),
    "recovers without rows": Broken(recovers_without_rows, _DRAINED),
    "takes up what the tail has settled": Broken(takes_up_what_is_settled, Kill("load", "ahead", 1)),
    "does not roll back": Broken(rolls_nothing_back, _DRAINED),
    "forgets ids": Broken(forgets_ids, _DRAINED, lives=2),
}
"""By what they do."""
