"""Who supervises whom.

    office   editor, publisher
    team     ada, barbara, edsger, grace: the frontend developers
    reporter

Two supervisors below the root, since the order of their starts matters: the editor has to have a plan
before the first developer says `Available`.
"""

from __future__ import annotations

from examples.site.developer import FrontendDeveloper
from examples.site.editor import Editor
from examples.site.faults import FaultPlan
from examples.site.publisher import Publisher
from sentient_core import ChildSpec, Supervisor

__all__ = ["DEVELOPERS", "EDITOR", "PUBLISHER", "REPORTER", "office", "team"]

EDITOR = "office/editor"
PUBLISHER = "office/publisher"
REPORTER = "reporter"

DEVELOPERS = ("ada", "barbara", "edsger", "grace")

# A supervisor that gives up is a good thing where failures are bugs. Here they are the point: what we
# want to see is that the work gets done all the same, at up to some hundred crashes in a second.
GENEROUS = Supervisor.one_for_one(max_restarts=5_000, within=5.0)


def office(faults: FaultPlan, out: str) -> type[Supervisor]:
    """The supervisor of the editor and the publisher, who writes to `out`."""

    class Office(Supervisor):
        strategy = GENEROUS
        children = (
            ChildSpec(Publisher, name="publisher", args=(faults, out)),
            ChildSpec(Editor, name="editor", args=(faults, PUBLISHER, REPORTER)),
        )

    return Office


def team(faults: FaultPlan) -> type[Supervisor]:
    """The supervisor of the frontend developers."""

    class Team(Supervisor):
        strategy = GENEROUS
        children = tuple(
            ChildSpec(FrontendDeveloper, name=name, args=(faults, EDITOR, PUBLISHER, REPORTER))
            for name in DEVELOPERS
        )

    return Team
