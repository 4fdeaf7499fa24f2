"""Whoever wants to know what the agents said to each other asks the database, in SurrealQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from examples.site.faults import FaultPlan
from examples.site.plan import Kind, SitePlan, Source, plan_site
from examples.site.run import SYSTEM, Job, run
from examples.site.team import DEVELOPERS, EDITOR, PUBLISHER, REPORTER
from sentient_core.store import SurrealStore
from tests.examples.documents import write_documents

TEAM = [f"team/{name}" for name in DEVELOPERS]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """To make a site without any disturbance."""
    folder = tmp_path_factory.mktemp("queries")
    source = Source(str(write_documents(folder / "source")))
    return Job(source, folder / "site", f"surrealkv://{folder}/site.db", FaultPlan(0, 0.0))


@pytest.fixture(scope="module")
async def store(job: Job) -> AsyncIterator[SurrealStore]:
    """The database afterwards."""
    _, report = await run(job)
    assert report.is_perfect
    assert report.crashes == 0
    async with SurrealStore(job.store) as store:
        await store.query("RETURN 1")  # opens it: no test leaves what it finds
        yield store


@pytest.fixture(scope="module")
def plan(job: Job) -> SitePlan:
    """What there was to be made."""
    return plan_site(job.source)


def expected(plan: SitePlan) -> Counter[tuple[str, str]]:
    """How often which type of message is sent and replied in an undisturbed run: nothing but this."""
    files, copies = len(plan.pages), sum(page.kind is Kind.COPY for page in plan.pages)
    return Counter(
        {
            ("message_sent", "MakeSite"): 1,
            ("message_replied", "Commission"): 1,
            ("message_sent", "Available"): len(TEAM),
            ("message_replied", "SitePlan"): len(TEAM),
            ("message_sent", "Render"): files,
            ("message_sent", "Rendered"): files,
            ("message_sent", "Publish"): files - copies,
            ("message_sent", "Copy"): copies,
            ("message_replied", "Receipt"): files,
            ("message_sent", "Finished"): files,
            ("message_replied", "NoneType"): files,
            ("message_sent", "Progress"): files + len(TEAM),
        }
    )


async def test_every_message_is_found_by_its_type(store: SurrealStore, plan: SitePlan) -> None:
    (rows,) = await store.query(
        """
        SELECT event_type, message_type, count() AS n FROM agent_event
        WHERE event_type IN ['message_sent', 'message_replied'] GROUP BY event_type, message_type
        """
    )

    assert Counter({(row["event_type"], row["message_type"]): row["n"] for row in rows}) == expected(plan)


async def test_every_message_is_found_by_its_actors(store: SurrealStore, plan: SitePlan) -> None:
    found: Counter[str] = Counter()
    for actor in (EDITOR, PUBLISHER, REPORTER, *TEAM):
        (received,) = await store.query(
            """
            SELECT VALUE message_type FROM agent_event
            WHERE target_agent = $actor AND event_type = 'message_sent'
            """,
            actor=actor,
        )
        found.update(received)

    sent = {kind: n for (event, kind), n in expected(plan).items() if event == "message_sent"}
    assert found == Counter(sent)


async def test_who_sent_a_message_is_known(store: SurrealStore, plan: SitePlan) -> None:
    (rows,) = await store.query(
        """
        SELECT message_type, array::distinct(array::group(source_agent)) AS sources FROM agent_event
        WHERE event_type = 'message_sent' GROUP BY message_type
        """
    )

    sources = {row["message_type"]: set(row["sources"]) for row in rows}
    assert sources["MakeSite"] == {"external"}
    assert sources["Render"] == sources["Progress"] == {EDITOR}
    assert sources["Available"] == set(TEAM)
    assert sources["Publish"] <= set(TEAM)


async def test_every_message_is_found_by_a_key_of_its_payload(store: SurrealStore, plan: SitePlan) -> None:
    for page in plan.pages:
        (rows,) = await store.query(
            "SELECT VALUE message_type FROM agent_event WHERE payload.file = $file ORDER BY id",
            file=page.file,
        )

        publish = "Copy" if page.kind is Kind.COPY else "Publish"
        assert sorted(rows) == sorted(["Render", "Rendered", publish, "Receipt", "Finished"])


async def test_a_conversation_is_found_by_its_correlation_id(store: SurrealStore) -> None:
    (renders,) = await store.query(
        "SELECT event_id, payload.file AS file FROM agent_event WHERE message_type = 'Render'"
    )

    for render in renders:
        (caused,) = await store.query(
            "SELECT VALUE message_type FROM agent_event WHERE causation_id = $id", id=render["event_id"]
        )
        assert {"Rendered", "Finished"} <= set(caused)


async def test_the_content_of_a_page_is_in_its_row(store: SurrealStore, job: Job) -> None:
    (rows,) = await store.query(
        """
        SELECT VALUE payload.content FROM agent_event
        WHERE payload.file = $file AND message_type = 'Publish'
        """,
        file="guide/chapter-1.html",
    )

    assert rows == [(job.out / "guide" / "chapter-1.html").read_text()]


async def test_actors_and_checkpoints_are_rows_as_well(store: SurrealStore) -> None:
    agents = {row.agent_id: row for row in await store.agents(SYSTEM)}
    checkpoints: dict[str, list[Any]] = {
        path: list(await store.checkpoint_rows(SYSTEM, path)) for path in TEAM
    }

    assert set(agents) == {EDITOR, PUBLISHER, REPORTER, "office", "team", *TEAM}
    assert {agents[path].kind for path in TEAM} == {"FrontendDeveloper"}
    assert all(checkpoints.values())
    assert await store.dead_letters(SYSTEM) == []
