"""`sentient audit`: whether every message to the actors of a store's systems is accounted for."""

from __future__ import annotations

from functools import partial

import click

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.opening import systems_in, to_read
from sentient_core.cli.options import as_json, at_store, runs
from sentient_core.cli.output import Reporter, print_json, print_table
from sentient_core.cli.place import Place
from sentient_core.store.audit import ActorAudit, Audit
from sentient_core.store.auditing import audit_of

__all__ = ["audit"]

_COUNTS = ("sent", "handled", "dead-lettered", "quarantined", "expired", "pending")


@click.command()
@click.option("--system", metavar="NAME", help="Only this system; else all that there are.")
@at_store
@as_json
@runs
async def audit(system: str | None, place: Place, is_json: bool) -> int:
    """Go through the books of the systems: sent = handled + dead-lettered + quarantined + expired + pending.

    Every message that is missing or doubled is named, and every row that is damaged; the exit code is then 1.
    What was committed and not projected yet is counted as well. Of mirrored actors it is what they had
    counted at the last flush, or at the end of the system.
    """
    reporter = Reporter()
    found: dict[str, Audit] = {}
    async with to_read(place, reporter) as engine:
        names = await systems_in(engine, system)
        if not names:
            raise CannotRun("the store knows no system yet")
        for name in names:
            with reporter.step(f"going through the accounts of {name}"):
                question = partial(audit_of, engine, name, reporter.rows)
                found[name] = await engine.thread.run(question)
    if is_json:
        print_json({"systems": found, "is_balanced": all(one.is_balanced for one in found.values())})
        return 0 if all(one.is_balanced for one in found.values()) else 1
    for name, one in found.items():
        if one.actors or one.damaged:
            columns = ("actor", "missing", "doubled", *_COUNTS)
            rows = [_row(actor) for actor in one.actors]
            print_table(f"{name}: {one}", columns, rows, numbers=len(_COUNTS))
        else:
            reporter.say(f"{name}: no message is known")
    return 0 if all(one.is_balanced for one in found.values()) else 1


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
