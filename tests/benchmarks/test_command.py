"""`python -m benchmarks`, as quick as can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import structlog

from benchmarks.__main__ import main
from benchmarks.actors import main as ratios
from tests.long import few


@pytest.fixture(autouse=True)
def _structlog_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_it_prints_the_table_and_writes_the_figures_the_page_and_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = few(["ping-pong", "restart-reply", "fairness"], 2)
    page, figures = tmp_path / "docs" / "actors.md", tmp_path / "docs" / "actors.json"

    code = main([*names, "--quick", "--no-peers", "--json", str(figures), "--markdown", str(page)])

    assert code == 0
    found = json.loads(figures.read_bytes())
    assert [*dict.fromkeys(one["workload"] for one in found["figures"])] == names
    assert found["subject"] == "actors and supervision"
    assert found["machine"]["packages"]["trio"]
    text = page.read_text("utf-8")
    assert all(f"\n## {name}\n" in text for name in names)
    assert "![Ratios of all workloads to their baselines](actors.svg)" in text
    assert "A quick run" in text
    drawn = "".join(ET.parse(page.with_suffix(".svg")).getroot().itertext())
    assert "ping-pong" in drawn
    assert "asyncio.Queue" in drawn
    assert "ping-pong" in capsys.readouterr().out


def test_idle_actors_are_counted_in_processes_of_their_own(tmp_path: Path) -> None:
    figures = tmp_path / "idle.json"

    code = main(["idle", "--quick", "--no-peers", "--json", str(figures)])

    assert code == 0
    sizes = {one["name"]: one["value"] for one in json.loads(figures.read_bytes())["figures"]}
    assert set(sizes) == {"asyncio, 1,000 actors", "trio, 1,000 actors", "asyncio.Queue, 1,000 tasks"}
    assert all(0 < size < 10 for size in sizes.values())


@pytest.mark.slow
def test_durable_turns_are_measured_beside_plain_databases(tmp_path: Path) -> None:
    names = few(["turns-10", "projected", "durable-burst", "durable-restart", "recovery"], 2)
    page, figures = tmp_path / "durable.md", tmp_path / "durable.json"

    code = main([*names, "--quick", "--no-peers", "--json", str(figures), "--markdown", str(page)])

    assert code == 0
    found = json.loads(figures.read_bytes())["figures"]
    assert [*dict.fromkeys(one["workload"] for one in found)] == names
    sides = {one["name"]: one["value"] for one in found if one["workload"] == "turns-10"}
    assert sides["asyncio, keyed ask"] > 0
    assert sides["SQLite, 10 writers"] > 0
    assert sides["engine, rows in the commit"] > 0
    text = page.read_text("utf-8")
    assert all(f"\n## {name}\n" in text for name in names)


def test_an_unknown_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["tell", "yell"])

    assert code == 2
    assert (
        "no workload 'yell'; there are: actors, supervision, store, durable, agents, events, tell, "
        in capsys.readouterr().err
    )


def test_the_ratios_of_one_workload_are_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ratios(["ping-pong", "--quick", "--rounds", "1"])

    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["workload", "baseline", "asyncio", "trio"]
    assert line.startswith("ping-pong")
