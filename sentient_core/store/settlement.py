"""The one transaction that ends a window: its net effect as rows, and `projected` moved on.

It also adds to what the system has ever written, so that this is exact after any crash: a window counts once,
when it is settled, however often parts of it were sent. Bytes are those of the rows as they are handed to
the database, journal entries and event rows included; what it makes of them on its disk (indexes, its
own log) nobody tells.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sentient_core.errors import Fenced, StoreDamaged, StoreError, StoreRefused
from sentient_core.logs import runtime_log
from sentient_core.store.audit import NUMBERS
from sentient_core.store.backoff import Backoff
from sentient_core.store.engine import Engine
from sentient_core.store.fold import Effect, fold
from sentient_core.store.protocols import JournalOptions
from sentient_core.store.records import DurableActor
from sentient_core.store.row_sql import Change, row_id, writing
from sentient_core.store.row_tables import SHAPES
from sentient_core.store.row_values import without_objects
from sentient_core.store.rows import RowEncoder
from sentient_core.store.tail import TailEntry, decode_entry
from sentient_core.store.wire import Refusal, array, record_id, value

__all__ = ["Settlement", "row_changes"]

_MOVE = """BEGIN;
LET $moved = (UPDATE $owner SET projected = $last{is_clean} WHERE projected = $before AND epoch = $epoch
    RETURN VALUE projected);
IF array::len($moved) != 1 {{ THROW 'not the owner' }};
"""
_AGENTS = """INSERT INTO agent_state $agents ON DUPLICATE KEY UPDATE
    name = $input.name, status = $input.status, capabilities = $input.capabilities,
    updated_at = $input.updated_at, kind = $input.kind, parent = $input.parent,
    restarts = $input.restarts, incarnation = $input.incarnation,
    revision = (revision ?? 1) + $input.revision RETURN NONE;
"""
_INCARNATIONS = """INSERT INTO ownership $incarnations
    ON DUPLICATE KEY UPDATE incarnation = $input.incarnation, restarts = $input.restarts RETURN NONE;
"""
_DURABLES = """INSERT INTO ownership $durables
    ON DUPLICATE KEY UPDATE kind = $input.kind, origin = $input.origin, is_over = $input.is_over RETURN NONE;
"""
_FORGOTTEN = """INSERT INTO ownership $forgotten
    ON DUPLICATE KEY UPDATE is_forgotten = true, kind = NONE, origin = NONE, is_over = NONE RETURN NONE;
"""
_CHECKPOINTS = "INSERT IGNORE INTO state_checkpoint $checkpoints RETURN NONE;\n"
# A durable actor has one row for its state, and one for a delta; later windows write over them.
_STATES = """INSERT INTO state_checkpoint $states ON DUPLICATE KEY UPDATE
    checkpoint_id = $input.checkpoint_id, timestamp = $input.timestamp, metadata = $input.metadata,
    state = $input.state, tag = $input.tag, schema_version = $input.schema_version,
    digest = $input.digest, incarnation = $input.incarnation, position = $input.position,
    base = $input.base RETURN NONE;
"""
_SETTLED = "DELETE $settled RETURN NONE;\n"
_PENDING = "INSERT IGNORE INTO inbox $pending RETURN NONE;\n"
_TIMERS = """INSERT INTO timer $timers ON DUPLICATE KEY UPDATE
    due_at = $input.due_at, record = $input.record, digest = $input.digest RETURN NONE;
"""
_TIMERS_GONE = "DELETE $timers_gone RETURN NONE;\n"
_ROWS_GONE = "DELETE $rows_gone RETURN NONE;\n"
_ACCOUNT = "INSERT IGNORE INTO account $account RETURN NONE;\n"
# In this order: the sums are of the row as it was.
_EARLIER = ", ".join(
    f"earlier_{n} = (earlier_{n} ?? 0) + (IF epoch = $one.epoch THEN 0 ELSE {n} ?? 0 END)" for n in NUMBERS
)
_LATEST = ", ".join(f"{n} = $one.{n}" for n in (*NUMBERS, "at", "epoch"))
_COUNTED = f"FOR $one IN $counted {{ UPSERT $one.id SET {_EARLIER}, {_LATEST} RETURN NONE; }};\n"
_TRIED = "FOR $tried_one IN $tried { UPDATE $tried_one.id MERGE $tried_one.changes RETURN NONE; };\n"
_OUTCOME = """digest = $input.digest, outcome = $input.outcome, name = $input.name, reply = $input.reply,
    timestamp = $input.timestamp RETURN NONE;
