"""`sentient simulate`: what it prints, how it ends, and that what it finds is played again."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest
from click.testing import CliRunner, Result

from sentient_core.cli import main

simulate_verb = importlib.import_module("sentient_core.cli.simulate")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


def test_programs_that_go_well_are_counted_and_it_ends_with_0() -> None:
    done = run("--seeds", "3", "--first", "40", "--steps", "10")

    assert done.exit_code == 0
    assert done.stdout == ""
    assert "3 programs went well" in done.stderr


def test_as_json_it_is_one_document() -> None:
    done = run("--seeds", "2", "--steps", "10", "--no-faults", "--json")

    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (document["seeds"], document["is_well"]) == (2, True)
    assert document["happenings"] > 10


def test_what_goes_wrong_is_printed_written_and_played_again(tmp_path: Path) -> None:
    file = tmp_path / "wrong.txt"

    done = run("--broken", "forgets-a-queue", "--no-faults", "--out", str(file))
    again = run("--broken", "forgets-a-queue", "--replay", str(file))
    healed = run("--replay", str(file), "--json")

    assert done.exit_code == again.exit_code == 1
    assert "goes wrong" in done.stderr
    assert "\n# wrong: " in done.stdout
    assert file.read_text() == done.stdout == again.stdout
    assert healed.exit_code == 0
    assert json.loads(healed.stdout)["complaints"] == []


def test_it_says_the_seed_that_goes_wrong_as_json_too() -> None:
    done = run("--broken", "swaps-two-messages", "--no-faults", "--no-shrink", "--json")

    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert document["failed_seed"] == document["seeds"] - 1
    assert document["replay"].startswith('{"sentient_simulation":1}')
    assert document["complaints"]


@pytest.mark.parametrize("content", [None, "not a program"])
def test_a_file_that_cannot_be_replayed_is_said_and_it_ends_with_2(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "program.txt"
    if content is not None:
        file.write_text(content)

    done = run("--replay", str(file))

    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert done.stdout == ""


def test_where_nothing_can_be_written_it_ends_with_2(tmp_path: Path) -> None:
    done = run(
        "--broken", "forgets-a-queue", "--no-faults", "--no-shrink", "--out", str(tmp_path / "no" / "f")
    )

    assert done.exit_code == 2


def test_where_nothing_could_be_written_it_says_so_before_it_plays(tmp_path: Path) -> None:
    done = run("--seeds", "1000000", "--out", str(tmp_path / "no" / "f"))

    assert done.exit_code == 2
    assert f"there is no directory {tmp_path / 'no'}" in done.stderr


def test_what_it_says_to_replay_a_broken_runtime_breaks_it_again(tmp_path: Path) -> None:
    file = tmp_path / "it is wrong.txt"

    done = run("--broken", "forgets-a-queue", "--no-faults", "--no-shrink", "--out", str(file))
    said = shlex.split(done.stderr.rpartition("; ")[2])

    assert said[:2] == ["sentient", "simulate"]
    assert run(*said[2:]).exit_code == 1


@pytest.mark.parametrize("in_group", [False, True])
def test_who_interrupts_it_is_told_where_to_go_on(monkeypatch: pytest.MonkeyPatch, in_group: bool) -> None:
    def interrupted(seeds: range, *, progress: Callable[[int, int], object], **_: object) -> Never:
        progress(seeds[0], 1)
        progress(seeds[1], 2)
        raise BaseExceptionGroup("of a loop", [KeyboardInterrupt()]) if in_group else KeyboardInterrupt

    monkeypatch.setattr(simulate_verb, "simulate", interrupted)

    done = run("--first", "40", "--seeds", "10")

    assert done.exit_code == 2
    assert "interrupted: 2 programs were played; --first 42 --seeds 8 goes on" in done.stderr
