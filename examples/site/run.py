"""One run of the agents, from the actor system to the report."""

from __future__ import annotations

from pathlib import Path

import msgspec

from examples.site.asking import ask_again
from examples.site.board import Board, Display
from examples.site.faults import FaultPlan
from examples.site.messages import Commission, MakeSite
from examples.site.plan import Source
from examples.site.report import Report, read_report
from examples.site.reporter import Reporter
from examples.site.team import EDITOR, REPORTER, office, team
from sentient_core import ActorSystem
from sentient_core.store import SurrealStore

__all__ = ["SYSTEM", "Job", "run"]

SYSTEM = "site"
"""Name of the actor system: a run finds in the store what the run before has left under this name."""


class Job(msgspec.Struct, frozen=True):
    """What is to be done."""

    source: Source
    out: Path
    store: str
    faults: FaultPlan


async def run(job: Job, *displays: Display) -> tuple[Commission, Report]:
    """Make the site, or finish it, or find that there is nothing to do; then report from the database.

    Given again on the same store it goes on where the run before was, however that came to its end.
    Raises CannotRun, and the runtime's errors about the store.
    """
    async with SurrealStore(job.store) as store:
        async with ActorSystem(SYSTEM, store=store) as system:
            board = Board(system.statistics, *displays)
            await system.spawn(Reporter, board, name=REPORTER)
            await system.spawn(office(job.faults, str(job.out)), name="office")
            commission = await ask_again(system.get(EDITOR), MakeSite(job.source, str(job.out)))
            board.plan(commission)
            if commission.unfinished:
                await system.spawn(team(job.faults), name="team")
                await board.until_over()
            await system.flush()
        # The system has ended in order: nothing is sent any more, and all that was sent is in its rows.
        return commission, await read_report(store, SYSTEM, system.statistics(), job.source, job.out)