"""
_IDS = f"INSERT INTO dedupe $ids ON DUPLICATE KEY UPDATE {_OUTCOME}"
_MEMOS_GONE = """FOR $key IN $memos_gone {
    DELETE memo:[$system, $key[0], $key[1], $key[2]]..=[$system, $key[0], $key[1], $key[2], []] RETURN NONE;
};
"""
_MEMOS = f"INSERT INTO memo $memos ON DUPLICATE KEY UPDATE {_OUTCOME}"
_PRUNE = "DELETE $pruned RETURN NONE;\n"
_LETTERS = "INSERT IGNORE INTO dead_letter $letters RETURN NONE;\n"
# Of messages that were sent before; twice as slow, so not for all.
_LETTERS_AGAIN = """INSERT INTO dead_letter $letters_again ON DUPLICATE KEY UPDATE
    recipient = $input.recipient, sender = $input.sender, message_type = $input.message_type,
    message = $input.message, payload = $input.payload, is_exact = $input.is_exact,
    reason = $input.reason, cause = $input.cause, attempts = $input.attempts,
    timestamp = $input.timestamp, incarnation = $input.incarnation,
    correlation_id = $input.correlation_id, status = $input.status, tries = $input.tries,
    traceback = $input.traceback, state_digest = $input.state_digest, checkpoint_id = $input.checkpoint_id,
    was_pending = $input.was_pending,
    settled_at = $input.settled_at, discard_reason = $input.discard_reason RETURN NONE;
"""
_MARKS = "FOR $mark IN $marks { UPDATE $mark.id MERGE $mark.changes RETURN NONE; };\n"
# Entries marked `keep` are what later starts fence with: they lose their body and stay.
_CLEAR = """UPDATE journal:[$system, $first]..=[$system, $last] SET body = <bytes>'' WHERE keep RETURN NONE;
DELETE journal:[$system, $first]..=[$system, $last] WHERE !keep AND !is_broken RETURN NONE;
COMMIT;
"""
# `projected` a second time: a start sees by it whether somebody else has moved it.
_WRITTEN = """UPSERT $written SET projected = $last, records += $records, journal_bytes += $journal_bytes,
    row_bytes += $row_bytes, messages += $messages, message_bytes += $message_bytes RETURN NONE;
"""
_ENTRY_BYTES = 100  # of the row of a journal entry, what is around its body; measured
_TURNS = """SELECT VALUE id FROM state_checkpoint:[$system, $path{n}, 0]..[$system, $path{n}, '']
    WHERE kind = 'turn';
