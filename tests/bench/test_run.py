"""Rows run one after the other, and a run is written down."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from click.testing import CliRunner

from sentient_core.bench import Choice, Findings, Row, Scene, StoreKind, run_rows
from sentient_core.bench.page import as_markdown
from sentient_core.bench.report import write_report
from sentient_core.bench.rows import ROWS
from sentient_core.bench.server import VARIABLE
from sentient_core.cli import main

MEMORY = (StoreKind.MEMORY,)


async def _fine(scene: Scene, findings: Findings) -> None:
    async with scene.system() as system:
        findings.check("systems", "bench", system.name, headline=True)
    findings.loss("lost", 0, 300, headline=True)
    findings.curve("recovery", "messages", "seconds", {1: [0.1], 100: [0.2, 0.3]})
    findings.note(f"dice {scene.dice().random():.3f}")


async def _broken(scene: Scene, findings: Findings) -> None:
    findings.loss("lost", 2, 300, headline=True)


async def _raising(scene: Scene, findings: Findings) -> None:
    raise ValueError("no | good")


def row(run: object, name: str = "fine") -> Row:
    return Row(id=name, injects="a fault", shows="figures", run=run, stores=MEMORY)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_row_that_raises_is_in_the_report_and_the_others_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [row(_raising, "raising"), row(_fine)]

    report = run_rows(Choice(rows=rows, stores=MEMORY, backends=("asyncio", "trio"), command="it"))

    assert [(r.row, r.backend, r.is_sound) for r in report.results] == [
        ("raising", "asyncio", False),
        ("raising", "trio", False),
        ("fine", "asyncio", True),
        ("fine", "trio", True),
    ]
    assert not report.is_sound
    assert report.results[0].error == "ValueError: no | good"
    assert "- **error** [raising](#raising), memory, asyncio: ValueError: no \\| good" in as_markdown(report)
    progress = capsys.readouterr().err
    assert "fine, memory, trio: ok" in progress
    assert "_raising" in progress, "the traceback is for who writes the row"


def test_the_page_has_what_was_promised_and_what_was_found(tmp_path: Path) -> None:
    report = run_rows(
        Choice(rows=[row(_fine), row(_broken, "broken")], stores=MEMORY, seed=5, is_quick=True, command="it")
    )

    write_report(report, tmp_path / "new")

    page = (tmp_path / "new" / "README.md").read_text("utf-8")
    assert "| lost | 0 of 300 messages (< 1 % at 95 %) |" in page
    assert "**Not every promise held:**" in page
    assert "- **BROKEN** [broken](#broken), memory, asyncio: messages lost: **2, not 0**" in page
    assert "seed 5" in page
    assert "A quick run" in page
    (note,) = report.of("fine")[0].findings.notes
    assert f"\n- {note}.\n" in page
    assert "![a fault](fine-curves.svg)" in page
    drawn = "".join(ET.parse(tmp_path / "new" / "fine-curves.svg").getroot().itertext())
    assert "messages" in drawn
    document = json.loads((tmp_path / "new" / "faults.json").read_bytes())
    losses = [e for r in document["results"] for e in r["findings"]["entries"] if e["kind"] == "loss"]
    assert [loss["of"] for loss in losses] == [300, 300]
    assert document["machine"]["packages"]["anyio"]


def test_the_same_seed_throws_the_same_dice_on_every_loop() -> None:
    def notes(seed: int) -> set[str]:
        choice = Choice(rows=[row(_fine)], stores=MEMORY, backends=("asyncio", "trio"), seed=seed)
        return {note for result in run_rows(choice).results for note in result.findings.notes}

    assert len(notes(1)) == 1
    assert notes(1) == notes(1) != notes(2)


def test_each_row_and_each_purpose_has_dice_of_its_own() -> None:
    async def two(scene: Scene, findings: Findings) -> None:
        for purpose in ("load", "faults"):
            findings.note(f"{scene.dice(purpose).random()}")

    report = run_rows(Choice(rows=[row(two), row(two, "other")], stores=MEMORY))

    notes = [note for result in report.results for note in result.findings.notes]
    assert len(notes) == len(set(notes)) == 4


def test_without_a_server_its_column_is_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    anywhere = Row(id="fine", injects="a fault", shows="figures", run=_fine)

    report = run_rows(Choice(rows=[anywhere], stores=[StoreKind.MEMORY, StoreKind.SERVER]))

    assert report.stores() == [StoreKind.MEMORY]
    assert VARIABLE in report.skipped["server"]
    assert "embedded: not asked for; server: no `surreal` on PATH" in as_markdown(report)


def test_the_page_leads_to_its_guide_where_that_is_and_names_it_elsewhere(tmp_path: Path) -> None:
    report = run_rows(Choice(rows=[row(_fine)], stores=MEMORY))
    for folder in ("docs", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "docs/faults.md").touch()

    for folder in ("docs", "elsewhere"):
        write_report(report, tmp_path / folder / "out")

    assert "[faults.md](../faults.md) says" in (tmp_path / "docs/out/README.md").read_text("utf-8")
    assert "docs/faults.md of sentient-core says" in (tmp_path / "elsewhere/out/README.md").read_text("utf-8")


def test_a_variable_that_names_no_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/at/all")

    done = CliRunner().invoke(main, ["bench", "faults", "--quick", "--row", "siblings"])

    assert done.exit_code == 2
    assert "/nowhere/at/all" in done.stderr


def test_the_command_measures_a_row_prints_json_and_writes_the_report(tmp_path: Path) -> None:
    words = ["--quick", "--row", "siblings", "--store", "memory", "--json", "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(main, ["bench", "faults", *words])

    assert done.exit_code == 0, done.output
    (result,) = json.loads(done.stdout)["results"]
    assert (result["row"], result["store"]) == ("siblings", "memory")
    assert all(entry.get("is_met", True) for entry in result["findings"]["entries"])
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"faults.json", "README.md"}


def test_a_broken_promise_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentient_core.bench.rows.ROWS", (row(_broken, "broken"),))

    done = CliRunner().invoke(main, ["bench", "faults", "--quick"])

    assert done.exit_code == 1
    assert "BROKEN messages lost: 2, not 0" in done.stdout


def test_a_row_about_the_loop_is_measured_on_both_in_memory() -> None:
    about_the_loop = msgspec.structs.replace(row(_fine), is_about_loop=True)

    report = run_rows(Choice(rows=[about_the_loop, row(_broken, "broken")], stores=MEMORY))

    assert [(r.row, r.backend) for r in report.results] == [
        ("fine", "asyncio"),
        ("fine", "trio"),
        ("broken", "asyncio"),
    ]
    assert "| inject | figure | memory, asyncio | memory, trio |" in as_markdown(report)


async def _beside_others(scene: Scene, findings: Findings) -> None:
    for who, seconds in (("ours", 0.1), ("theirs", 0.2)):
        findings.latency("restart", [seconds], who=who, headline=True)


def test_programs_side_by_side_are_columns() -> None:
    page = as_markdown(run_rows(Choice(rows=[row(_beside_others)], stores=MEMORY)))

    assert "| | ours | theirs |" in page
    assert "| restart | 100 ms (n = 1) | 200 ms (n = 1) |" in page


async def _interrupted(scene: Scene, findings: Findings) -> None:
    findings.loss("lost", 0, 300)
    raise KeyboardInterrupt


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_in_the_midst_of_it_writes_what_was_measured_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    rows = (row(_fine), row(_interrupted, "interrupted"), row(_broken, "never"))
    monkeypatch.setattr("sentient_core.bench.rows.ROWS", rows)

    words = ["--quick", "--backend", backend, "--out", str(tmp_path)]
    done = CliRunner().invoke(main, ["bench", "faults", *words])

    assert done.exit_code == 2
    assert "interrupted" in done.stderr
    page = (tmp_path / "README.md").read_text("utf-8")
    assert "**Interrupted: what stands here was measured until then.**" in page
    assert page.count("0 of 300 messages") >= 2
    assert f"never, memory, {backend}: interrupted" in page


def test_where_nothing_would_be_measured_that_is_said() -> None:
    done = CliRunner().invoke(main, ["bench", "faults", "--row", "database-gone", "--store", "memory"])

    assert done.exit_code == 2
    assert "nothing to measure for database-gone" in done.stderr


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentient_core.bench.rows.ROWS", (row(_raising, "raising"),))
    (tmp_path / "file").write_text("")

    done = CliRunner().invoke(main, ["bench", "faults", "--out", str(tmp_path / "file" / "report")])

    assert done.exit_code == 2
    assert "file" in done.stderr
    assert "raising" not in done.stderr


def test_a_row_nobody_knows_is_refused() -> None:
    done = CliRunner().invoke(main, ["bench", "faults", "--row", "sibling"])

    assert done.exit_code == 2
    assert "siblings" in done.stderr


def test_every_row_has_a_name_of_its_own_that_can_be_typed() -> None:
    names = [row.id for row in ROWS]

    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in names)


def test_the_rows_are_listed() -> None:
    done = CliRunner().invoke(main, ["bench", "faults", "--rows"])

    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [row.id for row in ROWS]
