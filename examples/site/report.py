"""What the database says about it afterwards, and whether the site is as good as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
from anyio import to_thread

from examples.site.editor import Editor
from examples.site.files import digest_of, digest_on_disk
from examples.site.plan import DeadLink, Remark, SitePlan, Source, plan_site
from examples.site.publisher import Publisher
from examples.site.render import make
from examples.site.team import EDITOR, PUBLISHER
from sentient_core import SystemStatistics
from sentient_core.store import SurrealStore

__all__ = ["Gap", "Report", "read_report"]

S = TypeVar("S", bound=msgspec.Struct)

# Ids of records begin with the system's name, those of events with the number of the process's start.
_EVENTS = """
SELECT string::split(event_id, '.')[0] AS epoch, count() AS n FROM agent_event
    WHERE id[0] = $system AND event_type IN ['message_sent', 'message_replied'] GROUP BY epoch;
SELECT payload.target AS target, payload.count AS count, payload.reason AS reason, id FROM agent_event
    WHERE id[0] = $system AND event_type = 'mirror_gap' ORDER BY id;
SELECT count() AS n FROM agent_event WHERE id[0] = $system AND event_type = 'actor_failed' GROUP ALL;
SELECT count() AS n FROM agent_event WHERE id[0] = $system AND event_type = 'actor_started'
    AND type::is_string(payload.cause) GROUP ALL;
SELECT count() AS n FROM agent_event WHERE id[0] = $system AND event_type = 'actor_started'
    AND type::is_string(payload.checkpoint_id) GROUP ALL;
SELECT payload.file AS file, payload.edition AS edition, count() AS n FROM agent_event
    WHERE id[0] = $system AND event_type = 'message_replied' AND message_type = 'Receipt' AND payload.fresh
    GROUP BY file, edition;
"""


class Gap(msgspec.Struct, frozen=True):
    """Messages that are not, or may not be, in `agent_event`."""

    target: str | None
    count: int | None
    """None: nobody can know."""
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One site's whole history in one store, over all starts of the process."""

    starts: int
    """How often a process began to work on it."""
    sent_now: int
    """Messages and replies sent by this process, by the runtime's own count."""
    sent_before: int
    """By the processes before; they cannot be asked any more, so it is the rows that are counted."""
    mirrored: int
    """Rows of messages and replies."""
    gaps: tuple[Gap, ...]
    crashes: int
    restarts: int
    restored: int
    """Starts of actors that had their state from a checkpoint."""
    planned: int
    """Files of the site, and of these:"""
    pages: int
    """Pages that people read."""
    lost: tuple[str, ...]
    """Planned files that are not done, missing on the disk, or not what their source says."""
    given_up: tuple[tuple[str, str], ...]
    """Of these, the ones that cannot be made, and why."""
    twice: tuple[str, ...]
    """Files of which one and the same edition was written more than once."""
    differing: tuple[str, ...]
    """Files that are not byte for byte as in an undisturbed run, on the disk or missing there."""
    dead_links: tuple[DeadLink, ...]
    remarks: tuple[Remark, ...]

    @property
    def is_perfect(self) -> bool:
        return not (self.lost or self.twice or self.differing)


async def read_report(
    store: SurrealStore, system: str, statistics: SystemStatistics, source: Source, out: Path
) -> Report:
    """Read the report back from the database, and hold the output folder against an undisturbed run.

    `statistics` are those of the system after its end. Raises CannotRun when the source is gone by now.
    """
    epochs, gaps, crashes, restarts, restored, receipts = await store.query(_EVENTS, system=system)
    pages = (await _last_state(store, system, EDITOR, Editor.State)).pages
    published = (await _last_state(store, system, PUBLISHER, Publisher.State)).files
    plan, expected = await to_thread.run_sync(_undisturbed, source)
    found = await to_thread.run_sync(
        lambda: {file: digest_on_disk(out / file) for file in sorted({*pages, *published, *expected})}
    )
    recipes = {page.file: page.recipe for page in plan.pages}
    by_start: dict[int, int] = {int(row["epoch"]): row["n"] for row in epochs}
    now = max(by_start, default=1)
    return Report(
        starts=now,
        sent_now=statistics.mirrored + statistics.unmirrored,
        sent_before=sum(n for start, n in by_start.items() if start != now),
        mirrored=sum(by_start.values()),
        gaps=tuple(Gap(row.get("target"), row.get("count"), row["reason"]) for row in gaps),
        crashes=_count(crashes),
        restarts=_count(restarts),
        restored=_count(restored),
        planned=len(pages),
        pages=len(plan.readable),
        lost=tuple(
            file
            for file, page in pages.items()
            if page.digest is None or page.digest != found[file] or page.recipe != recipes.get(file)
        ),
        given_up=tuple((file, page.given_up) for file, page in pages.items() if page.given_up),
        twice=tuple(sorted({row["file"] for row in receipts if row["n"] > 1})),
        differing=tuple(file for file, digest in found.items() if digest != expected.get(file)),
        dead_links=plan.dead_links,
        remarks=plan.remarks,
    )


async def _last_state(store: SurrealStore, system: str, path: str, kind: type[S]) -> S:
    """What an actor had in its latest checkpoint."""
    rows = await store.checkpoint_rows(system, path)
    return msgspec.msgpack.decode(rows[0].state, type=kind) if rows else kind()


def _undisturbed(source: Source) -> tuple[SitePlan, dict[str, str]]:
    """The plan, and the digest of each file, made here and now without any actor."""
    plan = plan_site(source)
    return plan, {page.file: digest_of(make(plan, page)) for page in plan.pages}


def _count(rows: list[Any]) -> int:
    return int(rows[0]["n"]) if rows else 0
