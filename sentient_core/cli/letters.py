"""`sentient letters`: the dead letters of a system, the newest first."""

from __future__ import annotations

from datetime import datetime

import click

from sentient_core.cli.opening import only_system, to_read
from sentient_core.cli.options import as_json, at_store, moment, of_system, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.protocols import DeadLetterRow
from sentient_core.store.queries import Queries
from sentient_core.store.records import LetterStatus

__all__ = ["letters"]


@click.command()
@click.option("--reason", type=click.Choice([reason.value for reason in DeadLetterReason]))
@click.option("--recipient", metavar="PATH")
@click.option("--message-type", metavar="TAG", help="Messages of this type.")
@click.option(
    "--since", type=moment, metavar="TIME", help="Died at this time or later; UTC unless it says otherwise."
)
@click.option("--until", type=moment, metavar="TIME", help="Died before this time.")
@click.option("--status", type=click.Choice([status.value for status in LetterStatus]))
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@of_system
@at_store
@as_json
@runs
async def letters(
    reason: str | None,
    recipient: str | None,
    message_type: str | None,
    since: datetime | None,
    until: datetime | None,
    status: str | None,
    limit: int,
    system: str | None,
    place: Place,
    is_json: bool,
) -> int:
    """List dead letters of a system, the newest first, that meet all that is given.

    To send them again or to discard them, the system has to run: `system.dead_letters.redrive`.
    """
    matching = DeadLetterFilter(
        reason=reason, recipient=recipient, message_type=message_type, since=since, until=until
    )
    wanted = None if status is None else LetterStatus(status)
    reporter = Reporter()
    async with to_read(place, reporter) as engine:
        name = await only_system(engine, system)
        found = await engine.thread.run(lambda: Queries(engine).dead_letters(name, matching, wanted, limit))
    if is_json:
        print_json(found)
    elif found:
        columns = ("died (UTC)", "id", "status", "reason", "recipient", "sender", "message", "cause", "tries")
        print_table(f"{name}: {len(found)} dead letters", columns, [_row(row) for row in found], numbers=1)
    else:
        reporter.say("no dead letters")
    return 0


def _row(letter: DeadLetterRow) -> tuple[str, ...]:
    return (
        f"{letter.timestamp:%Y-%m-%d %H:%M:%S}",
        letter.message_id,
        letter.status,
        letter.reason,
        letter.recipient,
        letter.sender,
        letter.message_type,
        letter.cause,
        str(letter.tries),
    )
