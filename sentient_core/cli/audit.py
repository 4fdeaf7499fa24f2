"""`sentient audit`: whether every message that a system's durable actors accepted is accounted for."""

from __future__ import annotations

import click

from sentient_core.cli.opening import only_system, to_read
from sentient_core.cli.options import as_json, at_store, of_system, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.store.accounts import ActorAudit
from sentient_core.store.queries import Queries

__all__ = ["audit"]


@click.command()
@of_system
@at_store
@as_json
@runs
async def audit(system: str | None, place: Place, is_json: bool) -> int:
    """Go through the books of a system: sent = handled + dead-lettered + quarantined + expired + pending.

    Every message that is missing or doubled is named, and the exit code is then 1. What was committed and not
    projected yet is counted as well.
    """
    reporter = Reporter()
    async with to_read(place, reporter) as engine:
        name = await only_system(engine, system)
        with reporter.step("going through the accounts"):
            found = await engine.thread.run(lambda: Queries(engine).audit(name))
    if is_json:
        print_json(found)
    elif found.actors:
        counts = ("sent", "handled", "dead-lettered", "quarantined", "expired", "pending")
        columns = ("actor", "missing", "doubled", *counts)
        print_table(f"{name}: {found}", columns, [_row(actor) for actor in found.actors], numbers=6)
    else:
        reporter.say("no durable actor has accepted a message")
    return 0 if found.is_balanced else 1


def _row(actor: ActorAudit) -> tuple[str, ...]:
    counts = (
        actor.sent,
        actor.handled,
        actor.dead_lettered,
        actor.quarantined,
        actor.expired,
        actor.pending,
    )
    return (
        actor.path,
        ", ".join(actor.missing),
        ", ".join(actor.doubled),
        *(f"{count:,}" for count in counts),
    )
