"""`sentient events`: what happened, the newest first."""

from __future__ import annotations

import json
from datetime import datetime

import click

from sentient_core.cli.opening import only_system, to_read
from sentient_core.cli.options import as_json, at_store, moment, of_system, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.protocols import EventRow
from sentient_core.store.queries import Queries

__all__ = ["events"]


@click.command()
@click.option("--agent", metavar="PATH", help="Sent by this actor, or to it.")
@click.option("--type", "event_type", metavar="TYPE", help="Such as message_sent or actor_restarted.")
@click.option("--message-type", metavar="TAG", help="Messages of this type.")
@click.option(
    "--since", type=moment, metavar="TIME", help="At this time or later; UTC unless it says otherwise."
)
@click.option("--until", type=moment, metavar="TIME", help="Before this time.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@of_system
@at_store
@as_json
@runs
async def events(
    agent: str | None,
    event_type: str | None,
    message_type: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    system: str | None,
    place: Place,
    is_json: bool,
) -> int:
    """List events of a system, the newest first, that meet all that is given.

    What was committed and not yet projected when the process died is not among them: the next start of
    the system brings it in.
    """
    wanted = EventFilter(
        agent=agent, event_type=event_type, message_type=message_type, since=since, until=until
    )
    reporter = Reporter()
    async with to_read(place, reporter) as engine:
        name = await only_system(engine, system)
        found = await engine.thread.run(lambda: Queries(engine).events(name, wanted, limit))
    if is_json:
        print_json(found)
    elif found:
        columns = ("time (UTC)", "type", "from", "to", "message", "payload")
        print_table(f"{name}: {len(found)} events", columns, [_row(event) for event in found])
    else:
        reporter.say("no events")
    return 0


def _row(event: EventRow) -> tuple[str, ...]:
    payload = json.dumps(event.payload, ensure_ascii=False, default=str)
    return (
        f"{event.timestamp:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        event.event_type,
        event.source_agent,
        event.target_agent or "",
        event.message_type or "",
        payload if len(payload) <= 100 else payload[:97] + "...",
    )
