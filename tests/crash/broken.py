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
from sentient_core.store import fold as folding
from sentient_core.store import journal, projector, recovery, settlement
from sentient_core.store.engine import Engine
from sentient_core.store.estates import EstateReader
from sentient_core.store.fold import Effect
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.records import Entry
from sentient_core.store.tail import Tail, TailEntry
from sentient_core.store.tail_inboxes import TailInbox
from tests.crash.points import Kill

__all__ = ["BROKEN", "Broken"]


class Broken(msgspec.Struct, frozen=True):
    """One of them."""

    do: Callable[[], None]
    """Break this process."""
    kill: Kill | None = None
    """Where it shows, or a little later; None: it dies by itself."""
    holds_rows: bool = False
    is_lasting: bool = True
    """The life that finds out is broken as well."""


async def _at_once(self: SurrealJournal, mark: int | None = None) -> None:
    return


def acknowledges_too_early() -> None:
    """`send` returns before the commit."""
    SurrealJournal.committed = _at_once  # type: ignore[method-assign]


def replies_too_early() -> None:
    """Answers leave before the commit."""
    for module in (asking, forwarding):
        module.reply_slot = lambda slot, *_: slot


def lets_out_too_early() -> None:
    """What a turn sends to actors that are not durable leaves before the commit."""
    SurrealJournal.when_committed = lambda self, waiter: self._backend.call_soon(lambda: waiter.set(None))


def forgets_outputs() -> None:
    """What a turn sends to durable actors is delivered, and stands in no record."""

    def send(self: OpenTurn, target: Any, entry: Any, *, waits: bool = False) -> None:
        if target.inbox is None or entry[3] is None:
            _send(self, target, entry, waits=waits)
        else:
            self._outputs.append((target, entry))

    _send = OpenTurn.send
    OpenTurn.send = send  # type: ignore[method-assign]


def splits_turns() -> None:
    """What a turn leaves is one record after the other, and the process dies between two of them."""
    append, turns = SurrealJournal.append, count(1)

    def append_parts(self: SurrealJournal, record: Any, **options: Any) -> bool:
        parts = list(folding.flat((record,)))
        is_taken = append(self, parts[0], **options)
        if len(parts) > 1 and next(turns) == 20:
            self._wake_writer()
            time.sleep(0.1)  # the store's thread commits what it has
            os.kill(os.getpid(), signal.SIGKILL)
        return is_taken and all([append(self, part, **options) for part in parts[1:]])

    SurrealJournal.append = append_parts  # type: ignore[method-assign]


def folds_failures_away() -> None:
    """A window with the failure of an actor leaves its state as it was before the window."""

    def fold(entries: Iterable[tuple[int, Entry]], kept: int) -> Effect:
        effect = folding.fold(entries, kept)
        failed = {letter.death.record.recipient for letter in effect.letters.values() if letter.death}
        states = {path: state for path, state in effect.states.items() if path not in failed}
        return msgspec.structs.replace(effect, states=states)

    projector.fold = fold


def settles_nothing() -> None:
    """Messages stay in the inbox that were settled in a later window."""
    settlement._SETTLED = ""


def recovers_without_tail() -> None:
    """A start does not read what is committed and not projected."""
    read = recovery._read_tail

    async def nothing(engine: Engine, *rest: Any) -> tuple[list[TailEntry], int, bool]:
        _, first_free, is_whole = await read(engine, *rest)
        return [], first_free, is_whole

    recovery._read_tail = nothing


def recovers_without_rows() -> None:
    """An actor takes up what is in the tail alone."""

    async def no_rows(_: EstateReader, sql: str, __: object) -> list[list[Any]]:
        return [[] for _ in sql.split(";")]

    EstateReader._ask = no_rows  # type: ignore[method-assign,assignment]


def rolls_nothing_back() -> None:
    """A failed turn's state stays."""

    def roll_back(self: Inbox, actor: object) -> None:
        if self.turn is not None:
            self.turn.drop()

    Inbox.roll_back = roll_back  # type: ignore[method-assign]


def takes_up_what_is_settled() -> None:
    """An actor takes up every row of its inbox, whatever the tail says."""
    inboxes = Tail.inboxes

    def without_settled(self: Tail, paths: Iterable[str]) -> dict[str, TailInbox]:
        found = inboxes(self, paths)
        return {path: msgspec.structs.replace(inbox, settled=frozenset()) for path, inbox in found.items()}

    Tail.inboxes = without_settled  # type: ignore[method-assign]


_IN_FLIGHT = Kill("load", "commit before", 12, 0.03)
_DRAINED = Kill("load", "drained", 1)

BROKEN: dict[str, Broken] = {
    "acknowledges before the commit": Broken(acknowledges_too_early, Kill("load", "commit before", 3, 0.03)),
    "replies before the commit": Broken(replies_too_early, _IN_FLIGHT),
    "lets go before the commit": Broken(lets_out_too_early, _IN_FLIGHT),
    "delivers what it does not record": Broken(forgets_outputs, _IN_FLIGHT),
    "commits a turn in pieces": Broken(splits_turns, is_lasting=False),
    "drops the state of a failed turn": Broken(folds_failures_away, _DRAINED, holds_rows=True),
    "forgets what is settled": Broken(settles_nothing, _DRAINED),
    "recovers without the tail": Broken(recovers_without_tail, _IN_FLIGHT, holds_rows=True),
    "recovers without rows": Broken(recovers_without_rows, _DRAINED),
    "takes up what the tail has settled": Broken(
        takes_up_what_is_settled, Kill("load", "settlement before", 3, 0.03)
    ),
    "does not roll back": Broken(rolls_nothing_back, _DRAINED),
}
"""By what they do."""