"""
_PATHS_AT_ONCE = 200
_DELETIONS = (_SETTLED, _TIMERS_GONE, _ROWS_GONE, _PRUNE)

Place = tuple[int, int]


class Settlement:
    """Writes the net effects of one system's windows, in order. Lives on the store thread."""

    def __init__(
        self,
        engine: Engine,
        system: str,
        epoch: int,
        projected: int,
        incarnations: Mapping[str, int],
        restarts: Mapping[str, int],
        durables: Mapping[str, DurableActor],
        options: JournalOptions,
    ) -> None:
        self._engine = engine
        self._system = system
        self._epoch = epoch
        self._projected = projected
        self._incarnations = dict(incarnations)
        self._restarts = dict(restarts)
        self._durables = dict(durables)
        self._options = options
        self._encoder = RowEncoder(system)
        self._turns: dict[str, list[Place]] = {}
        """Places of the stored `turn` checkpoints by path, oldest first: known without reading."""
        self._log = runtime_log(system, options.log_level)

    async def write(self, entries: Sequence[TailEntry], effect: Effect, event_bytes: int) -> None:
        """Write the effect of these entries; retried until it is there. Raises Fenced, StoreDamaged.

        `event_bytes` are those of the window's event rows, which are written before.
        """
        backoff = Backoff()
        why_refused: str | None = None
        while True:
            try:
                await self._load_turns(effect.turns)
                await self._write(entries, effect, event_bytes, why_refused)
            except Refusal as error:
                if error.kind == "Thrown":
                    reached = await self._reached()
                    if reached is None or reached <= self._projected:
                        raise Fenced(self._system) from error
                    done = [entry for entry in entries if entry.number <= reached]
                    if len(done) == len(entries):
                        break
                    # They were settled unseen, when the projector failed, and stand in a larger window now.
                    self._remember(reached, self._fold(done))
                    entries = entries[len(done) :]
                    effect = self._fold(entries)
                    continue
                if error.kind == "NotFound":  # of the tables, or the database
                    await self._check_there()
                why_refused = self._simplify(error, why_refused)
            except StoreRefused as error:
                why_refused = self._simplify(error, why_refused)
            except StoreError as error:
                self._log.debug("a window's rows are retried", error=str(error))
            else:
                break
            await backoff.wait()
        self._remember(entries[-1].number, effect)

    def _simplify(self, error: StoreRefused, before: str | None) -> str:
        """Something in a payload or in metadata, which are not what the runtime reads."""
        why = str(error)
        if why != before:
            self._log.warning("the database refused a window's rows, they are simplified", error=why)
        return why

    async def _write(
        self, entries: Sequence[TailEntry], effect: Effect, row_bytes: int, why_refused: str | None
    ) -> None:
        last = entries[-1].number
        encoder = self._encoder
        is_clean = effect.is_clean
        statements = [_MOVE.format(is_clean="" if is_clean is None else f", is_clean = {is_clean}".lower())]
        parameters: dict[str, object] = {
            "owner": record_id("ownership", self._system),
            "system": self._system,
            "epoch": self._epoch,
            "before": self._projected,
            "first": self._projected + 1,
            "last": last,
        }
        rows = last - self._projected

        def add(statement: str, name: str, encoded: Iterable[bytes]) -> None:
            nonlocal rows, row_bytes
            items = list(encoded)
            if statement not in _DELETIONS:
                row_bytes += sum(map(len, items))
            if items:
                statements.append(statement)
                parameters[name] = array(items)
                rows += len(items)

        add(_AGENTS, "agents", (encoder.agent(agent) for agent in effect.agents.values()))
        add(
            _INCARNATIONS,
            "incarnations",
            (
                encoder.incarnation(
                    path,
                    max(incarnation, self._incarnations.get(path, 0)),
                    max(effect.restarts.get(path, 0), self._restarts.get(path, 0)),
                )
                for path, incarnation in effect.incarnations.items()
                if incarnation > self._incarnations.get(path, -1)
                or effect.restarts.get(path, 0) > self._restarts.get(path, 0)
            ),
        )
        add(_FORGOTTEN, "forgotten", map(encoder.forgotten, effect.forgotten))
        add(
            _DURABLES,
            "durables",
            (
                encoder.durable(path, actor)
                for path, actor in effect.durables.items()
                if actor != self._durables.get(path) or path in effect.forgotten
            ),
        )
        checkpoints = [placed for turns in effect.turns.values() for placed in turns]
        checkpoints += effect.named
        add(_CHECKPOINTS, "checkpoints", (encoder.checkpoint(placed, why_refused) for placed in checkpoints))
        add(
            _PRUNE,
            "pruned",
            (_checkpoint_id(self._system, path, place) for path, place in self._pruned(effect)),
        )
        states = (*effect.states.values(), *effect.deltas.values())
        add(_STATES, "states", (encoder.checkpoint(placed) for placed in states))
        add(_SETTLED, "settled", map(encoder.inbox_id, effect.settled))
        add(_PENDING, "pending", map(encoder.pending, effect.pending.values()))
        add(_TRIED, "tried", (encoder.tries(key, tries) for key, tries in effect.tried.items()))
        if effect.accounts:
            add(_ACCOUNT, "account", [encoder.account(last, effect.accounts, time.time_ns())])
        add(_COUNTED, "counted", map(encoder.counted, effect.counted.values()))
        set_timers = [timer for timer in effect.timers.values() if timer is not None]
        add(_TIMERS, "timers", map(encoder.timer, set_timers))
        gone = [key for key, timer in effect.timers.items() if timer is None]
        add(_TIMERS_GONE, "timers_gone", (value(record_id("timer", self._system, *key)) for key in gone))
        add(_IDS, "ids", (encoder.sent_id(key, outcome) for key, outcome in effect.ids.items()))
        add(_MEMOS_GONE, "memos_gone", (value(list(key)) for key in effect.memos_gone))
        add(
            _MEMOS,
            "memos",
            (
                encoder.memo(key, name, outcome)
                for key, memos in effect.memos.items()
                for name, outcome in memos.items()
            ),
        )
        letters: list[bytes] = []
        again: list[bytes] = []
        marks: list[bytes] = []
        for id_, letter in effect.letters.items():
            if letter.death is None:
                marks.append(encoder.letter_mark(id_, letter))
            else:
                rows_of = letters if letter.death.record.attempts <= 1 else again
                rows_of.append(encoder.dead_letter(id_, letter, letter.death, why_refused))
        add(_LETTERS, "letters", letters)
        add(_LETTERS_AGAIN, "letters_again", again)
        add(_MARKS, "marks", marks)
        add(
            _ROWS_GONE,
            "rows_gone",
            (value(row_id(self._system, SHAPES[table], key)) for table, key in effect.rows_gone),
        )
        for statement, name, encoded in writing(self._system, row_changes(effect, why_refused)):
            add(statement, name, encoded)
        messages = [len(p.record.payload) for p in effect.events if p.record.message_type is not None]
        parameters |= {
            "written": record_id("written", self._system),
            "records": sum(entry.records for entry in entries),
            "journal_bytes": sum(_ENTRY_BYTES + len(entry.body) for entry in entries),
            "row_bytes": row_bytes,
            "messages": len(messages),
            "message_bytes": sum(messages),
        }
        statements += (_WRITTEN, _CLEAR)
        await self._engine.query(
            "".join(statements), parameters, rows=rows, timeout=self._options.call_timeout
        )

    async def _reached(self) -> int | None:
        """After a try whose answer was lost: how far this start has come. None: there is another owner.

        Raises StoreDamaged.
        """
        backoff = Backoff()
        while True:
            try:
                (found,) = await self._engine.query(
                    "SELECT epoch, projected FROM $owner", {"owner": record_id("ownership", self._system)}
                )
            except StoreError:
                await self._check_there()
                await backoff.wait()
                continue
            if not found:
                raise self._gone()
            return int(found[0]["projected"]) if found[0]["epoch"] == self._epoch else None

    async def _check_there(self) -> None:
        """Raise StoreDamaged if the database has no owners: it was made anew, by whoever connects to it."""
        try:
            (info,) = await self._engine.query("INFO FOR DB")
        except StoreError:
            return  # it is away
        if "ownership" not in info["tables"]:
            raise self._gone()

    def _gone(self) -> StoreDamaged:
        return StoreDamaged(
            f"ownership:['{self._system}']",
            "the row is gone, while the system runs: it was removed, or the whole database was",
            "What was committed is gone with it, or does not belong to what is there now. Restore a backup.",
        )

    def _fold(self, entries: Iterable[TailEntry]) -> Effect:
        decoded = ((entry.number, decode_entry(entry.body)) for entry in entries)
        return fold(decoded, self._options.kept_checkpoints)

    async def _load_turns(self, turns: Mapping[str, object]) -> None:
        """Learn which checkpoints are stored of actors met for the first time."""
        unknown = [path for path in turns if path not in self._turns]
        for start in range(0, len(unknown), _PATHS_AT_ONCE):
            paths = unknown[start : start + _PATHS_AT_ONCE]
            found = await self._engine.query(
                "".join(_TURNS.format(n=n) for n in range(len(paths))),
                {"system": self._system} | {f"path{n}": path for n, path in enumerate(paths)},
            )
            for path, ids in zip(paths, found, strict=True):
                self._turns[path] = sorted((row.key[2], row.key[3]) for row in ids)

    def _pruned(self, effect: Effect) -> list[tuple[str, Place]]:
        """Stored checkpoints that are too many once those of the window are written."""
        pruned: list[tuple[str, Place]] = []
        for path, turns in effect.turns.items():
            stored = self._turns[path]
            too_many = len(stored) + len(turns) - self._options.kept_checkpoints
            pruned += [(path, place) for place in stored[: max(0, too_many)]]
        return pruned

    def _remember(self, last: int, effect: Effect) -> None:
        self._projected = last
        for path, incarnation in effect.incarnations.items():
            self._incarnations[path] = max(incarnation, self._incarnations.get(path, -1))
        for path, restarts in effect.restarts.items():
            self._restarts[path] = max(restarts, self._restarts.get(path, 0))
        for path in effect.forgotten:
            self._durables.pop(path, None)
            self._turns.pop(path, None)
        self._durables.update(effect.durables)
        for path, turns in effect.turns.items():
            places = self._turns.get(path, []) + [placed.position for placed in reversed(turns)]
            self._turns[path] = places[-self._options.kept_checkpoints :]


def row_changes(effect: Effect, why_refused: str | None) -> Iterator[Change]:
    """What is to be written into rows; with `why_refused`, for rows that the database did not take."""
    for (table, key), row in effect.rows.items():
        fields = row.fields if why_refused is None else without_objects(row.fields, why_refused)
        yield SHAPES[table], key, fields, row.changes, row.at


def _checkpoint_id(system: str, path: str, place: Place) -> bytes:
    return value(record_id("state_checkpoint", system, path, *place))
