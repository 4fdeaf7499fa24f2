"""`sentient history`: what an actor has been through, from the first on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.opening import only_system, to_read
from sentient_core.cli.options import as_json, at_store, moment, of_system, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.past import newest_at
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.protocols import CheckpointRow, DeadLetterRow, EventRow
from sentient_core.store.queries import Queries

__all__ = ["Happening", "history"]


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a history."""

    timestamp: datetime
    position: tuple[int, int] | None
    """In the order of commits."""
    what: str
    other: str
    """Path of whom it came from or went to."""
    id: str
    details: Any


@click.command()
@click.argument("path")
@click.option("--at", type=moment, metavar="TIME", help="Print the state that it had then, and nothing else.")
@click.option(
    "--since", type=moment, metavar="TIME", help="At this time or later; UTC unless it says otherwise."
)
@click.option("--until", type=moment, metavar="TIME", help="Before this time.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--states", is_flag=True, help="With the states of the checkpoints.")
@of_system
@at_store
@as_json
@runs
async def history(
    path: str,
    at: datetime | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    states: bool,
    system: str | None,
    place: Place,
    is_json: bool,
) -> int:
    """What the actor at PATH has been through: its messages, its life, its checkpoints and dead letters.

    In the order of commits; of more than --limit events the newest. With --at the state that the store has of
    that time: the newest checkpoint of then or before. Exit code 1 if there is none.
    """
    reporter = Reporter()
    async with to_read(place, reporter, one_moment=True) as engine:
        name = await only_system(engine, system)
        queries = Queries(engine)
        checkpoints = await engine.thread.run(lambda: queries.checkpoint_rows(name, path))
        if at is not None:
            return _print_state(checkpoints, at, path, reporter)
        wanted = EventFilter(agent=path, since=since, until=until)
        events = await engine.thread.run(lambda: queries.events(name, wanted, limit))
        matching = DeadLetterFilter(recipient=path, since=since, until=until)
        letters = await engine.thread.run(lambda: queries.dead_letters(name, matching, None, limit))
    kept = [row for row in checkpoints if wanted.is_in_time(row.timestamp)]
    found = sorted(
        (*_of_events(events, path), *_of_checkpoints(kept, states=states), *_of_letters(letters)),
        key=lambda line: (line.timestamp, line.position or (0, 0)),
    )
    if not found and not checkpoints:
        raise CannotRun(f"the store knows nothing of an actor '{path}' in '{name}'")
    if is_json:
        print_json(found)
    elif found:
        columns = ("time (UTC)", "what", "from / to", "id", "details")
        print_table(f"{name}: {path}", columns, [_row(line) for line in found])
    else:
        reporter.say("nothing in that time")
    return 0


def _print_state(rows: list[CheckpointRow], at: datetime, path: str, reporter: Reporter) -> int:
    row = newest_at(rows, at)
    if row is None:
        oldest = min((row.timestamp for row in rows), default=None)
        begins = "none at all" if oldest is None else f"none before {oldest:%Y-%m-%d %H:%M:%S} UTC"
        reporter.say(
            f"the store has no state of '{path}' that is so old, {begins}: how many are kept is up to the "
            "class's checkpoint_policy and to JournalOptions(kept_checkpoints=...)"
        )
        return 1
    print_json({"checkpoint_id": row.checkpoint_id, "timestamp": row.timestamp, "state": _plain(row)})
    return 0


def _of_events(events: Iterable[EventRow], path: str) -> Iterable[Happening]:
    for event in events:
        is_own = event.source_agent == path
        yield Happening(
            timestamp=event.timestamp,
            position=event.position,
            what=_in_words(event, is_own=is_own),
            other=(event.target_agent or "") if is_own else event.source_agent,
            id=event.event_id,
            details=event.payload,
        )


def _of_checkpoints(rows: Iterable[CheckpointRow], *, states: bool) -> Iterable[Happening]:
    for row in rows:
        yield Happening(
            timestamp=row.timestamp,
            position=row.position,
            what=f"state saved ({row.kind})",
            other="",
            id=row.checkpoint_id,
            details=_plain(row) if states else {"bytes": len(row.state), "version": row.schema_version},
        )


def _of_letters(rows: Iterable[DeadLetterRow]) -> Iterable[Happening]:
    for row in rows:
        yield Happening(
            timestamp=row.timestamp,
            position=None,
            what=f"dead letter ({row.reason}, {row.status}): {row.message_type}",
            other=row.sender,
            id=row.message_id,
            details=row.cause,
        )


def _in_words(event: EventRow, *, is_own: bool) -> str:
    kind = event.message_type or ""
    words = {
        ("message_sent", True): f"sent {kind}",
        ("message_sent", False): f"got {kind}",
        ("message_replied", True): f"answered {kind}",
        ("message_replied", False): f"was answered {kind}",
    }
    return words.get((event.event_type, is_own), event.event_type.replace("_", " "))


def _plain(row: CheckpointRow) -> Any:
    try:
        return msgspec.msgpack.decode(row.state)
    except msgspec.DecodeError as error:
        return f"cannot be read: {error}"


def _row(line: Happening) -> tuple[str, ...]:
    details = line.details if isinstance(line.details, str) else json.dumps(line.details, default=str)
    return (
        f"{line.timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3],
        line.what,
        line.other,
        line.id,
        details if len(details) <= 100 else details[:97] + "...",
    )
